//! The forward pass with LibTorch's operations: one arm for each operation.

use crate::net::{Mode, Model};
use crate::ranks;
use benchbook_nets::{FlattenOrder, Function, Layer, Operation, Padding, Shape, Source};
use std::ops::Range;
use tch::{Kind, TchError, Tensor};

impl Model {
    /// The output of the last of these layers. `input` is the input of the first: the net's input, or the
    /// output of the previous layer.
    pub(crate) fn forward(
        &self,
        layers: Range<usize>,
        input: &Tensor,
        mode: Mode<'_>,
    ) -> Result<Tensor, TchError> {
        let (first, last) = (layers.start, layers.end - 1);
        // Outputs that later layers need. Each is freed after its last use, as in a chain of calls.
        let mut outputs: Vec<Option<Tensor>> = vec![];
        outputs.resize_with(layers.len(), || None);
        for index in layers {
            let layer = &self.plan.net.layers()[index];
            let mut inputs = Vec::with_capacity(layer.inputs.len());
            for source in &layer.inputs {
                inputs.push(match *source {
                    Source::Layer(at) if at >= first => {
                        let output = &mut outputs[at - first];
                        let is_last = self.last_use[at] == index && layer.inputs.len() == 1;
                        let taken = if is_last { output.take() } else { None };
                        // Earlier layers were computed before.
                        taken.or_else(|| output.as_ref().map(Tensor::shallow_clone))
                    }
                    Source::Layer(_) | Source::Input => Some(input.shallow_clone()),
                });
            }
            let inputs: Vec<Tensor> = inputs.into_iter().flatten().collect();
            let output = self.layer(index, layer, &inputs, mode)?;
            for source in &layer.inputs {
                if let Source::Layer(at) = *source
                    && at >= first
                    && self.last_use[at] == index
                {
                    outputs[at - first] = None;
                }
            }
            outputs[index - first] = Some(output);
        }
        // The loop has filled it.
        Ok(outputs.swap_remove(last - first).unwrap_or_else(|| input.shallow_clone()))
    }

    fn layer(
        &self,
        index: usize,
        layer: &Layer,
        inputs: &[Tensor],
        mode: Mode<'_>,
    ) -> Result<Tensor, TchError> {
        let x = &inputs[0];
        let weight = |suffix| self.tensor(layer, suffix);
        match &layer.operation {
            Operation::Conv2d(conv) => {
                let kernel = self.cast(weight("weight"))?;
                let bias = conv.bias.then(|| self.cast(weight("bias"))).transpose()?;
                let x = self.cast(x)?;
                let (x, sides) = padded(&x, conv.padding, 0.0)?;
                let [stride, sides] = [conv.stride, sides].map(axes);
                x.f_conv2d(&kernel, bias.as_ref(), stride, sides, [1, 1], conv.groups as i64)
            }
            Operation::Dense(dense) => {
                let matrix = self.cast(weight("weight"))?;
                let bias = dense.bias.then(|| self.cast(weight("bias"))).transpose()?;
                self.cast(x)?.f_linear(&matrix, bias.as_ref())
            }
            Operation::BatchNorm(norm) => {
                // Reading gradients must not change the running statistics.
                let running = |suffix| match mode {
                    Mode::WithoutDropout => None,
                    Mode::Training { .. } | Mode::Inference => Some(weight(suffix)),
                };
                if self.ranks.is_some() && !matches!(mode, Mode::Inference) {
                    let running = running("running_mean").zip(running("running_var"));
                    return ranks::batch_norm(
                        x,
                        [weight("weight"), weight("bias")],
                        running.map(|(mean, variance)| [mean, variance]),
                        [norm.momentum, norm.epsilon],
                    );
                }
                x.f_batch_norm(
                    Some(weight("weight")),
                    Some(weight("bias")),
                    running("running_mean"),
                    running("running_var"),
                    !matches!(mode, Mode::Inference),
                    norm.momentum,
                    norm.epsilon,
                    true,
                )
            }
            Operation::LayerNorm(norm) => {
                let length = [layer.output.len() as i64];
                let x = x.f_to_kind(self.kind())?;
                let (scale, shift) = (Some(weight("weight")), Some(weight("bias")));
                x.f_layer_norm(length, scale, shift, norm.epsilon, true)
            }
            Operation::Activation(activation) => match activation.function {
                // In place if nothing else needs the overwritten values.
                Function::Relu if self.is_in_place(layer) => x.shallow_clone().f_relu_(),
                Function::Relu => x.f_relu(),
                Function::Relu6 => x.f_relu6(),
                Function::LeakyRelu => x.f_leaky_relu(),
                Function::Elu => x.f_elu(),
                Function::Gelu => x.f_gelu("none"),
                Function::Silu => x.f_silu(),
                Function::Sigmoid => x.f_sigmoid(),
                Function::Tanh => x.f_tanh(),
            },
            Operation::MaxPool2d(pool) => {
                let (x, sides) = padded(x, pool.padding, f64::NEG_INFINITY)?;
                let [kernel, stride, sides] = [pool.kernel, pool.stride, sides].map(axes);
                x.f_max_pool2d(kernel, stride, sides, [1, 1], false)
            }
            Operation::AvgPool2d(pool) => {
                let (x, sides) = padded(x, pool.padding, 0.0)?;
                let [kernel, stride, sides] = [pool.kernel, pool.stride, sides].map(axes);
                x.f_avg_pool2d(kernel, stride, sides, false, true, None::<i64>)
            }
            Operation::AdaptiveAvgPool2d(pool) => x.f_adaptive_avg_pool2d(axes(pool.output)),
            Operation::GlobalAvgPool2d(_) => x.f_mean_dim([2, 3].as_slice(), false, None::<Kind>),
            Operation::Add(_) => {
                let mut sum = x.f_add(&inputs[1])?;
                for more in &inputs[2..] {
                    sum = sum.f_add(more)?;
                }
                Ok(sum)
            }
            Operation::Concat(_) => Tensor::f_cat(inputs, 1),
            Operation::Custom(custom) => match &self.code {
                Some(code) => {
                    let seed = match mode {
                        Mode::Training { seed, .. } => Some(seed),
                        Mode::WithoutDropout | Mode::Inference => None,
                    };
                    code.forward(x, custom.units, seed, !matches!(mode, Mode::Inference))
                }
                None => Err(TchError::Torch("the net's code is not in this process".into())),
            },
            Operation::Flatten(flatten) => match flatten.order {
                FlattenOrder::HeightWidthChannel => x.f_permute([0, 2, 3, 1])?.f_flatten(1, -1),
                FlattenOrder::ChannelHeightWidth => x.f_flatten(1, -1),
            },
            Operation::Rows(_) => x.f_permute([0, 2, 3, 1])?.f_flatten(2, 3)?.f_unsqueeze(1),
            Operation::LstmLayer(lstm) => {
                let (x, start, weights) = self.recurrent(layer, x, lstm.units)?;
                let (start, weights) = ([&start, &start], weights.each_ref());
                let train = !matches!(mode, Mode::Inference);
                let (all, last, _) =
                    x.f_lstm(&start, &weights, true, 1, 0.0, train, false, true)?;
                if lstm.return_sequences { all.f_unsqueeze(1) } else { last.f_squeeze_dim(0) }
            }
            Operation::GruLayer(gru) => {
                let (x, start, weights) = self.recurrent(layer, x, gru.units)?;
                let train = !matches!(mode, Mode::Inference);
                let (all, last) = x.f_gru(&start, &weights, true, 1, 0.0, train, false, true)?;
                if gru.return_sequences { all.f_unsqueeze(1) } else { last.f_squeeze_dim(0) }
            }
            Operation::Upsample(_) => {
                let size = &batched(1, layer.output)[2..];
                x.f_upsample_nearest2d(size, None::<f64>, None::<f64>)
            }
            Operation::Dropout(dropout) => match mode {
                Mode::Training { masks, .. } if dropout.rate > 0.0 => {
                    x.f_mul(&masks[&index].f_view_(x.size())?.f_to_kind(x.kind())?)
                }
                Mode::Training { .. } | Mode::WithoutDropout | Mode::Inference => {
                    Ok(x.shallow_clone())
                }
            },
        }
    }

    /// The arguments of LibTorch's recurrent layers: `[batch, steps, features]`, a state of zeros `[1, batch, units]`, and the
    /// weights. The second bias is zero.
    fn recurrent(
        &self,
        layer: &Layer,
        x: &Tensor,
        units: usize,
    ) -> Result<(Tensor, Tensor, [Tensor; 4]), TchError> {
        let x = self.cast(x)?.f_squeeze_dim(1)?;
        let weight = |suffix| self.cast(self.tensor(layer, suffix));
        let bias = weight("bias_ih_l0")?;
        let zeros = bias.f_detach()?.f_zeros_like()?;
        let weights = [weight("weight_ih_l0")?, weight("weight_hh_l0")?, bias, zeros];
        let (features, units) = (x.size()[2], units as i64);
        if x.device().is_cuda() && tch::Cuda::cudnn_is_available() {
            // cuDNN needs contiguous weights and otherwise warns in each step.
            let _guard = tch::no_grad_guard();
            let kind = if matches!(layer.operation, Operation::LstmLayer(_)) { 2 } else { 3 };
            // The returned tensor is the memory that the weights now share.
            let _shared = Tensor::f_internal_cudnn_rnn_flatten_weight(
                &weights, 4, features, kind, units, 0, 1, true, false,
            )?;
        }
        let start = Tensor::f_zeros([1, x.size()[0], units], (x.kind(), x.device()))?;
        Ok((x, start, weights))
    }

    /// Whether a ReLU may overwrite its input: nothing else uses the value, and the previous layer does not need
    /// its output for the backward pass.
    fn is_in_place(&self, layer: &Layer) -> bool {
        let [Source::Layer(before)] = layer.inputs[..] else { return false };
        let producer = &self.plan.net.layers()[before].operation;
        self.uses[before] == 1
            && matches!(
                producer,
                Operation::Conv2d(_)
                    | Operation::Dense(_)
                    | Operation::BatchNorm(_)
                    | Operation::Add(_)
            )
    }
}

fn axes(pair: [usize; 2]) -> [i64; 2] {
    pair.map(|length| length as i64)
}

/// Pads the map where the operation cannot, and returns the padding that is left for the operation.
fn padded(x: &Tensor, padding: Padding, value: f64) -> Result<(Tensor, [usize; 2]), TchError> {
    if let Some(sides) = padding.symmetric() {
        return Ok((x.shallow_clone(), sides));
    }
    let Padding { top, bottom, left, right } = padding;
    let sides = [left, right, top, bottom].map(|length| length as i64);
    Ok((x.f_pad(sides, "constant", value)?, [0, 0]))
}

/// The axes of a batch of this shape.
pub(crate) fn batched(batch: usize, shape: Shape) -> Vec<i64> {
    std::iter::once(batch).chain(shape.axes().iter().copied()).map(|length| length as i64).collect()
}
