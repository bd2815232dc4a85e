//! Recurrent layers, unrolled: the C API has no gradients of loops.

use super::variables::Variable;
use crate::api::Output;
use crate::graph::Graph;
use benchbook_backend::BackendError;
use benchbook_nets::Shape;

type Result<T> = std::result::Result<T, BackendError>;

/// The hidden state `[batch, units]` of each step. The gates are i, f, g, o.
pub(super) fn lstm(
    graph: &mut Graph,
    variables: &[Variable],
    x: Output,
    shape: Shape,
) -> Result<Vec<Output>> {
    let (mut states, mut state) = (Vec::new(), None);
    for input in inputs(graph, variables, x, shape)? {
        let (hidden, cell) = match state {
            Some(state) => state,
            None => [zeros(graph, input, 4)?; 2].into(),
        };
        let product = graph.apply(c"MatMul", &[hidden, variables[1].value])?;
        let gates = graph.apply(c"AddV2", &[input, product])?;
        let gates = graph.split(gates, 4, 1)?;
        let [i, f, o] = [0, 1, 3].map(|at| graph.apply(c"Sigmoid", &[gates[at]]));
        let g = graph.apply(c"Tanh", &[gates[2]])?;
        let kept = graph.apply(c"Mul", &[f?, cell])?;
        let new = graph.apply(c"Mul", &[i?, g])?;
        let cell = graph.apply(c"AddV2", &[kept, new])?;
        let shown = graph.apply(c"Tanh", &[cell])?;
        let hidden = graph.apply(c"Mul", &[o?, shown])?;
        states.push(hidden);
        state = Some((hidden, cell));
    }
    Ok(states)
}

/// The hidden state `[batch, units]` of each step. The gates are r, z, n.
pub(super) fn gru(
    graph: &mut Graph,
    variables: &[Variable],
    x: Output,
    shape: Shape,
) -> Result<Vec<Output>> {
    let mut states: Vec<Output> = Vec::new();
    for input in inputs(graph, variables, x, shape)? {
        let hidden = match states.last() {
            Some(hidden) => *hidden,
            None => zeros(graph, input, 3)?,
        };
        let product = graph.apply(c"MatMul", &[hidden, variables[1].value])?;
        let (of_input, of_state) = (graph.split(input, 3, 1)?, graph.split(product, 3, 1)?);
        let [reset, update] = [0, 1].map(|at| {
            let sum = graph.apply(c"AddV2", &[of_input[at], of_state[at]])?;
            graph.apply(c"Sigmoid", &[sum])
        });
        let remembered = graph.apply(c"Mul", &[reset?, of_state[2]])?;
        let sum = graph.apply(c"AddV2", &[of_input[2], remembered])?;
        let new = graph.apply(c"Tanh", &[sum])?;
        // (1 − z) · n + z · h = n + z · (h − n)
        let change = graph.apply(c"Sub", &[hidden, new])?;
        let change = graph.apply(c"Mul", &[update?, change])?;
        states.push(graph.apply(c"AddV2", &[new, change])?);
    }
    Ok(states)
}

/// For each step the product of its features with their weights and the bias, `[batch, gates · units]`.
fn inputs(
    graph: &mut Graph,
    variables: &[Variable],
    x: Output,
    shape: Shape,
) -> Result<Vec<Output>> {
    let (steps, features) = (shape.axes()[1], shape.axes()[2]);
    let x = graph.reshape(x, &[-1, steps as i32, features as i32])?;
    let x = graph.transpose(x, &[1, 0, 2])?;
    let x = graph.reshape(x, &[-1, features as i32])?;
    let product = graph.apply(c"MatMul", &[x, variables[0].value])?;
    let all = graph.apply(c"BiasAdd", &[product, variables[2].value])?;
    // The gradient of a split is a concatenation, which needs two values or more.
    if steps == 1 { Ok(vec![all]) } else { graph.split(all, steps, 0) }
}

/// The state before the first step: zeros of the shape of one gate.
fn zeros(graph: &mut Graph, input: Output, gates: usize) -> Result<Output> {
    let gate = graph.split(input, gates, 1)?[0];
    graph.apply(c"ZerosLike", &[gate])
}

/// The last state, or all of them as a sequence of this shape.
pub(super) fn output(
    graph: &mut Graph,
    states: &[Output],
    return_sequences: bool,
    shape: Shape,
) -> Result<Output> {
    if !return_sequences {
        return Ok(states[states.len() - 1]);
    }
    // A concatenation needs two values or more.
    let all = if let [one] = states { *one } else { graph.concat(states, 1)? };
    graph.examples(all, shape)
}
