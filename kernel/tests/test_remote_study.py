"""`benchbook study --on ssh:HOST` with the real packed job. A program in place of `ssh` runs the host's commands on this machine, in
a separate home folder, and ends them as sshd does: by the end of their standard input. One test uses the real `ssh` and its own
sshd."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

PACKAGE = Path(__file__).parents[1] / "python"
SSH = """#!/bin/sh
while [ "$1" != -- ]; do shift; done
[ "$2" = there ] || { echo "no host $2" >&2; exit 255; }
shift 2
cd "$REMOTE_HOME" && exec sh -c "$*"
"""


# `ssh` with the test's configuration: the user's ~/.ssh is neither read nor written.
TRUE_SSH = """#!/bin/sh
exec {ssh} -F {folder}/ssh_config "$@"
"""
SSH_CONFIG = """
Host there
    HostName 127.0.0.1
    Port {port}
    User {user}
    IdentityFile {folder}/user_key
    IdentitiesOnly yes
    UserKnownHostsFile {folder}/known_hosts
    StrictHostKeyChecking yes
"""
SSHD_CONFIG = """
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host_key
PidFile none
AuthorizedKeysFile {folder}/user_key.pub
AuthenticationMethods publickey
StrictModes no
UsePAM no
SetEnv LIBTORCH={libtorch}
ForceCommand cd {folder}/home && exec sh -c "$SSH_ORIGINAL_COMMAND"
"""


class Study:
    """The command, its host, and the local and remote files of records."""

    def __init__(self, program: Path, template: Path, images: Path, folder: Path) -> None:
        self.folder = folder
        (folder / "home").mkdir()
        (folder / "ssh").write_text(SSH)
        (folder / "ssh").chmod(0o755)
        fit = {"epochs": 2, "batch_size": 4, "optimizer": {"name": "sgd", "momentum": 0.9}}
        job = {
            "data": str(images),
            "net": {"architecture": "small_cnn", "size": 32},
            "build": {"device": "cpu", "threads": 1},
            "fit": fit,
        }
        plan = {"name": "far", "backends": ["libtorch"], "repeats": 4, "warm_up": 0, "retries": 0, "check": None, "job": job}
        (folder / "plan.json").write_text(json.dumps(plan))
        self.command = [sys.executable, "-m", "benchbook", "study", "plan.json", "--on", "ssh:there", "--template", str(template)]
        self.environment = os.environ | {
            "PATH": f"{folder}:{os.environ['PATH']}",
            "PYTHONPATH": str(PACKAGE),
            "BENCHBOOK_SERVER": str(program),
            "REMOTE_HOME": str(folder / "home"),
            "LIBTORCH": json.loads((template / "template.json").read_text())["chosen_libtorch"],
        }
        self.here = folder / "results/far-on-there.jsonl"

    def start(self) -> subprocess.Popen[str]:
        streams: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen(self.command, cwd=self.folder, env=self.environment, **streams)

    def finish(self) -> None:
        child = self.start()
        said, _ = child.communicate(timeout=300)
        assert child.returncode == 0, said

    def there(self) -> list[str]:
        files = list((self.folder / "home").glob(".cache/benchbook/studies/*/records.jsonl"))
        return files[0].read_text().splitlines() if files else []

    def goes_on(self) -> None:
        """Waits for one more record."""
        count = len(self.there())
        wait_for(lambda: len(self.there()) > count)

    def worker(self) -> int | None:
        """The process that runs the study on the host."""
        for process in Path("/proc").glob("[0-9]*"):
            try:
                words = (process / "cmdline").read_bytes().split(b"\0")
                if str(self.folder).encode() in words[0] and words[1:3] == [b"study", b"study.json"]:
                    return int(process.name)
            except OSError:
                continue
        return None

    def rounds(self) -> Counter[int]:
        """The number of successful runs in each round. Checks that the local file has each line of the host exactly once."""
        lines = self.here.read_text().splitlines()
        assert sorted(lines) == sorted(set(self.there())), "the records here are those of the host"
        records = [json.loads(line) for line in lines]
        return Counter(record["place"]["round"] for record in records if record["status"] == {"state": "ok"})


def wait_for(condition: Callable[[], Any], seconds: float = 120) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError("nothing came of it in time")


@pytest.fixture
def study(program: Path, template: Path, draw: Any, tmp_path: Path) -> Study:
    return Study(program, template, draw(tmp_path / "images", 12, 4, 4), tmp_path)


def test_a_command_that_is_killed_ends_the_study_there_and_is_resumed(study: Study) -> None:
    child = study.start()
    wait_for(study.there)
    child.send_signal(signal.SIGKILL)
    child.wait()
    wait_for(lambda: study.worker() is None)
    assert 1 <= len([line for line in study.there() if '"state":"ok"' in line]) < 4
    study.finish()
    assert study.rounds() == Counter(range(4))
    before = study.here.read_text()
    study.finish()
    assert study.here.read_text() == before, "everything was there already"


def test_a_worker_that_is_killed_halfway_loses_no_record_and_doubles_none(study: Study) -> None:
    child = study.start()
    wait_for(study.there)
    os.kill(wait_for(study.worker), signal.SIGKILL)
    said, _ = child.communicate(timeout=120)
    assert child.returncode == 137, said
    assert study.rounds(), "what had ended came back"
    study.finish()
    assert study.rounds() == Counter(range(4))


def test_an_interrupt_brings_back_the_row_of_what_it_ended(study: Study) -> None:
    child = study.start()
    wait_for(study.there)
    child.send_signal(signal.SIGINT)
    said, _ = child.communicate(timeout=120)
    assert child.returncode == 130, said
    states = [json.loads(line)["status"]["state"] for line in study.here.read_text().splitlines()]
    assert states[-1] == "interrupted", states
    study.finish()
    assert study.rounds() == Counter(range(4))


def test_a_host_that_lost_its_folder_makes_no_round_twice(study: Study) -> None:
    study.finish()
    lines = study.here.read_text()
    subprocess.run(["rm", "-rf", study.folder / "home/.cache"], check=True)
    study.finish()
    assert study.here.read_text() == lines


def test_what_cannot_work_is_named_before_anything_is_sent(study: Study, tmp_path: Path) -> None:
    plan = json.loads((tmp_path / "plan.json").read_text())

    def said(on: str = "ssh:there", **build: Any) -> str:
        (tmp_path / "plan.json").write_text(json.dumps(plan | {"job": plan["job"] | {"build": plan["job"]["build"] | build}}))
        words = [on if word == "ssh:there" else word for word in study.command]
        ran = subprocess.run(words, cwd=tmp_path, env=study.environment, capture_output=True, text=True)
        assert ran.returncode in (1, 2)
        return ran.stderr

    assert "`build.weights` must be random or published weights" in said(weights={"file": "/home/somebody/vgg16.pth"})
    assert "elsewhere: no host elsewhere (try `ssh elsewhere true`)" in said("ssh:elsewhere")
    assert "--on needs ssh:HOST, slurm or slurm:PARTITION; got rsh:there" in said("rsh:there")


def test_images_behind_a_link_to_a_folder_are_sent_again_after_a_change(tmp_path: Path) -> None:
    (tmp_path / "elsewhere ä/cat").mkdir(parents=True)
    (tmp_path / "images").mkdir()
    (tmp_path / "images/train").symlink_to(tmp_path / "elsewhere ä")
    program = "import sys, pathlib; from benchbook import remote; print(remote.digest(pathlib.Path(sys.argv[1])))"

    def digest() -> str:
        command = [sys.executable, "-c", program, tmp_path / "images"]
        environment = os.environ | {"PYTHONPATH": str(PACKAGE)}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    before = digest()
    assert digest() == before
    (tmp_path / "images/train/cat/1.jpg").write_bytes(b"an image")
    assert digest() != before


class Daemon:
    """An sshd on a local port, and the files with which a study reaches it as `there`."""

    def __init__(self, sshd: str, study: Study) -> None:
        folder = study.folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        for key in ("host_key", "user_key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / key], check=True)
        (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {(folder / 'host_key.pub').read_text()}")
        values = {"folder": folder, "port": port, "user": getpass.getuser(), "libtorch": study.environment["LIBTORCH"], "ssh": shutil.which("ssh")}
        for name, text in {"ssh": TRUE_SSH, "ssh_config": SSH_CONFIG, "sshd_config": SSHD_CONFIG}.items():
            (folder / name).write_text(text.format(**values))
        with (folder / "sshd.log").open("w") as log:
            self.process = subprocess.Popen([sshd, "-D", "-e", "-f", folder / "sshd_config"], stderr=log)
        reach = [folder / "ssh", "-o", "BatchMode=yes", "there", "true"]
        try:
            wait_for(lambda: subprocess.run(reach, capture_output=True).returncode == 0, 20)
        except AssertionError:
            self.stop()
            raise AssertionError((folder / "sshd.log").read_text()) from None

    def cut(self) -> None:
        """Ends the processes that serve connections with SIGTERM, which a user's sshd also gets from its monitor."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        assert children, "there is a connection"
        for child in children:
            os.kill(int(child), signal.SIGTERM)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


@pytest.fixture
def sshd(study: Study) -> Iterator[Daemon]:
    program = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:" + os.environ["PATH"])
    if not program:
        pytest.skip("no sshd: apt-get install openssh-server, which starts an SSH server where systemd runs")
    # Debian's sshd refuses to start as root without this folder, which its service makes.
    private = Path("/run/sshd")
    made = os.geteuid() == 0 and not private.exists()
    if made:
        private.mkdir(mode=0o755)
    try:
        daemon = Daemon(program, study)
        try:
            yield daemon
        finally:
            daemon.stop()
    finally:
        if made:
            private.rmdir()


def test_over_a_true_sshd_kills_at_either_end_and_of_the_connection_lose_no_record_and_double_none(study: Study, sshd: Daemon) -> None:
    rounds = 8
    plan = json.loads((study.folder / "plan.json").read_text())
    (study.folder / "plan.json").write_text(json.dumps(plan | {"repeats": rounds}))

    child = study.start()
    study.goes_on()
    os.kill(wait_for(study.worker), signal.SIGKILL)
    said, _ = child.communicate(timeout=120)
    assert child.returncode == 137, said

    child = study.start()
    study.goes_on()
    sshd.cut()
    said, _ = child.communicate(timeout=120)
    assert child.returncode == 255, said
    wait_for(lambda: study.worker() is None)

    child = study.start()
    study.goes_on()
    child.send_signal(signal.SIGKILL)
    child.wait()
    wait_for(lambda: study.worker() is None)
    assert len([line for line in study.there() if '"state":"ok"' in line]) < rounds, "all kills were in the middle"

    study.finish()
    assert study.rounds() == Counter(range(rounds))
