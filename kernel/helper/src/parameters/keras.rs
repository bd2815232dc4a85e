//! Keras' VGG weights in HDF5 files.
//!
//! Keras keeps each convolution in a group of its name (`block1_conv1` …) with a kernel
//! `[rows, columns, inputs, outputs]` and a bias. Keras 1, which wrote the published
//! `vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5`, calls them `block1_conv1_W_1:0` and
//! `block1_conv1_b_1:0`; Keras 2 puts `kernel:0` and `bias:0` into a group within, and a whole model
//! under `model_weights`. They are told apart by their number of axes, so that all of these can be read, compressed
//! (gzip, shuffle) or not.
//!
//! Nothing is read that is larger than the net's own parameter of that layer, whatever size a file states, and no more
//! than [`DATASETS`] datasets a layer.

use super::{Array, Parameters, WeightsError};
use crate::vgg::{Architecture, Layer};
use benchbook_data::open_file;
use hdf5_pure::{File, Group};
use std::path::Path;

/// Bytes of one value, a double at most.
const VALUE: u64 = 8;
/// Datasets of one layer: Keras has two, or four with what an optimiser keeps.
const DATASETS: usize = 16;

impl Parameters {
    /// Reads the convolutions of a Keras VGG under torchvision's names and in the layout of
    /// [`crate::parameters`]. Dense layers are left out: Keras' own head tells 1,000 classes apart.
    ///
    /// # Errors
    /// [`WeightsError::Read`], [`WeightsError::Format`] if the file is no HDF5, lacks a convolution,
    /// or the net has batch normalisation, which Keras' VGG has not.
    pub fn read_keras(path: &Path, net: &Architecture) -> Result<Self, WeightsError> {
        let wrong = |problem: String| WeightsError::Format {
            expected: "Keras' VGG weights in HDF5",
            problem,
            path: path.into(),
        };
        if net.batch_norm {
            return Err(wrong("a net with batch normalisation, which Keras' VGG has not".into()));
        }
        // The library's own errors do not tell a missing file from a damaged one.
        open_file(path).map_err(|source| WeightsError::Read { path: path.into(), source })?;
        let file = File::open_streaming(path).map_err(|error| wrong(error.to_string()))?;
        let mut parameters = Parameters::default();
        for (layer, name, count) in convolutions(net) {
            let group = file
                .group(&name)
                .or_else(|_| file.group(&format!("model_weights/{name}")))
                .map_err(|error| wrong(format!("no group `{name}` ({error})")))?;
            let mut arrays = Vec::new();
            collect(&group, 2, count, &mut arrays)
                .map_err(|error| wrong(format!("`{name}`: {error}")))?;
            let kernel = arrays.iter().find(|array| array.shape.len() == 4);
            let bias = arrays.iter().find(|array| array.shape.len() == 1);
            let (Some(kernel), Some(bias)) = (kernel, bias) else {
                return Err(wrong(format!("no kernel and bias in `{name}`")));
            };
            parameters.arrays.insert(format!("{layer}.weight"), outputs_first(kernel));
            parameters.arrays.insert(format!("{layer}.bias"), bias.clone());
        }
        Ok(parameters)
    }
}

/// The prefix of each convolution's parameters, the name of its group in Keras, and the values of its kernel.
fn convolutions(net: &Architecture) -> Vec<(String, String, u64)> {
    let (mut block, mut conv) = (1, 0);
    let mut names = Vec::new();
    for layer in net.base() {
        match layer {
            Layer::Conv { name, inputs, outputs } => {
                conv += 1;
                let count = (9 * inputs * outputs) as u64;
                names.push((name, format!("block{block}_conv{conv}"), count));
            }
            Layer::MaxPool => (block, conv) = (block + 1, 0),
            _ => {}
        }
    }
    names
}

/// The datasets of a group and of the groups within, each of at most `count` values.
fn collect(group: &Group, depth: usize, count: u64, arrays: &mut Vec<Array>) -> Result<(), String> {
    let failed = |error: hdf5_pure::Error| error.to_string();
    for name in group.datasets().map_err(failed)? {
        let data = group.dataset(&name).map_err(failed)?;
        let shape = data.shape().map_err(failed)?;
        let values = shape.iter().try_fold(1, |values: u64, length| values.checked_mul(*length));
        if values.is_none_or(|values| values > count) {
            return Err(format!(
                "`{name}` of shape {shape:?}, where this net's layer has {count} values"
            ));
        }
        // A chunk is unpacked as a whole, and a value may have any size.
        let chunk = data.chunk_shape().map_err(failed)?.unwrap_or_default();
        let unpacked = chunk.iter().try_fold(1, |values: u64, length| values.checked_mul(*length));
        let bytes = data.element_size().map_err(failed)?;
        if unpacked.is_none_or(|values| values > count) || bytes > VALUE {
            return Err(format!(
                "`{name}` in chunks of {chunk:?} values of {bytes} bytes, where this net's layer has {count} values"
            ));
        }
        if arrays.len() == DATASETS {
            return Err(format!("more than {DATASETS} datasets"));
        }
        let shape = shape.into_iter().map(|length| length as usize).collect();
        arrays.push(Array { shape, values: data.read_f32().map_err(failed)? });
    }
    if depth > 0 {
        for name in group.groups().map_err(failed)? {
            collect(&group.group(&name).map_err(failed)?, depth - 1, count, arrays)?;
        }
    }
    Ok(())
}

/// `[rows, columns, inputs, outputs]` as `[outputs, inputs, rows, columns]`.
fn outputs_first(kernel: &Array) -> Array {
    let [rows, columns, inputs, outputs] = kernel.shape[..] else { return kernel.clone() };
    let mut values = Vec::with_capacity(kernel.values.len());
    for output in 0..outputs {
        for input in 0..inputs {
            for place in 0..rows * columns {
                values.push(kernel.values[(place * inputs + input) * outputs + output]);
            }
        }
    }
    Array { shape: vec![outputs, inputs, rows, columns], values }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn saved(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
    }

    #[test]
    fn the_layers_have_keras_names() {
        let names = convolutions(&Architecture::default());
        assert_eq!(names.len(), 13);
        assert_eq!(names[0], ("features.0".into(), "block1_conv1".into(), 9 * 3 * 64));
        assert_eq!(names[7], ("features.17".into(), "block4_conv1".into(), 9 * 256 * 512));
        assert_eq!(names[12], ("features.28".into(), "block5_conv3".into(), 9 * 512 * 512));
    }

    #[test]
    fn both_layouts_of_keras_are_read_and_turned() {
        // make.py: numpy.arange(54) as [3, 3, 3, 2], so kernel[r, c, i, o] = 18r + 6c + 2i + o.
        for name in ["keras1.h5", "keras2.h5", "gzip.h5"] {
            let file = File::open_streaming(saved(name)).unwrap();
            let mut arrays = Vec::new();
            collect(&file.group("block1_conv1").unwrap(), 2, 54, &mut arrays).unwrap();
            let kernel = arrays.iter().find(|array| array.shape.len() == 4).unwrap();
            let turned = outputs_first(kernel);
            assert_eq!(turned.shape, [2, 3, 3, 3], "{name}");
            let at = |o: usize, i: usize, r: usize, c: usize| {
                turned.values[((o * 3 + i) * 3 + r) * 3 + c]
            };
            assert_eq!([at(0, 0, 0, 0), at(1, 2, 0, 1), at(1, 1, 2, 0)], [0.0, 11.0, 39.0]);
            assert!(arrays.iter().any(|array| array.values == [0.5, -0.25]));
        }
    }

    #[test]
    fn what_is_larger_than_the_layer_is_not_read() {
        let file = File::open_streaming(saved("keras1.h5")).unwrap();
        let wrong = collect(&file.group("block1_conv1").unwrap(), 2, 53, &mut Vec::new());
        let wrong = wrong.unwrap_err();
        assert!(wrong.contains("[3, 3, 3, 2]") && wrong.contains("53 values"), "{wrong}");
    }

    #[test]
    fn what_a_hostile_file_states_is_not_made_room_for() {
        // make.py: a dataset of 2^40 values, and one of 54 in chunks of 27 × 2^20, both in files of a few kB.
        for (name, stated) in [("huge.h5", "[1099511627776]"), ("chunk.h5", "[3, 3, 3, 1048576]")] {
            let file = File::open_streaming(saved("hostile").join(name)).unwrap();
            let wrong = collect(&file.group("block1_conv1").unwrap(), 2, 54, &mut Vec::new());
            let wrong = wrong.unwrap_err();
            assert!(wrong.contains(stated), "{wrong}");
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(400))]
        #[test]
        fn changed_bytes_never_panic(
            name in proptest::sample::select(vec!["keras1.h5", "keras2.h5", "gzip.h5"]),
            changes in proptest::collection::vec((0_usize..20_000, 0_u8..=255), 1..8),
        ) {
            let mut bytes = std::fs::read(saved(name)).unwrap();
            let length = bytes.len();
            for (at, value) in changes {
                bytes[at % length] = value;
            }
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("changed.h5");
            std::fs::write(&path, bytes).unwrap();
            if let Ok(file) = File::open_streaming(&path)
                && let Ok(group) = file.group("block1_conv1")
            {
                let _ = collect(&group, 2, 54, &mut Vec::new());
            }
        }
    }

    #[test]
    fn a_missing_layer_another_format_and_batch_normalisation_are_named() {
        let net = Architecture::default();
        let text = |path: &Path, net: &Architecture| {
            Parameters::read_keras(path, net).unwrap_err().to_string()
        };
        let missing = text(&saved("keras1.h5"), &net);
        assert!(missing.contains("`block1_conv2`") && missing.contains("keras1.h5"), "{missing}");
        let other = text(&saved("zip.pth"), &net);
        assert!(other.contains("Keras' VGG weights in HDF5"), "{other}");
        let normal = text(&saved("keras1.h5"), &Architecture { batch_norm: true, ..net });
        assert!(normal.contains("batch normalisation"), "{normal}");
    }
}
