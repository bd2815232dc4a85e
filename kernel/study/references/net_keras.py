"""Interprets a graph with Keras 3's own layers. Maps are [rows, columns, channels] and kernels have Keras' layout.
The gates of a GRU stand in Keras' order, and a constraint keeps its second bias at zero.

A padding that TensorFlow's `same` computes for the shape at hand becomes `same`, every other one a layer or operation
before; that of a max pooling is minus infinity and never wins. Two layers differ from PyTorch's and are Keras' own:
- the running variance of BatchNormalization follows the biased variance of the batch, PyTorch's the unbiased one, which
  is larger by n / (n - 1) for n values of a channel; training does not use it, validation and test do;
- AdaptiveAvgPool2d has no layer; AveragePooling2D takes its place where the output divides the input.
"""

import sys

import keras
import numpy as np
from keras import layers

RECURRENT = {"weight_ih_l0": "kernel", "weight_hh_l0": "recurrent_kernel", "bias_ih_l0": "bias"}
NAMES = {
    "lstm": RECURRENT,
    "gru": RECURRENT,
    "conv2d": {"weight": "kernel", "bias": "bias"},
    "dense": {"weight": "kernel", "bias": "bias"},
    "batch_norm": {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"},
    "layer_norm": {"weight": "gamma", "bias": "beta"},
}
ACTIVATIONS = {
    "relu": layers.ReLU,
    "relu6": lambda: layers.ReLU(max_value=6),
    "leaky_relu": lambda: layers.LeakyReLU(negative_slope=0.01),
    "elu": layers.ELU,
    # Keras' own is exact too.
    "gelu": lambda: layers.Activation("gelu"),
    "silu": lambda: layers.Activation("silu"),
    "sigmoid": lambda: layers.Activation("sigmoid"),
    "tanh": lambda: layers.Activation("tanh"),
}


def build(graph, frozen=False):
    """The functional model, and its layers and variables by their names in the graph."""
    values = {None: keras.Input(shape_of(graph["input"]))}
    start, named, made_of = values[None], {}, {}
    for index, layer in enumerate(graph["layers"]):
        operation, in_base = layer["operation"], frozen and index < graph["base"]
        taken = [values[source] for source in layer["inputs"]]
        made, taken[0] = make(layer, operation, layer["input_shapes"][0], taken[0])
        made.trainable, made_of[layer["name"]] = not in_base, made
        how = {"training": False} if in_base and operation["type"] in ("batch_norm", "dropout") else {}
        values[index] = made(taken if len(taken) > 1 else taken[0], **how)
        if operation.get("return_sequences"):
            values[index] = layers.Reshape(shape_of(layer["output"]))(values[index])
        owner = getattr(made, "cell", made)
        for suffix, attribute in NAMES.get(operation["type"], {}).items():
            if getattr(owner, attribute, None) is not None:
                named[f"{layer['name']}.{suffix}"] = getattr(owner, attribute)
    return keras.Model(start, values[index], name="net"), made_of, named


def shape_of(shape):
    """`[channels, rows, columns]` with the channels last."""
    return [*shape[1:], shape[0]]


def padded(operation, shape, x):
    """The layer's `padding`, and its input with what that leaves to do."""
    sides = operation.get("padding", [0] * 4)
    if not any(sides):
        return "valid", x
    same = []
    for size, kernel, stride in zip(shape[1:], operation["kernel"], operation["stride"]):
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        same += [total // 2, total - total // 2]
    # Keras' averages leave the padding out; the graph's count it.
    if sides == same and operation["type"] != "avg_pool2d":
        return "same", x
    top, bottom, left, right = sides
    if operation["type"] == "max_pool2d":
        widths = ((0, 0), (top, bottom), (left, right), (0, 0))
        return "valid", keras.ops.pad(x, widths, constant_values=float("-inf"))
    return "valid", layers.ZeroPadding2D(((top, bottom), (left, right)))(x)


def make(layer, operation, shape, x):
    """The layer of an operation, and the input that it takes."""
    kind = operation["type"]
    if kind == "conv2d":
        padding, x = padded(operation, shape, x)
        how = {"groups": operation["groups"], "use_bias": operation["bias"]}
        return layers.Conv2D(operation["channels"], operation["kernel"], operation["stride"], padding, **how), x
    if kind in ("max_pool2d", "avg_pool2d"):
        padding, x = padded(operation, shape, x)
        pool = layers.MaxPooling2D if kind == "max_pool2d" else layers.AveragePooling2D
        return pool(operation["kernel"], operation["stride"], padding), x
    if kind == "adaptive_avg_pool2d":
        sizes = list(zip(shape[1:], operation["output"]))
        if any(size % output for size, output in sizes):
            sys.exit(
                f"Keras has no layer for `{layer['name']}`: its output must divide its input of {shape[1:]}, got "
                f"{operation['output']}; choose another input size, or `global_avg_pool2d`"
            )
        window = [size // output for size, output in sizes]
        return layers.Identity() if window == [1, 1] else layers.AveragePooling2D(window), x
    if kind == "flatten":
        if operation["order"] == "channel_height_width" and shape[1:] != [1, 1]:
            x = layers.Permute((3, 1, 2))(x)
        return layers.Flatten(), x
    if kind == "dense":
        return layers.Dense(operation["units"], use_bias=operation["bias"]), x
    if kind == "batch_norm":
        return layers.BatchNormalization(momentum=1 - operation["momentum"], epsilon=operation["epsilon"]), x
    if kind == "layer_norm":
        return layers.LayerNormalization(epsilon=operation["epsilon"]), x
    if kind == "activation":
        return ACTIVATIONS[operation["function"]](), x
    if kind == "dropout":
        return layers.Dropout(operation["rate"]), x
    if kind == "rows":
        return layers.Reshape((shape[1], shape[2] * shape[0], 1)), x
    if kind in ("lstm", "gru"):
        recurrent = layers.LSTM if kind == "lstm" else layers.GRU
        how = {"bias_constraint": first_row} if kind == "gru" else {}
        how["return_sequences"] = operation["return_sequences"]
        return recurrent(operation["units"], **how), layers.Reshape(shape[1:])(x)
    if kind == "upsample":
        return layers.UpSampling2D(operation["scale"]), x
    simple = {"add": layers.Add, "concat": layers.Concatenate, "global_avg_pool2d": layers.GlobalAveragePooling2D}
    if kind not in simple:
        sys.exit(f"Keras' interpreter has no operation `{kind}`")
    return simple[kind](), x


def first_row(bias):
    """A GRU's bias without its second row, that of the product with the state."""
    return bias * keras.ops.convert_to_tensor([[1.0], [0.0]], bias.dtype)


def reordered(array):
    """The rows of a GRU's gates r, z, n in Keras' order z, r, h, or the other way round."""
    reset, update, new = np.split(array, 3)
    return np.concatenate([update, reset, new])


def to_keras(variable, array):
    """`[outputs, inputs, rows, columns]` as `[rows, columns, inputs, outputs]`; dense kernels are transposed too."""
    if "gru_cell" in variable.path:
        array = reordered(array)
        if array.ndim == 1:
            return np.stack([array, np.zeros_like(array)])
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T


def from_keras(variable, array):
    """The inverse."""
    if "gru_cell" in variable.path:
        return reordered(array[0] if variable.name == "bias" else array.T)
    return array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T


def count(variable):
    """The number of values, without the second bias of a GRU."""
    shape = variable.shape[1:] if "gru_cell" in variable.path and variable.name == "bias" else variable.shape
    return int(np.prod(shape))


def set_weights(named, arrays):
    """Copies all values from arrays; a missing one is an error."""
    for name, variable in named.items():
        variable.assign(to_keras(variable, arrays[name]))
