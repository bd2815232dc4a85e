//! Questions to the user.

use std::io;

/// Shows an input field after `prompt` and waits for a line of text.
///
/// # Errors
/// The front end does not allow questions (a notebook run from the command line, for example), or
/// the user interrupted.
pub fn input(prompt: &str) -> io::Result<String> {
    crate::worker::ask(prompt, false)
}

/// As [`input`], with the typed text hidden.
///
/// # Errors
/// As [`input`].
pub fn password(prompt: &str) -> io::Result<String> {
    crate::worker::ask(prompt, true)
}
