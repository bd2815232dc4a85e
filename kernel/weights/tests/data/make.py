"""Makes the small files in this folder, with PyTorch's and h5py's own writers.

They were made with torch 2.11.0 and h5py 3.14.0 (`environment/references` installs both):

    .venv-references/bin/python kernel/helper/tests/data/make.py
"""

from __future__ import annotations

import collections
import zipfile
from pathlib import Path

import h5py
import numpy
import torch

HERE = Path(__file__).parent


def state_dict() -> collections.OrderedDict[str, torch.Tensor]:
    """Every way in which a tensor can lie in its storage, and every kind that is read."""
    weight = torch.arange(24) / 8 - 1
    state = collections.OrderedDict()
    state["features.0.weight"] = torch.nn.Parameter(weight.reshape(2, 3, 2, 2))
    state["features.0.bias"] = torch.tensor([0.5, -0.25])
    state["features.1.num_batches_tracked"] = torch.tensor(3)
    state["transposed"] = torch.arange(6.0).reshape(2, 3).t()
    state["shared"] = weight[20:]
    state["half"] = torch.tensor([1.0, 65504.0, -(2.0**-14)], dtype=torch.float16)
    state["bfloat16"] = torch.tensor([3.14, -1e38], dtype=torch.bfloat16)
    state["scalar"] = torch.tensor(7.0)
    state["empty"] = torch.zeros(0, 4)
    state._metadata = collections.OrderedDict([("", {"version": 1})])
    return state


def keras_file(path: Path, nested: bool, **options: object) -> None:
    """The layout of Keras' VGG16 without top, its first convolution alone and its channels cut to 2.

    Keras 1 wrote `block1_conv1/block1_conv1_W_1:0` (the file of 2016); Keras 2 writes
    `block1_conv1/block1_conv1/kernel:0`. Kernels are [rows, columns, inputs, outputs].
    """
    with h5py.File(path, "w", libver="earliest") as file:
        file.attrs["layer_names"] = [b"input_1", b"block1_conv1"]
        file.create_group("input_1")
        group = file.create_group("block1_conv1")
        kernel = numpy.arange(3 * 3 * 3 * 2, dtype="float32").reshape(3, 3, 3, 2)
        bias = numpy.array([0.5, -0.25], dtype="float32")
        names = ("block1_conv1/kernel:0", "block1_conv1/bias:0") if nested else ("block1_conv1_W_1:0", "block1_conv1_b_1:0")
        group.attrs["weight_names"] = [name.encode() for name in names]
        group.create_dataset(names[0], data=kernel, **options)
        group.create_dataset(names[1], data=bias, **options)


def hostile_files(folder: Path) -> None:
    """Small files that state or unpack to far more than they hold."""
    folder.mkdir(exist_ok=True)
    with h5py.File(folder / "huge.h5", "w", libver="earliest") as file:
        file.create_dataset("block1_conv1/kernel:0", shape=(1 << 40,), chunks=(1 << 20,), dtype="float32")
    with h5py.File(folder / "chunk.h5", "w", libver="earliest") as file:
        shape, chunks = (3, 3, 3, 2), (3, 3, 3, 1 << 20)
        file.create_dataset("block1_conv1/kernel:0", shape, "float32", chunks=chunks, maxshape=(3, 3, 3, None), compression="gzip")
    # A tuple in a tuple in …, and None 150 million times.
    for name, pickle in [("deep", b")" + b"\x85" * 3_000_000 + b"."), ("flat", b"N" * 150_000_000 + b".")]:
        with zipfile.ZipFile(folder / f"{name}.pth", "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("archive/data.pkl", pickle)
    # A vector of zeros that is a thousandth of its size in the file.
    with zipfile.ZipFile(HERE / "zip.pth") as whole, zipfile.ZipFile(folder / "storage.pth", "w") as file:
        for entry in whole.infolist():
            is_storage = "/data/" in entry.filename
            content = bytes(20_000_000) if is_storage else whole.read(entry)
            method = zipfile.ZIP_DEFLATED if is_storage else zipfile.ZIP_STORED
            file.writestr(entry.filename, content, method)


def main() -> None:
    state = state_dict()
    torch.save(state, HERE / "old.pth", _use_new_zipfile_serialization=False)
    torch.save(state, HERE / "zip.pth")
    inner = {"features.0.bias": state["features.0.bias"]}
    optimizer = {"state": {}, "param_groups": [{"lr": 0.1, "betas": (0.9, 0.999)}]}
    # As PyTorch's ImageNet example saves them, with a tensor beside the state dict.
    whole = {"epoch": 3, "state_dict": inner, "best_acc1": torch.tensor(71.5), "optimizer": optimizer}
    torch.save(whole, HERE / "checkpoint.pth")
    doubles = {"bias": torch.zeros(1), "weight": torch.zeros(1, dtype=torch.float64)}
    torch.save(doubles, HERE / "doubles.pth")
    keras_file(HERE / "keras1.h5", nested=False)
    keras_file(HERE / "keras2.h5", nested=True)
    hostile_files(HERE / "hostile")
    keras_file(HERE / "gzip.h5", nested=True, compression="gzip", shuffle=True)


if __name__ == "__main__":
    main()
