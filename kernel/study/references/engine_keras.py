"""What Keras' engines (its word is backends) do each in their own way: devices, threads, gradients, and what they say of
themselves. The job's variant names the engine, which is chosen before Keras is imported, and what reads the images:
tf.data for TensorFlow; torchvision for the others, which need no TensorFlow.
"""

import functools
import hashlib
import importlib
import json
import os
import sys
from pathlib import Path

from common import JOB, different

NAME, DEVICE, THREADS = JOB["variant"]["engine"], JOB["device"], JOB["threads"]
# Whatever the environment and ~/.keras/keras.json say.
os.environ["KERAS_BACKEND"] = NAME
os.environ["KERAS_TORCH_DEVICE"] = DEVICE
# The threads of XLA on a processor; JAX has no other switch for them.
os.environ["NPROC"] = str(THREADS)

import keras  # noqa: E402
from keras.src.backend.common import dtypes  # noqa: E402

if JOB["compute"]["precision"] == "float64":
    # But on TensorFlow, Keras makes 32-bit floats of the product of two matrices of 64-bit floats.
    dtypes.BIT64_TO_BIT32_DTYPE["float64"] = "float64"


def checksum(text):
    return hashlib.sha256(text.encode()).hexdigest()[:12]


class TensorFlow:
    # Keras leaves XLA out where TensorFlow sees no GPU. A run on the processor of a machine with one does the same.
    compiles = DEVICE != "cpu"

    def __init__(self):
        import tensorflow as tf

        self.tf, self.version = tf, f"TensorFlow {tf.__version__}"
        tf.config.threading.set_intra_op_parallelism_threads(THREADS)
        # By itself TensorFlow takes the first GPU where there is one, and the processor where there is none.
        gpus = tf.config.list_physical_devices("GPU")
        chosen = [] if DEVICE == "cpu" else gpus[int(DEVICE.removeprefix("cuda:")) :][:1]
        if DEVICE != "cpu" and not chosen:
            sys.exit(f"{self.version} sees {len(gpus)} GPUs, none for {DEVICE}; tensorflow[and-cuda] has CUDA")
        tf.config.set_visible_devices(chosen, "GPU")
        tf.config.experimental.enable_tensor_float_32_execution(JOB["compute"]["tf32_convolutions"])

    def build(self):
        build = json.dumps(dict(self.tf.sysconfig.get_build_info()), sort_keys=True, default=str)
        return f"{checksum(build)}, {self.tf.version.GIT_VERSION}"

    def threads(self):
        return self.tf.config.threading.get_intra_op_parallelism_threads()

    def gradients(self, model, pixels, labels):
        @self.tf.function(jit_compile=model.jit_compile)
        def compute():
            with self.tf.GradientTape() as tape:
                loss = model.compute_loss(pixels, labels, model(pixels, training=True))
            return tape.gradient(loss, [variable.value for variable in model.trainable_variables])

        return compute()


class Jax:
    compiles = True

    def __init__(self):
        import jax

        self.jax, self.version = jax, f"JAX {jax.__version__}"
        jax.config.update("jax_enable_x64", JOB["compute"]["precision"] == "float64")
        tf32 = JOB["compute"]["tf32_convolutions"]
        jax.config.update("jax_default_matmul_precision", "tensorfloat32" if tf32 else "float32")
        jax.config.update("jax_platforms", DEVICE.split(":")[0])
        try:
            number = 0 if DEVICE == "cpu" else int(DEVICE.removeprefix("cuda:"))
            jax.config.update("jax_default_device", jax.devices()[number])
        except (RuntimeError, IndexError) as error:
            sys.exit(f"{self.version} has no device {DEVICE} ({error}); jax[cuda13] has CUDA")

    def build(self):
        import jaxlib

        return f"jaxlib {jaxlib.__version__}"

    def threads(self):
        names = (task.read_text() for task in Path("/proc/self/task").glob("*/comm"))
        return sum(name.startswith("tf_XLAEigen") for name in names)

    def gradients(self, model, pixels, labels):
        loss = functools.partial(model.compute_loss_and_updates, training=True)
        kinds = (model.trainable_variables, model.non_trainable_variables, model.metrics_variables)
        state = [[variable.value for variable in variables] for variables in kinds]
        optimizer = [variable.value for variable in model.optimizer.variables]
        compute = self.jax.jit(self.jax.grad(loss, has_aux=True))
        return compute(*state, pixels, labels, None, optimizer_variables=optimizer)[0]


class Torch:
    compiles = False

    def __init__(self):
        import torch

        self.torch, self.version = torch, f"PyTorch {torch.__version__}"
        torch.set_num_threads(THREADS)
        torch.backends.cuda.matmul.allow_tf32 = JOB["compute"]["tf32_matmul"]
        torch.backends.cudnn.allow_tf32 = JOB["compute"]["tf32_convolutions"]
        torch.backends.cudnn.benchmark = JOB["compute"]["cudnn_benchmark"]
        torch.zeros(1, device=DEVICE)

    def build(self):
        version = self.torch.version.git_version[:12]
        return f"{checksum(self.torch.__config__.show())}, commit {version}"

    def threads(self):
        return self.torch.get_num_threads()

    def gradients(self, model, pixels, labels):
        model.zero_grad()
        model.compute_loss(pixels, labels, model(pixels, training=True)).backward()
        return [variable.value.grad for variable in model.trainable_variables]


def start():
    """The engine, set to the job's device and threads."""
    return {"tensorflow": TensorFlow, "jax": Jax, "torch": Torch}[NAME]()


def images():
    """The module that reads images for the engine."""
    return importlib.import_module("images_tensorflow" if NAME == "tensorflow" else "images_threads")


def jit_compile(engine):
    """Whether Keras compiles its steps: with XLA, or on PyTorch with `torch.compile`."""
    return {"auto": engine.compiles, "yes": True, "no": False}[JOB["variant"]["jit_compile"]]


def deviations(engine, model):
    """What differs from the variant."""
    # Keras itself leaves compiling out where a layer does not allow it.
    found = different("jit_compile", model.jit_compile, jit_compile(engine))
    found += different("the backend of Keras", keras.backend.backend(), NAME)
    return found + different("the number of threads", engine.threads(), THREADS)
