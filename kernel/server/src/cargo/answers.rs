//! The tools' answers to the queries of a starting session.
//!
//! evcxr and rust-analyzer query rustc and cargo about ten times (sysroot, target, configuration,
//! the crate without dependencies) before the first cell, one query after the other. The answers depend only on the
//! toolchain and the query, so `benchbook install` starts a session once
//! (`record.rs`) and stores them in the template. A query that differs in any argument
//! goes to the real tool. The folders of the session, the template and the toolchain may differ later, so
//! the answers contain `{session}`, `{template}` and `{toolchain}`, and `{session-url}` and so on in addresses.

use super::{CRATE, configuration, log, restore_environment};
use crate::template::{Installation, hex};
use anyhow::Context;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Set while answers are being recorded.
pub const RECORDING: &str = "BENCHBOOK_RECORDING";

/// The template's folder of recorded answers.
const FOLDER: &str = "answers";

/// The output of a tool.
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
    /// Prints the recorded output and returns the recorded exit status.
    pub(super) fn repeat(&self) -> anyhow::Result<ExitCode> {
        // The reader may be gone, for example when the kernel is interrupted; that is no error.
        let _ = std::io::stderr().write_all(self.stderr.as_bytes());
        let _ = std::io::stdout().write_all(self.stdout.as_bytes());
        Ok(ExitCode::from(self.status))
    }
}

/// The recorded answer, if the same request was recorded at installation.
pub(super) fn recorded(here: &Installation, tool: &str, arguments: &[OsString]) -> Option<Answer> {
    let places = Places::of(here)?;
    let path = path(here, &places.question(tool, arguments)?);
    let answer: Answer = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    Some(Answer {
        status: answer.status,
        stdout: places.put_in(&answer.stdout),
        stderr: places.put_in(&answer.stderr),
    })
}

/// Runs the real tool; records its answer while recording.
pub(super) fn ask(
    here: &Installation,
    tool: &str,
    arguments: &[OsString],
) -> anyhow::Result<Answer> {
    let question = Places::of(here).and_then(|places| places.question(tool, arguments));
    let output = real(here, tool).args(arguments).output().with_context(|| tool.to_owned())?;
    let answer = Answer {
        status: output.status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(101),
        stdout: String::from_utf8(output.stdout)?,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    };
    match (question, Places::of(here)) {
        (Some(question), Some(places)) if is_recording() => {
            let kept = Answer {
                status: answer.status,
                stdout: places.take_out(&answer.stdout),
                stderr: places.take_out(&answer.stderr),
            };
            keep(&path(here, &question), &serde_json::to_vec(&kept)?)?;
        }
        _ => log(&format!("asked the real {tool}: {arguments:?}")),
    }
    Ok(answer)
}

/// Whether answers are being recorded.
pub(super) fn is_recording() -> bool {
    std::env::var_os(RECORDING).is_some()
}

/// Writes a file atomically, so that other sessions never see a part of it.
pub(super) fn keep(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let folder = path.parent().context("a note has a folder")?;
    fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(content)?;
    file.persist(path)?;
    Ok(())
}

fn path(here: &Installation, question: &str) -> PathBuf {
    let name = &hex(Sha256::digest(question))[..32];
    here.template.folder.join(FOLDER).join(name).with_extension("json")
}

/// The real tool, in the user's environment.
pub(super) fn real(here: &Installation, tool: &str) -> Command {
    let toolchain = &here.tools.toolchain;
    let mut command =
        Command::new(if tool == "rustc" { &toolchain.rustc } else { &toolchain.cargo });
    restore_environment(&mut command);
    configuration::keep_out(&mut command, toolchain, &[]);
    command.envs(configuration::PLAIN);
    // rust-analyzer requests a target's specification by an unstable option.
    if let Some(allowed) = std::env::var_os("RUSTC_BOOTSTRAP").filter(|_| tool == "rustc") {
        command.env("RUSTC_BOOTSTRAP", allowed);
    }
    command
}

/// Folders that differ between sessions and machines.
pub(super) struct Places {
    /// Pairs of a folder and its placeholder.
    names: Vec<(String, &'static str)>,
}

impl Places {
    /// The folders of this session; `None` if a folder's name is escaped in JSON.
    pub(super) fn of(here: &Installation) -> Option<Self> {
        let session = PathBuf::from(std::env::var_os(CRATE)?);
        Self::new([
            (&session, "{session-url}", "{session}"),
            (&here.template.folder, "{template-url}", "{template}"),
            (&here.tools.toolchain.sysroot, "{toolchain-url}", "{toolchain}"),
        ])
    }

    fn new<const N: usize>(folders: [(&PathBuf, &'static str, &'static str); N]) -> Option<Self> {
        let mut names = Vec::new();
        // Addresses first: where no character is encoded, they contain the plain path.
        for (path, address, _) in &folders {
            names.push((format!("file://{}", address_of(path)?), *address));
        }
        for (path, _, name) in &folders {
            names.push((path.to_str()?.to_owned(), *name));
        }
        Some(Self { names })
    }

    /// Replaces the folders by placeholders.
    pub(super) fn take_out(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (path, name)| text.replace(path, name))
    }

    fn put_in(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (path, name)| text.replace(name, path))
    }

    /// Everything that the answer depends on, apart from the toolchain, to which the template is
    /// tied: the arguments, and the crate's manifest without profiles.
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

/// A path as it appears in a `file://` address; `None` if JSON escapes one of its characters or
/// cargo's encoding of a character is unknown.
fn address_of(path: &Path) -> Option<String> {
    let text = path.to_str().filter(|_| path.is_absolute())?;
    let mut address = String::new();
    for c in text.chars() {
        match c {
            c if c.is_ascii_alphanumeric() || "/_-.~+,=@'()!$&*;:".contains(c) => address.push(c),
            ' ' => address.push_str("%20"),
            c if !c.is_ascii() && !c.is_control() => {
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    address.push_str(&format!("%{byte:02X}"));
                }
            }
            _ => return None,
        }
    }
    Some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_and_letters_are_encoded_in_addresses() {
        assert_eq!(address_of(Path::new("/tmp/a-b_1.c")).as_deref(), Some("/tmp/a-b_1.c"));
        assert_eq!(address_of(Path::new("/tmp/ü's b")).as_deref(), Some("/tmp/%C3%BC's%20b"));
        for path in ["relative", "/tmp/quo\"te", "/tmp/100%"] {
            assert_eq!(address_of(Path::new(path)), None);
        }
    }

    #[test]
    fn folders_are_named_and_put_back_also_where_they_lie_elsewhere() {
        let places = |path: &str| {
            Places::new([(&PathBuf::from(path), "{session-url}", "{session}")]).unwrap()
        };
        let kept = places("/a/crate").take_out("path+file:///a/crate#1 in /a/crate");
        assert_eq!(kept, "path+{session-url}#1 in {session}");
        let text = places("/ü b/crate").put_in(&kept);
        assert_eq!(text, "path+file:///%C3%BC%20b/crate#1 in /ü b/crate");
    }
}
