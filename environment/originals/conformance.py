"""Values of Python's PyTorch for the graphs of the conformance suite, with which every backend is compared.

    cargo run --release -p benchbook-conformance --example cases > cases.json
    .venv-references/bin/python environment/originals/conformance.py cases.json kernel/backend/tests/data/conformance

writes one safetensors file for each graph, or only for the graphs named after the folder, since safetensors writes the
metadata in a different order each time. Weights and inputs follow from a formula, which `kernel/conformance` has too; the
dropout masks are Benchbook's. Everything is computed in 32-bit floats on the CPU by the interpreter of
`kernel/study/references`. The file's metadata holds the graph, the settings and the versions; its tensors are

- `input` and `labels`; `logits` and `loss` in inference mode; `features`, the output of the base in inference mode;
- `gradients/NAME` of the loss in training mode without dropout;
- `TRAINING/loss`, `TRAINING/logits` of each step and `TRAINING/weights/NAME` after the last, for each of TRAININGS.

Of a tensor with more than KEPT values, KEPT at evenly spread places are kept.
"""

from __future__ import annotations

import copy
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy
import torch
from golden import spread
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).parents[2] / "kernel" / "study" / "references"))
from net_pytorch import Net  # noqa: E402

KEPT = 256


class Given(torch.nn.Module):
    """Dropout with given masks."""

    factors = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.factors if self.training and self.factors is not None else x


SGD = {"name": "sgd", "momentum": 0.0, "nesterov": False, "weight_decay": 0.0}
NESTEROV = {"name": "sgd", "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}
ADAM = {"name": "adam", "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "convention": "pytorch"}
RMSPROP = {"name": "rmsprop", "decay": 0.99, "epsilon": 1e-8, "convention": "pytorch"}
TRAININGS = {
    "sgd": {"optimizer": SGD, "rate": 0.1},
    "class_weights": {"optimizer": SGD, "rate": 0.1},
    "nesterov": {"optimizer": NESTEROV, "rate": 0.02},
    "adam": {"optimizer": ADAM, "rate": 0.01},
    "rmsprop": {"optimizer": RMSPROP, "rate": 0.001},
}


def make_optimizer(settings: dict[str, Any], rate: float, values: list[torch.Tensor]) -> torch.optim.Optimizer:
    """PyTorch's optimiser with these settings."""
    if settings["name"] == "sgd":
        momentum, nesterov, decay = settings["momentum"], settings["nesterov"], settings["weight_decay"]
        return torch.optim.SGD(values, rate, momentum, nesterov=nesterov, weight_decay=decay)
    if settings["name"] == "adam":
        return torch.optim.Adam(values, rate, (settings["beta1"], settings["beta2"]), settings["epsilon"])
    return torch.optim.RMSprop(values, rate, settings["decay"], settings["epsilon"])


def tensor(values: numpy.ndarray, shape: list[int]) -> torch.Tensor:
    """A formula's values in 32-bit floats."""
    return torch.from_numpy(values.astype(numpy.float32)).reshape(shape)


def weights(parameters: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """Weights within He's uniform bound, vectors near 0, scales and running variances near 1."""
    arrays = {}
    for stream, parameter in enumerate(parameters):
        name, shape = parameter["name"], parameter["shape"]
        values = spread(math.prod(shape), stream)
        if len(shape) > 1:
            values *= math.sqrt(6.0 / math.prod(shape[1:]))
        else:
            values *= 0.25
            if name.endswith((".weight", ".running_var")):
                values += 1.0
        arrays[name] = tensor(values, shape)
    return arrays


def kept(values: torch.Tensor) -> torch.Tensor:
    """Values of a large tensor at evenly spread places."""
    flat = values.detach().clone().contiguous()
    if flat.numel() <= KEPT:
        return flat
    flat = flat.flatten()
    return flat[torch.arange(KEPT) * flat.numel() // KEPT].contiguous()


def train(net: Net, settings: dict[str, Any], inputs: torch.Tensor, labels: torch.Tensor, masks: list[Any]) -> dict[str, Any]:
    """Loss and outputs of each step, and the weights after the last."""
    net = copy.deepcopy(net).train()
    optimizer = make_optimizer(settings["optimizer"], settings["rate"], [v for v in net.parameters() if v.requires_grad])
    factors = settings["class_weights"] and torch.tensor(settings["class_weights"])
    dropouts = [layer for layer in net.layers if isinstance(layer, Given)]
    shapes = [layer["output"] for layer in net.graph["layers"] if layer["operation"]["type"] == "dropout"]
    losses, outputs = [], []
    for step in masks:
        for layer, shape, mask in zip(dropouts, shapes, step, strict=True):
            layer.factors = torch.tensor(mask).reshape(-1, *shape)
        optimizer.zero_grad()
        output = net(inputs)
        loss = net.loss(output, labels, factors)
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
        outputs.append(output.detach())
    found = {f"weights/{name}": kept(value) for name, value in net.named().items()}
    return found | {"loss": torch.stack(losses), "logits": torch.stack(outputs)}


def run(case: dict[str, Any], batch: int, folder: Path, seed: int) -> None:
    """Computes a graph and writes its file."""
    graph = case["net"]
    net = Net(graph, case["frozen"])
    for index, layer in enumerate(net.layers):
        if isinstance(layer, torch.nn.Dropout):
            net.layers[index] = Given().train(layer.training)
    net.set_weights(weights(graph["parameters"]))
    shape = [batch, *graph["input"]]
    inputs = tensor(spread(math.prod(shape), 999), shape)
    labels = (torch.arange(batch) * 3 + 1) % graph["classes"]
    arrays = {"input": inputs, "labels": labels.float()}
    with torch.no_grad():
        net.eval()
        arrays["logits"] = net(inputs)
        arrays["loss"] = net.loss(arrays["logits"], labels).reshape(1)
        if graph["base"]:
            base = net.layers[graph["base"] - 1]
            hook = base.register_forward_hook(lambda module, given, output: arrays.update(features=output.clone()))
            net(inputs)
            hook.remove()
    in_training = copy.deepcopy(net).train()
    in_training.loss(in_training(inputs), labels).backward()
    for name, value in in_training.named().items():
        if value.grad is not None:
            arrays[f"gradients/{name}"] = kept(value.grad)
    trainings = {}
    for name, settings in TRAININGS.items():
        factors = [1.0 + 0.5 * index for index in range(graph["classes"])] if name == "class_weights" else None
        trainings[name] = settings | {"class_weights": factors}
        found = train(net, trainings[name], inputs, labels, case["masks"])
        arrays |= {f"{name}/{key}": value for key, value in found.items()}
    settings = {"frozen": case["frozen"], "batch": batch, "seed": seed, "trainings": trainings}
    metadata = {"graph": json.dumps(case["graph"]), "settings": json.dumps(settings), "torch": torch.__version__}
    arrays = {name: value.detach().contiguous() for name, value in arrays.items()}
    save_file(arrays, folder / f"{case['name']}.safetensors", metadata)


def main() -> None:
    torch.set_num_threads(2)
    suite, folder = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    names = {case["name"] for case in suite["cases"]}
    if unknown := set(sys.argv[3:]) - names:
        sys.exit(f"no cases called {', '.join(sorted(unknown))}; they are listed in kernel/conformance/examples/cases.rs")
    for old in folder.glob("*.safetensors"):
        if old.stem not in names:
            old.unlink()
    for case in suite["cases"]:
        if case["name"] in (sys.argv[3:] or names):
            run(case, suite["batch"], folder, suite["seed"])


if __name__ == "__main__":
    main()
