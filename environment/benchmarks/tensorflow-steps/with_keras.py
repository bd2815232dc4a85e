"""Training steps of VGG16 by Keras' own `train_on_batch`, on demand.

    with_keras.py '{"head": "keras", "size": 64, "batch": 8, "threads": 2, "jit": "auto"}'

Says `{"ready": …}` when the model is compiled and warm. Then each line with a number has it run so many steps and
answer with their seconds. Differences from Keras' tutorials: threads are set, the batch is the same random one in
each step, and the PyTorch head (average to 7 × 7, 4096, 2) is written with Keras' layers.
"""

import json
import os
import resource
import sys
import time

settings = json.loads(sys.argv[1])
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ["KERAS_BACKEND"] = "tensorflow"

import keras  # noqa: E402
import numpy  # noqa: E402
import tensorflow  # noqa: E402

tensorflow.config.threading.set_intra_op_parallelism_threads(settings["threads"])
tensorflow.config.threading.set_inter_op_parallelism_threads(settings["threads"])
keras.utils.set_random_seed(1)


def model() -> keras.Model:
    side = settings["size"]
    layers = [keras.applications.VGG16(include_top=False, weights=None, input_shape=(side, side, 3))]
    if settings["head"] == "keras":
        layers += [
            keras.layers.Flatten(),
            keras.layers.Dense(512, activation="relu"),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(256, activation="relu"),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
        loss = keras.losses.BinaryCrossentropy()
    else:
        layers += [
            *([] if side // 32 == 7 else [keras.layers.AdaptiveAveragePooling2D(7)]),
            keras.layers.Flatten(),
            keras.layers.Dense(4096, activation="relu"),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(2),
        ]
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net = keras.Sequential(layers)
    optimizer = keras.optimizers.get(settings.get("optimizer", "adam"))
    net.compile(optimizer=optimizer, loss=loss, metrics=["accuracy"], jit_compile=settings.get("jit", "auto"))
    return net


def step(net: keras.Model, pixels: numpy.ndarray, labels: numpy.ndarray) -> float:
    began = time.perf_counter()
    net.train_on_batch(pixels, labels)
    return time.perf_counter() - began


def say(**answer: object) -> None:
    print(json.dumps(answer), flush=True)


def main() -> None:
    random = numpy.random.default_rng(1)
    side, batch = settings["size"], settings["batch"]
    pixels = random.random((batch, side, side, 3), dtype=numpy.float32)
    labels = numpy.arange(batch, dtype=numpy.int32) % 2
    if settings["head"] == "keras":
        labels = labels.astype(numpy.float32).reshape(-1, 1)
    net = model()
    first = step(net, pixels, labels)
    for _ in range(settings.get("warm_up", 2)):
        step(net, pixels, labels)
    say(ready={"library": f"TensorFlow {tensorflow.__version__}, Keras {keras.__version__}", "first_step": first,
               "parameters": net.count_params(), "jit": bool(net.jit_compile)})
    for line in sys.stdin:
        before = os.times()
        seconds = [step(net, pixels, labels) for _ in range(int(line))]
        after = os.times()
        say(seconds=seconds, cpu=after.user + after.system - before.user - before.system,
            peak_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


if __name__ == "__main__":
    main()
