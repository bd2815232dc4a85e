//! LibTorch through `tch`. Among the crates for training, only this one names its tensors.

mod code;
mod forward;
mod layout;
mod net;
mod optimizer;
mod ranks;
mod running;
mod scaler;
mod settings;
mod shim;

pub use code::{Code, Forward};

use benchbook_backend::{
    About, Backend, BackendError, Device as Requested, Network, Parameters, Plan, cuda,
    without_code,
};
use std::io::Write;
use std::path::Path;
use tch::{Cuda, Device, TchError, Tensor};

/// The version that `tch` supports. Its build script refuses others, and the server checks the
/// library before it starts a worker.
const VERSION: &str = "2.11.0";
const NAME: &str = "LibTorch";

/// The library.
#[derive(Clone, Copy, Debug)]
pub struct LibTorch;

/// Whether LibTorch can use a GPU here.
pub fn has_gpu() -> bool {
    Cuda::is_available()
}

impl Backend for LibTorch {
    fn about(&self) -> &'static About {
        &About {
            id: "libtorch",
            name: NAME,
            language: "Rust",
            colour: [0x00, 0x66, 0xb8],
            install: "benchbook setup",
            variables: &[],
        }
    }

    fn installed(&self) -> Result<String, BackendError> {
        // This crate is linked to it.
        Ok(VERSION.into())
    }

    /// LibTorch finds CUDA only if its CUDA library is loaded. A program that also runs without CUDA cannot link to it,
    /// so it is opened here. Without the file, this is a build for the CPU.
    fn load_cuda(&self) {
        let folder = std::env::var_os("BENCHBOOK_LIBTORCH_LIB").unwrap_or_default();
        let path = Path::new(&folder).join("libtorch_cuda.so");
        if folder.is_empty() || !path.exists() {
            return;
        }
        // SAFETY: libtorch's own library, whose initialisers only register operators.
        match unsafe { libloading::Library::new(&path) } {
            Ok(library) => {
                std::mem::forget(library);
                // The process has just started, so nothing else uses CUDA yet.
                let _ = cuda::claim(NAME);
            }
            Err(error) => {
                let message = format!("CUDA is not available: {}: {error}", path.display());
                let _ = writeln!(std::io::stderr(), "{message}");
            }
        }
    }

    fn supports(&self, plan: &Plan) -> Result<(), BackendError> {
        without_code(&plan.net, NAME)
    }

    fn upload(&self, values: &[f32], device: Requested) -> Result<(), BackendError> {
        let device = found(device)?;
        let copied = Tensor::f_from_slice(values).and_then(|t| t.f_to_device(device));
        let _resident = copied.map_err(failed("copying a batch"))?;
        synchronize(device)
    }

    fn build(&self, plan: &Plan, weights: &Parameters) -> Result<Box<dyn Network>, BackendError> {
        self.supports(plan)?;
        let device = found(plan.device)?;
        settings::prepare(plan, device)?;
        Ok(Box::new(net::Model::new(plan, device, weights)?))
    }
}

/// The device for the requested one.
fn found(device: Requested) -> Result<Device, BackendError> {
    if device != Requested::Cpu {
        cuda::is_free_for(NAME)?;
    }
    let count = usize::try_from(Cuda::device_count()).unwrap_or(0);
    match device {
        Requested::Cpu => Ok(Device::Cpu),
        Requested::Auto if count == 0 => Ok(Device::Cpu),
        Requested::Auto => Ok(Device::Cuda(0)),
        Requested::Cuda(index) if index < count => Ok(Device::Cuda(index)),
        Requested::Cuda(_) => Err(BackendError::Device {
            library: NAME,
            device,
            found: match count {
                0 if tch::utils::has_cuda() => "it finds no CUDA GPU".into(),
                0 => "it is a build without CUDA, or its CUDA part is not loaded".into(),
                count => format!("it has {count} CUDA GPUs, numbered from 0"),
            },
        }),
    }
}

/// Waits for the device. Returns errors of earlier asynchronous operations.
fn synchronize(device: Device) -> Result<(), BackendError> {
    match device {
        Device::Cuda(gpu) => shim::synchronize(gpu).map_err(failed("waiting for the GPU")),
        _ => Ok(()),
    }
}

/// Profiles LibTorch during `work` and writes the profile as JSON for `ui.perfetto.dev` and
/// `chrome://tracing`: operations and their allocations, and with `gpu` the GPU's kernels and
/// copies, for which `work` should wait. Python's `torch.profiler` writes the same.
///
/// # Errors
/// [`BackendError::Library`] if the file cannot be written (if it cannot be created, `work` does
/// not run), or the profiler fails.
pub fn profile(gpu: bool, file: &Path, work: &mut dyn FnMut()) -> Result<(), BackendError> {
    let unwritten = |why: String| {
        failed("writing a profile")(TchError::Torch(format!("{}: {why}", file.display())))
    };
    std::fs::File::create(file).map_err(|error| unwritten(error.to_string()))?;
    shim::begin_profile(gpu).map_err(failed("beginning a profile"))?;
    work();
    shim::end_profile(file).map_err(failed("writing a profile"))?;
    // LibTorch itself only prints write errors.
    match std::fs::metadata(file) {
        Ok(written) if written.len() > 0 => Ok(()),
        Ok(_) => Err(unwritten("the file is empty; is the disk full?".into())),
        Err(error) => Err(unwritten(error.to_string())),
    }
}

/// Converts an error of LibTorch and removes the C++ stack trace at its end.
fn failed(operation: &'static str) -> impl Fn(TchError) -> BackendError {
    move |error| {
        let text = match error {
            TchError::Torch(text) => text,
            other => other.to_string(),
        };
        let message = text.lines().take_while(|line| !line.starts_with("Exception raised from"));
        let message = message.collect::<Vec<_>>().join(" ");
        BackendError::Library { library: NAME, operation, message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use benchbook_backend::{Compute, Input, Optimizer, Precision, Step};
    use benchbook_nets::{Architecture, Head, Net, Vgg11};

    fn vgg(head: Head, batch_norm: bool) -> Vgg11 {
        Vgg11 { head, batch_norm, size: 32, ..Vgg11::new(2) }
    }

    fn build(vgg: &Vgg11, frozen: bool, seed: u64) -> Box<dyn Network> {
        build_for(vgg, frozen, seed, Compute::default())
    }

    fn build_for(vgg: &Vgg11, frozen: bool, seed: u64, compute: Compute) -> Box<dyn Network> {
        let plan = plan(vgg, frozen, compute);
        let weights = Parameters::initial(plan.net.parameters(), seed);
        LibTorch.build(&plan, &weights).unwrap()
    }

    fn plan(vgg: &Vgg11, frozen: bool, compute: Compute) -> Plan {
        let net = Net::new(vgg.graph()).unwrap();
        Plan { net, frozen, device: Requested::Cpu, threads: Some(2), ranks: 1, compute }
    }

    fn images(count: usize) -> (Vec<f32>, Vec<i64>) {
        // Dark images with a bright left half are class 1.
        let labels: Vec<i64> = (0..count as i64).map(|index| index % 2).collect();
        let pixels = labels.iter().enumerate().flat_map(|(index, label)| {
            (0..3 * 32 * 32).map(move |at| {
                let noise = ((index * 7919 + at * 104_729) % 97) as f32 / 970.0;
                if at % 32 < 16 && *label == 1 { 0.9 - noise } else { noise }
            })
        });
        (pixels.collect(), labels)
    }

    #[test]
    fn loss_stays_finite_and_falls_with_every_optimiser() {
        use benchbook_backend::Convention::{Keras, PyTorch};
        let (pixels, labels) = images(8);
        for (optimizer, rate) in [
            (Optimizer::momentum(0.9), 0.005),
            (Optimizer::adam(PyTorch), 1e-4),
            (Optimizer::adam(Keras), 1e-4),
            (Optimizer::rmsprop(PyTorch), 1e-5),
            (Optimizer::rmsprop(Keras), 1e-5),
        ] {
            let mut net = build(&vgg(Head::Keras, false), false, 1);
            net.compile(optimizer);
            let first = net.evaluate_step(Input::Values(&pixels), &labels).unwrap().loss;
            for seed in 0..6 {
                let step = Step::new(rate, seed);
                assert!(
                    net.train_step(Input::Values(&pixels), &labels, step).unwrap().loss.is_finite()
                );
            }
            let last = net.evaluate_step(Input::Values(&pixels), &labels).unwrap().loss;
            assert!(last < first, "{optimizer}: {first} to {last}");
        }
    }

    #[test]
    fn a_frozen_base_keeps_its_weights_and_its_features_stand_for_the_pixels() {
        let (pixels, labels) = images(4);
        for head in [Head::Keras, Head::PyTorch] {
            let mut net = build(&vgg(head, true), true, 2);
            net.compile(Optimizer::default());
            let before = net.parameters().unwrap();
            let features = net.features(&pixels, 4).unwrap();
            let direct = net.evaluate_step(Input::Values(&pixels), &labels).unwrap();
            let cached = net.evaluate_step(Input::Features(&features), &labels).unwrap();
            assert_eq!(direct, cached);
            net.train_step(Input::Values(&pixels), &labels, Step::new(1e-3, 0)).unwrap();
            let after = net.parameters().unwrap();
            for (name, array) in &before.arrays {
                let unchanged = *array == after.arrays[name];
                assert_eq!(unchanged, name.starts_with("features"), "{name}");
            }
        }
    }

    #[test]
    fn the_keras_head_flattens_rows_columns_channels() {
        // With a dense_1 that picks input (row · width + column) · 512 + channel, the logit is that
        // feature: computed by hand from the features in [channel, row, column] order.
        let net_64 = Vgg11 { size: 64, ..vgg(Head::Keras, false) };
        let plan = plan(&net_64, true, Compute::default());
        let (row, column, channel) = (1, 0, 37);
        let mut weights = Parameters::initial(plan.net.parameters(), 5);
        for name in ["dense_1.weight", "dense_2.weight", "dense_3.weight"] {
            let array = weights.arrays.get_mut(name).unwrap();
            array.values.fill(0.0);
            array.values
                [if name == "dense_1.weight" { (row * 2 + column) * 512 + channel } else { 0 }] =
                1.0;
        }
        let mut net = LibTorch.build(&plan, &weights).unwrap();
        let mut features = vec![0.0; 512 * 2 * 2];
        features[(channel * 2 + row) * 2 + column] = 1.5;
        let logit = net.logits(Input::Features(&features), 1).unwrap()[0];
        assert!((logit - 1.5).abs() < 1e-5, "{logit}");
    }

    #[test]
    fn a_loss_that_is_no_number_leaves_the_weights_alone() {
        let (pixels, labels) = images(2);
        let step = Step::new(1e-3, 0);
        for batch_norm in [false, true] {
            let mut net = build(&vgg(Head::PyTorch, batch_norm), false, 1);
            net.compile(Optimizer::default());
            net.train_step(Input::Values(&pixels), &labels, step).unwrap();
            let before = net.parameters().unwrap();
            let broken = vec![f32::NAN; pixels.len()];
            assert!(net.train_step(Input::Values(&broken), &labels, step).unwrap().loss.is_nan());
            assert_eq!(net.parameters().unwrap(), before);
        }
    }

    /// A GPU's training steps on the CPU, which supports the same operations.
    #[test]
    fn an_update_that_is_launched_before_its_loss_is_read_is_the_same_step() {
        let (pixels, labels) = images(4);
        let broken = vec![f32::NAN; pixels.len()];
        for optimizer in [Optimizer::momentum(0.9), Optimizer::default()] {
            let made = |defers| {
                let plan = plan(&vgg(Head::Keras, true), false, Compute::default());
                let weights = Parameters::initial(plan.net.parameters(), 1);
                let mut model = net::Model::new(&plan, Device::Cpu, &weights).unwrap();
                model.defers = defers;
                model.compile(optimizer);
                model
            };
            let [mut waits, mut launches] = [false, true].map(made);
            for seed in 0..2 {
                let step = Step::new(1e-4, seed);
                let losses = [&mut waits, &mut launches].map(|model| {
                    model.train_step(Input::Values(&pixels), &labels, step).unwrap().loss
                });
                assert!((losses[0] - losses[1]).abs() < 1e-4, "{optimizer}: {losses:?}");
            }
            let state = |model: &net::Model| {
                (model.parameters().unwrap(), model.optimizer_state().unwrap())
            };
            let before = state(&launches);
            let lost = launches.train_step(Input::Values(&broken), &labels, Step::new(1e-4, 2));
            assert!(lost.unwrap().loss.is_nan());
            assert_eq!(state(&launches), before, "{optimizer}");
        }
    }

    #[test]
    fn training_goes_on_identically_from_weights_and_optimiser_state() {
        let (pixels, labels) = images(4);
        let vgg = vgg(Head::Keras, true);
        let step = |net: &mut Box<dyn Network>, seed| {
            net.train_step(Input::Values(&pixels), &labels, Step::new(1e-4, seed)).unwrap().loss
        };
        let mut through = build(&vgg, false, 1);
        through.compile(Optimizer::default());
        step(&mut through, 0);
        let (weights, state) = (through.parameters().unwrap(), through.optimizer_state().unwrap());
        let uninterrupted = [step(&mut through, 1), step(&mut through, 2)];

        let mut resumed = build(&vgg, false, 99);
        resumed.compile(Optimizer::default());
        resumed.set_parameters(&weights).unwrap();
        resumed.set_optimizer_state(&state).unwrap();
        assert_eq!([step(&mut resumed, 1), step(&mut resumed, 2)], uninterrupted);
    }

    #[test]
    fn channels_last_computes_the_same_and_its_state_goes_into_files_in_the_usual_order() {
        let (pixels, labels) = images(4);
        let input = Input::Values(&pixels);
        let vgg = vgg(Head::PyTorch, false);
        let mut usual = build(&vgg, false, 3);
        let other = Compute { channels_last: true, ..Compute::default() };
        let mut last = build_for(&vgg, false, 3, other);
        assert_eq!(usual.parameters().unwrap(), last.parameters().unwrap());
        for net in [&mut usual, &mut last] {
            net.compile(Optimizer::default());
            net.train_step(input, &labels, Step::new(1e-4, 0)).unwrap();
        }
        let close = |a: &Parameters, b: &Parameters, tolerance: f32| {
            assert_eq!(a.arrays.len(), b.arrays.len());
            for (name, array) in &a.arrays {
                let other = &b.arrays[name];
                assert_eq!(array.shape, other.shape, "{name}");
                let largest = array.values.iter().fold(0.0_f32, |most, v| most.max(v.abs()));
                let apart = array.values.iter().zip(&other.values).map(|(x, y)| (x - y).abs());
                let apart = apart.fold(0.0_f32, f32::max);
                assert!(apart <= tolerance * largest, "{name}: {apart} of {largest}");
            }
        };
        // Summed in another order, the gradients differ by rounding alone.
        let gradients = |net: &mut Box<dyn Network>| net.gradients(input, &labels).unwrap();
        let (weights, state) = (usual.parameters().unwrap(), usual.optimizer_state().unwrap());
        close(&state, &last.optimizer_state().unwrap(), 1e-2);
        last.set_parameters(&weights).unwrap();
        last.set_optimizer_state(&state).unwrap();
        close(&gradients(&mut usual), &gradients(&mut last), 1e-3);
        assert_eq!(last.optimizer_state().unwrap(), state);
        let next = |net: &mut Box<dyn Network>| {
            net.train_step(input, &labels, Step::new(1e-4, 1)).unwrap();
            net.evaluate_step(input, &labels).unwrap().loss
        };
        let (a, b) = (next(&mut usual), next(&mut last));
        assert!((a - b).abs() < 1e-3 * a, "{a} {b}");
    }

    #[test]
    fn autocast_keeps_32_bit_weights_and_stays_near_32_bit_results() {
        let (pixels, labels) = images(4);
        let input = Input::Values(&pixels);
        for (precision, name) in
            [(Precision::BFloat16, "bfloat16 autocast"), (Precision::Float16, "float16 autocast")]
        {
            let vgg = vgg(Head::Keras, false);
            let compute = Compute { precision, ..Compute::default() };
            let mut short = build_for(&vgg, false, 1, compute);
            assert_eq!(short.info().precision, name);
            let mut long = build(&vgg, false, 1);
            let exact = long.evaluate_step(input, &labels).unwrap().loss;
            let near = short.evaluate_step(input, &labels).unwrap().loss;
            // bfloat16 keeps 8 bits, so a value has a relative error of up to 1/256; over eight layers, a few %.
            assert!(near != exact && (near - exact).abs() < 0.05 * exact, "{near} {exact}");
            short.compile(Optimizer::default());
            for seed in 0..2 {
                short.train_step(input, &labels, Step::new(1e-4, seed)).unwrap();
            }
            assert!(short.evaluate_step(input, &labels).unwrap().loss < near);
            let scaled = short.optimizer_state().unwrap().arrays.contains_key(scaler::NAME);
            assert_eq!(scaled, precision == Precision::Float16);
        }
    }

    #[test]
    fn class_weights_are_averaged_as_the_heads_library_does() {
        let (pixels, labels) = images(4);
        let input = Input::Values(&pixels);
        for (head, expected) in [
            // Labels 0, 1, 0, 1 with factors 1 and 3. Each image's loss l is measured alone.
            (
                Head::Keras,
                (|l: &[f64]| (l[0] + 3.0 * l[1] + l[2] + 3.0 * l[3]) / 4.0) as fn(&[f64]) -> f64,
            ),
            (Head::PyTorch, |l: &[f64]| (l[0] + 3.0 * l[1] + l[2] + 3.0 * l[3]) / 8.0),
        ] {
            let vgg = Vgg11 { dropout: 0.0, ..vgg(head, false) };
            let mut net = build(&vgg, false, 1);
            net.compile(Optimizer::sgd());
            let one = 3 * 32 * 32;
            let alone: Vec<f64> = (0..4)
                .map(|at| {
                    let picture = Input::Values(&pixels[at * one..(at + 1) * one]);
                    net.evaluate_step(picture, &labels[at..=at]).unwrap().loss
                })
                .collect();
            let step = Step { class_weights: Some(&[1.0, 3.0]), ..Step::new(0.0, 0) };
            let weighted = net.train_step(input, &labels, step).unwrap().loss;
            assert!((weighted - expected(&alone)).abs() < 1e-5, "{head}: {weighted} {alone:?}");
        }
    }

    #[test]
    fn what_a_cpu_does_not_have_is_refused_by_name() {
        for compute in [
            Compute { pinned_memory: true, ..Compute::default() },
            Compute { asynchronous_copies: true, ..Compute::default() },
        ] {
            let plan = plan(&vgg(Head::Keras, false), false, compute);
            let weights = Parameters::initial(plan.net.parameters(), 1);
            let refused = LibTorch.build(&plan, &weights).map(|_| ()).unwrap_err().to_string();
            assert!(refused.contains("must be false") && refused.contains("CPU"), "{refused}");
        }
    }

    #[test]
    fn a_profile_has_the_operations_of_a_step_with_their_times() {
        let (pixels, labels) = images(2);
        let mut net = build(&vgg(Head::Keras, false), false, 1);
        net.compile(Optimizer::momentum(0.9));
        let mut step = |seed| {
            net.train_step(Input::Values(&pixels), &labels, Step::new(1e-3, seed)).unwrap();
        };
        let file = format!("benchbook, two steps, {}.json", std::process::id());
        let file = std::env::temp_dir().join(file);
        profile(false, &file, &mut || [0, 1].into_iter().for_each(&mut step)).unwrap();
        // Later steps are not recorded.
        step(2);
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        let count = |name: &str| text.matches(&format!("\"name\": \"{name}\"")).count();
        // VGG11 has eight convolutions; the optimiser's update is one operation.
        let found = ["aten::conv2d", "aten::convolution_backward", "aten::_fused_sgd_"].map(count);
        assert_eq!(found, [16, 16, 2]);
        let absent = file.join("profile.json");
        let refused = profile(false, &absent, &mut || unreachable!()).unwrap_err().to_string();
        assert!(refused.contains("two steps") && refused.contains("No such file"), "{refused}");
    }

    #[test]
    fn a_batch_of_another_size_is_named_with_its_shape() {
        let mut net = build(&vgg(Head::Keras, false), false, 1);
        let wrong = net.evaluate_step(Input::Values(&[0.0; 10]), &[0, 1]).unwrap_err();
        assert!(wrong.to_string().contains("the input [2, 3, 32, 32]"), "{wrong}");
    }

    #[test]
    fn a_gpu_that_is_not_there_is_an_error_that_says_so() {
        if Cuda::device_count() > 0 {
            println!("SKIPPED: this machine has a CUDA GPU");
            return;
        }
        let wrong = LibTorch.upload(&[0.0], Requested::Cuda(0)).unwrap_err();
        assert!(wrong.to_string().contains("without CUDA"), "{wrong}");
    }
}
