"""The printed forms and parameters of torchvision's nets.

    .venv-references/bin/python environment/originals/printed.py kernel/nets/tests/data

writes a file for each net: its printed form, an empty line, and a line for each entry of its state with its shape, without
the batches that batch normalisation counts. For VGG only `features`, since the report's heads are not torchvision's.
"""

from __future__ import annotations

import sys
from pathlib import Path

from torch import nn
from torchvision import models


class VGG(nn.Module):
    """The convolutions of a VGG."""

    def __init__(self, features: nn.Module) -> None:
        super().__init__()
        self.features = features


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    whole = ("alexnet", "mobilenet_v2", "resnet18", "resnet34", "resnet50")
    nets = {name: getattr(models, name)(num_classes=10) for name in whole}
    for name in ("vgg11", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19"):
        nets[name] = VGG(getattr(models, name)(init_weights=False).features)
    for name, net in nets.items():
        state = {key: list(value.shape) for key, value in net.state_dict().items() if not key.endswith("batches_tracked")}
        lines = [f"{key} {shape}" for key, shape in state.items()]
        (folder / f"{name}.txt").write_text(f"{net}\n\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
