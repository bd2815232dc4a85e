"""`environment/soak`: in its short form, or for twenty minutes with `environment/test --full` (BENCHBOOK_FULL=1)."""

from __future__ import annotations

import pytest

import soak
from figures import FULL, seed


def test_nothing_is_lost_under_attack(capsys: pytest.CaptureFixture[str]) -> None:
    form = ["--minutes", "20"] if FULL else ["--short"]
    with capsys.disabled():
        assert soak.main([*form, "--seed", str(seed())]) == 0
