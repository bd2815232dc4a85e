"""A row of `environment/bench train`, without a kernel."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from train import line  # noqa: E402


def test_a_row_has_the_ratio_of_the_medians_and_the_range_of_the_turns() -> None:
    result = {
        "name": "Keras head, frozen base, batch 8",
        "size": 224,
        "seconds": {"benchbook": [1.0, 2.0, 9.0], "python": [2.0, 2.5, 6.0]},
        "median": {"benchbook": 2.0, "python": 2.5},
        "peak": {"benchbook": 600_000_000, "python": 800_000_000},
    }
    row = line(result)
    assert "| 3 | 2.0000 | 2.5000 | 0.800 (0.500 to 1.500) | 600 | 800 | 0.75 |" in row
