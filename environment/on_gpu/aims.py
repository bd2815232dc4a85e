"""Performance aims: ratios within one study, from the records so far. The machine with the GPU computes them too."""

import json
import statistics
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


def aims(records: dict[str, list[Record]]) -> list[Aim]:
    """All aims, each a ratio within one study."""
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
        found.append(Aim(study, "images/s from files, of those with one batch that stays on the GPU", value, 0.95, at_most=False))
    return found
