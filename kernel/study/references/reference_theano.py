"""Theano (the fork theano-pymc) as its tutorials use it.

https://github.com/lisa-lab/DeepLearningTutorials (code/convolutional_mlp.py: one compiled function for a training step,
  with updates of shared variables; another for validation)
https://lasagne.readthedocs.io/en/latest/user/tutorial.html (the loop, dropout, and the formulas of the optimisers)

Differences from them:
- the operations are Theano's own in the order of the job's graph, from the weights that all backends start from;
- images are loaded batch by batch with Pillow in threads, since they need not fit into memory; their order is the job's;
- products of matrices go to the OpenBLAS of SciPy's wheel, with the job's threads;
- what Theano compiles is kept in the study's folder, so the first run of a study has a longer phase `build`;
- batch size, epochs, optimiser, learning rate and threads are those of the study's job;
- no schedule, no best weights; the clock is read at the ends of the phases.
"""

import ctypes
import glob
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import scipy
from safetensors.numpy import load_file

from common import JOB, NET, different, dropouts, learned, part, run

FLOATS = JOB["compute"]["precision"]
# SciPy's OpenBLAS has the plain names that Theano calls; NumPy's has others.
LIBRARIES = Path(scipy.__file__).parents[1] / "scipy.libs"
(BLAS,) = glob.glob(str(LIBRARIES / "libopenblas*.so"))
FLAGS = {
    "device": "cpu",
    "floatX": FLOATS,
    "blas__ldflags": f"-L{LIBRARIES} -l:{Path(BLAS).name}",
    "openmp": JOB["threads"] > 1,
    # Keeps memory between steps, which Theano's documentation advises for speed.
    "allow_gc": False,
    "base_compiledir": Path(sys.argv[1]).parent / "theano",
}
# What Theano compiles finds the library that is loaded already.
ctypes.CDLL(BLAS, ctypes.RTLD_GLOBAL)
os.environ["THEANO_FLAGS"] = ",".join(f"{name}={value}" for name, value in FLAGS.items())

import theano  # noqa: E402
import theano.tensor as tt  # noqa: E402
from theano.sandbox.rng_mrg import MRG_RandomStream  # noqa: E402
from theano.tensor.elemwise import Elemwise  # noqa: E402

from loop import Loop  # noqa: E402
from net_theano import Net  # noqa: E402

# With OpenMP theano-pymc 1.1.2 writes the name of this setting into its C code instead of the value, which does not
# compile (a missing `f` in `theano/tensor/elemwise.py`; Theano 1.0 wrote the value).
written_by_theano, minimum = Elemwise._c_all, str(theano.config.openmp_elemwise_minsize)


def _c_all(self, *arguments):
    parts = written_by_theano(self, *arguments)
    return tuple(part.replace("{int(config.openmp_elemwise_minsize)}", minimum) for part in parts)


Elemwise._c_all = _c_all


def updates_of(values, gradients, rate):
    """The optimiser: updates of the values, and its own memory."""
    settings, memory, updates = JOB["optimizer"], [], []

    def remembered(like):
        memory.append(theano.shared(np.zeros_like(like.get_value(borrow=True))))
        return memory[-1]

    if settings["name"] == "adam":
        steps = remembered(theano.shared(np.zeros((), FLOATS)))
        updates.append((steps, steps + 1))
        first, second = (np.array(settings[name], FLOATS) for name in ("beta1", "beta2"))
        scaled = rate * tt.sqrt(1 - second ** (steps + 1)) / (1 - first ** (steps + 1))
    for value, gradient in zip(values, gradients):
        if settings["name"] == "sgd":
            if settings["weight_decay"]:
                gradient = gradient + np.array(settings["weight_decay"], FLOATS) * value
            step = -rate * gradient
            if settings["momentum"]:
                velocity, momentum = remembered(value), np.array(settings["momentum"], FLOATS)
                moved = momentum * velocity + step
                updates.append((velocity, moved))
                step = momentum * moved + step if settings["nesterov"] else moved
        elif settings["name"] == "adam":
            mean, square = remembered(value), remembered(value)
            new_mean, new_square = first * mean + (1 - first) * gradient, second * square + (1 - second) * gradient**2
            updates += [(mean, new_mean), (square, new_square)]
            step = -scaled * new_mean / (tt.sqrt(new_square) + np.array(settings["epsilon"], FLOATS))
        else:
            square, decay = remembered(value), np.array(settings["decay"], FLOATS)
            new_square = decay * square + (1 - decay) * gradient**2
            updates.append((square, new_square))
            step = -rate * gradient / tt.sqrt(new_square + np.array(settings["epsilon"], FLOATS))
        updates.append((value, value + step))
    return updates, memory


class Theano(Loop):
    version, omitted, graph = theano.__version__, [], "build"

    def __init__(self):
        super().__init__()
        if JOB["device"] != "cpu":
            sys.exit(f"theano-pymc computes on the CPU only; the device must be cpu (got {JOB['device']})")
        # A seed of 0 is refused.
        self.random, self.masks = MRG_RandomStream(JOB["seed"] + 1), []
        self.rate = theano.shared(np.array(JOB["learning_rate"], FLOATS))

    def build(self):
        with part("build_parts", "initialise"):
            self.net = Net(NET, JOB["freeze"])
            self.pixels, self.labels = tt.tensor4("pixels", FLOATS), tt.lvector("labels")
            output, _ = self.net.output(self.pixels)
            self.compute_logits = theano.function([self.pixels], output)
            self.compute_loss = theano.function([self.pixels, self.labels], list(self.net.loss(output, self.labels)))
            self.make_step()
        with part("build_parts", "read"):
            self.net.set_weights(load_file(JOB["start"]))

    def dropout(self, layer, x):
        """Keeps some of the values at random."""
        kept = 1 - layer["operation"]["rate"]
        return x * self.random.binomial(x.shape, p=kept, dtype=FLOATS) / np.array(kept, FLOATS)

    def given(self, layer, x):
        """Multiplies by given factors."""
        return x * self.masks[dropouts().index(layer)]

    def make_step(self):
        """Compiles the step of training, and how its gradients are computed."""
        output, moved = self.net.output(self.pixels, self.given if self.masks else self.dropout)
        loss, hits = self.net.loss(output, self.labels)
        values = [self.net.named[name] for name in learned()]
        self.computed_gradients = theano.grad(loss, values)
        updates, self.memory = updates_of(values, self.computed_gradients, self.rate)
        self.compute_step = theano.function([self.pixels, self.labels], [loss, hits], updates=updates + moved)

    def learn(self, pixels, labels):
        return self.compute_step(pixels.astype(FLOATS, copy=False), labels)

    def evaluate(self, pixels, labels):
        return self.compute_loss(pixels.astype(FLOATS, copy=False), labels)

    def predict(self, pixels):
        return self.compute_logits(pixels.astype(FLOATS, copy=False))

    def wait(self):
        """Theano returns when it has computed."""

    def trains(self):
        return learned()

    def built_with(self):
        compiler = subprocess.run([theano.config.cxx, "--version"], capture_output=True, text=True, check=True)
        return f"{compiler.stdout.splitlines()[0]}, {Path(BLAS).name}, NumPy {np.__version__}"

    def deviations(self):
        kinds = sorted({variable.dtype for variable in self.net.named.values()})
        found = different("the type of the numbers", kinds, [FLOATS])
        return found + different("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS"), str(JOB["threads"]))

    def dropped(self):
        ones = tt.ones((100, 1000), FLOATS)
        compute = [theano.function([], self.dropout(layer, ones)) for layer in dropouts()]
        return [[function() for _ in range(2)] for function in compute]

    def set_masks(self, masks):
        if masks and not self.masks:
            self.masks = [theano.shared(mask.astype(FLOATS)) for mask in masks]
            self.make_step()
        for variable, mask in zip(self.masks, masks, strict=True):
            variable.set_value(mask.astype(FLOATS))

    def weights(self):
        return self.net.weights()

    def scale_rate(self, factor):
        self.rate.set_value(self.rate.get_value() * np.array(factor, FLOATS))

    def start_from(self, arrays):
        self.net.set_weights(arrays)
        for variable in self.memory:
            variable.set_value(np.zeros_like(variable.get_value(borrow=True)))

    def logits(self, pixels):
        return self.predict(pixels)

    def gradients(self, pixels, labels):
        compute = theano.function([self.pixels, self.labels], self.computed_gradients)
        arrays = compute(pixels.astype(FLOATS), labels)
        return {name: array.T if array.ndim == 2 else array for name, array in zip(learned(), arrays, strict=True)}

    def step(self, pixels, labels):
        return float(self.learn(pixels, labels)[0])


if __name__ == "__main__":
    run(Theano())
