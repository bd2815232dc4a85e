"""`benchbook study --on ssh:HOST` with the true packed job. A program in the place of `ssh` runs the host's commands here, in
a home folder of its own, and ends them as sshd does: by the end of their standard input. No network is involved."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
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


class Study:
    """The command, its host, and both files of records."""

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
        """How often each round counts. No line of the host is missing here, and none is here twice."""
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

    assert "`build.weights` is a file of this machine" in said(weights={"file": "/home/somebody/vgg16.pth"})
    assert "elsewhere: no host elsewhere (try `ssh elsewhere true`)" in said("ssh:elsewhere")
    assert "--on needs ssh:HOST; got slurm" in said("slurm")
