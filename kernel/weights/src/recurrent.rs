//! The second bias of recurrent layers, which both libraries have and a net does not.

use crate::error::WeightsError;
use crate::fit::Tensor;
use benchbook_backend::Parameters;
use benchbook_nets::{Layer, Net, Operation};
use std::path::Path;

/// Removes PyTorch's second biases from the tensors that must match the net. Returns their indices and layers.
pub(crate) fn second_biases<'a>(tensors: &mut [Tensor], net: &'a Net) -> Vec<(usize, &'a Layer)> {
    let mut found = Vec::new();
    for (index, tensor) in tensors.iter_mut().enumerate() {
        let Some(name) = tensor.name.strip_suffix(".bias_hh_l0") else { continue };
        let mut layers = net.layers().iter();
        if let Some(layer) = layers.find(|layer| layer.name == name && is_recurrent(layer)) {
            tensor.is_candidate = false;
            found.push((index, layer));
        }
    }
    found
}

fn is_recurrent(layer: &Layer) -> bool {
    matches!(layer.operation, Operation::LstmLayer(_) | Operation::GruLayer(_))
}

/// Adds a layer's second bias to its first. In the candidate n of a GRU, where the sum would
/// compute a different result, the second bias must be zero. A layer that was left out stays so.
///
/// # Errors
/// [`WeightsError::Content`] for another value there, or another length.
pub(crate) fn merge(
    layer: &Layer,
    second: &[f32],
    parameters: &mut Parameters,
    path: &Path,
) -> Result<(), WeightsError> {
    let name = format!("{}.bias_ih_l0", layer.name);
    let Some(first) = parameters.arrays.get_mut(&name) else { return Ok(()) };
    let wrong = |got: String| {
        let expected =
            format!("a second bias of layer `{}` that can be added to the first", layer.name);
        WeightsError::format(&expected, &got, path)
    };
    if first.values.len() != second.len() {
        return Err(wrong(format!("{} values instead of {}", second.len(), first.values.len())));
    }
    let added = match layer.operation {
        Operation::GruLayer(_) => second.len() / 3 * 2,
        _ => second.len(),
    };
    if let Some(value) = second[added..].iter().find(|value| **value != 0.0) {
        return Err(wrong(format!(
            "{value} in its last third, the candidate's, which the reset gate multiplies; train with this part frozen at 0"
        )));
    }
    first.values.iter_mut().zip(second).for_each(|(first, second)| *first += second);
    Ok(())
}
