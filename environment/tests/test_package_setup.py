"""`benchbook setup` with the real rustup and the real pip, on servers of this machine."""

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from loopback import PackageIndex, RustDistribution, Server, publish

PACKAGE = Path(__file__).parents[2] / "kernel/python"
TORCH = {
    "torch/version.py": "__version__ = '2.11.0+cu130'\n",
    "torch/lib/libtorch_cpu.so": "cpu",
    "torch/lib/libtorch_cuda.so": "cuda",
    "torch/lib/libtorch.so": "needs cuda",
    "torch/lib/libc10.so": "c10",
    "torch/lib/libgomp.so.1": "gomp",
    "torch/include/torch/script.h": "header",
}
# Stands in for the server: says what is in the cache, as `benchbook machine` does.
MACHINE = """#!{python}
import json, os, sys
from pathlib import Path

assert sys.argv[1:] == ["machine"] and os.environ["BENCHBOOK_PYTHON"]
cache = Path(os.environ["BENCHBOOK_CACHE"])
settings = json.loads(Path({settings!r}).read_text())

def part(folders, file, problem, **more):
    found = next((str(folder) for folder in folders if (folder / file).exists()), None)
    return {{"found": found, "problem": None if found else problem, **more}}

rust = cache / "rust/rustup/toolchains" / f"{{settings['version']}}-{{settings['triple']}}"
own = os.environ.get("LIBTORCH")
torch = [Path(own)] if own else [cache / "libtorch-2.11.0-cuda/torch", cache / "libtorch-2.11.0-cpu"]
print(json.dumps({{
    "cache": str(cache),
    "toolchain": part([rust], "bin/rustc", settings["rust_problem"], version=settings["version"], host=settings["triple"]),
    "linker": {{"found": None if settings["linker_problem"] else "/usr/bin/cc", "problem": settings["linker_problem"]}},
    "libtorch": part(torch, "lib/libtorch_cpu.so", f"{{own}} holds no libtorch" if own else settings["torch_problem"],
                     version="2.11.0", build=settings["build"], reason="no NVIDIA GPU was found"),
}}))
"""
RUN = """
import sys
from dataclasses import replace
from pathlib import Path
from benchbook import libtorch, setup
libtorch.PINS = Path({pins!r})
setup.COSTS["cpu"] = replace(setup.COSTS["cpu"], space={space})
sys.exit(setup.main(sys.argv[1:]))
"""


class Setup:
    """A home, a cache, a PATH without rustup, and the command."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.cache = folder / "cache of näme"
        self.home = folder / "home"
        self.tools = folder / "tools"
        self.pins = folder / "pins.txt"
        self.server = folder / "server"
        self.python = sys.executable
        self.space = 1200
        self.index = PackageIndex(folder / "index")
        self.settings = {
            "version": "1.95.0",
            "triple": "x86_64-unknown-linux-gnu",
            "build": "cpu",
            "rust_problem": "rustc 1.95.0 was not found (found: rustc 1.80.0 at /usr/bin/rustc); run `benchbook setup`",
            "torch_problem": "no libtorch 2.11.0 was found; the PyTorch at /x/torch is 2.10.0; run `benchbook setup`, which downloads it",
            "linker_problem": None,
        }
        for path in (self.home, self.tools):
            path.mkdir()
        self.server.write_text(MACHINE.format(python=sys.executable, settings=str(folder / "settings.json")))
        self.server.chmod(0o755)
        # Nothing of this machine's settings for rustup and pip.
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("RUSTUP", "CARGO", "PIP_", "UV_", "BENCHBOOK_", "LIBTORCH"))}
        closed = "http://127.0.0.1:9"
        self.variables = {
            **kept,
            "HOME": str(self.home),
            "PATH": str(self.tools),
            "PYTHONPATH": str(PACKAGE),
            "BENCHBOOK_CACHE": str(self.cache),
            "BENCHBOOK_SERVER": str(self.server),
            "RUSTUP_UPDATE_ROOT": closed,
            "RUSTUP_DIST_SERVER": closed,
            "PIP_INDEX_URL": closed,
            "PIP_RETRIES": "0",
            "PIP_CONFIG_FILE": os.devnull,
        }

    def command(self, *words: str) -> list[str]:
        (self.folder / "settings.json").write_text(json.dumps(self.settings))
        if self.pins.exists():
            return [self.python, "-c", RUN.format(pins=str(self.pins), space=self.space), *words]
        return [self.python, "-m", "benchbook", "setup", *words]

    def run(self, *words: str, **variables: str) -> tuple[int, str]:
        environment = {**self.variables, **variables}
        ran = subprocess.run(self.command(*words), env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert "Traceback" not in ran.stdout, ran.stdout
        return ran.returncode, ran.stdout

    def interrupt(self, at: threading.Event, *words: str) -> tuple[int, str]:
        """Runs the command and, when the event happens, types Ctrl-C."""
        running = subprocess.Popen(
            self.command(*words), env=self.variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
        assert at.wait(120), "the server was never asked"
        os.killpg(running.pid, signal.SIGINT)
        said, _ = running.communicate()
        assert "Traceback" not in said, said
        return running.returncode, said

    def add_rustup(self):
        (self.tools / "rustup").symlink_to(rustup())

    def serve_torch(self):
        """Small wheels in the place of PyTorch's, and the checksums that pin them."""
        torch = self.index.add("torch", "2.11.0", TORCH, requires=("nvidia-cuda-runtime",))
        runtime = self.index.add("nvidia-cuda-runtime", "13.0.96", {"nvidia/cu13/lib/libcudart.so.13": "runtime"})
        cupti = self.index.add("nvidia-cuda-cupti", "13.0.85", {"nvidia/cu13/lib/libcupti.so.13": "cupti"})
        self.pins.write_text("\n".join(["# pins", torch, runtime, cupti]) + "\n")
        server = Server(self.index.folder)
        self.variables["PIP_INDEX_URL"] = server.url + "/simple"
        return server


def rustup() -> Path:
    found = shutil.which("rustup")
    if found is None:
        pytest.skip("needs rustup, to have it install from a server of this machine")
    return Path(found).resolve()


@pytest.fixture
def setup(tmp_path):
    yield Setup(tmp_path)
    shutil.rmtree(tmp_path)


@pytest.fixture(scope="module")
def distribution(tmp_path_factory):
    rustup()
    folder = tmp_path_factory.mktemp("distribution")
    yield RustDistribution(folder)
    shutil.rmtree(folder)


@pytest.fixture
def rust(setup, distribution):
    """The server of Rust's archives; it also has rustup-init, which rustup becomes by this name."""
    setup.settings |= {"version": distribution.version, "triple": distribution.triple}
    publish(distribution.folder / "rustup/dist" / distribution.triple / "rustup-init", rustup().read_bytes())
    with Server(distribution.folder) as server:
        setup.variables |= {"RUSTUP_DIST_SERVER": server.url, "RUSTUP_UPDATE_ROOT": server.url + "/rustup"}
        yield server


def toolchain(setup: Setup) -> Path:
    return setup.cache / "rust/rustup/toolchains" / f"{setup.settings['version']}-{setup.settings['triple']}"


def contents(folder: Path) -> dict[str, bytes | None]:
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


# --- The toolchain ------------------------------------------------------------------------------------


@pytest.mark.parametrize("own_rustup", [True, False], ids=["rustup on PATH", "rustup downloaded"])
def test_a_fetched_toolchain_compiles_and_the_users_own_rust_stays_as_it_is(setup, rust, own_rustup):
    if own_rustup:
        setup.add_rustup()
    for name in (".profile", ".bashrc", ".zshenv", ".cargo/config.toml", ".cargo/env", ".rustup/settings.toml", ".rustup/toolchains/stable/bin/rustc"):
        (setup.home / name).parent.mkdir(parents=True, exist_ok=True)
        (setup.home / name).write_text(f"# my {name}\n")
    before = contents(setup.home)

    status, said = setup.run("--toolchain-only", "--yes")

    assert status == 0, said
    assert "160 MB to download, 640 MB on disk, about 1 min" in said and rust.url.removeprefix("http://") in said
    assert "rustc 1.80.0 at /usr/bin/rustc" in said
    assert said.splitlines()[-1] == f"ready: Rust {setup.settings['version']} ({toolchain(setup)}), linker (/usr/bin/cc)"
    assert contents(setup.home) == before
    assert bool(rust.asked("rustup-init")) != own_rustup
    assert (toolchain(setup) / "lib/rustlib/src/rust/library/std/src/lib.rs").is_file()
    assert not (setup.cache / "rust/partial").exists()
    program = setup.folder / "hello"
    subprocess.run([toolchain(setup) / "bin/rustc", "-o", program, "-"], input='fn main() { println!("hello"); }', text=True, check=True)
    assert subprocess.run([program], capture_output=True, text=True).stdout == "hello\n"
    assert subprocess.run([toolchain(setup) / "bin/cargo", "--version"], capture_output=True, text=True).stdout.startswith("cargo 1.")

    asked = len(rust.requests)
    status, said = setup.run("--toolchain-only")
    assert (status, said.splitlines()) == (0, [f"Nothing is missing: Rust {setup.settings['version']} ({toolchain(setup)}), linker (/usr/bin/cc)"])
    assert len(rust.requests) == asked


def test_an_interrupted_toolchain_is_not_taken_for_a_whole_one_and_goes_on(setup, rust, distribution):
    setup.add_rustup()
    archive = f"/dist/{distribution.archives['rustc'].name}"
    rust.stalls.add(archive)
    status, said = setup.interrupt(rust.stalled, "--toolchain-only", "--yes")
    assert status == 130, said
    assert "interrupted; `" in said and "setup --toolchain-only --yes` resumes" in said
    assert not toolchain(setup).exists()
    # As if rustup had been killed while it was unpacking.
    left = setup.cache / "rust/partial/toolchains" / toolchain(setup).name / "bin/rustc"
    left.parent.mkdir(parents=True, exist_ok=True)
    left.write_text("half")
    rust.goes_on.set()

    status, said = setup.run("--toolchain-only", "--yes")
    assert status == 0, said
    ranges = [start for _, start in rust.asked(archive)]
    assert ranges[0] is None and ranges[-1], f"the second run asks for the rest: {ranges}"
    version = subprocess.run([toolchain(setup) / "bin/rustc", "--version"], capture_output=True, text=True).stdout
    assert version.split()[1] == distribution.version


def test_a_damaged_archive_is_named_and_leaves_no_toolchain(setup, rust, distribution):
    setup.add_rustup()
    original = distribution.channel.read_bytes()
    damaged = original.replace(b'hash = "', b'hash = "00')
    try:
        publish(distribution.channel, damaged)
        status, said = setup.run("--toolchain-only", "--yes")
    finally:
        publish(distribution.channel, original)
    assert status == 1
    assert f"rustup could not install Rust {distribution.version} from {rust.url.removeprefix('http://')}; its messages are above" in said
    assert "checksum" in said, "rustup's own words"
    assert f"Still missing:\n  Rust {distribution.version}" in said and "setup --toolchain-only --yes` tries again" in said
    assert not toolchain(setup).exists()


def test_a_damaged_installer_is_not_run(setup, rust, distribution):
    installer = distribution.folder / "rustup/dist" / distribution.triple / "rustup-init"
    installer.write_bytes(b"#!/bin/sh\ntouch ran\n")
    status, said = setup.run("--toolchain-only", "--yes")
    assert status == 1
    assert "rustup-init is damaged: its SHA-256 is " in said
    assert not list(setup.folder.rglob("ran"))


def test_a_server_without_the_installer_is_named(setup, rust):
    setup.variables["RUSTUP_UPDATE_ROOT"] = rust.url + "/nothing"
    status, said = setup.run("--toolchain-only", "--yes")
    assert status == 1
    assert "/nothing/dist/" in said and "answered 404" in said and "put a rustup on PATH" in said


def test_without_a_network_the_server_and_the_way_out_are_named(setup):
    status, said = setup.run("--toolchain-only", "--yes")
    assert status == 1
    assert "rustup could not be downloaded: http://127.0.0.1:9/dist/" in said
    assert "cannot be reached ([Errno 111] Connection refused); check the network and https_proxy" in said


@pytest.mark.parametrize("redirected", [False, True], ids=["asked for", "redirected"])
def test_a_program_never_comes_over_plain_http(setup, rust, distribution, redirected):
    elsewhere = "http://rust.example/rustup"
    if redirected:
        rust.redirects[f"/rustup/dist/{distribution.triple}/rustup-init.sha256"] = elsewhere
    else:
        setup.variables["RUSTUP_UPDATE_ROOT"] = elsewhere
    status, said = setup.run("--toolchain-only", "--yes")
    assert status == 1
    assert elsewhere in said and "programs are downloaded over https only" in said


def test_a_missing_linker_is_told_before_and_after_and_fails(setup, rust):
    setup.add_rustup()
    setup.settings["linker_problem"] = "cells are linked by `cc`, which is not on PATH; run `sudo apt-get install -y gcc libc6-dev`"
    status, said = setup.run("--toolchain-only", "--yes")
    assert status == 1
    assert said.count(setup.settings["linker_problem"]) == 2
    assert said.splitlines()[-2:] == ["Still missing:", f"  {setup.settings['linker_problem']}"]
    assert (toolchain(setup) / "bin/rustc").is_file(), "what can be fetched is fetched"


# --- libtorch -----------------------------------------------------------------------------------------


def test_the_part_of_libtorch_for_a_cpu_is_fetched_whole(setup):
    folder = setup.cache / "libtorch-2.11.0-cpu"
    # An unusable one makes room, and what a killed run left is cleared away.
    for left in (folder / "lib/libtorch.so", setup.cache / "libtorch-2.11.0-cpu.partial-abc/half"):
        left.parent.mkdir(parents=True)
        left.write_text("half")
    with setup.serve_torch():
        status, said = setup.run("--libtorch-only", "--yes")
    assert status == 0, said
    assert "the PyTorch at /x/torch is 2.10.0 (no NVIDIA GPU was found)" in said
    assert "127.0.0.1" in said and "545 MB to download, 525 MB on disk, about 2 min" in said
    assert said.splitlines()[-1] == f"ready: libtorch 2.11.0 ({folder})"
    assert sorted(path.name for path in (folder / "lib").iterdir()) == ["libc10.so", "libcudart.so.13", "libcupti.so.13", "libgomp.so.1", "libtorch.so", "libtorch_cpu.so"]
    assert (folder / "lib/libtorch.so").read_text() == "INPUT(-ltorch_cpu -lc10)\n"
    assert (folder / "include/torch/script.h").read_text() == "header"
    assert (folder / "build-version").read_text() == "2.11.0+cu130\n"
    assert sorted(path.name for path in setup.cache.iterdir()) == ["libtorch-2.11.0-cpu", "setup.lock"]


@pytest.mark.parametrize("chosen", [True, False], ids=["--cuda", "by the machine"])
def test_with_a_gpu_pytorch_is_installed_with_what_it_is_linked_to(setup, chosen):
    setup.settings["build"] = "cpu" if chosen else "cuda"
    with setup.serve_torch():
        # Colab and others pin packages by such variables; they are for their own Python.
        status, said = setup.run("--libtorch-only", "--yes", *["--cuda"][:chosen], PIP_USER="1", PIP_CONSTRAINT="/nothing")
    assert status == 0, said
    assert "libtorch 2.11.0 with CUDA" in said and "2700 MB to download, 4900 MB on disk" in said
    folder = setup.cache / "libtorch-2.11.0-cuda"
    assert said.splitlines()[-1] == f"ready: libtorch 2.11.0 ({folder}/torch)"
    assert (folder / "torch/lib/libtorch_cuda.so").is_file()
    assert (folder / "nvidia/cu13/lib/libcudart.so.13").is_file()
    assert sorted(path.name for path in setup.cache.iterdir()) == ["libtorch-2.11.0-cuda", "setup.lock"]


def test_cpu_is_chosen_in_spite_of_a_gpu(setup):
    setup.settings["build"] = "cuda"
    status, said = setup.run("--libtorch-only", "--cpu", "--dry-run")
    assert status == 1
    assert "libtorch 2.11.0 for the CPU" in said and "545 MB" in said


def test_cuda_beside_a_libtorch_for_the_cpu_is_fetched(setup):
    with setup.serve_torch():
        setup.run("--libtorch-only", "--yes")
        status, said = setup.run("--libtorch-only", "--yes", "--cuda")
    assert status == 0, said
    assert f"{setup.cache}/libtorch-2.11.0-cpu is another build" in said
    assert said.splitlines()[-1].endswith("libtorch-2.11.0-cuda/torch)")


def test_what_an_interrupted_download_has_is_not_downloaded_again(setup):
    with setup.serve_torch() as server:
        server.stalls.add("/simple/nvidia-cuda-cupti/nvidia_cuda_cupti-13.0.85-py3-none-any.whl")
        status, said = setup.interrupt(server.stalled, "--libtorch-only", "--yes")
        assert status == 130
        assert "interrupted" in said
        assert not (setup.cache / "libtorch-2.11.0-cpu").exists()
        assert not list(setup.cache.glob("*.partial-*"))
        server.goes_on.set()
        status, said = setup.run("--libtorch-only", "--yes")
        assert status == 0, said
        assert len(server.asked("torch-2.11.0-py3")) == 1
        assert len(server.asked("cupti-13.0.85-py3")) == 2


def test_a_wheel_with_another_checksum_is_refused(setup):
    with setup.serve_torch():
        setup.pins.write_text("torch==2.11.0 --hash=sha256:" + "0" * 64 + "\n")
        status, said = setup.run("--libtorch-only", "--yes")
    assert status == 1
    assert "DO NOT MATCH THE HASHES" in said, "pip's own words"
    assert "libtorch could not be downloaded; pip's messages are above" in said
    assert "Still missing:\n  libtorch 2.11.0 for the CPU" in said
    assert not (setup.cache / "libtorch-2.11.0-cpu").exists()


def test_a_wheel_without_a_library_is_named(setup):
    with setup.serve_torch():
        setup.pins.write_text("".join(setup.pins.read_text().splitlines(keepends=True)[:-1]))
        status, said = setup.run("--libtorch-only", "--yes")
    assert status == 1
    assert "not found in " in said and "nvidia/cu13/lib/libcupti.so.13" in said
    assert not (setup.cache / "libtorch-2.11.0-cpu").exists()


@pytest.mark.parametrize("build", ["cpu", "cuda"])
def test_without_a_network_pips_words_are_followed_by_what_is_missing(setup, build):
    status, said = setup.run("--libtorch-only", "--yes", f"--{build}")
    assert status == 1
    assert "libtorch could not be downloaded; pip's messages are above" in said
    assert f"setup --libtorch-only --yes --{build}` tries again" in said


def test_of_two_set_ups_at_once_one_downloads(setup):
    with setup.serve_torch() as server:
        server.stalls.add("/simple/torch/torch-2.11.0-py3-none-any.whl")
        first = subprocess.Popen(setup.command("--libtorch-only", "--yes"), env=setup.variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert server.stalled.wait(60)
        second = subprocess.Popen(setup.command("--libtorch-only", "--yes"), env=setup.variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        said = ""
        while "Another set-up is using" not in said:
            said += second.stdout.readline() or pytest.fail(said)
        server.goes_on.set()
        for process in (first, second):
            assert process.communicate()[0].splitlines()[-1].startswith("ready: ")
            assert process.returncode == 0
        assert len(server.asked("torch-2.11.0-py3")) == 1


def test_a_libtorch_of_the_users_that_does_not_fit_is_for_the_user_to_mend(setup):
    status, said = setup.run("--libtorch-only", "--yes", LIBTORCH="/nowhere")
    assert (status, said) == (1, "Missing:\n  /nowhere holds no libtorch\n")
    assert not setup.cache.exists()


def without_pip(setup):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", setup.folder / "venv"], check=True)
    setup.python = str(setup.folder / "venv/bin/python")


def test_a_python_without_pip_uses_uv(setup):
    without_pip(setup)
    uv = setup.tools / "uv"
    uv.write_text(f'#!{shutil.which("sh")}\n[ "$1 $2 $3 $4 $5" = "tool run --python {setup.python} pip" ] || exit 9\nshift 5\nexec {sys.executable} -m pip "$@"\n')
    uv.chmod(0o755)
    with setup.serve_torch():
        status, said = setup.run("--libtorch-only", "--yes")
    assert status == 0, said


def test_a_python_without_pip_or_uv_is_named_with_the_line_that_helps(setup):
    without_pip(setup)
    status, said = setup.run("--libtorch-only", "--yes")
    assert status == 1
    assert f"libtorch is downloaded by pip, which {setup.python} does not have" in said
    assert f"`{setup.python} -m ensurepip` installs pip" in said


# --- Both ---------------------------------------------------------------------------------------------


def test_a_dry_run_says_all_and_changes_nothing(setup):
    setup.settings["linker_problem"] = "no linker; run `sudo dnf install -y gcc`"
    status, said = setup.run("--dry-run")
    assert status == 1
    for words in (f"To be fetched into {setup.cache}:", "Rust 1.95.0", "160 MB", "libtorch 2.11.0", "545 MB", setup.settings["linker_problem"]):
        assert words in said
    assert not setup.cache.exists()


def test_on_a_terminal_it_asks_first(setup):
    ours, theirs = pty.openpty()
    running = subprocess.Popen(setup.command(), env=setup.variables, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    said = b""
    while b"Proceed? [Y/n]" not in said:
        said += os.read(ours, 1024)
    os.write(ours, b"n\n")
    assert running.wait() == 1
    os.close(ours)
    assert not setup.cache.exists()


def in_mount(setup: Setup, options: str, *words: str) -> tuple[int, str]:
    """Runs the command where the cache lies on a file system of its own."""
    setup.cache.mkdir()
    alone = ["unshare", "--map-root-user", "--mount"]
    if subprocess.run([*alone, "true"], capture_output=True).returncode != 0:
        pytest.skip("needs the right to mount a file system (unshare --map-root-user --mount)")
    mount = f'{shutil.which("mount")} -t tmpfs -o {options} none "$0" && exec "$@"'
    words = [shutil.which("unshare"), *alone[1:], shutil.which("sh"), "-c", mount, str(setup.cache), *setup.command("--yes", *words)]
    ran = subprocess.run(words, env=setup.variables, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert "Traceback" not in ran.stderr
    return ran.returncode, ran.stderr


def test_a_disk_without_room_is_named_beforehand(setup):
    status, said = in_mount(setup, "size=50m")
    assert status == 1
    assert said == (
        f"benchbook setup: {setup.cache} has 52 MB free and the set-up temporarily needs 2050 MB; "
        "free space, or set BENCHBOOK_CACHE to a folder on another disk\n"
    )


def test_a_disk_that_fills_up_meanwhile_is_named(setup):
    setup.space = 0
    with setup.serve_torch():
        torch = setup.index.add("torch", "2.11.0", {**TORCH, "torch/lib/libtorch_cpu.so": "0" * 5_000_000})
        setup.pins.write_text(torch + "\n")
        status, said = in_mount(setup, "size=1m", "--libtorch-only")
    assert status == 1
    assert f"benchbook setup: {setup.cache}: No space left on device; fix this, or set BENCHBOOK_CACHE to a folder elsewhere" in said
    assert "Still missing:\n  libtorch 2.11.0 for the CPU" in said


def test_a_cache_that_cannot_be_written_is_named_beforehand(setup):
    status, said = in_mount(setup, "ro")
    assert status == 1
    assert said == f"benchbook setup: {setup.cache} cannot be written; set BENCHBOOK_CACHE to a folder that can\n"


def test_a_cache_that_is_a_file_is_named(setup):
    setup.cache.write_text("")
    status, said = setup.run("--yes")
    assert status == 1
    assert f"{setup.cache}: File exists" in said and "set BENCHBOOK_CACHE" in said


def test_a_server_that_does_not_start_is_named(setup):
    setup.server.unlink()
    status, said = setup.run()
    assert status == 1
    assert said == f"benchbook setup: Benchbook's server {setup.server} does not start: No such file or directory\n"


def test_a_server_that_fails_is_quoted(setup):
    setup.server.write_text(f"#!{shutil.which('sh')}\necho \"version \\`GLIBC_2.34' not found\" >&2\nexit 1\n")
    status, said = setup.run()
    assert status == 1
    assert "machine` failed: version `GLIBC_2.34' not found" in said
