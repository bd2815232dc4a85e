"""What the kernel and `benchbook doctor` say when something is missing, wrong or has changed.

No test compiles anything or changes the installation: each makes a copy of what it spoils. A copied
template holds links to the real one's folders and a `template.json` of its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from jupyter_client.kernelspec import KernelSpecManager

from conftest import Manifest
from driver import NAME, Cell, Kernel


@pytest.fixture
def first_cell(kernels: Any, prefix: Callable[[Path], Path]) -> Callable[..., Cell]:
    """Runs one cell in a kernel with this template and environment."""

    def run(template: Path, environment: dict[str, str] | None = None) -> Cell:
        specs = prefix(template) / "share/jupyter/kernels"
        kernel: Kernel = kernels(environment, specs)
        return kernel.run("1 + 1")

    return run


def doctor(
    program: Path, prefix: Path, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, "doctor", "--prefix", prefix],
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )


def assert_refused(cell: Cell, *words: str) -> None:
    """The cell fails with a sentence in which all `words` occur, and not with a linker's."""
    assert cell.status == "error", cell.problem
    assert cell.ename == "KernelNotReady", cell.problem
    for word in words:
        assert word in cell.evalue, cell.problem
    assert "linking" not in cell.evalue


def unchanged(manifest: Manifest) -> None:
    """A copy that is as good as the original."""


def without_rust_source(folder: Path) -> Callable[[Manifest], None]:
    """A sysroot that has everything but the standard library's source."""

    def change(manifest: Manifest) -> None:
        real = Path(manifest["toolchain"]["sysroot"])
        (folder / "lib/rustlib").mkdir(parents=True)
        for entry in (real / "lib").iterdir():
            if entry.name != "rustlib":
                (folder / "lib" / entry.name).symlink_to(entry)
        for entry in (real / "lib/rustlib").iterdir():
            if entry.name != "src":
                (folder / "lib/rustlib" / entry.name).symlink_to(entry)
        manifest["toolchain"]["sysroot"] = str(folder)

    return change


def libtorch(folder: Path, version: str | None) -> dict[str, str]:
    """An environment that names a libtorch: without a version an empty folder."""
    (folder / "lib").mkdir(parents=True)
    if version is not None:
        (folder / "lib/libtorch_cpu.so").touch()
        (folder / "build-version").write_text(f"{version}\n")
    return {"LIBTORCH": str(folder)}


def test_a_copied_template_works(first_cell, spoil) -> None:
    cell = first_cell(spoil(unchanged))
    assert cell.status == "ok", cell.problem
    assert cell.result["text/plain"] == "2"


def test_a_hidden_rust_source_is_told_with_the_fix(first_cell, spoil, tmp_path: Path) -> None:
    sysroot = tmp_path / "sysroot"
    cell = first_cell(spoil(without_rust_source(sysroot)))
    assert_refused(cell, "standard library", str(sysroot), "rustup component add rust-src")


def test_a_missing_libtorch_is_told_with_the_fix(
    first_cell, template: Path, tmp_path: Path
) -> None:
    cell = first_cell(template, libtorch(tmp_path / "torch", None))
    assert_refused(cell, "no libtorch", str(tmp_path / "torch"), "LIBTORCH", "environment/run")


def test_another_release_of_libtorch_is_told_with_both(
    first_cell, template: Path, tmp_path: Path
) -> None:
    cell = first_cell(template, libtorch(tmp_path / "torch", "2.9.0"))
    assert_refused(cell, "2.9.0", "2.11.0", str(tmp_path / "torch"), "environment/run")


def test_a_missing_template_is_told_with_the_fix(first_cell, tmp_path: Path) -> None:
    cell = first_cell(tmp_path / "nowhere")
    assert_refused(cell, str(tmp_path / "nowhere"), "never built", "environment/run")


def test_an_incomplete_template_is_told_with_the_fix(first_cell, spoil) -> None:
    folder = spoil(unchanged)
    (folder / "template.json").unlink()
    assert_refused(first_cell(folder), str(folder), "incomplete", "environment/run")


def test_an_unreadable_template_is_told_with_the_fix(first_cell, spoil) -> None:
    folder = spoil(unchanged)
    (folder / "template.json").write_text('{"format": 1, "toolchain"')
    assert_refused(first_cell(folder), "template.json", "environment/run")


def test_another_compiler_is_told_with_both(first_cell, spoil) -> None:
    def older(manifest: Manifest) -> None:
        manifest["toolchain"]["stamp"] = "another file"
        manifest["toolchain"]["version"] = "rustc 1.70.0 (old)\nhost: x86_64-unknown-linux-gnu"

    assert_refused(first_cell(spoil(older)), "rustc 1.70.0", "is now rustc", "environment/run")


def test_every_cell_says_why_and_the_kernel_ends_as_usual(kernels, prefix, tmp_path: Path) -> None:
    kernel = kernels(None, prefix(tmp_path / "nowhere") / "share/jupyter/kernels")
    for count in (1, 2):
        cell = kernel.run("1 + 1")
        assert_refused(cell, "never built")
        assert cell.reply["execution_count"] == count
    assert kernel.ask(kernel.client.is_complete("1 +"))["status"] == "incomplete"


@pytest.fixture
def checkout(tmp_path: Path, template: Path) -> tuple[Path, Manifest]:
    """A copy of the helper library's source, and a description of the template as made from it."""
    folder = tmp_path / "checkout"
    manifest = json.loads((template / "template.json").read_text())
    for name in manifest["sources"]:
        copy = folder / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(template / "source" / name, copy)
        manifest["sources"][name] = hashlib.sha256(copy.read_bytes()).hexdigest()
    manifest["checkout"] = str(folder)
    return folder, manifest


def edit(checkout: Path) -> None:
    with (checkout / "kernel/helper/src/lib.rs").open("a") as file:
        file.write("\n// edited\n")


def test_a_changed_helper_source_is_noted_once_and_cells_run(
    kernels, prefix, spoil, checkout
) -> None:
    folder, manifest = checkout
    edit(folder)
    copy = spoil(lambda description: description.update(manifest))
    kernel = kernels(None, prefix(copy) / "share/jupyter/kernels")
    first, second = kernel.good("1 + 1"), kernel.good("2 + 2")
    assert "kernel/helper/src/lib.rs changed" in first.stderr, first.events
    assert "environment/run" in first.stderr
    assert first.result["text/plain"] == "2"
    assert second.stderr == ""


def test_an_unchanged_source_is_not_mentioned(first_cell, spoil, checkout) -> None:
    _, manifest = checkout
    cell = first_cell(spoil(lambda description: description.update(manifest)))
    assert cell.status == "ok", cell.problem
    assert cell.stderr == ""


def test_an_installation_that_finds_its_template_prepares_the_target_folder_too(
    program, template, spoil, tmp_path: Path
) -> None:
    """A fresh clone beside a full cache builds nothing, yet its tests compile against libtorch."""
    templates = tmp_path / "cache/templates"
    templates.mkdir(parents=True)
    manifest = json.loads((template / "template.json").read_text())
    (templates / template.name).symlink_to(spoil(unchanged))
    arguments = {
        "--source": manifest["checkout"],
        "--libtorch": manifest["libtorch"]["folder"],
        "--prefix": tmp_path / "prefix",
        "--target-dir": tmp_path / "target",
    }
    installed = subprocess.run(
        [program, "install", *(str(word) for pair in arguments.items() for word in pair)],
        env={**os.environ, "BENCHBOOK_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert installed.returncode == 0, installed.stderr
    assert "Compiling" not in installed.stderr
    assert (tmp_path / "target/libtorch/include/torch/csrc/api/include/torch/torch.h").is_file()
    assert (tmp_path / "target/libtorch/lib/libtorch_cpu.so").is_file()


def test_doctor_is_content_with_an_installation_that_works(program, template, prefix) -> None:
    report = doctor(program, prefix(template))
    assert report.returncode == 0, report.stdout + report.stderr
    for part in ("rustc", "rust-src", "linker", "libtorch", "kernelspec", "template"):
        assert any(line.split()[:2] == ["ok", part] for line in report.stdout.splitlines()), (
            report.stdout
        )
    assert report.stdout.rstrip().endswith("the kernel can run")


def assert_doctor_fails(report: subprocess.CompletedProcess[str], part: str, *words: str) -> None:
    assert report.returncode != 0, report.stdout
    bad = [line for line in report.stdout.splitlines() if line.split()[:2] == ["MISSING", part]]
    assert len(bad) == 1, report.stdout
    for word in words:
        assert word in report.stdout, report.stdout
    assert report.stdout.rstrip().endswith("the kernel cannot run")


def test_the_kernelspec_has_the_logos_that_front_ends_show() -> None:
    folder = Path(KernelSpecManager().get_kernel_spec(NAME).resource_dir)
    for side in (32, 64):
        png = (folder / f"logo-{side}x{side}.png").read_bytes()
        # The signature, then the chunk with width and height.
        assert png.startswith(b"\x89PNG\r\n\x1a\n")
        assert struct.unpack(">II", png[16:24]) == (side, side)
    assert ElementTree.parse(folder / "logo-svg.svg").getroot().tag == "{http://www.w3.org/2000/svg}svg"


def test_doctor_finds_no_kernelspec(program, tmp_path: Path) -> None:
    assert_doctor_fails(doctor(program, tmp_path), "kernelspec", "environment/run")


def test_doctor_finds_no_template(program, prefix, tmp_path: Path) -> None:
    report = doctor(program, prefix(tmp_path / "nowhere"))
    assert_doctor_fails(report, "template", str(tmp_path / "nowhere"), "environment/run")


def test_doctor_finds_an_incomplete_template(program, prefix, spoil) -> None:
    folder = spoil(unchanged)
    (folder / "template.json").unlink()
    assert_doctor_fails(
        doctor(program, prefix(folder)), "template", "incomplete", "environment/run"
    )


@pytest.mark.parametrize(
    ("version", "words"), [(None, ["no libtorch"]), ("2.9.0", ["2.9.0", "2.11.0"])]
)
def test_doctor_finds_no_libtorch_that_fits(
    program, prefix, template, tmp_path: Path, version, words
) -> None:
    environment = libtorch(tmp_path / "torch", version)
    report = doctor(program, prefix(template), environment)
    assert_doctor_fails(report, "libtorch", "LIBTORCH", "environment/run", *words)


def test_doctor_finds_that_the_rust_source_is_hidden(
    program, prefix, spoil, tmp_path: Path
) -> None:
    report = doctor(program, prefix(spoil(without_rust_source(tmp_path / "sysroot"))))
    assert_doctor_fails(report, "template", "rustup component add rust-src")


def test_doctor_finds_no_linker_and_no_compiler(program, prefix, template, tmp_path: Path) -> None:
    report = doctor(program, prefix(template), {"PATH": str(tmp_path)})
    assert_doctor_fails(report, "linker", "build-essential")
    assert_doctor_fails(report, "rustc", "rustup.rs")


def test_doctor_names_changed_sources_and_is_content(program, prefix, spoil, checkout) -> None:
    folder, manifest = checkout
    edit(folder)
    report = doctor(program, prefix(spoil(lambda description: description.update(manifest))))
    assert report.returncode == 0, report.stdout
    assert "kernel/helper/src/lib.rs" in report.stdout


def test_types_are_inferred_without_a_network(kernels: Any, tmp_path: Path) -> None:
    """The standard library's own dependencies are not asked for on the network.

    The type of a `HashMap` depends on one of them. An empty CARGO_HOME has none of them, and cargo
    is told not to look for them elsewhere.
    """
    environment = {"CARGO_HOME": str(tmp_path), "CARGO_NET_OFFLINE": "true"}
    kernel = kernels({**os.environ, **environment})
    cell = kernel.run("let m = std::collections::HashMap::from([(1, 2)]); m.len()")
    assert cell.status == "ok", cell.problem
    assert cell.result["text/plain"] == "1"
