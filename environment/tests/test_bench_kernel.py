"""The figures of `environment/bench kernel`, without a kernel."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from cells import statistics  # noqa: E402
from kernel import Row, numbers, table  # noqa: E402


def test_quartiles_of_one_value_are_that_value() -> None:
    assert statistics.quartiles([3.0]) == (3.0, 3.0)
    assert statistics.quartiles([1.0, 2.0, 3.0, 4.0, 5.0]) == (2.0, 4.0)


def test_equal_pairs_have_a_ratio_of_one_without_a_doubt() -> None:
    assert statistics.ratio_interval([0.2, 0.5], [0.2, 0.5]) == (1.0, 1.0, 1.0)


def test_the_interval_holds_the_ratio_and_tells_twice_from_once() -> None:
    noise = [1.0, 1.1, 0.9, 1.05, 0.95] * 4
    ratio, low, high = statistics.ratio_interval([2 * x for x in noise], noise[::-1])
    assert low <= ratio <= high
    assert low > 1.5


def test_every_text_is_new() -> None:
    fill = numbers()
    assert fill("N + N") != fill("N + N")


@pytest.mark.parametrize(("figure", "verdict"), [(0.2, ": reached"), (0.4, "NOT reached")])
def test_the_table_says_whether_an_aim_is_reached(figure: float, verdict: str) -> None:
    row = Row("a cell", [0.1, 0.2, 0.3])
    row.aim("× something", figure, 0.3)
    assert verdict in table([row])
    assert "0.200 s" in table([row])
