//! State dicts in PyTorch's own files (`.pth`, `.pt`), without Python.
//!
//! `torch.save` has two formats. The old one (until 1.5, and the one of torchvision's older weights)
//! is a row of pickles: a magic number, a version, facts on the system, the object, the list of
//! storages; then each storage's length and bytes. The new one is a zip archive with the object in
//! `data.pkl` and each storage in `data/KEY`, not compressed. Sources: `torch/serialization.py` and
//! `torch/_utils.py` of PyTorch 2.11.

mod pickle;

use crate::error::WeightsError;
use crate::fit::{self, Tensor};
use crate::recurrent;
use crate::safetensors::{FloatKind, widened};
use crate::{Format, Weights};
use benchbook_backend::{Array, Parameters};
use benchbook_data::open_file;
use benchbook_nets::Net;
use pickle::{Pickle, Value, View};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

/// `MAGIC_NUMBER` of the old format.
const MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;
const VERSION: i64 = 1001;
/// Keys under which trainings keep a state dict among other things.
const INNER: [&str; 3] = ["state_dict", "model_state_dict", "model"];

/// Reads what a net needs of a state dict that `torch.save` wrote, in its old or its zip format; see [`crate::read`].
/// 16-bit floats are widened.
///
/// Refuses a file that unpacks to far more than its size: compressed entries (`torch.save`
/// compresses nothing), and pickles of more than 4 MiB.
///
/// # Errors
/// [`WeightsError`].
pub fn read(path: &Path, net: &Net) -> Result<Weights, WeightsError> {
    let mut file = StateDict::open(path)?;
    let listed = file.tensors.iter().map(|(name, view)| Tensor::new(name, &view.shape)).collect();
    let mut listed = fit::unwrapped(listed, net, path)?;
    let second = recurrent::second_biases(&mut listed, net);
    let fit = fit::fit(listed, net, path)?;
    let mut parameters = Parameters::default();
    for (from, to) in fit.pairs {
        parameters.arrays.insert(net.parameters()[to].name.clone(), file.array(from)?);
    }
    for (from, layer) in second {
        recurrent::merge(layer, &file.array(from)?.values, &mut parameters, path)?;
    }
    let (left_out, metadata) = (fit.left_out, HashMap::new());
    Ok(Weights { parameters, left_out, metadata, format: Format::PyTorch })
}

/// An open file and the tensors in it.
struct StateDict<'a> {
    path: &'a Path,
    opened: Opened<BufReader<File>>,
    /// In the file's order, without tensors that no net uses.
    tensors: Vec<(String, View)>,
}

impl<'a> StateDict<'a> {
    fn open(path: &'a Path) -> Result<Self, WeightsError> {
        let open = || {
            let opened = Opened::new(BufReader::new(open_file(path)?))?;
            let mut tensors = opened.views()?;
            tensors.retain(|(name, _)| !fit::is_ignored(name));
            Ok(Self { path, opened, tensors })
        };
        open().map_err(|source| failed(source, path))
    }

    /// Reads the tensor of this index.
    fn array(&mut self, index: usize) -> Result<Array, WeightsError> {
        let (name, view) = &self.tensors[index];
        let Some(kind) = FloatKind::of_storage(&view.storage.kind) else {
            return Err(WeightsError::kind(name, &view.storage.kind, self.path));
        };
        let bytes = self.opened.storage(&view.storage.key, kind.bytes());
        let values = bytes.and_then(|bytes| gathered(view, &bytes, kind));
        let values = values.map_err(|source| failed(source, self.path))?;
        Ok(Array { shape: view.shape.clone(), values })
    }
}

fn failed(source: io::Error, path: &Path) -> WeightsError {
    let problem = match source.kind() {
        io::ErrorKind::UnexpectedEof => "a file that ends too early".to_owned(),
        io::ErrorKind::InvalidData => source.to_string(),
        _ => return WeightsError::file("read", path)(source),
    };
    WeightsError::format("a state dict of PyTorch", &problem, path)
}

/// A file with parsed pickles and readable storages.
enum Opened<R: Read + Seek> {
    Zip { archive: Box<zip::ZipArchive<R>>, prefix: String, pickle: Pickle },
    Old { input: R, pickle: Pickle, blocks: HashMap<String, Block> },
}

/// The place of a storage in the old format.
#[derive(Clone, Copy)]
struct Block {
    /// Offset of its first value in the file.
    at: u64,
    /// Number of its values.
    length: usize,
}

fn wrong(problem: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem.into())
}

fn zip_error(error: zip::result::ZipError) -> io::Error {
    match error {
        zip::result::ZipError::Io(error) => error,
        other => wrong(other.to_string()),
    }
}

impl<R: Read + Seek> Opened<R> {
    fn new(mut input: R) -> io::Result<Self> {
        let mut first = [0; 2];
        input.read_exact(&mut first)?;
        input.rewind()?;
        match &first {
            b"PK" => Self::zip(input),
            [0x80, _] => Self::old(input),
            _ => Err(wrong("a file that begins neither as a zip archive nor as a pickle")),
        }
    }

    fn zip(input: R) -> io::Result<Self> {
        let mut archive = zip::ZipArchive::new(input).map_err(zip_error)?;
        let name = archive.file_names().find(|name| name.ends_with("/data.pkl"));
        let name = name.ok_or_else(|| wrong("a zip archive without `data.pkl`"))?.to_owned();
        let prefix = name.trim_end_matches("data.pkl").to_owned();
        let order = format!("{prefix}byteorder");
        if archive.file_names().any(|name| name == order) {
            let mut text = String::new();
            stored(&mut archive, &order)?.take(16).read_to_string(&mut text)?;
            if text.trim() != "little" {
                return Err(wrong(format!("numbers in the byte order `{}`", text.trim())));
            }
        }
        let pickle = pickle::read(&mut BufReader::new(stored(&mut archive, &name)?))?;
        Ok(Self::Zip { archive: Box::new(archive), prefix, pickle })
    }

    fn old(mut input: R) -> io::Result<Self> {
        if !matches!(pickle::read(&mut input)?.root, Value::Large(number) if *number == MAGIC) {
            return Err(wrong("a pickle without the magic number of torch.save"));
        }
        if !matches!(pickle::read(&mut input)?.root, Value::Int(VERSION)) {
            return Err(wrong("a version of torch.save other than 1001"));
        }
        let _system = pickle::read(&mut input)?;
        let pickle = pickle::read(&mut input)?;
        let keys = pickle::read(&mut input)?;
        let Value::List(list) = keys.root else {
            return Err(wrong("no list of storages after the object"));
        };
        let mut blocks = HashMap::new();
        for key in &keys.containers[list] {
            let Value::Text(key) = key else { return Err(wrong("a storage without a name")) };
            let storage = pickle
                .storages
                .get(key)
                .ok_or_else(|| wrong(format!("a storage `{key}` that nothing uses")))?;
            let bytes = element_bytes(&storage.kind)
                .ok_or_else(|| wrong(format!("a storage of the unknown kind {}", storage.kind)))?;
            let mut length = [0; 8];
            input.read_exact(&mut length)?;
            let length = u64::from_le_bytes(length);
            let at = input.stream_position()?;
            let end = length.checked_mul(bytes).and_then(|size| at.checked_add(size));
            input.seek(SeekFrom::Start(end.ok_or_else(|| wrong("a storage beyond all files"))?))?;
            blocks.insert((**key).to_owned(), Block { at, length: length as usize });
        }
        // Seeking beyond the end of a file is not an error.
        let end = input.stream_position()?;
        if input.seek(SeekFrom::End(0))? < end {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Self::Old { input, pickle, blocks })
    }

    /// The tensors of the state dict by their names.
    fn views(&self) -> io::Result<Vec<(String, View)>> {
        let (Self::Zip { pickle, .. } | Self::Old { pickle, .. }) = self;
        let Value::Dict(root) = pickle.root else {
            return Err(wrong("an object that is no dictionary (save `model.state_dict()`)"));
        };
        let views = |dict: usize| -> Vec<(String, View)> {
            let named = pickle.pairs(dict).filter_map(|pair| match pair {
                [Value::Text(name), Value::Tensor(view)] => {
                    Some(((**name).into(), (**view).clone()))
                }
                _ => None,
            });
            named.collect()
        };
        let inner = |key: &str| {
            pickle.pairs(root).find_map(|pair| match pair {
                [Value::Text(name), Value::Dict(dict)] if &**name == key => Some(views(*dict)),
                _ => None,
            })
        };
        // Tried before the other tensors, such as `best_acc1` in the checkpoints of PyTorch's ImageNet example.
        let mut dicts = INNER.into_iter().filter_map(inner).filter(|views| !views.is_empty());
        let found = dicts.next().unwrap_or_else(|| views(root));
        if found.is_empty() {
            return Err(wrong("a dictionary without tensors"));
        }
        Ok(found)
    }

    /// The bytes of a whole storage.
    fn storage(&mut self, key: &str, bytes: usize) -> io::Result<Vec<u8>> {
        match self {
            Self::Zip { archive, prefix, .. } => {
                let name = format!("{prefix}data/{key}");
                let mut entry = stored(archive, &name)?;
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes)?;
                Ok(bytes)
            }
            Self::Old { input, blocks, .. } => {
                let block = blocks.get(key).ok_or_else(|| wrong(format!("no storage `{key}`")))?;
                input.seek(SeekFrom::Start(block.at))?;
                let size = block.length.saturating_mul(bytes);
                let mut values = Vec::new();
                if input.by_ref().take(size as u64).read_to_end(&mut values)? < size {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                Ok(values)
            }
        }
    }
}

/// An uncompressed entry of the archive, which takes no more memory than in the file.
fn stored<'a, R: Read + Seek>(
    archive: &'a mut zip::ZipArchive<R>,
    name: &str,
) -> io::Result<zip::read::ZipFile<'a>> {
    let entry = archive.by_name(name).map_err(zip_error)?;
    if entry.compression() != zip::CompressionMethod::Stored {
        return Err(wrong(format!(
            "the compressed entry `{name}`, where torch.save compresses nothing (save it again with torch.save)"
        )));
    }
    Ok(entry)
}

/// Bytes of one value in a storage of PyTorch's class.
fn element_bytes(kind: &str) -> Option<u64> {
    Some(match kind {
        "DoubleStorage" | "LongStorage" | "ComplexFloatStorage" => 8,
        "FloatStorage" | "IntStorage" => 4,
        "HalfStorage" | "BFloat16Storage" | "ShortStorage" => 2,
        "CharStorage" | "ByteStorage" | "BoolStorage" => 1,
        _ => return None,
    })
}

/// A view's values in row-major order.
fn gathered(view: &View, bytes: &[u8], kind: FloatKind) -> io::Result<Vec<f32>> {
    if view.shape.len() != view.strides.len() {
        return Err(wrong("a tensor with more axes than strides"));
    }
    let count = view.shape.iter().try_fold(1_usize, |count, axis| count.checked_mul(*axis));
    let count = count.ok_or_else(|| wrong("a tensor beyond all files"))?;
    let size = kind.bytes();
    let start = view.storage.offset.saturating_add(view.offset);
    if count == 0 {
        return Ok(Vec::new());
    }
    let axes = view.shape.iter().zip(&view.strides);
    let last = axes.clone().try_fold(start, |at, (length, stride)| {
        (length - 1).checked_mul(*stride).and_then(|step| at.checked_add(step))
    });
    let held = bytes.len() / size;
    if last.is_none_or(|last| last >= held) || count > held {
        return Err(wrong("a tensor that lies outside of its storage"));
    }
    let mut expected = 1;
    let dense = axes.rev().all(|(length, stride)| {
        let fits = *length == 1 || *stride == expected;
        expected *= length;
        fits
    });
    if dense {
        return Ok(widened(&bytes[start * size..(start + count) * size], kind));
    }
    let mut values = Vec::with_capacity(count);
    let mut index = vec![0; view.shape.len()];
    for _ in 0..count {
        let at: usize = index.iter().zip(&view.strides).map(|(i, stride)| i * stride).sum();
        let at = (start + at) * size;
        values.extend(widened(&bytes[at..at + size], kind));
        for axis in (0..index.len()).rev() {
            index[axis] += 1;
            if index[axis] < view.shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
    Ok(values)
}
#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    /// Every tensor of a file that is `wanted`.
    fn read_all(path: &Path, wanted: impl Fn(&str) -> bool) -> Result<Parameters, WeightsError> {
        let mut file = StateDict::open(path)?;
        let mut parameters = Parameters::default();
        for index in 0..file.tensors.len() {
            let name = file.tensors[index].0.clone();
            if wanted(&name) {
                parameters.arrays.insert(name, file.array(index)?);
            }
        }
        Ok(parameters)
    }

    /// Files written by PyTorch 2.11, see `tests/data/make.py`.
    fn saved(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
    }

    #[test]
    fn both_formats_give_the_tensors_that_python_saved() {
        for name in ["old.pth", "zip.pth"] {
            let read = read_all(&saved(name), |_| true).unwrap();
            let names: Vec<&str> = read.arrays.keys().map(String::as_str).collect();
            const NAMES: &str =
                "bfloat16 empty features.0.bias features.0.weight half scalar shared transposed";
            assert_eq!(names.join(" "), NAMES, "{name}");
            let array = |name: &str| (&read.arrays[name].shape[..], &read.arrays[name].values[..]);
            // make.py: torch.arange(24) / 8 - 1 as [2, 3, 2, 2].
            let counted: Vec<f32> = (0..24_u8).map(|at| f32::from(at) / 8.0 - 1.0).collect();
            assert_eq!(array("features.0.weight"), (&[2, 3, 2, 2][..], &counted[..]));
            assert_eq!(array("features.0.bias"), (&[2][..], &[0.5, -0.25][..]));
            // torch.arange(6.0).reshape(2, 3).t(): rows become columns.
            assert_eq!(array("transposed"), (&[3, 2][..], &[0.0, 3.0, 1.0, 4.0, 2.0, 5.0][..]));
            // The last four values of the first tensor's storage.
            assert_eq!(array("shared"), (&[4][..], &counted[20..]));
            assert_eq!(array("half"), (&[3][..], &[1.0, 65504.0, -6.103_515_6e-5][..]));
            let rounded = half::bf16::from_f32(-1e38).to_f32();
            assert_eq!(array("bfloat16"), (&[2][..], &[3.140_625, rounded][..]));
            assert_eq!(array("scalar"), (&[][..], &[7.0][..]));
            assert_eq!(array("empty"), (&[0, 4][..], &[][..]));
        }
    }

    #[test]
    fn a_training_checkpoint_gives_its_state_dict() {
        let read = read_all(&saved("checkpoint.pth"), |_| true).unwrap();
        assert_eq!(read.arrays["features.0.bias"].values, [0.5, -0.25]);
        assert_eq!(read.arrays.len(), 1);
    }

    #[test]
    fn unwanted_tensors_are_not_read_and_doubles_are_named() {
        let file = saved("doubles.pth");
        let read = read_all(&file, |name| name == "bias").unwrap();
        assert_eq!(read.arrays.len(), 1);
        let wrong = read_all(&file, |_| true).unwrap_err().to_string();
        assert!(wrong.contains("`weight`") && wrong.contains("DoubleStorage"), "{wrong}");
    }

    #[test]
    fn every_cut_of_a_file_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["old.pth", "zip.pth"] {
            let bytes = std::fs::read(saved(name)).unwrap();
            let cut = folder.path().join(name);
            for length in 0..bytes.len() {
                std::fs::write(&cut, &bytes[..length]).unwrap();
                match read_all(&cut, |_| true) {
                    Err(wrong) => assert!(wrong.to_string().contains(name), "{wrong}"),
                    Ok(_) => panic!("{name} cut to {length} of {} bytes", bytes.len()),
                }
            }
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(1000))]
        #[test]
        fn changed_bytes_never_panic(
            name in proptest::sample::select(vec!["old.pth", "zip.pth", "checkpoint.pth"]),
            changes in proptest::collection::vec((0_usize..4000, 0_u8..=255), 1..6),
        ) {
            let mut bytes = std::fs::read(saved(name)).unwrap();
            let length = bytes.len();
            for (at, value) in changes {
                bytes[at % length] = value;
            }
            let folder = tempfile::tempdir().unwrap();
            let changed = folder.path().join("changed.pth");
            std::fs::write(&changed, bytes).unwrap();
            let _ = read_all(&changed, |_| true);
        }
    }
}
