"""What the set-up says and chooses, with tools hidden, replaced or made to fail."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tomllib

ENVIRONMENT = Path(__file__).parents[1]
PINNED_RUST = tomllib.loads((ENVIRONMENT.parent / "rust-toolchain.toml").read_text())["toolchain"]["channel"]
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
    assert f"https://sh.rustup.rs | sh -s -- -y --default-toolchain {PINNED_RUST} -c rust-src" in said
    assert "Then start environment/run again." in said


def test_an_old_rust_is_named_with_the_line_that_updates_it(machine):
    machine.complete().add_rust("1.80.1")
    machine.add("rustup", "")
    status, said = machine.shell("plan_setup environment/run")
    assert status == 1
    assert "rustc is 1.80.1" in said
    assert f"rustup toolchain install {PINNED_RUST} --profile minimal --component rust-src" in said


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
    assert "rustup is not installed to add it" in said


def test_another_architecture_is_refused(machine):
    machine.complete().add("uname", "if [[ $1 == -s ]]; then echo Linux; else echo aarch64; fi")
    status, said = machine.shell("plan_setup environment/run")
    assert status == 1
    assert "x86-64" in said and "aarch64" in said


@pytest.mark.parametrize(
    ("variable", "place"),
    [
        ("LIBTORCH", "own"),
        ("VIRTUAL_ENV", "active/lib/python3.12/site-packages/torch"),
        ("CONDA_PREFIX", "active/lib/python3.12/site-packages/torch"),
        ("", "cache/libtorch-2.11.0-cpu"),
        ("", "cache/libtorch-2.11.0-cuda/torch"),
    ],
)
def test_no_download_is_announced_where_a_libtorch_is(machine, variable, place):
    folder = torch(machine.folder / place)
    variables = {variable: str(folder if variable == "LIBTORCH" else machine.folder / "active")} if variable else {}
    status, said = machine.complete().shell("plan_setup run; plan_install; announce_steps Plan", **variables)
    assert status == 0, said
    assert "libtorch:" not in said


@pytest.mark.parametrize(
    "spoil",
    [
        lambda own: (own / "version.py").write_text("__version__ = '2.9.1+cpu'\n"),
        lambda own: (own / "version.py").unlink(),
        lambda own: (own / "lib/libtorch_cpu.so").unlink(),
        lambda own: (own / "include/torch").rmdir(),
        shutil.rmtree,
    ],
    ids=["version", "no version", "no library", "no headers", "no folder"],
)
def test_another_libtorch_of_the_users_is_refused_before_anything_is_built(machine, spoil):
    own = torch(machine.folder / "own")
    spoil(own)
    status, said = machine.complete().shell("plan_setup run; plan_install", LIBTORCH=str(own))
    assert status == 1
    assert f"LIBTORCH={own} is not a libtorch 2.11.0: looked for lib/libtorch_cpu.so, include/torch, and the version" in said


def test_another_pytorch_of_an_active_environment_does_not_spare_the_download(machine):
    torch(machine.folder / "active/lib/python3.12/site-packages/torch", "2.13.0")
    status, said = machine.complete().shell("plan_setup run; plan_install; announce_steps Plan", VIRTUAL_ENV=str(machine.folder / "active"))
    assert status == 0, said
    assert f"500 MB in {machine.folder}/cache (about 60 s, 545 MB to download)" in said


def test_with_a_gpu_the_larger_download_is_announced(machine):
    machine.complete().add("nvidia-smi", "echo GPU 0")
    status, said = machine.shell("plan_setup run; plan_install; announce_steps Plan")
    assert status == 0, said
    assert "with CUDA if it suits the GPU and its driver, 4900 MB" in said
    assert "2700 MB to download" in said


def test_libtorch_comes_by_benchbook_setup_as_the_server_says(machine):
    python = machine.folder / "venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!{shutil.which('bash')}\nif [[ $1 == -m ]]; then echo \"$BENCHBOOK_SERVER: $*\"; else echo /found; fi\n")
    python.chmod(0o755)
    status, said = machine.complete().shell('benchbook=/built/benchbook; libtorch_step; echo "libtorch=$libtorch"')
    assert status == 0, said
    assert said.splitlines() == ["/built/benchbook: -m benchbook setup --libtorch-only --yes", "libtorch=/found"]


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


SERVERS = f"{CHECKS} may_install=yes; sudo=; system_programs=/nowhere; plan_servers; announce_steps Plan; run_steps"


def test_servers_are_installed_where_nothing_starts_them(machine):
    servers = f'for name in slurmctld slurmd munged mpirun; do echo "#!/bin/sh" >{machine.tools}/$name; {shutil.which("chmod")} +x {machine.tools}/$name; done'
    machine.complete().add("sshd", "")
    machine.add("apt-get", f'echo "apt-get $*"; [[ $1 == update ]] || {{ {servers}; }}')
    status, said = machine.shell(SERVERS.replace("plan_servers", "runs_systemd() { false; }; plan_servers"))
    assert status == 0, said
    assert "apt-get install -q -y --no-install-recommends slurm-wlm munge openmpi-bin" in said
    assert "sshd, slurmctld, slurmd, munged and mpirun are installed" in said


def test_servers_that_systemd_would_start_are_left_to_the_user(machine):
    machine.complete().add("apt-get", 'echo "never run"')
    status, said = machine.shell(SERVERS.replace("plan_servers", "runs_systemd() { true; }; plan_servers"))
    assert status == 0, said
    assert "apt-get update && apt-get install -y --no-install-recommends openssh-server slurm-wlm munge openmpi-bin" in said
    assert "will be skipped" in said and "never run" not in said
