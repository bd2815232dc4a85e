//! Variables that cannot be kept for the next cell. evcxr finds them before the compiler does and
//! says so without a place.

use super::excerpt::{Excerpt, Mark};
use super::{Place, advice};
use crate::evaluate::prepare;
use benchbook_jupyter::Failure;

/// The failure for one of evcxr's messages about a variable; `None` for another message.
pub(super) fn failure(message: &str, at: Place<'_>) -> Option<Failure> {
    let (_, rest) = message.split_once("ariable `")?;
    let (name, about) = rest.split_once('`')?;
    let (evalue, advice) = if message.contains("is a closure") {
        (
            format!(
                "`{name}` is a closure, which cannot be kept for the next cell unless it is in a Box"
            ),
            format!(
                "write `let {name}: Box<dyn Fn(i32) -> i32> = Box::new(…);` with the types that it takes and returns, or make it an `fn`, or use it within braces {{ … }}"
            ),
        )
    } else if message.contains("determine type of variable") {
        let private = about.contains("private");
        (
            format!("the type of `{name}` is unknown"),
            match private {
                true => format!(
                    "its type is private to its crate; write `let {name}: Box<dyn Trait> = Box::new(…);`, or use it within braces {{ … }}"
                ),
                false => advice::write_the_type(name),
            },
        )
    } else if message.contains("cannot be persisted") {
        let kind = about.split('`').nth(1).unwrap_or("one without a name");
        (
            format!("`{name}` has the type `{kind}`, which cannot be kept for the next cell"),
            format!(
                "write `let {name}: Box<dyn Trait> = Box::new(…);` with a trait that it implements, or use it within braces {{ … }}"
            ),
        )
    } else {
        return None;
    };
    let marks = prepare::binding(at.cell, name).map(|(line, column)| Mark {
        line,
        column,
        width: name.chars().count(),
        primary: true,
        label: String::new(),
    });
    let excerpt =
        Excerpt::new(at.cell, at.count).title("error", &evalue).marks(marks.into_iter().collect());
    let traceback = excerpt.lines(&[], Some(&advice));
    Some(Failure { ename: "CompileError".into(), evalue, traceback })
}
