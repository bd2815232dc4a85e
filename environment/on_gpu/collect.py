"""Merges what machines with GPUs brought back: one file of records a study, a page, charts, and the aims."""

import json
import statistics
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plan import COMPILED, PRECISIONS, PYTORCH, Scale, plan
from run import DONE, FAILED, NOT_REACHED, RESULTS, UNFINISHED

Record = dict[str, Any]
# The better state of a step that several calls or machines have tried.
ORDER = [DONE, UNFINISHED, FAILED, NOT_REACHED]


@dataclass(frozen=True)
class Aim:
    """A ratio within one study, and how large it may be, or how small."""

    study: str
    what: str
    value: float | None
    bound: float
    at_most: bool = True

    @property
    def verdict(self) -> str:
        if self.value is None:
            return "not measured"
        good = self.value <= self.bound if self.at_most else self.value >= self.bound
        return "met" if good else "missed"


def collect(folders: list[Path], into: Path, benchbook: Path, template: Path | None) -> str:
    """Writes records, page, tables and charts into a folder; returns the summary, which is its README.md."""
    into.mkdir(parents=True, exist_ok=True)
    steps, records, machines = merge(folders, into)
    (into / "steps.json").write_text(json.dumps(steps, indent=1) + "\n")
    studies = sorted((into / "records").glob("*.jsonl"))
    if studies:
        show = [benchbook, "study", *(["--template", template] if template else []), "--", "--show"]
        quiet = {"check": True, "stdout": subprocess.DEVNULL}
        subprocess.run([*show, *studies, "--html", into / "page.html", "--csv", into / "tables"], **quiet)
        for study in studies:
            # A study without a figure has nothing to draw.
            if any(record["status"]["state"] == "ok" for record in records.get(study.stem, [])):
                subprocess.run([*show, study, "--chart", into / f"{study.stem}.svg"], **quiet)
    text = summary(steps, records, machines)
    (into / "README.md").write_text(text)
    return text


def merge(folders: list[Path], into: Path) -> tuple[list[dict[str, Any]], dict[str, list[Record]], list[dict[str, Any]]]:
    """The steps in the plan's order, the records by study, and the machines. Each line of a file of records stays once."""
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
                found = [json.loads(line) for line in text.splitlines()] if path.suffix == ".jsonl" else [json.loads(text)]
                known = records.setdefault(path.stem, [])
                known += [record for record in found if record not in known]
    for id, found in records.items():
        (into / "records" / f"{id}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in found))
    order = [step.id for step in plan(Scale.GPU).steps]
    return sorted(steps.values(), key=lambda step: order.index(step["id"])), records, machines


def of(records: list[Record], backend: str) -> list[Record]:
    """The runs of a library that count."""
    runs = [record for record in records if record["status"]["state"] == "ok" and (record.get("place") or {}).get("backend") == backend]
    return [record for record in runs if not record["place"]["warm_up"]]


def step_seconds(records: list[Record], backend: str) -> float | None:
    """The median of a library's steps on one batch in memory, over all its runs."""
    values = [seconds for record in of(records, backend) for seconds in record.get("step_seconds", [])]
    return statistics.median(values) if values else None


def peak(records: list[Record], backend: str) -> float | None:
    """The median of the most GPU memory in use during training, in bytes, as the driver tells it."""
    values = [record["resources"].get("train", {}).get("gpu_peak_bytes") for record in of(records, backend)]
    values = [value for value in values if value]
    return statistics.median(values) if values else None


def ratio(value: float | None, base: float | None) -> float | None:
    return value / base if value and base else None


def aims(records: dict[str, list[Record]]) -> list[Aim]:
    """What is aimed at, each as a ratio within one study."""
    found = []
    for precision in PRECISIONS:
        study = f"vgg16-{precision}"
        rows = records.get(study, [])
        own = step_seconds(rows, "libtorch")
        found.append(Aim(study, "a step, of PyTorch eager's time", ratio(own, step_seconds(rows, PYTORCH)), 1.0))
        found.append(Aim(study, "a step, of torch.compile's time", ratio(own, step_seconds(rows, COMPILED)), 1.05))
        found.append(Aim(study, "peak GPU memory, of PyTorch eager's", ratio(peak(rows, "libtorch"), peak(rows, PYTORCH)), 1.0))
    for study in ("files", "files-pinned", "files-cached"):
        rates = [record["rates"] for record in of(records.get(study, []), "libtorch") if record.get("rates")]
        values = [rate["real"] / rate["synthetic"] for rate in rates]
        value = statistics.median(values) if values else None
        found.append(Aim(study, "images/s from files, of those with one batch in host memory", value, 0.95, at_most=False))
    return found


def summary(steps: list[dict[str, Any]], records: dict[str, list[Record]], machines: list[dict[str, Any]]) -> str:
    """Machines, steps, configurations and aims in Markdown."""
    lines = ["# Measured on a GPU", ""]
    for machine in machines:
        gpus = {name for found in records.values() for record in found for name in record["environment"]["gpus"]}
        device = ", ".join(sorted(gpus)) if machine["cuda"] else "no GPU: a dry run on the processor, whose figures mean nothing"
        lines.append(f"- {device}; Python {machine['python']}, torch {machine['torch']}, {machine['cores']} cores")
    lines += ["", "| step | what | state | s |", "| --- | --- | --- | --- |"]
    for step in steps:
        reason = f": {step['reason']}" if step["reason"] else ""
        lines.append(f"| {step['id']} | {step['title']} | {step['state']}{reason.replace('|', '/')} | {step['seconds']:.0f} |")
    lines += ["", "| study | library | runs | step [ms] | peak GPU memory [GB] | computes |", "| --- | --- | --- | --- | --- | --- |"]
    for study, rows in records.items():
        backends = dict.fromkeys((record.get("place") or {}).get("backend") for record in rows)
        for backend in filter(None, backends):
            runs, why = of(rows, backend), reasons(rows, backend)
            seconds, memory = step_seconds(rows, backend), peak(rows, backend)
            cells = [f"{seconds * 1000:.2f}" if seconds else "–", f"{memory / 1e9:.2f}" if memory else "–"]
            audits = {(record.get("audit") or {"found": "not checked"})["found"] for record in runs}
            lines.append(f"| {study} | {backend} | {len(runs)} | {' | '.join(cells)} | {', '.join(sorted(audits)) or why} |")
    lines += ["", "| aim | study | ratio | bound | verdict |", "| --- | --- | --- | --- | --- |"]
    for aim in aims(records):
        value = "–" if aim.value is None else f"{aim.value:.3f}"
        bound = f"{'at most' if aim.at_most else 'at least'} {aim.bound}"
        lines.append(f"| {aim.what} | {aim.study} | {value} | {bound} | {aim.verdict} |")
    return "\n".join(lines) + "\n"


def reasons(records: list[Record], backend: str) -> str:
    """Why a library has no figures."""
    rows = [record for record in records if (record.get("place") or {}).get("backend") == backend]
    messages = dict.fromkeys(record["status"].get("message", record["status"]["state"]) for record in rows)
    return "; ".join(messages).replace("|", "/").replace("\n", " ")[:300]
