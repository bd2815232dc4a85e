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

    def run(template: Path, environment: dict[str, str] | None = None, code: str = "1 + 1") -> Cell:
        specs = prefix(template) / "share/jupyter/kernels"
        kernel: Kernel = kernels(environment, specs)
        return kernel.run(code)

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


def sysroot() -> Path:
    """The folder of the toolchain that is tested."""
    command = ["rustc", "--print", "sysroot"]
    output = subprocess.run(command, capture_output=True, text=True, check=True)
    return Path(output.stdout.strip())


def other_rustc(folder: Path, *lines: str) -> dict[str, str]:
    """An environment that names a compiler: the real one, but for what the lines of shell answer first."""
    folder.mkdir()
    script = folder / "rustc"
    text = ["#!/bin/sh", *lines, f'exec "{sysroot()}/bin/rustc" "$@"', ""]
    script.write_text("\n".join(text))
    script.chmod(0o755)
    return {"BENCHBOOK_RUSTC": str(script)}


def without_rust(folder: Path, rustc: str | None = None) -> dict[str, str]:
    """An environment in which no toolchain is found, or only one of another version; with a linker."""
    tools = folder / "tools"
    tools.mkdir(parents=True)
    for name in ("cc", "sh", "ld", "as"):
        (tools / name).symlink_to(shutil.which(name) or "")
    if rustc is not None:
        (tools / "rustc").write_text(rustc)
        (tools / "rustc").chmod(0o755)
        (tools / "cargo").symlink_to("/bin/true")
    nowhere = {name: str(folder / "home") for name in ("HOME", "RUSTUP_HOME", "CARGO_HOME")}
    # A cache of its own, since another may remember where a compiler was.
    return {**nowhere, "PATH": str(tools), "BENCHBOOK_CACHE": str(folder / "cache")}


def small_crate(folder: Path) -> str:
    """Makes a crate; the cell that asks for it."""
    crate = folder / "small"
    (crate / "src").mkdir(parents=True)
    (crate / "src/lib.rs").touch()
    (crate / "Cargo.toml").write_text('[package]\nname = "small"\nversion = "0.1.0"\nedition = "2024"\n')
    return f':dep small = {{ path = "{crate}" }}'


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


def test_cells_are_typed_without_the_toolchain_having_the_rust_source(
    first_cell, template: Path, tmp_path: Path
) -> None:
    """The template has its own copy; a minimal toolchain of rustup's has none."""
    rustlib = tmp_path / "sysroot/lib/rustlib"
    rustlib.mkdir(parents=True)
    for entry in (sysroot() / "lib/rustlib").iterdir():
        if entry.name != "src":
            (rustlib / entry.name).symlink_to(entry)
    hidden = f'[ "$*" = "--print sysroot" ] && echo "{tmp_path}/sysroot" && exit'
    environment = other_rustc(tmp_path / "other", hidden)
    cell = first_cell(template, environment, "let v = vec![1, 2]; v.len()")
    assert cell.status == "ok", cell.problem
    assert cell.result["text/plain"] == "2"


def test_a_missing_libtorch_is_told_with_the_fix(
    first_cell, template: Path, tmp_path: Path
) -> None:
    cell = first_cell(template, libtorch(tmp_path / "torch", None))
    assert_refused(cell, "no libtorch", str(tmp_path / "torch"), "LIBTORCH")


def test_another_release_of_libtorch_is_told_with_both(
    first_cell, template: Path, tmp_path: Path
) -> None:
    cell = first_cell(template, libtorch(tmp_path / "torch", "2.9.0"))
    assert_refused(cell, "2.9.0", "2.11.0", str(tmp_path / "torch"), "LIBTORCH")


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


def test_another_chosen_compiler_is_told_with_both(
    first_cell, template: Path, tmp_path: Path
) -> None:
    environment = other_rustc(tmp_path / "other", 'echo "rustc 1.70.0 (old)"', "exit")
    cell = first_cell(template, environment)
    assert_refused(cell, "BENCHBOOK_RUSTC", "rustc 1.70.0", "compiled by rustc 1.")


def test_a_missing_compiler_is_told_with_the_command(
    first_cell, template: Path, tmp_path: Path
) -> None:
    cell = first_cell(template, without_rust(tmp_path / "bare"))
    assert_refused(cell, "compiled by rustc 1.", "not found", "benchbook setup")


def test_another_compiler_on_the_path_is_named(first_cell, template: Path, tmp_path: Path) -> None:
    old = '#!/bin/sh\n[ "$1" = -vV ] && echo "rustc 1.70.0 (old)" || echo /nowhere\n'
    cell = first_cell(template, without_rust(tmp_path / "bare", old))
    assert_refused(cell, "rustc 1.70.0 at", "benchbook setup")


def test_a_missing_linker_is_told_with_the_command(
    first_cell, template: Path, tmp_path: Path
) -> None:
    environment = without_rust(tmp_path / "bare")
    (tmp_path / "bare/tools/cc").unlink()
    assert_refused(first_cell(template, environment), "linked by `cc`", "install")


def test_another_pytorch_is_named_with_what_fits_and_what_it_costs(
    first_cell, spoil, tmp_path: Path
) -> None:
    def nothing_chosen(manifest: Manifest) -> None:
        manifest["chosen_libtorch"] = None

    torch = tmp_path / "site-packages/torch"
    libtorch(torch, "2.10.0+cu128")
    environment = {
        "BENCHBOOK_SITE_PACKAGES": str(torch.parent),
        "BENCHBOOK_CACHE": str(tmp_path / "cache"),
        "VIRTUAL_ENV": "",
        "CONDA_PREFIX": "",
    }
    cell = first_cell(spoil(nothing_chosen), environment)
    assert_refused(cell, str(torch), "2.10.0+cu128", "2.11.0", "benchbook setup", "545 MB")


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
        "--libtorch": manifest["chosen_libtorch"],
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
    for part in ("rustc", "linker", "libtorch", "kernelspec", "template"):
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
    assert_doctor_fails(report, "libtorch", "LIBTORCH", *words)


def test_doctor_finds_no_linker_and_no_compiler(program, prefix, template, tmp_path: Path) -> None:
    environment = without_rust(tmp_path / "bare")
    (tmp_path / "bare/tools/cc").unlink()
    report = doctor(program, prefix(template), environment)
    assert_doctor_fails(report, "linker", "`cc`")
    assert_doctor_fails(report, "rustc", "benchbook setup")


@pytest.mark.parametrize(
    ("gpu", "words"),
    [
        ("Tesla K80, 470.256.02, 3.7", "no build of libtorch 2.11.0 has kernels for compute capability 3.7"),
        ("Tesla P100-PCIE-16GB, 560.35.03, 6.0", "--index-url https://download.pytorch.org/whl/cu126"),
        ("Tesla T4, 550.54.15, 7.5", "--index-url https://download.pytorch.org/whl/cu128"),
        ("NVIDIA A100-SXM4-40GB, 580.65.06, 8.0", "setup --cuda"),
    ],
)
def test_doctor_says_how_each_gpu_can_be_used(
    program, prefix, template, tmp_path: Path, gpu: str, words: str
) -> None:
    driver = tmp_path / "driver"
    driver.mkdir()
    (driver / "nvidia-smi").write_text(f"#!/bin/sh\necho '{gpu}'\n")
    (driver / "nvidia-smi").chmod(0o755)
    environment = {"PATH": os.pathsep.join([str(driver), os.environ["PATH"]])}
    report = doctor(program, prefix(template), environment)
    assert report.returncode == 0, report.stdout
    assert gpu.split(",")[0] in report.stdout
    assert words in report.stdout


def test_a_cache_that_cannot_be_written_is_named_where_it_is_needed(
    kernels: Any, program, template, prefix, tmp_path: Path
) -> None:
    # A file in its place: not even root can write there.
    (tmp_path / "cache").touch()
    environment = {"BENCHBOOK_CACHE": str(tmp_path / "cache")}
    kernel = kernels(environment)
    cell = kernel.run(small_crate(tmp_path))
    assert cell.status == "error" and cell.evalue.startswith("crates of `:dep` are compiled in "), cell.problem
    assert environment["BENCHBOOK_CACHE"] in cell.evalue and "set BENCHBOOK_CACHE" in cell.evalue, cell.problem
    assert kernel.value("1 + 1") == "2"
    report = doctor(program, prefix(template), environment)
    assert report.returncode == 0, report.stdout
    assert any(line.split()[:2] == ["absent", "cache"] for line in report.stdout.splitlines()), report.stdout
    assert "set BENCHBOOK_CACHE" in report.stdout


def test_a_full_cache_is_named_and_not_the_folder_for_temporary_files(
    kernels: Any, kernelspec, tmp_path: Path
) -> None:
    cache, specs = tmp_path / "cache", tmp_path / "specs"
    cache.mkdir()
    (specs / "benchbook").mkdir(parents=True)
    script = 'mount -t tmpfs -o size=64k tmpfs "$0" && head -c 48K /dev/zero >"$0/filler" && exec "$@"'
    words = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, str(cache), *kernelspec["argv"]]
    (specs / "benchbook/kernel.json").write_text(json.dumps({**kernelspec, "argv": words}))
    kernel = kernels({"BENCHBOOK_CACHE": str(cache)}, specs)
    cell = kernel.run(small_crate(tmp_path))
    assert cell.ename == "NoSpace", cell.problem
    assert str(cache) in cell.evalue and "BENCHBOOK_CACHE" in cell.evalue and "TMPDIR" not in cell.evalue, cell.problem


def test_clean_empties_a_cache_that_is_a_link(program, tmp_path: Path) -> None:
    disk, link = tmp_path / "disk", tmp_path / "cache"
    disk.mkdir()
    (disk / "file").write_text("of the cache")
    link.symlink_to(disk)
    environment = {**os.environ, "BENCHBOOK_CACHE": str(link)}
    cleaned = subprocess.run([program, "clean", "--yes"], env=environment, capture_output=True, text=True, check=False)
    assert cleaned.returncode == 0, cleaned.stderr
    assert str(disk) in cleaned.stdout
    assert not disk.exists() and not link.is_symlink()


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
