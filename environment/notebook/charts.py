"""Checks the charts of an executed notebook against its records.

A chart keeps its numbers in the output (`application/vnd.benchbook.chart+json`) and names the source of each: a record
and a JSON pointer into it. A chart that names no source may show numbers of any record.
"""

import json
import math
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

DATA_MIME = "application/vnd.benchbook.chart+json"


def charts(notebook: NotebookNode) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each chart with the number of its code cell, counted from 1."""
    code_cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for number, cell in enumerate(code_cells, 1):
        for output in cell.outputs:
            if DATA_MIME in output.get("data", {}):
                yield number, output.data[DATA_MIME]


def files(places: list[Path]) -> list[Path]:
    """The files of records among files and in folders."""
    return [file for place in places for file in ([place] if place.is_file() else sorted([*place.rglob("*.json"), *place.rglob("*.jsonl")]))]


def lines(path: Path) -> list[dict[str, Any]]:
    """The records of a file: one, or in a `.jsonl` one a line."""
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines() if line.strip()] if path.suffix == ".jsonl" else [json.loads(text)]


def read_records(paths: list[Path]) -> dict[str, Any]:
    """JSON files by their identity: `id`, name and start of a run, or else the file's name.

    A study's file (`.jsonl`, one record per line) is identified by its name.
    """
    records = {}
    for path in paths:
        if path.suffix == ".jsonl":
            records[path.stem] = Study(lines(path))
            continue
        (record,) = lines(path)
        if "id" in record:
            records[record["id"]] = record
        elif {"name", "started"} <= record.keys():
            records[f"{record['name']}@{record['started']}"] = record
        else:
            records[path.stem] = record
    return records


def disagrees(run: dict[str, Any]) -> bool:
    """Whether a check found that the run computed something else, so that its figures do not count."""
    return any((run.get(check) or {}).get("found") == "unlike" for check in ("computes", "audit"))


def judged(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The runs, each with the result of the last check of its backend, version, job and machine, as `judged` in
    `kernel/study/src/study.rs` finds it. A failed check replaces no earlier result."""

    def subject(run: dict[str, Any]) -> tuple[Any, ...]:
        place = run["place"]
        version, cpu = (run.get(part, {}).get(name) for part, name in (("library", "version"), ("environment", "cpu")))
        return place["study"], place["backend"], place.get("job"), version, cpu

    last: dict[tuple[Any, ...], dict[str, Any]] = {}
    for run in sorted(runs, key=lambda run: run.get("started", 0)):
        found = run.get("computes")
        if found and (found["found"] != "unchecked" or subject(run) not in last):
            last[subject(run)] = found
    return [run | {"computes": last.get(subject(run))} for run in runs]


class Study:
    """The runs of a study. A pointer selects one number per backend from the successful runs without warm-ups; or
    one per study, if one backend ran several.

    | pointer | each backend's number |
    | --- | --- |
    | `/phases/train` | the median of the selected values of the runs |
    | `/epochs/*/val_accuracy` | such a median for each element of a list |
    | `/median/step_seconds` | the median over the runs of the median of each run's list |
    | `/ratio/libtorch/phases/train` | the median of the ratios to the run of `libtorch` in the same round |
    """

    def __init__(self, runs: list[dict[str, Any]]) -> None:
        good = [run for run in judged(runs) if run["status"]["state"] == "ok" and not run["place"]["warm_up"]]
        self.runs = [run for run in good if not disagrees(run)]

    def resolve(self, pointer: str) -> dict[str, Any]:
        if pointer.startswith("/ratio/"):
            baseline, rest = pointer.removeprefix("/ratio/").split("/", 1)
            return self.ratios(baseline, f"/{rest}")
        if pointer.startswith("/median/"):
            lists = self.values(pointer.removeprefix("/median"))
            found = {name: [statistics.median(run) for run in rounds.values() if run] for name, rounds in lists.items()}
            return {name: statistics.median(runs) for name, runs in found.items() if runs}
        return self.medians(pointer)

    def values(self, pointer: str) -> dict[str, dict[int, Any]]:
        """The selected value, by backend or study, and round."""
        one_backend = len({run["place"]["backend"] for run in self.runs}) == 1
        several_studies = len({run["place"]["study"] for run in self.runs}) > 1
        key = "study" if one_backend and several_studies else "backend"
        found: dict[str, dict[int, Any]] = {}
        for run in self.runs:
            before, several, after = pointer.partition("/*/")
            try:
                value = resolve(run, before)
            except KeyError:
                # A run that lacks the value has no part in the chart.
                continue
            if several:
                value = [resolve(part, f"/{after}") for part in value]
            if value is not None:
                found.setdefault(run["place"][key], {})[run["place"]["round"]] = value
        return found

    def medians(self, pointer: str) -> dict[str, Any]:
        def median(values: list[Any]) -> Any:
            if isinstance(values[0], list):
                return [statistics.median(parts) for parts in zip(*values, strict=True)]
            return statistics.median(values)

        return {backend: median(list(rounds.values())) for backend, rounds in self.values(pointer).items()}

    def ratios(self, baseline: str, pointer: str) -> dict[str, float]:
        found = self.values(pointer)
        base = found[baseline]
        pairs = {backend: [rounds[place] / base[place] for place in rounds.keys() & base.keys()] for backend, rounds in found.items()}
        return {backend: statistics.median(ratios) for backend, ratios in pairs.items() if ratios}


def resolve(record: Any, pointer: str) -> Any:
    """The value that a JSON pointer (RFC 6901) selects."""
    if isinstance(record, Study):
        return record.resolve(pointer)
    for part in pointer.split("/")[1:]:
        part = part.replace("~1", "/").replace("~0", "~")
        record = record[int(part)] if isinstance(record, list) else record[part]
    return record


def faults(notebook: NotebookNode, records: dict[str, Any]) -> list[str]:
    """One line for each series that differs from its source."""
    found = []
    for cell, chart in charts(notebook):
        title = chart["data"]["title"]
        try:
            targets = [resolve(records[source["record"]], source["pointer"]) for source in chart["data"].get("sources", [])]
        except (KeyError, IndexError, ValueError) as error:
            found.append(f"code cell {cell}, chart {title!r}: no record has its source {error}")
            continue
        series = list(all_series(chart))
        for index, (key, values, labels) in enumerate(series):
            if len(targets) == len(series):
                allowed = [targets[index]]
            else:
                allowed = targets or [run for record in records.values() for run in (record.runs if isinstance(record, Study) else [record])]
            if not any(holds(target, key, values, labels) for target in allowed):
                found.append(f"code cell {cell}, chart {title!r}: the values of {key!r}, {values}, differ from its source")
    return found


def all_series(chart: dict[str, Any]) -> Iterator[tuple[str, list[float], list[str]]]:
    """Each series: its name in a record, its numbers without gaps, the labels of its numbers."""
    data = chart["data"]
    if chart["chart"] == "bars":
        for series in data["series"]:
            bars = [(value, label) for value, label in zip(series["values"], data["categories"], strict=True) if value is not None]
            yield series["name"], [value for value, _ in bars], [label for _, label in bars]
    elif chart["chart"] in ("curves", "lines"):
        for panel in data.get("panels", [data]):
            for series in panel["series"]:
                key = {"training": panel["y"], "validation": f"val_{panel['y']}"}.get(series["name"], series["name"])
                yield key, [value for value in series["y"] if value is not None], []
    elif chart["chart"] == "histogram":
        yield data["title"], data["counts"], []
    else:
        yield data["title"], [value for row in data["counts"] for value in row], []


def holds(target: Any, key: str, values: list[float], labels: list[str]) -> bool:
    """Whether this part of the record has these values under this name."""
    if isinstance(target, (int, float)):
        return same(values, [target])
    if isinstance(target, dict):
        if labels == [""] and key in target:
            return same(values, [target[key]])
        if isinstance(target.get(key), list):
            return same(values, target[key])
        if labels and all(label in target for label in labels):
            return same(values, [target[label] for label in labels])
        inner = target.values()
    else:
        if target and all(isinstance(item, dict) for item in target):
            if any(key in item for item in target):
                return same(values, [item[key] for item in target if item.get(key) is not None])
        if same(values, target):
            return True
        inner = target
    # A pointer to a larger part of a record: the values are in one of its parts.
    return any(holds(part, key, values, labels) for part in inner if isinstance(part, (dict, list))) or (
        bool(values) and all(any(same([value], [number]) for number in inner) for value in values)
    )


def same(values: list[float], expected: list[Any]) -> bool:
    """Whether both have the same numbers. Their last bits may differ because the kernel's JSON parser is fast, not exact."""
    return len(values) == len(expected) and all(
        isinstance(number, (int, float)) and math.isclose(value, number, rel_tol=1e-12) for value, number in zip(values, expected, strict=True)
    )


def check(notebook: NotebookNode, records: list[Path]) -> list[str]:
    """The faults of a notebook's charts. A notebook without charts is a fault."""
    if not any(charts(notebook)):
        return ["the notebook has no chart"]
    return faults(notebook, read_records(records))
