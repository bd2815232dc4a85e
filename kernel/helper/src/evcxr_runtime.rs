//! Where the variables of a session live between cells.
//!
//! evcxr's code around every cell calls these functions; it would otherwise compile its own module
//! with the same names into each cell. What it has to be told goes straight to it, not by way of
//! the user's standard output.

use crate::worker;
use benchbook_frames::Message;
use std::any::{Any, TypeId};
use std::collections::{HashMap, HashSet};
pub use std::panic::AssertUnwindSafe;
use std::sync::Arc;

/// The marker that evcxr's conversion of errors prints; `println!` of the prelude knows it by name.
pub const USER_ERROR_OCCURRED: &str = "EVCXR_ERROR_OCCURRED";

/// What a failing `?` of a cell turns its error into, which is then the error of the cell.
pub struct EvcxrUserCodeError {}

impl<T: std::fmt::Display> From<T> for EvcxrUserCodeError {
    #[track_caller]
    fn from(error: T) -> Self {
        worker::hold_back(&error, error.to_string());
        worker::error_reached_top_at(Some(std::panic::Location::caller()));
        Self {}
    }
}

/// A panic, of which the worker has kept what it says.
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
    Nobody,
}

/// The variables that no cell holds at the moment, by name.
#[derive(Default)]
pub struct VariableStore {
    variables: HashMap<String, Box<dyn Any>>,
    /// The variables that the running cell was given by [`VariableStore::hand_over`].
    handed_over: HashSet<String>,
    /// The running cell has come to its last statement.
    reached_end: bool,
}

impl VariableStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps a variable, in place of one of the same name.
    pub fn put_variable<T: 'static>(&mut self, name: &str, value: T) {
        self.put(name, Box::new(value));
    }

    /// Whether the variable, if there is one, still has the type that the cell expects. evcxr is
    /// told if it has not: the user has defined the type anew.
    pub fn check_variable<T: 'static>(&mut self, name: &str) -> bool {
        self.check(name, TypeId::of::<T>())
    }

    /// Hands a variable to the running cell.
    ///
    /// # Panics
    /// There is none of this name and type; evcxr has then lost track of its variables.
    pub fn take_variable<T: 'static>(&mut self, name: &str) -> T {
        match self.take(name).downcast::<T>() {
            Ok(value) => *value,
            Err(_) => has_another_type(name),
        }
    }

    /// Gives the statement that moves a variable its value. The stand-in for cargo inserts the call
    /// before it (`server/src/cargo/moved.rs`), and [`VariableStore::put_back`] at the end of the cell.
    ///
    /// # Safety
    /// `value` can be read, and nothing but `put_back` uses what it points to afterwards.
    pub unsafe fn hand_over<T>(&mut self, name: &str, value: *const T) -> T {
        self.note_handed_over(name);
        // SAFETY: as the caller says.
        unsafe { value.read() }
    }

    /// Takes a variable that the cell moves or binds anew, at the end of the cell. If the cell has
    /// failed before, the variable stays in the session; the server, told of it, has evcxr take it
    /// up again as `let` or `let mut`. Otherwise it is dropped.
    pub fn put_back<T: 'static>(&mut self, name: &str, mutable: bool, value: T) {
        match self.owner(name) {
            // The cell has had it, so this is not a value any more.
            Owner::Cell => std::mem::forget(value),
            Owner::Session => {
                self.put(name, Box::new(value));
                self.stay::<T>(name, mutable);
            }
            Owner::Nobody => {
                let mut value = Some(value);
                if catch(&mut || drop(value.take())).is_err() {
                    worker::panic_reached_top();
                }
            }
        }
    }

    /// Says, at the end of a cell that binds a variable anew and left the old one in the store, whether that
    /// is still there: if the cell has failed before, the server, told of it, has evcxr take it up again.
    pub fn stay<T: 'static>(&mut self, name: &str, mutable: bool) {
        self.stay_as(name, mutable, TypeId::of::<T>());
    }

    /// Says that a cell with a `return` has not been left by it.
    #[inline(never)]
    pub fn reached_end(&mut self) {
        self.reached_end = true;
    }

    /// Has a cell fail, at its end, that a `return` has left before it could put its variables into the store:
    /// evcxr would believe them there.
    #[inline(never)]
    pub fn check_end(&mut self) {
        if !std::mem::take(&mut self.reached_end) && !worker::cell_failed() {
            worker::returned_early();
        }
    }

    /// The variables that no cell holds.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.variables.keys().map(String::as_str)
    }

    // What does not depend on the type is compiled here, once, and not in every cell.

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

    /// Whose a variable is that was not put back, at the end of the cell.
    #[inline(never)]
    fn owner(&mut self, name: &str) -> Owner {
        if self.handed_over.remove(name) {
            Owner::Cell
        } else if worker::cell_failed() {
            Owner::Session
        } else {
            Owner::Nobody
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
            let text =
                format_args!("the type of `{name}` was defined anew, so the variable is lost\n");
            worker::print(worker::STDERR, text);
            worker::variable_changed_type(name);
        }
        fits
    }

    #[inline(never)]
    fn take(&mut self, name: &str) -> Box<dyn Any> {
        match self.variables.remove(name) {
            Some(value) => value,
            None => panic!("the variable `{name}` has gone missing"),
        }
    }

    /// Returns the value that all cells share under `name`, creating it on the first call. A value whose type is of
    /// a crate that a later `:dep` has compiled again is replaced; what runs in the old one, such as the tasks of a
    /// tokio runtime, runs on.
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
    panic!("the variable `{name}` has another type than expected")
}

/// A new store, never freed: it lives as long as the worker.
pub fn create_variable_store() -> *mut VariableStore {
    Box::into_raw(Box::default())
}
