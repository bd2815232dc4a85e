//! Interprets a graph with burn's own layers.

use anyhow::{Context, bail};
use benchbook_reference::nets::{
    self, Activation, AvgPool2d, FlattenOrder, Function, MaxPool2d, Operation, Padding, Source,
};
use benchbook_reference::{Array, Job, Parameters};
use burn::module::{Module, Param, RunningState};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::{
    AdaptiveAvgPool2d, AdaptiveAvgPool2dConfig, AvgPool2dConfig, MaxPool2dConfig,
};
use burn::nn::{
    BatchNorm, BatchNormConfig, Dropout, DropoutConfig, Initializer, LayerNorm, LayerNormConfig,
    Linear, LinearConfig, PaddingConfig2d, pool,
};
use burn::tensor::module::interpolate;
use burn::tensor::ops::{InterpolateMode, InterpolateOptions};
use burn::tensor::{Device, Gradients, Tensor, TensorData, activation};

/// The layers of the graph, in order; `None` for layers without parameters or settings.
#[derive(Module, Debug)]
pub(crate) struct Net {
    layers: Vec<Option<Layer>>,
}

#[derive(Module, Debug)]
enum Layer {
    Conv(Conv2d),
    Dense(Linear),
    BatchNorm(BatchNorm),
    LayerNorm(LayerNorm),
    MaxPool(pool::MaxPool2d),
    AvgPool(pool::AvgPool2d),
    AdaptiveAvgPool(AdaptiveAvgPool2d),
    Dropout(Dropout),
}

/// The connections of the layers.
pub(crate) struct Graph {
    layers: Vec<nets::Layer>,
    /// The number of leading layers that are frozen.
    frozen: usize,
    /// Masks that replace the dropout layers, in their order.
    masks: Vec<TensorData>,
}

/// The output of a layer.
#[derive(Clone)]
enum Output {
    Map(Tensor<4>),
    Vector(Tensor<2>),
}

/// A parameter or running statistic of the net.
pub(crate) enum Value<'a> {
    Vector(&'a Param<Tensor<1>>),
    /// The weight of a dense layer, `[inputs, outputs]` in burn.
    Transposed(&'a Param<Tensor<2>>),
    Kernels(&'a Param<Tensor<4>>),
    State(&'a RunningState<Tensor<1>>),
}

impl Value<'_> {
    pub(crate) fn learns(&self) -> bool {
        match self {
            Self::Vector(value) => value.is_require_grad(),
            Self::Transposed(value) => value.is_require_grad(),
            Self::Kernels(value) => value.is_require_grad(),
            Self::State(_) => false,
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Vector(value) => value.shape().num_elements(),
            Self::Transposed(value) => value.shape().num_elements(),
            Self::Kernels(value) => value.shape().num_elements(),
            Self::State(value) => value.value().shape().num_elements(),
        }
    }

    pub(crate) fn dtype(&self) -> String {
        let dtype = match self {
            Self::Vector(value) => value.val().dtype(),
            Self::Transposed(value) => value.val().dtype(),
            Self::Kernels(value) => value.val().dtype(),
            Self::State(value) => value.value().dtype(),
        };
        format!("{dtype:?}")
    }

    /// The values in the job's layout.
    pub(crate) fn read(&self) -> Vec<f64> {
        let data = match self {
            Self::Vector(value) => value.val().into_data(),
            Self::Transposed(value) => value.val().transpose().into_data(),
            Self::Kernels(value) => value.val().into_data(),
            Self::State(value) => value.value_sync().into_data(),
        };
        data.iter::<f64>().collect()
    }

    /// The gradient in the job's layout.
    pub(crate) fn gradient(&self, gradients: &Gradients) -> Option<Vec<f32>> {
        Some(match self {
            Self::Vector(value) => floats(value.grad(gradients)?),
            Self::Transposed(value) => floats(value.grad(gradients)?.transpose()),
            Self::Kernels(value) => floats(value.grad(gradients)?),
            Self::State(_) => return None,
        })
    }
}

pub(crate) fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

impl Graph {
    pub(crate) fn new(
        job: &Job,
        weights: &Parameters,
        device: &Device,
    ) -> anyhow::Result<(Self, Net)> {
        let layers = job.net.layers().to_vec();
        let made = layers
            .iter()
            .map(|layer| make(layer, device).with_context(|| format!("layer `{}`", layer.name)));
        let mut net = Net { layers: made.collect::<anyhow::Result<_>>()? };
        let graph = Self { layers, frozen: job.frozen(), masks: Vec::new() };
        graph.set(&mut net, weights, device)?;
        // Frozen layers have no gradients, and their running statistics stay.
        let freeze = |(index, layer): (usize, Option<Layer>)| {
            if index < graph.frozen { layer.map(Module::freeze) } else { layer }
        };
        net.layers = std::mem::take(&mut net.layers).into_iter().enumerate().map(freeze).collect();
        Ok((graph, net))
    }

    /// The parameters with their names.
    pub(crate) fn values<'a>(&self, net: &'a Net) -> Vec<(String, Value<'a>)> {
        let mut all = Vec::new();
        for (layer, module) in self.layers.iter().zip(&net.layers) {
            let mut add = |suffix: &str, value: Option<Value<'a>>| {
                all.extend(value.map(|value| (format!("{}.{suffix}", layer.name), value)));
            };
            match module {
                Some(Layer::Conv(conv)) => {
                    add("weight", Some(Value::Kernels(&conv.weight)));
                    add("bias", conv.bias.as_ref().map(Value::Vector));
                }
                Some(Layer::Dense(dense)) => {
                    add("weight", Some(Value::Transposed(&dense.weight)));
                    add("bias", dense.bias.as_ref().map(Value::Vector));
                }
                Some(Layer::BatchNorm(norm)) => {
                    add("weight", Some(Value::Vector(&norm.gamma)));
                    add("bias", Some(Value::Vector(&norm.beta)));
                    add("running_mean", Some(Value::State(&norm.running_mean)));
                    add("running_var", Some(Value::State(&norm.running_var)));
                }
                Some(Layer::LayerNorm(norm)) => {
                    add("weight", Some(Value::Vector(&norm.gamma)));
                    add("bias", norm.beta.as_ref().map(Value::Vector));
                }
                // Without weights. A list, so that a new layer with weights is not forgotten.
                Some(
                    Layer::MaxPool(_)
                    | Layer::AvgPool(_)
                    | Layer::AdaptiveAvgPool(_)
                    | Layer::Dropout(_),
                )
                | None => {}
            }
        }
        all
    }

    /// Sets all values. Each parameter keeps its id and whether it is trained.
    pub(crate) fn set(
        &self,
        net: &mut Net,
        weights: &Parameters,
        device: &Device,
    ) -> anyhow::Result<()> {
        for (layer, module) in self.layers.iter().zip(&mut net.layers) {
            let array = |suffix: &str| {
                let name = format!("{}.{suffix}", layer.name);
                let array =
                    weights.arrays.get(&name).with_context(|| format!("no weights for {name}"))?;
                Ok::<_, anyhow::Error>((array, device))
            };
            match module {
                Some(Layer::Conv(conv)) => {
                    put(&mut conv.weight, tensor(array("weight")?));
                    if let Some(bias) = &mut conv.bias {
                        put(bias, tensor(array("bias")?));
                    }
                }
                Some(Layer::Dense(dense)) => {
                    put(&mut dense.weight, tensor::<2>(array("weight")?).transpose());
                    if let Some(bias) = &mut dense.bias {
                        put(bias, tensor(array("bias")?));
                    }
                }
                Some(Layer::BatchNorm(norm)) => {
                    put(&mut norm.gamma, tensor(array("weight")?));
                    put(&mut norm.beta, tensor(array("bias")?));
                    norm.running_mean = RunningState::new(tensor(array("running_mean")?));
                    norm.running_var = RunningState::new(tensor(array("running_var")?));
                }
                Some(Layer::LayerNorm(norm)) => {
                    put(&mut norm.gamma, tensor(array("weight")?));
                    if let Some(beta) = &mut norm.beta {
                        put(beta, tensor(array("bias")?));
                    }
                }
                // Without weights. A list, so that a new layer with weights is not forgotten.
                Some(
                    Layer::MaxPool(_)
                    | Layer::AvgPool(_)
                    | Layer::AdaptiveAvgPool(_)
                    | Layer::Dropout(_),
                )
                | None => {}
            }
        }
        Ok(())
    }

    pub(crate) fn dropouts<'a>(&self, net: &'a Net) -> Vec<&'a Dropout> {
        let dropouts = net.layers.iter().filter_map(|layer| match layer {
            Some(Layer::Dropout(dropout)) => Some(dropout),
            _ => None,
        });
        dropouts.collect()
    }

    pub(crate) fn set_masks(&mut self, masks: &[Array]) {
        let data = |mask: &Array| TensorData::new(mask.values.clone(), mask.shape.clone());
        self.masks = masks.iter().map(data).collect();
    }

    /// Differences between the layers' settings and the graph, as text.
    pub(crate) fn deviations(&self, net: Option<&Net>) -> Vec<String> {
        let mut found = Vec::new();
        for (layer, module) in self.layers.iter().zip(net.map_or(&[][..], |net| &net.layers)) {
            let name = &layer.name;
            let mut differ = |what: &str, got: f64, asked: f64| {
                let what = format!("the {what} of {name}");
                found.extend(benchbook_reference::different(&what, got, asked));
            };
            match (&layer.operation, module) {
                (Operation::Dropout(asked), Some(Layer::Dropout(dropout))) => {
                    differ("rate", dropout.prob, asked.rate);
                }
                (Operation::BatchNorm(asked), Some(Layer::BatchNorm(norm))) => {
                    differ("momentum", norm.momentum, asked.momentum);
                    differ("epsilon", norm.epsilon, asked.epsilon);
                }
                _ => {}
            }
        }
        found
    }

    pub(crate) fn forward(&self, net: &Net, input: Tensor<4>, train: bool) -> Tensor<2> {
        let mut outputs: Vec<Option<Output>> = Vec::new();
        let mut last_use = vec![0; self.layers.len()];
        for (index, layer) in self.layers.iter().enumerate() {
            for source in &layer.inputs {
                if let Source::Layer(at) = source {
                    last_use[*at] = index;
                }
            }
        }
        let mut dropouts = 0;
        for (index, (layer, module)) in self.layers.iter().zip(&net.layers).enumerate() {
            let taken = layer.inputs.iter().map(|source| match source {
                Source::Input => Output::Map(input.clone()),
                // Moving a tensor out at its last use lets burn overwrite it.
                Source::Layer(at) if last_use[*at] == index && layer.inputs.len() == 1 => {
                    outputs[*at].take().unwrap_or_else(|| unreachable!("used after its last use"))
                }
                Source::Layer(at) => {
                    outputs[*at].clone().unwrap_or_else(|| unreachable!("used after its last use"))
                }
            });
            let taken: Vec<Output> = taken.collect();
            let mask = match &layer.operation {
                Operation::Dropout(_) => {
                    dropouts += 1;
                    self.masks.get(dropouts - 1).filter(|_| train && index >= self.frozen)
                }
                _ => None,
            };
            let output = match (mask, taken.as_slice()) {
                (None, _) => apply(layer, module.as_ref(), taken),
                (Some(mask), [Output::Vector(x)]) => Output::Vector(masked(x, mask)),
                (Some(mask), [Output::Map(x)]) => Output::Map(masked(x, mask)),
                (Some(_), _) => unreachable!("dropout has one input"),
            };
            outputs.push(Some(output));
            for at in 0..index {
                if last_use[at] == index {
                    outputs[at] = None;
                }
            }
        }
        match outputs.pop().flatten() {
            Some(Output::Vector(logits)) => logits,
            _ => unreachable!("a checked net ends with a vector"),
        }
    }
}

fn tensor<const D: usize>((array, device): (&Array, &Device)) -> Tensor<D> {
    Tensor::from_data(TensorData::new(array.values.clone(), array.shape.clone()), device)
}

fn masked<const D: usize>(x: &Tensor<D>, mask: &TensorData) -> Tensor<D> {
    x.clone() * Tensor::from_data(mask.clone(), &x.device())
}

fn put<const D: usize>(param: &mut Param<Tensor<D>>, tensor: Tensor<D>) {
    let learns = param.is_require_grad();
    *param = Param::initialized(param.id, tensor.set_require_grad(learns));
}

/// A new layer, before its values are set; `None` for an operation that needs no layer.
fn make(layer: &nets::Layer, device: &Device) -> anyhow::Result<Option<Layer>> {
    let channels = layer.input_shapes[0].channels();
    let padding = |Padding { top, bottom, left, right }: Padding| {
        PaddingConfig2d::Explicit(top, left, bottom, right)
    };
    Ok(Some(match &layer.operation {
        Operation::Conv2d(conv) => Layer::Conv(
            Conv2dConfig::new([channels, conv.channels], conv.kernel)
                .with_stride(conv.stride)
                .with_padding(padding(conv.padding))
                .with_groups(conv.groups)
                .with_bias(conv.bias)
                .with_initializer(Initializer::Zeros)
                .init(device),
        ),
        Operation::Dense(dense) => Layer::Dense(
            LinearConfig::new(channels, dense.units)
                .with_bias(dense.bias)
                .with_initializer(Initializer::Zeros)
                .init(device),
        ),
        Operation::BatchNorm(norm) => Layer::BatchNorm(
            BatchNormConfig::new(channels)
                .with_epsilon(norm.epsilon)
                .with_momentum(norm.momentum)
                .init(device),
        ),
        Operation::LayerNorm(norm) => {
            Layer::LayerNorm(LayerNormConfig::new(channels).with_epsilon(norm.epsilon).init(device))
        }
        Operation::MaxPool2d(MaxPool2d { kernel, stride, padding: sides }) => Layer::MaxPool(
            MaxPool2dConfig::new(*kernel)
                .with_strides(*stride)
                .with_padding(padding(*sides))
                .init(),
        ),
        Operation::AvgPool2d(AvgPool2d { kernel, stride, padding: sides }) => Layer::AvgPool(
            AvgPool2dConfig::new(*kernel)
                .with_strides(*stride)
                .with_padding(padding(*sides))
                .init(),
        ),
        Operation::AdaptiveAvgPool2d(adaptive) => {
            Layer::AdaptiveAvgPool(AdaptiveAvgPool2dConfig::new(adaptive.output).init())
        }
        Operation::Dropout(dropout) => Layer::Dropout(DropoutConfig::new(dropout.rate).init()),
        Operation::LstmLayer(_) | Operation::GruLayer(_) => {
            bail!(
                "the program for burn has no recurrent layers, whose gates are layers of their own in burn"
            )
        }
        Operation::Custom(_) => bail!("burn cannot run code that was written for tch"),
        Operation::Activation(_)
        | Operation::Add(_)
        | Operation::Concat(_)
        | Operation::Flatten(_)
        | Operation::GlobalAvgPool2d(_)
        | Operation::Rows(_)
        | Operation::Upsample(_) => return Ok(None),
    }))
}

fn apply(layer: &nets::Layer, module: Option<&Layer>, inputs: Vec<Output>) -> Output {
    let mut inputs = inputs.into_iter();
    let first = inputs.next().unwrap_or_else(|| unreachable!("a checked net's layers have inputs"));
    match (module, first) {
        (Some(Layer::Conv(conv)), Output::Map(x)) => Output::Map(conv.forward(x)),
        (Some(Layer::Dense(dense)), Output::Vector(x)) => Output::Vector(dense.forward(x)),
        (Some(Layer::BatchNorm(norm)), Output::Map(x)) => Output::Map(norm.forward(x)),
        (Some(Layer::BatchNorm(norm)), Output::Vector(x)) => Output::Vector(norm.forward(x)),
        (Some(Layer::LayerNorm(norm)), Output::Vector(x)) => Output::Vector(norm.forward(x)),
        (Some(Layer::MaxPool(pool)), Output::Map(x)) => Output::Map(pool.forward(x)),
        (Some(Layer::AvgPool(pool)), Output::Map(x)) => Output::Map(pool.forward(x)),
        (Some(Layer::AdaptiveAvgPool(pool)), Output::Map(x)) => Output::Map(pool.forward(x)),
        (Some(Layer::Dropout(dropout)), Output::Map(x)) => Output::Map(dropout.forward(x)),
        (Some(Layer::Dropout(dropout)), Output::Vector(x)) => Output::Vector(dropout.forward(x)),
        (None, Output::Map(x)) => plain_map(layer, x, inputs),
        (None, Output::Vector(x)) => Output::Vector(plain_vector(layer, x, inputs)),
        _ => unreachable!("a checked net's layers fit"),
    }
}

fn activated<const D: usize>(function: Function, x: Tensor<D>) -> Tensor<D> {
    match function {
        Function::Relu => activation::relu(x),
        Function::Relu6 => x.clamp(0.0, 6.0),
        Function::LeakyRelu => activation::leaky_relu(x, 0.01),
        Function::Elu => activation::elu(x, 1.0),
        Function::Gelu => activation::gelu(x),
        Function::Silu => activation::silu(x),
        Function::Sigmoid => activation::sigmoid(x),
        Function::Tanh => activation::tanh(x),
    }
}

fn plain_map(layer: &nets::Layer, x: Tensor<4>, others: impl Iterator<Item = Output>) -> Output {
    let maps = others.filter_map(|other| match other {
        Output::Map(x) => Some(x),
        Output::Vector(_) => None,
    });
    Output::Map(match &layer.operation {
        Operation::Activation(Activation { function }) => activated(*function, x),
        Operation::Add(_) => maps.fold(x, |sum, other| sum + other),
        Operation::Concat(_) => Tensor::cat([vec![x], maps.collect()].concat(), 1),
        Operation::Flatten(flatten) => {
            let x = match flatten.order {
                FlattenOrder::ChannelHeightWidth => x,
                FlattenOrder::HeightWidthChannel => x.permute([0, 2, 3, 1]),
            };
            return Output::Vector(x.flatten(1, 3));
        }
        Operation::GlobalAvgPool2d(_) => {
            return Output::Vector(x.flatten::<3>(2, 3).mean_dim(2).squeeze_dim(2));
        }
        Operation::Rows(_) => {
            let [batch, channels, rows, columns] = x.dims();
            x.permute([0, 2, 3, 1]).reshape([batch, 1, rows, columns * channels])
        }
        Operation::Upsample(_) => {
            let axes = layer.output.axes();
            let output_size = Some([axes[1], axes[2]]);
            let nearest = InterpolateOptions::new(InterpolateMode::Nearest);
            interpolate(x, InterpolateOptions { output_size, ..nearest })
        }
        other => unreachable!("{other:?} has a layer"),
    })
}

fn plain_vector(
    layer: &nets::Layer,
    x: Tensor<2>,
    others: impl Iterator<Item = Output>,
) -> Tensor<2> {
    let vectors = others.filter_map(|other| match other {
        Output::Vector(x) => Some(x),
        Output::Map(_) => None,
    });
    match &layer.operation {
        Operation::Activation(Activation { function }) => activated(*function, x),
        Operation::Add(_) => vectors.fold(x, |sum, other| sum + other),
        Operation::Concat(_) => Tensor::cat([vec![x], vectors.collect()].concat(), 1),
        other => unreachable!("{other:?} takes no vector"),
    }
}
