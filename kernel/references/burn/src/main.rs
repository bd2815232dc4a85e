//! The job in burn, written as in burn's book and examples:
//!
//! <https://burn.dev/books/burn/custom-training-loop.html> (model, optimiser, loop)
//! <https://burn.dev/books/burn/building-blocks/module.html> (frozen layers, validation)
//!
//! Differences from these:
//! - the layers are burn's own, in the order of the job's graph, with the same starting weights as in all libraries;
//! - `benchbook-data` decodes and resizes the images, on separate threads;
//! - the job fixes the order of the images, which is the same for all libraries;
//! - batch size, epochs, optimiser, learning rate and threads are those of the study's job.
//!
//! The backend is Flex, which burn's documentation recommends for processors, with the AVX-512 kernels of its matrix library
//! (feature `x86-v4`).

mod net;

use anyhow::{Context, bail};
use benchbook_reference::nets::Loss;
use benchbook_reference::{
    Array, Convention, Job, Library, Optimizer, Parameters, Precision, different,
};
use burn::module::Module;
use burn::nn::DropoutConfig;
use burn::nn::loss::{BinaryCrossEntropyLossConfig, CrossEntropyLossConfig};
use burn::optim::decay::WeightDecayConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer, RmsPropConfig, SgdConfig};
use burn::tensor::{Device, FloatDType, Int, Tensor, TensorData};
use net::{Graph, Net, floats};
use std::collections::{BTreeMap, BTreeSet};

struct Burn {
    graph: Graph,
    /// `None` while the optimiser updates it, and after a failed step.
    net: Option<Net>,
    optimizer: ModuleOptimizer,
    settings: Optimizer,
    rate: f64,
    loss: Loss,
    input: [usize; 3],
    device: Device,
}

impl Burn {
    fn net(&self) -> anyhow::Result<&Net> {
        self.net.as_ref().context("a step of training has failed before")
    }

    fn images(&self, pixels: Vec<f32>, device: &Device) -> Tensor<4> {
        let [channels, rows, columns] = self.input;
        let batch = pixels.len() / (channels * rows * columns);
        let data = TensorData::new(pixels, [batch, channels, rows, columns]);
        Tensor::from_data(data, device)
    }

    fn loss(&self, outputs: Tensor<2>, labels: &[i64]) -> Tensor<1> {
        let device = outputs.device();
        let labels = Tensor::<1, Int>::from_data(TensorData::from(labels), &device);
        match self.loss {
            Loss::CrossEntropy => {
                CrossEntropyLossConfig::new().init(&device).forward(outputs, labels)
            }
            Loss::BinaryCrossEntropy => {
                let loss = BinaryCrossEntropyLossConfig::new().with_logits(true).init(&device);
                loss.forward(outputs.squeeze_dim::<1>(1), labels)
            }
        }
    }

    fn predicted(&self, pixels: Vec<f32>) -> anyhow::Result<Tensor<2>> {
        let device = self.device.clone().without_autodiff();
        Ok(self.graph.forward(&self.net()?.valid(), self.images(pixels, &device), false))
    }
}

impl Library for Burn {
    const NAME: &'static str = "burn";
    const VERSION: &'static str = env!("BENCHBOOK_VERSION");
    const BUILD: &'static str = env!("BENCHBOOK_BUILD");
    // Like Keras, burn stores the biased variance.
    const OMITTED: &'static [&'static str] = &["running_var"];

    fn copy(job: &Job, pixels: Vec<f32>) -> anyhow::Result<()> {
        let count = pixels.len();
        Tensor::<1>::from_data(TensorData::new(pixels, [count]), &device(job)?);
        Ok(())
    }

    fn build(job: &Job, weights: &Parameters) -> anyhow::Result<Self> {
        let device = device(job)?.autodiff();
        device.seed(job.seed);
        let input = job.net.input();
        let [channels, rows, columns] = input.axes() else {
            bail!("the input must be images for burn's program, got {input}");
        };
        let (graph, net) = Graph::new(job, weights, &device)?;
        Ok(Self {
            graph,
            net: Some(net),
            optimizer: optimizer(job.optimizer)?,
            settings: job.optimizer,
            rate: job.learning_rate,
            loss: job.net.loss(),
            input: [*channels, *rows, *columns],
            device,
        })
    }

    fn step(&mut self, pixels: Vec<f32>, labels: &[i64]) -> anyhow::Result<(f64, Vec<f32>)> {
        let outputs = self.graph.forward(self.net()?, self.images(pixels, &self.device), true);
        let loss = self.loss(outputs.clone(), labels);
        let gradients = GradientsParams::from_grads(loss.backward(), self.net()?);
        let net = self.net.take().context("a step of training has failed before")?;
        self.net = Some(self.optimizer.step(self.rate, net, gradients));
        Ok((scalar(loss), floats(outputs)))
    }

    fn evaluate(&mut self, pixels: Vec<f32>, labels: &[i64]) -> anyhow::Result<(f64, Vec<f32>)> {
        let outputs = self.predicted(pixels)?;
        Ok((scalar(self.loss(outputs.clone(), labels)), floats(outputs)))
    }

    fn logits(&mut self, pixels: Vec<f32>) -> anyhow::Result<Vec<f32>> {
        Ok(floats(self.predicted(pixels)?))
    }

    fn gradients(&mut self, pixels: Vec<f32>, labels: &[i64]) -> anyhow::Result<Parameters> {
        let outputs = self.graph.forward(self.net()?, self.images(pixels, &self.device), true);
        let gradients = self.loss(outputs, labels).backward();
        let mut all = Parameters::default();
        for (name, value) in self.graph.values(self.net()?) {
            if let Some(values) = value.gradient(&gradients) {
                all.arrays.insert(name, Array { shape: vec![values.len()], values });
            }
        }
        Ok(all)
    }

    fn weights(&self) -> anyhow::Result<BTreeMap<String, Vec<f64>>> {
        let values = self.graph.values(self.net()?).into_iter();
        Ok(values.map(|(name, value)| (name, value.read())).collect())
    }

    fn scale_rate(&mut self, factor: f64) {
        self.rate *= factor;
    }

    fn start_from(&mut self, weights: &Parameters) -> anyhow::Result<()> {
        let mut net = self.net.take().context("a step of training has failed before")?;
        self.graph.set(&mut net, weights, &self.device)?;
        self.net = Some(net);
        // burn's optimisers cannot reset their state.
        self.optimizer = optimizer(self.settings)?;
        Ok(())
    }

    fn set_masks(&mut self, masks: &[Array]) -> anyhow::Result<()> {
        self.graph.set_masks(masks);
        Ok(())
    }

    fn dropped(&self) -> anyhow::Result<Vec<[Vec<f32>; 2]>> {
        let ones = Tensor::<2>::ones([100, 1000], &self.device);
        // A new layer with the same rate, because dropout in a frozen base is off.
        let pass = |dropout: &burn::nn::Dropout| {
            floats(DropoutConfig::new(dropout.prob).init().forward(ones.clone()))
        };
        let dropouts = self.graph.dropouts(self.net()?).into_iter();
        Ok(dropouts.map(|dropout| [pass(dropout), pass(dropout)]).collect())
    }

    fn count(&self) -> (usize, usize) {
        let values = self.net.as_ref().map(|net| self.graph.values(net)).unwrap_or_default();
        let count = |learned: bool| {
            let counted = values.iter().filter(|(_, value)| !learned || value.learns());
            counted.map(|(_, value)| value.len()).sum()
        };
        (count(false), count(true))
    }

    fn deviations(&self, job: &Job) -> Vec<String> {
        let values = self.net.as_ref().map(|net| self.graph.values(net)).unwrap_or_default();
        let learned = values.iter().filter(|(_, value)| value.learns());
        let learned: BTreeSet<&str> = learned.map(|(name, _)| name.as_str()).collect();
        let mut found: Vec<String> = Vec::new();
        found.extend(different("trainable parameters", learned, job.learned()));
        // burn's optimisers do not expose their settings; losses and changes are compared instead.
        let threads = rayon::current_num_threads();
        found.extend(different("the number of threads", threads, job.threads));
        let types: BTreeSet<String> = values.iter().map(|(_, value)| value.dtype()).collect();
        let expected = BTreeSet::from([format!("{:?}", self.device.settings().float_dtype)]);
        found.extend(different("the type of the weights", types, expected));
        found.extend(self.graph.deviations(self.net.as_ref()));
        found
    }
}

fn scalar(tensor: Tensor<1>) -> f64 {
    tensor.into_data().iter::<f64>().next().unwrap_or(f64::NAN)
}

/// The processor, with the job's precision as the default type of floats, which cannot change after the first tensor.
fn device(job: &Job) -> anyhow::Result<Device> {
    let dtype = match job.compute.precision {
        Precision::Float32 => FloatDType::F32,
        Precision::Float64 => FloatDType::F64,
        other => bail!("burn's backend Flex has no {other}"),
    };
    let mut device = Device::flex();
    if device.settings().float_dtype != dtype {
        device.configure(dtype).context("burn cannot use the job's type of floats")?;
    }
    Ok(device)
}

fn optimizer(settings: Optimizer) -> anyhow::Result<ModuleOptimizer> {
    Ok(match settings {
        Optimizer::Sgd { momentum, nesterov, weight_decay } => {
            let momentum =
                (momentum != 0.0).then_some(MomentumConfig { momentum, dampening: 0.0, nesterov });
            let decay = (weight_decay != 0.0).then(|| WeightDecayConfig::new(weight_decay as f32));
            SgdConfig::new().with_momentum(momentum).with_weight_decay(decay).init()
        }
        Optimizer::Adam { beta1, beta2, epsilon, convention: Convention::PyTorch } => {
            let config = AdamConfig::new().with_beta_1(beta1 as f32).with_beta_2(beta2 as f32);
            config.with_epsilon(epsilon as f32).init()
        }
        Optimizer::RmsProp { decay, epsilon, convention: Convention::PyTorch } => {
            let config = RmsPropConfig::new().with_alpha(decay as f32).with_epsilon(epsilon as f32);
            config.with_momentum(0.0).init()
        }
        other => bail!("burn has only PyTorch's formulas, got {other}"),
    })
}

fn main() -> std::process::ExitCode {
    benchbook_reference::run::<Burn>()
}
