#!/usr/bin/env python3
"""Runs what this archive holds on this machine: nothing is compiled, installed or downloaded.

    ./run [--minutes 10] --out DIR

The steps in `steps.json` run in their order. Each has a time limit and a record of its own in work/steps; what is left
when the time is up runs at the next call. DIR/benchbook-gpu.tar.gz has everything so far, is written anew after each step,
and is where a call on a fresh machine goes on from. `environment/gpu --collect DIR` in the checkout reads it.

It needs Python 3.10 or newer with torch 2.11.0, the Python that runs this file.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
WORK = HERE / "work"
RESULTS = "benchbook-gpu.tar.gz"
# What may come back in one file, with room for the archive's own headers.
MOST_BYTES = 15 << 20
# What is kept of a step's output.
MOST_OUTPUT = 256 << 10
# A step is not begun with less than this left, and gets this long to end itself after SIGINT.
LEAST_SECONDS = 15
GRACE_SECONDS = 15
# Calls after which a step that failed is left alone. One that ran out of time goes on, as a study does from run to run.
MOST_ATTEMPTS = 3
TERMINATED = "run: terminated; the same command goes on from there"
DONE, FAILED, UNFINISHED, NOT_REACHED = "done", "failed", "out of time", "not reached"


def main() -> int:
    parser = argparse.ArgumentParser(prog="run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long this call may take (default: 10)")
    parser.add_argument("--out", type=Path, required=True, help="the folder for the results, one file")
    parser.add_argument("--only", help="these steps alone, by their ids with commas between")
    chosen = parser.parse_args()
    end = time.monotonic() + chosen.minutes * 60
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    steps = json.loads((HERE / "steps.json").read_text())
    chosen.out.mkdir(parents=True, exist_ok=True)
    resume(chosen.out / RESULTS)
    for folder in ("steps", "records", "output"):
        (WORK / folder).mkdir(parents=True, exist_ok=True)
    only = set(chosen.only.split(",")) if chosen.only else {step["id"] for step in steps}
    unknown = only - {step["id"] for step in steps}
    if unknown:
        parser.error(f"there is no step {', '.join(sorted(unknown))}; steps are {', '.join(step['id'] for step in steps)}")
    machine = describe()
    write_json(WORK / "machine.json", machine)
    environment = surroundings(machine)
    queue = order([step for step in steps if step["id"] in only])
    for number, step in enumerate(queue, 1):
        left = end - time.monotonic()
        if left < LEAST_SECONDS:
            print(f"the time is up; {len(queue) - number + 1} steps are left for the next call")
            break
        print(f"[{number}/{len(queue)}] {step['id']}: {step['title']} (at most {min(left, step['seconds']):.0f} s)", flush=True)
        record = take(step, environment, min(left - GRACE_SECONDS / 2, step["seconds"])) | {"cuda": machine["cuda"]}
        write_json(WORK / "steps" / f"{step['id']}.json", record)
        print(f"      {record['state']} after {record['seconds']:.0f} s{': ' + record['reason'] if record['reason'] else ''}", flush=True)
        pack(chosen.out / RESULTS)
    for step in steps:
        path = WORK / "steps" / f"{step['id']}.json"
        if not path.exists():
            write_json(path, {"id": step["id"], "title": step["title"], "state": NOT_REACHED, "attempts": 0, "reason": "", "seconds": 0.0})
    pack(chosen.out / RESULTS)
    states = [json.loads((WORK / "steps" / f"{step['id']}.json").read_text())["state"] for step in steps]
    counted = ", ".join(f"{states.count(state)} {state}" for state in (DONE, FAILED, UNFINISHED, NOT_REACHED))
    print(f"{counted}; results: {chosen.out / RESULTS}")
    return 0 if FAILED not in states else 1


def resume(results: Path) -> None:
    """Takes up the state of an earlier call that another machine ran; what is here is newer than any archive."""
    if results.exists() and not (WORK / "steps").exists():
        with tarfile.open(results) as archive:
            archive.extractall(WORK, filter="data")


def order(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What is left: first what was never tried, then what ran out of time or failed."""
    new, again = [], []
    for step in steps:
        path = WORK / "steps" / f"{step['id']}.json"
        record = json.loads(path.read_text()) if path.exists() else {"state": NOT_REACHED, "attempts": 0}
        if record["state"] == NOT_REACHED:
            new.append(step)
        elif record["state"] == UNFINISHED or (record["state"] == FAILED and record["attempts"] < MOST_ATTEMPTS):
            again.append(step)
    return new + again


def describe() -> dict[str, Any]:
    """The machine, and why it does not suit if it does not."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        sys.exit(f"run: {sys.executable} has no torch; start this file with a Python that has torch 2.11.0")
    found = [sys.executable, "-c", "import torch; print(torch.__version__, torch.cuda.is_available(), torch.cuda.device_count())"]
    version, available, count = subprocess.run(found, check=True, capture_output=True, text=True).stdout.split()
    if not version.startswith("2.11.0"):
        sys.exit(f"run: {sys.executable} has torch {version}, and this archive needs 2.11.0")
    machine = {"python": platform.python_version(), "torch": version, "torch_folder": str(Path(spec.origin).parent)}
    machine |= {"cuda": available == "True", "gpus": int(count), "cores": len(os.sched_getaffinity(0))}
    machine["libraries"] = {name: importlib.util.find_spec(name) is not None for name in ("jax", "keras", "torchvision", "triton")}
    if shutil.which("nvidia-smi"):
        asked = subprocess.run(["nvidia-smi", "-q"], capture_output=True, text=True)
        # Serial numbers and UUIDs are nobody's business.
        lines = [line for line in asked.stdout.splitlines() if not re.search(r"UUID|Serial|Bus Id", line)]
        machine["nvidia_smi"] = "\n".join(lines)[:20_000]
    return machine


def surroundings(machine: dict[str, Any]) -> dict[str, str]:
    """The environment of the steps: this Python as the one that has the references, with the packages that it lacks."""
    lacking = []
    for folder in sorted((HERE / "packages").iterdir()) if (HERE / "packages").exists() else []:
        names = [path.stem for path in folder.iterdir() if not path.name.endswith((".dist-info", ".data", "__pycache__"))]
        if not all(importlib.util.find_spec(name) for name in names):
            lacking.append(str(folder))
    binaries = WORK / "references/bin"
    binaries.mkdir(parents=True, exist_ok=True)
    for name in ("python", "python3"):
        script = binaries / name
        script.write_text(f'#!/bin/sh\nPYTHONPATH="{":".join(lacking)}" exec "{sys.executable}" "$@"\n')
        script.chmod(0o755)
    settings = {
        "BENCHBOOK_REFERENCES": str(WORK / "references"),
        "LIBTORCH": machine["torch_folder"],
        "PATH": f"{binaries}:{os.environ['PATH']}",
        "PYTHONUNBUFFERED": "1",
        # Compiled code of torch.compile and JAX stays for the next call.
        "TORCHINDUCTOR_CACHE_DIR": str(WORK / "compiled/torch"),
    }
    return os.environ | settings


def take(step: dict[str, Any], environment: dict[str, str], limit: float) -> dict[str, Any]:
    """Runs a step's commands at once, within the limit, and says how they ended."""
    began = time.monotonic()
    path = WORK / "steps" / f"{step['id']}.json"
    attempts = json.loads(path.read_text())["attempts"] if path.exists() else 0
    places = {"{here}": str(HERE), "{torch}": environment["LIBTORCH"]}

    def placed(text: str) -> str:
        for place, value in places.items():
            text = text.replace(place, value)
        return text

    environment = environment | {name: placed(value) for name, value in step["environment"].items()}
    output = Output()
    # A signal that comes while commands start is heeded when all of them are known.
    terminations: list[int] = []
    terminate = signal.signal(signal.SIGTERM, lambda number, _: terminations.append(number))
    beside = start(step["beside"], environment, sink := Output()) if step["beside"] else None
    processes = [start([placed(word) for word in command], environment, output) for command in step["commands"]]
    interrupted = timed_out = False
    try:
        signal.signal(signal.SIGTERM, terminate)
        if terminations:
            sys.exit(TERMINATED)
        while any(process.poll() is None for process in processes):
            if not interrupted and step["interrupt_after"] and re.search(step["interrupt_after"], output.text()):
                interrupted = True
                signal_all(processes, signal.SIGINT)
            if time.monotonic() - began > limit:
                timed_out = True
                end(processes)
                break
            time.sleep(0.1)
    except BaseException:
        # This call is interrupted itself: nothing that it has started goes on.
        end(processes + ([beside] if beside else []))
        raise
    for process in processes:
        process.wait()
        end_group(process)
        process.reader.join(timeout=5)
    if beside:
        end([beside])
        (WORK / "output" / f"{step['id']}-beside.txt").write_text(sink.text())
    said, statuses = output.text(), [process.returncode for process in processes]
    (WORK / "output" / f"{step['id']}.txt").write_text(said[-MOST_OUTPUT:])
    missing = [pattern for pattern in step["says"] if not re.search(pattern, said)]
    reason, state = "", DONE
    if timed_out:
        reason, state = f"it took longer than {limit:.0f} s; the next call goes on", UNFINISHED
    elif any(status not in step["status"] for status in statuses):
        last = next((line for line in reversed(said.splitlines()) if line.strip()), "")
        reason, state = f"exit status {', '.join(map(str, statuses))}, not {step['status'][0]}: {last.strip()[:300]}", FAILED
    elif missing:
        reason, state = f"its output lacks {missing[0]!r}", FAILED
    record = {"id": step["id"], "title": step["title"], "state": state, "reason": reason, "attempts": attempts + 1}
    record |= {"seconds": time.monotonic() - began, "status": statuses, "finished": int(time.time())}
    return record


class Output:
    """What processes print, in the order in which it arrives."""

    def __init__(self) -> None:
        self.lock, self.parts = threading.Lock(), bytearray()

    def add(self, data: bytes) -> None:
        with self.lock:
            self.parts += data
            # A progress line repeated for minutes is of no use.
            if len(self.parts) > 8 * MOST_OUTPUT:
                del self.parts[: 4 * MOST_OUTPUT]

    def text(self) -> str:
        with self.lock:
            return self.parts.decode(errors="replace").replace("\r", "\n")


def start(command: list[str], environment: dict[str, str], output: Output) -> subprocess.Popen[bytes]:
    """Starts a command in a process group of its own, and reads what it prints."""
    process = subprocess.Popen(
        command,
        cwd=HERE,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )

    def read() -> None:
        while data := process.stdout.read1(65_536):
            output.add(data)

    process.reader = threading.Thread(target=read, daemon=True)
    process.reader.start()
    return process


def signal_all(processes: list[subprocess.Popen[bytes]], number: int) -> None:
    """Sends a signal to those that still run, which pass it on."""
    for process in processes:
        if process.poll() is None:
            process.send_signal(number)


def end(processes: list[subprocess.Popen[bytes]]) -> None:
    """Lets processes end themselves, so that a study notes what it had, and ends what does not."""
    signal_all(processes, signal.SIGINT)
    patience = time.monotonic() + GRACE_SECONDS
    for process in processes:
        try:
            process.wait(timeout=max(0.1, patience - time.monotonic()))
        except subprocess.TimeoutExpired:
            pass
        end_group(process)
        process.wait()


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Ends what a command has started and what is still there."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n")


def pack(results: Path) -> None:
    """Puts everything so far into one file that may come back; outputs are left out, longest first, if it is too large."""
    files = [path for folder in ("steps", "records", "output") for path in sorted((WORK / folder).rglob("*")) if path.is_file()]
    files.append(WORK / "machine.json")
    outputs = sorted((path for path in files if path.parent.name == "output"), key=lambda path: path.stat().st_size)
    while True:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            for path in files:
                archive.add(path, path.relative_to(WORK))
        if buffer.tell() <= MOST_BYTES or not outputs:
            break
        files.remove(outputs.pop())
    if buffer.tell() > MOST_BYTES:
        print(f"run: {results} has {buffer.tell() >> 20} MiB; more than 16 MiB may not come back", file=sys.stderr)
    partial = results.with_name(f".{results.name}")
    partial.write_bytes(buffer.getvalue())
    partial.replace(results)


if __name__ == "__main__":
    sys.exit(main())
