//! safetensors files, whole ([`read`], [`write`]) or for a net ([`crate::read`]).

use crate::error::WeightsError;
use crate::fit::{self, Tensor};
use crate::{Format, Weights};
use ::safetensors::tensor::{Dtype, SafeTensors, TensorView};
use benchbook_backend::{Array, Parameters};
use benchbook_data::open_file;
use benchbook_nets::Net;
use benchbook_study::files::write_atomically;
use std::collections::HashMap;
use std::io::{Read, Write};
use std::path::Path;

/// What an optimiser remembers is kept under this prefix in the files of trained models. [`crate::read`] ignores it.
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

/// Reads what a net needs.
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
    let fit = fit::fit(fit::unwrapped(listed, net, path)?, net, path)?;
    let mut parameters = Parameters::default();
    for (from, to) in fit.pairs {
        let (name, view) = &views[from];
        parameters.arrays.insert(net.parameters()[to].name.clone(), array(name, view, path)?);
    }
    Ok(Weights { parameters, left_out: fit.left_out, metadata, format: Format::Safetensors })
}

/// Reads a file's metadata without its tensors.
///
/// # Errors
/// [`WeightsError::Read`], [`WeightsError::Format`].
pub fn read_metadata(path: &Path) -> Result<HashMap<String, String>, WeightsError> {
    let failed = |source| WeightsError::Read { path: path.into(), source };
    let mut file = open_file(path).map_err(failed)?;
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
/// [`WeightsError::Write`].
pub fn write(
    parameters: &Parameters,
    path: &Path,
    metadata: HashMap<String, String>,
) -> Result<(), WeightsError> {
    let failed = |source| WeightsError::Write { path: path.into(), source };
    let views = parameters
        .arrays
        .iter()
        .map(|(name, array)| {
            let view = TensorView::new(Dtype::F32, array.shape.clone(), little_endian(&array.values));
            view.map(|view| (name.as_str(), view))
        })
        .collect::<Result<Vec<_>, _>>()
        .map_err(|wrong| failed(std::io::Error::other(wrong)))?;
    let whole = ::safetensors::serialize(views, Some(metadata));
    let whole = whole.map_err(|wrong| failed(std::io::Error::other(wrong)))?;
    write_atomically(path, |file| file.write_all(&whole)).map_err(failed)
}

fn bytes(path: &Path) -> Result<Vec<u8>, WeightsError> {
    let failed = |source| WeightsError::Read { path: path.into(), source };
    let mut file = open_file(path).map_err(failed)?;
    let mut bytes = Vec::with_capacity(file.metadata().map_err(failed)?.len() as usize);
    file.read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

fn damaged(path: &Path, reason: &str) -> WeightsError {
    let problem = format!("a damaged or different one ({reason})");
    WeightsError::Format { expected: "a safetensors file", problem, path: path.into() }
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
        other => {
            let (name, found) = (name.into(), format!("{other:?}"));
            return Err(WeightsError::Kind { name, found, path: path.into() });
        }
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

