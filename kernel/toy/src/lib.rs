//! An example backend: plain loops on one thread of the CPU, for nets of convolutions, dense layers, ReLU, max
//! pooling, flattening and dropout. `CONTRIBUTING.md` shows how it was added.

mod layer;
mod loss;
mod net;
mod optimizer;

use benchbook_backend::{
    About, Backend, BackendError, Compute, Device, Network, Parameters, Plan, Precision,
    without_code, without_ranks,
};

const NAME: &str = "Toy";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The backend.
#[derive(Clone, Copy, Debug)]
pub struct Toy;

impl Backend for Toy {
    fn about(&self) -> &'static About {
        &About {
            id: "toy",
            name: NAME,
            language: "Rust",
            colour: [0xcc, 0x00, 0x00],
            install: "cargo test",
            variables: &[],
        }
    }

    fn installed(&self) -> Result<String, BackendError> {
        Ok(VERSION.into())
    }

    fn supports(&self, plan: &Plan) -> Result<(), BackendError> {
        without_code(&plan.net, NAME)?;
        without_ranks(plan, NAME)?;
        plan.net.layers().iter().try_for_each(layer::check)?;
        check_device(plan.device)?;
        let Compute { precision, channels_last, pinned_memory, asynchronous_copies, .. } =
            plan.compute;
        let refused = |option, expected, found| {
            Err(BackendError::Option { library: NAME.into(), option, expected, found })
        };
        if precision != Precision::Float32 {
            return refused("precision", "Float32", format!("{precision:?}"));
        }
        for (option, is_set) in [
            ("channels_last", channels_last),
            ("pinned_memory", pinned_memory),
            ("asynchronous_copies", asynchronous_copies),
        ] {
            if is_set {
                return refused(option, "false", "true".into());
            }
        }
        Ok(())
    }

    fn upload(&self, _values: &[f32], device: Device) -> Result<(), BackendError> {
        check_device(device)
    }

    fn build(&self, plan: &Plan, weights: &Parameters) -> Result<Box<dyn Network>, BackendError> {
        self.supports(plan)?;
        Ok(Box::new(net::Net::new(plan, weights)?))
    }
}

fn check_device(device: Device) -> Result<(), BackendError> {
    match device {
        Device::Auto | Device::Cpu => Ok(()),
        Device::Cuda(_) => {
            Err(BackendError::Device { library: NAME, device, found: "it has only the CPU".into() })
        }
    }
}
