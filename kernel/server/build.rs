//! Links the C++ library statically, which only libzmq needs: the program then runs wherever the C library is new enough.

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

const LIBRARY: &str = "libstdc++.a";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let compiler = env::var_os("CXX").unwrap_or_else(|| "c++".into());
    let output = Command::new(compiler).arg(format!("-print-file-name={LIBRARY}")).output();
    let found = output
        .ok()
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .map(|text| PathBuf::from(text.trim()))
        // The compiler repeats the name of a library that it does not have.
        .filter(|path| path.is_absolute() && path.exists());
    let Some(library) = found else {
        println!("cargo:warning=no {LIBRARY}: the program needs this machine's libstdc++.so");
        return;
    };
    // The linker takes a library from the first folder that has it in either form, and this one has no `.so`.
    let folder = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("static");
    fs::create_dir_all(&folder).expect("OUT_DIR can be written");
    let link = folder.join(LIBRARY);
    replace_link(&library, &link);
    println!("cargo:rustc-link-search=native={}", folder.display());
}

fn replace_link(target: &Path, link: &Path) {
    if link.symlink_metadata().is_ok() {
        fs::remove_file(link).expect("OUT_DIR can be written");
    }
    symlink(target, link).expect("OUT_DIR can be written");
}
