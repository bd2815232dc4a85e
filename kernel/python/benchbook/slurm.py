"""`benchbook study PLAN.json --on slurm[:PARTITION]`: a study as a Slurm job array, one task for each round.

The packed job, the plan and a file of records for each round are in a folder beside the study's file of records, on a
file system that the nodes share. The nodes read images and files of weights in place. A task runs the warm-up rounds
and its own round, alone on one node. The tasks have a job name by which a later call finds them in the queue: the call
waits for the tasks of an earlier, killed call, and submits only rounds that are neither queued nor complete.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchbook.remote import Failed, Place, Study, lock, merge, whole_lines

# How long cancelled tasks may take to end, in seconds. Slurm kills them after KillWait, 30 s by default.
END = 90
# The longest pause between two queries of the queue, in seconds.
PAUSE = 20.0


def slurm(*words: str | Path, text: str = "") -> str:
    """Runs a command of Slurm or of this machine; returns its output."""
    try:
        ran = subprocess.run(words, input=text, capture_output=True, text=True)
    except FileNotFoundError:
        raise Failed(f"there is no `{words[0]}` here; --on slurm needs a machine that submits jobs") from None
    if ran.returncode:
        raise Failed(f"`{words[0]}`: {ran.stderr.strip() or ran.stdout.strip() or f'status {ran.returncode}'}")
    return ran.stdout


def has_ended(line: bytes, study: str) -> bool:
    """Whether a line of a file of records is a successful run of a study. A killed process may have left half a line."""
    try:
        row = json.loads(line)
    except ValueError:
        return False
    return row.get("status") == {"state": "ok"} and (row.get("place") or {}).get("study") == study


@dataclass(frozen=True)
class Array(Place):
    """The tasks of one study, and their folder."""

    folder: Path
    name: str
    partition: str
    before: str
    options: list[str]

    def records(self) -> bytes:
        return b"".join(whole_lines(path.read_bytes()) for path in sorted(self.folder.glob("records-*.jsonl")))

    def run(self, study: Study, records: Path) -> int:
        plan, sent = study.text(), self.folder / "study.json"
        queued = self.queue()
        # Tasks may have left the queue since their records were read.
        with records.open("a+b") as file:
            merge(file, self.records())
        if not queued:
            self.prepare(study, plan)
        elif not sent.exists() or sent.read_bytes() != plan:
            raise Failed(f"the job {self.name} in the queue runs another plan; wait for its end, or run `scancel --name={self.name}`")
        try:
            if rounds := [number for number in self.missing(study, records) if number not in queued]:
                self.submit(rounds, records)
            self.wait()
        except SystemExit:
            slurm("scancel", f"--name={self.name}", f"--user={os.getuid()}")
            self.wait(END)
            raise
        return 0

    def finish(self, study: Study, records: Path, status: int) -> int:
        plan = json.loads(study.text())
        shown = {"baseline": "--baseline", "target_accuracy": "--target-accuracy", "price_per_hour": "--price-per-hour"}
        options = [word for key, option in shown.items() if plan.get(key) is not None for word in (option, str(plan[key]))]
        print(study.benchbook("study", "--show", records, *options))
        if missing := self.missing(study, records):
            logs = ", ".join(str(self.folder / f"round-{number}.out") for number in missing)
            raise Failed(f"missing rounds: {', '.join(map(str, missing))}; see {logs}")
        return status if any(has_ended(line, study.name) for line in records.read_bytes().split(b"\n")) else 1

    def prepare(self, study: Study, plan: bytes) -> None:
        """Writes the packed job and the plan to the folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        archive = self.folder / "bench.tar.gz"
        study.pack(archive)
        slurm("tar", "-xzf", archive, "-C", self.folder)
        archive.unlink()
        (self.folder / "study.json").write_bytes(plan)

    def missing(self, study: Study, records: Path) -> list[int]:
        """The rounds that no single node has completed."""
        said = study.benchbook("study", self.folder / "study.json", "--records", records, "--missing")
        return json.loads(said)["missing"]

    def submit(self, rounds: list[int], records: Path) -> None:
        """Submits rounds. The file of each round starts with all records, so that a task on the same node resumes the round."""
        for number in rounds:
            with (self.folder / f"records-{number}.jsonl").open("a+b") as file:
                lock(file, f"a process of round {number} still runs although its task has left the queue ({file.name} is locked); end it")
                merge(file, records.read_bytes())
        script = f"""#!/bin/sh
{self.before}
exec benchbook-bench/study study.json --round "$SLURM_ARRAY_TASK_ID" --records "records-$SLURM_ARRAY_TASK_ID.jsonl"
"""
        partition = [f"--partition={self.partition}"] if self.partition else []
        slurm(
            "sbatch",
            # Other jobs on the node would disturb the times.
            "--exclusive",
            # If an option occurs twice, sbatch uses the last one.
            *self.options,
            f"--array={','.join(map(str, rounds))}",
            f"--job-name={self.name}",
            f"--chdir={self.folder}",
            "--output=round-%a.out",
            "--open-mode=append",
            "--nodes=1",
            "--ntasks=1",
            *partition,
            text=script,
        )

    def queue(self) -> dict[int, str]:
        """The waiting and running rounds, with their states."""
        mine = ["--array", f"--name={self.name}", f"--user={os.getuid()}"]
        lines = slurm("squeue", "--noheader", *mine, "--format=%K %T %R").splitlines()
        found = [re.fullmatch(r"(\d+) (.*)", line.strip()) for line in lines]
        return {int(match[1]): match[2] for match in found if match}

    def wait(self, seconds: float | None = None) -> None:
        """Waits until no round is in the queue, and prints changes of state."""
        end = None if seconds is None else time.monotonic() + seconds
        told: dict[int, str] = {}
        pause = 1.0
        while queued := self.queue():
            for number, state in queued.items():
                if told.get(number) != state:
                    print(f"round {number}: {state}", file=sys.stderr, flush=True)
            told = queued
            if end is not None and time.monotonic() > end:
                raise Failed(f"the job {self.name} is still in the queue {seconds} s after `scancel`")
            time.sleep(pause)
            pause = min(PAUSE, pause * 1.2)
