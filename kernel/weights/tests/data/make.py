"""Makes the small files in this folder, with PyTorch's, Keras' and h5py's own writers.

They were made with torch 2.11.0, Keras 3.15.1 and h5py 3.14.0 (`environment/references` installs them):

    .venv-references/bin/python kernel/weights/tests/data/make.py
"""

from __future__ import annotations

import collections
import os
import zipfile
from pathlib import Path

os.environ["KERAS_BACKEND"] = "torch"

import h5py
import keras
import numpy
import torch
from keras import layers
from safetensors.torch import save_file
from torch import nn

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


class Small(nn.Module):
    """The net of `small` in tests/files.rs, with its names."""

    def __init__(self) -> None:
        super().__init__()
        self.conv2d_1 = nn.Conv2d(3, 4, 3, padding=1)
        self.conv2d_2 = nn.Conv2d(4, 4, 3, padding=1)
        self.conv2d_3 = nn.Conv2d(4, 4, 3, padding=1)
        self.dense_1 = nn.Linear(4 * 3 * 2, 5)
        self.dense_2 = nn.Linear(5, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = nn.functional.max_pool2d(self.conv2d_1(images).relu(), 2)
        maps = self.conv2d_3(self.conv2d_2(maps).relu()).relu()
        return self.dense_2(self.dense_1(maps.flatten(1)).relu())


def keras_small(names: list[str | None]) -> keras.Model:
    conv = lambda name: layers.Conv2D(4, 3, padding="same", activation="relu", name=name)
    return keras.Sequential([
        keras.Input((6, 4, 3)), conv(names[0]), layers.MaxPooling2D(2), conv(names[1]), conv(names[2]),
        layers.Flatten(), layers.Dropout(0.5), layers.Dense(5, activation="relu", name=names[3]), layers.Dense(3, name=names[4]),
    ])


class Block(nn.Module):
    """A residual block; its shortcut has a convolution where the channels differ."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        if inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        shortcut = self.downsample(maps) if hasattr(self, "downsample") else maps
        return (self.bn2(self.conv2(self.bn1(self.conv1(maps)).relu())) + shortcut).relu()


class Residual(nn.Module):
    """The net of `residual` in tests/files.rs."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.layer1 = nn.Sequential(Block(3, 3), Block(3, 4))
        self.fc = nn.Linear(4, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.fc(self.layer1(images).mean((2, 3)))


def keras_residual(named: bool) -> keras.Model:
    """With the names of `residual`, or with those that Keras makes up."""

    def name(text: str) -> str | None:
        return text.replace(".", "_") if named else None

    def conv(path: str, outputs: int, side: int) -> layers.Layer:
        return layers.Conv2D(outputs, side, padding="same", use_bias=False, name=name(path))

    def norm(path: str) -> layers.Layer:
        return layers.BatchNormalization(epsilon=1e-5, name=name(path))

    inputs = keras.Input((4, 4, 3))
    maps = inputs
    for index, outputs in enumerate([3, 4]):
        path = f"layer1.{index}"
        shortcut = maps
        if outputs != 3:
            shortcut = norm(f"{path}.downsample.1")(conv(f"{path}.downsample.0", outputs, 1)(shortcut))
        maps = layers.ReLU()(norm(f"{path}.bn1")(conv(f"{path}.conv1", outputs, 3)(maps)))
        maps = norm(f"{path}.bn2")(conv(f"{path}.conv2", outputs, 3)(maps))
        maps = layers.ReLU()(layers.Add()([maps, shortcut]))
    maps = layers.GlobalAveragePooling2D()(maps)
    return keras.Model(inputs, layers.Dense(3, name=name("fc"))(maps))


class Mixed(nn.Module):
    """The net of `mixed` in tests/files.rs: groups, a depthwise convolution, both normalisations, VGG's names."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(2, 4, (3, 1), padding=(1, 0)), nn.BatchNorm2d(4, eps=1e-3), nn.ReLU(), nn.Conv2d(4, 4, 3, groups=4),
            nn.Conv2d(4, 6, 1, groups=2, bias=False),
        )
        self.norm = nn.LayerNorm(12, eps=1e-3)
        self.fc = nn.Linear(12, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.fc(self.norm(self.features(images).flatten(1)))


def keras_mixed(top: bool = True) -> keras.Model:
    """The base is a model within the model, as `keras.applications` are used."""
    base = keras.Sequential([
        keras.Input((3, 4, 2)), layers.Conv2D(4, (3, 1), padding="same", name="block1_conv1"), layers.BatchNormalization(name="block1_bn"),
        layers.ReLU(), layers.DepthwiseConv2D(3, name="block1_depthwise"), layers.Conv2D(6, 1, groups=2, use_bias=False, name="block1_groups"),
    ], name="base")
    if not top:
        return base
    return keras.Sequential([
        keras.Input((3, 4, 2)), base, layers.Flatten(), layers.LayerNormalization(name="norm"), layers.Dense(2, name="fc"),
    ])


def leaves(model: keras.Model) -> list[layers.Layer]:
    """The layers with weights, also of models within."""
    found = []
    for layer in model.layers:
        found += leaves(layer) if isinstance(layer, keras.Model) else [layer] if layer.weights else []
    return found


def pytorch_values(layer: layers.Layer, flattened: tuple[int, int, int] | None) -> list[torch.Tensor]:
    """The layer's weights in PyTorch's layout; `flattened` is the map [height, width, channels] that was flattened before it."""
    values = [numpy.array(weight) for weight in layer.get_weights()]
    if isinstance(layer, layers.DepthwiseConv2D):
        rows, columns, inputs, multiplier = values[0].shape
        values[0] = values[0].reshape(rows, columns, 1, inputs * multiplier)
    if values[0].ndim == 4:
        values[0] = values[0].transpose(3, 2, 0, 1)
    elif flattened and values[0].ndim == 2:
        values[0] = values[0].reshape(*flattened, -1).transpose(3, 2, 0, 1).reshape(values[0].shape[1], -1)
    elif values[0].ndim == 2:
        values[0] = values[0].T
    elif flattened:
        values = [value.reshape(flattened).transpose(2, 0, 1).reshape(-1) for value in values]
    return [torch.from_numpy(numpy.ascontiguousarray(value)) for value in values]


def give(model: keras.Model, module: nn.Module, names: list[str], flattened: dict[str, tuple[int, int, int]]) -> None:
    """Gives the PyTorch module random weights of the Keras model, and checks that both compute the same."""
    generator = numpy.random.default_rng(7)
    state = {}
    found = leaves(model)
    assert len(found) == len(names), [layer.name for layer in found]
    for layer, name in zip(found, names):
        # Positive, so that variances can be among them.
        layer.set_weights([generator.uniform(0.1, 1, weight.shape).astype("float32") * (-1 if name.endswith("2") and weight.ndim > 1 else 1) for weight in layer.get_weights()])
        suffixes = ["weight", "bias", "running_mean", "running_var"]
        for suffix, value in zip(suffixes, pytorch_values(layer, flattened.get(name))):
            state[f"{name}.{suffix}"] = value
    missing = module.load_state_dict(state, strict=False)
    assert not missing.unexpected_keys and all(key.endswith("num_batches_tracked") for key in missing.missing_keys), missing
    module.eval()
    images = generator.uniform(-1, 1, (2, *model.input_shape[1:])).astype("float32")
    expected = model(images, training=False).detach().numpy()
    with torch.no_grad():
        got = module(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()
    numpy.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


class Recurrent(nn.Module):
    """The net of `recurrent` in tests/files.rs."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm_1 = nn.LSTM(8, 3, batch_first=True)
        self.gru_1 = nn.GRU(3, 2, batch_first=True)
        self.dense_1 = nn.Linear(2, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        states, _ = self.lstm_1(images.permute(0, 2, 3, 1).flatten(2))
        states, _ = self.gru_1(states)
        return self.dense_1(states[:, -1])


def in_torch_order(gates: numpy.ndarray) -> numpy.ndarray:
    """Rows of a GRU's gates z, r, h as r, z, n."""
    update, reset, new = numpy.split(gates, 3)
    return numpy.concatenate([reset, update, new])


def recurrent() -> None:
    """Random weights, with second biases in the file of PyTorch and in the GRU of Keras."""
    generator = numpy.random.default_rng(11)
    keras.utils.clear_session()
    model = keras.Sequential([
        keras.Input((3, 4, 2)), layers.Reshape((3, 8)), layers.LSTM(3, return_sequences=True), layers.GRU(2), layers.Dense(3),
    ])
    lstm, gru, dense = model.layers[1:]
    uniform = lambda *shape: generator.uniform(-1, 1, shape).astype("float32")
    first, second = uniform(12), uniform(12)
    lstm.set_weights([uniform(8, 12), uniform(3, 12), first + second])
    biases = uniform(2, 6)
    biases[1, 4:] = 0
    gru.set_weights([uniform(3, 6), uniform(2, 6), biases])
    dense.set_weights([uniform(2, 3), uniform(3)])
    arrays = {}
    for name, layer, order in [("lstm_1", lstm, lambda gates: gates), ("gru_1", gru, in_torch_order)]:
        kernel, state = [numpy.array(weight) for weight in layer.get_weights()[:2]]
        arrays |= {f"{name}.weight_ih_l0": order(kernel.T), f"{name}.weight_hh_l0": order(state.T)}
    arrays |= {"lstm_1.bias_ih_l0": first, "lstm_1.bias_hh_l0": second}
    arrays |= {"gru_1.bias_ih_l0": in_torch_order(biases[0]), "gru_1.bias_hh_l0": in_torch_order(biases[1])}
    kernel, bias = dense.get_weights()
    arrays |= {"dense_1.weight": kernel.T, "dense_1.bias": bias}
    state = {name: torch.from_numpy(numpy.ascontiguousarray(array)) for name, array in arrays.items()}
    module = Recurrent()
    module.load_state_dict(state)
    images = uniform(2, 3, 4, 2)
    expected = model(images, training=False).detach().numpy()
    with torch.no_grad():
        got = module(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()
    numpy.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
    torch.save(module.state_dict(), HERE / "recurrent.pth")
    for ending in ["h5", "keras", "weights.h5"]:
        (model.save_weights if ending == "weights.h5" else model.save)(HERE / f"recurrent.{ending}")
    # What a net has: one bias.
    for name in ["lstm_1", "gru_1"]:
        state[f"{name}.bias_ih_l0"] = state[f"{name}.bias_ih_l0"] + state.pop(f"{name}.bias_hh_l0")
    save_file(state, HERE / "recurrent.safetensors")
    biases[1, 4:] = 0.5
    gru.set_weights([*gru.get_weights()[:2], biases])
    model.save_weights(HERE / "recurrent-second.weights.h5")


def save_module(module: nn.Module, name: str) -> None:
    state = {key: value.contiguous() for key, value in module.state_dict().items()}
    save_file(state, HERE / f"{name}.safetensors")


def without_names(path: Path) -> None:
    """As Keras 3.0 wrote it: without the layers' names beside their variables."""
    with h5py.File(path, "a") as file:
        file.visititems(lambda _, item: item.attrs.pop("name", None) and None)


def nets() -> None:
    """Each net in every form, with what the readers must make of it in a safetensors file."""
    small, flattened = Small(), {"dense_1": (3, 2, 4)}
    names = ["conv2d_1", "conv2d_2", "conv2d_3", "dense_1", "dense_2"]
    keras.utils.clear_session()
    # Keras calls them conv2d, conv2d_1, conv2d_2: two of the net's names, for other layers.
    model = keras_small([None] * 5)
    give(model, small, names, flattened)
    save_module(small, "small")
    for ending in ["h5", "keras", "weights.h5"]:
        (model.save_weights if ending == "weights.h5" else model.save)(HERE / f"small.{ending}")
    torch.save(small.state_dict(), HERE / "small.pth")
    torch.save(nn.DataParallel(small).state_dict(), HERE / "small-parallel.pth")
    torch.save(nn.DataParallel(torch.compile(small)).state_dict(), HERE / "small-compiled.pth")
    lightning = {f"net.{key}": value for key, value in small.state_dict().items()}
    lightning["loss.weight"] = torch.ones(3)
    torch.save({"epoch": 1, "state_dict": lightning, "optimizer_states": []}, HERE / "small-lightning.ckpt")

    residual = Residual()
    model = keras_residual(named=True)
    paths = {name.replace(".", "_"): name for name, _ in residual.named_modules()}
    give(model, residual, [paths[layer.name] for layer in leaves(model)], {})
    save_module(residual, "residual")
    model.save_weights(HERE / "residual.weights.h5")
    unnamed = keras_residual(named=False)
    unnamed.save_weights(HERE / "residual-unnamed.weights.h5")
    # As a user wraps the base alone.
    torch.save(residual.state_dict(), HERE / "residual.pth")
    residual.layer1 = nn.DataParallel(residual.layer1)
    torch.save(residual.state_dict(), HERE / "residual-parallel.pth")
    torch.save(Residual(classes=10).state_dict(), HERE / "residual-ten.pth")

    mixed = Mixed()
    model = keras_mixed()
    names = ["features.0", "features.1", "features.3", "features.4", "norm", "fc"]
    give(model, mixed, names, {"norm": (1, 2, 6), "fc": (1, 2, 6)})
    save_module(mixed, "mixed")
    model.save_weights(HERE / "mixed.weights.h5")
    model.save(HERE / "mixed.keras")
    model.save(HERE / "mixed.h5")
    model.layers[0].save_weights(HERE / "mixed-notop.weights.h5")
    # Without the names in the weights those of `config.json` count.
    with zipfile.ZipFile(HERE / "mixed.keras") as whole, zipfile.ZipFile(HERE / "mixed-3.0.keras", "w") as file:
        for entry in whole.infolist():
            content = whole.read(entry)
            if entry.filename == "model.weights.h5":
                (HERE / "scratch.h5").write_bytes(content)
                without_names(HERE / "scratch.h5")
                content = (HERE / "scratch.h5").read_bytes()
                (HERE / "scratch.h5").unlink()
            file.writestr(entry.filename, content)


def main() -> None:
    nets()
    recurrent()
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
