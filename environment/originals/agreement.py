"""Whole gradients of Python's PyTorch, to compare with Benchbook's in `kernel/tests/test_agreement.py`.

    agreement.py make FOLDER ARCHITECTURE HEAD SIZE BATCH_NORM FORMAT

writes weights with `torch.save` (FORMAT `old` or `zip`), a batch as safetensors, and PyTorch's results.

    agreement.py torchvision FOLDER NAME SIZE

does the same with a net of torchvision, random weights and the running statistics of some batches.

    agreement.py recurrent FOLDER NAME SIZE

writes weights as Keras saves them (`weights.weights.h5`) of its own LSTM or GRU on the rows of an image, and the logits.

    agreement.py keras FOLDER

writes the convolutions of a VGG16 in the layout of Keras' published file (h5py, as Keras does), and expects them back.

    agreement.py compare FOLDER

compares it with `found.safetensors`, prints the largest deviations and fails beyond the tolerances.
"""

from __future__ import annotations

import sys
from pathlib import Path

import h5py
import numpy
import torch
from safetensors.numpy import load_file, save_file
from torch import nn

from vgg_torch import BLOCKS, Net

BATCH = 4
# Of logits and losses.
RELATIVE = 1e-4
ABSOLUTE = 1e-5
# Of a gradient, as a share of its largest value: sums in another order differ by rounding. Or as a share of the largest
# in its layer's weight: the gradient of a bias before a batch normalisation is nothing but rounding.
OF_LARGEST = 1e-4
OF_WEIGHT = 1e-5


def make(folder: Path, architecture: str, head: str, size: int, batch_norm: bool, kind: str) -> None:
    """Weights from PyTorch's own initialisation, a batch of normal numbers, and the expected results."""
    torch.manual_seed(7)
    torch.set_num_threads(2)
    net = Net(architecture, head, size, batch_norm, dropout=0.0)
    pixels = torch.randn(BATCH, 3, size, size)
    labels = torch.arange(BATCH) % 2
    torch.save(net.benchbook_state(), folder / "weights.pth", _use_new_zipfile_serialization=kind == "zip")
    save_file({"values": pixels.numpy(), "labels": labels.float().numpy()}, folder / "batch.safetensors")
    net.eval()
    with torch.no_grad():
        expected = {"logits": net(pixels).flatten()}
    net.train()
    loss = net.loss(net(pixels), labels)
    loss.backward()
    expected["loss"] = loss.detach().reshape(1)
    for name, parameter in net.named_parameters():
        expected[net.benchbook_name(name)] = parameter.grad
    torch.save(expected, folder / "expected.pth")


def expect(folder: Path, net: nn.Module, pixels: torch.Tensor, labels: torch.Tensor) -> None:
    """What a net of torchvision computes, under its own names."""
    net.eval()
    with torch.no_grad():
        expected = {"logits": net(pixels).flatten()}
    net.train()
    loss = nn.functional.cross_entropy(net(pixels), labels)
    loss.backward()
    expected["loss"] = loss.detach().reshape(1)
    torch.save(expected | {name: value.grad for name, value in net.named_parameters()}, folder / "expected.pth")


def torchvision(folder: Path, name: str, size: int) -> None:
    """Weights from torchvision's own initialisation, and the expected results of a batch of normal numbers."""
    from torchvision import models

    torch.manual_seed(7)
    torch.set_num_threads(2)
    settings = {"dropout": 0.0} if name in ("alexnet", "mobilenet_v2") else {}
    net = getattr(models, name)(num_classes=10, **settings)
    with torch.no_grad():
        for _ in range(5):
            net.train()(torch.randn(BATCH, 3, size, size))
    torch.save(net.state_dict(), folder / "weights.pth")
    pixels, labels = torch.randn(BATCH, 3, size, size), torch.arange(BATCH) % 2
    save_file({"values": pixels.numpy(), "labels": labels.float().numpy()}, folder / "batch.safetensors")
    expect(folder, net, pixels, labels)


def recurrent(folder: Path, name: str, size: int) -> None:
    """Keras' own layers with random weights; the second bias of a GRU is zero, as Keras starts it."""
    from keras import Input, Sequential, layers, utils

    utils.set_random_seed(7)
    layer = {"lstm": layers.LSTM, "gru": layers.GRU}[name](16)
    net = Sequential([Input((size, size, 3)), layers.Reshape((size, 3 * size)), layer, layers.Dense(10)])
    net.save_weights(folder / "weights.weights.h5")
    pixels = numpy.random.default_rng(7).standard_normal((BATCH, 3, size, size), "float32")
    save_file({"values": pixels, "labels": numpy.arange(BATCH, dtype="float32") % 2}, folder / "batch.safetensors")
    logits = torch.from_numpy(numpy.array(net(pixels.transpose(0, 2, 3, 1))).flatten())
    torch.save({"logits": logits}, folder / "expected.pth")


def keras(folder: Path) -> None:
    """`blockB_convC/blockB_convC_W_1:0` as [rows, columns, inputs, outputs], and `…_b_1:0`."""
    torch.manual_seed(7)
    net = Net("vgg16", "keras", 32)
    state = {name: tensor for name, tensor in net.benchbook_state().items() if name.startswith("features.")}
    torch.save(state, folder / "expected.pth")
    convolutions = [layer for layer in net.features if isinstance(layer, torch.nn.Conv2d)]
    names = [f"block{b + 1}_conv{c + 1}" for b, block in enumerate(BLOCKS["vgg16"]) for c in range(len(block))]
    with h5py.File(folder / "weights.h5", "w", libver="earliest") as file:
        file.attrs["layer_names"] = [name.encode() for name in names]
        for name, layer in zip(names, convolutions, strict=True):
            group = file.create_group(name)
            group.attrs["weight_names"] = [f"{name}_W_1:0".encode(), f"{name}_b_1:0".encode()]
            group.create_dataset(f"{name}_W_1:0", data=layer.weight.detach().permute(2, 3, 1, 0).numpy())
            group.create_dataset(f"{name}_b_1:0", data=layer.bias.detach().numpy())


def compare(folder: Path) -> bool:
    """Whether everything agrees."""
    expected = {name: tensor.numpy() for name, tensor in torch.load(folder / "expected.pth").items()}
    found = load_file(folder / "found.safetensors")
    if expected.keys() != found.keys():
        print("other names:", sorted(expected.keys() ^ found.keys()))
        return False
    agrees = True
    for name, values in expected.items():
        apart = numpy.abs(found[name].reshape(values.shape) - values)
        if name in ("logits", "loss"):
            allowed = RELATIVE * numpy.abs(values) + ABSOLUTE
        else:
            weight = expected[f"{name.rpartition('.')[0]}.weight"]
            largest = max(OF_LARGEST * float(numpy.abs(values).max()), OF_WEIGHT * float(numpy.abs(weight).max()))
            allowed = RELATIVE * numpy.abs(values) + largest
        within = bool((apart <= allowed).all())
        agrees &= within
        if not within or name in ("logits", "loss"):
            print(f"{name}: largest value {numpy.abs(values).max():.3e}, largest deviation {apart.max():.3e}")
    return agrees


def main() -> int:
    task, folder = sys.argv[1], Path(sys.argv[2])
    if task == "keras":
        keras(folder)
        return 0
    if task in ("torchvision", "recurrent"):
        {"torchvision": torchvision, "recurrent": recurrent}[task](folder, sys.argv[3], int(sys.argv[4]))
        return 0
    if task == "make":
        architecture, head, size, batch_norm, kind = sys.argv[3:]
        make(folder, architecture, head, int(size), batch_norm == "true", kind)
        return 0
    return 0 if compare(folder) else 1


if __name__ == "__main__":
    sys.exit(main())
