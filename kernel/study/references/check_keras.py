"""What Keras computes from the common start: losses and gradients, for comparison with the other backends."""

import keras
import numpy as np
import tensorflow as tf
from safetensors.numpy import load_file, save_file

from common import JOB, leave_losses
from net_keras import VERSION, build, from_keras, loss, optimizer, set_weights


class Given(keras.layers.Layer):
    """Dropout with the factors that all backends are given."""

    batch = 0

    def build(self, shape):
        self.factors = self.add_weight(shape=(self.batch, shape[-1]), initializer="ones", trainable=False)

    def call(self, x):
        return x * self.factors


def main():
    tf.config.threading.set_intra_op_parallelism_threads(JOB["threads"])
    batches = load_file(JOB["check"]["batches"])
    dropout = Given()
    dropout.batch = batches["labels"].shape[1]
    model, named = build(dropout)
    set_weights(named, load_file(JOB["start"]))
    learner, criterion = optimizer(), loss()
    names = {id(variable): name for name, variable in named.items()}

    @tf.function
    def step(pixels, truth):
        with tf.GradientTape() as tape:
            value = criterion(truth, model(pixels, training=True))
        return value, tape.gradient(value, model.trainable_variables)

    def of(index):
        pixels = tf.constant(batches["pixels"][index].transpose(0, 2, 3, 1))
        return step(pixels, tf.constant(batches["labels"][index].reshape(-1, 1)))

    value, gradients = of(0)
    losses = [float(value)]
    pairs = zip(model.trainable_variables, gradients)
    arrays = {names[id(variable)]: np.ascontiguousarray(from_keras(gradient.numpy())) for variable, gradient in pairs}
    save_file(arrays, JOB["check"]["gradients"])
    for index, factors in enumerate(batches["factors"][: JOB["check"]["steps"]]):
        dropout.factors.assign(factors)
        value, gradients = of(index)
        learner.apply_gradients(zip(gradients, model.trainable_variables))
        losses.append(float(value))
    leave_losses(VERSION, losses)


if __name__ == "__main__":
    main()
