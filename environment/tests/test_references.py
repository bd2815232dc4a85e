"""environment/references: what it says before it does anything, and its lists of packages."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ENVIRONMENT = Path(__file__).parents[1]
PIN = re.compile(r"[a-z0-9-]+==[0-9][0-9a-z.]*")
LISTS = sorted(path.name for path in ENVIRONMENT.glob("references-*.txt") if path.name != "references-cuda.txt")


def references(*arguments, **variables):
    ran = subprocess.run(
        [ENVIRONMENT / "references", *arguments], capture_output=True, text=True, env={**os.environ, **variables}
    )
    return ran.returncode, ran.stdout + ran.stderr


def pins(name):
    lines = (ENVIRONMENT / name).read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_help_says_size_and_place():
    status, said = references("--help")
    assert status == 0
    assert "2.6 GB to download" in said and ".venv-references" in said
    for library in ("python-keras-jax", "python-theano", "python-mxnet", "python-pytorch@1.13"):
        (line,) = [line for line in said.splitlines() if line.split()[:1] == [library]]
        assert "MB to download" in line and "MB on disk" in line, line
    for library in ("burn", "candle"):
        (line,) = [line for line in said.splitlines() if line.split()[:1] == [library]]
        assert re.search(r"\d (min|s), ", line) and "MB to download" in line, line


def test_every_list_belongs_to_a_library_and_pins_each_package_once():
    script = (ENVIRONMENT / "references").read_text()
    assert len(LISTS) >= 4
    for name in LISTS:
        assert f" {name.removeprefix('references-').removesuffix('.txt')} " in script, name
        packages = [line.split("==")[0] for line in pins(name)]
        assert all(PIN.fullmatch(line) for line in pins(name)) and len(set(packages)) == len(packages), name


def test_the_libraries_are_those_of_studies():
    script = (ENVIRONMENT / "references").read_text()
    sources = ENVIRONMENT.parent / "kernel" / "study" / "src" / "references"
    libraries = re.findall(r'"(python-[a-z-]+)"', (sources / "list.rs").read_text())
    libraries += re.findall(r'\bexecutable\("([a-z]+)"', (sources / "rust.rs").read_text())
    assert {"python-theano", "burn", "candle"} <= set(libraries)
    for library in libraries:
        assert re.search(rf'[ "]{library} ', script), library


@pytest.mark.parametrize(("library", "version"), [("python-theano", "3.11"), ("python-pytorch@1.13", "3.10")])
def test_a_python_that_is_too_new_for_a_library_is_named(tmp_path, library, version):
    python = tmp_path / "python3"
    python.write_text(f"#!{shutil.which('sh')}\necho 3.12\n")
    python.chmod(0o755)
    status, said = references("--python", str(python), library)
    assert status == 1
    assert f"The packages of {library} need Python {version} to {version}" in said and "[1/" not in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--gpu"], "environment/references takes no --gpu"),
        (["torch"], "environment/references takes no torch"),
        (["--cpu", "--cuda"], "got both"),
        (["--python"], "--python needs a program"),
        (["--python", "no-such-python"], "no program no-such-python on PATH"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_made(arguments, words):
    status, said = references(*arguments)
    assert status == 1
    assert words in said
    assert "[1/" not in said, "a step has begun"


@pytest.mark.parametrize("version", ["3.10", "3.14"])
def test_a_python_without_the_pinned_packages_is_named_with_the_option(tmp_path, version):
    python = tmp_path / "python3"
    python.write_text(f"#!{shutil.which('sh')}\necho {version}\n")
    python.chmod(0o755)
    status, said = references("--python", str(python))
    assert status == 1
    assert f"is {version}" in said
    assert "environment/references --python PROGRAM" in said


@pytest.mark.parametrize(("given", "version", "made"), [("yes", "3.12", True), ("yes", "3.11", False), ("", "3.12", False)])
def test_an_environment_of_another_python_is_made_anew_for_a_given_one(tmp_path, given, version, made):
    script = (ENVIRONMENT / "references").read_text()
    names = ("version_of", "make_environment")
    functions = "\n".join(re.search(rf"^{name}\(\) \{{.*?\}}$", script, re.MULTILINE | re.DOTALL)[0] for name in names)
    (tmp_path / "old/bin").mkdir(parents=True)
    for path, number in ((tmp_path / "old/bin/python", "3.11"), (tmp_path / "python", version)):
        path.write_text(f'#!/bin/sh\n[ "$2" != venv ] || touch {tmp_path}/made\necho {number}\n')
        path.chmod(0o755)
    stubs = f"install_into() {{ :; }}; say() {{ :; }}; python_given={given}"
    command = f"{functions}\n{stubs}\nmake_environment {tmp_path}/old {tmp_path}/python"
    subprocess.run(["bash", "-c", command], check=True, cwd=ENVIRONMENT.parent)
    assert (tmp_path / "made").exists() == made


def test_every_package_is_pinned_once():
    lines = pins("references.txt") + pins("references-cuda.txt")
    # JAX shares their environment.
    lines += pins("references-jax.txt")
    assert all(PIN.fullmatch(line) for line in lines)
    names = [line.split("==")[0] for line in lines]
    assert sorted(set(names)) == sorted(names)


def test_the_pytorch_compared_with_is_of_the_release_that_benchbook_computes_with():
    ours = {line.split()[0] for line in pins("../kernel/python/benchbook/libtorch.txt")}
    # The wheels that libtorch is taken from, so that both sides run the same compiled library.
    assert ours <= set(pins("references.txt"))
