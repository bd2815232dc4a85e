//! The libraries that run as programs of their own.

use super::{File, Program, Python, Reference};
use benchbook_backend::{About, Compute, Convention, Precision};

/// What `environment/references` installs by itself.
const INSTALL: &str = "environment/references";

/// Every Python program imports it.
const COMMON: File = ("common.py", include_str!("../../references/common.py"));

/// All Python libraries.
pub static PYTHON: &[&Reference] = &[
    &PYTORCH,
    &PYTORCH_COMPILE,
    &KERAS,
    &KERAS_JIT,
    &KERAS_NO_JIT,
    &KERAS_JAX,
    &KERAS_PYTORCH,
];

/// PyTorch's tutorials.
pub static PYTORCH: Reference =
    pytorch("python-pytorch", "PyTorch", [0x7e, 0x1f, 0x56], INSTALL, &[]);

/// The same program with a compiled model.
pub static PYTORCH_COMPILE: Reference = pytorch(
    "python-pytorch-compile",
    "PyTorch compiled",
    [0xb3, 0x5d, 0x9a],
    "environment/references python-pytorch-compile",
    &[("compile", "yes")],
);

/// Keras' tutorials, on TensorFlow, where Keras itself chooses whether XLA compiles: on a processor it does not.
pub static KERAS: Reference = keras(
    "python-keras",
    "Keras",
    [0x12, 0xb8, 0x86],
    INSTALL,
    &["keras", "tensorflow"],
    &[("engine", "tensorflow"), ("jit_compile", "auto")],
);

/// The same program, compiled by XLA.
pub static KERAS_JIT: Reference = keras(
    "python-keras-jit",
    "Keras with jit_compile",
    [0x0b, 0x6e, 0x4f],
    INSTALL,
    &["keras", "tensorflow"],
    &[("engine", "tensorflow"), ("jit_compile", "yes")],
);

/// The same program, not compiled by XLA.
pub static KERAS_NO_JIT: Reference = keras(
    "python-keras-no-jit",
    "Keras without jit_compile",
    [0x7a, 0xd6, 0xb5],
    INSTALL,
    &["keras", "tensorflow"],
    &[("engine", "tensorflow"), ("jit_compile", "no")],
);

/// The same program on JAX, which compiles.
pub static KERAS_JAX: Reference = keras(
    "python-keras-jax",
    "Keras on JAX",
    [0x5c, 0x6b, 0xc0],
    "environment/references python-keras-jax",
    &["keras", "tensorflow", "jax"],
    &[("engine", "jax"), ("jit_compile", "auto")],
);

/// The same program on PyTorch, which does not compile by itself.
pub static KERAS_PYTORCH: Reference = keras(
    "python-keras-pytorch",
    "Keras on PyTorch",
    [0xd8, 0x1b, 0x60],
    INSTALL,
    &["keras", "tensorflow", "torch"],
    &[("engine", "torch"), ("jit_compile", "auto")],
);

const fn pytorch(
    id: &'static str,
    name: &'static str,
    colour: [u8; 3],
    install: &'static str,
    variant: &'static [(&'static str, &'static str)],
) -> Reference {
    Reference {
        about: About { id, name, language: "Python", colour, install, variables: &[] },
        convention: Convention::PyTorch,
        supports: |_, _| Ok(()),
        program: Program::Python(Python {
            environment: "",
            packages: &["torch", "torchvision"],
            version: None,
            files: &[
                ("reference_pytorch.py", include_str!("../../references/reference_pytorch.py")),
                ("net_pytorch.py", include_str!("../../references/net_pytorch.py")),
                COMMON,
            ],
        }),
        variant,
    }
}

const fn keras(
    id: &'static str,
    name: &'static str,
    colour: [u8; 3],
    install: &'static str,
    packages: &'static [&'static str],
    variant: &'static [(&'static str, &'static str)],
) -> Reference {
    Reference {
        about: About { id, name, language: "Python", colour, install, variables: &[] },
        convention: Convention::Keras,
        supports: supported_by_keras,
        program: Program::Python(Python {
            environment: "",
            packages,
            version: None,
            files: &[
                ("reference_keras.py", include_str!("../../references/reference_keras.py")),
                ("net_keras.py", include_str!("../../references/net_keras.py")),
                COMMON,
            ],
        }),
        variant,
    }
}

fn supported_by_keras(compute: &Compute, on_gpu: bool) -> Result<(), &'static str> {
    let Compute { precision, tf32_matmul, tf32_convolutions, cudnn_benchmark, .. } = *compute;
    let free = if on_gpu {
        // There is one switch for both kinds of TF32, and cuDNN always tries its algorithms.
        let tf32_matmul = tf32_convolutions;
        Compute { tf32_matmul, tf32_convolutions, cudnn_benchmark: true, ..Compute::default() }
    } else {
        Compute { tf32_matmul, tf32_convolutions, cudnn_benchmark, ..Compute::default() }
    };
    let precision = match precision {
        Precision::Float64 => precision,
        Precision::Float32 | Precision::BFloat16 | Precision::Float16 => Precision::Float32,
    };
    let free = Compute { precision, ..free };
    let reason = "a build.compute other than TensorFlow's own (on a GPU cudnn_benchmark, and one switch for TF32)";
    if *compute == free { Ok(()) } else { Err(reason) }
}
