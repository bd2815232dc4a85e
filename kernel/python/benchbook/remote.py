"""`benchbook study PLAN.json --on WHERE`: a study on other machines, over OpenSSH or as a Slurm job array (`slurm.py`).

Over OpenSSH, copies the packed job (`benchbook bench --pack`), the plan and the images to a folder on the host, runs the whole study
there, and adds its records to the local file, each line once. The study on the host resumes from the host's own file of
records. The host needs Python's PyTorch or LIBTORCH, and `tar` and `flock`; it needs neither Rust nor a network.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from abc import ABC, abstractmethod
from argparse import ArgumentParser
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO, Any

from benchbook import server

# How long a study may take to end after its connection is lost, in seconds.
END = 60
# Runs the study until it ends, or until standard input ends because the connection is lost. SIGTERM then ends the study,
# with a row that states the interruption.
WATCHED = """exec 3<&0
benchbook-bench/study study.json </dev/null 3<&- & study=$!
(while read -r _ <&3; do :; done; kill -TERM $study) >/dev/null 2>&1 & watcher=$!
wait $study; status=$?
kill $watcher 2>/dev/null
exit $status"""


class Failed(Exception):
    """An error; the message says what went wrong, where, and what to do."""


@dataclass(frozen=True)
class Study:
    """A plan to run on other machines, and the installation that packs it."""

    plan: dict[str, Any]
    program: Path
    template: list[str]

    @classmethod
    def read(cls, path: Path, program: Path, template: list[str]) -> Study:
        """Reads a plan and makes its paths absolute."""
        try:
            plan = json.loads(path.read_text())
            job = plan["job"]
            images = Path(job["data"]).absolute()
            weights = job.get("build", {}).get("weights")
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise Failed(f"{path} must be the plan of a study with `job.data` (JSON): {error!r}") from None
        if not images.is_dir():
            raise Failed(f"{path}: `job.data` must be a folder of images; got {images}")
        job["data"] = str(images)
        if isinstance(weights, dict) and "file" in weights:
            weights["file"] = str(Path(weights["file"]).absolute())
        return cls(plan, program, template)

    @property
    def name(self) -> str:
        return str(self.plan.get("name", "study"))

    def text(self, **changes: Any) -> bytes:
        """The plan as JSON, with changes to its job."""
        plan = self.plan | {"records": "records.jsonl", "job": self.plan["job"] | changes}
        return json.dumps(plan).encode()

    def benchbook(self, *words: str | Path) -> str:
        """Runs a command of Benchbook on this machine, such as `benchbook study --show FILE`; returns its output."""
        command = [self.program, words[0], *self.template, *words[1:]]
        ran = subprocess.run(command, capture_output=True, text=True, env=server.environment())
        if ran.returncode:
            raise Failed(f"`benchbook {' '.join(map(str, words))}`: {ran.stderr.strip()}")
        return ran.stdout

    def pack(self, archive: Path) -> None:
        """Writes the packed job."""
        self.benchbook("bench", "--pack", archive)


class Place(ABC):
    """A place where a study runs. A signal raises `SystemExit` in the waiting call, and the study there ends, too."""

    @abstractmethod
    def records(self) -> bytes:
        """The complete lines of the records there, including those of earlier calls."""

    @abstractmethod
    def run(self, study: Study, records: Path) -> int:
        """Runs the rounds that the records lack, and waits for their end; returns the exit status."""

    def finish(self, study: Study, records: Path, status: int) -> int:
        """Reports the outcome after the records have been added; returns the exit status. Default: the status of `run`."""
        return status


@dataclass(frozen=True)
class Host(Place):
    """A host, and the folder of one study on it, relative to the user's home folder."""

    name: str
    folder: str
    before: str

    def command(self, script: str) -> list[str]:
        inside = f"mkdir -p {self.folder} && cd {self.folder} && {{ {script}\n}}"
        return ["ssh", "-o", "BatchMode=yes", "-o", "ServerAliveInterval=15", "--", self.name, f"sh -c {shlex.quote(inside)}"]

    def do(self, script: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
        """Runs a script in the folder; returns its output."""
        options = {"stdin": subprocess.DEVNULL} if "input" not in options and "stdin" not in options else options
        ran = subprocess.run(self.command(script), capture_output=True, **options)
        if ran.returncode:
            said = ran.stderr.decode(errors="replace").strip() or f"status {ran.returncode}"
            raise Failed(f"{self.name}: {said} (try `ssh {self.name} true`)")
        return ran

    def records(self) -> bytes:
        """Waits for the end of a study that still holds the lock of the file of records; returns the file's complete lines."""
        busy = f"a study still runs there after {END} s"
        script = f"[ -e records.jsonl ] || exit 0; flock -w {END} records.jsonl cat records.jsonl || {{ echo '{busy}' >&2; exit 1; }}"
        return whole_lines(self.do(script).stdout)

    def run(self, study: Study, records: Path) -> int:
        self.send(study)
        # A host whose folder was removed needs the records to resume.
        self.do("[ -s records.jsonl ] || { cat > records.new && mv records.new records.jsonl; }", input=records.read_bytes())
        script = f"{self.before}\n{WATCHED}" if self.before else WATCHED
        # ssh gets its own process group, so an interrupt reaches only this process, which then closes ssh's standard input.
        child = subprocess.Popen(self.command(script), stdin=subprocess.PIPE, start_new_session=True)
        assert child.stdin
        try:
            return child.wait()
        finally:
            child.stdin.close()
            child.wait()

    def send(self, study: Study) -> None:
        """Copies the packed job, the plan and the images to the host; skips images that the host already has."""
        weights = study.plan["job"].get("build", {}).get("weights")
        if isinstance(weights, dict) and "file" in weights:
            raise Failed("`build.weights` must be random or published weights for a study over SSH; got a file of this machine")
        images = Path(study.plan["job"]["data"])
        with tempfile.TemporaryDirectory() as folder:
            archive = Path(folder) / "bench.tar.gz"
            study.pack(archive)
            with archive.open("rb") as stream:
                self.do("rm -rf benchbook-bench && tar -xzf -", stdin=stream)
        self.do("cat > study.json.new && mv study.json.new study.json", input=study.text(data="images"))
        sum_ = digest(images)
        if self.do("cat images.digest 2>/dev/null || true").stdout.decode().strip() == sum_:
            return
        script = f"rm -rf images images.digest && mkdir images && tar -xf - -C images && echo {sum_} > images.digest.new"
        # Leaving the block closes the pipe, which ends a `tar` whose reader has failed.
        with subprocess.Popen(["tar", "-chf", "-", "-C", images, "."], stdout=subprocess.PIPE) as tar:
            self.do(script, stdin=tar.stdout)
        if tar.returncode:
            raise Failed(f"`tar` cannot read {images}")
        self.do("mv images.digest.new images.digest")


def whole_lines(text: bytes) -> bytes:
    return text[: text.rfind(b"\n") + 1]


def lock(file: IO[bytes], message: str) -> None:
    """Locks a file of records against other studies until it is closed, as Benchbook's own `RecordsLock` does."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Failed(message) from None


def merge(file: IO[bytes], lines: bytes) -> int:
    """Adds the lines that a file of records lacks, in one write; returns their number."""
    file.seek(0)
    known = file.read()
    here = set(known.split(b"\n"))
    new = [line for line in dict.fromkeys(lines.split(b"\n")) if line.strip() and line not in here]
    if new:
        # End a killed process's partial line first, as Benchbook's own `append` does.
        begin = b"\n" if known and not known.endswith(b"\n") else b""
        file.write(begin + b"".join(line + b"\n" for line in new))
        file.flush()
        os.fsync(file.fileno())
    return len(new)


def digest(images: Path) -> str:
    """A digest of the names, sizes and times of the files in a folder."""
    # As `tar -h`, follows links to folders, which `rglob` does not.
    folders = os.walk(images, followlinks=True)
    files = sorted(path for folder, _, names in folders for name in names if (path := Path(folder, name)).is_file())
    facts = [(str(path.relative_to(images)), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def stop(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def joined(words: list[str]) -> list[str]:
    """The arguments with `--sbatch OPTIONS` as `--sbatch=OPTIONS`: argparse takes a value such as `--time=60` for an option."""
    found: list[str] = []
    for word in words:
        if found and found[-1] == "--sbatch":
            found[-1] = f"--sbatch={word}"
        else:
            found.append(word)
    return found


def main(words: list[str], program: Path) -> int:
    """Runs `benchbook study` with its arguments, which include `--on`; returns the exit status."""
    parser = ArgumentParser(prog="benchbook study", description="Runs a study on other machines; the same command resumes it.")
    parser.add_argument("plan", type=Path, help="STUDY.json; copied to the machines, over SSH together with its images")
    parser.add_argument(
        "--on",
        required=True,
        metavar="WHERE",
        help="ssh:HOST, to which `ssh` connects without a password prompt; slurm or slurm:PARTITION for a job array from this machine",
    )
    parser.add_argument("--records", type=Path, help="the file for the records; default: results/NAME-on-WHERE.jsonl")
    parser.add_argument("--before", default="", help="shell commands to run there before the study, such as '. venv/bin/activate'")
    parser.add_argument("--sbatch", default="", metavar="OPTIONS", help="further options of sbatch, such as '--gres=gpu:1 --time=60'")
    parser.add_argument("--template", help="the template to pack")
    given = parser.parse_args(joined(words))
    kind, _, name = given.on.partition(":")
    if kind not in ("ssh", "slurm") or (kind == "ssh" and not name):
        parser.error(f"--on needs ssh:HOST, slurm or slurm:PARTITION; got {given.on}")
    if given.sbatch and kind != "slurm":
        parser.error(f"--sbatch needs --on slurm; got --on {given.on}")
    try:
        study = Study.read(given.plan, program, ["--template", given.template] if given.template else [])
        where = name if kind == "ssh" else given.on.replace(":", "-")
        file = (given.records or Path("results") / f"{study.name}-on-{where}.jsonl").absolute()
        file.parent.mkdir(parents=True, exist_ok=True)
        # Studies with one file of records share the folder of their tasks, so the queue must show the tasks of all of them.
        identity = [str(file.resolve())] if kind == "slurm" else [study.name, str(file.resolve())]
        key = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]
        place: Place
        if kind == "ssh":
            place = Host(name, f".cache/benchbook/studies/{key}", given.before)
            # A study over SSH ends with its terminal; a job array continues without it.
            signal.signal(signal.SIGHUP, stop)
        else:
            from benchbook.slurm import Array

            place = Array(file.with_name(f"{file.name}.tasks"), f"benchbook-{key}", name, given.before, shlex.split(given.sbatch))
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
        with file.open("a+b") as records:
            lock(records, f"another study uses {file}; wait for its end or set --records")
            # Records of an earlier call whose connection was lost, or that was killed.
            added = merge(records, place.records())
            try:
                status = place.run(study, file)
            finally:
                added += merge(records, place.records())
                print(f"{file}: {added} new records of {given.on}", file=sys.stderr)
        return place.finish(study, file, status)
    except Failed as error:
        print(f"benchbook study: {error}; the same command resumes", file=sys.stderr)
        return 1
