"""Values of Python's PyTorch for nets whose weights and images follow from a formula.

    .venv-references/bin/python environment/originals/golden.py kernel/helper/tests/data/agreement.json

writes the file with which the tests of the helper library compare (`kernel/helper/tests/integration/agreement.rs`
has the same formula). The committed one was made with torch 2.11.0 on an x86-64 CPU with two threads.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy
import torch

from vgg_torch import Net

CASES = [
    {"depth": "vgg11", "head": "keras", "size": 32, "batch_norm": False},
    {"depth": "vgg11", "head": "pytorch", "size": 32, "batch_norm": False},
    {"depth": "vgg13", "head": "keras", "size": 64, "batch_norm": True},
]
LABELS = [0, 1, 1, 0]
RATE = 1e-4
# Values kept of each gradient, evenly spread over it.
KEPT = 8


def spread(count: int, stream: int) -> numpy.ndarray:
    """`count` numbers in [-1, 1) from integer arithmetic, the same in every language; float64."""
    x = (numpy.arange(count, dtype=numpy.uint64) * 2654435761 + stream * 40503 + 12345) & 0xFFFFFFFF
    x ^= x >> numpy.uint64(16)
    x = (x * 2246822519) & 0xFFFFFFFF
    x ^= x >> numpy.uint64(13)
    return x.astype(numpy.float64) / 2147483648.0 - 1.0


def fill(net: Net) -> None:
    """Weights within He's uniform bound, small biases, scales near 1; running statistics stay 0 and 1."""
    for stream, (name, parameter) in enumerate(net.named_parameters()):
        values = spread(parameter.numel(), stream)
        if parameter.dim() > 1:
            values *= math.sqrt(6.0 / (parameter.numel() // parameter.shape[0]))
        else:
            values *= 0.1
            # Of one axis and called weight: the scale of a batch normalisation.
            if name.endswith(".weight"):
                values += 1.0
        with torch.no_grad():
            parameter.copy_(torch.from_numpy(values.astype(numpy.float32)).reshape(parameter.shape))


def kept(tensor: torch.Tensor) -> list[float]:
    """Values of a tensor at evenly spread places."""
    flat = tensor.detach().flatten()
    count = min(KEPT, flat.numel())
    return [float(flat[index * flat.numel() // count]) for index in range(count)]


def run(case: dict[str, Any]) -> dict[str, Any]:
    """Logits in inference mode, loss and gradients in training mode without dropout, and the loss after one step."""
    net = Net(**case, dropout=0.0)
    fill(net)
    size = case["size"]
    shape = (len(LABELS), 3, size, size)
    pixels = torch.from_numpy(spread(math.prod(shape), 999).astype(numpy.float32)).reshape(shape)
    labels = torch.tensor(LABELS)
    net.eval()
    with torch.no_grad():
        logits = net(pixels)
    net.train()
    loss = net.loss(net(pixels), labels)
    loss.backward()
    gradients = {
        net.benchbook_name(name): {
            "largest": float(parameter.grad.abs().max()),
            "norm": float(parameter.grad.double().norm()),
            "values": kept(parameter.grad),
        }
        for name, parameter in net.named_parameters()
    }
    with torch.no_grad():
        for parameter in net.parameters():
            parameter -= RATE * parameter.grad
    # Batch statistics, so that a batch normalisation's running ones have no part in it.
    after = net.loss(net(pixels), labels)
    return {"net": case, "logits": logits.flatten().tolist(), "loss": loss.item(), "gradients": gradients, "loss_after": after.item()}


def main() -> None:
    torch.set_num_threads(2)
    result = {"torch": torch.__version__, "labels": LABELS, "rate": RATE, "cases": [run(case) for case in CASES]}
    Path(sys.argv[1]).write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
