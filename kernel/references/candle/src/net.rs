//! Interprets a graph with candle's own layers.

use anyhow::{Context, bail, ensure};
use benchbook_reference::nets::{
    Activation, AdaptiveAvgPool2d, AvgPool2d, BatchNorm, Conv2d, Dropout, FlattenOrder, Function,
    GruLayer, Layer, LayerNorm, LstmLayer, MaxPool2d, Operation, Padding, Source,
};
use benchbook_reference::{Array, Job, Parameters};
use candle_core::{D, DType, Device, Result, Tensor, Var};
use candle_nn::rnn::{GRU, GRUConfig, GRUState, LSTM, LSTMConfig, LSTMState, RNN};
use candle_nn::{Conv2dConfig, Module as _, ModuleT as _, VarBuilder, ops};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The layers of a graph in order, and their values by name.
pub(crate) struct Net {
    layers: Vec<(Layer, Module)>,
    /// The number of leading layers that are frozen.
    frozen: usize,
    values: BTreeMap<String, Var>,
    learned: BTreeSet<String>,
    dtype: DType,
}

/// The computation of a layer.
enum Module {
    Conv(Padding, candle_nn::Conv2d),
    Dense(candle_nn::Linear),
    BatchNorm(candle_nn::BatchNorm),
    LayerNorm(Tensor, Tensor, f64),
    Dropout(candle_nn::Dropout, Option<Tensor>),
    Lstm(LSTM, bool),
    Gru(GRU, bool),
    /// An operation without parameters.
    Plain,
}

impl Net {
    pub(crate) fn new(job: &Job, dtype: DType, weights: &Parameters) -> anyhow::Result<Self> {
        let mut values = BTreeMap::new();
        for parameter in job.net.parameters() {
            let name = &parameter.name;
            let array =
                weights.arrays.get(name).with_context(|| format!("no weights for {name}"))?;
            let tensor = Tensor::from_slice(&array.values, array.shape.as_slice(), &Device::Cpu)?;
            values.insert(name.clone(), Var::from_tensor(&tensor.to_dtype(dtype)?)?);
        }
        let learned = job.learned().into_iter().map(str::to_owned).collect();
        let mut net = Self { layers: Vec::new(), frozen: job.frozen(), values, learned, dtype };
        for layer in job.net.layers() {
            let module = net.module(layer).with_context(|| format!("layer `{}`", layer.name))?;
            net.layers.push((layer.clone(), module));
        }
        Ok(net)
    }

    pub(crate) fn dtype(&self) -> DType {
        self.dtype
    }

    pub(crate) fn values(&self) -> &BTreeMap<String, Var> {
        &self.values
    }

    pub(crate) fn learns(&self, name: &str) -> bool {
        self.learned.contains(name)
    }

    pub(crate) fn dropouts(&self) -> impl Iterator<Item = &candle_nn::Dropout> {
        self.layers.iter().filter_map(|(_, module)| match module {
            Module::Dropout(dropout, _) => Some(dropout),
            _ => None,
        })
    }

    pub(crate) fn set_masks(&mut self, masks: &[Array]) -> anyhow::Result<()> {
        let given = self.layers.iter_mut().filter_map(|(_, module)| match module {
            Module::Dropout(_, mask) => Some(mask),
            _ => None,
        });
        for (place, mask) in given.zip(masks) {
            let tensor = Tensor::from_slice(&mask.values, mask.shape.as_slice(), &Device::Cpu)?;
            *place = Some(tensor.to_dtype(self.dtype)?);
        }
        Ok(())
    }

    /// The outputs. In inference mode no values are stored for gradients.
    pub(crate) fn forward(&self, input: &Tensor, train: bool) -> Result<Tensor> {
        let mut outputs: Vec<Option<Tensor>> = Vec::new();
        let mut last_use = vec![0; self.layers.len()];
        for (index, (layer, _)) in self.layers.iter().enumerate() {
            for source in &layer.inputs {
                if let Source::Layer(at) = source {
                    last_use[*at] = index;
                }
            }
        }
        for (index, (layer, module)) in self.layers.iter().enumerate() {
            let taken = layer.inputs.iter().map(|source| match source {
                Source::Input => Ok(input.clone()),
                Source::Layer(at) => outputs[*at].clone().ok_or_else(|| {
                    candle_core::Error::Msg(format!(
                        "`{}` needs an output that is gone",
                        layer.name
                    ))
                }),
            });
            let taken = taken.collect::<Result<Vec<_>>>()?;
            let output = apply(layer, module, &taken, train && index >= self.frozen)?;
            outputs.push(Some(if train { output } else { output.detach() }));
            for at in 0..index {
                if last_use[at] == index {
                    outputs[at] = None;
                }
            }
        }
        outputs
            .pop()
            .flatten()
            .ok_or_else(|| candle_core::Error::Msg("the net has no layers".into()))
    }

    fn module(&self, layer: &Layer) -> anyhow::Result<Module> {
        let value = |suffix: &str| {
            let name = format!("{}.{suffix}", layer.name);
            let value = self.values.get(&name).with_context(|| format!("no value {name}"))?;
            let learns = self.learned.contains(&name) || suffix.starts_with("running");
            Ok::<_, anyhow::Error>(match learns {
                true => value.as_tensor().clone(),
                false => value.as_detached_tensor(),
            })
        };
        let channels = layer.input_shapes[0].channels();
        Ok(match &layer.operation {
            Operation::Conv2d(Conv2d { stride, padding, groups, bias, .. }) => {
                ensure!(
                    stride[0] == stride[1],
                    "candle has one stride for both axes, got {stride:?}"
                );
                // candle pads both axes equally, so other padding is a separate operation.
                let own = padding.symmetric().filter(|[rows, columns]| rows == columns);
                let config = Conv2dConfig {
                    stride: stride[0],
                    padding: own.map_or(0, |[side, _]| side),
                    groups: *groups,
                    ..Conv2dConfig::default()
                };
                let before = if own.is_some() { Padding::default() } else { *padding };
                let bias = bias.then(|| value("bias")).transpose()?;
                Module::Conv(before, candle_nn::Conv2d::new(value("weight")?, bias, config))
            }
            Operation::Dense(dense) => {
                let bias = dense.bias.then(|| value("bias")).transpose()?;
                Module::Dense(candle_nn::Linear::new(value("weight")?, bias))
            }
            Operation::BatchNorm(BatchNorm { epsilon, momentum }) => {
                let norm = candle_nn::BatchNorm::new_with_momentum(
                    channels,
                    value("running_mean")?,
                    value("running_var")?,
                    value("weight")?,
                    value("bias")?,
                    *epsilon,
                    *momentum,
                )?;
                Module::BatchNorm(norm)
            }
            Operation::LayerNorm(LayerNorm { epsilon }) => {
                Module::LayerNorm(value("weight")?, value("bias")?, *epsilon)
            }
            Operation::MaxPool2d(MaxPool2d { kernel, stride, padding }) => {
                ensure!(
                    kernel == stride,
                    "candle has no gradient of max pooling with a stride other than its window, got {kernel:?} and {stride:?}"
                );
                ensure!(padding.is_none(), "candle's max pooling has no padding, got {padding:?}");
                Module::Plain
            }
            Operation::AvgPool2d(AvgPool2d { kernel, stride, .. }) => {
                ensure!(
                    kernel == stride,
                    "candle has no gradient of average pooling with a stride other than its window, got {kernel:?} and {stride:?}"
                );
                Module::Plain
            }
            Operation::AdaptiveAvgPool2d(AdaptiveAvgPool2d { output }) => {
                let input = &layer.input_shapes[0].axes()[1..];
                let divides = (0..2).all(|axis| input[axis].is_multiple_of(output[axis]));
                ensure!(
                    divides,
                    "candle has no adaptive pooling, so the output must divide the input {input:?} (got {output:?}); choose another input size or `global_avg_pool2d`"
                );
                Module::Plain
            }
            Operation::Dropout(Dropout { rate }) => {
                Module::Dropout(candle_nn::Dropout::new(*rate as f32), None)
            }
            Operation::LstmLayer(LstmLayer { units, return_sequences }) => {
                let (features, builder) = self.recurrent(layer, 4 * units)?;
                let lstm = candle_nn::lstm(features, *units, LSTMConfig::default(), builder)?;
                Module::Lstm(lstm, *return_sequences)
            }
            Operation::GruLayer(GruLayer { units, return_sequences }) => {
                let (features, builder) = self.recurrent(layer, 3 * units)?;
                let gru = candle_nn::gru(features, *units, GRUConfig::default(), builder)?;
                Module::Gru(gru, *return_sequences)
            }
            Operation::Custom(_) => bail!("candle cannot run code that was written for tch"),
            Operation::Activation(_)
            | Operation::Add(_)
            | Operation::Concat(_)
            | Operation::Flatten(_)
            | Operation::GlobalAvgPool2d(_)
            | Operation::Rows(_)
            | Operation::Upsample(_) => Module::Plain,
        })
    }

    /// The number of features, and the values under the names that candle's recurrent layers ask for. Their second bias is
    /// zero and frozen.
    fn recurrent(
        &self,
        layer: &Layer,
        rows: usize,
    ) -> anyhow::Result<(usize, VarBuilder<'static>)> {
        let mut named = HashMap::new();
        for suffix in ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0"] {
            let name = format!("{}.{suffix}", layer.name);
            let value = self.values.get(&name).with_context(|| format!("no value {name}"))?;
            let learns = self.learned.contains(&name);
            let tensor =
                if learns { value.as_tensor().clone() } else { value.as_detached_tensor() };
            named.insert(suffix.to_owned(), tensor);
        }
        let zeros = Tensor::zeros(rows, self.dtype, &Device::Cpu)?;
        named.insert("bias_hh_l0".into(), zeros);
        let features = layer.input_shapes[0].axes()[2];
        Ok((features, VarBuilder::from_tensors(named, self.dtype, &Device::Cpu)))
    }
}

fn apply(layer: &Layer, module: &Module, inputs: &[Tensor], train: bool) -> Result<Tensor> {
    let x = &inputs[0];
    match module {
        Module::Conv(padding, conv) => return conv.forward(&padded(x, *padding)?),
        Module::Dense(dense) => return dense.forward(x),
        Module::BatchNorm(norm) => return norm.forward_t(x, train),
        // candle's fused layer normalisation has no gradient.
        Module::LayerNorm(weight, bias, epsilon) => {
            return ops::layer_norm_slow(x, weight, bias, *epsilon as f32);
        }
        Module::Dropout(_, Some(mask)) if train => return x * mask,
        Module::Dropout(dropout, _) => return dropout.forward(x, train),
        Module::Lstm(lstm, sequences) => return recurrent(lstm, x, *sequences, LSTMState::h),
        Module::Gru(gru, sequences) => return recurrent(gru, x, *sequences, GRUState::h),
        Module::Plain => {}
    }
    match &layer.operation {
        Operation::Activation(Activation { function }) => match function {
            Function::Relu => x.relu(),
            Function::Relu6 => x.clamp(0.0, 6.0),
            Function::LeakyRelu => ops::leaky_relu(x, 0.01),
            Function::Elu => x.elu(1.0),
            Function::Gelu => x.gelu_erf(),
            Function::Silu => x.silu(),
            Function::Sigmoid => ops::sigmoid(x),
            Function::Tanh => x.tanh(),
        },
        Operation::MaxPool2d(MaxPool2d { kernel, .. }) => x.max_pool2d((kernel[0], kernel[1])),
        Operation::AvgPool2d(AvgPool2d { kernel, padding, .. }) => {
            padded(x, *padding)?.avg_pool2d((kernel[0], kernel[1]))
        }
        Operation::AdaptiveAvgPool2d(AdaptiveAvgPool2d { output }) => {
            let (_, _, rows, columns) = x.dims4()?;
            match (rows / output[0], columns / output[1]) {
                (1, 1) => Ok(x.clone()),
                kernel => x.avg_pool2d(kernel),
            }
        }
        Operation::GlobalAvgPool2d(_) => x.mean((2, 3)),
        Operation::Flatten(flatten) => match flatten.order {
            FlattenOrder::ChannelHeightWidth => x.flatten_from(1),
            FlattenOrder::HeightWidthChannel => x.permute((0, 2, 3, 1))?.flatten_from(1),
        },
        Operation::Rows(_) => {
            let (batch, channels, rows, columns) = x.dims4()?;
            x.permute((0, 2, 3, 1))?.reshape((batch, 1, rows, columns * channels))
        }
        Operation::Upsample(_) => {
            let axes = layer.output.axes();
            x.upsample_nearest2d(axes[1], axes[2])
        }
        Operation::Add(_) => inputs[1..].iter().try_fold(x.clone(), |sum, other| sum + other),
        Operation::Concat(_) => Tensor::cat(inputs, 1),
        other => Err(candle_core::Error::Msg(format!("{other:?} has no layer"))),
    }
}

fn padded(x: &Tensor, Padding { top, bottom, left, right }: Padding) -> Result<Tensor> {
    let mut x = x.clone();
    if top + bottom > 0 {
        x = x.pad_with_zeros(D::Minus2, top, bottom)?;
    }
    if left + right > 0 {
        x = x.pad_with_zeros(D::Minus1, left, right)?;
    }
    Ok(x)
}

/// A recurrent layer on sequences `[batch, 1, steps, features]`; `output` selects the layer's output from a state.
fn recurrent<R: RNN>(
    layer: &R,
    x: &Tensor,
    sequences: bool,
    output: fn(&R::State) -> &Tensor,
) -> Result<Tensor> {
    let states = layer.seq(&x.squeeze(1)?.contiguous()?)?;
    let outputs: Vec<&Tensor> = states.iter().map(output).collect();
    match outputs.last() {
        Some(last) if !sequences => Ok((*last).clone()),
        _ => Tensor::stack(&outputs, 1)?.unsqueeze(1),
    }
}
