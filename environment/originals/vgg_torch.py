"""The nets of the comparison in Python's PyTorch, with the names and the order of Benchbook's weights."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn

# Output channels of each convolution, a list for each block that ends in a pooling (Simonyan and Zisserman, 2014).
BLOCKS = {
    "vgg11": [[64], [128], [256] * 2, [512] * 2, [512] * 2],
    "vgg13": [[64] * 2, [128] * 2, [256] * 2, [512] * 2, [512] * 2],
    "vgg16": [[64] * 2, [128] * 2, [256] * 3, [512] * 3, [512] * 3],
    "vgg19": [[64] * 2, [128] * 2, [256] * 4, [512] * 4, [512] * 4],
}


class KerasFlatten(nn.Module):
    """Rows, columns, channels: the order in which Keras makes a vector of a feature map."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[batch, channels, rows, columns] to [batch, rows * columns * channels]."""
        return x.permute(0, 2, 3, 1).flatten(1)


def base(depth: str, batch_norm: bool) -> nn.Sequential:
    """torchvision's `features`."""
    layers: list[nn.Module] = []
    inputs = 3
    for block in BLOCKS[depth]:
        for outputs in block:
            layers.append(nn.Conv2d(inputs, outputs, 3, padding=1))
            if batch_norm:
                layers.append(nn.BatchNorm2d(outputs))
            layers.append(nn.ReLU(inplace=True))
            inputs = outputs
        layers.append(nn.MaxPool2d(2, 2))
    return nn.Sequential(*layers)


class Net(nn.Module):
    """A VGG with one of the report's two heads; `features` and `head` can be called apart."""

    def __init__(self, depth: str, head: str, size: int, batch_norm: bool = False, dropout: float = 0.5) -> None:
        super().__init__()
        self.features = base(depth, batch_norm)
        if head == "keras":
            side = size // 32
            self.head = nn.Sequential(
                OrderedDict(
                    flatten=KerasFlatten(),
                    dense_1=nn.Linear(512 * side * side, 512),
                    relu_1=nn.ReLU(inplace=True),
                    dropout=nn.Dropout(dropout),
                    dense_2=nn.Linear(512, 256),
                    relu_2=nn.ReLU(inplace=True),
                    dense_3=nn.Linear(256, 1),
                )
            )
        else:
            self.head = nn.Sequential(
                OrderedDict(
                    pool=nn.AdaptiveAvgPool2d(7),
                    flatten=nn.Flatten(),
                    linear_0=nn.Linear(512 * 7 * 7, 4096),
                    relu=nn.ReLU(inplace=True),
                    dropout=nn.Dropout(dropout),
                    linear_3=nn.Linear(4096, 2),
                )
            )
        self.kind = head

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits, [batch, 1] or [batch, 2]."""
        return self.head(self.features(x))

    def loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Binary cross-entropy of one logit, or cross-entropy of two."""
        if self.kind == "keras":
            return nn.functional.binary_cross_entropy_with_logits(logits.squeeze(1), labels.float())
        return nn.functional.cross_entropy(logits, labels)

    def benchbook_name(self, name: str) -> str:
        """The name that Benchbook has for a parameter or buffer."""
        if name.startswith("features."):
            return name
        layer, kind = name.removeprefix("head.").split(".")
        return f"{layer.replace('linear_', 'classifier.')}.{kind}"

    def benchbook_state(self) -> OrderedDict[str, torch.Tensor]:
        """The state dict under Benchbook's names."""
        return OrderedDict((self.benchbook_name(name), tensor) for name, tensor in self.state_dict().items())

    def freeze(self) -> None:
        """Lets only the head learn."""
        for parameter in self.features.parameters():
            parameter.requires_grad_(False)
