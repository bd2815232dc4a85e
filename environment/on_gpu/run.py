#!/usr/bin/env python3
"""Runs this archive's steps on this machine. Compiles, installs and downloads nothing.

    ./run [--minutes 10] --out DIR

The steps in `steps.json` run in order. Each has a time limit and a record in work/steps; the next call runs the steps that
remain when the time is up. DIR/benchbook-gpu.tar.gz holds all results so far. It is rewritten after each step, and a call on
a new machine resumes from it. `environment/gpu --collect DIR` in the checkout reads it.

The Python that runs this file must be 3.10 or newer and have torch 2.11.0.
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

from aims import aims, parsed

HERE = Path(__file__).resolve().parent
WORK = HERE / "work"
RESULTS = "benchbook-gpu.tar.gz"
# The folders of WORK that are returned, and those of them that may be left out.
KEPT = ("steps", "records", "output", "profiles")
SPARED = ("output", "profiles")
# Maximum size of the returned file, with room for the archive's headers.
MOST_BYTES = 15 << 20
# Maximum stored output of a step.
MOST_OUTPUT = 256 << 10
# Minimum remaining time to begin a step, and a step's time to end after SIGINT.
LEAST_SECONDS = 15
GRACE_SECONDS = 15
# Maximum number of attempts at a failing step. A step that ran out of time continues, since a study resumes run by run.
MOST_ATTEMPTS = 3
STOPPED = "run: stopped; the same command resumes"
STOPS = (signal.SIGINT, signal.SIGTERM)
# Prints torch's version and the GPUs' names.
TORCH = """
import json, torch
names = [torch.cuda.get_device_name(gpu) for gpu in range(torch.cuda.device_count())]
print(json.dumps({"torch": torch.__version__, "gpus": names}))
"""
DONE, FAILED, UNFINISHED, NOT_REACHED = "done", "failed", "out of time", "not reached"


def main() -> int:
    parser = argparse.ArgumentParser(prog="run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long this call may take (default: 10)")
    parser.add_argument("--out", type=Path, required=True, help="the folder for the results, one file")
    parser.add_argument("--only", help="these steps alone, by their ids with commas between")
    chosen = parser.parse_args()
    end = time.monotonic() + chosen.minutes * 60
    for number in STOPS:
        signal.signal(number, lambda *_: sys.exit(STOPPED))
    steps = json.loads((HERE / "steps.json").read_text())
    chosen.out.mkdir(parents=True, exist_ok=True)
    resume(chosen.out / RESULTS)
    for folder in KEPT:
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
        if step["if_missed"] and not missed(step["if_missed"]):
            not_reached(step, f"no aim of {step['if_missed']} was missed so far")
            continue
        print(f"[{number}/{len(queue)}] {step['id']}: {step['title']} (at most {min(left, step['seconds']):.0f} s)", flush=True)
        record = take(step, environment, min(left - GRACE_SECONDS / 2, step["seconds"])) | {"cuda": machine["cuda"]}
        write_json(record_of(step), record)
        print(f"      {record['state']} after {record['seconds']:.0f} s{': ' + record['reason'] if record['reason'] else ''}", flush=True)
        pack(chosen.out / RESULTS)
    for step in steps:
        if not record_of(step).exists():
            not_reached(step)
    pack(chosen.out / RESULTS)
    states = [json.loads(record_of(step).read_text())["state"] for step in steps]
    counted = ", ".join(f"{states.count(state)} {state}" for state in (DONE, FAILED, UNFINISHED, NOT_REACHED))
    print(f"{counted}; results: {chosen.out / RESULTS}")
    return 0 if FAILED not in states else 1


def record_of(step: dict[str, Any]) -> Path:
    """The file with the record of a step."""
    return WORK / "steps" / f"{step['id']}.json"


def not_reached(step: dict[str, Any], reason: str = "") -> None:
    """Records that a step has not run; keeps the record of an earlier call."""
    path = record_of(step)
    if path.exists() and json.loads(path.read_text())["state"] != NOT_REACHED:
        return
    record = {"id": step["id"], "title": step["title"], "state": NOT_REACHED, "attempts": 0, "reason": reason, "seconds": 0.0}
    write_json(path, record)


def missed(study: str) -> bool:
    """Whether an aim of a study was missed, by its records so far."""
    path = WORK / "records" / f"{study}.jsonl"
    records = parsed(path.read_text()) if path.exists() else []
    return any(aim.verdict == "missed" for aim in aims({study: records}))


def resume(results: Path) -> None:
    """Restores the state of an earlier call on another machine; existing local state is newer than any archive."""
    if results.exists() and not (WORK / "steps").exists():
        with tarfile.open(results) as archive:
            archive.extractall(WORK, filter="data")


def order(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The remaining steps: first those never tried, then those that ran out of time or failed."""
    new, again = [], []
    for step in steps:
        path = record_of(step)
        record = json.loads(path.read_text()) if path.exists() else {"state": NOT_REACHED, "attempts": 0}
        if record["state"] == NOT_REACHED:
            new.append(step)
        elif record["state"] == UNFINISHED or (record["state"] == FAILED and record["attempts"] < MOST_ATTEMPTS):
            again.append(step)
    return new + again


def describe() -> dict[str, Any]:
    """Describes the machine; exits with the reason if it is unsuitable."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        sys.exit(f"run: {sys.executable} has no torch; start this file with a Python that has torch 2.11.0")
    asked = subprocess.run([sys.executable, "-c", TORCH], capture_output=True, text=True)
    if asked.returncode != 0:
        sys.exit(f"run: {sys.executable} cannot import torch: {(asked.stderr.strip().splitlines() or ['no message'])[-1]}")
    torch = json.loads(asked.stdout.splitlines()[-1])
    if not torch["torch"].startswith("2.11.0"):
        sys.exit(f"run: {sys.executable} has torch {torch['torch']}, and this archive needs 2.11.0")
    machine = torch | {"python": platform.python_version(), "torch_folder": str(Path(spec.origin).parent)}
    machine |= {"cuda": bool(torch["gpus"]), "cores": len(os.sched_getaffinity(0))}
    machine["libraries"] = {name: importlib.util.find_spec(name) is not None for name in ("jax", "keras", "torchvision", "triton")}
    if shutil.which("nvidia-smi"):
        asked = subprocess.run(["nvidia-smi", "-q"], capture_output=True, text=True)
        # Leave out serial numbers and UUIDs, which identify the machine.
        lines = [line for line in asked.stdout.splitlines() if not re.search(r"UUID|Serial|Bus Id", line)]
        machine["nvidia_smi"] = "\n".join(lines)[:20_000]
    return machine


def surroundings(machine: dict[str, Any]) -> dict[str, str]:
    """The steps' environment: this Python for the references, with the packages that it lacks."""
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
    }
    return os.environ | settings


def take(step: dict[str, Any], environment: dict[str, str], limit: float) -> dict[str, Any]:
    """Runs a step's commands concurrently, within the limit, and returns their record."""
    began = time.monotonic()
    path = record_of(step)
    attempts = json.loads(path.read_text())["attempts"] if path.exists() else 0
    places = {"{here}": str(HERE), "{torch}": environment["LIBTORCH"]}

    def placed(text: str) -> str:
        for place, value in places.items():
            text = text.replace(place, value)
        return text

    environment = environment | {name: placed(value) for name, value in step["environment"].items()}
    output = Output()
    sink = Output()
    processes: list[subprocess.Popen[bytes]] = []
    beside: list[subprocess.Popen[bytes]] = []
    # A signal that arrives while commands start is handled once all of them are known.
    stops: list[int] = []
    heed = {number: signal.signal(number, lambda number, _: stops.append(number)) for number in STOPS}
    interrupted = timed_out = False
    refused = ""
    try:
        try:
            if step["beside"]:
                beside.append(start(step["beside"], environment, sink))
            for command in step["commands"]:
                processes.append(start([placed(word) for word in command], environment, output))
        except OSError as error:
            refused = f"a command does not start: {error}"
        for number, handler in heed.items():
            signal.signal(number, handler)
        if stops:
            sys.exit(STOPPED)
        if refused:
            end(processes)
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
        # This call itself is interrupted: end everything that it has started.
        end(processes + beside)
        raise
    for process in processes:
        process.wait()
        end_group(process)
        process.reader.join(timeout=5)
    if beside:
        end(beside)
        (WORK / "output" / f"{step['id']}-beside.txt").write_text(sink.text())
    said, statuses = output.text(), [process.returncode for process in processes]
    (WORK / "output" / f"{step['id']}.txt").write_text(said[-MOST_OUTPUT:])
    missing = [pattern for pattern in step["says"] if not re.search(pattern, said)]
    reason, state = "", DONE
    if refused:
        reason, state = refused, FAILED
    elif timed_out:
        reason, state = f"it exceeded its limit of {limit:.0f} s; the next call resumes", UNFINISHED
    elif any(status not in step["status"] for status in statuses):
        last = next((line for line in reversed(said.splitlines()) if line.strip()), "")
        reason, state = f"exit status {', '.join(map(str, statuses))}, not {step['status'][0]}: {last.strip()[:300]}", FAILED
    elif missing:
        reason, state = f"its output lacks {missing[0]!r}", FAILED
    record = {"id": step["id"], "title": step["title"], "state": state, "reason": reason, "attempts": attempts + 1}
    record |= {"seconds": time.monotonic() - began, "status": statuses, "finished": int(time.time())}
    return record


class Output:
    """The output of processes, in the order of arrival."""

    def __init__(self) -> None:
        self.lock, self.parts = threading.Lock(), bytearray()

    def add(self, data: bytes) -> None:
        with self.lock:
            self.parts += data
            # Drop old output, such as a progress line repeated for minutes.
            if len(self.parts) > 8 * MOST_OUTPUT:
                del self.parts[: 4 * MOST_OUTPUT]

    def text(self) -> str:
        with self.lock:
            return self.parts.decode(errors="replace").replace("\r", "\n")


def start(command: list[str], environment: dict[str, str], output: Output) -> subprocess.Popen[bytes]:
    """Starts a command in a new process group, and reads its output."""
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
    """Sends a signal to the running processes, which forward it."""
    for process in processes:
        if process.poll() is None:
            process.send_signal(number)


def end(processes: list[subprocess.Popen[bytes]]) -> None:
    """Interrupts processes, so that a study can save its state, and kills those that do not end."""
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
    """Kills the remaining processes of a command's group."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def write_json(path: Path, value: Any) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(value, indent=1) + "\n")
    partial.replace(path)


def pack(results: Path) -> None:
    """Packs all results so far into the returned file; if it is too large, leaves out outputs and profiles, largest first."""
    files = [path for folder in KEPT for path in sorted((WORK / folder).rglob("*")) if path.is_file()]
    files.append(WORK / "machine.json")
    spared = [path for path in files if path.relative_to(WORK).parts[0] in SPARED]
    outputs = sorted(spared, key=lambda path: path.stat().st_size)
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
