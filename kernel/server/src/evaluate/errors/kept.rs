//! Variables that cannot be kept for the next cell. evcxr detects them before the compiler does, and
//! reports them without a position.

use super::excerpt::{Excerpt, Mark};
use super::{Place, advice};
use crate::evcxr_contract::{NotKept, not_kept};
use benchbook_jupyter::Failure;

/// The failure for one of evcxr's messages about a variable; `None` for another message.
pub(super) fn failure(message: &str, at: Place<'_>) -> Option<Failure> {
    let (name, why) = not_kept(message)?;
    let (evalue, advice) = match why {
        NotKept::Closure => (
            format!(
                "`{name}` is a closure, which cannot be kept for the next cell unless it is in a Box"
            ),
            format!(
                "write `let {name}: Box<dyn Fn(i32) -> i32> = Box::new(…);` with the types that it takes and returns, or make it an `fn`, or use it within braces {{ … }}"
            ),
        ),
        NotKept::Unknown { private: true } => (
            format!("the type of `{name}` is unknown"),
            format!(
                "its type is private to its crate; write `let {name}: Box<dyn Trait> = Box::new(…);`, or use it within braces {{ … }}"
            ),
        ),
        NotKept::Unknown { private: false } => {
            (format!("the type of `{name}` is unknown"), advice::write_the_type(name))
        }
        NotKept::Type(kind) => (
            format!(
                "`{name}` has the type `{}`, which cannot be kept for the next cell",
                kind.unwrap_or("one without a name")
            ),
            format!(
                "write `let {name}: Box<dyn Trait> = Box::new(…);` with a trait that it implements, or use it within braces {{ … }}"
            ),
        ),
    };
    let bound = at.cell.bound().filter(|(found, _)| found == name).last();
    let marks = bound.map(|(_, begin)| Mark::at(at.cell.place(begin), name.chars().count()));
    let excerpt = Excerpt::new(&at.cell.text, at.count)
        .title("error", &evalue)
        .marks(marks.into_iter().collect());
    let traceback = excerpt.lines(&[], Some(&advice));
    Some(Failure { ename: "CompileError".into(), evalue, traceback })
}
