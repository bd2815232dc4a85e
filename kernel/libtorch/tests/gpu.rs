//! LibTorch on the CPU and on a GPU. A program of its own: whatever of LibTorch is used before its CUDA library is there
//! makes a process blind to GPUs.
//!
//! `BENCHBOOK_TEST_DEVICE` names the second device, which then must be there; without it the first GPU is taken, and where
//! there is none a line says so. `environment/gpu` packs this program for a machine with a GPU.

use benchbook_backend::{
    Backend, BackendError, Compute, Device, Input, Network, Optimizer, Parameters, Plan, Precision,
    Step,
};
use benchbook_libtorch::{LibTorch, has_gpu};
use benchbook_nets::{Architecture, Head, Net, Sequential, Vgg11};
use std::sync::Once;

/// The CPU, and the GPU if there is one.
fn devices(test: &str) -> Vec<Device> {
    static LOADED: Once = Once::new();
    LOADED.call_once(|| LibTorch.load_cuda());
    let asked = std::env::var("BENCHBOOK_TEST_DEVICE").ok();
    let other = match asked.map(|name| name.parse().unwrap()) {
        Some(device) => device,
        None if has_gpu() => Device::Cuda(0),
        None => {
            println!("SKIPPED: not run: no GPU: {test}");
            return vec![Device::Cpu];
        }
    };
    println!("{test} on {other}");
    if other == Device::Cpu { vec![other] } else { vec![Device::Cpu, other] }
}

fn plan(device: Device, compute: Compute) -> Plan {
    let vgg = Vgg11 { head: Head::Keras, size: 32, ..Vgg11::new(2) };
    Plan {
        net: Net::new(vgg.graph()).unwrap(),
        frozen: false,
        device,
        threads: Some(2),
        ranks: 1,
        compute,
    }
}

fn exact() -> Compute {
    Compute { tf32_convolutions: false, ..Compute::default() }
}

fn weights(plan: &Plan) -> Parameters {
    Parameters::initial(plan.net.parameters(), 1)
}

fn built(device: Device, compute: Compute) -> Box<dyn Network> {
    let plan = plan(device, compute);
    let mut network = LibTorch.build(&plan, &weights(&plan)).unwrap();
    network.compile(Optimizer::momentum(0.9));
    network
}

/// Four images whose left half is bright where they are of class 1.
fn images() -> (Vec<f32>, Vec<i64>) {
    let labels: Vec<i64> = (0..4).map(|index| index % 2).collect();
    let pixels = labels.iter().enumerate().flat_map(|(index, label)| {
        (0..3 * 32 * 32).map(move |at| {
            let noise = ((index * 7919 + at * 104_729) % 97) as f32 / 970.0;
            if at % 32 < 16 && *label == 1 { 0.9 - noise } else { noise }
        })
    });
    (pixels.collect(), labels)
}

fn step(network: &mut dyn Network, seed: u64) -> f64 {
    let (pixels, labels) = images();
    network.train_step(Input::Values(&pixels), &labels, Step::new(1e-3, seed)).unwrap().loss
}

fn near(one: f64, other: f64, tolerance: f64, what: &str) {
    assert!((one - other).abs() <= tolerance * one.abs(), "{what}: {one} and {other}");
}

#[test]
fn each_operation_computes_what_pythons_pytorch_computed() {
    for device in devices("each operation") {
        let unsupported = benchbook_conformance::run_on(&LibTorch, device);
        assert!(unsupported.is_empty(), "{device}: {unsupported:?}");
    }
}

#[test]
fn a_training_goes_on_on_another_device_from_weights_and_state() {
    for device in devices("a training that moves") {
        for [from, to] in [[Device::Cpu, device], [device, Device::Cpu]] {
            let (mut first, mut second) = (built(from, exact()), built(to, exact()));
            for seed in 0..2 {
                step(first.as_mut(), seed);
            }
            second.set_parameters(&first.parameters().unwrap()).unwrap();
            second.set_optimizer_state(&first.optimizer_state().unwrap()).unwrap();
            for seed in 2..4 {
                let losses = [step(first.as_mut(), seed), step(second.as_mut(), seed)];
                near(losses[0], losses[1], 1e-3, &format!("{from} to {to}, step {seed}"));
            }
        }
    }
}

#[test]
fn each_precision_and_layout_trains_near_32_bit_floats() {
    for device in devices("precisions and layouts") {
        let settings = [
            (Compute { channels_last: true, ..exact() }, 1e-3),
            (Compute { tf32_matmul: true, ..Compute::default() }, 0.02),
            (Compute { precision: Precision::BFloat16, ..Compute::default() }, 0.05),
            (Compute { precision: Precision::Float16, ..Compute::default() }, 0.05),
            (Compute { precision: Precision::Float64, ..exact() }, 1e-3),
        ];
        let mut usual = built(device, exact());
        let losses = [step(usual.as_mut(), 0), step(usual.as_mut(), 1)];
        for (compute, tolerance) in settings {
            let mut other = built(device, compute);
            for (seed, loss) in (0..).zip(losses) {
                let what = format!("{device}, {compute:?}, step {seed}");
                near(loss, step(other.as_mut(), seed), tolerance, &what);
            }
        }
    }
}

/// Page-locked memory and copies that are not waited for change no value, and are refused on the CPU.
#[test]
fn pinned_memory_and_asynchronous_copies_change_nothing() {
    for device in devices("pinned memory") {
        let compute = Compute { pinned_memory: true, asynchronous_copies: true, ..exact() };
        if device == Device::Cpu {
            let plan = plan(device, compute);
            let refused = LibTorch.build(&plan, &weights(&plan)).err();
            assert!(matches!(refused, Some(BackendError::Option { .. })), "{refused:?}");
            continue;
        }
        let (mut usual, mut pinned) = (built(device, exact()), built(device, compute));
        for seed in 0..3 {
            let losses = [step(usual.as_mut(), seed), step(pinned.as_mut(), seed)];
            near(losses[0], losses[1], 1e-4, &format!("step {seed}"));
        }
    }
}

/// A batch that stays on the device is that of the same steps, with as many labels.
#[test]
fn a_held_batch_makes_the_same_steps() {
    let (pixels, labels) = images();
    for device in devices("a held batch") {
        let settings = [
            exact(),
            Compute { channels_last: true, ..exact() },
            Compute { precision: Precision::Float64, ..exact() },
        ];
        for compute in settings {
            let (mut usual, mut holds) = (built(device, compute), built(device, compute));
            let held = holds.hold(&pixels, labels.len()).unwrap().unwrap();
            let input = Input::Held(held.as_ref());
            for seed in 0..3 {
                let found = holds.train_step(input, &labels, Step::new(1e-3, seed)).unwrap().loss;
                near(step(usual.as_mut(), seed), found, 1e-4, &format!("{device}, step {seed}"));
            }
            let refused = holds.evaluate_step(input, &labels[..2]);
            assert!(matches!(refused, Err(BackendError::NotHeld)), "{refused:?}");
        }
    }
}

/// An output of 2⁴⁷ bytes, which neither a GPU nor an address space has.
#[test]
fn a_batch_that_does_not_fit_is_an_error_and_the_models_stay() {
    for device in devices("out of memory") {
        let mut model = built(device, exact());
        let before = step(model.as_mut(), 0);
        let net = Sequential::image(3, 256, 256).conv(1 << 23, 1).global_avg_pool().dense(2);
        let plan = Plan { net: Net::new(net.graph()).unwrap(), ..plan(device, exact()) };
        let start = weights(&plan);
        let mut large = LibTorch.build(&plan, &start).unwrap();
        let failed = large.logits(Input::Values(&vec![0.5; 64 * 3 * 256 * 256]), 64);
        let Err(BackendError::Library { message, .. }) = failed else { panic!("{failed:?}") };
        let words = ["out of memory", "allocate memory"];
        assert!(words.iter().any(|words| message.contains(words)), "{device}: {message}");
        assert_eq!(large.parameters().unwrap(), start, "{device}");
        let after = step(model.as_mut(), 1);
        assert!(after.is_finite() && after < 2.0 * before, "{device}: {before}, {after}");
    }
}

/// A GPU's allocator tells what tensors took: at least weights, momentum and gradients of a step.
#[test]
fn the_peak_of_memory_on_a_gpu_is_known() {
    for device in devices("memory on the device") {
        let mut model = built(device, exact());
        step(model.as_mut(), 0);
        let values: usize =
            weights(&plan(device, exact())).arrays.values().map(|a| a.values.len()).sum();
        let peak = model.peak_device_memory().unwrap();
        match device {
            Device::Cpu => assert_eq!(peak, None),
            _ => assert!(peak.unwrap() >= 3 * 4 * values as u64, "{peak:?} of {values} values"),
        }
        model.synchronize().unwrap();
    }
}
