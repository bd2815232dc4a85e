//! How the value of a cell's last expression is shown.
//!
//! The kernel turns a last expression `E` into `show!(E);`. Which form it takes is decided by
//! method resolution, in this order: an `evcxr_display` method of the type's own, [`Rich`],
//! `Debug`, and at last the name of the type. Each trait below is found one reference further out
//! than the one before, so the first that applies wins, also for types that borrow.

use crate::display::{Bundle, Rich};
use crate::worker::send;
use benchbook_frames::Message;
use std::fmt::Debug;

/// Shows the value of an expression as the result of the cell.
#[macro_export]
macro_rules! show {
    ($expression:expr) => {
        match &$expression {
            #[allow(unused_mut)]
            mut value => {
                #[allow(unused_imports)]
                use $crate::show::{ShowDebug as _, ShowName as _, ShowRich as _};
                $crate::show::begin();
                value.evcxr_display();
            }
        }
    };
}

/// Tells the server that what comes is the result: an `evcxr_display` of the type's own prints it.
pub fn begin() {
    send(Message::Showing);
}

/// Types with a rich form.
pub trait ShowRich {
    /// Shows the value as the result of the cell.
    fn evcxr_display(&self);
}

impl<T: Rich + ?Sized> ShowRich for T {
    fn evcxr_display(&self) {
        result(self.bundle());
    }
}

/// Types with nothing but `Debug`.
pub trait ShowDebug {
    /// Shows the value as the result of the cell.
    fn evcxr_display(&self);
}

impl<T: Debug + ?Sized> ShowDebug for &T {
    fn evcxr_display(&self) {
        debug(self, std::any::type_name::<T>());
    }
}

/// All other types.
pub trait ShowName {
    /// Shows the value as the result of the cell.
    fn evcxr_display(&mut self);
}

impl<T: ?Sized> ShowName for &T {
    fn evcxr_display(&mut self) {
        name(std::any::type_name::<T>());
    }
}

// What does not depend on the type is compiled here, once, and not in every cell.

fn result(bundle: Bundle) {
    send(Message::Result { bundle });
}

fn debug(value: &dyn Debug, type_name: &str) {
    // A unit has nothing to show: a loop, a call for its effect.
    if type_name != "()" {
        result(Bundle::text(format!("{value:?}")));
    }
}

fn name(type_name: &str) {
    // The crate of the cells is called `ctx`, which the user has never heard of.
    let name = type_name.replace("ctx::", "");
    let text = format!("a value of type {name} (derive or implement Debug to see what is in it)");
    result(Bundle::text(text));
}
