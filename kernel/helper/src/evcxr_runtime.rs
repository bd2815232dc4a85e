//! Keeps the variables of a session between cells.
//!
//! evcxr's code around every cell calls these functions, which replace the module that evcxr would compile into
//! each cell. Messages to evcxr do not pass through the user's standard output.

use crate::worker;
use benchbook_frames::Message;
use std::any::{Any, TypeId};
use std::collections::{HashMap, HashSet};
pub use std::panic::AssertUnwindSafe;
use std::sync::Arc;

/// The marker that evcxr's conversion of errors prints; the prelude's `println!` filters it by this name.
pub const USER_ERROR_OCCURRED: &str = "EVCXR_ERROR_OCCURRED";

/// The error type of a cell: a failing `?` converts its error into it.
pub struct EvcxrUserCodeError {}

impl<T: std::fmt::Display> From<T> for EvcxrUserCodeError {
    #[track_caller]
    fn from(error: T) -> Self {
        worker::hold_back(&error, error.to_string());
        worker::error_reached_top_at(Some(std::panic::Location::caller()));
        Self {}
    }
}

/// A panic, whose message the worker keeps.
pub struct Panicked;

/// Runs the statements of a cell.
///
/// # Errors
/// They panicked.
pub fn catch_unwind<R>(statements: AssertUnwindSafe<impl FnOnce() -> R>) -> Result<(), Panicked> {
    let mut statements = Some(statements.0);
    catch(&mut || {
        if let Some(statements) = statements.take() {
            statements();
        }
    })
}

#[inline(never)]
fn catch(statements: &mut dyn FnMut()) -> Result<(), Panicked> {
    std::panic::catch_unwind(AssertUnwindSafe(statements)).map_err(|payload| {
        worker::caught(&*payload);
        Panicked
    })
}

enum Owner {
    Cell,
    Session,
    None,
}

/// The variables that the running cell does not hold, by name.
#[derive(Default)]
pub struct VariableStore {
    variables: HashMap<String, Box<dyn Any>>,
    /// The variables that [`VariableStore::hand_over`] gave to the running cell.
    handed_over: HashSet<String>,
    /// Whether the running cell has reached its last statement.
    reached_end: bool,
}

impl VariableStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Stores a variable, and drops an earlier one of the same name.
    pub fn put_variable<T: 'static>(&mut self, name: &str, value: T) {
        self.put(name, Box::new(value));
    }

    /// Whether the variable, if it exists, still has the type that the cell expects. If the user has
    /// redefined the type, tells evcxr.
    pub fn check_variable<T: 'static>(&mut self, name: &str) -> bool {
        self.check(name, TypeId::of::<T>())
    }

    /// Hands a variable to the running cell.
    ///
    /// # Panics
    /// No variable has this name and type, so evcxr has lost track of its variables.
    pub fn take_variable<T: 'static>(&mut self, name: &str) -> T {
        match self.take(name).downcast::<T>() {
            Ok(value) => *value,
            Err(_) => has_another_type(name),
        }
    }

    /// Returns a variable's value for the statement that moves it. The stand-in for cargo inserts the call
    /// before the statement (`server/src/cargo/moved.rs`), and [`VariableStore::put_back`] at the cell's end.
    ///
    /// # Safety
    /// `value` can be read, and nothing but `put_back` uses what it points to afterwards.
    pub unsafe fn hand_over<T>(&mut self, name: &str, value: *const T) -> T {
        self.note_handed_over(name);
        // SAFETY: guaranteed by the caller.
        unsafe { value.read() }
    }

    /// Takes, at the cell's end, a variable that the cell moves or rebinds. If the cell has failed before the
    /// move, the variable stays in the session, and the server has evcxr bind it again with `let` or
    /// `let mut`. Otherwise the variable is dropped.
    pub fn put_back<T: 'static>(&mut self, name: &str, mutable: bool, value: T) {
        match self.owner(name) {
            // The cell has moved the value out.
            Owner::Cell => std::mem::forget(value),
            Owner::Session => {
                self.put(name, Box::new(value));
                self.stay::<T>(name, mutable);
            }
            Owner::None => {
                let mut value = Some(value);
                if catch(&mut || drop(value.take())).is_err() {
                    worker::panic_reached_top();
                }
            }
        }
    }

    /// Reports, at the end of a failed cell that rebinds a variable, that the old variable is still in the store;
    /// the server then has evcxr bind it again.
    pub fn stay<T: 'static>(&mut self, name: &str, mutable: bool) {
        self.stay_as(name, mutable, TypeId::of::<T>());
    }

    /// Marks that a cell with a `return` has run to its last statement.
    #[inline(never)]
    pub fn reached_end(&mut self) {
        self.reached_end = true;
    }

    /// Fails a cell that a `return` has left before its variables were stored, as evcxr assumes they are.
    #[inline(never)]
    pub fn check_end(&mut self) {
        if !std::mem::take(&mut self.reached_end) && !worker::cell_failed() {
            worker::returned_early();
        }
    }

    /// The names of the stored variables.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.variables.keys().map(String::as_str)
    }

    // Code that does not depend on the type is compiled once, here, instead of in every cell.

    #[inline(never)]
    fn stay_as(&mut self, name: &str, mutable: bool, expected: TypeId) {
        let value = self.variables.get(name);
        if worker::cell_failed() && value.is_some_and(|value| value.as_ref().type_id() == expected)
        {
            worker::send(Message::Kept { name: name.to_owned(), mutable });
        }
    }

    #[inline(never)]
    fn note_handed_over(&mut self, name: &str) {
        self.handed_over.insert(name.to_owned());
    }

    /// The owner, at the cell's end, of a variable that was not put back.
    #[inline(never)]
    fn owner(&mut self, name: &str) -> Owner {
        if self.handed_over.remove(name) {
            Owner::Cell
        } else if worker::cell_failed() {
            Owner::Session
        } else {
            Owner::None
        }
    }

    #[inline(never)]
    fn put(&mut self, name: &str, value: Box<dyn Any>) {
        self.variables.insert(name.to_owned(), value);
    }

    #[inline(never)]
    fn check(&mut self, name: &str, expected: TypeId) -> bool {
        let fits =
            self.variables.get(name).is_none_or(|value| value.as_ref().type_id() == expected);
        if !fits {
            let text = format_args!(
                "the type of `{name}` was redefined, so the variable is lost; define it again\n"
            );
            worker::print(worker::STDERR, text);
            worker::variable_changed_type(name);
        }
        fits
    }

    #[inline(never)]
    fn take(&mut self, name: &str) -> Box<dyn Any> {
        match self.variables.remove(name) {
            Some(value) => value,
            None => panic!("the variable `{name}` is missing; define it again"),
        }
    }

    /// Returns the value that all cells share under `name`, and creates it on the first call. Replaces a value whose
    /// type's crate a later `:dep` has compiled again; tasks of the old value, such as those of a tokio runtime,
    /// continue.
    pub fn lazy_arc<T: 'static, F: FnOnce() -> T>(&mut self, name: &str, create: F) -> Arc<T> {
        let known = self.variables.get(name).and_then(|value| value.downcast_ref::<Arc<T>>());
        if let Some(value) = known {
            return Arc::clone(value);
        }
        let value = Arc::new(create());
        let replaced = self.variables.insert(name.to_owned(), Box::new(Arc::clone(&value)));
        // Dropping a runtime waits for its tasks.
        std::mem::forget(replaced);
        value
    }

    /// Takes over all variables of another store.
    pub fn merge(&mut self, other: Self) {
        self.variables.extend(other.variables);
        self.handed_over.extend(other.handed_over);
    }
}

#[cold]
#[inline(never)]
fn has_another_type(name: &str) -> ! {
    panic!("the variable `{name}` has a different type than this cell expects; define it again")
}

/// A new store, which lives as long as the worker.
pub fn create_variable_store() -> *mut VariableStore {
    Box::into_raw(Box::default())
}
