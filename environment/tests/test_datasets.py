"""datasets/kaggle around its importer: what it downloads, what it passes on. A stand-in prints the importer's arguments."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "datasets/kaggle"


@pytest.fixture
def checkout(tmp_path):
    """A folder with the script and a cargo that builds the stand-in."""
    (tmp_path / "datasets").mkdir()
    shutil.copy(SCRIPT, tmp_path / "datasets/kaggle")
    tool(tmp_path, "importer", 'printf "%s\\n" "$@"')
    tool(tmp_path, "cargo", f"""echo '{{"executable":"{tmp_path}/tools/importer"}}'""")
    return tmp_path


def tool(folder, name, script):
    path = folder / "tools" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/bash\n{script}\n")
    path.chmod(0o755)


def run(checkout, *arguments):
    environment = {"PATH": f"{checkout}/tools:/usr/bin:/bin", "HOME": str(checkout)}
    return subprocess.run([checkout / "datasets/kaggle", *arguments], capture_output=True, text=True, env=environment, cwd=checkout)


def test_an_archive_that_is_there_is_imported_without_the_client(checkout):
    ran = run(checkout, "--zip", "mine.zip", "--out=photos", "--seed", "3")
    assert ran.stdout.split() == ["--zip", "mine.zip", "--out=photos", "--seed", "3"], ran.stderr


def test_the_client_downloads_what_is_not_there(checkout):
    tool(checkout, "kaggle", 'echo "$*" >>"$HOME/said"; while [[ $1 != -p ]]; do shift; done; echo zip >"$2/dogs-vs-cats.zip"')
    datasets = checkout / "datasets"
    ran = run(checkout)
    assert ran.stdout.split() == ["--zip", f"{datasets}/dogs-vs-cats.zip", "--out", f"{datasets}/photos"], ran.stderr
    assert (checkout / "said").read_text() == f"competitions download -c dogs-vs-cats -p {datasets}/.download\n"
    assert (datasets / "dogs-vs-cats.zip").read_text() == "zip\n"
    run(checkout)
    assert len((checkout / "said").read_text().splitlines()) == 1, "a second run downloads nothing"


def test_half_a_download_is_never_imported(checkout):
    tool(checkout, "kaggle", 'while [[ $1 != -p ]]; do shift; done; echo half >"$2/dogs-vs-cats.zip"; exit 1')
    ran = run(checkout)
    assert ran.returncode == 1 and ran.stdout == ""
    assert "Accept its rules once" in ran.stderr
    assert not (checkout / "datasets/dogs-vs-cats.zip").exists()
    tool(checkout, "kaggle", 'while [[ $1 != -p ]]; do shift; done; cat "$2/dogs-vs-cats.zip" >&2; echo whole >"$2/dogs-vs-cats.zip"')
    ran = run(checkout)
    assert "half" in ran.stderr, "the client finds what it had"
    assert (checkout / "datasets/dogs-vs-cats.zip").read_text() == "whole\n"


@pytest.mark.skipif(os.path.exists("/usr/bin/kaggle"), reason="the system has a kaggle client")
def test_without_archive_and_client_it_says_what_to_do(checkout):
    ran = run(checkout)
    assert ran.returncode == 1
    assert "--zip" in ran.stderr and "pip install kaggle" in ran.stderr
