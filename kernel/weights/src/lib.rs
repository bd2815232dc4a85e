//! Weight files, read into the parameters of a net.
//!
//! [`read`] tells the format by the file's content and takes from it what a net needs, under the names and in the
//! layout of [`Parameters`]. Nothing in this crate knows an architecture: names, shapes, base and head come from the
//! [`Net`].
//!
//! Files come from anywhere. A file is listed first (names and shapes); the list is matched with the net; then the
//! tensors that match are read, so that none of them is larger than the net's own parameter, whatever a file states.

mod error;
mod fit;
pub mod keras;
mod recurrent;
pub mod safetensors;
pub mod torch;

pub use error::{TensorShape, WeightsError};
pub use fit::LeftOut;

use benchbook_backend::Parameters;
use benchbook_data::open_file;
use benchbook_nets::Net;
use std::collections::HashMap;
use std::io::{Read, Seek};
use std::path::Path;

/// The format of a weight file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// safetensors.
    Safetensors,
    /// `torch.save`, in its old or its zip format.
    PyTorch,
    /// Keras' HDF5: the legacy `.h5` and Keras 3's `.weights.h5`.
    KerasHdf5,
    /// Keras 3's `.keras`, a zip archive.
    KerasArchive,
}

impl Format {
    /// Detects the format from the file's content.
    ///
    /// # Errors
    /// [`WeightsError::File`]; [`WeightsError::Content`] for any other content.
    pub fn of(path: &Path) -> Result<Self, WeightsError> {
        let failed = WeightsError::file("read", path);
        let mut file = open_file(path).map_err(&failed)?;
        let mut start = Vec::new();
        file.by_ref().take(9).read_to_end(&mut start).map_err(&failed)?;
        match start[..] {
            [_, _, _, _, _, _, _, _, b'{'] => return Ok(Format::Safetensors),
            [0x89, b'H', b'D', b'F', ..] => return Ok(Format::KerasHdf5),
            [0x80, ..] => return Ok(Format::PyTorch),
            [b'P', b'K', ..] => {
                file.rewind().map_err(failed)?;
                let archive = zip::ZipArchive::new(std::io::BufReader::new(file));
                let is_keras = archive.is_ok_and(|archive| {
                    archive.file_names().any(|name| name == keras::ARCHIVED_WEIGHTS)
                });
                return Ok(if is_keras { Format::KerasArchive } else { Format::PyTorch });
            }
            _ => {}
        }
        const EXPECTED: &str =
            "weights of safetensors, PyTorch (`.pth`) or Keras (`.h5`, `.weights.h5`, `.keras`)";
        Err(WeightsError::format(EXPECTED, "a file of none of these formats", path))
    }
}

/// The weights that a file has for a net.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// All parameters of the net, or all of its base. Every name is the net's, and every shape fits.
    pub parameters: Parameters,
    /// The head of the file, if it belongs to another classifier and was left out.
    pub left_out: Option<LeftOut>,
    /// The metadata of a safetensors file; otherwise empty.
    pub metadata: HashMap<String, String>,
    /// The file's format.
    pub format: Format,
}

/// Reads what `net` needs of a file.
///
/// - A file with the base alone gives the base.
/// - The head of another classifier (a last layer of another name or another number of outputs) is left out, which
///   [`Weights::left_out`] says. A net without a base ([`Net::base`]) needs every tensor.
/// - In files of PyTorch and safetensors, name parts of wrappers are dropped: `module.` of `DataParallel` and
///   `_orig_mod.` of `torch.compile`, in any position, and a prefix that all of the net's tensors share. So are
///   `num_batches_tracked`.
/// - The second bias of a recurrent layer is added to the first. In the candidate of a GRU, where that would compute
///   something else, it must be zero.
///
/// # Errors
/// [`WeightsError`], naming the file. For another net's file it names the first tensor that is missing, the first that
/// is surplus and the first of another shape.
pub fn read(path: &Path, net: &Net) -> Result<Weights, WeightsError> {
    let format = Format::of(path)?;
    match format {
        Format::Safetensors => safetensors::read_for(path, net),
        Format::PyTorch => torch::read(path, net),
        Format::KerasHdf5 | Format::KerasArchive => keras::read(path, net),
    }
}
