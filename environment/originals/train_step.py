"""PyTorch's side of `environment/bench train`: the same training step in Python.

Reads one JSON object per line: first the settings, then `{"step": RATE}` repeatedly. Answers each line with a line of
JSON. The program is idle between two lines, so that the other side can be measured alone.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy
import torch

from vgg_torch import Net


def peak() -> int:
    """The most memory that this process has had, in bytes."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def main() -> None:
    def answer(value: dict[str, Any]) -> None:
        print(json.dumps(value), flush=True)

    settings = json.loads(sys.stdin.readline())
    torch.set_num_threads(settings["threads"])
    torch.manual_seed(0)
    size, batch = settings["size"], settings["batch"]
    net = Net("vgg16", settings["head"], size)
    net.train()
    if settings["base"] == "frozen":
        net.freeze()
        net.features.eval()
    learned = [parameter for parameter in net.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(learned) if settings["optimizer"] == "adam" else torch.optim.SGD(learned)
    pixels = numpy.random.default_rng(0).random((batch, 3, size, size), dtype=numpy.float32)
    labels = torch.arange(batch) % 2
    answer({"version": torch.__version__, "threads": torch.get_num_threads()})
    for line in sys.stdin:
        for group in optimizer.param_groups:
            group["lr"] = json.loads(line)["step"]
        began = time.perf_counter()
        # As a data loader gives it: a tensor without a copy.
        x = torch.from_numpy(pixels)
        optimizer.zero_grad()
        if settings["base"] == "frozen":
            with torch.no_grad():
                features = net.features(x)
            logits = net.head(features)
        else:
            logits = net(x)
        loss = net.loss(logits, labels)
        loss.backward()
        optimizer.step()
        value = loss.item()
        answer({"seconds": time.perf_counter() - began, "loss": value, "peak": peak()})


if __name__ == "__main__":
    main()
