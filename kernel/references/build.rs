//! Passes the library's version and its build (features, compiler, flags) to the program, which states them in records.

use std::process::Command;

fn main() {
    let library = match std::env::var("CARGO_PKG_NAME").as_deref() {
        Ok("benchbook-burn") => "burn",
        Ok("benchbook-candle") => "candle-core",
        other => panic!("{other:?} is no program of this workspace"),
    };
    let lock = std::fs::read_to_string("../Cargo.lock").expect("the workspace has a Cargo.lock");
    let entry =
        lock.split("[[package]]").find(|entry| entry.contains(&format!("name = \"{library}\"\n")));
    let version = entry.and_then(|entry| entry.split("version = \"").nth(1)?.split('"').next());
    println!(
        "cargo::rustc-env=BENCHBOOK_VERSION={}",
        version.expect("the library is in Cargo.lock")
    );
    let flags = std::env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default().replace('\x1f', " ");
    let compiler = std::env::var("RUSTC").expect("cargo sets RUSTC");
    let output = Command::new(compiler).arg("--version").output().expect("rustc runs");
    let compiler = String::from_utf8(output.stdout).expect("rustc's version is text");
    println!("cargo::rustc-env=BENCHBOOK_BUILD={}", format!("{} {flags}", compiler.trim()).trim());
    println!("cargo::rerun-if-changed=../Cargo.lock");
}
