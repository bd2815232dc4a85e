//! Which layer of a file is which layer of a net.

use super::stored::Stored;
use benchbook_nets::{Layer, Net, Parameter, Source};
use std::collections::HashMap;

/// Layers of a net by the indices of a file's layers.
#[derive(Debug, Default)]
pub(super) struct Assignment {
    layers: HashMap<usize, usize>,
}

impl Assignment {
    /// The index of the net's layer.
    pub(super) fn of_stored(&self, stored: usize) -> Option<usize> {
        self.layers.get(&stored).copied()
    }
}

/// The net's layers that have parameters.
fn weighted(net: &Net) -> impl Iterator<Item = (usize, &Layer)> {
    net.layers().iter().enumerate().filter(|(_, layer)| !layer.parameters.is_empty())
}

/// Assigns layers of equal names. A name that two layers of the file have assigns neither.
pub(super) fn by_name(layers: &[Stored], net: &Net) -> Assignment {
    let mut assignment = Assignment::default();
    let ranks = layers.iter().map(|layer| layer.names.len()).max().unwrap_or(0);
    let mut missing: Vec<_> = weighted(net).collect();
    // First by the best name of each layer, then by the next: a legacy file also has the names of enclosing groups.
    for rank in 0..ranks {
        let mut by_name: HashMap<&str, Vec<usize>> = HashMap::new();
        for (index, stored) in layers.iter().enumerate() {
            if let Some(name) = stored.names.get(rank)
                && !assignment.layers.contains_key(&index)
            {
                by_name.entry(name).or_default().push(index);
            }
        }
        missing.retain(|(index, layer)| {
            let found = [&layer.keras, &layer.name].into_iter().find_map(|name| {
                let found = by_name.get(name.as_str())?;
                (found.len() == 1).then_some(found[0])
            });
            let Some(found) = found.filter(|at| !assignment.layers.contains_key(at)) else {
                return true;
            };
            assignment.layers.insert(found, *index);
            false
        });
    }
    assignment
}

/// The suffixes and shapes of a layer's parameters.
type Signature = Vec<(String, Vec<usize>)>;

fn of_stored(stored: &Stored) -> Signature {
    let mut signature: Signature =
        stored.variables.iter().map(|v| (v.suffix.clone(), v.shape())).collect();
    signature.sort();
    signature
}

fn of_layer(net: &Net, layer: &Layer) -> Signature {
    let suffix = |p: &Parameter| p.name.rsplit('.').next().unwrap_or_default().to_owned();
    let parameters = net.parameters_of(layer).iter();
    let mut signature: Signature = parameters.map(|p| (suffix(p), p.shape.clone())).collect();
    signature.sort();
    signature
}

/// Layers of equal signatures among the net's first `count`.
fn groups_of(net: &Net, count: usize) -> Vec<(Signature, Vec<usize>)> {
    let mut groups: Vec<(Signature, Vec<usize>)> = Vec::new();
    for (index, layer) in weighted(net).take_while(|(index, _)| *index < count) {
        let signature = of_layer(net, layer);
        match groups.iter_mut().find(|(known, _)| *known == signature) {
            Some((_, group)) => group.push(index),
            None => groups.push((signature, vec![index])),
        }
    }
    groups
}

/// Assigns the layers of each signature in order: all of the net's, or those of its base. `None` if
/// the file has another number of layers, or an order that is not the net's.
///
/// # Errors
/// Why the order does not determine the assignment.
pub(super) fn by_order(layers: &[Stored], net: &Net) -> Result<Option<Assignment>, String> {
    let mut stored: HashMap<Signature, Vec<usize>> = HashMap::new();
    for (index, layer) in layers.iter().enumerate() {
        stored.entry(of_stored(layer)).or_default().push(index);
    }
    let as_many = |groups: &[(Signature, Vec<usize>)]| {
        groups.iter().all(|(signature, group)| {
            stored.get(signature).is_some_and(|found| found.len() == group.len())
        })
    };
    let mut groups = groups_of(net, net.layers().len());
    if !as_many(&groups)
        || groups.iter().map(|(_, group)| group.len()).sum::<usize>() != layers.len()
    {
        groups = groups_of(net, net.base());
        if groups.is_empty() || !as_many(&groups) {
            return Ok(None);
        }
    }
    let ancestors = ancestors(net);
    let mut pairs = Vec::new();
    for (signature, group) in &groups {
        for (from, to) in stored[signature].iter().zip(group) {
            pairs.push((*from, *to));
        }
        if let Some(problem) = choice(net, layers, &ancestors, &stored[signature], group) {
            return Err(problem);
        }
    }
    // A layer that comes after another in the net comes after it in the file.
    let contradicts = |(one, first): &(usize, usize), (other, second): &(usize, usize)| {
        ancestors[*second][*first] && is_before(&layers[*other], &layers[*one]).unwrap_or(false)
    };
    if pairs.iter().any(|one| pairs.iter().any(|other| contradicts(one, other))) {
        return Ok(None);
    }
    Ok(Some(Assignment { layers: pairs.into_iter().collect() }))
}

/// Why layers of equal shapes can be assigned in more than one way.
fn choice(
    net: &Net,
    layers: &[Stored],
    ancestors: &[Vec<bool>],
    stored: &[usize],
    group: &[usize],
) -> Option<String> {
    const ADVICE: &str = "give the net's layers the file's names (`Node::keras`)";
    for pair in group.windows(2) {
        if !ancestors[pair[1]][pair[0]] {
            let name = |index: usize| &net.layers()[index].name;
            return Some(format!(
                "its layers `{}` and `{}` have the same shapes and neither follows the other; {ADVICE}",
                name(pair[0]),
                name(pair[1])
            ));
        }
    }
    for pair in stored.windows(2) {
        let [one, other] = [pair[0], pair[1]].map(|index| &layers[index]);
        if is_before(one, other).is_none() {
            return Some(format!(
                "the file does not tell the order of its layers `{}` and `{}`, which have the same shapes; {ADVICE}",
                one.path, other.path
            ));
        }
    }
    None
}

/// Whether one layer precedes the other, if the file has an order.
fn is_before(one: &Stored, other: &Stored) -> Option<bool> {
    let class = |stored: &Stored| {
        let last = stored.path.rsplit('/').next().unwrap_or_default();
        last.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('_').to_owned()
    };
    let list = one.list.as_ref().filter(|list| other.list.as_ref() == Some(list))?;
    // Without the model's order, Keras 3 numbers the layers of each class.
    (list.is_empty() || class(one) == class(other)).then_some(one.place < other.place)
}

/// For each layer, which layers its output depends on.
fn ancestors(net: &Net) -> Vec<Vec<bool>> {
    let mut ancestors: Vec<Vec<bool>> = Vec::new();
    for layer in net.layers() {
        let mut own = vec![false; net.layers().len()];
        for source in &layer.inputs {
            if let Source::Layer(at) = *source {
                own[at] = true;
                own.iter_mut().zip(&ancestors[at]).for_each(|(own, of)| *own |= *of);
            }
        }
        ancestors.push(own);
    }
    ancestors
}
