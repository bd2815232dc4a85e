"""The same weights and batch give in a cell what they give in PyTorch's Python: logits, loss and whole gradients.

PyTorch's Python makes the weights, saves them in both of its formats and computes what it expects
(`environment/originals/agreement.py`, where the tolerances stand); a cell reads the file directly, without
Python, and writes what it computes as safetensors; PyTorch's Python compares. Both run without dropout, since
the two libraries draw different masks. Needs `.venv-references`, which `environment/references` makes.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from driver import Kernel

REPOSITORY = Path(__file__).resolve().parents[2]
PYTHON = REPOSITORY / ".venv-references" / "bin" / "python"
PROGRAM = REPOSITORY / "environment" / "originals" / "agreement.py"

CELL = """
use benchbook::backend::{Array, Input, Step};
use benchbook::weights::safetensors;
let folder = std::path::PathBuf::from("%(folder)s");
let (batch, _) = safetensors::read(&folder.join("batch.safetensors"))?;
let labels: Vec<i64> = batch.arrays["labels"].values.iter().map(|label| *label as i64).collect();
let input = Input::Values(&batch.arrays["values"].values);
let net = %(net)s;
let build = Build {
    weights: Weights::from_file(folder.join("weights.pth"))?,
    threads: Some(2),
    ..Build::default()
};
let mut model = Model::new(net, build)?;
let network = model.network();
let mut found = network.gradients(input, &labels)?;
let mut add = |name: &str, values: Vec<f32>| {
    found.arrays.insert(name.to_owned(), Array { shape: vec![values.len()], values });
};
add("logits", network.logits(input, labels.len())?);
network.compile(Optimizer::sgd());
add("loss", vec![network.train_step(input, &labels, Step::new(0.0, 0))?.loss as f32]);
safetensors::write(&found, &folder.join("found.safetensors"), Default::default())?;
println!("computed");
"""


VGG = "%(architecture)s { head: Head::%(head)s, size: %(size)d, batch_norm: %(batch_norm)s, dropout: 0.0, ..Default::default() }"

LOGITS = """
use benchbook::backend::{Array, Input, Parameters};
use benchbook::weights::safetensors;
let folder = std::path::PathBuf::from("%(folder)s");
let (batch, _) = safetensors::read(&folder.join("batch.safetensors"))?;
let weights = Weights::from_file(folder.join("weights.weights.h5"))?;
let mut model = Model::new(%(net)s, Build { weights, ..Build::default() })?;
let values = model.network().logits(Input::Values(&batch.arrays["values"].values), 4)?;
let mut found = Parameters::default();
found.arrays.insert("logits".into(), Array { shape: vec![values.len()], values });
safetensors::write(&found, &folder.join("found.safetensors"), Default::default())?;
"""


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the program of PyTorch's side."""
    return subprocess.run([PYTHON, PROGRAM, *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("architecture", "head", "size", "batch_norm", "kind"),
    [
        ("vgg16", "keras", 96, "false", "old"),
        ("vgg16", "pytorch", 64, "false", "zip"),
        ("vgg19", "keras", 64, "true", "zip"),
    ],
)
def test_logits_loss_and_gradients(
    kernel: Kernel, tmp_path: Path, architecture: str, head: str, size: int, batch_norm: str, kind: str
) -> None:
    if not PYTHON.exists():
        pytest.skip(f"there is no {PYTHON}: environment/references installs PyTorch for Python")
    made = python("make", str(tmp_path), architecture, head, str(size), batch_norm, kind)
    assert made.returncode == 0, made.stderr
    names = {"keras": "Keras", "pytorch": "PyTorch", "vgg16": "Vgg16", "vgg19": "Vgg19"}
    net = VGG % {"architecture": names[architecture], "head": names[head], "size": size, "batch_norm": batch_norm}
    kernel.good("{" + CELL % {"folder": tmp_path, "net": net} + "}")
    compared = python("compare", str(tmp_path))
    assert compared.returncode == 0, compared.stdout + compared.stderr


@pytest.mark.parametrize(
    ("name", "architecture", "more"),
    [
        ("alexnet", "AlexNet", "dropout: 0.0, "),
        ("resnet18", "ResNet18", ""),
        ("resnet34", "ResNet34", ""),
        ("resnet50", "ResNet50", ""),
        ("mobilenet_v2", "MobileNetV2", "dropout: 0.0, "),
    ],
)
def test_logits_loss_and_gradients_of_torchvisions_own_nets(
    kernel: Kernel, tmp_path: Path, name: str, architecture: str, more: str
) -> None:
    if not PYTHON.exists():
        pytest.skip(f"there is no {PYTHON}: environment/references installs torchvision")
    made = python("torchvision", str(tmp_path), name, "64")
    assert made.returncode == 0, made.stderr
    net = f"{architecture} {{ size: 64, {more}..{architecture}::new(10) }}"
    kernel.good("{" + CELL % {"folder": tmp_path, "net": net} + "}")
    compared = python("compare", str(tmp_path))
    assert compared.returncode == 0, compared.stdout + compared.stderr


@pytest.mark.parametrize(("name", "architecture"), [("lstm", "Lstm"), ("gru", "Gru")])
def test_logits_of_keras_own_recurrent_layers(
    kernel: Kernel, tmp_path: Path, name: str, architecture: str
) -> None:
    if not PYTHON.exists():
        pytest.skip(f"there is no {PYTHON}: environment/references installs Keras")
    made = python("recurrent", str(tmp_path), name, "32")
    assert made.returncode == 0, made.stderr
    net = f"{architecture} {{ size: 32, units: 16, ..{architecture}::new(10) }}"
    kernel.good("{" + LOGITS % {"folder": tmp_path, "net": net} + "}")
    compared = python("compare", str(tmp_path))
    assert compared.returncode == 0, compared.stdout + compared.stderr


def test_keras_file_of_a_whole_base_is_read(kernel: Kernel, tmp_path: Path) -> None:
    if not PYTHON.exists():
        pytest.skip(f"there is no {PYTHON}: environment/references installs h5py")
    made = python("keras", str(tmp_path))
    assert made.returncode == 0, made.stderr
    kernel.good(
        f"""{{
        let folder = std::path::PathBuf::from("{tmp_path}");
        let weights = Weights::from_file(folder.join("weights.h5"))?;
        let net = Vgg16 {{ size: 32, ..Vgg16::new(2) }};
        let model = Model::new(net, Build {{ weights, ..Build::default() }})?;
        assert_eq!(model.preprocessing(), &benchbook::data::Preprocessing::Caffe);
        let mut found = model.parameters()?;
        found.arrays.retain(|name, _| name.starts_with("features."));
        let file = folder.join("found.safetensors");
        benchbook::weights::safetensors::write(&found, &file, Default::default())?;
        }}"""
    )
    compared = python("compare", str(tmp_path))
    assert compared.returncode == 0, compared.stdout + compared.stderr
