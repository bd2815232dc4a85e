"""Merges the results of machines with GPUs: a file of records per study, a page, charts, the aims, and profiles."""

import json
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aims import Record, aims, by_machine, of, parsed, peak, step_seconds
from plan import Scale, plan
from run import DONE, FAILED, NOT_REACHED, RESULTS, UNFINISHED

# The categories of GPU events in PyTorch's profiler.
ON_GPU = ("kernel", "gpu_memcpy", "gpu_memset")
# The states from best to worst; the best of several attempts at a step counts.
ORDER = [DONE, UNFINISHED, FAILED, NOT_REACHED]


def collect(folders: list[Path], into: Path, benchbook: Path, template: Path | None) -> str:
    """Writes records, page, tables and charts to a folder; returns the summary, which becomes its README.md."""
    into.mkdir(parents=True, exist_ok=True)
    steps, records, machines = merge(folders, into)
    (into / "steps.json").write_text(json.dumps(steps, indent=1) + "\n")
    studies = sorted((into / "records").glob("*.jsonl"))
    if studies:
        show = [benchbook, "study", *(["--template", template] if template else []), "--", "--show"]
        quiet = {"check": True, "stdout": subprocess.DEVNULL}
        subprocess.run([*show, *studies, "--html", into / "page.html", "--csv", into / "tables"], **quiet)
        for study in studies:
            # A study without a successful run has nothing to draw.
            if any(record["status"]["state"] == "ok" for record in records.get(study.stem, [])):
                subprocess.run([*show, study, "--chart", into / f"{study.stem}.svg"], **quiet)
    text = summary(steps, records, machines) + "".join(map(hottest, sorted((into / "profiles").rglob("*.json"))))
    (into / "README.md").write_text(text)
    return text


def merge(folders: list[Path], into: Path) -> tuple[list[dict[str, Any]], dict[str, list[Record]], list[dict[str, Any]]]:
    """The steps in the plan's order, the records by study, and the machines. Repeated records are dropped."""
    steps: dict[str, dict[str, Any]] = {}
    records: dict[str, list[Record]] = {}
    machines: list[dict[str, Any]] = []
    (into / "records").mkdir(exist_ok=True)
    archives = sorted(path for folder in folders for path in ([folder] if folder.is_file() else folder.rglob(RESULTS)))
    if not archives:
        raise SystemExit(f"gpu: there is no {RESULTS} in {', '.join(map(str, folders))}")
    with tempfile.TemporaryDirectory(prefix="benchbook-gpu-") as scratch:
        for number, archive in enumerate(archives):
            place = Path(scratch) / str(number)
            with tarfile.open(archive) as file:
                file.extractall(place, filter="data")
            machine = json.loads((place / "machine.json").read_text())
            if machine not in machines:
                machines.append(machine)
            for path in sorted((place / "steps").glob("*.json")):
                step = json.loads(path.read_text())
                known = steps.setdefault(step["id"], step)
                if ORDER.index(step["state"]) < ORDER.index(known["state"]):
                    steps[step["id"]] = step
            for path in sorted((place / "records").glob("*.json*")):
                text = path.read_text()
                found = parsed(text) if path.suffix == ".jsonl" else [json.loads(text)]
                known = records.setdefault(path.stem, [])
                known += [record for record in found if record not in known]
            if (place / "profiles").exists():
                shutil.copytree(place / "profiles", into / "profiles", dirs_exist_ok=True)
    for id, found in records.items():
        (into / "records" / f"{id}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in found))
    order = {step.id: number for number, step in enumerate(plan(Scale.GPU).steps)}
    # Steps of another revision's plan come last.
    return sorted(steps.values(), key=lambda step: order.get(step["id"], len(order))), records, machines


def summary(steps: list[dict[str, Any]], records: dict[str, list[Record]], machines: list[dict[str, Any]]) -> str:
    """Machines, steps, configurations and aims in Markdown."""
    lines = ["# Measured on a GPU", ""]
    for machine in machines:
        device = ", ".join(machine["gpus"]) or "no GPU: a dry run on the processor, whose figures mean nothing"
        line = f"- {device}; Python {machine['python']}, torch {machine['torch']}, {machine['cores']} cores"
        lines += [line] if line not in lines else []
    lines += ["", "| step | what | state | s |", "| --- | --- | --- | --- |"]
    for step in steps:
        reason = f": {step['reason']}" if step["reason"] else ""
        lines.append(f"| {step['id']} | {step['title']} | {step['state']}{reason.replace('|', '/')} | {step['seconds']:.0f} |")
    lines += ["", "| study | machine | library | runs | step [ms] | peak GPU memory [GB] | agreement |"]
    lines += ["| --- | --- | --- | --- | --- | --- | --- |"]
    for study, found in records.items():
        for machine, rows in by_machine(found).items():
            lines += [f"| {study} | {machine} | {cells} |" for cells in of_machine(rows)]
    lines += ["", "| aim | study | ratio | bound | verdict |", "| --- | --- | --- | --- | --- |"]
    for aim in aims(records):
        value = "–" if aim.value is None else f"{aim.value:.3f}"
        bound = f"{'at most' if aim.at_most else 'at least'} {aim.bound}"
        lines.append(f"| {aim.what} | {aim.study} | {value} | {bound} | {aim.verdict} |")
    return "\n".join(lines) + "\n"


def of_machine(rows: list[Record]) -> Iterator[str]:
    """The last cells of each library's row: library, runs, step, memory and agreement, or why there is no figure."""
    backends = dict.fromkeys((record.get("place") or {}).get("backend") for record in rows)
    for backend in filter(None, backends):
        runs = of(rows, backend)
        seconds, memory = step_seconds(rows, backend), peak(rows, backend)
        cells = [f"{seconds * 1000:.2f}" if seconds else "–", f"{memory / 1e9:.2f}" if memory else "–"]
        audits = {(record.get("audit") or {"found": "not checked"})["found"] for record in runs}
        yield f"{backend} | {len(runs)} | {' | '.join(cells)} | {', '.join(sorted(audits)) or reasons(rows, backend)}"


def reasons(records: list[Record], backend: str) -> str:
    """Why a library has no figures."""
    rows = [record for record in records if (record.get("place") or {}).get("backend") == backend]
    messages = dict.fromkeys(record["status"].get("message", record["status"]["state"]) for record in rows)
    return "; ".join(messages).replace("|", "/").replace("\n", " ")[:300]


def hottest(trace: Path) -> str:
    """The most expensive entries of a profile, in Markdown: kernels and copies, or without a GPU the CPU's operations."""
    heading = f"\n## {trace.parent.name}: {trace.stem}\n\n"
    try:
        events = [event for event in json.loads(trace.read_text())["traceEvents"] if event.get("ph") == "X"]
    except ValueError:
        return f"{heading}`{trace.name}` is unfinished: {trace.stat().st_size} bytes; the run ended while it was written.\n"
    shown = [event for event in events if event.get("cat") in ON_GPU] or [event for event in events if event.get("cat") == "cpu_op"]
    rows = sorted(own_times(shown).items(), key=lambda row: -row[1][1])
    whole = sum(time for _, (_, time) in rows) or 1.0
    ends = [event["ts"] + event["dur"] for event in shown]
    span = max(ends, default=0.0) - min((event["ts"] for event in shown), default=0.0)
    what = "kernels and copies" if shown and shown[0]["cat"] in ON_GPU else "operations of the processor"
    lines = [f"Ten steps: {span / 1000:.1f} ms, of which {what} {whole / 1000:.1f} ms. Open `{trace.name}` in ui.perfetto.dev.", ""]
    lines += ["| name | calls | ms | share |", "| --- | --- | --- | --- |"]
    for name, (calls, time) in rows[:15]:
        lines.append(f"| `{name.replace('|', '/')[:120]}` | {calls} | {time / 1000:.2f} | {time / whole:.1%} |")
    return heading + "\n".join(lines) + "\n"


def own_times(events: list[dict[str, Any]]) -> dict[str, tuple[int, float]]:
    """The number of events by name, and their microseconds without nested events."""
    found: dict[str, tuple[int, float]] = {}
    around: list[dict[str, Any]] = []
    for event in sorted(events, key=lambda event: (str(event["tid"]), event["ts"], -event["dur"])):
        while around and (around[-1]["tid"] != event["tid"] or around[-1]["ts"] + around[-1]["dur"] <= event["ts"]):
            around.pop()
        if around:
            calls, time = found[around[-1]["name"]]
            found[around[-1]["name"]] = calls, time - event["dur"]
        calls, time = found.get(event["name"], (0, 0.0))
        found[event["name"]] = calls + 1, time + event["dur"]
        around.append(event)
    return found
