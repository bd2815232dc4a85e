"""`benchbook setup` with the real server: a session without a compiler is told the command, and works after it.

`environment/tests/test_package_setup.py` holds everything else about it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parents[2] / "environment/tests"))
from loopback import RustDistribution, Server


def test_without_a_compiler_setup_fetches_one_that_compiles_cells(
    kernels: Any, program: Path, template: Path, tmp_path: Path
) -> None:
    rustup = shutil.which("rustup")
    if rustup is None:
        pytest.skip("needs rustup, to have it install from a server of this machine")
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("cc", "ld", "as", "sh"):
        (tools / name).symlink_to(shutil.which(name) or "")
    libtorch = json.loads((template / "template.json").read_text())["chosen_libtorch"]
    environment = {
        "PATH": str(tools),
        "HOME": str(tmp_path / "home"),
        "RUSTUP_HOME": str(tmp_path / "home/.rustup"),
        "BENCHBOOK_CACHE": str(tmp_path / "cache"),
        "BENCHBOOK_SERVER": str(program),
        "LIBTORCH": libtorch,
    }
    cell = kernels(environment).run("1 + 1")
    assert cell.status == "error"
    assert "cells are compiled by rustc 1." in cell.evalue and "benchbook setup`" in cell.evalue, cell.problem

    Path(tools, "rustup").symlink_to(Path(rustup).resolve())
    try:
        with Server(tmp_path) as server:
            RustDistribution(tmp_path)
            ran = subprocess.run(
                [sys.executable, "-m", "benchbook", "setup", "--yes"],
                env={**os.environ, **environment, "RUSTUP_DIST_SERVER": server.url},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
        assert ran.returncode == 0, ran.stdout
        rustc = tmp_path / "cache/rust/rustup/toolchains"
        assert f"({rustc}/" in ran.stdout.splitlines()[-1] and f"libtorch 2.11.0 ({libtorch})" in ran.stdout
        (tools / "rustup").unlink()
        assert kernels(environment).run("let v = vec![1, 2]; v.len()").result["text/plain"] == "2"
    finally:
        shutil.rmtree(tmp_path / "dist")
        shutil.rmtree(tmp_path / "cache")
