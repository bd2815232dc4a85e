"""Interprets a graph with PyTorch's own layers."""

import torch
from torch import nn

ACTIVATIONS = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
}
# What may be changed in place: outputs that the backward pass of these operations does not need.
OVERWRITABLE = ("add", "batch_norm", "concat", "conv2d", "dense")


class Add(nn.Module):
    """A sum, in place as torchvision's residual blocks have it."""

    def __init__(self, inplace):
        super().__init__()
        self.inplace = inplace

    def forward(self, first, *others):
        for other in others:
            first = first.add_(other) if self.inplace else first + other
        return first


class Concat(nn.Module):
    """Along the channels."""

    def forward(self, *inputs):
        return torch.cat(inputs, 1)


class FlattenChannelsLast(nn.Module):
    """The order in which Keras flattens."""

    def forward(self, x):
        return x.permute(0, 2, 3, 1).flatten(1)


class Rows(nn.Module):
    """A sequence with a step for each row, whose features are the row's pixels with their channels."""

    def forward(self, x):
        return x.permute(0, 2, 3, 1).flatten(2).unsqueeze(1)


class Recurrent:
    """A recurrent layer on sequences [batch, 1, steps, features]. Its second bias is zero and frozen."""

    def __init__(self, features, units, return_sequences):
        super().__init__(features, units, batch_first=True)
        self.return_sequences = return_sequences
        nn.init.zeros_(self.bias_hh_l0).requires_grad_(False)

    def forward(self, x):
        states, _ = super().forward(x.squeeze(1))
        return states.unsqueeze(1) if self.return_sequences else states[:, -1]


class LSTM(Recurrent, nn.LSTM):
    """Long short-term memory."""


class GRU(Recurrent, nn.GRU):
    """Gated recurrent units."""


class Net(nn.Module):
    """The layers of a graph in order. With `frozen` the base has no gradients and stays in evaluation mode."""

    def __init__(self, graph, frozen=False):
        super().__init__()
        self.graph, self.frozen, self.plan, layers = graph, graph["base"] if frozen else 0, [], graph["layers"]
        used = [source for layer in layers for source in layer["inputs"]]
        last = {source: index for index, layer in enumerate(layers) for source in layer["inputs"]}
        modules = []
        for index, layer in enumerate(layers):
            first = layer["inputs"][0]
            inplace = used.count(first) == 1 and first is not None
            inplace = inplace and layers[first]["operation"]["type"] in OVERWRITABLE
            module, pad, value = make(layer["operation"], layer["input_shapes"][0], inplace)
            modules.append(module)
            done = [source for source in set(layer["inputs"]) if last[source] == index]
            self.plan.append((layer["inputs"], done, pad, value))
        self.layers = nn.ModuleList(modules)
        self.layers[: self.frozen].requires_grad_(False)

    def train(self, mode=True):
        super().train(mode)
        self.layers[: self.frozen].eval()
        return self

    def forward(self, x):
        values = {None: x}
        for index, (module, (inputs, done, pad, value)) in enumerate(zip(self.layers, self.plan)):
            taken = [values[source] for source in inputs]
            for source in done:
                del values[source]
            if pad:
                taken = [nn.functional.pad(taken[0], pad, value=value)]
            values[index] = module(*taken)
        return values[index]

    def named(self):
        """Parameters and running statistics by their names in the graph."""
        values = {}
        for layer, module in zip(self.graph["layers"], self.layers):
            values |= module.state_dict(prefix=layer["name"] + ".", keep_vars=True)
        return {parameter["name"]: values[parameter["name"]] for parameter in self.graph["parameters"]}

    def set_weights(self, arrays):
        """Copies all values from tensors; a missing one is an error."""
        with torch.no_grad():
            for name, value in self.named().items():
                value.copy_(arrays[name])

    def loss(self, output, labels, weight=None):
        """The mean loss; `weight` holds a factor for each class."""
        if self.graph["loss"] == "cross_entropy":
            return nn.functional.cross_entropy(output, labels, weight)
        weight = None if weight is None else weight[labels]
        return nn.functional.binary_cross_entropy_with_logits(output.squeeze(1), labels.float(), weight)


def make(operation, shape, inplace):
    """The module of an operation, and the padding that it cannot do itself, as `torch.nn.functional.pad` takes it."""
    kind, channels, pad = operation["type"], shape[0], operation.get("padding", [0] * 4)
    top, bottom, left, right = pad
    kernel, stride = operation.get("kernel", [0, 0]), operation.get("stride")
    own, value = (top, left), 0.0
    if top != bottom or left != right or ("pool" in kind and (top > kernel[0] // 2 or left > kernel[1] // 2)):
        own, pad = 0, [left, right, top, bottom]
    else:
        pad = None
    if kind == "conv2d":
        # Without PyTorch's own starting values, which the job's replace.
        groups, bias, make_empty = operation["groups"], operation["bias"], nn.utils.skip_init
        module = make_empty(nn.Conv2d, channels, operation["channels"], kernel, stride, own, groups=groups, bias=bias)
    elif kind == "dense":
        module = nn.utils.skip_init(nn.Linear, channels, operation["units"], operation["bias"])
    elif kind == "activation":
        module = ACTIVATIONS[operation["function"]]
        module = module(inplace=True) if inplace and module in (nn.ReLU, nn.ReLU6) else module()
    elif kind == "batch_norm":
        norm = nn.BatchNorm2d if len(shape) == 3 else nn.BatchNorm1d
        module = norm(channels, operation["epsilon"], operation["momentum"])
    elif kind == "layer_norm":
        module = nn.LayerNorm(channels, operation["epsilon"])
    elif kind == "max_pool2d":
        module, value = nn.MaxPool2d(kernel, stride, own), float("-inf")
    elif kind == "avg_pool2d":
        module = nn.AvgPool2d(kernel, stride, own)
    elif kind == "adaptive_avg_pool2d":
        module = nn.AdaptiveAvgPool2d(operation["output"])
    elif kind == "global_avg_pool2d":
        module = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    elif kind == "flatten":
        module = FlattenChannelsLast() if operation["order"] == "height_width_channel" else nn.Flatten()
    elif kind == "dropout":
        module = nn.Dropout(operation["rate"])
    elif kind == "rows":
        module = Rows()
    elif kind in ("lstm", "gru"):
        recurrent = LSTM if kind == "lstm" else GRU
        module = recurrent(shape[2], operation["units"], operation["return_sequences"])
    elif kind == "upsample":
        module = nn.Upsample(scale_factor=tuple(operation["scale"]))
    elif kind == "add":
        module = Add(inplace)
    elif kind == "concat":
        module = Concat()
    else:
        raise SystemExit(f"PyTorch's interpreter has no operation `{kind}`")
    return module, pad, value
