"""environment/gpu: packed, unpacked in an empty folder, run on the processor in miniature, and collected."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
# Those that need no compiled Python model: some two minutes. With BENCHBOOK_FULL all of them run, in some fifteen.
SHORT = "doctor,libraries,device-tests,agreement-float32,profile-vgg16-float32,nvml,out-of-memory,interrupt,together,notebooks"


def dry_run(program: Path, template: Path, folder: Path, *words: str) -> dict[str, dict]:
    references = Path(os.environ.get("BENCHBOOK_REFERENCES", REPOSITORY / ".venv-references"))
    if not (references / "bin/python").exists():
        pytest.skip(f"the Python originals are not installed ({references}): run environment/references")
    command = [sys.executable, REPOSITORY / "environment/on_gpu", "--dry-run", folder, "--benchbook", program, "--template", template]
    ran = subprocess.run([*command, *words], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "a dry run on the processor, whose figures mean nothing" in ran.stdout
    steps = json.loads((folder / "collected/steps.json").read_text())
    return {step["id"]: step for step in steps}


def check_studies(folder: Path, studies: list[str], backends: list[str], rounds: int = 3) -> None:
    """Each library has rounds that ended well and compute what was settled."""
    for study in studies:
        records = [json.loads(line) for line in (folder / f"collected/records/{study}.jsonl").read_text().splitlines()]
        for backend in backends:
            rows = [record for record in records if record["place"]["backend"] == backend]
            assert [row["status"] for row in rows] == [{"state": "ok"}] * rounds, (study, backend, [row["status"] for row in rows])
            assert {row["audit"]["found"] for row in rows} == {"alike"}, (study, backend, [row["audit"] for row in rows])
            assert all(row["step_seconds"] for row in rows)


def check_profiles(folder: Path, studies: list[str], backends: list[str]) -> None:
    """Each library has the ten steps' operations, in its file and in the page."""
    page = (folder / "collected/README.md").read_text()
    for study in studies:
        for backend in backends:
            events = json.loads((folder / f"collected/profiles/{study}/{backend}.json").read_text())["traceEvents"]
            updates = [event for event in events if event.get("cat") == "cpu_op" and event["name"] == "aten::_fused_sgd_"]
            assert len(updates) == 10, (study, backend)
            table = page.split(f"## {study}: {backend}\n")[1].split("\n## ")[0]
            assert "convolution" in table and "operations of the processor" in table, table


def test_the_archive_runs_in_an_empty_folder_and_its_results_are_collected(program: Path, template: Path, tmp_path: Path) -> None:
    folder = tmp_path / "dry run"
    steps = dry_run(program, template, folder, "--only", SHORT)
    states = {id: step["state"] for id, step in steps.items()}
    assert {id for id, state in states.items() if state == "done"} == set(SHORT.split(",")), states
    assert set(states.values()) == {"done", "not reached"}
    check_studies(folder, ["agreement-float32"], ["libtorch", "python-pytorch"], rounds=1)
    check_profiles(folder, ["vgg16-float32"], ["libtorch", "python-pytorch"])
    assert (folder / "collected/page.html").stat().st_size > 10_000
    assert "<svg" in (folder / "collected/agreement-float32.svg").read_text()


@pytest.mark.skipif("BENCHBOOK_FULL" not in os.environ, reason="set BENCHBOOK_FULL=1 to run every step in miniature")
def test_every_step_ends_well_in_miniature(program: Path, template: Path, tmp_path: Path) -> None:
    steps = dry_run(program, template, tmp_path / "dry run")
    assert {step["state"] for step in steps.values()} == {"done"}, steps
    pairs = ["keras-head", "batch-32", "channels-last", "frozen", "resnet50", "files", "files-pinned"]
    check_studies(tmp_path / "dry run", pairs, ["libtorch", "python-pytorch"])
    configurations = [f"vgg16-{precision}" for precision in ("float32", "tf32", "bfloat16")]
    check_studies(tmp_path / "dry run", configurations, ["libtorch", "python-pytorch"])
    check_profiles(tmp_path / "dry run", [*configurations, "files", "files-pinned"], ["libtorch", "python-pytorch"])
