"""Keras 3 on TensorFlow as their tutorials use them.

https://keras.io/examples/vision/image_classification_from_scratch/ (compile, fit, predict)
https://keras.io/guides/transfer_learning/ (a frozen base in inference mode)
https://www.tensorflow.org/tutorials/load_data/images ("Using tf.data for finer control": the images)

Differences from them:
- the layers are Keras' own in the order of the job's graph (`net_keras.py` says where they differ from PyTorch's), from
  the weights that all backends start from;
- the last layer gives logits, of which the loss is computed: the numerically better form of the same loss;
- resizing smooths (antialias), as Pillow and so PyTorch's tutorial does; tf.image.resize alone would not;
- images are neither cached nor changed at random; their order is the job's, the same for every library;
- tf.data's autotuning is off, since the job sets the number of threads and two batches are read ahead (`OPTIONS` says why);
- batch size, epochs, optimiser, learning rate and threads are those of the study's job;
- the last epoch's weights are kept and not written; the clock is read at the ends of the phases.
"""

import functools
import hashlib
import json
import sys

import keras
import numpy as np
import tensorflow as tf
from safetensors.numpy import load_file

from common import CLASSES, CLOCK, JOB, NET, RECORD, Progress, different, learned, part, run, test_files
from net_keras import build, count, from_keras, set_weights


# Whatever ~/.keras/keras.json says. What the layers and the loss compute in is the job's.
keras.config.set_floatx(JOB["compute"]["precision"])
keras.config.set_epsilon(1e-7)
keras.config.set_image_data_format("channels_last")


# The thread that tunes sleeps for ever longer periods, up to a minute, and can miss that its iterator is being deleted.
# `fit` then waits at its end for the period that has begun.
OPTIONS = tf.data.Options()
OPTIONS.autotune.enabled = False


class Clock(keras.callbacks.Callback):
    """Measures the two halves of each epoch; the metric knows how many images it saw, and reading it awaits the steps."""

    # Lets Keras call `on_train_batch_end` in a thread, as it does for its own progress bar: training does not wait for
    # the values of the logs.
    async_safe = True

    def __init__(self, metric):
        super().__init__()
        self.metric, self.progress = metric, Progress()

    def images(self):
        return int(self.metric.count)

    def on_epoch_begin(self, epoch, logs=None):
        self.began, self.tested = CLOCK(), None

    def on_train_batch_end(self, batch, logs):
        if RECORD["build_parts"].get("first_step") is None:
            RECORD["build_parts"]["first_step"] = CLOCK() - self.began
        self.progress.step(len(RECORD["epochs"]) + 1, batch + 1, self.params["steps"], logs["loss"], logs["accuracy"])

    def on_test_begin(self, logs=None):
        self.trained, self.tested = self.images(), CLOCK()

    def on_epoch_end(self, epoch, logs):
        seen, end = self.images(), CLOCK()
        tested = self.tested or end
        line = {"epoch": epoch + 1, "loss": logs["loss"], "accuracy": logs["accuracy"]}
        line["training_images"] = self.trained if self.tested else seen
        line |= {"training_seconds": tested - self.began, "validation_seconds": end - tested}
        if self.tested:
            line |= {"val_loss": logs["val_loss"], "val_accuracy": logs["val_accuracy"]}
            line["validation_images"] = seen
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


def batches(paths, labels, size=JOB["batch_size"]):
    files = tf.data.Dataset.from_tensor_slices((paths, labels))
    images = files.map(decoded, num_parallel_calls=JOB["loader_threads"] or tf.data.AUTOTUNE)
    return images.batch(size).with_options(OPTIONS)


def passes():
    """The passes of training in the job's order; batches are full but for the last one of a pass."""
    now = []
    for batch in (batch for epoch in JOB["order"] for batch in epoch):
        now += batch
        if len(batch) < JOB["batch_size"]:
            yield now
            now = []
    yield now


def training(labels):
    """The batches of all epochs; `labels` holds the class of each path."""
    data = [batches(paths, [labels[path] for path in paths]) for paths in passes() if paths]
    return functools.reduce(lambda first, second: first.concatenate(second), data).prefetch(2)


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
    version = f"{keras.__version__} on TensorFlow {tf.__version__}"
    # It follows the biased variance of a batch, PyTorch's the unbiased one.
    omitted = ["running_var"]

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
        self.masks = []

    def load(self):
        with part("load_parts", "list"):
            self.training, self.validation = listed("train"), listed("validation")
        with part("load_parts", "first_batch"):
            next(iter(batches(*(files[: JOB["batch_size"]] for files in self.training))))

    def build(self):
        with part("build_parts", "initialise"):
            self.model, self.layers, self.named = build(NET, JOB["freeze"])
            if NET["loss"] == "binary_cross_entropy":
                loss = keras.losses.BinaryCrossentropy(from_logits=True)
                self.metric = keras.metrics.BinaryAccuracy(threshold=0.0, name="accuracy")
            else:
                loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
                self.metric = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
            self.model.compile(make_optimizer(), loss, metrics=[self.metric])
        with part("build_parts", "read"):
            set_weights(self.named, load_file(JOB["start"]))

    def train(self):
        epochs, steps = JOB["epochs"], len(JOB["order"][0])
        data = training(dict(zip(*self.training)))
        validation = batches(*self.validation).prefetch(2) if JOB["validate"] else None
        settings = {"epochs": epochs, "steps_per_epoch": steps, "validation_data": validation, "verbose": 0}
        self.model.fit(data, callbacks=[Clock(self.metric)], **settings)

    def test(self):
        files = test_files()
        data = batches(files, [0] * len(files), JOB["test_batch_size"]).prefetch(2)
        return len(self.model.predict(data, verbose=0))

    def count(self):
        kinds = (self.model.weights, self.model.trainable_weights)
        return [sum(count(variable) for variable in variables) for variables in kinds]

    def steps(self):
        return int(self.model.optimizer.iterations)

    def parts(self):
        build = json.dumps(dict(tf.sysconfig.get_build_info()), sort_keys=True, default=str)
        return {"build": f"{hashlib.sha256(build.encode()).hexdigest()[:12]}, {tf.version.GIT_VERSION}"}

    def deviations(self):
        settings, optimizer, model = JOB["optimizer"], self.model.optimizer, self.model
        momentum, decay = settings.get("momentum"), settings.get("weight_decay")
        names = {
            "sgd": {"momentum": momentum, "nesterov": settings.get("nesterov"), "weight_decay": decay or None},
            "adam": {"beta_1": settings.get("beta1"), "beta_2": settings.get("beta2"), "amsgrad": False},
            "rmsprop": {"rho": settings.get("decay"), "momentum": 0.0, "centered": False},
        }[settings["name"]]
        names |= {"epsilon": settings["epsilon"]} if "epsilon" in settings else {}
        names |= {"clipnorm": None, "global_clipnorm": None, "clipvalue": None, "use_ema": False}
        set_to = optimizer.get_config()
        found = [words for name, value in names.items() for words in different(f"the optimiser's {name}", set_to[name], value)]
        found += different("the learning rate", float(np.float32(optimizer.learning_rate)), float(np.float32(JOB["learning_rate"])))
        found += different("the optimiser", type(optimizer).__name__.lower(), settings["name"])
        names = {id(variable): name for name, variable in self.named.items()}
        trained = sorted(names[id(variable)] for variable in model.trainable_variables)
        found += different("what learns", trained, learned())
        kinds = sorted({layer.dtype_policy.name for layer in self.layers.values()})
        found += different("the type of the numbers", kinds, [JOB["compute"]["precision"]])
        for layer in NET["layers"]:
            operation, made = layer["operation"], self.layers[layer["name"]]
            if operation["type"] == "dropout":
                found += different(f"the rate of {layer['name']}", made.rate, operation["rate"])
            elif operation["type"] == "batch_norm":
                found += different(f"the momentum of {layer['name']}", made.momentum, 1 - operation["momentum"])
                found += different(f"the epsilon of {layer['name']}", made.epsilon, operation["epsilon"])
        found += different("the backend of Keras", keras.backend.backend(), "tensorflow")
        threads = tf.config.threading.get_intra_op_parallelism_threads()
        return found + different("the number of threads", threads, JOB["threads"])

    def dropouts(self):
        return [layer for layer in self.layers.values() if isinstance(layer, keras.layers.Dropout)]

    def dropped(self):
        ones = tf.ones((100, 1000))
        return [[layer(ones, training=True).numpy() for _ in range(2)] for layer in self.dropouts()]

    def set_masks(self, masks):
        if not self.masks:
            self.masks = [tf.Variable(last(mask)) for mask in masks]
            for layer, mask in zip(self.dropouts(), self.masks, strict=True):
                layer.call = given_mask(mask)
            # A function that is compiled already would go on with Keras' dropout.
            self.model.make_train_function(force=True)
        for variable, mask in zip(self.masks, masks, strict=True):
            variable.assign(last(mask))

    def weights(self):
        return {name: from_keras(variable, variable.numpy()) for name, variable in self.named.items()}

    def start_from(self, arrays):
        set_weights(self.named, arrays)
        for variable in self.model.optimizer.variables:
            if variable is not self.model.optimizer._learning_rate:
                variable.assign(tf.zeros_like(variable.value))

    def logits(self, pixels):
        return self.model.predict_on_batch(tf.constant(last(pixels)))

    def gradients(self, pixels, labels):
        pixels, labels = given(pixels, labels)

        @tf.function(jit_compile=self.model.jit_compile)
        def compute():
            with tf.GradientTape() as tape:
                loss = self.model.compute_loss(pixels, labels, self.model(pixels, training=True))
            return tape.gradient(loss, [variable.value for variable in self.model.trainable_variables])

        names = {id(variable): name for name, variable in self.named.items()}
        pairs = zip(self.model.trainable_variables, compute())
        return {names[id(variable)]: from_keras(variable, gradient.numpy()) for variable, gradient in pairs}

    def step(self, pixels, labels):
        self.model.reset_metrics()
        return float(self.model.train_on_batch(*given(pixels, labels))[0])


def given_mask(mask):
    """What a dropout layer does in training with given factors."""
    return lambda inputs, training=False: inputs * tf.cast(mask, inputs.dtype) if training else inputs


def last(values):
    """With the channels last."""
    return np.moveaxis(values, 1, -1)


def given(pixels, labels):
    return tf.constant(last(pixels)), tf.constant(labels)


if __name__ == "__main__":
    run(Keras())
