//! Keras' weights in HDF5: the legacy `.h5` of Keras 1 to 3, Keras 3's `.weights.h5`, and the latter in a `.keras`.
//!
//! | file | a layer's variables |
//! | --- | --- |
//! | Keras 1 | `block1_conv1/block1_conv1_W_1:0`, `block1_conv1/block1_conv1_b_1:0` |
//! | Keras 2 and 3, `.h5` | `block1_conv1/block1_conv1/kernel:0`; below `model_weights` if the whole model was saved |
//! | Keras 3, `.weights.h5` | `layers/conv2d_1/vars/0`: the second `Conv2D` of the model, whatever its name; `layers/lstm/cell/vars/0` |
//!
//! Layers are found by their names, which are [`Layer::keras`] or the net's own. Keras 3 keeps the names in attributes
//! of `vars` or in the `config.json` of a `.keras`. Where the names are not the net's (Keras makes them up: `conv2d_7`),
//! layers are found by their order among those of equal shapes, if the net leaves no choice.
//!
//! Kernels become `[outputs, inputs, rows, columns]` and `[outputs, inputs]`; a GRU's gates z, r, h become r, z, n. Keras flattens maps with the channel
//! changing fastest; what follows a [`FlattenOrder::ChannelHeightWidth`] is put into that order.

mod archive;
mod assign;
mod order;
mod stored;

use crate::error::WeightsError;
use crate::fit::{self, Fit, Tensor};
use crate::recurrent;
use crate::{Format, Weights};
use assign::Assignment;
use benchbook_backend::{Array, Parameters};
use benchbook_data::open_file;
#[cfg(doc)]
use benchbook_nets::{FlattenOrder, Layer};
use benchbook_nets::{Net, Parameter};
use hdf5_pure::{DType, File};
use std::collections::HashMap;
use std::path::Path;
use stored::{Stored, Variable};

pub(crate) use archive::WEIGHTS as ARCHIVED_WEIGHTS;

/// The expected kind of file, for messages.
const EXPECTED: &str = "Keras' weights (HDF5)";
/// Bytes of one value, a double at most.
const VALUE: u64 = 8;

/// Reads what a net needs of Keras' weights; see [`crate::read`].
///
/// # Errors
/// [`WeightsError`], also if neither the names nor the order of layers determine the assignment.
pub fn read(path: &Path, net: &Net) -> Result<Weights, WeightsError> {
    let wrong = |problem: String| WeightsError::format(EXPECTED, &problem, path);
    let input = open_file(path).map_err(WeightsError::file("read", path))?;
    let format = Format::of(path)?;
    let (file, config) = match format {
        Format::KerasArchive => archive::open(input).map_err(&wrong)?,
        _ => {
            let file = File::open_streaming(path).map_err(|error| wrong(error.to_string()))?;
            (file, None)
        }
    };
    let layers = stored::layers(&file, config.as_deref()).map_err(&wrong)?;
    let fit = choose(&layers, net, path)?;
    let variables: Vec<&Variable> = layers.iter().flat_map(|layer| &layer.variables).collect();
    let orders =
        order::of_values(net).map_err(|problem| WeightsError::ambiguous(net, &problem, path))?;
    let mut parameters = Parameters::default();
    for (from, to) in fit.pairs {
        let (variable, parameter) = (variables[from], &net.parameters()[to]);
        let (mut array, second_bias) = values(variable, parameter, path)?;
        if let Some(order) = orders.get(&to) {
            array = order::reordered(&array, order);
        }
        parameters.arrays.insert(parameter.name.clone(), array);
        let mut layers = net.layers().iter();
        if let Some(second) = second_bias
            && let Some(layer) = layers.find(|layer| layer.parameters.contains(&to))
        {
            recurrent::merge(layer, &second, &mut parameters, path)?;
        }
    }
    Ok(Weights { parameters, left_out: fit.left_out, metadata: HashMap::new(), format })
}

/// The layers' tensors by their names in the net, or by their paths in the file.
fn listed(layers: &[Stored], assignment: &Assignment, net: &Net) -> Vec<Tensor> {
    let mut tensors = Vec::new();
    for (index, stored) in layers.iter().enumerate() {
        let own = assignment.of_stored(index).map(|layer| &net.layers()[layer].name);
        for variable in &stored.variables {
            let name = match own {
                Some(name) => format!("{name}.{}", variable.suffix),
                None => format!("{}/{}", stored.path, variable.suffix),
            };
            tensors.push(Tensor::new(name, &variable.shape()));
        }
    }
    tensors
}

/// Assigns layers by name or, if that does not give the whole net, by order.
fn choose(layers: &[Stored], net: &Net, path: &Path) -> Result<Fit, WeightsError> {
    let whole = |fit: &Result<Fit, _>| {
        fit.as_ref().is_ok_and(|fit| fit.pairs.len() == net.parameters().len())
    };
    let fit = |assignment: &Assignment| fit::fit(listed(layers, assignment, net), net, path);
    let named = fit(&assign::by_name(layers, net));
    if whole(&named) {
        return named;
    }
    match assign::by_order(layers, net) {
        Ok(Some(ordered)) => {
            let ordered = fit(&ordered);
            if whole(&ordered) || (named.is_err() && ordered.is_ok()) { ordered } else { named }
        }
        Ok(None) => named,
        Err(problem) => named.map_err(|_| WeightsError::ambiguous(net, &problem, path)),
    }
}

/// A variable's values in the layout of a parameter of the same shape, and a GRU's second bias.
fn values(
    variable: &Variable,
    parameter: &Parameter,
    path: &Path,
) -> Result<(Array, Option<Vec<f32>>), WeightsError> {
    let Variable { data, path: name, .. } = variable;
    let wrong =
        |problem: String| WeightsError::format(EXPECTED, &format!("`{name}`: {problem}"), path);
    let failed = |error: hdf5_pure::Error| wrong(error.to_string());
    let kind = data.dtype().map_err(failed)?;
    let bytes = data.element_size().map_err(failed)?;
    if !matches!(kind, DType::F32 | DType::F64) {
        return Err(WeightsError::kind(name, &kind.to_string(), path));
    }
    // A chunk is unpacked as a whole, and a value may have any size.
    let count = parameter.len() as u64 * if variable.has_two_biases() { 2 } else { 1 };
    let chunk = data.chunk_shape().map_err(failed)?.unwrap_or_default();
    let unpacked = chunk.iter().try_fold(1, |values: u64, length| values.checked_mul(*length));
    if unpacked.is_none_or(|values| values > count) || bytes > VALUE {
        return Err(wrong(format!(
            "chunks of {chunk:?} values of {bytes} bytes, where the net's `{}` has {count} values",
            parameter.name
        )));
    }
    let mut values = data.read_f32().map_err(failed)?;
    if values.len() as u64 != count {
        return Err(wrong(format!("{} values instead of {count}", values.len())));
    }
    let second = variable.has_two_biases().then(|| values.split_off(parameter.len()));
    let second = second.map(|second| variable.gates_in_order(second));
    Ok((variable.outputs_first(values), second))
}

#[cfg(test)]
mod tests {
    use super::*;
    use benchbook_nets::{Architecture, Conv2d, Graph, Node, Sequential};
    use std::path::PathBuf;

    fn saved(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
    }

    /// One convolution of 2 channels, and a head.
    fn net(convolutions: usize) -> Net {
        let head = Sequential::image(3, 4, 4).global_avg_pool().dense(2).graph();
        let node = |index| {
            Node::new(format!("conv.{index}"), Conv2d::same(2, 3))
                .keras(format!("block1_conv{index}"))
        };
        let mut nodes: Vec<Node> = (1..=convolutions).map(node).collect();
        nodes.extend(head.nodes.clone());
        Net::new(Graph { nodes, base: convolutions, ..head }).unwrap()
    }

    #[test]
    fn the_legacy_layouts_are_read_and_turned() {
        // make.py: numpy.arange(54) as [3, 3, 3, 2], so kernel[r, c, i, o] = 18r + 6c + 2i + o.
        for name in ["keras1.h5", "keras2.h5", "gzip.h5"] {
            let arrays = read(&saved(name), &net(1)).unwrap().parameters.arrays;
            let kernel = &arrays["conv.1.weight"];
            assert_eq!(kernel.shape, [2, 3, 3, 3], "{name}");
            let at = |o: usize, i: usize, r: usize, c: usize| {
                kernel.values[((o * 3 + i) * 3 + r) * 3 + c]
            };
            assert_eq!([at(0, 0, 0, 0), at(1, 2, 0, 1), at(1, 1, 2, 0)], [0.0, 11.0, 39.0]);
            assert_eq!(arrays["conv.1.bias"].values, [0.5, -0.25]);
            assert_eq!(arrays.len(), 2);
        }
    }

    #[test]
    fn what_a_hostile_file_states_is_not_made_room_for() {
        // make.py: a dataset of 2^40 values, and one of 54 in chunks of 27 × 2^20, both in files of a few kB.
        for (name, stated) in [("huge.h5", "[1099511627776]"), ("chunk.h5", "[3, 3, 3, 1048576]")] {
            let path = saved("hostile").join(name);
            let file = File::open_streaming(&path).unwrap();
            let layers = stored::layers(&file, None).unwrap();
            let kernel = &layers[0].variables[0];
            let wrong = values(kernel, &net(1).parameters()[0], &path).unwrap_err();
            let text = wrong.to_string();
            assert!(text.contains(stated) || kernel.shape() == [1 << 40], "{text}");
            let text = read(&path, &net(1)).unwrap_err().to_string();
            assert!(text.contains("conv.1"), "{text}");
        }
    }

    #[test]
    fn a_missing_layer_and_another_format_are_named() {
        let text = read(&saved("keras1.h5"), &net(2)).unwrap_err().to_string();
        assert!(text.contains("`conv.2.weight`") && text.contains("keras1.h5"), "{text}");
        let text = read(&saved("zip.pth"), &net(1)).unwrap_err().to_string();
        assert!(text.contains("Keras' weights"), "{text}");
    }
}
