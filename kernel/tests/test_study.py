"""`benchbook study`: runs in processes of their own, records that are added to, and the Python originals."""

from __future__ import annotations

import functools
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]
NET = {"architecture": "vgg16", "size": 32}
BUILD = {"device": "cpu", "threads": 1}


@pytest.fixture(scope="module")
def pictures(draw: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve drawings to train on, four to validate and four to test on."""
    return draw(tmp_path_factory.mktemp("pictures") / "drawings", 12, 4, 4)


def job(pictures: Path, **fit: Any) -> dict[str, Any]:
    settings = {"epochs": 2, "batch_size": 4, "optimizer": {"name": "sgd", "momentum": 0.9}, "learning_rate": 0.001}
    return {"data": str(pictures), "net": NET, "build": BUILD, "fit": settings | fit}


# For tests of what a run computes: one round in place of three, because starting a reference takes seconds.
ONE_ROUND = ("--round", "0")


def agreeing(said: str) -> int:
    """The number of libraries that the printed table of a check says agree."""
    return len(re.findall(r"\de-?\d+ +agrees$", said, re.MULTILINE))


def study(
    program: Path, template: Path, folder: Path, plan: dict[str, Any], *options: str, status: int = 0
) -> tuple[str, list[dict]]:
    """Runs a study and returns what it said, and its records. Nothing is timed here, so disturbed runs are not repeated."""
    plan = {"repeats": 3, "retries": 0} | plan | {"records": str(folder / "records.jsonl")}
    (folder / "study.json").write_text(json.dumps(plan))
    command = [program, "study", "--template", template, folder / "study.json", *options]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    assert ran.returncode == status, ran.stdout + ran.stderr
    assert ("every run failed" in ran.stderr) == (status == 1)
    lines = (folder / "records.jsonl").read_text().splitlines()
    return ran.stdout, [json.loads(line) for line in lines]


def test_a_study_has_a_row_for_what_ran_and_for_what_could_not(
    program: Path, template: Path, pictures: Path, tmp_path: Path
) -> None:
    plan = {"name": "one", "backends": ["libtorch", "caffe"], "warm_up": 0, "check": None, "job": job(pictures)}
    said, records = study(program, template, tmp_path, plan)
    mine = [record for record in records if record["place"]["backend"] == "libtorch"]
    assert [record["place"]["round"] for record in mine] == [0, 1, 2]
    for record in mine:
        assert record["status"] == {"state": "ok"}
        assert record["images_seen"] == {"training": 24, "validation": 8, "test": 4}
        assert set(record["resources"]) == {"load", "build", "train", "test"}
        assert record["resources"]["train"]["host_peak_bytes"] > 10_000_000
        assert record["wall_seconds"] > record["phases"]["train"]
        number = record["place"]["round"]
        assert record["training"]["seed"] == number and record["net"]["weights"] == f"random (He, seed {number})"
    assert len({record["epochs"][0]["loss"] for record in mine}) == 3, "each round is another training"
    (absent,) = [record["status"] for record in records if record["place"]["backend"] == "caffe"]
    assert absent["state"] == "absent" and "unknown backend `caffe`" in absent["message"]
    assert "not available" in said and "unknown backend `caffe`" in said

    again, after = study(program, template, tmp_path, plan)
    assert after == records, "everything was in the file already"
    assert again.count("kept from an earlier call") == 4  # three runs, and the absent backend


def test_a_library_and_a_device_that_are_not_there_have_rows_that_say_so(
    program: Path, template: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCHBOOK_TENSORFLOW", str(tmp_path / "nowhere"))
    monkeypatch.setenv("BENCHBOOK_REFERENCES", str(tmp_path / "nowhere"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    plan = {"name": "none", "warm_up": 0, "job": job(pictures)}
    options = [*ONE_ROUND, "--device", "cuda", "--precision", "float32"]
    said, records = study(program, template, tmp_path, plan, *options, status=1)
    status = {record["place"]["backend"]: record["status"] for record in records}
    assert list(status) == ["libtorch", "tensorflow", "python-pytorch", "python-keras"]
    assert status["libtorch"]["state"] == "failed"
    assert "LibTorch cannot use the device cuda:0: " in status["libtorch"]["message"]
    for name in list(status)[1:]:
        assert status[name]["state"] == "absent" and str(tmp_path / "nowhere") in status[name]["message"]
    assert "run `environment/tensorflow`" in status["tensorflow"]["message"]
    # In the table of the check, which is done on the processor, and in that of the runs.
    assert said.count("not checked") == 6 and said.count("not available: ") >= 3
    assert {record["library"]["device"] for record in records} == {"cuda:0"}
    found = {record["place"]["backend"]: record["computes"]["found"] for record in records}
    assert found.pop("libtorch") == "alike" and set(found.values()) == {"unchecked"}


def test_the_report_is_compared_by_the_ordinary_table(program: Path, template: Path, tmp_path: Path) -> None:
    command = [program, "study", "--template", template, "--report", "--chart", tmp_path / "report.svg"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Time of the phase train" in (tmp_path / "report.svg").read_text()
    for words in ("~3.18~", "1.04 to 1.21", "~1.33~", "0.43 to 0.51", "reported, 2019", "batch 64 against 32"):
        assert words in said


def test_doctor_has_a_line_for_each_library_and_says_how_to_get_what_is_missing(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCHBOOK_TENSORFLOW", str(tmp_path))
    monkeypatch.setenv("BENCHBOOK_REFERENCES", str(tmp_path))
    said = subprocess.run([program, "doctor"], capture_output=True, text=True).stdout
    states = {line.split()[1]: line for line in said.splitlines() if line.startswith(("ok ", "absent "))}
    assert states["LibTorch"].split()[:3] == ["ok", "LibTorch", "2.11.0"], said
    assert states["TensorFlow"].startswith("absent") and "run `environment/tensorflow`" in states["TensorFlow"], said
    for name in ("PyTorch", "Keras"):
        assert states[name].startswith("absent") and str(tmp_path) in states[name], said
    assert "Toy" not in said


@pytest.mark.parametrize("command", ["bench", "study", "reproduce"])
def test_an_argument_that_is_no_text_is_named(program: Path, template: Path, tmp_path: Path, command: str) -> None:
    """A folder whose name is in Latin-1."""
    words = [program, command, "--template", template, "--", b"images-\xe9"]
    ran = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (2, ""), ran.stderr
    assert ran.stderr.startswith(f"benchbook {command}: the argument images-") and "is not UTF-8" in ran.stderr, ran.stderr


def python_of_references() -> Path:
    folder = Path(os.environ.get("BENCHBOOK_REFERENCES", REPOSITORY / ".venv-references"))
    python = folder / "bin" / "python"
    if not python.exists():
        pytest.skip(f"the Python originals are not installed ({python}): run environment/references")
    return python


def test_an_original_without_the_gpu_that_was_asked_for_does_not_use_the_processor(
    program: Path, template: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python_of_references()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    plan = {"name": "gpu", "backends": ["python-keras"], "warm_up": 0, "check": None, "job": job(pictures)}
    options = [*ONE_ROUND, "--device", "cuda", "--precision", "float32"]
    _, records = study(program, template, tmp_path, plan, *options, status=1)
    assert {record["status"]["state"] for record in records} == {"failed"}
    assert "sees 0 GPUs, none for cuda:0" in records[0]["status"]["message"]


def test_all_backends_compute_the_same_from_the_same_start(
    program: Path, template: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The library of the package that Keras computes with.
    monkeypatch.setenv("BENCHBOOK_TENSORFLOW", str(python_of_references().parents[1]))
    plan = {
        "name": "start",
        "backends": ["libtorch", "tensorflow", "python-pytorch", "python-keras"],
        "warm_up": 0,
        "check": {"steps": 20, "batch_size": 8},
        "job": job(pictures) | {"net": NET | {"dropout": 0.5}},
    }
    said, records = study(program, template, tmp_path, plan, *ONE_ROUND)
    assert agreeing(said) == len(plan["backends"]), said
    assert all(record["status"] == {"state": "ok"} for record in records), records
    assert {record["computes"]["found"] for record in records} == {"alike"}
    assert {record["audit"]["found"] for record in records} == {"alike"}, records[0]["audit"]
    assert all(record["step_seconds"] for record in records)
    assert len({record["data"]["files_sha256"] for record in records}) == 1
    for name in plan["backends"]:
        own = [record for record in records if record["place"]["backend"] == name]
        assert {record["images_seen"]["training"] for record in own} == {24}
        assert {record["net"]["trainable_parameters"] for record in own} == {15_108_929}
        assert all(set(record["resources"]) == {"load", "build", "train", "test", "steps"} for record in own)
        # The whole run is without the steps that are timed after it.
        assert all(record["wall_seconds"] > 0.98 * sum(record["phases"].values()) for record in own)
        variables = dict(own[0]["environment"]["variables"])
        assert (variables["TF_ENABLE_ONEDNN_OPTS"], variables["TF_DETERMINISTIC_OPS"]) == ("1", "0")
        assert [record["training"]["seed"] for record in own] == [0]
        assert {record["steps"] for record in own} == {6}
        parts = {"python-pytorch": {"build", "graph", "python", "torchvision", "pillow"}, "python-keras": {"build", "graph", "python"}}
        assert set(own[0]["library"]["parts"]) == parts.get(name, {"build", "graph"})
    assert "not comparable" not in said


def test_a_reference_that_leaves_a_condition_out_has_no_record(tmp_path: Path) -> None:
    states = {"/library/version": False, "/library/parts/pillow": True}
    job = {"net": {}, "record": {"library": {"parts": {}}}, "ranks": 1, "trace": None, "class_names": [], "states": states}
    (tmp_path / "job.json").write_text(json.dumps(job))
    program = "import common; common.state({'/library/parts/pillow': '12.0', '/library/parts/numpy': '2.3'})"
    command = [python_of_references(), "-c", program, tmp_path / "job.json"]
    folder = REPOSITORY / "kernel" / "study" / "references"
    ran = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"})
    assert ran.returncode == 1
    assert "missing: ['/library/version'], unknown: ['/library/parts/numpy']" in ran.stderr


def test_keras_own_adam_is_no_fault_and_no_ratio(program: Path, template: Path, pictures: Path, tmp_path: Path) -> None:
    python_of_references()
    plan = {
        "name": "adam",
        "backends": ["python-pytorch", "libtorch", "python-keras"],
        "warm_up": 0,
        "check": {"steps": 4, "batch_size": 8},
        "job": {"data": str(pictures), "net": NET, "build": BUILD, "fit": {"epochs": 1, "batch_size": 4}},
    }
    said, records = study(program, template, tmp_path, plan, *ONE_ROUND)
    assert {record["status"]["state"] for record in records} == {"ok"}
    assert agreeing(said) == 3 and "disagrees" not in said, said
    # Keras' formula is settled with our own backends, which have it, too.
    assert {record["audit"]["found"] for record in records} == {"alike"}, records
    assert "optimiser adam(beta1 0.9, beta2 0.999, convention pytorch, epsilon 1e-8) against adam(" in said


def test_the_first_libraries_settle_the_values_of_the_others_runs(program: Path, template: Path, pictures: Path, tmp_path: Path) -> None:
    python_of_references()
    plan = {
        "name": "two of three",
        "backends": ["libtorch", "python-pytorch", "python-keras"],
        "warm_up": 0,
        "check": {"steps": 4, "batch_size": 8, "settled_by": 2},
        "job": job(pictures, epochs=1),
    }
    said, records = study(program, template, tmp_path, plan, *ONE_ROUND)
    # TensorFlow from Rust helps where it is installed.
    assert "python-pytorch: agreement check" in said and "python-keras: check" not in said, said
    found = {record["place"]["backend"]: record["computes"]["found"] for record in records}
    assert found == {"libtorch": "alike", "python-pytorch": "alike", "python-keras": "unchecked"}
    assert {record["audit"]["found"] for record in records} == {"alike"} and all(record["step_seconds"] for record in records)


def test_a_job_that_diverges_is_told_by_every_backend(
    program: Path, template: Path, pictures: Path, tmp_path: Path
) -> None:
    python_of_references()
    plan = {
        "name": "diverged",
        "backends": ["libtorch", "python-pytorch"],
        "warm_up": 0,
        "check": {"steps": 4, "batch_size": 8},
        "job": job(pictures, epochs=1, learning_rate=1e20),
    }
    _, records = study(program, template, tmp_path, plan, *ONE_ROUND, status=1)
    messages = {record["place"]["backend"]: record["status"]["message"] for record in records}
    assert "training stopped in epoch 1" in messages["libtorch"]
    assert "the training loss of epoch 1 is nan" in messages["python-pytorch"]
    # The check takes smaller steps.
    assert {record["computes"]["found"] for record in records} == {"alike"}


def test_the_originals_are_given_changed_pictures_and_do_not_change_them_themselves(
    program: Path, template: Path, pictures: Path, tmp_path: Path
) -> None:
    python_of_references()
    plan = {
        "name": "turned",
        "backends": ["libtorch", "python-pytorch"],
        "warm_up": 0,
        "check": {"steps": 2, "batch_size": 4},
        "job": job(pictures, epochs=1, augmentation=[{"Rotation": {"degrees": 180, "fill": "Nearest"}}]),
    }
    said, records = study(program, template, tmp_path, plan, *ONE_ROUND)
    assert agreeing(said) == 2, said
    original = records[1]["status"]
    assert original["state"] == "absent" and "lacks fit.augmentation" in original["message"]


def test_sixteen_bit_floats_are_those_of_pytorch(program: Path, template: Path, pictures: Path, tmp_path: Path) -> None:
    python_of_references()
    plan = {
        "name": "bfloat16",
        "backends": ["libtorch", "python-pytorch", "python-keras"],
        "warm_up": 0,
        "check": {"steps": 5, "batch_size": 8},
        "job": job(pictures),
    }
    said, records = study(program, template, tmp_path, plan, *ONE_ROUND, "--precision", "bfloat16")
    # In 64-bit floats all three, and in bfloat16 the two that have it, within its own bounds.
    assert agreeing(said) == 3, said
    ran = [record for record in records if record["status"] == {"state": "ok"}]
    assert {record["audit"]["found"] for record in ran} == {"alike"} and len(ran) == 2, ran
    precision = {record["place"]["backend"]: record["library"]["precision"] for record in records}
    assert precision["libtorch"] == precision["python-pytorch"] == "bfloat16 autocast"
    keras = next(record["status"] for record in records if record["place"]["backend"] == "python-keras")
    assert keras["state"] == "absent" and "lacks a build.compute other than TensorFlow's own" in keras["message"]


def test_what_sixteen_bits_cannot_tell_is_not_called_a_disagreement(program: Path, template: Path, pictures: Path, tmp_path: Path) -> None:
    """Rounding the weights of ResNet50 to bfloat16 changes its gradients by more than their length."""
    python_of_references()
    plan = {"name": "short", "backends": ["libtorch", "python-pytorch"], "warm_up": 0, "check": {"steps": 3, "batch_size": 8}}
    plan["job"] = job(pictures, epochs=1) | {"net": {"architecture": "resnet50", "size": 64, "classes": 2}}
    _, records = study(program, template, tmp_path, plan, *ONE_ROUND, "--precision", "bfloat16")
    assert {record["computes"]["found"] for record in records} == {"alike"}
    audits = [record["audit"] for record in records]
    assert {audit["found"] for audit in audits} == {"unchecked"}, audits
    assert all("rounding to the run's precision (bfloat16 autocast) alone changes" in audit["reason"] for audit in audits), audits


def processes(folder: Path) -> list[int]:
    """The processes that work on a study in `folder`, by what they were started with."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except OSError:
                continue  # It has ended meanwhile.
            if str(folder).encode() in words and int(entry.name) != os.getpid():
                found.append(int(entry.name))
    return found


def restore_hangup() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_a_killed_study_ends_all_that_it_has_started_and_is_resumed(
    program: Path, template: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kill: signal.Signals
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environment = os.environ | {"TMPDIR": str(temporary)}
    if kill == signal.SIGHUP and signal.getsignal(kill) == signal.SIG_IGN:
        # Tests that nohup started ignore it, and so would the study.
        monkeypatch.setattr(subprocess, "Popen", functools.partial(subprocess.Popen, preexec_fn=restore_hangup))
    long = {"name": "long", "backends": ["libtorch"], "warm_up": 0, "check": None, "job": job(pictures, epochs=100_000)}
    records = tmp_path / "records.jsonl"
    (tmp_path / "study.json").write_text(json.dumps(long | {"records": str(records)}))
    command = [program, "study", "--template", template, tmp_path / "study.json"]

    def start() -> subprocess.Popen[str]:
        running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
        for line in running.stdout:
            if "Epoch 2/" in line:  # The job trains.
                return running
        raise AssertionError("the study ended by itself")

    running = start()
    assert len(processes(tmp_path)) == 3, "server, study and job"
    second = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert second.returncode == 1 and f"another study is writing to {records}" in second.stderr, second

    running.send_signal(kill)
    said, _ = running.communicate(timeout=60)
    assert running.returncode == (-kill if kill == signal.SIGKILL else 128 + kill), said
    ended = time.monotonic()
    while left := processes(tmp_path):
        assert time.monotonic() < ended + 10, left
    states = [json.loads(line)["status"]["state"] for line in records.read_text().splitlines()]
    assert states == ([] if kill == signal.SIGKILL else ["interrupted"]), said

    # What a killed one has left is removed by the next, which runs what is missing.
    assert bool(list(temporary.iterdir())) == (kill == signal.SIGKILL)
    again = start()
    again.terminate()
    again.communicate(timeout=60)
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_bench_ends_its_worker(program: Path, template: Path, pictures: Path, tmp_path: Path, kill: signal.Signals) -> None:
    (tmp_path / "job.json").write_text(json.dumps(job(pictures, epochs=100_000)))
    command = [program, "bench", "--template", template, tmp_path / "job.json"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert any("Epoch 2/" in line for line in running.stdout)
    assert len(processes(tmp_path)) == 2, "server and worker"
    running.send_signal(kill)
    running.communicate(timeout=60)
    assert running.returncode == (-kill if kill == signal.SIGKILL else 128 + kill)
    ended = time.monotonic()
    while left := processes(tmp_path):
        assert time.monotonic() < ended + 10, left


@pytest.mark.parametrize("words", [["study", "--help"], ["bench", "--help"], ["reproduce", "--help"], ["doctor"], ["machine"]])
def test_a_command_ends_without_a_message_when_the_reader_of_its_output_does(program: Path, words: list[str]) -> None:
    """As in `benchbook study --help | head -1`, with a pipe that is closed from the beginning."""
    reading, writing = os.pipe()
    os.close(reading)
    ran = subprocess.run([program, *words], stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert ran.stderr == "" and ran.returncode != 0


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"repeats": 2}, "`repeats` must be at least 3 (got 2)"),
        ({"baseline": "torch"}, "`baseline` must be one of libtorch"),
        ({"target_accuracy": 85}, "`target_accuracy` must be above 0 and at most 1"),
    ],
)
def test_settings_are_refused_before_anything_is_computed(
    program: Path, template: Path, pictures: Path, tmp_path: Path, setting: dict[str, Any], words: str
) -> None:
    (tmp_path / "study.json").write_text(json.dumps({"name": "refused", "backends": ["libtorch"], "job": job(pictures)} | setting))
    command = [program, "study", "--template", template, tmp_path / "study.json"]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert ran.returncode == 1 and words in ran.stderr and ran.stdout == "", ran
