"""Performance aims: ratios within one study, from the records so far. The machine with the GPU computes them too."""

import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from plan import COMPILED, PRECISIONS, PYTORCH

Record = dict[str, Any]


@dataclass(frozen=True)
class Aim:
    """A ratio within one study, with its upper or lower bound."""

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


def parsed(lines: str) -> list[Record]:
    """The records of a file, without a line that a killed process left unfinished."""
    found = []
    for line in lines.splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def of(records: list[Record], backend: str) -> list[Record]:
    """The successful runs of a library, without warm-up runs."""
    runs = [record for record in records if record["status"]["state"] == "ok" and (record.get("place") or {}).get("backend") == backend]
    return [record for record in runs if not record["place"]["warm_up"]]


def step_seconds(records: list[Record], backend: str) -> float | None:
    """The median of a library's steps on one batch in memory, over all its runs."""
    values = [seconds for record in of(records, backend) for seconds in record.get("step_seconds", [])]
    return statistics.median(values) if values else None


def peak(records: list[Record], backend: str) -> float | None:
    """The median peak GPU memory during training, in bytes, as reported by the driver."""
    values = [record["resources"].get("train", {}).get("gpu_peak_bytes") for record in of(records, backend)]
    values = [value for value in values if value]
    return statistics.median(values) if values else None


def ratio(value: float | None, base: float | None) -> float | None:
    return value / base if value and base else None


def by_machine(records: list[Record]) -> dict[str, list[Record]]:
    """The records of each machine, since a study that another machine has resumed has records of both."""

    def host(record: Record) -> str:
        return (record.get("environment") or {}).get("host") or ""

    def device(record: Record) -> str:
        return (record.get("library") or {}).get("device_name") or ""

    # A run that failed early has not told its device.
    known = {host(record): device(record) for record in records if device(record)}
    machines: dict[str, list[Record]] = {}
    for record in records:
        names = device(record) or known.get(host(record)), host(record)
        machines.setdefault(", ".join(filter(None, names)), []).append(record)
    return machines


def on_each_machine(records: list[Record], value: Callable[[list[Record]], float | None]) -> float | None:
    """The median of a value, such as a ratio, over the machines."""
    values = [found for rows in by_machine(records).values() if (found := value(rows)) is not None]
    return statistics.median(values) if values else None


def aims(records: dict[str, list[Record]]) -> list[Aim]:
    """All aims, each a ratio of runs of one study on one machine."""
    found = []
    for precision in PRECISIONS:
        study = f"vgg16-{precision}"

        def over(value: Callable[[list[Record], str], float | None], base: str, study: str = study) -> float | None:
            return on_each_machine(records.get(study, []), lambda rows: ratio(value(rows, "libtorch"), value(rows, base)))

        found.append(Aim(study, "a step, of PyTorch eager's time", over(step_seconds, PYTORCH), 1.0))
        found.append(Aim(study, "a step, of torch.compile's time", over(step_seconds, COMPILED), 1.05))
        found.append(Aim(study, "peak GPU memory, of PyTorch eager's", over(peak, PYTORCH), 1.0))
    for study in ("files", "files-pinned", "files-cached"):
        rates = [record["rates"] for record in of(records.get(study, []), "libtorch") if record.get("rates")]
        values = [rate["real"] / rate["synthetic"] for rate in rates]
        value = statistics.median(values) if values else None
        found.append(Aim(study, "images/s from files, of those with one batch that stays on the GPU", value, 0.95, at_most=False))
    return found
