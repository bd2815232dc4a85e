//! What the tools answer to the questions of a session that begins.
//!
//! evcxr and rust-analyzer ask rustc and cargo some ten questions (sysroot, target, configuration,
//! the crate without dependencies) before the first cell, one after the other. The answers depend on the
//! toolchain and on the question alone, so `benchbook install` begins a session once
//! (`record.rs`) and keeps them in the template. A question that is not among those, in any word,
//! goes to the real tool. The session's folder and the template's may lie elsewhere the next time, so
//! they are kept as `{session}` and `{template}`.

use super::{CRATE, log, restore_environment};
use crate::template::{Template, hex};
use anyhow::Context;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Set while the questions are noted.
pub const RECORDING: &str = "BENCHBOOK_RECORDING";

/// The folder of a template that keeps them.
const FOLDER: &str = "answers";

/// What a tool said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Answer {
    /// Its exit status.
    pub(super) status: u8,
    /// Its standard output.
    pub(super) stdout: String,
    /// Its standard error.
    pub(super) stderr: String,
}

impl Answer {
    /// Says the same.
    pub(super) fn repeat(&self) -> anyhow::Result<ExitCode> {
        // Whoever asked may be gone, as when the kernel is interrupted; that is no error.
        let _ = std::io::stderr().write_all(self.stderr.as_bytes());
        let _ = std::io::stdout().write_all(self.stdout.as_bytes());
        Ok(ExitCode::from(self.status))
    }
}

/// The answer, if the question was asked at installation.
pub(super) fn recorded(template: &Template, tool: &str, arguments: &[OsString]) -> Option<Answer> {
    let places = Places::of(template)?;
    let path = path(template, &places.question(tool, arguments)?);
    let answer: Answer = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    Some(Answer {
        status: answer.status,
        stdout: places.put_in(&answer.stdout),
        stderr: places.put_in(&answer.stderr),
    })
}

/// The answer of the real tool, kept if questions are being noted.
pub(super) fn ask(
    template: &Template,
    tool: &str,
    arguments: &[OsString],
) -> anyhow::Result<Answer> {
    let question = Places::of(template).and_then(|places| places.question(tool, arguments));
    let output = real(template, tool).args(arguments).output().with_context(|| tool.to_owned())?;
    let answer = Answer {
        status: output.status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(101),
        stdout: String::from_utf8(output.stdout)?,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    };
    match (question, Places::of(template)) {
        (Some(question), Some(places)) if is_recording() => {
            let kept = Answer {
                status: answer.status,
                stdout: places.take_out(&answer.stdout),
                stderr: places.take_out(&answer.stderr),
            };
            keep(&path(template, &question), &serde_json::to_vec(&kept)?)?;
        }
        _ => log(&format!("asked the real {tool}: {arguments:?}")),
    }
    Ok(answer)
}

/// Whether questions are being noted.
pub(super) fn is_recording() -> bool {
    std::env::var_os(RECORDING).is_some()
}

/// Writes a file that other sessions see whole or not at all.
pub(super) fn keep(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let folder = path.parent().context("a note has a folder")?;
    fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(content)?;
    file.persist(path)?;
    Ok(())
}

fn path(template: &Template, question: &str) -> PathBuf {
    let name = &hex(Sha256::digest(question))[..32];
    template.folder.join(FOLDER).join(name).with_extension("json")
}

/// The real tool, in the environment that the user has.
pub(super) fn real(template: &Template, tool: &str) -> Command {
    let toolchain = &template.manifest.toolchain;
    let mut command =
        Command::new(if tool == "rustc" { &toolchain.rustc } else { &toolchain.cargo });
    restore_environment(&mut command);
    command.env("RUSTC", &toolchain.rustc);
    command
}

/// The folders that differ from session to session.
pub(super) struct Places {
    names: Vec<(String, &'static str)>,
}

impl Places {
    /// Those of this session; `None` if a name could not be replaced in JSON and in an address
    /// without further thought.
    pub(super) fn of(template: &Template) -> Option<Self> {
        let session = PathBuf::from(std::env::var_os(CRATE)?);
        let names = [(session.as_path(), "{session}"), (&template.folder, "{template}")];
        let names = names.map(|(path, name)| Some((plain(path)?, name)));
        Some(Self { names: names.into_iter().collect::<Option<_>>()? })
    }

    /// Puts names in the place of the folders.
    pub(super) fn take_out(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (path, name)| text.replace(path, name))
    }

    fn put_in(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (path, name)| text.replace(name, path))
    }

    /// All that the answer depends on but the toolchain, to which the template belongs: the words, and the
    /// crate's manifest without the profiles.
    fn question(&self, tool: &str, arguments: &[OsString]) -> Option<String> {
        let mut question = tool.to_owned();
        for word in arguments {
            question.push('\0');
            question.push_str(&self.take_out(word.to_str()?));
        }
        let manifest =
            fs::read_to_string(PathBuf::from(std::env::var_os(CRATE)?).join("Cargo.toml"))
                .unwrap_or_default();
        let mut manifest: toml::Table = manifest.parse().ok()?;
        manifest.remove("profile");
        question.push('\0');
        question.push_str(&manifest.to_string());
        Some(question)
    }
}

/// A path in which no character has another form in JSON or in a `file://` address.
fn plain(path: &Path) -> Option<String> {
    let text = path.to_str()?;
    let fits = |c: char| c.is_ascii_alphanumeric() || "/_-.".contains(c);
    (path.is_absolute() && text.chars().all(fits)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_paths_are_replaced() {
        assert_eq!(plain(Path::new("/tmp/a-b_1.c")).as_deref(), Some("/tmp/a-b_1.c"));
        for path in ["relative", "/tmp/with space", "/tmp/quo\"te", "/tmp/ü"] {
            assert_eq!(plain(Path::new(path)), None);
        }
    }

    #[test]
    fn folders_are_named_and_put_back() {
        let places = Places { names: vec![("/a/crate".into(), "{session}")] };
        let kept = places.take_out("path+file:///a/crate#1");
        assert_eq!(kept, "path+file://{session}#1");
        assert_eq!(places.put_in(&kept), "path+file:///a/crate#1");
    }
}
