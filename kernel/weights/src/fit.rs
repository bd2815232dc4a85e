//! Matches the tensors of a file with the parameters of a net, by names and shapes alone.

use crate::error::{TensorShape, WeightsError};
use benchbook_nets::{Net, Parameter};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::path::Path;

/// Name parts that wrappers put into the names of a state dict: `DataParallel` (wherever the wrapped module stands)
/// and `torch.compile`.
const WRAPPERS: [&str; 2] = ["module", "_orig_mod"];

/// A tensor of a file before it is read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tensor {
    pub(crate) name: String,
    /// In the layout of a net's parameters.
    pub(crate) shape: Vec<usize>,
    /// Whether it may belong to the net; a tensor outside the prefix that the net's tensors share does not.
    pub(crate) is_candidate: bool,
}

impl Tensor {
    pub(crate) fn new(name: impl Into<String>, shape: &[usize]) -> Self {
        Self { name: name.into(), shape: shape.into(), is_candidate: true }
    }

    fn with_shape(&self) -> TensorShape {
        TensorShape { name: self.name.clone(), shape: self.shape.clone() }
    }
}

/// The head of a file that belongs to another classifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The weight of the last dense layer in the file.
    pub file: TensorShape,
    /// The weight of the net's last dense layer, `None` for a net whose head has none.
    pub net: Option<TensorShape>,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "left out the file's head, which ends with {}", self.file)?;
        match &self.net {
            Some(net) => write!(f, "; the net's head ends with {net}"),
            None => Ok(()),
        }
    }
}

/// The tensors to read.
#[derive(Debug)]
pub(crate) struct Fit {
    /// Indices of tensors in the file's list, each with the index of the net's parameter.
    pub(crate) pairs: Vec<(usize, usize)>,
    pub(crate) left_out: Option<LeftOut>,
}

/// Whether no net has a use for a tensor: PyTorch's batch normalisation counts batches.
pub(crate) fn is_ignored(name: &str) -> bool {
    name.rsplit('.').next() == Some("num_batches_tracked")
}

/// A key that sorts `layer.9` before `layer.10`.
pub(crate) fn natural(name: &str) -> Vec<(String, u64)> {
    let mut parts = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let text = rest.len() - rest.trim_start_matches(|c: char| !c.is_ascii_digit()).len();
        let (before, after) = rest.split_at(text);
        let digits = after.len() - after.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, after) = after.split_at(digits);
        parts.push((before.to_owned(), number.parse().unwrap_or(0)));
        rest = after;
    }
    parts
}

/// The tensors under the names that they have without wrappers, where these are the net's.
///
/// # Errors
/// [`WeightsError::Content`] if the file has the net's tensors twice.
pub(crate) fn unwrapped(
    tensors: Vec<Tensor>,
    net: &Net,
    path: &Path,
) -> Result<Vec<Tensor>, WeightsError> {
    let plain = |name: &str| {
        let parts = name.split('.').filter(|part| !WRAPPERS.contains(part));
        parts.collect::<Vec<_>>().join(".")
    };
    let parameters = net.parameters();
    let names: HashMap<String, &str> =
        parameters.iter().map(|p| (plain(&p.name), p.name.as_str())).collect();
    // A net whose own names differ in these parts alone has its names as they are.
    if names.len() < parameters.len() {
        return Ok(tensors);
    }
    let keys: Vec<String> = tensors.iter().map(|tensor| plain(&tensor.name)).collect();
    let present: HashSet<&str> = keys.iter().map(String::as_str).collect();
    let wanted = parameters.iter().filter(|p| p.in_base || net.base() == 0);
    let wanted: Vec<String> = wanted.map(|p| plain(&p.name)).collect();
    let ambiguous = |problem: String| WeightsError::ambiguous(net, &problem, path);
    let prefix = match wanted.first() {
        Some(first) => {
            let first = format!(".{first}");
            let ends = keys.iter().filter_map(|key| key.strip_suffix(&first));
            let mut prefixes = BTreeSet::from([String::new()]);
            prefixes.extend(ends.map(|prefix| format!("{prefix}.")));
            prefixes.retain(|prefix| {
                let whole = |name: &String| format!("{prefix}{name}");
                wanted.iter().all(|name| present.contains(whole(name).as_str()))
            });
            let mut prefixes = prefixes.into_iter();
            let prefix = prefixes.next().unwrap_or_default();
            if let Some(other) = prefixes.next() {
                return Err(ambiguous(format!(
                    "the file has its tensors under `{prefix}` and under `{other}`; save only one of them"
                )));
            }
            prefix
        }
        None => String::new(),
    };
    let mut taken = BTreeMap::new();
    let mut found = Vec::with_capacity(tensors.len());
    for (tensor, key) in tensors.into_iter().zip(&keys) {
        let Some(key) = key.strip_prefix(&prefix) else {
            found.push(Tensor { is_candidate: false, ..tensor });
            continue;
        };
        let name = names.get(key).map_or(key, |name| *name).to_owned();
        if let Some(other) = taken.insert(name.clone(), tensor.name.clone()) {
            return Err(ambiguous(format!(
                "both `{other}` and `{}` are its `{name}`; save only one of them",
                tensor.name
            )));
        }
        found.push(Tensor { name, ..tensor });
    }
    Ok(found)
}

/// Assigns tensors to parameters. The tensors cover the net, or its base if the file's head is
/// missing or belongs to another classifier.
///
/// # Errors
/// [`WeightsError::Content`] with the first tensors that do not fit.
pub(crate) fn fit(tensors: Vec<Tensor>, net: &Net, path: &Path) -> Result<Fit, WeightsError> {
    let parameters = net.parameters();
    let names: HashMap<&str, usize> =
        parameters.iter().enumerate().map(|(index, p)| (p.name.as_str(), index)).collect();
    let candidates = || tensors.iter().enumerate().filter(|(_, tensor)| tensor.is_candidate);
    let by_name: HashMap<&str, usize> =
        candidates().map(|(index, tensor)| (tensor.name.as_str(), index)).collect();
    let found = |parameter: &Parameter| by_name.get(parameter.name.as_str()).copied();
    let fits = |p: &Parameter| found(p).is_some_and(|at| tensors[at].shape == p.shape);
    let surplus: Vec<&Tensor> = candidates()
        .map(|(_, tensor)| tensor)
        .filter(|tensor| !names.contains_key(tensor.name.as_str()))
        .collect();
    let has_base = net.base() > 0;
    let (base, head): (Vec<_>, Vec<_>) = parameters.iter().partition(|p| p.in_base);

    let mismatch = |of: &[&Parameter], surplus: Option<&Tensor>| {
        let reshaped = of.iter().find_map(|p| {
            let got = &tensors[found(p)?].shape;
            let expected = shape_of(p);
            (*got != p.shape)
                .then(|| format!("tensor {expected} has the shape {got:?} in the file"))
        });
        let missing = of.iter().find(|p| found(p).is_none());
        let missing = missing.map(|p| format!("the file lacks {}", shape_of(p)));
        let surplus = surplus.map(|tensor| format!("the net has no {}", tensor.with_shape()));
        let parts: Vec<String> = [reshaped, missing, surplus].into_iter().flatten().collect();
        let (net, parts) = (net.name(), parts.join("; "));
        let problem = format!("the weights do not fit the net `{net}`: {parts}");
        Err(WeightsError::content(problem, path))
    };
    let pairs = |of: &[&Parameter]| {
        of.iter().filter_map(|p| Some((found(p)?, *names.get(p.name.as_str())?))).collect()
    };

    let all: Vec<&Parameter> = parameters.iter().collect();
    if all.iter().all(|p| fits(p)) && surplus.is_empty() {
        return Ok(Fit { pairs: pairs(&all), left_out: None });
    }
    let of_base = surplus.iter().find(|tensor| belongs_to_base(tensor, &base, &head));
    if !has_base || !base.iter().all(|p| fits(p)) || of_base.is_some() {
        let first = of_base.or(surplus.first()).copied();
        let is_of_base = has_base && !base.iter().all(|p| fits(p));
        return mismatch(if is_of_base { &base } else { &all }, first);
    }
    // The base is complete. The head is missing, the net's, or that of another classifier.
    let in_head = |tensor: &&Tensor| {
        names.get(tensor.name.as_str()).is_none_or(|index| !parameters[*index].in_base)
    };
    let of_file: Vec<&Tensor> = candidates().map(|(_, tensor)| tensor).filter(in_head).collect();
    if of_file.is_empty() {
        return Ok(Fit { pairs: pairs(&base), left_out: None });
    }
    let ends = |p: &&&Parameter| p.shape.len() == 2;
    let last = head.iter().rfind(ends).copied();
    let Some(last_of_file) = of_file.iter().rfind(|tensor| tensor.shape.len() == 2) else {
        return mismatch(&all, surplus.first().copied());
    };
    let is_other = match names.get(last_of_file.name.as_str()) {
        None => !head.iter().all(|p| fits(p)),
        // The same layer with another number of outputs.
        Some(index) => {
            let own = &parameters[*index];
            last.is_some_and(|last| last.name == own.name)
                && own.shape[0] != last_of_file.shape[0]
                && own.shape[1..] == last_of_file.shape[1..]
        }
    };
    if !is_other {
        return mismatch(&all, surplus.first().copied());
    }
    let left_out = LeftOut { file: last_of_file.with_shape(), net: last.map(shape_of) };
    Ok(Fit { pairs: pairs(&base), left_out: Some(left_out) })
}

fn shape_of(parameter: &Parameter) -> TensorShape {
    TensorShape { name: parameter.name.clone(), shape: parameter.shape.clone() }
}

/// Whether a tensor that the net lacks would belong to its base: one of a convolution, or in a
/// module of the base.
fn belongs_to_base(tensor: &Tensor, base: &[&Parameter], head: &[&Parameter]) -> bool {
    let module = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
    let own = module(&tensor.name);
    let is_in = |part: &[&Parameter]| part.iter().any(|p| module(&p.name) == own);
    tensor.shape.len() == 4 || (is_in(base) && !is_in(head))
}
