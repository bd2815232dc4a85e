//! Explains the failure of a compiler that was killed.
//!
//! The stand-in for cargo reports the end of rustc, rustc that of the linker, and cargo that of a
//! crate's compiler. All of them name the signal as the standard
//! library does: `signal: 9 (SIGKILL)`.

use crate::evcxr_contract::NO_ERRORS;
use benchbook_jupyter::Failure;
use evcxr::Error;

/// The failure, if the compiler or one of its helpers was killed. `out_of_memory`: the system
/// killed a process for lack of memory meanwhile.
pub(super) fn ended(error: &Error, count: u64, out_of_memory: bool) -> Option<Failure> {
    let (program, signal) = match error {
        Error::CompilationErrors(found) => {
            let text = found.iter().map(|error| error.message()).find(|text| is_linker(text))?;
            ("linker", Some(signal(&text)?.to_owned()))
        }
        Error::Message(text) => {
            let said = said(text)?;
            match signal(said) {
                Some(signal) => ("compiler", Some(signal.to_owned())),
                // A killed cargo stand-in cannot report its own death.
                None if said.is_empty() => ("compiler", None),
                None => return None,
            }
        }
        _ => return None,
    };
    let by = signal.as_deref().map(|name| format!(" ({name})")).unwrap_or_default();
    let evalue = match signal.as_deref() {
        Some("SIGSEGV" | "SIGBUS" | "SIGILL" | "SIGABRT") => format!(
            "the {program} crashed{by} while building cell {count}; the cell has not run and all variables are kept; split the cell to find the code that it cannot compile, or try another optimisation level, `:opt 0`"
        ),
        _ => format!(
            "the {program} was killed{by} while building cell {count}, {}; the cell has not run and all variables are kept; free memory (other kernels and programs, large variables) and run the cell again",
            if out_of_memory {
                "since the system ran out of memory"
            } else {
                "most often by the system or a container when memory runs out"
            }
        ),
    };
    Some(Failure::new("CompilerDied", evalue))
}

/// The message of cargo or its stand-in about a build that failed without a compile error.
pub(super) fn said(text: &str) -> Option<&str> {
    let said = text.strip_prefix(NO_ERRORS)?;
    let said = said.rsplit_once("STDOUT:").map_or(said, |(said, _)| said);
    Some(said.trim().trim_start_matches("error: "))
}

fn is_linker(message: &str) -> bool {
    message.starts_with("linking with ")
}

/// The name of the signal in `signal: 9 (SIGKILL)` or cargo's `(signal: 9, SIGKILL: kill)`.
fn signal(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("signal: ")?;
    let begin = rest.find("SIG").filter(|at| *at < 8)?;
    let name = &rest[begin..];
    Some(&name[..name.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(name.len())])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(stderr: &str) -> String {
        format!("{NO_ERRORS}{stderr}\nSTDOUT:\n")
    }

    fn told(stderr: &str, out_of_memory: bool) -> Option<String> {
        let error = Error::Message(failed(stderr));
        ended(&error, 3, out_of_memory).map(|failure| failure.evalue)
    }

    #[test]
    fn the_signal_is_named_wherever_it_is_said() {
        assert_eq!(signal("the compiler ended: signal: 9 (SIGKILL)"), Some("SIGKILL"));
        assert_eq!(
            signal("linking with `cc` failed: signal: 6 (SIGABRT) (core dumped)"),
            Some("SIGABRT")
        );
        assert_eq!(signal("(signal: 15, SIGTERM: termination signal)"), Some("SIGTERM"));
        assert_eq!(signal("signal: 64"), None);
        assert_eq!(signal("exit status: 1"), None);
    }

    #[test]
    fn what_is_said_depends_on_how_it_ended() {
        let killed = told("the compiler ended: signal: 9 (SIGKILL)", false).unwrap();
        assert!(killed.contains("(SIGKILL) while building cell 3, most often"), "{killed}");
        let memory = told("the compiler ended: signal: 9 (SIGKILL)", true).unwrap();
        assert!(memory.contains("since the system ran out of memory"), "{memory}");
        let crashed = told("the compiler ended: signal: 11 (SIGSEGV)", false).unwrap();
        assert!(crashed.contains("crashed (SIGSEGV)"), "{crashed}");
        let silent = told("", false).unwrap();
        assert!(silent.contains("was killed while"), "{silent}");
        assert_eq!(told("error: no space left on device", false), None, "its own words are better");
        assert_eq!(said(&failed("error: no matching package")), Some("no matching package"));
    }
}
