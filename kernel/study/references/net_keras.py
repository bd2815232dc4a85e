"""The net, the loss and the optimiser in Keras' own layers, for the reference and for the check of gradients."""

import sys

import keras
import tensorflow as tf
from keras import layers

from common import JOB

VERSION = f"{keras.__version__} on TensorFlow {tf.__version__}"
# By itself TensorFlow takes the first GPU where there is one, and the processor where there is none.
GPUS = tf.config.list_physical_devices("GPU")
CHOSEN = [] if JOB["device"] == "cpu" else GPUS[int(JOB["device"].removeprefix("cuda:")) :][:1]
if JOB["device"] != "cpu" and not CHOSEN:
    sys.exit(f"TensorFlow {tf.__version__} sees {len(GPUS)} GPUs, none for {JOB['device']}; tensorflow[and-cuda] has CUDA")
tf.config.set_visible_devices(CHOSEN, "GPU")
tf.config.experimental.enable_tensor_float_32_execution(JOB["compute"]["tf32_convolutions"])
BINARY = JOB["head"] == "Keras"
# Numbers of the convolutions among torchvision's layers, which count activations and poolings too.
CONVOLUTIONS = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]


def build(dropout):
    """VGG16's convolutions with one of the report's heads, and its variables by the names in weight files."""
    side = JOB["size"]
    base = keras.applications.VGG16(include_top=False, weights=None, input_shape=(side, side, 3))
    base.trainable = not JOB["freeze"]
    if BINARY:
        dense = {"dense_1": layers.Dense(512, "relu"), "dense_2": layers.Dense(256, "relu"), "dense_3": layers.Dense(1)}
        one, two, three = dense.values()
        head = [layers.Flatten(), one, dropout, two, three]
    elif side == 224:
        dense = {"classifier.0": layers.Dense(4096, "relu"), "classifier.3": layers.Dense(2)}
        one, two = dense.values()
        head = [layers.Permute((3, 1, 2)), layers.Flatten(), one, dropout, two]
    else:
        sys.exit(f"the PyTorch head pools to 7 × 7, for which Keras has no layer; expected size 224, found {side}")
    model = keras.Sequential([layers.Input((side, side, 3)), base, *head])
    convolutions = [layer for layer in base.layers if isinstance(layer, layers.Conv2D)]
    named = {f"features.{number}": layer for number, layer in zip(CONVOLUTIONS, convolutions)} | dense
    kinds = (("weight", "kernel"), ("bias", "bias"))
    return model, {f"{name}.{kind}": getattr(layer, key) for name, layer in named.items() for kind, key in kinds}


def to_keras(array):
    """`[outputs, inputs, rows, columns]` as `[rows, columns, inputs, outputs]`; dense kernels are turned too."""
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T


def from_keras(array):
    """The way back."""
    return array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T


def set_weights(named, arrays):
    """Gives each variable its start; one that the file lacks is an error."""
    for name, variable in named.items():
        variable.assign(to_keras(arrays[name]))


def optimizer():
    settings, rate = JOB["optimizer"], JOB["learning_rate"]
    if settings["name"] == "sgd":
        momentum, nesterov = settings["momentum"], settings["nesterov"]
        return keras.optimizers.SGD(rate, momentum, nesterov, weight_decay=settings["weight_decay"] or None)
    if settings["name"] == "adam":
        return keras.optimizers.Adam(rate, settings["beta1"], settings["beta2"], settings["epsilon"])
    return keras.optimizers.RMSprop(rate, settings["decay"], epsilon=settings["epsilon"])


def loss():
    if BINARY:
        return keras.losses.BinaryCrossentropy(from_logits=True)
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def accuracy():
    if BINARY:
        return keras.metrics.BinaryAccuracy(threshold=0.0, name="accuracy")
    return keras.metrics.SparseCategoricalAccuracy(name="accuracy")
