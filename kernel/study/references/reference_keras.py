"""Keras 3 as its tutorials use it, on the engine that the job's variant names: TensorFlow, JAX or PyTorch.

https://keras.io/examples/vision/image_classification_from_scratch/ (compile, fit, predict)
https://keras.io/guides/transfer_learning/ (a frozen base in inference mode)

Differences from them:
- the layers are Keras' own in the order of the job's graph (`net_keras.py` says where they differ from PyTorch's), from
  the weights that all backends start from;
- the last layer gives logits, of which the loss is computed: the numerically better form of the same loss;
- images are neither cached nor changed at random; their order is the job's, the same for every library; on TensorFlow tf.data
  reads them (`images_tensorflow.py`), on the other engines torchvision in threads (`images_threads.py`);
- `jit_compile` is the variant's; `auto` is what Keras chooses by itself (`engine_keras.py`);
- batch size, epochs, optimiser, learning rate and threads are those of the study's job;
- the last epoch's weights are kept and not written; the clock is read at the ends of the phases.
"""

import sys

import engine_keras
import keras
import numpy as np
from safetensors.numpy import load_file

from common import CLOCK, JOB, NET, RECORD, Progress, different, learned, listed, part, run, test_files
from net_keras import build, count, from_keras, set_weights


# Whatever ~/.keras/keras.json says. What the layers and the loss compute in is the job's.
keras.config.set_floatx(JOB["compute"]["precision"])
keras.config.set_epsilon(1e-7)
keras.config.set_image_data_format("channels_last")
IMAGES = engine_keras.images()


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
    # It follows the biased variance of a batch, PyTorch's the unbiased one.
    omitted = ["running_var"]

    def __init__(self):
        self.engine = engine_keras.start()
        self.version = f"{keras.__version__} on {self.engine.version}"
        eager = engine_keras.NAME == "torch" and not engine_keras.jit_compile(self.engine)
        self.graph = "none" if eager else "train"
        keras.utils.set_random_seed(JOB["seed"])
        self.masks = []

    def load(self):
        with part("load_parts", "list"):
            self.training, self.validation = listed("train"), listed("validation")
        with part("load_parts", "first_batch"):
            IMAGES.first(self.training)

    def build(self):
        with part("build_parts", "initialise"):
            self.model, self.layers, self.named = build(NET, JOB["freeze"])
            if NET["loss"] == "binary_cross_entropy":
                loss = keras.losses.BinaryCrossentropy(from_logits=True)
                self.metric = keras.metrics.BinaryAccuracy(threshold=0.0, name="accuracy")
            else:
                loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
                self.metric = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
            compiled = engine_keras.jit_compile(self.engine)
            self.model.compile(make_optimizer(), loss, metrics=[self.metric], jit_compile=compiled)
        with part("build_parts", "read"):
            set_weights(self.named, load_file(JOB["start"]))

    def train(self):
        epochs, steps = JOB["epochs"], len(JOB["order"][0])
        data = IMAGES.training(self.training)
        settings = IMAGES.validation(self.validation) if JOB["validate"] else {}
        settings |= {"epochs": epochs, "steps_per_epoch": steps, "shuffle": False, "verbose": 0}
        self.model.fit(data, callbacks=[Clock(self.metric)], **settings)

    def test(self):
        files = test_files()
        return len(self.model.predict(**IMAGES.test(files), verbose=0))

    def count(self):
        kinds = (self.model.weights, self.model.trainable_weights)
        return [sum(count(variable) for variable in variables) for variables in kinds]

    def steps(self):
        return int(self.model.optimizer.iterations)

    def parts(self):
        return {"build": self.engine.build()} | IMAGES.versions()

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
        found += different("trainable parameters", trained, learned())
        kinds = sorted({layer.dtype_policy.name for layer in self.layers.values()})
        found += different("the type of the numbers", kinds, [JOB["compute"]["precision"]])
        for layer in NET["layers"]:
            operation, made = layer["operation"], self.layers[layer["name"]]
            if operation["type"] == "dropout":
                found += different(f"the rate of {layer['name']}", made.rate, operation["rate"])
            elif operation["type"] == "batch_norm":
                found += different(f"the momentum of {layer['name']}", made.momentum, 1 - operation["momentum"])
                found += different(f"the epsilon of {layer['name']}", made.epsilon, operation["epsilon"])
        return found + engine_keras.deviations(self.engine, model)

    def dropouts(self):
        return [layer for layer in self.layers.values() if isinstance(layer, keras.layers.Dropout)]

    def dropped(self):
        ones = keras.ops.ones((100, 1000))
        passes = [[layer(ones, training=True) for _ in range(2)] for layer in self.dropouts()]
        return [[keras.ops.convert_to_numpy(output) for output in two] for two in passes]

    def set_masks(self, masks):
        if not self.masks:
            self.masks = [with_mask(layer, last(mask)) for layer, mask in zip(self.dropouts(), masks, strict=True)]
            # A function that is compiled already would go on with Keras' dropout.
            self.model.make_train_function(force=True)
        for variable, mask in zip(self.masks, masks, strict=True):
            variable.assign(last(mask))

    def weights(self):
        return {name: from_keras(variable, variable.numpy()) for name, variable in self.named.items()}

    def scale_rate(self, factor):
        self.model.optimizer.learning_rate = float(self.model.optimizer.learning_rate) * factor

    def start_from(self, arrays):
        set_weights(self.named, arrays)
        for variable in self.model.optimizer.variables:
            if variable is not self.model.optimizer._learning_rate:
                variable.assign(np.zeros(variable.shape, variable.dtype))

    def logits(self, pixels):
        return self.model.predict_on_batch(keras.ops.convert_to_tensor(last(pixels)))

    def gradients(self, pixels, labels):
        computed = self.engine.gradients(self.model, *given(pixels, labels))
        arrays = [np.array(keras.ops.convert_to_numpy(gradient)) for gradient in computed]
        names = {id(variable): name for name, variable in self.named.items()}
        pairs = zip(self.model.trainable_variables, arrays, strict=True)
        return {names[id(variable)]: from_keras(variable, array) for variable, array in pairs}

    def held(self, pixels, labels):
        return given(pixels, labels)

    def step(self, pixels, labels):
        self.model.reset_metrics()
        return float(self.model.train_on_batch(pixels, labels)[0])


def with_mask(layer, mask):
    """Makes a dropout layer multiply by factors, which are a variable of the layer: what an engine compiles knows no
    other values that change."""
    layer._tracker.unlock()
    mask = layer.add_weight(shape=mask.shape, dtype="float32", trainable=False, autocast=False, name="mask")
    layer.call = lambda inputs, training=False: inputs * keras.ops.cast(mask, inputs.dtype) if training else inputs
    return mask


def last(values):
    """With the channels last."""
    return np.moveaxis(values, 1, -1)


def given(pixels, labels):
    return keras.ops.convert_to_tensor(last(pixels)), keras.ops.convert_to_tensor(labels)


if __name__ == "__main__":
    run(Keras())
