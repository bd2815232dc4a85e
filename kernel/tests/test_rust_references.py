"""burn and candle in a study. They are what the check is for: a row that disagrees has no ratio.

The programs take minutes to build (`environment/rust-references`), so these tests belong to the long ones.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from test_study import REPOSITORY, pictures, python_of_references, study  # noqa: F401

FIT = {"epochs": 1, "batch_size": 4, "optimizer": {"name": "sgd", "momentum": 0.9}, "learning_rate": 0.01}
# LibTorch, TensorFlow and PyTorch are the majority.
SETTLED = ["libtorch", "tensorflow", "python-pytorch"]


@pytest.fixture(autouse=True)
def programs(monkeypatch: pytest.MonkeyPatch) -> None:
    if not os.environ.get("BENCHBOOK_FULL"):
        pytest.skip("builds of burn and candle: set BENCHBOOK_FULL=1")
    for name in ("burn", "candle"):
        program = REPOSITORY / ".venv-references-rust" / "bin" / f"benchbook-{name}"
        assert program.exists(), f"there is no {program}: run environment/rust-references"
    monkeypatch.setenv("BENCHBOOK_CHECKOUT", str(REPOSITORY))
    monkeypatch.setenv("BENCHBOOK_TENSORFLOW", str(python_of_references().parents[1]))


def plan(pictures: Path, net: dict[str, Any]) -> dict[str, Any]:
    job = {"data": str(pictures), "net": net, "build": {"device": "cpu", "threads": 1}, "fit": FIT}
    return {"name": "rust", "backends": [*SETTLED, "burn", "candle"], "warm_up": 0, "job": job}


def found(records: list[dict], name: str) -> list[dict]:
    return [record for record in records if record["place"]["backend"] == name]


def test_a_net_without_pooling_is_computed_alike_by_all(program: Path, template: Path, pictures: Path, tmp_path: Path) -> None:
    said, records = study(program, template, tmp_path, plan(pictures, {"architecture": "mlp", "size": 32}))
    assert said.count("computes the same") == 5, said
    for name in ("burn", "candle"):
        own = found(records, name)
        assert [record["status"] for record in own] == [{"state": "ok"}] * 3, own[0]["status"]
        assert {record["computes"]["found"] for record in own} == {"alike"}, own[0]["computes"]
        assert {record["audit"]["found"] for record in own} == {"alike"}, own[0]["audit"]
        assert {record["images_seen"]["training"] for record in own} == {12}
        assert {record["library"]["language"] for record in own} == {"Rust"}
        assert all(set(record["resources"]) == {"load", "build", "train", "test"} for record in own)


def test_candles_max_pooling_is_found_and_has_no_ratio(program: Path, template: Path, pictures: Path, tmp_path: Path) -> None:
    """candle gives a unique maximum the mean of the window's mask, a quarter of its gradient in a window of 2 by 2."""
    said, records = study(program, template, tmp_path, plan(pictures, {"architecture": "small_cnn", "size": 32}))
    candle = found(records, "candle")
    assert {record["computes"]["found"] for record in candle} == {"unlike"}, candle[0]
    assert "gradient of conv" in candle[0]["computes"]["message"], candle[0]["computes"]
    assert {record["computes"]["found"] for record in found(records, "burn")} == {"alike"}, said
    rows = [line for line in said.splitlines() if "candle" in line and "× (" in line]
    assert not [row for row in rows if "~" not in row], said


def test_what_candle_lacks_is_told(program: Path, template: Path, pictures: Path, tmp_path: Path) -> None:
    _, records = study(program, template, tmp_path, plan(pictures, {"architecture": "resnet18", "size": 32}))
    statuses = json.dumps([record["status"] for record in found(records, "candle")])
    assert "no gradient of max pooling with a stride other than its window" in statuses, statuses
    assert {record["computes"]["found"] for record in found(records, "burn")} == {"alike"}
