//! safetensors files, whole ([`read`], [`write()`]) or for a net ([`crate::read`]).

use crate::error::WeightsError;
use crate::fit::{self, Tensor};
use crate::recurrent;
use crate::{Format, Weights};
use ::safetensors::tensor::{Dtype, SafeTensors, TensorView};
use benchbook_backend::{Array, Parameters};
use benchbook_data::open_file;
use benchbook_nets::Net;
use benchbook_study::files::write_atomically;
use std::collections::HashMap;
use std::io::{Read, Write};
use std::path::Path;

/// Prefix of the optimiser's state in the files of trained models. [`crate::read`] ignores it.
pub const OPTIMIZER_PREFIX: &str = "optimizer.";

/// Bytes of the longest header that is read, as in the safetensors library.
const HEADER: u64 = 100_000_000;

/// The part of a file's header that describes no tensor.
#[derive(serde::Deserialize)]
struct Header {
    #[serde(rename = "__metadata__", default)]
    metadata: HashMap<String, String>,
}

/// Reads every tensor of a file, with the file's metadata.
///
/// # Errors
/// [`WeightsError`], naming the file and, where one is at fault, the tensor.
pub fn read(path: &Path) -> Result<(Parameters, HashMap<String, String>), WeightsError> {
    let bytes = bytes(path)?;
    let (tensors, metadata) = parse(&bytes, path)?;
    let named = tensors.iter().filter(|(name, _)| !fit::is_ignored(name));
    let array = |(name, view): (&str, TensorView<'_>)| {
        let array = array(name, &view, path)?;
        Ok((name.to_owned(), array))
    };
    Ok((Parameters { arrays: named.map(array).collect::<Result<_, WeightsError>>()? }, metadata))
}

/// Reads the tensors that a net needs.
pub(crate) fn read_for(path: &Path, net: &Net) -> Result<Weights, WeightsError> {
    let bytes = bytes(path)?;
    let (tensors, metadata) = parse(&bytes, path)?;
    let mut views: Vec<(&str, TensorView<'_>)> = tensors
        .iter()
        .filter(|(name, _)| !fit::is_ignored(name) && !name.starts_with(OPTIMIZER_PREFIX))
        .collect();
    // The library orders tensors by the size of their numbers; the order of layers is that of their names.
    views.sort_by_cached_key(|(name, _)| fit::natural(name));
    let listed = views.iter().map(|(name, view)| Tensor::new(*name, view.shape())).collect();
    let mut listed = fit::unwrapped(listed, net, path)?;
    let second = recurrent::second_biases(&mut listed, net);
    let fit = fit::fit(listed, net, path)?;
    let mut parameters = Parameters::default();
    for (from, to) in fit.pairs {
        let (name, view) = &views[from];
        parameters.arrays.insert(net.parameters()[to].name.clone(), array(name, view, path)?);
    }
    for (from, layer) in second {
        let (name, view) = &views[from];
        recurrent::merge(layer, &array(name, view, path)?.values, &mut parameters, path)?;
    }
    Ok(Weights { parameters, left_out: fit.left_out, metadata, format: Format::Safetensors })
}

/// Reads a file's metadata without its tensors.
///
/// # Errors
/// [`WeightsError`].
pub fn read_metadata(path: &Path) -> Result<HashMap<String, String>, WeightsError> {
    let failed = WeightsError::file("read", path);
    let mut file = open_file(path).map_err(&failed)?;
    let mut length = [0; 8];
    let mut header = Vec::new();
    // The file begins with the header's length in bytes.
    if file.read_exact(&mut length).is_ok() {
        let length = u64::from_le_bytes(length).min(HEADER);
        file.take(length).read_to_end(&mut header).map_err(failed)?;
    }
    let header: Header =
        serde_json::from_slice(&header).map_err(|wrong| damaged(path, &wrong.to_string()))?;
    Ok(header.metadata)
}

/// Writes a file; the previous file of that name stays whole until the new one is complete.
///
/// # Errors
/// [`WeightsError::File`].
pub fn write(
    parameters: &Parameters,
    path: &Path,
    metadata: HashMap<String, String>,
) -> Result<(), WeightsError> {
    let failed = WeightsError::file("write", path);
    let views = parameters
        .arrays
        .iter()
        .map(|(name, array)| {
            let view =
                TensorView::new(Dtype::F32, array.shape.clone(), little_endian(&array.values));
            view.map(|view| (name.as_str(), view))
        })
        .collect::<Result<Vec<_>, _>>()
        .map_err(|wrong| failed(std::io::Error::other(wrong)))?;
    let whole = ::safetensors::serialize(views, Some(metadata));
    let whole = whole.map_err(|wrong| failed(std::io::Error::other(wrong)))?;
    write_atomically(path, |file| file.write_all(&whole)).map_err(failed)
}

fn bytes(path: &Path) -> Result<Vec<u8>, WeightsError> {
    let failed = WeightsError::file("read", path);
    let mut file = open_file(path).map_err(&failed)?;
    let mut bytes = Vec::with_capacity(file.metadata().map_err(&failed)?.len() as usize);
    file.read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

fn damaged(path: &Path, reason: &str) -> WeightsError {
    WeightsError::format(
        "a safetensors file",
        &format!("a damaged or different one ({reason})"),
        path,
    )
}

fn parse<'a>(
    bytes: &'a [u8],
    path: &Path,
) -> Result<(SafeTensors<'a>, HashMap<String, String>), WeightsError> {
    let failed = |wrong: ::safetensors::SafeTensorError| damaged(path, &wrong.to_string());
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(failed)?;
    let tensors = SafeTensors::deserialize(bytes).map_err(failed)?;
    Ok((tensors, metadata.metadata().clone().unwrap_or_default()))
}

fn array(name: &str, view: &TensorView<'_>, path: &Path) -> Result<Array, WeightsError> {
    let kind = match view.dtype() {
        Dtype::F32 => FloatKind::F32,
        Dtype::F16 => FloatKind::F16,
        Dtype::BF16 => FloatKind::BF16,
        other => return Err(WeightsError::kind(name, &format!("{other:?}"), path)),
    };
    Ok(Array { shape: view.shape().into(), values: widened(view.data(), kind) })
}

/// The kinds of numbers that become 32-bit floats without a loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FloatKind {
    F32,
    F16,
    BF16,
}

impl FloatKind {
    /// By PyTorch's name of the class of a storage.
    pub(crate) fn of_storage(class: &str) -> Option<Self> {
        match class {
            "FloatStorage" => Some(Self::F32),
            "HalfStorage" => Some(Self::F16),
            "BFloat16Storage" => Some(Self::BF16),
            _ => None,
        }
    }

    /// Bytes of one number.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
        }
    }
}

/// 32-bit floats of little-endian bytes.
pub(crate) fn widened(bytes: &[u8], kind: FloatKind) -> Vec<f32> {
    let pairs = || bytes.as_chunks::<2>().0.iter().copied();
    match kind {
        FloatKind::F32 => {
            bytes.as_chunks::<4>().0.iter().copied().map(f32::from_le_bytes).collect()
        }
        FloatKind::F16 => pairs().map(|b| half::f16::from_le_bytes(b).to_f32()).collect(),
        FloatKind::BF16 => pairs().map(|b| half::bf16::from_le_bytes(b).to_f32()).collect(),
    }
}

/// Little-endian bytes of 32-bit floats.
#[cfg(target_endian = "little")]
fn little_endian(values: &[f32]) -> &[u8] {
    // SAFETY: any f32 is four initialised bytes, and u8 has no alignment.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), std::mem::size_of_val(values)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use benchbook_nets::{Architecture, Sequential};
    use std::path::PathBuf;
    use std::sync::LazyLock;

    fn net() -> Net {
        let base = Sequential::image(3, 4, 4).conv(4, 3).batch_norm().conv(5, 3).end_base();
        Net::new(base.flatten().dense(6).dense(2).graph()).unwrap()
    }

    fn initial(seed: u64) -> Parameters {
        Parameters::initial(net().parameters(), seed)
    }

    fn file_with(change: impl FnOnce(&mut Parameters)) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        let mut parameters = initial(3);
        change(&mut parameters);
        let metadata = HashMap::from([("preprocessing".into(), "caffe".into())]);
        write(&parameters, &path, metadata).unwrap();
        (folder, path)
    }

    #[test]
    fn what_was_written_is_read_back_bit_for_bit() {
        let (_folder, path) = file_with(|_| ());
        let (read, metadata) = read(&path).unwrap();
        assert_eq!(read, initial(3));
        assert_eq!(metadata["preprocessing"], "caffe");
    }

    /// The error of a file for the net.
    fn refused(change: impl FnOnce(&mut Parameters)) -> String {
        let (_folder, path) = file_with(change);
        let text = read_for(&path, &net()).unwrap_err().to_string();
        assert!(text.contains(path.to_str().unwrap()), "{text}");
        text
    }

    #[test]
    fn a_file_of_the_base_alone_gives_the_base() {
        let (_folder, path) = file_with(|p| p.arrays.retain(|name, _| !name.starts_with("dense")));
        let weights = read_for(&path, &net()).unwrap();
        assert_eq!((weights.parameters.arrays.len(), weights.left_out), (8, None));
        for (name, array) in weights.parameters.arrays {
            assert_eq!(array, initial(3).arrays[&name]);
        }
    }

    #[test]
    fn what_an_optimiser_remembers_is_no_weight() {
        let (_folder, path) = file_with(|p| {
            let array = p.arrays["dense_2.weight"].clone();
            p.arrays.insert("optimizer.dense_2.weight.exp_avg".into(), array);
        });
        assert_eq!(read_for(&path, &net()).unwrap().parameters, initial(3));
    }

    #[test]
    fn a_tensor_of_another_shape_is_named_with_both_shapes() {
        let text = refused(|p| {
            let array = Array { shape: vec![2, 2], values: vec![0.0; 4] };
            p.arrays.insert("conv2d_2.weight".into(), array);
        });
        assert!(
            text.contains("`conv2d_2.weight` [5, 4, 3, 3]") && text.contains("[2, 2]"),
            "{text}"
        );
    }

    #[test]
    fn half_a_base_or_head_is_refused_with_the_first_missing_and_the_first_surplus_tensor() {
        let text = refused(|p| {
            p.arrays.remove("conv2d_2.bias");
        });
        assert!(text.contains("lacks `conv2d_2.bias` [5]"), "{text}");
        let text = refused(|p| {
            p.arrays.remove("dense_1.bias");
        });
        assert!(text.contains("lacks `dense_1.bias` [6]"), "{text}");
        let text = refused(|p| {
            let bias = p.arrays.remove("conv2d_2.bias").unwrap();
            p.arrays.insert("conv2d_2.offset".into(), bias);
        });
        assert!(text.contains("lacks `conv2d_2.bias` [5]"), "{text}");
        assert!(text.contains("no `conv2d_2.offset` [5]"), "{text}");
        // A deeper net's file has all that this net has, and more.
        let text = refused(|p| {
            let kernel = Array { shape: vec![5, 5, 1, 1], values: vec![0.0; 25] };
            p.arrays.insert("conv2d_3.weight".into(), kernel);
        });
        assert!(text.contains("no `conv2d_3.weight` [5, 5, 1, 1]"), "{text}");
    }

    #[test]
    fn the_head_of_another_classifier_is_left_out_and_named() {
        let (_folder, path) = file_with(|p| {
            let weight = Array { shape: vec![10, 6], values: vec![0.0; 60] };
            p.arrays.insert("dense_2.weight".into(), weight);
            p.arrays
                .insert("dense_2.bias".into(), Array { shape: vec![10], values: vec![0.0; 10] });
        });
        let weights = read_for(&path, &net()).unwrap();
        assert_eq!(weights.parameters.arrays.len(), 8);
        let text = weights.left_out.unwrap().to_string();
        assert!(text.contains("`dense_2.weight` [10, 6]") && text.contains("[2, 6]"), "{text}");
        // torchvision's VGGs end with a layer that the net does not have.
        let (_folder, path) = file_with(|p| {
            let weight = Array { shape: vec![1000, 2], values: vec![0.0; 2000] };
            p.arrays.insert("dense_3.weight".into(), weight);
            p.arrays.remove("dense_1.bias");
        });
        let weights = read_for(&path, &net()).unwrap();
        assert!(weights.left_out.unwrap().to_string().contains("`dense_3.weight` [1000, 2]"));
    }

    #[test]
    fn a_net_without_a_base_needs_every_tensor() {
        let graph = benchbook_nets::Graph { base: 0, ..net().graph().clone() };
        let (_folder, path) = file_with(|p| {
            p.arrays.remove("dense_2.bias");
        });
        let text = read_for(&path, &Net::new(graph).unwrap()).unwrap_err().to_string();
        assert!(text.contains("lacks `dense_2.bias` [2]"), "{text}");
    }

    #[test]
    fn tensors_that_are_there_twice_are_refused() {
        let (_folder, path) = file_with(|p| {
            let twice = std::mem::take(&mut p.arrays).into_iter().flat_map(|(name, array)| {
                ["student", "teacher"].map(|model| (format!("{model}.{name}"), array.clone()))
            });
            p.arrays = twice.collect();
        });
        let text = read_for(&path, &net()).unwrap_err().to_string();
        assert!(text.contains("`student.`") && text.contains("`teacher.`"), "{text}");
    }

    #[test]
    fn a_cut_file_and_a_text_file_are_named_as_no_safetensors() {
        let (folder, path) = file_with(|_| ());
        let bytes = std::fs::read(&path).unwrap();
        let cut = folder.path().join("cut.safetensors");
        std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
        let text = folder.path().join("text.safetensors");
        std::fs::write(&text, "These are not the weights you are looking for.").unwrap();
        for path in [cut, text] {
            let wrong = read(&path).unwrap_err();
            assert!(matches!(wrong, WeightsError::Content { .. }), "{wrong}");
            assert!(wrong.to_string().contains(path.to_str().unwrap()), "{wrong}");
        }
        let missing = read(&folder.path().join("none.safetensors")).unwrap_err();
        assert!(matches!(missing, WeightsError::File { action: "read", .. }), "{missing}");
    }

    /// A file of three small tensors.
    static WHOLE: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("whole.safetensors");
        let arrays = [("a", vec![2, 3]), ("b", vec![4]), ("c", vec![0])].map(|(name, shape)| {
            let values = vec![1.0; shape.iter().product()];
            (name.to_owned(), Array { shape, values })
        });
        let parameters = Parameters { arrays: arrays.into_iter().collect() };
        write(&parameters, &path, HashMap::new()).unwrap();
        std::fs::read(path).unwrap()
    });

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(1000))]
        /// Mostly in the header, whose offsets and shapes say where to read.
        #[test]
        fn changed_bytes_never_panic(
            changes in proptest::collection::vec((0_usize..200, 0_u8..=255), 1..6),
            cut in 0_usize..300,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("changed.safetensors");
            let mut bytes = WHOLE.clone();
            let length = bytes.len();
            for (at, value) in changes {
                bytes[at % length] = value;
            }
            bytes.truncate(length.max(cut) - cut / 10);
            std::fs::write(&path, bytes).unwrap();
            let _ = read(&path);
            let _ = read_metadata(&path);
        }
    }
}
