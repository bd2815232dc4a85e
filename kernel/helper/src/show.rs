//! Shows the value of a cell's last expression.
//!
//! The kernel turns a last expression `E` into `show!(E);`. Method resolution selects the first form that applies: the
//! type's own method `evcxr_display`, [`Rich`], `Debug`, or else the type's name. Each trait below needs one more
//! reference than the one before, which gives this order, also for types that borrow.
//!
//! `Debug` text of more than 1000 values is abbreviated (`kernel/display/src/abbreviate.rs`).
//!
//! The commands `:fmt` and `:types` add arguments: the format for values with `Debug` only, and whether the type
//! precedes the value.

use crate::display::{Bundle, Rich};
use crate::worker::send;
use benchbook_display::{Abbreviated, abbreviate};
use benchbook_frames::Message;
use std::cell::Cell;
use std::fmt::{self, Debug, Write};

/// Shows the value of an expression as the result of the cell.
#[macro_export]
macro_rules! show {
    ($expression:expr, $format:literal) => {{
        let _form = $crate::show::Form::begin(
            |out, value| out.write_fmt(::std::format_args!($format, value)),
            false,
        );
        $crate::show!($expression)
    }};
    ($expression:expr, $format:literal, types) => {{
        let _form = $crate::show::Form::begin(
            |out, value| out.write_fmt(::std::format_args!($format, value)),
            true,
        );
        $crate::show!($expression)
    }};
    ($expression:expr) => {
        match &$expression {
            #[allow(unused_mut)]
            mut value => {
                #[allow(unused_imports)]
                use $crate::show::{ShowDebug as _, ShowName as _, ShowRich as _};
                $crate::show::begin(::std::stringify!($expression));
                value.evcxr_display();
            }
        }
    };
}

/// Tells the server that the following print is the value of this expression, as `evcxr_display` prints it.
pub fn begin(expression: &'static str) {
    EXPRESSION.set(expression);
    send(Message::Showing);
}

/// Writes a value.
type Format = fn(&mut dyn Write, &dyn Debug) -> fmt::Result;

thread_local! {
    static FORM: Cell<Form> = const { Cell::new(Form { format: None, types: false }) };
    static EXPRESSION: Cell<&'static str> = const { Cell::new("") };
}

/// The form of this cell's value.
#[derive(Clone, Copy)]
pub struct Form {
    format: Option<Format>,
    types: bool,
}

/// Resets the form when dropped.
pub struct FormGuard;

impl Form {
    /// Shows values in this form as long as the guard lives.
    pub fn begin(format: Format, types: bool) -> FormGuard {
        FORM.set(Form { format: Some(format), types });
        FormGuard
    }

    /// The value. A long one is abbreviated, followed by a line with its length and how to print all of it.
    fn write(self, value: &dyn Debug) -> String {
        let Abbreviated { text, left_out } = abbreviate(|out| match self.format {
            Some(format) => format(out, value),
            None => write!(out, "{value:?}"),
        });
        let Some(count) = left_out else { return text };
        let name = EXPRESSION.get();
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '&');
        let name = if name.len() <= 40 && name.chars().all(plain) { name } else { "…" };
        format!("{text}\n{count}; all of them: println!(\"{{:?}}\", {name})")
    }

    /// The prefix of a value: its type without paths, if `:types` is on.
    fn before(self, type_name: &str) -> String {
        match self.types {
            true => format!(": {} = ", crate::worker::short(type_name)),
            false => String::new(),
        }
    }
}

impl Drop for FormGuard {
    fn drop(&mut self) {
        FORM.set(Form { format: None, types: false });
    }
}

/// Types with a rich form.
pub trait ShowRich {
    /// Shows the value as the result of the cell.
    fn evcxr_display(&self);
}

impl<T: Rich + ?Sized> ShowRich for T {
    fn evcxr_display(&self) {
        let type_name = std::any::type_name::<T>();
        result(self.bundle(), type_name);
    }
}

/// Types with `Debug` only.
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

// Code that does not depend on the type is compiled once, here, instead of in every cell.

fn result(mut bundle: Bundle, type_name: &str) {
    let before = FORM.get().before(type_name);
    if !before.is_empty() {
        let plain = before + bundle.plain();
        bundle = bundle.with("text/plain", plain);
    }
    send(Message::Result { bundle });
}

fn debug(value: &dyn Debug, type_name: &str) {
    // The unit value of a loop or of a call for its effect is not shown.
    if type_name != "()" {
        result(Bundle::text(FORM.get().write(value)), type_name);
    }
}

fn name(type_name: &str) {
    // `ctx` is the generated crate of the cells.
    let name = type_name.replace("ctx::", "");
    let text = format!("a value of type {name} (derive or implement Debug to show its content)");
    send(Message::Result { bundle: Bundle::text(text) });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_value_is_abbreviated_with_a_way_to_see_it_all() {
        let pixels = vec![1_u8; 3000];
        let write = |format, expression| {
            EXPRESSION.set(expression);
            Form { format, types: false }.write(&pixels)
        };
        assert_eq!(
            write(None, "pixels"),
            "[1, 1, 1, ..., 1, 1, 1]\n3,000 values; all of them: println!(\"{:?}\", pixels)"
        );
        let hex: Format = |out, value| out.write_fmt(format_args!("{value:02x?}"));
        assert_eq!(
            write(Some(hex), "load(1)?"),
            "[01, 01, 01, ..., 01, 01, 01]\n3,000 values; all of them: println!(\"{:?}\", …)"
        );
        assert_eq!(Form { format: None, types: false }.write(&pixels[..3].to_vec()), "[1, 1, 1]");
    }
}

#[cfg(test)]
mod tensors;
