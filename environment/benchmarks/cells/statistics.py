"""Medians, their spread, and the interval of a ratio."""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence


def median(values: Sequence[float]) -> float:
    """The median."""
    return statistics.median(values)


def quartiles(values: Sequence[float]) -> tuple[float, float]:
    """The first and the third quartile; of one value, that value twice."""
    if len(values) < 2:
        return values[0], values[0]
    first, _, third = statistics.quantiles(values, n=4, method="inclusive")
    return first, third


def ratio_interval(
    above: Sequence[float], below: Sequence[float], rounds: int = 10_000
) -> tuple[float, float, float]:
    """The median of the ratios of pairs, and its 95 % interval by the percentile bootstrap over pairs."""
    ratios = [a / b for a, b in zip(above, below, strict=True)]
    chance = random.Random(1)
    medians = sorted(
        statistics.median(chance.choices(ratios, k=len(ratios))) for _ in range(rounds)
    )
    return statistics.median(ratios), medians[int(rounds * 0.025)], medians[int(rounds * 0.975)]
