//! Parameters in safetensors files.

use super::{Array, Parameters, Specification};
use crate::files::write_atomically;
use benchbook_data::open_file;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// The last layer of torchvision's own VGGs, which no head here has.
const IMAGENET_CLASSIFIER: &str = "classifier.6.weight";

/// The part of a file's header that describes no tensor.
#[derive(serde::Deserialize)]
struct Header {
    #[serde(rename = "__metadata__", default)]
    metadata: HashMap<String, String>,
}

/// Weights that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// The file cannot be read.
    #[error("cannot read the weights {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is damaged, or is no safetensors file.
    #[error("expected a safetensors file, found a damaged or different one: {}: {source}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: safetensors::SafeTensorError,
    },
    /// The file is damaged, or of another format.
    #[error("expected {expected}, found {problem}: {}", path.display())]
    Format {
        /// What the file should be.
        expected: &'static str,
        /// What it is.
        problem: String,
        /// The file.
        path: PathBuf,
    },
    /// A tensor is not of floats of 32 or 16 bits.
    #[error(
        "expected tensor `{name}` as F32, F16 or BF16, found {found}: {}",
        path.display()
    )]
    Kind {
        /// The tensor.
        name: String,
        /// What its values are.
        found: String,
        /// The file.
        path: PathBuf,
    },
    /// The net has a parameter that the weights lack.
    #[error("expected tensor `{name}`, found only {found}: {origin}")]
    Missing {
        /// The tensor.
        name: String,
        /// Where it was looked for.
        origin: String,
        /// What is there.
        found: String,
    },
    /// A tensor belongs to a net of another form.
    #[error("expected tensor `{name}` of shape {expected:?}, found {found:?}: {origin}")]
    Shape {
        /// The tensor.
        name: String,
        /// What the net has.
        expected: Vec<usize>,
        /// What the weights have.
        found: Vec<usize>,
        /// Where the weights are from.
        origin: String,
    },
    /// The file holds nothing of this net.
    #[error("expected the tensors of a net such as `{expected}`, found {found}: {}", path.display())]
    Foreign {
        /// A name that the net has.
        expected: String,
        /// What is there.
        found: String,
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be written.
    #[error("cannot write the weights {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl Parameters {
    /// Reads a safetensors file with its metadata.
    ///
    /// # Errors
    /// [`WeightsError`], naming the file and, where one is at fault, the tensor.
    pub fn read(path: &Path) -> Result<(Self, HashMap<String, String>), WeightsError> {
        let failed = |source| WeightsError::Read { path: path.into(), source };
        let mut file = open_file(path).map_err(failed)?;
        let mut bytes = Vec::with_capacity(file.metadata().map_err(failed)?.len() as usize);
        file.read_to_end(&mut bytes).map_err(failed)?;
        let corrupt = |source| WeightsError::Corrupt { path: path.into(), source };
        let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(corrupt)?;
        let tensors = SafeTensors::deserialize(&bytes).map_err(corrupt)?;
        let mut parameters = Parameters::default();
        for (name, view) in tensors.iter() {
            // torchvision's files count batches as an integer; no net here has a use for it.
            if name.ends_with(".num_batches_tracked") {
                continue;
            }
            let kind = match view.dtype() {
                Dtype::F32 => FloatKind::F32,
                Dtype::F16 => FloatKind::F16,
                Dtype::BF16 => FloatKind::BF16,
                other => {
                    let (name, found) = (name.into(), format!("{other:?}"));
                    return Err(WeightsError::Kind { name, found, path: path.into() });
                }
            };
            let array = Array { shape: view.shape().into(), values: widened(view.data(), kind) };
            parameters.arrays.insert(name.into(), array);
        }
        Ok((parameters, metadata.metadata().clone().unwrap_or_default()))
    }

    /// Reads the metadata of a safetensors file without its tensors.
    ///
    /// # Errors
    /// [`WeightsError::Read`], [`WeightsError::Corrupt`].
    pub fn read_metadata(path: &Path) -> Result<HashMap<String, String>, WeightsError> {
        let failed = |source| WeightsError::Read { path: path.into(), source };
        let mut file = open_file(path).map_err(failed)?;
        let mut length = [0; 8];
        let mut bytes = Vec::new();
        // The file begins with the header's length in bytes; a header of 100 MB is refused.
        let read = file.read_exact(&mut length);
        if read.is_ok() {
            bytes.extend_from_slice(&length);
            file.take(u64::from_le_bytes(length).min(100_000_000))
                .read_to_end(&mut bytes)
                .map_err(failed)?;
        }
        let header: Header =
            serde_json::from_slice(bytes.get(8..).unwrap_or_default()).map_err(|wrong| {
                let source = safetensors::SafeTensorError::InvalidHeaderDeserialization(wrong);
                WeightsError::Corrupt { path: path.into(), source }
            })?;
        Ok(header.metadata)
    }

    /// Writes a safetensors file; the previous file of that name stays whole until then.
    ///
    /// # Errors
    /// [`WeightsError::Write`].
    pub fn write(
        &self,
        path: &Path,
        metadata: HashMap<String, String>,
    ) -> Result<(), WeightsError> {
        let failed = |source| WeightsError::Write { path: path.into(), source };
        let views = self
            .arrays
            .iter()
            .map(|(name, array)| {
                let view = TensorView::new(Dtype::F32, array.shape.clone(), bytes(&array.values));
                view.map(|view| (name.as_str(), view))
            })
            .collect::<Result<Vec<_>, _>>()
            .map_err(|wrong| failed(std::io::Error::other(wrong)))?;
        let whole = safetensors::serialize(views, Some(metadata));
        let whole = whole.map_err(|wrong| failed(std::io::Error::other(wrong)))?;
        write_atomically(path, |file| file.write_all(&whole)).map_err(failed)
    }

    /// Replaces starting values by those of a file, for every parameter of the net that the file
    /// has; what it lacks (often the head) keeps its starting value. The three dense layers of
    /// torchvision's own nets belong to another head and are left out. Returns the replaced names.
    ///
    /// # Errors
    /// [`WeightsError::Shape`], [`WeightsError::Foreign`] if nothing fits, [`WeightsError::Missing`]
    /// if the file has one part of the base or head but not all of it.
    pub fn replace_from(
        &mut self,
        file: Parameters,
        specifications: &[Specification],
        path: &Path,
    ) -> Result<Vec<String>, WeightsError> {
        let origin = path.display().to_string();
        let mut file = file;
        // torchvision's and Keras' whole nets tell 1,000 classes apart: another head than any here.
        if file.arrays.contains_key(IMAGENET_CLASSIFIER) {
            file.arrays.retain(|name, _| !name.starts_with("classifier."));
        }
        let mut replaced = Vec::new();
        let touched: Vec<_> = specifications
            .iter()
            .filter(|s| file.arrays.contains_key(&s.name))
            .map(|s| s.part)
            .collect();
        if touched.is_empty() {
            let expected = specifications.first().map(|s| s.name.clone()).unwrap_or_default();
            return Err(WeightsError::Foreign {
                expected,
                found: file.some_names(),
                path: path.into(),
            });
        }
        for specification in specifications.iter().filter(|s| touched.contains(&s.part)) {
            file.get(&specification.name, &specification.shape, &origin)?;
        }
        for specification in specifications {
            if let Some(array) = file.arrays.remove(&specification.name) {
                self.arrays.insert(specification.name.clone(), array);
                replaced.push(specification.name.clone());
            }
        }
        Ok(replaced)
    }
}

/// The kinds of numbers that become 32-bit floats without a loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FloatKind {
    F32,
    F16,
    BF16,
}

impl FloatKind {
    /// By PyTorch's name of the class of a storage.
    pub(super) fn of_storage(class: &str) -> Option<Self> {
        match class {
            "FloatStorage" => Some(Self::F32),
            "HalfStorage" => Some(Self::F16),
            "BFloat16Storage" => Some(Self::BF16),
            _ => None,
        }
    }

    /// Bytes of one number.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
        }
    }
}

/// 32-bit floats of little-endian bytes.
pub(super) fn widened(bytes: &[u8], kind: FloatKind) -> Vec<f32> {
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
fn bytes(values: &[f32]) -> &[u8] {
    // SAFETY: any f32 is four initialised bytes, and u8 has no alignment.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), std::mem::size_of_val(values)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vgg::{Architecture, Depth};
    use std::sync::LazyLock;

    fn net() -> Architecture {
        Architecture { depth: Depth::Vgg11, size: 32, ..Architecture::default() }
    }

    fn file_with(change: impl FnOnce(&mut Parameters)) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        let mut parameters = Parameters::initial(&net().parameters(), 3);
        change(&mut parameters);
        parameters.write(&path, HashMap::from([("preprocessing".into(), "caffe".into())])).unwrap();
        (folder, path)
    }

    #[test]
    fn what_was_written_is_read_back_bit_for_bit() {
        let (_folder, path) = file_with(|_| ());
        let (read, metadata) = Parameters::read(&path).unwrap();
        assert_eq!(read, Parameters::initial(&net().parameters(), 3));
        assert_eq!(metadata["preprocessing"], "caffe");
    }

    #[test]
    fn a_file_of_the_base_alone_leaves_the_head_as_it_was() {
        let (_folder, path) =
            file_with(|p| p.arrays.retain(|name, _| name.starts_with("features")));
        let mut parameters = Parameters::initial(&net().parameters(), 4);
        let before = parameters.arrays["dense_1.weight"].clone();
        let (read, _) = Parameters::read(&path).unwrap();
        let replaced = parameters.replace_from(read, &net().parameters(), &path).unwrap();
        assert_eq!(replaced.len(), 16);
        assert_eq!(parameters.arrays["dense_1.weight"], before);
        assert_eq!(
            parameters.arrays["features.0.weight"],
            Parameters::initial(&net().parameters(), 3).arrays["features.0.weight"]
        );
    }

    #[test]
    fn a_tensor_of_another_shape_is_named_with_both_shapes() {
        let (_folder, path) = file_with(|p| {
            p.arrays.insert(
                "features.3.weight".into(),
                Array { shape: vec![2, 2], values: vec![0.0; 4] },
            );
        });
        let (read, _) = Parameters::read(&path).unwrap();
        let wrong = Parameters::initial(&net().parameters(), 4)
            .replace_from(read, &net().parameters(), &path)
            .unwrap_err();
        let text = wrong.to_string();
        assert!(
            text.contains("`features.3.weight`")
                && text.contains("[128, 64, 3, 3]")
                && text.contains("[2, 2]"),
            "{text}"
        );
    }

    #[test]
    fn half_a_base_is_refused() {
        let (_folder, path) = file_with(|p| {
            p.arrays.remove("features.18.bias");
        });
        let (read, _) = Parameters::read(&path).unwrap();
        let wrong = Parameters::initial(&net().parameters(), 4)
            .replace_from(read, &net().parameters(), &path)
            .unwrap_err();
        assert!(wrong.to_string().contains("`features.18.bias`"), "{wrong}");
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
            let wrong = Parameters::read(&path).unwrap_err();
            assert!(matches!(wrong, WeightsError::Corrupt { .. }), "{wrong}");
            assert!(wrong.to_string().contains(path.to_str().unwrap()), "{wrong}");
        }
        let missing = Parameters::read(&folder.path().join("none.safetensors")).unwrap_err();
        assert!(matches!(missing, WeightsError::Read { .. }), "{missing}");
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
        parameters.write(&path, HashMap::new()).unwrap();
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
            let _ = Parameters::read(&path);
            let _ = Parameters::read_metadata(&path);
        }
    }
}
