"""LibTorch, TensorFlow, PyTorch and Keras compute the same of each net: logits, losses and gradients of 20 training steps.

That is the check that stands before every study (`kernel/study/src/agreement.rs`), here of each architecture in small.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import driver
from driver import Kernel
from figures import FULL

LIBRARIES = ("libtorch", "tensorflow", "python-pytorch", "python-keras")
PYTHON = Path(__file__).resolve().parents[2] / ".venv-references" / "bin" / "python"

NETS = {
    "small_cnn": "SmallCnn { size: 32, ..SmallCnn::new(2) }",
    "mlp": "Mlp { size: 16, ..Mlp::new(2) }",
    "lstm": "Lstm { size: 16, units: 32, ..Lstm::new(2) }",
    "gru": "Gru { size: 16, units: 32, ..Gru::new(2) }",
    "mobilenet_v2": "MobileNetV2 { size: 64, ..MobileNetV2::new(2) }",
    "resnet18": "ResNet18 { size: 64, ..ResNet18::new(2) }",
    "resnet34": "ResNet34 { size: 64, ..ResNet34::new(2) }",
    "resnet50": "ResNet50 { size: 64, ..ResNet50::new(2) }",
}
LARGE = {"mobilenet_v2", "resnet18", "resnet34", "resnet50"}

CELL = """
let job = Job {
    net: %(net)s.into(),
    build: Build { threads: Some(2), ..Build::default() },
    fit: Fit { batch_size: 8, optimizer: Optimizer::momentum(0.9), learning_rate: Some(1e-3), ..Fit::default() },
    ..Job::new("%(data)s")
};
let plan = StudyPlan { backends: vec![%(libraries)s], ..StudyPlan::new("nets", job) };
let checked = plan.compute_alike(&mut |_| ())?.ok_or("no check")?;
println!("{}", checked.bundle().plain());
"""


@pytest.fixture(scope="module")
def pictures(draw: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("pictures") / "drawings", 160, 8, 4)


@pytest.mark.parametrize("name", NETS)
def test_four_libraries_compute_the_same_of_a_net(
    kernels: Any, pictures: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    if name in LARGE and not FULL:
        pytest.skip("the long form: set BENCHBOOK_FULL=1")
    if not PYTHON.exists():
        pytest.skip(f"there is no {PYTHON}: environment/references installs PyTorch and Keras")
    libraries = ", ".join(f'"{library}".into()' for library in LIBRARIES)
    # In 64-bit floats the large nets take minutes.
    monkeypatch.setattr(driver, "PATIENCE", 1800)
    # TensorFlow's library for Rust is the one that Keras' environment has.
    kernel: Kernel = kernels({"BENCHBOOK_TENSORFLOW": str(PYTHON.parents[1])})
    said = kernel.good("{" + CELL % {"net": NETS[name], "data": pictures, "libraries": libraries} + "}").stdout
    lines = {line.split()[0]: line for line in said.splitlines() if line.startswith(LIBRARIES)}
    assert set(lines) == set(LIBRARIES), said
    assert all(not any(word in line for word in ("disagrees", "not checked")) for line in lines.values()), said
