//! Links cells with rustc's own linker, without the C compiler.
//!
//! A cell is linked to few libraries, so the four processes from `cc` to the linker take longer than
//! the linking. The installation stores the folders in which `cc` would search. If a cell cannot be linked with
//! these, `cc` links it.

use crate::toolchain::Toolchain;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The object files that `cc` adds to a shared library, in this order.
const OBJECTS: [&str; 4] = ["crti.o", "crtbeginS.o", "crtendS.o", "crtn.o"];

/// Libraries whose folders hold all other libraries that a cell may need.
const LIBRARIES: [&str; 3] = ["libc.so", "libgcc_s.so", "libgcc_s.so.1"];

/// A linker and the arguments that `cc` would pass to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Linker {
    program: PathBuf,
    objects: Vec<PathBuf>,
    folders: Vec<PathBuf>,
}

impl Linker {
    /// The toolchain's `rust-lld`; `None` if the toolchain has none or `cc` does not report where
    /// its files are.
    pub fn find(toolchain: &Toolchain) -> Option<Self> {
        let program = toolchain.libraries().parent()?.join("bin/rust-lld");
        if !program.exists() {
            return None;
        }
        let objects = OBJECTS.into_iter().map(file).collect::<Option<Vec<PathBuf>>>()?;
        let mut folders: Vec<PathBuf> = Vec::new();
        for library in LIBRARIES {
            let folder = file(library)?.parent()?.to_owned();
            if !folders.contains(&folder) {
                folders.push(folder);
            }
        }
        Some(Self { program, objects, folders })
    }

    /// Whether all of its files still exist.
    pub fn exists(&self) -> bool {
        self.program.exists() && self.objects.iter().chain(&self.folders).all(|path| path.exists())
    }

    /// The compiler's arguments for this linker and the stubs of a folder.
    pub fn arguments(&self, stubs: &Path) -> Vec<OsString> {
        let mut words: Vec<OsString> = Vec::new();
        for (name, path) in [("linker", &self.program), ("linker-flavor", &"ld.lld".into())]
            .into_iter()
            .chain(self.objects.iter().map(|path| ("link-arg", path)))
        {
            words.extend(["-C".into(), assigned(name, path)]);
        }
        for folder in std::iter::once(stubs).chain(self.folders.iter().map(PathBuf::as_path)) {
            words.extend(["-L".into(), assigned("native", folder)]);
        }
        words
    }
}

fn assigned(name: &str, path: &Path) -> OsString {
    let mut word = OsString::from(format!("{name}="));
    word.push(path);
    word
}

/// The path of one of `cc`'s files; `cc` repeats the names of unknown files.
fn file(name: &str) -> Option<PathBuf> {
    let output = Command::new("cc").arg(format!("-print-file-name={name}")).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let path = Path::new(text.trim());
    if !path.is_absolute() {
        return None;
    }
    Some(path.parent()?.canonicalize().ok()?.join(path.file_name()?))
}
