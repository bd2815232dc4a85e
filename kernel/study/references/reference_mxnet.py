"""MXNet 1.9 with Gluon as its tutorials use it.

https://mxnet.apache.org/versions/1.9.0/api/python/docs/tutorials/getting-started/crash-course/4-train.html (the loop)
https://mxnet.apache.org/versions/1.9.0/api/python/docs/tutorials/packages/gluon/blocks/hybridize.html (compiled blocks)
https://mxnet.apache.org/versions/1.9.1/api/faq/perf ("Intel CPU": oneDNN, OpenMP's threads)

Differences from them:
- the layers are Gluon's own in the order of the job's graph (`net_mxnet.py` says where they differ from PyTorch's), from
  the weights that all backends start from;
- images are loaded with Pillow in threads, since Gluon's `Resize` does not smooth; their order is the job's;
- net and loss are hybridized with `static_alloc` and `static_shape`;
- losses and hits are summed by the engine, and read for the progress line and at the end of a pass;
- batch size, epochs, optimiser, learning rate and threads are those of the study's job;
- no schedule, no best weights; the clock is read when the engine has computed all.
"""

import os
import sys

# OpenMP's threads, which the study sets, are those within an operation; the engine runs one operation at a time.
os.environ["MXNET_CPU_WORKER_NTHREADS"] = "1"

import mxnet as mx  # noqa: E402
import numpy as np  # noqa: E402
from mxnet import autograd, gluon  # noqa: E402
from safetensors.numpy import load_file  # noqa: E402

from common import JOB, NET, different, learned, part, run  # noqa: E402
from loop import Loop  # noqa: E402
from net_mxnet import Mask, Net  # noqa: E402

FLOATS = JOB["compute"]["precision"]


class MXNet(Loop):
    # It follows the biased variance of a batch on the processor.
    version, omitted, graph = mx.__version__, ["running_var"], "train"

    def __init__(self):
        super().__init__()
        if JOB["device"] != "cpu":
            sys.exit(f"MXNet {mx.__version__} of PyPI computes on the CPU only; the device must be cpu (got {JOB['device']})")
        mx.random.seed(JOB["seed"])
        self.masks, self.rate = [], JOB["learning_rate"]

    def build(self):
        with part("build_parts", "initialise"):
            self.net = Net(NET, JOB["freeze"])
            self.net.cast(FLOATS)
            self.net.initialize(mx.init.Zero())
            self.net.hybridize(static_alloc=True, static_shape=True)
            if NET["loss"] == "cross_entropy":
                self.loss = gluon.loss.SoftmaxCrossEntropyLoss()
            else:
                self.loss = gluon.loss.SigmoidBinaryCrossEntropyLoss()
            self.loss.hybridize(static_alloc=True, static_shape=True)
            self.make_trainer()
        with part("build_parts", "read"):
            self.net.set_weights(load_file(JOB["start"]))
            self.wait()

    def make_trainer(self):
        settings = JOB["optimizer"]
        name, how = settings["name"], {"learning_rate": self.rate}
        if name == "sgd":
            # MXNet's Nesterov is an optimiser of its own.
            name = "nag" if settings["nesterov"] else "sgd"
            how |= {"momentum": settings["momentum"], "wd": settings["weight_decay"]}
        elif name == "adam":
            how |= {"beta1": settings["beta1"], "beta2": settings["beta2"], "epsilon": settings["epsilon"]}
        else:
            how |= {"gamma1": settings["decay"], "epsilon": settings["epsilon"]}
        parameters = self.net.collect_params()
        trained = [value for value in parameters.values() if value.grad_req != "null"]
        self.trainer = gluon.Trainer(trained, name, how)

    def outcome(self, pixels, labels):
        """The output, and each image's loss."""
        output = self.net(mx.nd.array(pixels, dtype=FLOATS))
        return output, self.loss(output, labels)

    def hits(self, output, labels):
        found = output.reshape(-1) >= 0 if output.shape[1] == 1 else output.argmax(1)
        return (found == labels).sum()

    def numbers(self, output, loss, labels):
        """The mean loss and the hits, which the engine computes when it has time."""
        # Arrays of MXNet's NumPy interface become numbers by themselves.
        return loss.mean().as_np_ndarray(), self.hits(output, labels).as_np_ndarray()

    def learn(self, pixels, labels):
        labels = mx.nd.array(labels, dtype=FLOATS)
        with autograd.record():
            output, loss = self.outcome(pixels, labels)
        loss.backward()
        # Divides the gradients of the sum.
        self.trainer.step(len(pixels))
        return self.numbers(output, loss, labels)

    def evaluate(self, pixels, labels):
        labels = mx.nd.array(labels, dtype=FLOATS)
        output, loss = self.outcome(pixels, labels)
        return self.numbers(output, loss, labels)

    def predict(self, pixels):
        return self.net(mx.nd.array(pixels, dtype=FLOATS)).asnumpy()

    def wait(self):
        mx.nd.waitall()

    def trains(self):
        held = {value.name for value in self.trainer._params}
        return sorted(name for name, value in self.net.named.items() if value.name in held)

    def built_with(self):
        features = sorted(name for name, feature in mx.runtime.Features().items() if feature.enabled)
        return f"{mx.libinfo.__version__}, {' '.join(features)}, NumPy {np.__version__}"

    def deviations(self):
        settings, optimizer = JOB["optimizer"], self.trainer.optimizer
        names = {
            "sgd": {"momentum": settings.get("momentum"), "wd": settings.get("weight_decay")},
            "adam": {"beta1": settings.get("beta1"), "beta2": settings.get("beta2"), "wd": 0.0},
            "rmsprop": {"gamma1": settings.get("decay"), "wd": 0.0, "centered": False},
        }[settings["name"]]
        names |= {"lr": JOB["learning_rate"]} | ({"epsilon": settings["epsilon"]} if "epsilon" in settings else {})
        names |= {"clip_gradient": None}
        found = [
            words for name, value in names.items() for words in different(f"the optimiser's {name}", getattr(optimizer, name), value)
        ]
        kind = "nag" if settings.get("nesterov") else settings["name"]
        found += different("the optimiser", type(optimizer).__name__.lower(), kind)
        found += different("trainable parameters", self.trains(), learned())
        kinds = sorted({np.dtype(value.dtype).name for value in self.net.named.values()})
        found += different("the type of the numbers", kinds, [FLOATS])
        return found + different("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS"), str(JOB["threads"]))

    def dropouts(self):
        layers = enumerate(NET["layers"])
        return [(index, self.net.made[index]) for index, layer in layers if layer["operation"]["type"] == "dropout"]

    def dropped(self):
        ones = mx.nd.ones((100, 1000), dtype=FLOATS)
        with autograd.train_mode():
            return [[layer(ones).asnumpy() for _ in range(2)] for _, layer in self.dropouts()]

    def set_masks(self, masks):
        if masks and not self.masks:
            self.masks = [Mask(mask, FLOATS) for mask in masks]
            for (index, _), block in zip(self.dropouts(), self.masks, strict=True):
                self.net.replace(index, block)
            self.net.hybridize(static_alloc=True, static_shape=True)
        for block, mask in zip(self.masks, masks, strict=True):
            block.factors.set_data(mx.nd.array(mask, dtype=FLOATS))

    def weights(self):
        return {name: value.data().asnumpy() for name, value in self.net.named.items()}

    def scale_rate(self, factor):
        self.rate *= factor

    def start_from(self, arrays):
        self.net.set_weights(arrays)
        # The optimiser's memory is the trainer's.
        self.make_trainer()

    def logits(self, pixels):
        return self.predict(pixels)

    def gradients(self, pixels, labels):
        with autograd.record():
            _, loss = self.outcome(pixels, mx.nd.array(labels, dtype=FLOATS))
        loss.backward()
        return {name: self.net.named[name].grad().asnumpy() / len(pixels) for name in self.trains()}

    def step(self, pixels, labels):
        return float(self.learn(pixels, labels)[0])


if __name__ == "__main__":
    run(MXNet())
