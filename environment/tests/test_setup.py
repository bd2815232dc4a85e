"""What the set-up says and chooses, with tools hidden, replaced or made to fail."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ENVIRONMENT = Path(__file__).parents[1]
BASICS = "basename bash cat cut dirname env grep head mkdir nproc realpath rm sed sha256sum sort tr uname".split()
COMPILERS = {"cc": "", "c++": "echo c++ 12"}


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


class Machine:
    """A machine whose PATH holds a few basic tools and what a test adds."""

    def __init__(self, folder):
        self.folder = folder
        self.tools = folder / "tools"
        self.tools.mkdir()
        self.sysroot = folder / "sysroot"
        for name in BASICS:
            (self.tools / name).symlink_to(shutil.which(name))
        # Not a link: where python3 is itself a script, it looks for its parts beside its own name.
        self.add("python3", f'exec {sys.executable} "$@"')

    def add(self, name, script):
        path = self.tools / name
        path.unlink(missing_ok=True)
        path.write_text(f"#!{shutil.which('bash')}\n{script}\n")
        path.chmod(0o755)

    def add_rust(self, version="1.95.0", sources=True):
        self.add("cargo", "")
        self.add("rustc", f'if [[ $* == "--print sysroot" ]]; then echo "{self.sysroot}"; else echo "rustc {version} (abc)"; fi')
        if sources:
            self.add_sources()

    def add_sources(self):
        path = self.sysroot / "lib/rustlib/src/rust/library/std/src/lib.rs"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    def complete(self):
        for name, script in COMPILERS.items():
            self.add(name, script)
        self.add_rust()
        return self

    def shell(self, script, **variables):
        environment = {"PATH": str(self.tools), "HOME": str(self.folder), "BENCHBOOK_CACHE": str(self.folder / "cache"), **variables}
        text = f"set -euo pipefail; source {ENVIRONMENT}/steps.sh; source {ENVIRONMENT}/setup.sh; venv={self.folder}/venv; {script}"
        ran = subprocess.run(["bash", "-c", text], capture_output=True, text=True, env=environment)
        return ran.returncode, ran.stdout + ran.stderr


def torch(folder, version="2.11.0+cu130"):
    (folder / "lib").mkdir(parents=True)
    (folder / "include/torch").mkdir(parents=True)
    (folder / "lib/libtorch_cpu.so").touch()
    (folder / "version.py").write_text(f"__version__ = '{version}'\n")
    return folder


def test_without_rust_the_line_for_rustup_is_printed(machine):
    machine.complete()
    (machine.tools / "cargo").unlink()
    status, said = machine.shell("plan_setup environment/run")
    assert status == 1
    assert "https://sh.rustup.rs" in said
    assert "Then start environment/run again." in said


def test_an_old_rust_is_named_with_the_line_that_updates_it(machine):
    machine.complete().add_rust("1.80.1")
    machine.add("rustup", "")
    status, said = machine.shell("plan_setup environment/run")
    assert status == 1
    assert "rustc is 1.80.1" in said
    assert "rustup update stable" in said


def test_without_rights_the_line_for_apt_get_is_printed(machine):
    machine.complete().add("apt-get", "")
    (machine.tools / "c++").unlink()
    status, said = machine.shell("may_install=; sudo='sudo '; plan_setup environment/run")
    assert status == 1
    assert "sudo apt-get update && sudo apt-get install -y g++" in said


def test_with_rights_a_missing_compiler_is_installed(machine):
    machine.complete()
    (machine.tools / "c++").unlink()
    machine.add("apt-get", f'echo "apt-get $*"; [[ $1 == update ]] || {{ echo "#!/bin/sh" >{machine.tools}/c++; {shutil.which("chmod")} +x {machine.tools}/c++; }}')
    status, said = machine.shell("may_install=yes; sudo=; plan_setup environment/run; system_step")
    assert status == 0, said
    assert "install -q -y --no-install-recommends g++" in said


def test_rust_sources_are_added(machine):
    machine.complete()
    shutil.rmtree(machine.sysroot)
    source = machine.sysroot / "lib/rustlib/src/rust/library/std/src"
    machine.add("rustup", f'echo "rustup $*"; mkdir -p {source}; echo >{source}/lib.rs')
    status, said = machine.shell('plan_setup environment/run; echo "${step_notes[0]}"; rust_step')
    assert status == 0, said
    assert "adds rust-src" in said
    assert "rustup component add rust-src" in said


@pytest.mark.parametrize(
    ("rustup", "words"),
    [("echo could not download; exit 1", "rustup needs the network"), ("exit 0", "rustup component remove rust-src")],
    ids=["no network", "files gone that rustup believes in"],
)
def test_rust_sources_that_cannot_be_added_are_explained(machine, rustup, words):
    machine.complete()
    shutil.rmtree(machine.sysroot)
    machine.add("rustup", rustup)
    status, said = machine.shell("plan_setup environment/run; rust_step")
    assert status == 1
    assert words in said


def test_without_rustup_missing_sources_stop_the_plan(machine):
    machine.complete()
    shutil.rmtree(machine.sysroot)
    status, said = machine.shell("plan_setup environment/run")
    assert status == 1
    assert "no rustup to add it" in said


def test_another_architecture_is_refused(machine):
    machine.complete().add("uname", "if [[ $1 == -s ]]; then echo Linux; else echo aarch64; fi")
    status, said = machine.shell("plan_setup environment/run")
    assert status == 1
    assert "x86-64" in said and "aarch64" in said


def test_a_fitting_libtorch_of_the_users_is_used(machine):
    own = torch(machine.folder / "own")
    status, said = machine.complete().shell('plan_setup run; echo "libtorch=$libtorch"', LIBTORCH=str(own))
    assert status == 0, said
    assert f"libtorch={own}" in said


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda own: (own / "version.py").write_text("__version__ = '2.9.1+cpu'\n"), "it is version 2.9.1 and Benchbook needs 2.11.0"),
        (lambda own: (own / "version.py").unlink(), "says which version it is"),
        (lambda own: (own / "lib/libtorch_cpu.so").unlink(), "lib/libtorch_cpu.so or include/torch is not in it"),
        (shutil.rmtree, "there is no such folder"),
    ],
    ids=["version", "no version", "no library", "no folder"],
)
def test_another_libtorch_of_the_users_is_refused_with_the_reason(machine, spoil, reason):
    own = torch(machine.folder / "own")
    spoil(own)
    status, said = machine.complete().shell("plan_setup run", LIBTORCH=str(own))
    assert status == 1
    assert reason in said


def test_the_pytorch_of_an_active_environment_is_used(machine):
    folder = torch(machine.folder / "active/lib/python3.12/site-packages/torch")
    status, said = machine.complete().shell('plan_setup run; echo "libtorch=$libtorch"', VIRTUAL_ENV=str(machine.folder / "active"))
    assert status == 0, said
    assert f"libtorch={folder}" in said


def test_another_pytorch_of_an_active_environment_is_passed_over_with_the_reason(machine):
    torch(machine.folder / "active/lib/python3.12/site-packages/torch", "2.13.0")
    status, said = machine.complete().shell('plan_setup run; echo "libtorch=$libtorch"', CONDA_PREFIX=str(machine.folder / "active"))
    assert status == 0, said
    assert "it is version 2.13.0" in said
    assert f"libtorch={machine.folder}/cache/libtorch-2.11.0-cpu" in said


@pytest.mark.parametrize(
    ("rows", "chosen", "words"),
    [
        ("580.65.06, 7.5", "cuda_libtorch_step", ""),
        ("550.54.15, 6.0\n590.10, 9.0", "cuda_libtorch_step", ""),
        ("550.54.15, 9.0", "cpu_libtorch_step", "the driver is 550.54.15"),
        ("590.10, 7.0", "cpu_libtorch_step", "compute capability 7.0"),
        ("590.10, 12.0", "cuda_libtorch_step", ""),
        ("No devices were found", "cpu_libtorch_step", ""),
    ],
)
def test_the_gpu_decides_which_libtorch_is_installed(machine, rows, chosen, words):
    machine.complete().add("nvidia-smi", f'echo "{rows}"')
    status, said = machine.shell('plan_setup run; echo "chosen ${step_functions[-1]}"')
    assert status == 0, said
    assert f"chosen {chosen}" in said
    assert words in said


def test_a_failed_check_does_not_stop_the_next_but_a_failed_step_does(machine):
    script = """
        bad() { false; echo unreachable; }
        good() { echo "good ran"; }
        check Bad 1 0 bad ""
        step Good 1 0 good ""
        step Worse 1 0 bad ""
        step Never 1 0 good ""
        run_steps
    """
    status, said = machine.complete().shell(script)
    assert status == 1
    assert "FAILED: Bad" in said
    assert said.count("good ran") == 1
    assert "unreachable" not in said
    assert "Stopped in step 3, Worse" in said
    assert "not reached" in said


def test_nothing_is_changed_by_planning(machine):
    before = sorted(os.listdir(machine.folder))
    status, said = machine.complete().shell("plan_setup run; plan_build; plan_install; plan_drawings; announce_steps Plan")
    assert status == 0, said
    assert "545 MB to download" in said
    assert sorted(os.listdir(machine.folder)) == sorted([*before, "sysroot"])


CHECKS = f"source {ENVIRONMENT}/checks.sh; packages=; "


def test_without_rights_the_browsers_line_is_printed_and_the_tests_go_on(machine):
    machine.complete().add("apt-get", "exit 1")
    status, said = machine.shell(f"{CHECKS} may_install=; sudo='sudo '; plan_browser; announce_steps Plan; run_steps")
    assert status == 0, said
    assert "sudo apt-get update && sudo apt-get install -y --no-install-recommends chromium" in said
    assert "will be skipped" in said
    assert "chromium, and" not in said, "nothing is announced that will not be done"


def test_with_rights_the_browser_is_installed_with_what_drives_it(machine):
    chromium = f'echo "#!/bin/sh\necho Chromium 1" >{machine.tools}/chromium; {shutil.which("chmod")} +x {machine.tools}/chromium'
    machine.complete().add("apt-get", f'echo "apt-get $*"; [[ $1 == update ]] || {{ {chromium}; }}')
    script = f'{CHECKS} may_install=yes; sudo=; pip_install() {{ echo "pip $*"; }}; plan_browser; run_steps'
    status, said = machine.shell(script)
    assert status == 0, said
    assert "apt-get install -q -y --no-install-recommends chromium" in said
    assert "pip -r environment/requirements-browser.txt" in said
    assert "Chromium 1" in said


def test_a_browser_that_cannot_be_had_does_not_stop_the_tests(machine):
    machine.complete().add("apt-get", "echo no network; exit 100")
    status, said = machine.shell(f"{CHECKS} may_install=yes; sudo=; plan_browser; run_steps")
    assert status == 0, said
    assert "no network" in said and "will be skipped" in said
