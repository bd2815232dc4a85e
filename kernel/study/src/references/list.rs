//! The list of libraries that run as separate programs.

use super::{File, Program, Python, Reference};
use benchbook_backend::{About, Compute, Convention, Precision};

/// The command for the default environment.
const INSTALL: &str = "environment/references";

/// Imported by every Python program.
const COMMON: File = ("common.py", include_str!("../../references/common.py"));

/// The training loop for libraries that do not have one.
const LOOP: File = ("loop.py", include_str!("../../references/loop.py"));

/// Images for Keras on engines other than TensorFlow, decoded by torchvision.
const IMAGES: File =
    ("images_torchvision.py", include_str!("../../references/images_torchvision.py"));

/// All Python libraries.
pub static PYTHON: &[&Reference] = &[
    &PYTORCH,
    &PYTORCH_COMPILE,
    &KERAS,
    &KERAS_JIT,
    &KERAS_NO_JIT,
    &KERAS_JAX,
    &KERAS_PYTORCH,
    &THEANO,
    &MXNET,
];

/// PyTorch's tutorials.
pub static PYTORCH: Reference =
    pytorch("python-pytorch", "PyTorch", [0x7e, 0x1f, 0x56], INSTALL, &[]);

/// The same program with a compiled model.
pub static PYTORCH_COMPILE: Reference = pytorch(
    "python-pytorch-compile",
    "PyTorch compiled",
    [0xfc, 0x19, 0xff],
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
    [0x46, 0x1e, 0x03],
    INSTALL,
    &["keras", "tensorflow"],
    &[("engine", "tensorflow"), ("jit_compile", "yes")],
);

/// The same program, not compiled by XLA.
pub static KERAS_NO_JIT: Reference = keras(
    "python-keras-no-jit",
    "Keras without jit_compile",
    [0xa5, 0xac, 0x58],
    INSTALL,
    &["keras", "tensorflow"],
    &[("engine", "tensorflow"), ("jit_compile", "no")],
);

/// The same program on JAX, which compiles.
pub static KERAS_JAX: Reference = {
    let mut jax = keras(
        "python-keras-jax",
        "Keras on JAX",
        [0x7f, 0x02, 0xf9],
        "environment/references python-keras-jax",
        &["keras", "jax", "torch", "torchvision"],
        &[("engine", "jax"), ("jit_compile", "auto")],
    );
    // Otherwise JAX takes three quarters of a GPU's memory at once, and its peak says nothing.
    jax.about.variables = &[("XLA_PYTHON_CLIENT_PREALLOCATE", "false")];
    jax
};

/// The same program on PyTorch, which does not compile by itself.
pub static KERAS_PYTORCH: Reference = keras(
    "python-keras-pytorch",
    "Keras on PyTorch",
    [0xb2, 0x64, 0x9b],
    INSTALL,
    &["keras", "torch", "torchvision"],
    &[("engine", "torch"), ("jit_compile", "auto")],
);

/// Theano's fork theano-pymc, the last one with that name.
pub static THEANO: Reference = processor_only(
    About {
        id: "python-theano",
        name: "Theano",
        language: "Python",
        colour: [0x00, 0x14, 0x17],
        install: "environment/references python-theano",
        variables: &[],
    },
    Python {
        environment: "-theano",
        packages: &["theano-pymc"],
        version: None,
        files: &[
            ("reference_theano.py", include_str!("../../references/reference_theano.py")),
            ("net_theano.py", include_str!("../../references/net_theano.py")),
            LOOP,
            COMMON,
        ],
    },
);

/// MXNet's Gluon.
pub static MXNET: Reference = processor_only(
    About {
        id: "python-mxnet",
        name: "MXNet",
        language: "Python",
        colour: [0x99, 0xaf, 0xe5],
        install: "environment/references python-mxnet",
        variables: &[],
    },
    Python {
        environment: "-mxnet",
        packages: &["mxnet"],
        version: None,
        files: &[
            ("reference_mxnet.py", include_str!("../../references/reference_mxnet.py")),
            ("net_mxnet.py", include_str!("../../references/net_mxnet.py")),
            LOOP,
            COMMON,
        ],
    },
);

/// A library whose packages compute on a processor. Its Adam and RMSprop are Keras' formulas.
const fn processor_only(about: About, python: Python) -> Reference {
    Reference {
        about,
        convention: Convention::Keras,
        supports: |compute, on_gpu| {
            let Compute { precision, channels_last, pinned_memory, .. } = *compute;
            match precision {
                _ if on_gpu => Err("support for GPUs"),
                Precision::BFloat16 | Precision::Float16 => Err("16-bit floats"),
                _ if channels_last => Err("channels_last"),
                _ if pinned_memory => Err("pinned_memory"),
                Precision::Float32 | Precision::Float64 => Ok(()),
            }
        },
        program: Program::Python(python),
        has_ranks: false,
        has_profile: false,
        variant: &[],
    }
}

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
                IMAGES,
                COMMON,
            ],
        }),
        // torch.compile has not been tried with DistributedDataParallel.
        has_ranks: variant.is_empty(),
        has_profile: true,
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
                ("engine_keras.py", include_str!("../../references/engine_keras.py")),
                ("net_keras.py", include_str!("../../references/net_keras.py")),
                ("images_tensorflow.py", include_str!("../../references/images_tensorflow.py")),
                ("images_threads.py", include_str!("../../references/images_threads.py")),
                IMAGES,
                COMMON,
            ],
        }),
        has_ranks: false,
        has_profile: false,
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
