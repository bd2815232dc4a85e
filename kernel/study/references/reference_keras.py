"""Keras 3 on TensorFlow as their tutorials use them.

https://keras.io/examples/vision/image_classification_from_scratch/ (compile, fit, predict)
https://www.tensorflow.org/tutorials/load_data/images ("Using tf.data for finer control": the pictures)

Differences from them:
- the net is VGG16 with one of the report's heads, from weights that all backends start from;
- the last layer gives logits; the loss takes them so, which is the numerically better form of the same loss;
- resizing smooths (antialias), as Pillow and so PyTorch's tutorial does; tf.image.resize alone would not;
- pictures are neither cached nor changed at random; the order is drawn anew in each epoch over all files;
- size, batch, epochs, optimiser, rate and threads are those of the study's job;
- the last epoch's weights are kept and not written; clocks stand around the phases.
"""

import keras
import numpy as np
import tensorflow as tf
from safetensors.numpy import load_file

from common import CLOCK, JOB, RECORD, Progress, begin, finish, part, phase, test_files
from net_keras import VERSION, accuracy, build, loss, optimizer, set_weights
from pictures_keras import batches, listed


class Clock(keras.callbacks.Callback):
    """Takes the times of each epoch's two halves; the metric knows how many pictures it saw."""

    def __init__(self, metric):
        super().__init__()
        self.metric, self.progress = metric, Progress()

    def pictures(self):
        return int(self.metric.count)

    def on_epoch_begin(self, epoch, logs=None):
        self.began, self.tested = CLOCK(), None

    def on_train_batch_end(self, batch, logs):
        if "first_step" not in RECORD["build_parts"]:
            RECORD["build_parts"]["first_step"] = CLOCK() - self.began
        self.progress.step(len(RECORD["epochs"]) + 1, batch + 1, self.params["steps"], logs["loss"], logs["accuracy"])

    def on_test_begin(self, logs=None):
        self.tested, self.trained = CLOCK(), self.pictures()

    def on_epoch_end(self, epoch, logs):
        end = CLOCK()
        tested = self.tested or end
        line = {"epoch": epoch + 1, "loss": logs["loss"], "accuracy": logs["accuracy"]}
        line["training_images"] = self.trained if self.tested else self.pictures()
        line |= {"training_seconds": tested - self.began, "validation_seconds": end - tested}
        if self.tested:
            line |= {"val_loss": logs["val_loss"], "val_accuracy": logs["val_accuracy"], "validation_images": self.pictures()}
        self.progress.epoch(line)


def main():
    keras.utils.set_random_seed(JOB["seed"])
    tf.config.threading.set_intra_op_parallelism_threads(JOB["threads"])
    begin("Keras", VERSION, JOB["device"], JOB["threads"])
    with phase("load"):
        with part("load_parts", "list"):
            train, validation = listed("train"), listed("validation")
        with part("load_parts", "first_batch"):
            next(iter(batches(*train, shuffle=True)))
    with phase("build"):
        with part("build_parts", "initialise"):
            model, named = build(keras.layers.Dropout(JOB["dropout"]))
            metric = accuracy()
            model.compile(optimizer(), loss(), metrics=[metric])
        with part("build_parts", "read"):
            set_weights(named, load_file(JOB["start"]))
    with phase("train"):
        steps = JOB["steps_per_epoch"]
        data = batches(*train, shuffle=True)
        valid = batches(*validation) if JOB["validate"] else None
        settings = {"epochs": JOB["epochs"], "steps_per_epoch": steps, "validation_data": valid, "verbose": 0}
        model.fit(data.repeat() if steps else data, callbacks=[Clock(metric)], **settings)
    with phase("test"):
        files = test_files()
        pictures = batches(files, [0] * len(files), batch=JOB["test_batch_size"])
        RECORD["images_seen"]["test"] = len(model.predict(pictures, verbose=0))
    for name, variables in (("parameters", model.weights), ("trainable_parameters", model.trainable_weights)):
        RECORD["net"][name] = sum(int(np.prod(variable.shape)) for variable in variables)
    finish()


if __name__ == "__main__":
    main()
