"""Programs that do not do what they are timed for, and what a study says of them.

Each attack changes the text of PyTorch's program, or torch itself, in a Python of its own that `BENCHBOOK_REFERENCES`
names; everything else is as users have it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from test_study import ONE_ROUND, agreeing, pictures, python_of_references, study  # noqa: F401

NET = {"architecture": "small_cnn", "size": 32, "classes": 2, "dropout": 0.5}
FIT = {"epochs": 2, "batch_size": 4, "optimizer": {"name": "sgd", "momentum": 0.9}, "learning_rate": 0.01}

# Runs a program with some of its text replaced, after a preparation.
LAUNCHER = """#!{python}
import sys
program = sys.argv[1]
if program == "-c":  # A study asks for the versions of packages.
    code, sys.argv = sys.argv[2], ["-c", *sys.argv[3:]]
    exec(code)
    sys.exit()
sys.path.insert(0, program.rpartition("/")[0])
sys.argv = sys.argv[1:]
text = open(program).read()
if program.endswith("reference_pytorch.py"):
    for old, new in {replacements!r}:
        assert old in text, old
        text = text.replace(old, new)
    exec({preparation!r})
exec(compile(text, program, "exec"), {{"__name__": "__main__"}})
"""


def attacked(folder: Path, *replacements: tuple[str, str], preparation: str = "") -> Path:
    """An environment whose Python runs PyTorch's program with these changes."""
    python = folder / "attacked" / "bin" / "python"
    python.parent.mkdir(parents=True)
    real = python_of_references()
    python.write_text(LAUNCHER.format(python=real, replacements=replacements, preparation=preparation))
    python.chmod(0o755)
    return python.parents[1]


def job(folder: Path, **fit: Any) -> dict[str, Any]:
    build = {"device": "cpu", "threads": 1}
    return {"data": str(folder), "net": NET, "build": build, "fit": FIT | fit}


CHEATS = {
    "no dropout": ([], "import torch; torch.nn.Dropout.forward = lambda self, x: x", "drops 0.000 of its values, the job 0.5"),
    "bfloat16": (
        [("AUTOCAST, enabled=SHORT", "torch.bfloat16, enabled=DTYPE == torch.float32")],
        "",
        "logits: relative difference",
    ),
    "half of the steps": (
        [("self.one_pass(training, number, len(self.epochs[number - 1])", "self.one_pass(training, number, len(self.epochs[number - 1]) // 2")],
        "",
        "training had 8 images, the job has 24",
    ),
    "validation of a part": (
        [("self.training, self.validation = folders", "self.training, self.validation = folders; del self.validation.samples[2:]")],
        "",
        "the validation of epoch 1 had 2 images, the job has 4",
    ),
    "a frozen layer": (
        [("        self.optimizer = make", "        self.model.layers[0].requires_grad_(False)\n        self.optimizer = make")],
        "",
        "trainable parameters must be",
    ),
    "a layer that the optimiser does not know": (
        [("if value.requires_grad])", "if value.requires_grad][1:])")],
        "",
        "trainable parameters must be",
    ),
    "another learning rate": ([("rate, momentum, nesterov=", "rate * 1.01, momentum, nesterov=")], "", "the optimiser's lr must be"),
}

WITH_ALL_ROUNDS = {"no dropout", "half of the steps"}


@pytest.mark.parametrize("cheat", CHEATS)
def test_a_program_that_does_less_than_it_is_timed_for_is_found(
    program: Path, template: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cheat: str
) -> None:
    replacements, preparation, words = CHEATS[cheat]
    monkeypatch.setenv("BENCHBOOK_REFERENCES", str(attacked(tmp_path, *replacements, preparation=preparation)))
    plan = {
        "name": "cheat",
        "backends": ["libtorch", "python-pytorch"],
        "warm_up": 0,
        "check": {"steps": 4, "batch_size": 8},
        "job": job(pictures),
    }
    # A ratio needs three rounds. Whether it is struck is seen with a cheat that the check finds and one that the audit finds.
    options = () if cheat in WITH_ALL_ROUNDS else ONE_ROUND
    said, records = study(program, template, tmp_path, plan, *options)
    mine = [record for record in records if record["place"]["backend"] == "libtorch"]
    assert {record["audit"]["found"] for record in mine} == {"alike"} and len(mine) == (1 if options else 3), mine[0]
    theirs = [record for record in records if record["place"]["backend"] == "python-pytorch"]
    # What 64-bit floats show already is found before anything is timed.
    found = theirs[0]["computes"] if theirs[0]["computes"]["found"] != "alike" else theirs[0]["audit"]
    assert words in json.dumps(found), theirs[0]
    assert agreeing(said) and "~" in said or "disagrees" in said or "not checked" in said, said
    assert not [line for line in said.splitlines() if "python-pytorch" in line and "× (" in line], said


NO_MORE_LEARNING = """
import torch
steps, step = [0], torch.optim.SGD.step
def few(self, *given, **named):
    steps[0] += 1
    return step(self, *given, **named) if steps[0] <= 8 else None
torch.optim.SGD.step = few
"""
SHORT_AFTER_A_WHILE = """
import torch
calls, conv = [0], torch.nn.Conv2d.forward
def short(self, x):
    calls[0] += 1
    if calls[0] <= 24:
        return conv(self, x)
    return torch.nn.functional.conv2d(
        x.bfloat16(), self.weight.bfloat16(), self.bias.bfloat16(), self.stride, self.padding
    ).to(x.dtype)
torch.nn.Conv2d.forward = short
"""


@pytest.mark.parametrize("preparation", [NO_MORE_LEARNING, SHORT_AFTER_A_WHILE])
def test_an_original_is_not_above_doubt(
    program: Path, template: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, preparation: str
) -> None:
    monkeypatch.setenv("BENCHBOOK_TENSORFLOW", str(python_of_references().parents[1]))
    monkeypatch.setenv("BENCHBOOK_REFERENCES", str(attacked(tmp_path, preparation=preparation)))
    plan = {"name": "doubt", "backends": ["python-pytorch", "libtorch", "tensorflow"], "warm_up": 0, "job": job(pictures, epochs=1)}
    _, records = study(program, template, tmp_path, plan, *ONE_ROUND)
    found = {record["place"]["backend"]: record["computes"] for record in records}
    assert found["python-pytorch"]["found"] == "unlike", found
    assert [found[name]["found"] for name in ("libtorch", "tensorflow")] == ["alike", "alike"], found


@pytest.mark.parametrize(("architecture", "rate"), [("resnet18", 0.01), ("resnet50", 0.1)])
def test_rounding_makes_no_library_disagree(
    program: Path, template: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, architecture: str, rate: float
) -> None:
    """Steps at these learning rates amplify the rounding of 32-bit floats until losses differ by 0.006 and 0.1."""
    monkeypatch.setenv("BENCHBOOK_TENSORFLOW", str(python_of_references().parents[1]))
    net = {"architecture": architecture, "size": 64, "classes": 2}
    plan = {
        "name": "rounding",
        "backends": ["libtorch", "tensorflow", "python-pytorch", "python-keras"],
        "warm_up": 0,
        "check": {"steps": 3, "batch_size": 8},
        "job": job(pictures, epochs=1, learning_rate=rate) | {"net": net},
    }
    _, records = study(program, template, tmp_path, plan, *ONE_ROUND)
    assert [record["computes"]["found"] for record in records] == ["alike"] * 4, [record["computes"] for record in records]
    audits = [record["audit"] for record in records]
    assert [audit["found"] for audit in audits] == ["alike"] * 4, audits
    # Half of what the bound allows.
    assert all(float(re.search(r"losses (\S+),", audit["nearness"])[1]) < 5e-4 for audit in audits), audits


def test_two_that_disagree_are_both_in_doubt(
    program: Path, template: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCHBOOK_TENSORFLOW", str(tmp_path / "nowhere"))
    monkeypatch.setenv("BENCHBOOK_REFERENCES", str(attacked(tmp_path, preparation=NO_MORE_LEARNING)))
    plan = {"name": "tie", "backends": ["python-pytorch", "libtorch"], "warm_up": 0, "job": job(pictures, epochs=1)}
    said, records = study(program, template, tmp_path, plan, *ONE_ROUND)
    assert {record["computes"]["found"] for record in records} == {"unchecked"}
    assert "no majority of the libraries decides which is correct" in said


@pytest.mark.parametrize("decay", [1e-4, 2e-4, 5e-4])
def test_another_weight_decay_is_found(
    program: Path, template: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decay: float
) -> None:
    """By what the steps change, as if the optimiser did not tell its settings."""
    monkeypatch.setenv("BENCHBOOK_TENSORFLOW", str(python_of_references().parents[1]))
    replacements = [("weight_decay=decay, **FUSED", f"weight_decay={decay}, **FUSED"), ('different(f"the optimiser\'s {name}"', "different('', 0, 0) or (lambda *_: [])(name")]
    monkeypatch.setenv("BENCHBOOK_REFERENCES", str(attacked(tmp_path, *replacements)))
    plan = {
        "name": "decay",
        "backends": ["python-pytorch", "libtorch", "tensorflow"],
        "warm_up": 0,
        "check": {"steps": 3, "batch_size": 8},
        "job": job(pictures, epochs=1),
    }
    _, records = study(program, template, tmp_path, plan, *ONE_ROUND)
    found = {record["place"]["backend"]: record["computes"] for record in records}
    assert found["python-pytorch"]["found"] == "unlike" and "change of" in found["python-pytorch"]["message"], found
    assert found["libtorch"]["found"] == found["tensorflow"]["found"] == "alike", found


def test_keras_keeps_its_backend_whatever_the_environment_says(
    program: Path, template: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python_of_references()
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    home = tmp_path / "home"
    (home / ".keras").mkdir(parents=True)
    (home / ".keras" / "keras.json").write_text(
        json.dumps({"backend": "jax", "floatx": "float16", "epsilon": 1e-3, "image_data_format": "channels_first"})
    )
    monkeypatch.setenv("KERAS_HOME", str(home / ".keras"))
    plan = {
        "name": "keras",
        "backends": ["python-keras", "libtorch"],
        "warm_up": 0,
        "check": {"steps": 3, "batch_size": 8},
        "job": job(pictures, epochs=1),
    }
    _, records = study(program, template, tmp_path, plan, *ONE_ROUND)
    assert [record["computes"]["found"] for record in records] == ["alike"] * 2, records[0]["computes"]
    assert [record["audit"]["found"] for record in records] == ["alike"] * 2, records[0]["audit"]


def test_runs_on_other_cores_and_with_another_setting_make_no_pairs(
    program: Path, template: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One backend's runs are made first, on one core and with another instruction set for oneDNN."""
    monkeypatch.setenv("BENCHBOOK_TENSORFLOW", str(python_of_references().parents[1]))
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("this machine has one core")
    plan = {"name": "cores", "backends": ["libtorch"], "warm_up": 0, "repeats": 3, "retries": 0, "check": None}
    plan |= {"job": job(pictures, epochs=1), "records": str(tmp_path / "records.jsonl")}
    (tmp_path / "study.json").write_text(json.dumps(plan))
    command = ["taskset", "-c", "0", program, "study", "--template", template, tmp_path / "study.json"]
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2"}
    subprocess.run(command, check=True, capture_output=True, env=environment, cwd=tmp_path)
    both = plan | {"backends": ["libtorch", "tensorflow"]}
    said, _ = study(program, template, tmp_path, both)
    assert "cores 0 against 0" in said and "ONEDNN_MAX_CPU_ISA" in said, said
