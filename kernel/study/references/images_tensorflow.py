"""Images by tf.data, for Keras on TensorFlow.

https://www.tensorflow.org/tutorials/load_data/images ("Using tf.data for finer control")

Resizing smooths (antialias), as Pillow and so PyTorch's tutorial does; tf.image.resize alone would not.
"""

import functools

import tensorflow as tf

from common import JOB, NET

# tf.data's own tuning is off, since the job sets the number of threads and two batches are read ahead. Its thread sleeps
# for ever longer periods, up to a minute, and can miss that its iterator is being deleted. `fit` then waits at its end
# for the period that has begun.
OPTIONS = tf.data.Options()
OPTIONS.autotune.enabled = False


def decoded(path, label):
    image = tf.io.decode_image(tf.io.read_file(path), channels=3, expand_animations=False)
    image = tf.image.resize(image, NET["input"][1:], antialias=True)
    if JOB["preprocessing"] == "caffe":
        return tf.reverse(image, [-1]) - tf.constant([103.939, 116.779, 123.68]), label
    if JOB["preprocessing"] == "torchvision":
        return (image / 255 - tf.constant([0.485, 0.456, 0.406])) / tf.constant([0.229, 0.224, 0.225]), label
    return image / 255, label


def batches(paths, labels, size=JOB["batch_size"]):
    files = tf.data.Dataset.from_tensor_slices((paths, labels))
    images = files.map(decoded, num_parallel_calls=JOB["loader_threads"] or tf.data.AUTOTUNE)
    return images.batch(size).with_options(OPTIONS)


def first(labels):
    """Decodes the first batch; `labels` holds the class of each path, here and below."""
    paths = list(labels)[: JOB["batch_size"]]
    next(iter(batches(paths, [labels[path] for path in paths])))


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
    """The batches of all epochs."""
    data = [batches(paths, [labels[path] for path in paths]) for paths in passes() if paths]
    return functools.reduce(lambda first, second: first.concatenate(second), data).prefetch(2)


def validation(labels):
    """What `fit` validates with."""
    return {"validation_data": batches(list(labels), list(labels.values())).prefetch(2)}


def test(paths):
    """What `predict` takes."""
    return {"x": batches(paths, [0] * len(paths), JOB["test_batch_size"]).prefetch(2)}


def versions():
    """TensorFlow's version is that of the library."""
    return {}
