//! Keeps the user's cargo configuration out of Benchbook's builds.
//!
//! cargo takes settings from environment variables and from `config.toml` in `CARGO_HOME` and in every folder above
//! the current one. A target, flags, a wrapper or a profile for a project of the user would compile
//! crates that no cell can use. A setting from a file cannot be removed, but an environment variable overrides it.
//! Settings for the origin of crates (sources, registries, proxies) stay in effect.

use crate::toolchain::Toolchain;
use std::ffi::OsStr;
use std::process::Command;

/// The profile of the user's crates. [`profile`] sets every key, so that no other profile matters.
pub(super) const PROFILE: &str = "cells";

/// Prefixes of cargo variables that are kept.
const KEPT: [&str; 10] = [
    "CARGO_BUILD_JOBS",
    "CARGO_CACHE_",
    "CARGO_HOME",
    "CARGO_HTTP_",
    "CARGO_LOG",
    "CARGO_NET_",
    "CARGO_REGISTRIES_",
    "CARGO_REGISTRY_",
    "CARGO_RESOLVER_",
    "CARGO_SOURCE_",
];

/// Other variables that choose or change the compiler.
const COMPILER: [&str; 8] = [
    "CARGO",
    "RUSTC",
    "RUSTC_BOOTSTRAP",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "RUSTDOC",
    "RUSTDOCFLAGS",
    "RUSTFLAGS",
];

/// Makes a cargo command compile for this machine with the toolchain's compiler and only these flags.
pub(crate) fn keep_out(command: &mut Command, toolchain: &Toolchain, flags: &[&str]) {
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_removed(name)) {
        command.env_remove(name);
    }
    for name in COMPILER {
        command.env_remove(name);
    }
    command
        .env("RUSTC", &toolchain.rustc)
        .env("RUSTC_WRAPPER", "")
        .env("RUSTC_WORKSPACE_WRAPPER", "")
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .env("CARGO_BUILD_TARGET", toolchain.host());
}

/// Variables that make cargo's output readable for the stand-in.
pub(super) const PLAIN: [(&str, &str); 4] = [
    ("CARGO_TERM_COLOR", "never"),
    ("CARGO_TERM_PROGRESS_WHEN", "never"),
    ("CARGO_TERM_QUIET", "false"),
    ("CARGO_TERM_VERBOSE", "false"),
];

/// The variable that sets the linker, with the value that links cells.
pub(super) fn linker(toolchain: &Toolchain) -> (String, &'static str) {
    let target = toolchain.host().to_uppercase().replace(['-', '.'], "_");
    (format!("CARGO_TARGET_{target}_LINKER"), "cc")
}

fn is_removed(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    name.starts_with("CARGO_") && !KEPT.iter().any(|kept| name.starts_with(kept))
}

/// The profiles of the manifest with the user's crates.
pub(super) fn profile() -> toml::Table {
    let text = r#"
        [cells]
        inherits = "dev"
        opt-level = 2
        debug = false
        split-debuginfo = "off"
        strip = "none"
        debug-assertions = true
        overflow-checks = true
        lto = "off"
        panic = "unwind"
        incremental = true
        codegen-units = 16
        rpath = false
    "#;
    text.parse().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_that_change_a_build_go_and_those_that_find_crates_stay() {
        for name in [
            "CARGO_BUILD_TARGET",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_PROFILE_DEV_PANIC",
            "CARGO_TARGET_DIR",
            "CARGO_INCREMENTAL",
        ] {
            assert!(is_removed(OsStr::new(name)), "{name}");
        }
        for name in ["CARGO_HOME", "CARGO_NET_OFFLINE", "CARGO_HTTP_PROXY", "PATH", "RUSTUP_HOME"] {
            assert!(!is_removed(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn the_profile_has_its_name() {
        assert!(profile().get(PROFILE).is_some());
    }
}
