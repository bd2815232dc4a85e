//! What a file holds, layer by layer, before any value is read.

use crate::fit::natural;
use benchbook_backend::Array;
use hdf5_pure::{Dataset, File, Group};
use serde_json::Value;
use std::collections::HashMap;

/// Groups and datasets of one file. A layer has about five.
const OBJECTS: usize = 100_000;
/// Groups within each other. A model within a model takes two.
const DEPTH: usize = 32;
/// Top-level groups that hold no layers.
const NO_LAYERS: [&str; 2] = ["optimizer", "optimizer_weights"];
/// The group of a whole model in a legacy file.
const MODEL: &str = "model_weights";
/// The group of a layer's variables in Keras 3.
const VARIABLES: &str = "vars";
/// Lists of layers in Keras 3, and in what Keras 2.13 wrote.
const LISTS: [&str; 2] = ["layers", "_layer_checkpoint_dependencies"];

/// A layer with variables.
pub(super) struct Stored {
    /// The path in the file, without `vars`.
    pub(super) path: String,
    /// The names that Keras gave it, the best first.
    pub(super) names: Vec<String>,
    pub(super) variables: Vec<Variable>,
    /// The list that [`Stored::place`] refers to; `None` if the file has no order.
    pub(super) list: Option<String>,
    /// Its place among the layers of its list, in the model's order.
    pub(super) place: usize,
}

/// A variable of a layer.
pub(super) struct Variable {
    /// The path in the file.
    pub(super) path: String,
    /// The suffix of the parameter's name in a net; the variable's own name if no net has such a parameter.
    pub(super) suffix: String,
    pub(super) data: Dataset,
    /// The axes in Keras' order.
    axes: Vec<usize>,
    is_depthwise: bool,
    is_gru: bool,
}

impl Variable {
    /// In the layout of a net's parameters.
    pub(super) fn shape(&self) -> Vec<usize> {
        match self.axes[..] {
            [rows, columns, inputs, multiplier] if self.is_depthwise => {
                vec![inputs.saturating_mul(multiplier), 1, rows, columns]
            }
            [rows, columns, inputs, outputs] => vec![outputs, inputs, rows, columns],
            [_, outputs] if self.has_two_biases() => vec![outputs],
            [inputs, outputs] => vec![outputs, inputs],
            _ => self.axes.clone(),
        }
    }

    /// Whether it holds the two biases of a GRU, `[2, 3 · units]`.
    pub(super) fn has_two_biases(&self) -> bool {
        self.is_gru && self.suffix == "bias_ih_l0" && self.axes.len() == 2
    }

    /// A GRU's gates in the net's order r, z, n instead of Keras' z, r, h.
    pub(super) fn gates_in_order(&self, mut values: Vec<f32>) -> Vec<f32> {
        if self.is_gru {
            let gate = values.len() / 3;
            values[..2 * gate].rotate_left(gate);
        }
        values
    }

    /// `[rows, columns, inputs, outputs]` as `[outputs, inputs, rows, columns]`, and `[inputs, outputs]` as
    /// `[outputs, inputs]`, with the outputs in the net's order.
    pub(super) fn outputs_first(&self, values: Vec<f32>) -> Array {
        let (places, inputs, outputs) = match self.axes[..] {
            // Each input has its own outputs: [rows, columns, 1, inputs · multiplier].
            [rows, columns, inputs, multiplier] if self.is_depthwise => {
                (rows * columns, 1, inputs * multiplier)
            }
            [rows, columns, inputs, outputs] => (rows * columns, inputs, outputs),
            [_, _] if self.has_two_biases() => (1, 1, values.len()),
            [inputs, outputs] => (1, inputs, outputs),
            _ => return Array { shape: self.axes.clone(), values },
        };
        let mut turned = Vec::with_capacity(values.len());
        for output in 0..outputs {
            for input in 0..inputs {
                let at = |place| (place * inputs + input) * outputs + output;
                turned.extend((0..places).map(|place| values[at(place)]));
            }
        }
        Array { shape: self.shape(), values: self.gates_in_order(turned) }
    }
}

/// Lists the layers with variables, in the model's order if the file has it.
///
/// # Errors
/// The defect of the file, as text.
pub(super) fn layers(file: &File, config: Option<&str>) -> Result<Vec<Stored>, String> {
    let mut walk = Walk { file, layers: Vec::new(), objects: 0 };
    walk.group(&file.root(), &mut Vec::new())?;
    let mut layers = walk.layers;
    if layers.is_empty() {
        return Err("a file without layers".into());
    }
    layers.sort_by_cached_key(|layer| natural(&layer.path));
    for (place, layer) in layers.iter_mut().enumerate() {
        layer.place = place;
    }
    if let Some(config) = config {
        name_by_config(&mut layers, config)?;
    } else {
        place_by_attributes(&mut layers, file)?;
    }
    layers.sort_by_key(|layer| layer.place);
    Ok(layers)
}

struct Walk<'a> {
    file: &'a File,
    layers: Vec<Stored>,
    objects: usize,
}

impl Walk<'_> {
    fn count(&mut self) -> Result<(), String> {
        self.objects += 1;
        if self.objects > OBJECTS {
            return Err(format!("a file of more than {OBJECTS} groups and datasets"));
        }
        Ok(())
    }

    fn group(&mut self, group: &Group, path: &mut Vec<String>) -> Result<(), String> {
        let at =
            |path: &[String], error: hdf5_pure::Error| format!("`{}`: {error}", path.join("/"));
        if path.len() > DEPTH {
            return Err(format!("more than {DEPTH} groups within each other"));
        }
        let mut found = Vec::new();
        for (name, data) in group.iter_datasets().map_err(|error| at(path, error))? {
            self.count()?;
            found.push((name, data));
        }
        if !found.is_empty() {
            self.layer(group, path, found)?;
        }
        for name in group.groups().map_err(|error| at(path, error))? {
            self.count()?;
            let is_skipped = path.is_empty() && NO_LAYERS.contains(&name.as_str());
            // The state of a random generator, in dropout layers.
            if is_skipped || name.starts_with("seed_generator") {
                continue;
            }
            let inner = group.group(&name).map_err(|error| at(path, error))?;
            path.push(name);
            self.group(&inner, path)?;
            path.pop();
        }
        Ok(())
    }

    fn layer(
        &mut self,
        group: &Group,
        path: &[String],
        mut data: Vec<(String, Dataset)>,
    ) -> Result<(), String> {
        let text = path.join("/");
        let failed = |error: hdf5_pure::Error| format!("`{text}`: {error}");
        data.retain(|(name, _)| !name.starts_with("seed_generator"));
        data.sort_by_cached_key(|(name, _)| natural(name));
        let is_numbered = path.last().is_some_and(|last| last == VARIABLES);
        let mut axes = Vec::new();
        for (_, data) in &data {
            let shape = data.shape().map_err(failed)?;
            axes.push(shape.into_iter().map(|length| length as usize).collect::<Vec<_>>());
        }
        let ranks: Vec<usize> = axes.iter().map(Vec::len).collect();
        let lengths: Vec<usize> =
            axes.iter().filter(|axes| axes.len() == 1).map(|axes| axes[0]).collect();
        let mut owner = if is_numbered { &path[..path.len() - 1] } else { path };
        let mut named_by = group.attrs();
        // A recurrent layer keeps its variables in a cell within.
        if let [layer @ .., cell] = owner
            && is_numbered
            && cell == "cell"
        {
            owner = layer;
            let path = format!("{}/{VARIABLES}", layer.join("/"));
            named_by = self.file.group(&path).and_then(|group| group.attrs());
        }
        let last = owner.last().cloned().unwrap_or_default();
        let mut variables: Vec<Variable> = Vec::new();
        for (index, ((name, data), axes)) in data.into_iter().zip(axes).enumerate() {
            let suffix = if is_numbered { numbered(index, &ranks) } else { named(&name) };
            // No net has a layer with two kernels.
            let is_new = |suffix: &&str| variables.iter().all(|v: &Variable| v.suffix != *suffix);
            let suffix = suffix.filter(is_new).map_or_else(|| name.clone(), Into::into);
            let is_depthwise = match axes[..] {
                [_, _, inputs, multiplier] if suffix == "weight" => {
                    let outputs = inputs.saturating_mul(multiplier);
                    let has_own_bias = lengths.contains(&outputs) && outputs != multiplier;
                    let is_called = |name: &str| name.contains("depthwise");
                    has_own_bias || is_called(&last) || is_called(&name)
                }
                _ => false,
            };
            let path = format!("{text}/{name}");
            variables.push(Variable { path, suffix, data, axes, is_depthwise, is_gru: false });
        }
        name_recurrent(&mut variables);
        if variables.is_empty() {
            return Ok(());
        }
        let mut names = Vec::new();
        if is_numbered {
            let attributes = named_by.map_err(failed)?;
            names.extend(attributes.get("name").and_then(|name| name.as_str()).map(str::to_owned));
            // In a list, Keras derives the name from the class; elsewhere it is an attribute of a user's model.
            let is_listed =
                owner.iter().rev().nth(1).is_some_and(|list| LISTS.contains(&list.as_str()));
            if !is_listed {
                names.push(last);
            }
        } else {
            let parts = owner.iter().rev().filter(|part| *part != MODEL);
            names.extend(parts.cloned());
            names.dedup();
        }
        let list = is_numbered.then(|| owner[..owner.len().saturating_sub(1)].join("/"));
        self.layers.push(Stored { path: owner.join("/"), names, variables, list, place: 0 });
        Ok(())
    }
}

/// The parameter of a numbered variable, by the variables' numbers of axes. Keras' order: kernel,
/// bias; gamma, beta, moving mean, moving variance; kernel, recurrent kernel, bias.
fn numbered(index: usize, ranks: &[usize]) -> Option<&'static str> {
    const KERNEL: [&str; 2] = ["weight", "bias"];
    const NORMALIZATION: [&str; 4] = ["weight", "bias", "running_mean", "running_var"];
    match ranks {
        [4 | 2] | [4 | 2, 1] => KERNEL.get(index).copied(),
        [1, 1] | [1, 1, 1, 1] => NORMALIZATION.get(index).copied(),
        [2, 2, 1 | 2] => RECURRENT.get(index).copied(),
        _ => None,
    }
}

/// The parameters of a recurrent layer in Keras' order: kernel, recurrent kernel, bias.
const RECURRENT: [&str; 3] = ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0"];

/// Sets the suffixes of a recurrent layer's variables to those of its parameters.
fn name_recurrent(variables: &mut [Variable]) {
    let Some(state) = variables.iter().find(|v| v.suffix == RECURRENT[1]) else { return };
    let is_gru =
        matches!(state.axes[..], [units, outputs] if units.checked_mul(3) == Some(outputs));
    for variable in variables {
        variable.is_gru = is_gru;
        match variable.suffix.as_str() {
            "weight" => variable.suffix = RECURRENT[0].into(),
            // The bias of `reset_after=False`, which is another layer.
            "bias" | "bias_ih_l0" if is_gru && variable.axes.len() == 1 => {
                variable.suffix = "bias of reset_after=False".into();
            }
            "bias" => variable.suffix = RECURRENT[2].into(),
            _ => {}
        }
    }
}

/// The parameter of a named variable; Keras 1 puts the layer's name before the variable's.
fn named(name: &str) -> Option<&'static str> {
    let name = name.strip_suffix(":0").unwrap_or(name);
    let name = name.strip_suffix("_1").unwrap_or(name);
    let is = |names: &[&str]| {
        names.iter().any(|end| {
            name.strip_suffix(end).is_some_and(|before| before.is_empty() || before.ends_with('_'))
        })
    };
    match () {
        () if is(&["moving_mean", "running_mean"]) => Some("running_mean"),
        // Keras 1 kept the variance under this name.
        () if is(&["moving_variance", "running_std"]) => Some("running_var"),
        () if is(&["recurrent_kernel"]) => Some(RECURRENT[1]),
        () if is(&["kernel", "gamma", "W"]) => Some("weight"),
        () if is(&["bias", "beta", "b"]) => Some("bias"),
        () => None,
    }
}

/// A layer's name in the configuration, and its place in the model.
type Configured = HashMap<String, (String, usize)>;

/// Names and orders the layers of a Keras 3 file as in the model's configuration.
fn name_by_config(layers: &mut [Stored], config: &str) -> Result<(), String> {
    let config: Value = serde_json::from_str(config)
        .map_err(|error| format!("an archive whose `config.json` is damaged ({error})"))?;
    let mut configured = Configured::new();
    collect(&config, "", &mut configured);
    let keys: Vec<_> = layers.iter().map(|layer| configured.get(&key(&layer.path))).collect();
    let is_complete = keys.iter().all(Option::is_some);
    let found: Vec<_> = keys.into_iter().map(Option::<&_>::cloned).collect();
    for (layer, found) in layers.iter_mut().zip(found) {
        let Some((name, place)) = found else { continue };
        layer.names.insert(0, name);
        layer.names.dedup();
        if is_complete {
            (layer.list, layer.place) = (Some(String::new()), place);
        }
    }
    Ok(())
}

/// Lists the layers of a model's configuration under their keys.
fn collect(model: &Value, prefix: &str, found: &mut Configured) {
    let layers = model.pointer("/config/layers").and_then(Value::as_array);
    let mut used: HashMap<String, usize> = HashMap::new();
    for layer in layers.into_iter().flatten() {
        let (Some(class), Some(name)) = (
            layer.get("class_name").and_then(Value::as_str),
            layer.pointer("/config/name").and_then(Value::as_str),
        ) else {
            continue;
        };
        let class = class.replace('_', "").to_lowercase();
        let number = used.entry(class.clone()).or_default();
        let key = format!("{prefix}/{class}#{number}");
        *number += 1;
        collect(layer, &key, found);
        found.insert(key, (name.to_owned(), found.len()));
    }
}

/// `layers/functional/layers/batch_normalization_1` as `/functional#0/batchnormalization#1`.
fn key(path: &str) -> String {
    let parts = path.split('/').filter(|part| !LISTS.contains(part));
    parts
        .map(|part| {
            let (class, number) = match part.rsplit_once('_') {
                Some((class, number)) => (class, number.parse::<usize>().ok()),
                None => (part, None),
            };
            let class = if number.is_some() { class } else { part };
            format!("/{}#{}", class.replace('_', ""), number.unwrap_or(0))
        })
        .collect()
}

/// Puts the layers of a legacy file into the order of the attributes `layer_names` and `weight_names`.
fn place_by_attributes(layers: &mut [Stored], file: &File) -> Result<(), String> {
    let root = match file.group(MODEL) {
        Ok(model) => model,
        Err(_) => file.root(),
    };
    let Some(groups) = strings(&root, "layer_names")? else { return Ok(()) };
    let mut places: HashMap<String, usize> = HashMap::new();
    for group in groups {
        let Ok(inner) = root.group(&group) else { continue };
        for variable in strings(&inner, "weight_names")?.unwrap_or_default() {
            let path = format!("{group}/{variable}");
            let owner = path.rsplit_once('/').map_or("", |(owner, _)| owner);
            let next = places.len();
            places.entry(owner.to_owned()).or_insert(next);
        }
    }
    let place = |layer: &Stored| {
        let path = layer.path.strip_prefix(MODEL).unwrap_or(&layer.path);
        places.get(path.trim_start_matches('/')).copied()
    };
    if layers.iter().all(|layer| place(layer).is_some()) {
        for layer in layers {
            layer.place = place(layer).unwrap_or_default();
            layer.list = Some(String::new());
        }
    }
    Ok(())
}

/// An attribute of texts. Keras divides a long one: `layer_names0`, `layer_names1`, ….
fn strings(group: &Group, name: &str) -> Result<Option<Vec<String>>, String> {
    let attributes = group.attrs().map_err(|error| error.to_string())?;
    let texts = |name: &str| attributes.get(name).and_then(|value| value.as_strings());
    if let Some(whole) = texts(name) {
        return Ok(Some(whole.to_vec()));
    }
    let parts = (0..).map_while(|part| texts(&format!("{name}{part}")));
    let parts: Vec<String> = parts.flat_map(|part| part.to_vec()).collect();
    Ok((!parts.is_empty()).then_some(parts))
}
