//! The backend TensorFlow: supported operations, settings and devices.

use crate::graph::Graph;
use crate::library;
use crate::library::{Library, LoadError};
use crate::net::TensorFlowNet;
use crate::session::{Config, Session};
use crate::tensor::Tensor;
use benchbook_backend::{
    About, Backend, BackendError, Compute, Device, Network, Parameters, Plan, Precision, cuda,
    without_code, without_ranks,
};
use benchbook_nets::Layer;

pub(crate) const NAME: &str = "TensorFlow";

/// TensorFlow through its C API. The library is found and opened when it is first needed.
#[derive(Clone, Copy, Debug)]
pub struct TensorFlow;

impl Backend for TensorFlow {
    fn about(&self) -> &'static About {
        &About {
            id: "tensorflow",
            name: NAME,
            language: "Rust",
            colour: [0xe6, 0x9f, 0x00],
            install: "environment/tensorflow",
            // By default, TensorFlow uses oneDNN depending on the CPU. PyTorch by default is not
            // bit-reproducible either, which on a GPU may be faster.
            variables: &[
                ("TF_CPP_MIN_LOG_LEVEL", "2"),
                ("TF_DETERMINISTIC_OPS", "0"),
                ("TF_ENABLE_ONEDNN_OPTS", "1"),
            ],
        }
    }

    fn installed(&self) -> Result<String, BackendError> {
        library::find().map(|path| path.display().to_string()).map_err(unavailable)
    }

    fn supports(&self, plan: &Plan) -> Result<(), BackendError> {
        without_code(&plan.net, NAME)?;
        without_ranks(plan, NAME)?;
        let too_large = |layer: &&Layer| i32::try_from(layer.output.len()).is_err();
        if let Some(Layer { name, output, .. }) = plan.net.layers().iter().find(too_large) {
            let reason = format!("its output {output} has more than {} values", i32::MAX);
            return Err(BackendError::Operation { library: NAME, layer: name.clone(), reason });
        }
        match plan.device {
            Device::Cuda(number) if number > 0 => Err(no_second_gpu(plan.device)),
            Device::Cuda(_) => check_compute(&plan.compute, true),
            Device::Cpu | Device::Auto => check_compute(&plan.compute, false),
        }
    }

    fn upload(&self, values: &[f32], device: Device) -> Result<(), BackendError> {
        let library = Library::load().map_err(unavailable)?;
        let config = Config { gpu: uses_gpu(library, device)?, threads: 1 };
        let mut graph = Graph::new(&library.api);
        let input = graph.placeholder(&[-1])?;
        let copy = graph.apply(c"Identity", &[input])?;
        let session = Session::new(&graph, config)?;
        let tensor = Tensor::floats(&library.api, &[values.len()], values);
        session.run("copying a batch", &[(input, tensor)], &[], &[copy.operation]).map(drop)
    }

    fn build(&self, plan: &Plan, weights: &Parameters) -> Result<Box<dyn Network>, BackendError> {
        self.supports(plan)?;
        let library = Library::load().map_err(unavailable)?;
        let gpu = uses_gpu(library, plan.device)?;
        check_compute(&plan.compute, gpu)?;
        // Before the net, since the first operation on a GPU may read it.
        if !library.allow_tf32(plan.compute.tf32_convolutions) && gpu {
            let expected = "this release's own behaviour, since it has no switch";
            let found = plan.compute.tf32_convolutions.to_string();
            return Err(refused(gpu, "tf32_convolutions", expected, found));
        }
        Ok(Box::new(TensorFlowNet::new(library, plan, gpu, weights)?))
    }
}

fn unavailable(source: LoadError) -> BackendError {
    BackendError::Unavailable { source: source.into() }
}

/// Whether this device is the first GPU. An error if another library in the process uses CUDA.
fn uses_gpu(library: &'static Library, device: Device) -> Result<bool, BackendError> {
    if device != Device::Cpu && library.has_cuda() {
        cuda::claim(NAME)?;
    }
    match device {
        Device::Cpu => Ok(false),
        Device::Auto => Ok(library.gpus()? > 0),
        Device::Cuda(_) if library.gpus()? == 0 => {
            let found = "it finds no CUDA GPU, or is a build without CUDA";
            Err(BackendError::Device { library: NAME, device, found: found.into() })
        }
        Device::Cuda(0) => Ok(true),
        Device::Cuda(_) => Err(no_second_gpu(device)),
    }
}

/// A session's choice of GPUs holds for the process, and gradients cannot be placed one by one.
fn no_second_gpu(device: Device) -> BackendError {
    let found = "it has only cuda:0; set CUDA_VISIBLE_DEVICES to choose which GPU that is";
    BackendError::Device { library: NAME, device, found: found.into() }
}

fn refused(gpu: bool, option: &'static str, expected: &'static str, found: String) -> BackendError {
    let library = format!("{NAME} on {}", if gpu { "a GPU" } else { "the CPU" });
    BackendError::Option { library, option, expected, found }
}

/// Refuses settings that TensorFlow lacks. Its maps always have the channel changing fastest.
fn check_compute(compute: &Compute, gpu: bool) -> Result<(), BackendError> {
    let Compute { precision, tf32_matmul, tf32_convolutions, cudnn_benchmark, .. } = *compute;
    if !matches!(precision, Precision::Float32 | Precision::Float64) {
        return Err(refused(gpu, "precision", "Float32 or Float64", format!("{precision:?}")));
    }
    for (option, wanted) in [
        ("pinned_memory", compute.pinned_memory),
        ("asynchronous_copies", compute.asynchronous_copies),
    ] {
        if wanted {
            return Err(refused(gpu, option, "false", "true".into()));
        }
    }
    if gpu && tf32_matmul != tf32_convolutions {
        let expected = "equal to tf32_convolutions, since both have one switch";
        return Err(refused(gpu, "tf32_matmul", expected, tf32_matmul.to_string()));
    }
    if gpu && !cudnn_benchmark {
        let expected = "true, since it always tries several algorithms";
        return Err(refused(gpu, "cudnn_benchmark", expected, "false".into()));
    }
    Ok(())
}
