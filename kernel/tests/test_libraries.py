"""Libraries beside the four that a study compares by itself: variants of a program, versions, and those that are installed
by name. Each has to pass the check of a study, and its timed process the audit.

`environment/test` installs what the first test needs, `environment/test --full` what the others need.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from test_study import BUILD, ONE_ROUND, REPOSITORY, agreeing, job, python_of_references, study

NETS = {
    "small_cnn": {"architecture": "small_cnn", "size": 32, "dropout": 0.5},
    "vgg": {"architecture": "vgg11", "size": 32, "dropout": 0.5},
    "resnet18": {"architecture": "resnet18", "size": 32},
}
VARIANTS = ["python-pytorch-compile", "python-keras-jit", "python-keras-no-jit", "python-keras-jax", "python-keras-pytorch"]
NAMED = ["python-theano", "python-mxnet", "python-pytorch@1.13"]


@pytest.fixture(scope="module")
def pictures(draw: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three batches of four to train on; four to validate on, of which the last is half full, so that the audit counts a
    validation that does not begin with its first batch."""
    return draw(tmp_path_factory.mktemp("pictures") / "drawings", 12, 14, 4)


def agree(program: Path, template: Path, folder: Path, data: Path, net: str, libraries: list[str], steps: int = 20) -> list[dict]:
    """Runs a study whose libraries must agree, and returns its records."""
    plan = {
        "name": net,
        "backends": ["libtorch", *libraries],
        "warm_up": 0,
        "check": {"steps": steps, "batch_size": 8},
        # Two threads with one net: some libraries then compile other code.
        "job": job(data) | {"net": NETS[net], "build": BUILD | {"threads": 2 if net == "small_cnn" else 1}},
    }
    said, records = study(program, template, folder, plan, *ONE_ROUND)
    assert agreeing(said) == len(plan["backends"]), said
    assert {record["status"]["state"] for record in records} == {"ok"}, records
    assert {record["audit"]["found"] for record in records} == {"alike"}, [record["audit"] for record in records]
    return records


def test_variants_compute_the_same_and_their_records_tell_them_apart(
    program: Path, template: Path, pictures: Path, tmp_path: Path
) -> None:
    python_of_references()
    records = agree(program, template, tmp_path, pictures, "small_cnn", VARIANTS, steps=4)
    libraries = {record["place"]["backend"]: record["library"] for record in records}
    assert len({library["name"] for library in libraries.values()}) == 1 + len(VARIANTS)
    assert " on JAX " in libraries["python-keras-jax"]["version"]
    assert " on PyTorch " in libraries["python-keras-pytorch"]["version"]
    assert {libraries[name]["version"].split(" on ")[1].split()[0] for name in VARIANTS[1:3]} == {"TensorFlow"}


@pytest.mark.skipif(not os.environ.get("BENCHBOOK_FULL"), reason="takes half an hour; set BENCHBOOK_FULL=1")
@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("library", VARIANTS + NAMED)
def test_every_library_computes_the_same(
    program: Path, template: Path, pictures: Path, tmp_path: Path, library: str, net: str
) -> None:
    main = python_of_references().parents[1]
    if library.endswith("@1.13") and not main.with_name(f"{main.name}-torch@1.13").exists():
        pytest.skip("environment/references python-pytorch@1.13 needs Python 3.10")
    agree(program, template, tmp_path, pictures, net, [library])


def test_a_program_tests_the_images_that_benchbook_tests(tmp_path: Path) -> None:
    """BMP and WebP files, and Kaggle's folder `test1`; not hidden files, as macOS adds them, other files and deeper folders."""
    images = ["test1/a b.BMP", "test1/other ä/b.webp"]
    others = ["test1/._a.jpg", "test1/.cache/c.jpg", "test1/Thumbs.db", "test1/x/deep/d.jpg", "validation/cat/e.jpg"]
    for name in images + others:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    given = {"data": str(tmp_path), "net": {}, "record": {}, "trace": None, "class_names": [], "ranks": 1}
    (tmp_path / "job.json").write_text(json.dumps(given))
    command = [python_of_references(), "-c", "import common, json; print(json.dumps(common.test_files()))", tmp_path / "job.json"]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "kernel/study/references"), "PYTHONDONTWRITEBYTECODE": "1"}
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert json.loads(said) == [str(tmp_path / name) for name in images]


def test_pytorch_decodes_in_processes_unless_all_images_are_small(tmp_path: Path) -> None:
    """A first image that is an exception does not decide for all."""
    python = python_of_references()
    program = "from PIL import Image; [Image.new('RGB', (size, size)).save(f'{size}.png') for size in (32, 200)]"
    subprocess.run([python, "-c", program], check=True, cwd=tmp_path)
    compute = {"precision": "float32", "channels_last": False}
    given = {"net": {"input": [3, 32, 32]}, "record": {}, "trace": None, "class_names": [], "ranks": 1, "device": "cpu"}
    given |= {"compute": compute, "variant": {}, "preprocessing": "rescaled"}
    (tmp_path / "job.json").write_text(json.dumps(given))
    program = "import reference_pytorch; print([reference_pytorch.all_small(paths) for paths in (['32.png'] * 20, ['32.png'] + ['200.png'] * 19)])"
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "kernel/study/references"), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [python, "-c", program, tmp_path / "job.json"]
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ran.stdout.strip() == "[True, False]", ran.stderr


def test_a_version_is_found_where_it_is_installed_and_otherwise_named(
    program: Path, template: Path, pictures: Path, tmp_path: Path
) -> None:
    python = python_of_references()
    backends = ["python-pytorch@2.11", "python-pytorch@1.0", "libtorch@2.11", "python-pytorch@new"]
    plan = {"name": "versions", "backends": backends, "warm_up": 0, "check": None, "job": job(pictures, epochs=1)}
    _, records = study(program, template, tmp_path, plan, *ONE_ROUND)
    status = {record["place"]["backend"]: record["status"] for record in records}
    assert status["python-pytorch@2.11"]["state"] == "ok"
    names = {record["library"]["name"] for record in records if record["status"]["state"] == "ok"}
    assert names == {"PyTorch 2.11"}
    missing = status["python-pytorch@1.0"]["message"]
    assert f"{python} has torch 2.11.0" in missing and "-torch@1.0/bin/python" in missing, missing
    assert "run `environment/references python-pytorch@1.0`" in missing
    assert "`libtorch` has only one version" in status["libtorch@2.11"]["message"]
    assert "the version must be numbers" in status["python-pytorch@new"]["message"]


def test_a_library_without_its_package_says_how_to_install_it(
    program: Path, template: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = python_of_references()
    empty = tmp_path / "empty"
    subprocess.run([real, "-m", "venv", "--without-pip", empty], check=True)
    monkeypatch.setenv("BENCHBOOK_REFERENCES", str(empty))
    backends = ["libtorch", "python-keras-jax", "python-theano", "python-mxnet"]
    plan = {"name": "absent", "backends": backends, "warm_up": 0, "check": None, "job": job(pictures, epochs=1)}
    _, records = study(program, template, tmp_path, plan, *ONE_ROUND)
    status = {record["place"]["backend"]: record["status"] for record in records}
    jax = status["python-keras-jax"]["message"]
    assert f"{empty}/bin/python does not have keras and jax and torch and torchvision" in jax, jax
    for name in backends[1:]:
        assert f"run `environment/references {name}`" in status[name]["message"], status[name]
    assert f"there is no {empty}-theano/bin/python" in status["python-theano"]["message"]


def test_help_and_doctor_list_every_library(program: Path, template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCHBOOK_REFERENCES", str(tmp_path))
    said = subprocess.run([program, "study", "--template", template, "--", "--help"], capture_output=True, text=True, check=True).stdout
    doctor = subprocess.run([program, "doctor"], capture_output=True, text=True).stdout
    for name in ["python-keras-jax", "python-theano", "python-mxnet"]:
        assert f"environment/references {name}" in said, said
        assert f"run `environment/references {name}`" in doctor, doctor


@pytest.mark.skipif(not os.environ.get("BENCHBOOK_FULL"), reason="takes minutes; set BENCHBOOK_FULL=1")
@pytest.mark.parametrize("library", ["python-theano", "python-mxnet"])
def test_what_a_library_does_not_have_is_the_reason_of_its_row(
    program: Path, template: Path, pictures: Path, tmp_path: Path, library: str
) -> None:
    net = {"architecture": "lstm", "size": 32}
    plan: dict[str, Any] = {"name": "lstm", "backends": ["libtorch", library], "warm_up": 0, "check": None}
    plan["job"] = {"data": str(pictures), "net": net, "build": BUILD, "fit": {"epochs": 1, "batch_size": 4}}
    _, records = study(program, template, tmp_path, plan, *ONE_ROUND)
    status = {record["place"]["backend"]: record["status"] for record in records}
    assert status["libtorch"]["state"] == "ok"
    assert status[library]["state"] == "failed" and "has no operation `lstm`" in status[library]["message"], status
