"""The pictures, by tf.data and tf.image."""

import tensorflow as tf

from common import CLASSES, JOB

SIZE, BATCH = [JOB["size"]] * 2, JOB["batch_size"]


def picture(path, label):
    image = tf.io.decode_image(tf.io.read_file(path), channels=3, expand_animations=False)
    image = tf.image.resize(image, SIZE, antialias=True)
    if JOB["preprocessing"] == "caffe":
        return tf.reverse(image, [-1]) - tf.constant([103.939, 116.779, 123.68]), label
    if JOB["preprocessing"] == "torchvision":
        return (image / 255 - tf.constant([0.485, 0.456, 0.406])) / tf.constant([0.229, 0.224, 0.225]), label
    return image / 255, label


def listed(split):
    paths = [sorted(tf.io.gfile.glob(f"{JOB['data']}/{split}/{name}/*")) for name in CLASSES]
    labels = [label for label, files in enumerate(paths) for _ in files]
    return sum(paths, []), labels


def batches(paths, labels, shuffle=False, batch=BATCH):
    data = tf.data.Dataset.from_tensor_slices((paths, labels))
    if shuffle:
        data = data.shuffle(len(paths), JOB["seed"])
    data = data.map(picture, num_parallel_calls=JOB["loader_threads"] or tf.data.AUTOTUNE)
    return data.batch(batch).prefetch(tf.data.AUTOTUNE)
