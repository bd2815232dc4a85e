//! The stored graphs and values.

use benchbook_backend::{Array, Compute, Device, Optimizer, Parameters, Plan};
use benchbook_nets::{Graph, Net, Parameter};
use safetensors::SafeTensors;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where the files are: the folder that `BENCHBOOK_CONFORMANCE` names, for a test program on another machine, or that of
/// the checkout.
fn folder() -> PathBuf {
    const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../backend/tests/data/conformance");
    std::env::var_os("BENCHBOOK_CONFORMANCE").map_or_else(|| FOLDER.into(), PathBuf::from)
}

/// One graph with PyTorch's values.
#[derive(Clone, Debug)]
pub struct Case {
    /// The file's name, for example `conv_groups`.
    pub name: String,
    /// The checked graph.
    pub net: Net,
    /// The device.
    pub device: Device,
    /// The training settings.
    pub settings: Settings,
    /// The stored tensors by name.
    pub tensors: BTreeMap<String, Array>,
}

/// The settings of a case.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Whether the base is frozen.
    pub frozen: bool,
    /// Examples in a batch.
    pub batch: usize,
    /// Seed of the first step's dropout masks.
    pub seed: u64,
    /// Trainings by name.
    pub trainings: BTreeMap<String, Training>,
}

/// The settings of one training.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// The optimiser.
    pub optimizer: Optimizer,
    /// The learning rate.
    pub rate: f64,
    /// Factors on the loss of each class; `None` for none.
    pub class_weights: Option<Vec<f32>>,
}

/// All cases, sorted by name, on the CPU.
///
/// # Panics
/// If a file cannot be read.
pub fn cases() -> Vec<Case> {
    let folder = folder();
    let entries = std::fs::read_dir(&folder);
    let entries = entries.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a file's entry").path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no cases in {}", folder.display());
    paths.iter().map(|path| Case::read(path)).collect()
}

impl Case {
    fn read(path: &Path) -> Self {
        let wrong = |error: &dyn std::fmt::Display| -> ! { panic!("{}: {error}", path.display()) };
        let bytes = std::fs::read(path).unwrap_or_else(|error| wrong(&error));
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap_or_else(|error| wrong(&error));
        let file = SafeTensors::deserialize(&bytes).unwrap_or_else(|error| wrong(&error));
        let empty = Default::default();
        let metadata = header.metadata().as_ref().unwrap_or(&empty);
        let text = |key: &str| metadata.get(key).map(String::as_str).unwrap_or_default();
        let graph: Graph =
            serde_json::from_str(text("graph")).unwrap_or_else(|error| wrong(&error));
        let settings = serde_json::from_str(text("settings")).unwrap_or_else(|error| wrong(&error));
        let array = |(name, view): (String, safetensors::tensor::TensorView<'_>)| {
            let values = view.data().chunks_exact(4);
            let values = values.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
            (name, Array { shape: view.shape().to_vec(), values })
        };
        Self {
            name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            net: Net::new(graph).unwrap_or_else(|error| wrong(&error)),
            device: Device::Cpu,
            settings,
            tensors: file.tensors().into_iter().map(array).collect(),
        }
    }

    /// The plan: in 32-bit floats, on a GPU without TF32.
    pub fn plan(&self) -> Plan {
        Plan {
            net: self.net.clone(),
            frozen: self.settings.frozen,
            device: self.device,
            threads: Some(1),
            ranks: 1,
            compute: match self.device {
                Device::Cpu => Compute::default(),
                _ => Compute { tf32_convolutions: false, ..Compute::default() },
            },
        }
    }

    /// The net's starting weights.
    pub fn weights(&self) -> Parameters {
        let array = |(stream, parameter): (usize, &Parameter)| {
            let values = weight(parameter, stream as u64);
            (parameter.name.clone(), Array { shape: parameter.shape.clone(), values })
        };
        Parameters { arrays: self.net.parameters().iter().enumerate().map(array).collect() }
    }

    /// The values of a stored tensor.
    ///
    /// # Panics
    /// If the case has no tensor with this name.
    pub fn tensor(&self, name: &str) -> &[f32] {
        let array = self.tensors.get(name);
        &array.unwrap_or_else(|| panic!("{}: no tensor `{name}`", self.name)).values
    }

    /// The labels of the batch.
    pub fn labels(&self) -> Vec<i64> {
        self.tensor("labels").iter().map(|label| *label as i64).collect()
    }
}

/// Weights within He's uniform bound, vectors near 0, scales and running variances near 1, as
/// `environment/originals/conformance.py` has them.
fn weight(parameter: &Parameter, stream: u64) -> Vec<f32> {
    let fan_in: usize = parameter.shape[1..].iter().product();
    let is_vector = parameter.shape.len() == 1;
    let near_one = parameter.name.ends_with(".weight") || parameter.name.ends_with(".running_var");
    let scale = if is_vector { 0.25 } else { (6.0 / fan_in as f64).sqrt() };
    let offset = if is_vector && near_one { 1.0 } else { 0.0 };
    let values = (0..parameter.len() as u64).map(|index| spread(index, stream) * scale + offset);
    values.map(|value| value as f32).collect()
}

/// A number in [-1, 1) from integer arithmetic, the same in every language (`golden.py` has the same).
fn spread(index: u64, stream: u64) -> f64 {
    let mut x = (index * 2_654_435_761 + stream * 40_503 + 12_345) & 0xffff_ffff;
    x ^= x >> 16;
    x = (x * 2_246_822_519) & 0xffff_ffff;
    x ^= x >> 13;
    x as f64 / 2_147_483_648.0 - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use benchbook_nets::{Function, Operation};
    use std::collections::BTreeSet;

    #[test]
    fn every_operation_and_activation_has_a_case() {
        let cases = cases();
        let layers: Vec<_> = cases.iter().flat_map(|case| case.net.layers()).collect();
        let found: BTreeSet<String> = layers
            .iter()
            .map(|layer| serde_json::to_value(&layer.operation).unwrap())
            .flat_map(|json| ["type", "function"].map(|key| json[key].clone()))
            .filter_map(|name| name.as_str().map(str::to_owned))
            .collect();
        let mut operations = expected::<Operation>(r#"{"type": "?"}"#);
        // A cell's code cannot be stored in a file.
        assert!(operations.remove("custom"));
        let functions = expected::<Function>(r#""?""#);
        assert!(operations.contains("conv2d") && functions.contains("relu"));
        assert_eq!(found, &operations | &functions);
    }

    /// The names that serde lists for an unknown one.
    fn expected<T: serde::de::DeserializeOwned>(unknown: &str) -> BTreeSet<String> {
        let error = serde_json::from_str::<T>(unknown).err().unwrap().to_string();
        let (_, list) = error.split_once("expected one of ").unwrap();
        list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }

    #[test]
    fn the_files_are_small_and_complete() {
        let entries = std::fs::read_dir(folder()).unwrap();
        let bytes: u64 = entries.map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
        assert!(bytes < 2_000_000, "{bytes}");
        for case in cases() {
            assert_eq!(case.tensor("input").len(), case.settings.batch * case.net.input().len());
            assert_eq!(case.settings.trainings.len(), 5, "{}", case.name);
            for parameter in case.net.parameters() {
                let gradient = case.tensors.contains_key(&format!("gradients/{}", parameter.name));
                assert_eq!(gradient, parameter.is_trained(case.settings.frozen), "{}", case.name);
                case.tensor(&format!("adam/weights/{}", parameter.name));
            }
        }
    }
}
