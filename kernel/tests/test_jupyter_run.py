"""`jupyter run`: a file of Rust from the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from driver import NAME, PATIENCE, Kernel

# The command gives every file 10 s, which a busy machine may need to compile the first cell; all else
# is as it is.
RUN = f"import jupyter_client.runapp as app; app.OUTPUT_TIMEOUT = {PATIENCE}; app.main()"


def run(*arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", RUN, *arguments],
        input=text or "",
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "script.rs"
    path.write_text(
        "use std::collections::BTreeMap;\n\n"
        "/// Doubles.\nfn double(x: i32) -> i32 {\n    2 * x\n}\n\n"
        "let mut counts = BTreeMap::new();\n"
        'for word in "a b a".split(\' \') {\n    *counts.entry(word).or_insert(0) += 1;\n}\n'
        'println!("{counts:?}");\neprintln!("to stderr");\ndouble(21)\n'
    )
    return path


def test_a_file_is_run(private_folders: None, script: Path) -> None:
    ran = run("--kernel", NAME, str(script))
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == ['{"a": 2, "b": 1}', "42"]
    assert ran.stderr.endswith("to stderr\n")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ('println!("before");\npanic!("on purpose");', "on purpose"),
        ("let number: i32 = missing;", "missing"),
        ('let number: i32 = "x".parse()?;', "ParseIntError"),
        ("std::process::exit(3);", "WorkerDied"),
    ],
    ids=["panic", "compile error", "question mark", "exit"],
)
def test_a_failure_is_the_exit_status(
    kernel: Kernel, tmp_path: Path, code: str, words: str
) -> None:
    path = tmp_path / "failing.rs"
    path.write_text(code)
    ran = run("--existing", kernel.manager.connection_file, str(path))
    assert ran.returncode == 1, ran.stderr
    assert words in ran.stdout + ran.stderr
    assert ("before" in ran.stdout.splitlines()) == ("before" in code)


def test_several_files_share_a_session(kernel: Kernel, tmp_path: Path) -> None:
    paths = [tmp_path / "first.rs", tmp_path / "second.rs"]
    paths[0].write_text("let shared = 40;")
    paths[1].write_text("shared + 2")
    ran = run("--existing", kernel.manager.connection_file, *map(str, paths))
    assert (ran.returncode, ran.stdout.strip()) == (0, "42"), ran.stderr


def test_code_can_come_by_a_pipe(kernel: Kernel) -> None:
    ran = run("--existing", kernel.manager.connection_file, text="6 * 7")
    assert (ran.returncode, ran.stdout.strip()) == (0, "42"), ran.stderr
