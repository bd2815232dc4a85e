"""`benchbook study PLAN.json --on ssh:HOST`: a study on another machine, over OpenSSH.

The packed job (`benchbook bench --pack`), the plan and the images go to a folder of the host, the host runs the whole
study there, and its records come back. The host's file of records is the one that is resumed; lines that have come back
are never added twice. The host needs Python's PyTorch or LIBTORCH, and `tar` and `flock`; no Rust and no network.
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
from argparse import ArgumentParser
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO, Any

from benchbook import server

# How long a study of a lost connection may take to end, in seconds.
END = 60
# Runs the study until it ends, or until standard input ends because the connection is lost; SIGTERM ends the study with
# a row that says so.
WATCHED = """exec 3<&0
benchbook-bench/study study.json </dev/null 3<&- & study=$!
(while read -r _ <&3; do :; done; kill -TERM $study) >/dev/null 2>&1 & watcher=$!
wait $study; status=$?
kill $watcher 2>/dev/null
exit $status"""


class Failed(Exception):
    """What went wrong, where, and what to do."""


@dataclass(frozen=True)
class Host:
    """A machine, and the folder of one study on it, relative to the user's home folder."""

    name: str
    folder: str

    def command(self, script: str) -> list[str]:
        inside = f"mkdir -p {self.folder} && cd {self.folder} && {{ {script}\n}}"
        return ["ssh", "-o", "BatchMode=yes", "-o", "ServerAliveInterval=15", "--", self.name, f"sh -c {shlex.quote(inside)}"]

    def run(self, script: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
        """Runs a script in the folder and returns what it printed."""
        options = {"stdin": subprocess.DEVNULL} if "input" not in options and "stdin" not in options else options
        ran = subprocess.run(self.command(script), capture_output=True, **options)
        if ran.returncode:
            said = ran.stderr.decode(errors="replace").strip() or f"status {ran.returncode}"
            raise Failed(f"{self.name}: {said} (try `ssh {self.name} true`)")
        return ran

    def records(self) -> bytes:
        """Waits for the end of a study that still has the file of records, and returns the file's whole lines."""
        busy = f"a study still runs there after {END} s"
        script = f"[ -e records.jsonl ] || exit 0; flock -w {END} records.jsonl cat records.jsonl || {{ echo '{busy}' >&2; exit 1; }}"
        text = self.run(script).stdout
        return text[: text.rfind(b"\n") + 1]


def merge(file: IO[bytes], lines: bytes) -> int:
    """Adds to a file of records those lines that it does not have, in one piece, and returns how many."""
    file.seek(0)
    known = file.read()
    here = set(known.split(b"\n"))
    new = [line for line in dict.fromkeys(lines.split(b"\n")) if line.strip() and line not in here]
    if new:
        # A half line of a killed process is ended first, as Benchbook's own `append` does.
        begin = b"\n" if known and not known.endswith(b"\n") else b""
        file.write(begin + b"".join(line + b"\n" for line in new))
        file.flush()
        os.fsync(file.fileno())
    return len(new)


def digest(images: Path) -> str:
    """Changes with the names, sizes and times of the files in a folder."""
    files = sorted(path for path in images.rglob("*") if path.is_file())
    facts = [(str(path.relative_to(images)), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def send(host: Host, program: Path, template: list[str], plan: dict[str, Any], images: Path) -> None:
    """Brings the packed job, the plan and the images to the host; images that are there already stay."""
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "bench.tar.gz"
        packed = subprocess.run([program, "bench", *template, "--pack", archive], capture_output=True, text=True, env=server.environment())
        if packed.returncode:
            raise Failed(f"the job could not be packed: {packed.stderr.strip()}")
        with archive.open("rb") as stream:
            host.run("rm -rf benchbook-bench && tar -xzf -", stdin=stream)
    host.run("cat > study.json.new && mv study.json.new study.json", input=json.dumps(plan).encode())
    sum_ = digest(images)
    if host.run("cat images.digest 2>/dev/null || true").stdout.decode().strip() == sum_:
        return
    tar = subprocess.Popen(["tar", "-chf", "-", "-C", images, "."], stdout=subprocess.PIPE)
    host.run(f"rm -rf images images.digest && mkdir images && tar -xf - -C images && echo {sum_} > images.digest.new", stdin=tar.stdout)
    if tar.wait():
        raise Failed(f"`tar` could not read {images}")
    host.run("mv images.digest.new images.digest")


def read(path: Path) -> tuple[dict[str, Any], Path]:
    """Reads a plan, and returns it as the host gets it, with the folder of its images."""
    try:
        plan = json.loads(path.read_text())
        images = Path(plan["job"]["data"])
        weights = plan["job"].get("build", {}).get("weights")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Failed(f"{path} is no plan of a study with `job.data`: {error!r}") from None
    if isinstance(weights, dict) and "file" in weights:
        raise Failed(f"{path}: `build.weights` is a file of this machine; studies on other machines begin at random or published weights")
    if not images.is_dir():
        raise Failed(f"{path}: `job.data` is {images}, which is no folder")
    plan["records"] = "records.jsonl"
    plan["job"] = plan["job"] | {"data": "images"}
    return plan, images


def study(host: Host, before: str) -> int:
    """Runs the study on the host and returns its exit status. The host ends it when this process ends."""
    script = f"{before}\n{WATCHED}" if before else WATCHED
    # A group of its own: an interrupt is for this process, which closes the other one's standard input.
    child = subprocess.Popen(host.command(script), stdin=subprocess.PIPE, start_new_session=True)
    assert child.stdin
    try:
        return child.wait()
    finally:
        child.stdin.close()
        child.wait()


def stop(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def main(words: list[str], program: Path) -> int:
    """Runs `benchbook study` with the words behind it, one of which is `--on`; returns the exit status."""
    parser = ArgumentParser(prog="benchbook study", description="Runs a study on another machine; the same command resumes it.")
    parser.add_argument("plan", type=Path, help="STUDY.json; its images and settings go to the machine")
    parser.add_argument("--on", required=True, metavar="ssh:HOST", help="a name that `ssh` connects to without a question")
    parser.add_argument("--records", type=Path, help="where the records go; default: results/NAME-on-HOST.jsonl")
    parser.add_argument("--before", default="", help="shell commands on the host before the study, such as '. venv/bin/activate'")
    parser.add_argument("--template", help="the template to pack")
    given = parser.parse_args(words)
    kind, _, name = given.on.partition(":")
    if kind != "ssh" or not name:
        parser.error(f"--on needs ssh:HOST; got {given.on}")
    try:
        plan, images = read(given.plan)
        title = str(plan.get("name", "study"))
        file = given.records or Path("results") / f"{title}-on-{name}.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        key = hashlib.sha256(json.dumps([title, str(file.resolve())]).encode()).hexdigest()[:16]
        host = Host(name, f".cache/benchbook/studies/{key}")
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, stop)
        with file.open("a+b") as records:
            try:
                fcntl.flock(records, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Failed(f"another study uses {file}; wait for its end or set --records") from None
            # What a lost connection has left there, and what a host that was cleaned needs to resume.
            merge(records, host.records())
            send(host, program, ["--template", given.template] if given.template else [], plan, images)
            records.seek(0)
            host.run("[ -s records.jsonl ] || { cat > records.new && mv records.new records.jsonl; }", input=records.read())
            try:
                status = study(host, given.before)
            finally:
                added = merge(records, host.records())
                print(f"{file}: {added} new records of {name}", file=sys.stderr)
        return status
    except Failed as error:
        print(f"benchbook study: {error}; the same command resumes", file=sys.stderr)
        return 1
