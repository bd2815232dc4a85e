"""The loader's transforms give on real photos what torchvision's and Keras' give.

`environment/originals/transforms.py` compares, and holds the tolerance of each. Needs `.venv-references`, which
`environment/references` makes, and BENCHBOOK_DATA for the photos.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PYTHON = Path(os.environ.get("BENCHBOOK_REFERENCES") or REPOSITORY / ".venv-references") / "bin" / "python"
PROGRAM = REPOSITORY / "environment" / "originals" / "transforms.py"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or REPOSITORY / "target")


def test_every_transform_agrees_with_its_original() -> None:
    if not PYTHON.exists():
        pytest.skip(f"there is no {PYTHON}: environment/references installs torchvision and Keras")
    data = os.environ.get("BENCHBOOK_DATA")
    if not data:
        pytest.skip("BENCHBOOK_DATA does not name a folder of photos")
    # With the packages of `check_libraries` in environment/checks.sh, so that what its build compiled is used again.
    others = [f"--exclude=benchbook{name}" for name in ("", "-kernel", "-libtorch", "-worker")]
    build = ["cargo", "build", "--release", "--locked", "--workspace", *others, "--example", "pixels"]
    subprocess.run(build, cwd=REPOSITORY, check=True)
    ours = TARGET / "release" / "examples" / "pixels"
    photos = Path(data, "train", "cat")
    ran = subprocess.run([PYTHON, PROGRAM, ours, photos], capture_output=True, text=True, check=False)
    print(ran.stdout)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.count("ok: ") == 38
