//! The order of a vector's values after a flattening, which differs between Keras and PyTorch.

use benchbook_backend::Array;
use benchbook_nets::{FlattenOrder, Layer, Net, Operation, Shape, Source};
use std::collections::HashMap;
use std::rc::Rc;

/// For each value of the net's vector, its place in Keras' vector; `None` if both are the same.
type Order = Option<Rc<Vec<usize>>>;

/// The order of the last axis of each parameter, by the parameter's index, where it differs from Keras' own.
///
/// # Errors
/// A sentence, if two vectors in different orders are added.
pub(super) fn of_values(net: &Net) -> Result<HashMap<usize, Rc<Vec<usize>>>, String> {
    let mut orders: Vec<Order> = Vec::new();
    let mut found = HashMap::new();
    for layer in net.layers() {
        let inputs: Vec<Order> = layer
            .inputs
            .iter()
            .map(|source| match *source {
                Source::Input => None,
                Source::Layer(at) => orders[at].clone(),
            })
            .collect();
        if let [Some(order)] = &inputs[..] {
            for (index, parameter) in layer.parameters.clone().zip(net.parameters_of(layer)) {
                // The bias of a dense layer belongs to its outputs.
                if parameter.shape.last() == Some(&order.len())
                    && !is_output(layer, &parameter.shape)
                {
                    found.insert(index, Rc::clone(order));
                }
            }
        }
        orders.push(of_output(layer, &inputs)?);
    }
    Ok(found)
}

fn is_output(layer: &Layer, shape: &[usize]) -> bool {
    matches!(layer.operation, Operation::Dense(_)) && shape.len() == 1
}

fn of_output(layer: &Layer, inputs: &[Order]) -> Result<Order, String> {
    let (Shape::Vector(_), Some(first)) = (layer.output, layer.input_shapes.first()) else {
        return Ok(None);
    };
    Ok(match &layer.operation {
        Operation::Flatten(flatten) => match (flatten.order, *first) {
            (FlattenOrder::ChannelHeightWidth, Shape::Map([channels, height, width]))
                if channels > 1 && height * width > 1 =>
            {
                let places = 0..channels;
                let keras = |channel| (0..height * width).map(move |at| at * channels + channel);
                Some(Rc::new(places.flat_map(keras).collect()))
            }
            _ => None,
        },
        Operation::Concat(_) => {
            if inputs.iter().all(Option::is_none) {
                return Ok(None);
            }
            let mut whole = Vec::new();
            for (order, shape) in inputs.iter().zip(&layer.input_shapes) {
                let start = whole.len();
                match order {
                    Some(order) => whole.extend(order.iter().map(|at| start + at)),
                    None => whole.extend(start..start + shape.len()),
                }
            }
            Some(Rc::new(whole))
        }
        Operation::Add(_) => {
            if inputs.iter().any(|order| *order != inputs[0]) {
                return Err(format!(
                    "layer `{}` adds a flattened map to another vector, whose orders differ in Keras; flatten in \
                     Keras' order (`height_width_channel`)",
                    layer.name
                ));
            }
            inputs[0].clone()
        }
        Operation::Dense(_) | Operation::GlobalAvgPool2d(_) => None,
        // Values keep their order.
        _ => inputs.first().cloned().flatten(),
    })
}

/// The array with the values of its last axis in another order.
pub(super) fn reordered(array: &Array, order: &[usize]) -> Array {
    let rows = array.values.chunks(order.len());
    let values = rows.flat_map(|row| order.iter().map(|at| row[*at])).collect();
    Array { shape: array.shape.clone(), values }
}
