"""Interprets a graph with Theano's own operations. Kernels have PyTorch's layout; those of dense layers are transposed.

Theano has no layers. What it has no operation for is written out of others as its users did (layer normalisation,
GELU, upsampling), but for what they wrote as loops (`theano.scan`): recurrent layers are refused.
"""

import numpy as np
import theano
import theano.tensor as tt
from theano.tensor.nnet import bn
from theano.tensor.signal.pool import pool_2d

ACTIVATIONS = {
    "relu": tt.nnet.relu,
    "relu6": lambda x: tt.minimum(tt.nnet.relu(x), 6),
    "leaky_relu": lambda x: tt.nnet.relu(x, 0.01),
    "elu": tt.nnet.elu,
    "gelu": lambda x: x * (1 + tt.erf(x / np.sqrt(2).astype(x.dtype))) / 2,
    "silu": lambda x: x * tt.nnet.sigmoid(x),
    "sigmoid": tt.nnet.sigmoid,
    "tanh": tt.tanh,
}


def epsilon(operation):
    """The batch normalisation's epsilon. Theano refuses less than 1e-5, and rounds that down in 32-bit floats."""
    smallest = np.nextafter(np.float32(1e-5), np.float32(1))
    return float(smallest) if operation["epsilon"] == 1e-5 and theano.config.floatX == "float32" else operation["epsilon"]


class Net:
    """The values of a graph as shared variables, by their names in it; its outputs, and what training changes beside."""

    def __init__(self, graph, frozen=False):
        self.graph, self.frozen = graph, graph["base"] if frozen else 0
        self.named = {
            value["name"]: theano.shared(np.zeros(transposed(value["shape"]), theano.config.floatX), value["name"])
            for value in graph["parameters"]
        }

    def set_weights(self, arrays):
        """Copies all values from arrays; a missing one is an error."""
        for name, variable in self.named.items():
            array = arrays[name].T if arrays[name].ndim == 2 else arrays[name]
            variable.set_value(np.ascontiguousarray(array, theano.config.floatX))

    def weights(self):
        arrays = {name: variable.get_value() for name, variable in self.named.items()}
        return {name: array.T if array.ndim == 2 else array for name, array in arrays.items()}

    def output(self, x, dropout=None):
        """The outputs, and the updates of running statistics; in training `dropout` is what a dropout layer does."""
        values, updates = {None: x}, []
        for index, layer in enumerate(self.graph["layers"]):
            taken = [values[source] for source in layer["inputs"]]
            trains = dropout is not None and index >= self.frozen
            values[index], moved = self.apply(layer, taken, dropout if trains else None)
            updates += moved
        return values[index], updates

    def apply(self, layer, taken, dropout):
        operation, shape, x = layer["operation"], layer["input_shapes"][0], taken[0]
        kind, own = operation["type"], lambda suffix: self.named[f"{layer['name']}.{suffix}"]
        if kind == "conv2d":
            kernel = own("weight")
            how = {"filter_shape": kernel.get_value(borrow=True).shape, "input_shape": (None, *shape)}
            how |= {"subsample": tuple(operation["stride"]), "num_groups": operation["groups"], "filter_flip": False}
            x = tt.nnet.conv2d(x, kernel, border_mode=sides(operation), **how)
            return x + own("bias").dimshuffle("x", 0, "x", "x") if operation["bias"] else x, []
        if kind in ("max_pool2d", "avg_pool2d"):
            (top, bottom), (left, right) = sides(operation)
            how = {"ws": tuple(operation["kernel"]), "stride": tuple(operation["stride"]), "ignore_border": True}
            how["mode"] = "max" if kind == "max_pool2d" else "average_inc_pad"
            if (top, left) == (bottom, right):
                return pool_2d(x, pad=(top, left), **how), []
            border = -np.inf if kind == "max_pool2d" else 0.0
            rows, columns = shape[1] + top + bottom, shape[2] + left + right
            wide = tt.alloc(np.array(border, x.dtype), x.shape[0], shape[0], rows, columns)
            inner = wide[:, :, top : rows - bottom, left : columns - right]
            return pool_2d(tt.set_subtensor(inner, x), **how), []
        if kind == "adaptive_avg_pool2d":
            window = [size // output for size, output in zip(shape[1:], operation["output"])]
            if window == [1, 1]:
                return x, []
            if any(size % output for size, output in zip(shape[1:], operation["output"])):
                raise SystemExit(f"Theano averages windows of one size only: `{layer['name']}` has an input of {shape[1:]}")
            return pool_2d(x, ws=window, ignore_border=True, mode="average_exc_pad"), []
        if kind == "batch_norm":
            axes = "spatial" if len(shape) == 3 else "per-activation"
            around = (0, *range(2, len(shape) + 1)) if len(shape) == 3 else (0,)
            wide = ["x" if axis in around else 0 for axis in range(len(shape) + 1)]
            names = ("weight", "bias", "running_mean", "running_var")
            gamma, beta, mean, variance = (own(name).dimshuffle(wide) for name in names)
            if dropout is None:
                return bn.batch_normalization_test(x, gamma, beta, mean, variance, axes, epsilon(operation)), []
            how = {"running_average_factor": operation["momentum"], "running_mean": mean, "running_var": variance}
            x, _, _, mean, variance = bn.batch_normalization_train(x, gamma, beta, axes, epsilon(operation), **how)
            return x, [(own("running_mean"), mean.flatten()), (own("running_var"), variance.flatten())]
        if kind == "layer_norm":
            centred = x - x.mean(-1, keepdims=True)
            scale = tt.sqrt((centred**2).mean(-1, keepdims=True) + operation["epsilon"])
            return centred / scale * own("weight") + own("bias"), []
        if kind == "dropout":
            return x if dropout is None else dropout(layer, x), []
        if kind == "dense":
            x = tt.dot(x, own("weight"))
            return x + own("bias") if operation["bias"] else x, []
        if kind == "flatten":
            return (x.dimshuffle(0, 2, 3, 1) if operation["order"] == "height_width_channel" else x).flatten(2), []
        if kind == "upsample":
            rows, columns = operation["scale"]
            return tt.repeat(tt.repeat(x, rows, 2), columns, 3), []
        simple = {
            "activation": lambda: ACTIVATIONS[operation["function"]](x),
            "global_avg_pool2d": lambda: x.mean((2, 3)),
            "add": lambda: sum(taken[1:], x),
            "concat": lambda: tt.concatenate(taken, 1),
        }
        if kind not in simple:
            raise SystemExit(f"Theano's interpreter has no operation `{kind}`")
        return simple[kind](), []

    def loss(self, output, labels):
        """The mean loss, and how many labels are right."""
        if self.graph["loss"] == "cross_entropy":
            # Theano's optimiser makes the stable form of it.
            loss = -tt.mean(tt.nnet.logsoftmax(output)[tt.arange(labels.shape[0]), labels])
            return loss, tt.eq(tt.argmax(output, 1), labels).sum()
        output = output.flatten()
        # A product with integers would have 64 bits.
        loss = tt.mean(tt.nnet.softplus(output) - output * tt.cast(labels, output.dtype))
        return loss, tt.eq(output >= 0, labels).sum()


def transposed(shape):
    return shape[::-1] if len(shape) == 2 else shape


def sides(operation):
    top, bottom, left, right = operation.get("padding", [0] * 4)
    return (top, bottom), (left, right)
