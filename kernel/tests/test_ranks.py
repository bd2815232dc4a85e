"""Data-parallel training: processes started by OpenMPI's `mpirun`, compared with one process that trains on the whole batches."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy
import pytest
from test_study import python_of_references

pytestmark = pytest.mark.skipif(not shutil.which("mpirun"), reason="no OpenMPI: apt-get install openmpi-bin")

VGG = {"architecture": "vgg11", "size": 32}
VGG_BATCH_NORM = {"architecture": "vgg11", "size": 32, "batch_norm": True}


def weights_of(path: Path) -> tuple[dict[str, numpy.ndarray], dict[str, str]]:
    """The arrays of a safetensors file and its metadata. The file has a length in 8 bytes, a JSON header, and the values."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header, values = json.loads(content[8 : 8 + length]), content[8 + length :]
    metadata = header.pop("__metadata__", {})
    assert all(entry["dtype"] == "F32" for entry in header.values())
    ends = {name: slice(*entry["data_offsets"]) for name, entry in header.items()}
    return {name: numpy.frombuffer(values[part], "<f4") for name, part in ends.items()}, metadata


@pytest.fixture(scope="module")
def images(draw: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """22 drawings for training, 8 for validation and 4 for the test: the last batch of a pass is not full."""
    return draw(tmp_path_factory.mktemp("images") / "drawings", 22, 8, 4)


def job(images: Path, net: dict[str, Any], precision: str = "float64", **fit: Any) -> dict[str, Any]:
    settings = {"epochs": 2, "batch_size": 8, "optimizer": {"name": "sgd", "momentum": 0.9}, "learning_rate": 0.001}
    build = {"device": "cpu", "threads": 2, "compute": {"precision": precision}}
    return {"data": str(images), "net": net, "build": build, "fit": settings | fit}


def bench(program: Path, template: Path, folder: Path, plan: dict[str, Any], *options: str, prefix: tuple = ()) -> Any:
    folder.mkdir(exist_ok=True)
    (folder / "job.json").write_text(json.dumps(plan))
    command = [*prefix, program, "bench", "--template", template, "job.json", "--record", "record.json", *options]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder)


def trained(program: Path, template: Path, folder: Path, plan: dict[str, Any], *options: str, prefix: tuple = ()) -> tuple[dict, tuple]:
    """The record of a job, and the content of its last checkpoint."""
    callbacks = [{"name": "checkpoint", "path": "last.safetensors", "every": 1}]
    plan = plan | {"fit": plan["fit"] | {"callbacks": callbacks}}
    ran = bench(program, template, folder, plan, *options, prefix=prefix)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.count("Epoch 1/2") == 1, f"only the first rank prints: {ran.stdout}"
    return json.loads((folder / "record.json").read_text()), weights_of(folder / "last.safetensors")


@pytest.mark.parametrize("net", [VGG, VGG_BATCH_NORM], ids=["vgg11", "vgg11 with batch norm"])
def test_two_ranks_train_as_one_process_does_on_the_whole_batches(
    program: Path, template: Path, images: Path, tmp_path: Path, net: dict[str, Any]
) -> None:
    plan = job(images, net)
    one, (weights, _) = trained(program, template, tmp_path / "one", plan)
    two, (same, metadata) = trained(program, template, tmp_path / "two", plan, "--ranks", "2")
    assert (one["library"]["ranks"], one["library"]["threads"]) == (None, 2)
    assert (two["library"]["ranks"], two["library"]["threads"]) == (2, 1)
    assert two["images_seen"] == one["images_seen"] and two["steps"] == one["steps"] == 6
    for mine, theirs in zip(one["epochs"], two["epochs"], strict=True):
        for name in ("loss", "accuracy", "val_loss", "val_accuracy", "training_images"):
            assert theirs[name] == pytest.approx(mine[name], rel=1e-6), name
    assert weights.keys() == same.keys()
    assert '"ranks"' not in str(metadata), "one process may go on with it"
    for name, value in weights.items():
        # Checkpoints hold 32-bit floats.
        numpy.testing.assert_allclose(same[name], value, rtol=1e-5, atol=1e-6 * max(1e-3, numpy.abs(value).max()), err_msg=name)


def test_mpirun_may_start_the_program_itself(program: Path, template: Path, images: Path, tmp_path: Path) -> None:
    prefix = ("mpirun", "-n", "2", "--bind-to", "none", "--oversubscribe", "--allow-run-as-root")
    record, _ = trained(program, template, tmp_path, job(images, VGG), prefix=prefix)
    assert record["library"]["ranks"] == 2
    ran = bench(program, template, tmp_path, job(images, VGG), "--ranks", "3", prefix=prefix)
    assert ran.returncode != 0 and "got 3 in 2 processes" in ran.stderr, ran.stderr


def ranks_of(folder: Path, variable: str = "OMPI_COMM_WORLD_RANK") -> list[int]:
    """The processes of a job in this folder, without `mpirun` and `benchbook`; `variable` is one that their launcher sets."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            inside = process.name.isdigit() and (process / "cwd").readlink() == folder
            if inside and variable in (process / "environ").read_text():
                found.append(int(process.name))
        except OSError:
            continue
    return sorted(found)


def test_a_rank_that_is_killed_ends_the_others_and_leaves_the_checkpoint_whole(
    program: Path, template: Path, images: Path, tmp_path: Path
) -> None:
    path = tmp_path / "last.safetensors"
    plan = job(images, VGG, epochs=100_000, callbacks=[{"name": "checkpoint", "path": str(path), "every": 1}])
    (tmp_path / "job.json").write_text(json.dumps(plan))
    command = [program, "bench", "--template", template, "job.json", "--ranks", "2"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    assert any("Epoch 3/" in line for line in running.stdout)
    ranks = ranks_of(tmp_path)
    assert len(ranks) == 2, ranks
    os.kill(ranks[1], signal.SIGKILL)
    killed = time.monotonic()
    _, errors = running.communicate(timeout=60)
    assert time.monotonic() < killed + 10
    assert running.returncode == 128 + signal.SIGKILL and "signal 9" in errors, errors
    assert not ranks_of(tmp_path)
    assert all(numpy.isfinite(value).all() for value in weights_of(path)[0].values())
    assert [file.name for file in tmp_path.glob("last*")] == ["last.safetensors"]


def test_a_killed_bench_ends_its_ranks(program: Path, template: Path, images: Path, tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text(json.dumps(job(images, VGG, epochs=100_000)))
    command = [program, "bench", "--template", template, "job.json", "--ranks", "2"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path)
    assert any("Epoch 2/" in line for line in running.stdout)
    assert len(ranks_of(tmp_path)) == 2
    running.kill()
    ended = time.monotonic()
    while left := ranks_of(tmp_path):
        assert time.monotonic() < ended + 10, left
        time.sleep(0.1)
    running.communicate()


@pytest.mark.skipif("BENCHBOOK_FULL" not in os.environ, reason="takes minutes; set BENCHBOOK_FULL=1")
def test_a_killed_study_ends_the_ranks_of_torchrun(program: Path, template: Path, images: Path, tmp_path: Path) -> None:
    python_of_references()
    plan = {"backends": ["python-pytorch"], "check": None, "job": job(images, VGG, epochs=100_000)}
    (tmp_path / "study.json").write_text(json.dumps(plan))
    command = [program, "study", "--template", template, "study.json", "--ranks", "2"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path)
    assert any("Epoch 2/" in line for line in running.stdout)
    assert len(ranks_of(tmp_path, "TORCHELASTIC_RUN_ID")) >= 2
    running.kill()
    ended = time.monotonic()
    # A loader's process sees within 5 s that its rank has ended.
    while left := ranks_of(tmp_path, "TORCHELASTIC_RUN_ID"):
        assert time.monotonic() < ended + 20, left
        time.sleep(0.1)
    running.communicate()


def test_what_ranks_cannot_do_is_said(
    program: Path, template: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(plan: dict[str, Any], *words: str) -> None:
        ran = bench(program, template, tmp_path, plan, "--ranks", "2")
        assert ran.returncode != 0 and all(word in ran.stderr for word in words), ran.stderr

    plan = job(images, VGG)
    refused(job(images, VGG, on_bad_image="Skip"), "on_bad_image")
    refused(plan | {"rates": True}, "rates")
    # A folder with the programs that the server needs, but without mpirun.
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("rustc", "cargo", "cc", "sh", "env"):
        if found := shutil.which(name):
            (tools / name).symlink_to(found)
    monkeypatch.setenv("PATH", str(tools))
    refused(plan, "`mpirun` does not start", "openmpi-bin")


def test_pytorch_is_left_out_where_a_batch_lacks_an_image_for_each_rank(
    program: Path, template: Path, images: Path, tmp_path: Path
) -> None:
    """Without a batch that is smaller than the others: 22, 8 and 4 images are even."""
    python_of_references()
    plan = {"backends": ["python-pytorch"], "check": None, "job": job(images, VGG, batch_size=2)}
    (tmp_path / "study.json").write_text(json.dumps(plan))
    command = [program, "study", "--template", template, "study.json", "--ranks", "3", "--records", "records.jsonl"]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    (record,) = [json.loads(line) for line in (tmp_path / "records.jsonl").read_text().splitlines()]
    assert ran.returncode == 1 and record["status"]["state"] == "absent", ran
    assert "needs an image for each of the 3 ranks in every batch" in record["status"]["message"], record["status"]


def test_a_study_compares_ranks_with_torchruns(program: Path, template: Path, images: Path, tmp_path: Path) -> None:
    plan = {
        "name": "two ranks",
        "backends": ["libtorch", "python-pytorch"],
        "repeats": 3,
        "warm_up": 0,
        "retries": 0,
        "records": "records.jsonl",
        "job": job(images, VGG, "float32"),
    }
    (tmp_path / "study.json").write_text(json.dumps(plan))
    command = [program, "study", "--template", template, "study.json", "--ranks", "2", "--round", "0"]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    records = [json.loads(line) for line in (tmp_path / "records.jsonl").read_text().splitlines()]
    of = {name: [run for run in records if run["place"]["backend"] == name] for name in plan["backends"]}
    for name in ("libtorch", "python-pytorch"):
        assert [run["status"]["state"] for run in of[name]] == ["ok"], of[name]
        for run in of[name]:
            assert (run["library"]["ranks"], run["library"]["threads"]) == (2, 1)
            assert run["images_seen"]["test"] == 4 and run["epochs"][0]["training_images"] == 22
            assert run["computes"]["found"] == "alike", run["computes"]
            # The memory of both ranks, not of `mpirun`.
            assert run["resources"]["train"]["host_peak_bytes"] > 100_000_000
    losses = {name: [run["epochs"][-1]["loss"] for run in of[name]] for name in of if of[name][0]["epochs"]}
    assert losses.keys() == {"libtorch", "python-pytorch"}

    # One rank, with as many threads as each of the two ranks had, so that the page has a chart of the scaling.
    alone = plan["job"] | {"build": plan["job"]["build"] | {"threads": 1}}
    plan |= {"name": "one rank", "backends": ["libtorch"], "check": None, "records": "one.jsonl", "job": alone}
    (tmp_path / "one.json").write_text(json.dumps(plan))
    command = [program, "study", "--template", template]
    subprocess.run([*command, "one.json"], check=True, capture_output=True, cwd=tmp_path)
    subprocess.run([*command, "--show", "records.jsonl", "one.jsonl", "--html", "page.html"], check=True, capture_output=True, cwd=tmp_path)
    assert "libtorch, ideal" in (tmp_path / "page.html").read_text()
