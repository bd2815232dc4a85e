"""Interprets a graph with Gluon's own layers (MXNet 1.9).

The running variance of BatchNorm follows the biased variance of the batch, as in Keras. Recurrent layers are refused:
Gluon's have a second bias, which the graph's do not.
"""

import mxnet as mx
from mxnet import gluon
from mxnet.gluon import nn

ACTIVATIONS = {
    "relu": lambda: nn.Activation("relu"),
    "relu6": lambda: nn.HybridLambda(lambda F, x: F.clip(x, 0, 6)),
    "leaky_relu": lambda: nn.LeakyReLU(0.01),
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.Swish,
    "sigmoid": lambda: nn.Activation("sigmoid"),
    "tanh": lambda: nn.Activation("tanh"),
}
NAMES = {
    "conv2d": {"weight": "weight", "bias": "bias"},
    "dense": {"weight": "weight", "bias": "bias"},
    "batch_norm": {"weight": "gamma", "bias": "beta", "running_mean": "running_mean", "running_var": "running_var"},
    "layer_norm": {"weight": "gamma", "bias": "beta"},
}


class Net(gluon.HybridBlock):
    """The layers of a graph in order. With `frozen` the base has no gradients and computes as in inference."""

    def __init__(self, graph, frozen=False):
        super().__init__()
        self.graph, self.made, self.named = graph, [], {}
        with self.name_scope():
            for index, layer in enumerate(graph["layers"]):
                fixed = frozen and index < graph["base"]
                self.made.append(make(layer, fixed))
                self.register_child(self.made[-1], f"{index}")
                if fixed:
                    self.made[-1].collect_params().setattr("grad_req", "null")
                for suffix, attribute in NAMES.get(layer["operation"]["type"], {}).items():
                    if getattr(self.made[-1], attribute, None) is not None:
                        self.named[f"{layer['name']}.{suffix}"] = getattr(self.made[-1], attribute)

    def hybrid_forward(self, F, x):
        values = {None: x}
        for index, layer in enumerate(self.graph["layers"]):
            taken = [values[source] for source in layer["inputs"]]
            operation = layer["operation"]
            top, bottom, left, right = sides = operation.get("padding", [0] * 4)
            if any(sides) and not symmetric(operation):
                border = float("-inf") if operation["type"] == "max_pool2d" else 0.0
                widths = (0, 0, 0, 0, top, bottom, left, right)
                taken[0] = F.pad(taken[0], mode="constant", pad_width=widths, constant_value=border)
            values[index] = self.made[index](*taken)
        return values[index]

    def replace(self, index, block):
        """Puts a block into a layer's place."""
        self.made[index] = block
        self.register_child(block, f"{index}")

    def set_weights(self, arrays):
        """Copies all values from arrays; a missing one is an error."""
        for name, parameter in self.named.items():
            parameter.set_data(mx.nd.array(arrays[name], dtype=parameter.dtype))


class Mask(gluon.HybridBlock):
    """Multiplies by given factors."""

    def __init__(self, factors, dtype):
        super().__init__()
        with self.name_scope():
            self.factors = self.params.get("factors", shape=factors.shape, dtype=dtype, grad_req="null")
        self.factors.initialize()

    def hybrid_forward(self, F, x, factors):
        return x * factors


class Add(gluon.HybridBlock):
    """A sum."""

    def hybrid_forward(self, F, first, *others):
        return sum(others, first)


class Concat(gluon.HybridBlock):
    """Along the channels."""

    def hybrid_forward(self, F, *inputs):
        return F.concat(*inputs, dim=1)


def symmetric(operation):
    """Whether a layer can pad by itself."""
    top, bottom, left, right = operation["padding"]
    rows, columns = operation["kernel"]
    return (top, left) == (bottom, right) and ("pool" not in operation["type"] or (top < rows and left < columns))


def make(layer, fixed):
    """The block of an operation."""
    operation, shape = layer["operation"], layer["input_shapes"][0]
    kind, channels = operation["type"], shape[0]
    own = (0, 0)
    if "padding" in operation and symmetric(operation):
        own = tuple(operation["padding"][::2])
    if kind == "conv2d":
        how = {"groups": operation["groups"], "use_bias": operation["bias"], "in_channels": channels}
        return nn.Conv2D(operation["channels"], tuple(operation["kernel"]), tuple(operation["stride"]), own, **how)
    if kind == "max_pool2d":
        return nn.MaxPool2D(tuple(operation["kernel"]), tuple(operation["stride"]), own)
    if kind == "avg_pool2d":
        return nn.AvgPool2D(tuple(operation["kernel"]), tuple(operation["stride"]), own, count_include_pad=True)
    if kind == "adaptive_avg_pool2d":
        size = tuple(operation["output"])
        return nn.HybridLambda(lambda F, x: F.contrib.AdaptiveAvgPooling2D(x, output_size=size))
    if kind == "batch_norm":
        how = {"momentum": 1 - operation["momentum"], "epsilon": operation["epsilon"], "in_channels": channels}
        return nn.BatchNorm(use_global_stats=fixed, **how)
    if kind == "layer_norm":
        return nn.LayerNorm(epsilon=operation["epsilon"], in_channels=channels)
    if kind == "dense":
        return nn.Dense(operation["units"], use_bias=operation["bias"], flatten=False, in_units=channels)
    if kind == "dropout":
        return nn.Dropout(0 if fixed else operation["rate"])
    if kind == "flatten":
        if operation["order"] == "height_width_channel":
            return nn.HybridLambda(lambda F, x: F.flatten(F.transpose(x, (0, 2, 3, 1))))
        return nn.Flatten()
    if kind == "upsample":
        rows, columns = operation["scale"]
        return nn.HybridLambda(lambda F, x: F.repeat(F.repeat(x, rows, 2), columns, 3))
    if kind == "global_avg_pool2d":
        return nn.HybridLambda(lambda F, x: F.mean(x, axis=(2, 3)))
    simple = {"activation": lambda: ACTIVATIONS[operation["function"]](), "add": Add, "concat": Concat}
    if kind not in simple:
        raise SystemExit(f"MXNet's interpreter has no operation `{kind}`")
    return simple[kind]()
