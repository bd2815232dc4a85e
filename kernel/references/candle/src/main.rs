//! The job in candle, written as in candle's examples:
//!
//! <https://github.com/huggingface/candle/blob/main/candle-examples/examples/mnist-training/main.rs> (model, loop)
//! <https://huggingface.github.io/candle/training/training.html> (the same, explained)
//!
//! Differences from these:
//! - the layers are candle's own, in the order of the job's graph, with the same starting weights as in all libraries;
//! - `benchbook-data` decodes and resizes the images, on separate threads, since candle has no loader for image folders;
//! - the job fixes the order of the images, which is the same for all libraries;
//! - SGD with momentum or weight decay, and RMSprop, are implemented here with candle's operations, since candle-nn lacks them;
//! - in inference mode each layer's output is detached, so that no values are stored for gradients;
//! - batch size, epochs, optimiser, learning rate and threads are those of the study's job.
//!
//! The build uses the flags of candle's own repository (`target-cpu=native`) and, like burn's, the AVX-512 kernels of its matrix
//! library. It does not use MKL, which crates.io does not have. On the processor, candle's random generator for dropout accepts
//! no seed.

mod net;
mod optimizer;

use anyhow::Context;
use benchbook_reference::nets::Loss;
use benchbook_reference::{Array, Job, Library, Parameters, Precision, different};
use candle_core::{DType, Device, Tensor, Var};
use candle_nn::loss::{binary_cross_entropy_with_logit, cross_entropy};
use net::Net;
use optimizer::AnyOptimizer;
use std::collections::{BTreeMap, BTreeSet};

struct Candle {
    net: Net,
    optimizer: AnyOptimizer,
    settings: (benchbook_reference::Optimizer, f64),
    loss: Loss,
    input: Vec<usize>,
}

impl Candle {
    fn images(&self, pixels: Vec<f32>) -> candle_core::Result<Tensor> {
        let batch = pixels.len() / self.input.iter().product::<usize>();
        let shape = [&[batch], self.input.as_slice()].concat();
        Tensor::from_vec(pixels, shape, &Device::Cpu)?.to_dtype(self.net.dtype())
    }

    fn loss(&self, outputs: &Tensor, labels: &[i64]) -> candle_core::Result<Tensor> {
        match self.loss {
            Loss::CrossEntropy => {
                let labels: Vec<u32> = labels.iter().map(|label| *label as u32).collect();
                cross_entropy(outputs, &Tensor::new(labels, &Device::Cpu)?)
            }
            Loss::BinaryCrossEntropy => {
                let labels: Vec<f64> = labels.iter().map(|label| *label as f64).collect();
                let labels = Tensor::new(labels, &Device::Cpu)?.to_dtype(self.net.dtype())?;
                binary_cross_entropy_with_logit(&outputs.squeeze(1)?, &labels)
            }
        }
    }

    /// The trained variables with their names.
    fn learned(&self) -> Vec<(&String, &Var)> {
        self.net.values().iter().filter(|(name, _)| self.net.learns(name)).collect()
    }
}

fn floats(tensor: &Tensor) -> candle_core::Result<Vec<f32>> {
    tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
}

fn scalar(tensor: &Tensor) -> candle_core::Result<f64> {
    tensor.to_dtype(DType::F64)?.to_scalar()
}

impl Library for Candle {
    const NAME: &'static str = "candle";
    const VERSION: &'static str = env!("BENCHBOOK_VERSION");
    const BUILD: &'static str = env!("BENCHBOOK_BUILD");

    fn copy(job: &Job, pixels: Vec<f32>) -> anyhow::Result<()> {
        let count = pixels.len();
        Tensor::from_vec(pixels, count, &Device::Cpu)?.to_dtype(dtype(job)?)?;
        Ok(())
    }

    fn build(job: &Job, weights: &Parameters) -> anyhow::Result<Self> {
        let net = Net::new(job, dtype(job)?, weights)?;
        let variables = net.values().iter().filter(|(name, _)| net.learns(name));
        let variables = variables.map(|(_, value)| value.clone()).collect();
        let settings = (job.optimizer, job.learning_rate);
        Ok(Self {
            optimizer: AnyOptimizer::new(variables, settings.0, settings.1)?,
            net,
            settings,
            loss: job.net.loss(),
            input: job.net.input().axes().to_vec(),
        })
    }

    fn step(&mut self, pixels: Vec<f32>, labels: &[i64]) -> anyhow::Result<(f64, Vec<f32>)> {
        let outputs = self.net.forward(&self.images(pixels)?, true)?;
        let loss = self.loss(&outputs, labels)?;
        self.optimizer.backward_step(&loss)?;
        Ok((scalar(&loss)?, floats(&outputs)?))
    }

    fn evaluate(&mut self, pixels: Vec<f32>, labels: &[i64]) -> anyhow::Result<(f64, Vec<f32>)> {
        let outputs = self.net.forward(&self.images(pixels)?, false)?;
        Ok((scalar(&self.loss(&outputs, labels)?)?, floats(&outputs)?))
    }

    fn logits(&mut self, pixels: Vec<f32>) -> anyhow::Result<Vec<f32>> {
        Ok(floats(&self.net.forward(&self.images(pixels)?, false)?)?)
    }

    fn gradients(&mut self, pixels: Vec<f32>, labels: &[i64]) -> anyhow::Result<Parameters> {
        let outputs = self.net.forward(&self.images(pixels)?, true)?;
        let gradients = self.loss(&outputs, labels)?.backward()?;
        let mut all = Parameters::default();
        for (name, value) in self.net.values() {
            if let Some(gradient) = gradients.get(value) {
                let array = Array { shape: gradient.dims().to_vec(), values: floats(gradient)? };
                all.arrays.insert(name.clone(), array);
            }
        }
        Ok(all)
    }

    fn weights(&self) -> anyhow::Result<BTreeMap<String, Vec<f64>>> {
        let value = |(name, value): (&String, &Var)| {
            Ok((name.clone(), value.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?))
        };
        self.net.values().iter().map(value).collect()
    }

    fn scale_rate(&mut self, factor: f64) {
        self.settings.1 *= factor;
    }

    fn start_from(&mut self, weights: &Parameters) -> anyhow::Result<()> {
        for (name, value) in self.net.values() {
            let array =
                weights.arrays.get(name).with_context(|| format!("no weights for {name}"))?;
            let tensor = Tensor::from_slice(&array.values, array.shape.as_slice(), &Device::Cpu)?;
            value.set(&tensor.to_dtype(self.net.dtype())?)?;
        }
        // candle's optimisers cannot reset their state.
        let variables = self.learned().into_iter().map(|(_, value)| value.clone()).collect();
        self.optimizer = AnyOptimizer::new(variables, self.settings.0, self.settings.1)?;
        Ok(())
    }

    fn set_masks(&mut self, masks: &[Array]) -> anyhow::Result<()> {
        self.net.set_masks(masks)
    }

    fn dropped(&self) -> anyhow::Result<Vec<[Vec<f32>; 2]>> {
        let ones = Tensor::ones((100, 1000), self.net.dtype(), &Device::Cpu)?;
        let pass = |dropout: &candle_nn::Dropout| floats(&dropout.forward(&ones, true)?);
        self.net.dropouts().map(|dropout| Ok([pass(dropout)?, pass(dropout)?])).collect()
    }

    fn count(&self) -> (usize, usize) {
        let all = self.net.values().values().map(|value| value.elem_count()).sum();
        (all, self.learned().iter().map(|(_, value)| value.elem_count()).sum())
    }

    fn deviations(&self, job: &Job) -> Vec<String> {
        let mut found = self.optimizer.deviations(job.optimizer, job.learning_rate);
        let learned: BTreeSet<&str> =
            self.learned().iter().map(|(name, _)| name.as_str()).collect();
        found.extend(different("trainable parameters", learned, job.learned()));
        let threads = candle_core::utils::get_num_threads();
        found.extend(different("the number of threads", threads, job.threads));
        found
    }
}

fn dtype(job: &Job) -> anyhow::Result<DType> {
    match job.compute.precision {
        Precision::Float32 => Ok(DType::F32),
        Precision::Float64 => Ok(DType::F64),
        other => anyhow::bail!(
            "candle's program does not support {other}: candle's optimisers store weights in the type of the computation"
        ),
    }
}

fn main() -> std::process::ExitCode {
    benchbook_reference::run::<Candle>()
}
