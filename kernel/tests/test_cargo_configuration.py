"""The user's cargo configuration changes neither cells nor the crates of `:dep`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

# A setting that would break a build or make crates that no cell can use, each by its own.
VARIABLES = {
    "CARGO": "/nowhere/cargo",
    "CARGO_BUILD_BUILD_DIR": "/proc/nowhere",
    "CARGO_BUILD_RUSTC": "/nowhere/rustc",
    "CARGO_BUILD_RUSTFLAGS": "-Cpanic=abort",
    "CARGO_BUILD_TARGET": "wasm32-unknown-unknown",
    "CARGO_ENCODED_RUSTFLAGS": "--cfg\x1fgauge_off\x1f-Cpanic=abort",
    "CARGO_INCREMENTAL": "0",
    "CARGO_PROFILE_DEV_LTO": "fat",
    "CARGO_PROFILE_DEV_PANIC": "abort",
    "CARGO_PROFILE_DEV_STRIP": "symbols",
    "CARGO_PROFILE_RELEASE_PANIC": "abort",
    "CARGO_TARGET_DIR": "/proc/nowhere",
    "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER": "/nowhere/linker",
    "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS": "-Clinker=/nowhere/linker",
    "CARGO_TERM_COLOR": "always",
    "CARGO_TERM_QUIET": "true",
    "RUSTC": "/nowhere/rustc",
    "RUSTC_WORKSPACE_WRAPPER": "/nowhere/wrapper",
    "RUSTC_WRAPPER": "/nowhere/wrapper",
    "RUSTFLAGS": "--cfg gauge_off -Clinker=/nowhere/linker",
}

CONFIGURATION = """
[build]
target = "wasm32-unknown-unknown"
target-dir = "/proc/nowhere"
build-dir = "/proc/nowhere"
rustc = "/nowhere/rustc"
rustc-wrapper = "/nowhere/wrapper"
rustc-workspace-wrapper = "/nowhere/wrapper"
rustflags = ["--cfg", "gauge_off", "-Cpanic=abort"]
incremental = false

[target.x86_64-unknown-linux-gnu]
linker = "/nowhere/linker"
rustflags = ["-Clinker=/nowhere/linker"]

[profile.dev]
panic = "abort"
lto = "fat"
strip = "symbols"
opt-level = "z"
codegen-units = 1

[profile.release]
panic = "abort"

[term]
quiet = true
color = "always"
"""


@pytest.fixture
def crate(tmp_path: Path) -> Path:
    """A crate with a build script, a static, and a function that shows whether the user's flags were passed."""
    folder = tmp_path / "gauge"
    (folder / "src").mkdir(parents=True)
    (folder / "Cargo.toml").write_text(
        '[package]\nname = "gauge"\nversion = "0.1.0"\nedition = "2024"\n'
    )
    (folder / "build.rs").write_text('fn main() { println!("cargo:rustc-env=GAUGE_BUILT=yes"); }\n')
    (folder / "src/lib.rs").write_text(
        "#![allow(unexpected_cfgs)]\n"
        "use std::sync::atomic::{AtomicU32, Ordering};\n"
        "static READ: AtomicU32 = AtomicU32::new(6);\n"
        "#[derive(Debug)]\npub struct Reading(pub u32);\n"
        "pub fn read() -> Reading {\n"
        '    assert!(!cfg!(gauge_off) && cfg!(panic = "unwind"));\n'
        '    assert_eq!(env!("GAUGE_BUILT"), "yes");\n'
        "    Reading(1 + READ.fetch_add(1, Ordering::SeqCst))\n}\n"
    )
    return folder


def assert_whole(kernel: Any, crate: Path) -> None:
    """Cells, types and crates work."""
    assert kernel.value("6 * 7") == "42"
    kernel.good("let numbers = vec![1.5, 2.5];")
    kernel.good("let sum = numbers.iter().sum::<f64>();")
    assert kernel.value("sum") == "4.0"
    assert kernel.run('panic!("caught")').ename == "Panic"
    kernel.good(f':dep gauge = {{ path = "{crate}" }}')
    kernel.good("let first = gauge::read();")
    assert kernel.value("(first, gauge::read())") == "(Reading(7), Reading(8))"
    kernel.good(":opt 2")
    assert kernel.value("gauge::read()") == "Reading(9)"


def test_environment_variables(kernels: Any, crate: Path) -> None:
    kernel = kernels(VARIABLES)
    assert_whole(kernel, crate)
    assert kernel.value('std::env::var("RUSTC_WRAPPER")?') == '"/nowhere/wrapper"', "cells see the user's variables"
    assert kernel.value('std::env::var("CARGO")?') == '"/nowhere/cargo"'


@pytest.mark.parametrize("name", ["config.toml", "config"])
def test_a_file_in_cargo_home(kernels: Any, crate: Path, tmp_path: Path, name: str) -> None:
    home = tmp_path / "cargo-home"
    home.mkdir()
    (home / name).write_text(CONFIGURATION)
    assert_whole(kernels({"CARGO_HOME": str(home)}), crate)


def test_a_file_above_the_folder_for_temporary_files_and_beside_the_notebook(
    kernels: Any, crate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "project/.cargo").mkdir(parents=True)
    (tmp_path / "project/.cargo/config.toml").write_text(CONFIGURATION)
    (tmp_path / "project/tmp").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    assert_whole(kernels({"TMPDIR": str(tmp_path / "project/tmp")}), crate)
