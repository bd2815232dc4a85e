"""Keras 3 on TensorFlow as their tutorials use them.

https://keras.io/examples/vision/image_classification_from_scratch/ (compile, fit, predict)
https://keras.io/guides/transfer_learning/ (a frozen base in inference mode)
https://www.tensorflow.org/tutorials/load_data/images ("Using tf.data for finer control": the images)

Differences from them:
- the layers are Keras' own in the order of the job's graph (`net_keras.py` says where they differ from PyTorch's), from
  the weights that all backends start from;
- the last layer gives logits, of which the loss is computed: the numerically better form of the same loss;
- resizing smooths (antialias), as Pillow and so PyTorch's tutorial does; tf.image.resize alone would not;
- images are neither cached nor changed at random; the order is drawn anew in each pass over all files, and no more
  batches are made than are trained on;
- batch size, epochs, optimiser, learning rate and threads are those of the study's job;
- the last epoch's weights are kept and not written; the clock is read at the ends of the phases.
"""

import sys

import keras
import numpy as np
import tensorflow as tf
from safetensors.numpy import load_file

from common import CLASSES, CLOCK, JOB, NET, RECORD, Progress, part, run, test_files
from net_keras import build, count, from_keras, set_weights


class Given(keras.layers.Layer):
    """Dropout with given masks, at first of ones."""

    def __init__(self, batch):
        super().__init__()
        self.batch = batch

    def build(self, shape):
        self.factors = self.add_weight(shape=(self.batch, *shape[1:]), initializer="ones", trainable=False)

    def call(self, x, training=False):
        return x * self.factors if training else x


class Clock(keras.callbacks.Callback):
    """Measures the two halves of each epoch; the metric knows how many images it saw."""

    def __init__(self, metric):
        super().__init__()
        self.metric, self.progress = metric, Progress()

    def images(self):
        return int(self.metric.count)

    def on_epoch_begin(self, epoch, logs=None):
        self.began, self.tested = CLOCK(), None

    def on_train_batch_end(self, batch, logs):
        if "first_step" not in RECORD["build_parts"]:
            RECORD["build_parts"]["first_step"] = CLOCK() - self.began
        self.progress.step(len(RECORD["epochs"]) + 1, batch + 1, self.params["steps"], logs["loss"], logs["accuracy"])

    def on_test_begin(self, logs=None):
        self.tested, self.trained = CLOCK(), self.images()

    def on_epoch_end(self, epoch, logs):
        end = CLOCK()
        tested = self.tested or end
        line = {"epoch": epoch + 1, "loss": logs["loss"], "accuracy": logs["accuracy"]}
        line["training_images"] = self.trained if self.tested else self.images()
        line |= {"training_seconds": tested - self.began, "validation_seconds": end - tested}
        if self.tested:
            line |= {"val_loss": logs["val_loss"], "val_accuracy": logs["val_accuracy"]}
            line["validation_images"] = self.images()
        self.progress.epoch(line)


def decoded(path, label):
    image = tf.io.decode_image(tf.io.read_file(path), channels=3, expand_animations=False)
    image = tf.image.resize(image, NET["input"][1:], antialias=True)
    if JOB["preprocessing"] == "caffe":
        return tf.reverse(image, [-1]) - tf.constant([103.939, 116.779, 123.68]), label
    if JOB["preprocessing"] == "torchvision":
        return (image / 255 - tf.constant([0.485, 0.456, 0.406])) / tf.constant([0.229, 0.224, 0.225]), label
    return image / 255, label


def listed(split):
    paths = [sorted(tf.io.gfile.glob(f"{JOB['data']}/{split}/{name}/*")) for name in CLASSES]
    labels = [label for label, files in enumerate(paths) for _ in files]
    return sum(paths, []), labels


def shuffled(paths, labels):
    return tf.data.Dataset.from_tensor_slices((paths, labels)).shuffle(len(paths), JOB["seed"])


def batches(files, size=JOB["batch_size"], steps=None):
    data = files.map(decoded, num_parallel_calls=JOB["loader_threads"] or tf.data.AUTOTUNE).batch(size)
    if steps:
        data = data.repeat().take(steps)
    return data.prefetch(tf.data.AUTOTUNE)


def make_optimizer():
    settings, rate = JOB["optimizer"], JOB["learning_rate"]
    if settings["name"] == "sgd":
        momentum, nesterov, decay = settings["momentum"], settings["nesterov"], settings["weight_decay"]
        if momentum and decay:
            sys.exit(f"Keras' SGD keeps weight decay out of the momentum; set one to 0, got {decay} and {momentum}")
        return keras.optimizers.SGD(rate, momentum, nesterov, weight_decay=decay or None)
    if settings["name"] == "adam":
        return keras.optimizers.Adam(rate, settings["beta1"], settings["beta2"], settings["epsilon"])
    return keras.optimizers.RMSprop(rate, settings["decay"], epsilon=settings["epsilon"])


class Keras:
    name, version = "Keras", f"{keras.__version__} on TensorFlow {tf.__version__}"

    def __init__(self):
        # By itself TensorFlow takes the first GPU where there is one, and the processor where there is none.
        gpus, device = tf.config.list_physical_devices("GPU"), JOB["device"]
        chosen = [] if device == "cpu" else gpus[int(device.removeprefix("cuda:")) :][:1]
        if device != "cpu" and not chosen:
            seen = f"TensorFlow {tf.__version__} sees {len(gpus)} GPUs, none for {device}"
            sys.exit(f"{seen}; tensorflow[and-cuda] has CUDA")
        tf.config.set_visible_devices(chosen, "GPU")
        tf.config.experimental.enable_tensor_float_32_execution(JOB["compute"]["tf32_convolutions"])
        tf.config.threading.set_intra_op_parallelism_threads(JOB["threads"])
        keras.utils.set_random_seed(JOB["seed"])

    def load(self):
        with part("load_parts", "list"):
            self.training, self.validation = listed("train"), listed("validation")
        with part("load_parts", "first_batch"):
            next(iter(batches(shuffled(*self.training).take(JOB["batch_size"]))))

    def build(self):
        with part("build_parts", "initialise"):
            dropout = (lambda rate: Given(self.check_batch)) if JOB["check"] else keras.layers.Dropout
            self.model, self.named = build(NET, JOB["freeze"], dropout)
            if NET["loss"] == "binary_cross_entropy":
                loss = keras.losses.BinaryCrossentropy(from_logits=True)
                self.metric = keras.metrics.BinaryAccuracy(threshold=0.0, name="accuracy")
            else:
                loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
                self.metric = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
            self.model.compile(make_optimizer(), loss, metrics=[self.metric])
        with part("build_parts", "read"):
            self.set_weights(load_file(JOB["start"]))

    def train(self):
        steps, epochs = JOB["steps_per_epoch"], JOB["epochs"]
        data = batches(shuffled(*self.training), steps=steps and epochs * steps)
        validation = batches(tf.data.Dataset.from_tensor_slices(self.validation)) if JOB["validate"] else None
        settings = {"epochs": epochs, "steps_per_epoch": steps, "validation_data": validation, "verbose": 0}
        self.model.fit(data, callbacks=[Clock(self.metric)], **settings)

    def test(self):
        files = test_files()
        files = tf.data.Dataset.from_tensor_slices((files, [0] * len(files)))
        return len(self.model.predict(batches(files, JOB["test_batch_size"]), verbose=0))

    def count(self):
        kinds = (self.model.weights, self.model.trainable_weights)
        return [sum(count(variable) for variable in variables) for variables in kinds]

    def set_weights(self, arrays):
        set_weights(self.named, arrays)

    def first_loss(self, pixels, labels):
        self.model.reset_metrics()
        return float(self.model.test_on_batch(*given(pixels, labels))[0])

    def gradients(self, pixels, labels):
        pixels, labels = given(pixels, labels)

        @tf.function(jit_compile=self.model.jit_compile)
        def compute():
            with tf.GradientTape() as tape:
                loss = self.model.compute_loss(pixels, labels, self.model(pixels, training=True))
            return tape.gradient(loss, [variable.value for variable in self.model.trainable_variables])

        names = {id(variable): name for name, variable in self.named.items()}
        pairs = zip(self.model.trainable_variables, compute())
        return {names[id(variable)]: np.ascontiguousarray(from_keras(variable, gradient.numpy())) for variable, gradient in pairs}

    def step(self, pixels, labels, masks):
        given_layers = [layer for layer in self.model.layers if isinstance(layer, Given)]
        for layer, mask in zip(given_layers, masks, strict=True):
            layer.factors.assign(last(mask))
        self.model.reset_metrics()
        return float(self.model.train_on_batch(*given(pixels, labels))[0])


def last(values):
    """With the channels last."""
    return np.moveaxis(values, 1, -1)


def given(pixels, labels):
    return tf.constant(last(pixels)), tf.constant(labels)


if __name__ == "__main__":
    run(Keras())
