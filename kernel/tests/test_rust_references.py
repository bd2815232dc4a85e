"""burn and candle in a study. The check finds that candle disagrees on some nets, where it has no ratio.

Their programs take minutes to compile (`environment/references burn candle`), so these are long tests.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from test_libraries import NETS
from test_study import REPOSITORY, job, pictures, python_of_references, study  # noqa: F401

pytestmark = pytest.mark.skipif(
    not os.environ.get("BENCHBOOK_FULL"), reason="burn and candle take minutes to compile; set BENCHBOOK_FULL=1"
)
WITHOUT_POOLING = {name: {"architecture": name, "size": 32} for name in ("mlp", "lstm", "gru")}


@pytest.fixture(autouse=True)
def programs() -> None:
    python_of_references()
    for name in ("burn", "candle"):
        program = REPOSITORY / ".venv-references-rust" / "bin" / f"benchbook-{name}"
        assert program.exists(), f"there is no {program}: run environment/references {name}"


@pytest.fixture
def run(program: Path, template: Path, pictures: Path, tmp_path: Path) -> Any:
    """Runs a study of a net with one library and LibTorch and PyTorch, which form the majority; returns the output of the
    study and the library's records."""

    def start(library: str, net: dict[str, Any], **fit: Any) -> tuple[str, list[dict]]:
        plan = {"name": net["architecture"], "backends": ["libtorch", "python-pytorch", library], "warm_up": 0}
        said, records = study(program, template, tmp_path, plan | {"job": job(pictures, **fit) | {"net": net}})
        return said, [record for record in records if record["place"]["backend"] == library]

    return start


def agrees(records: list[dict]) -> None:
    assert [record["status"] for record in records] == [{"state": "ok"}] * 3, records[0]["status"]
    assert {record["computes"]["found"] for record in records} == {"alike"}, records[0]["computes"]
    assert {record["audit"]["found"] for record in records} == {"alike"}, records[0]["audit"]


@pytest.mark.parametrize("net", NETS.values(), ids=NETS)
def test_burn_computes_the_same(run: Any, net: dict[str, Any]) -> None:
    agrees(run("burn", net)[1])


@pytest.mark.parametrize("net", WITHOUT_POOLING.values(), ids=WITHOUT_POOLING)
def test_candle_computes_the_same_without_pooling(run: Any, net: dict[str, Any]) -> None:
    agrees(run("candle", net)[1])


@pytest.mark.parametrize("library", ["burn", "candle"])
def test_a_record_states_version_compiler_flags_and_every_phase(run: Any, library: str) -> None:
    _, records = run(library, WITHOUT_POOLING["mlp"], epochs=2)
    for record in records:
        assert record["library"]["language"] == "Rust"
        assert re.fullmatch(r"\d+\.\d+\.\d+", record["library"]["version"])
        build = record["library"]["parts"]["build"]
        assert re.match(r"rustc \d+\.\d+\.\d+ ", build) and build.endswith(" -Ctarget-cpu=native"), build
        assert record["library"]["parts"]["graph"] == "none"
        assert record["images_seen"] == {"training": 24, "validation": 8, "test": 4}
        assert [epoch["epoch"] for epoch in record["epochs"]] == [1, 2]
        assert set(record["resources"]) == {"load", "build", "train", "test", "steps"}
        assert all(record["phases"][phase] > 0 for phase in ("load", "build", "train", "test"))
        assert len(record["step_seconds"]) >= 1
        assert str(REPOSITORY) not in json.dumps(record)


def test_candles_max_pooling_is_found_and_has_no_ratio(run: Any) -> None:
    """candle multiplies the gradient of a unique maximum by the mean of the window's mask, 1/4 in a window of 2 by 2."""
    said, records = run("candle", NETS["small_cnn"])
    assert {record["computes"]["found"] for record in records} == {"unlike"}, records[0]
    assert "gradient of conv" in records[0]["computes"]["message"], records[0]["computes"]
    rows = [line for line in said.splitlines() if line.startswith("candle ")]
    assert rows and not any(re.search(r"\d \(\d[\d.]* to ", row) for row in rows), said


@pytest.mark.parametrize(
    ("library", "net", "words"),
    [
        ("candle", "resnet18", "no gradient of max pooling with a stride other than its window"),
        ("burn", "lstm", "has no recurrent layers"),
    ],
)
def test_what_a_library_lacks_is_said_in_its_row(run: Any, library: str, net: str, words: str) -> None:
    _, records = run(library, {"architecture": net, "size": 32})
    assert words in json.dumps([record["status"] for record in records]), records
