//! Where a net's starting weights come from, and which preprocessing they were trained with.

use super::checkpoint;
use crate::display::{Bundle, DisplayHandle, Rich, display};
use crate::download::{Checksum, Download, Size, cache_folder};
use crate::error::Error;
use crate::parameters::{Parameters, WeightsError};
use crate::vgg::{Architecture, Depth};
use benchbook_chart::Progress;
use benchbook_data::Preprocessing;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Where the starting weights come from. What a file lacks, often the head, starts from random
/// numbers; the dense layers of nets for ImageNet's 1,000 classes are another head and are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Weights {
    /// He's normal numbers from the net's seed; pixels become x / 255.
    #[default]
    Random,
    /// A safetensors file with torchvision's names (`features.0.weight`, …). Its metadata say how
    /// pixels are preprocessed: those of a saved model, or `preprocessing` with words such as `BGR`,
    /// `caffe`, `torchvision` or `x / 255, RGB`. A file that says nothing is taken for torchvision's; one
    /// that says something else is an error unless `Vgg::preprocessing` is given.
    Safetensors(PathBuf),
    /// A state dict that PyTorch saved (`.pth`), in its old or its zip format, such as torchvision's
    /// `vgg16-397923af.pth`; torchvision's preprocessing.
    PyTorch(PathBuf),
    /// Keras' `vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5` or another of its VGG16 and VGG19
    /// files; Caffe's preprocessing, which Keras uses for them.
    Keras(PathBuf),
    /// ImageNet's, as published for this depth: downloaded once by https, checked by what is published of it
    /// ([`Download::checks`](crate::download::Download::checks)), and kept in the cache folder.
    ImageNet(Publisher),
}

/// Who has published weights for ImageNet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Publisher {
    /// torchvision's `IMAGENET1K_V1`: every depth, with and without batch normalisation.
    Torchvision,
    /// `keras.applications`, converted from the VGG authors' own: VGG16 and VGG19 without batch
    /// normalisation.
    Keras,
}

/// Weights that were read, and where from.
pub(super) struct Starting {
    pub(super) parameters: Parameters,
    pub(super) path: PathBuf,
}

impl Weights {
    /// Those of a file, whose ending names its format: `.safetensors`, PyTorch's `.pth` and `.pt`, Keras' `.h5`.
    ///
    /// # Errors
    /// [`Error::Weights`] for another ending. The file itself is read when a net is built.
    pub fn from_file(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("safetensors") => Ok(Weights::Safetensors(path)),
            Some("pth" | "pt") => Ok(Weights::PyTorch(path)),
            Some("h5") => Ok(Weights::Keras(path)),
            _ => Err(Error::Weights(WeightsError::Format {
                expected: "weights in a file .safetensors, .pth or .h5",
                problem: "another ending".into(),
                path,
            })),
        }
    }

    /// What happens to pixels, if `Vgg::preprocessing` says nothing else. A download is not needed to
    /// know it.
    ///
    /// # Errors
    /// [`Error::Weights`] for a safetensors file that cannot be read or whose words are not understood.
    pub fn preprocessing(&self) -> Result<Preprocessing, Error> {
        Ok(match self {
            Weights::Random => Preprocessing::Rescaled,
            Weights::Safetensors(path) => {
                checkpoint::preprocessing(&Parameters::read_metadata(path)?, path)?
            }
            Weights::PyTorch(_) | Weights::ImageNet(Publisher::Torchvision) => {
                Preprocessing::Torchvision
            }
            Weights::Keras(_) | Weights::ImageNet(Publisher::Keras) => Preprocessing::Caffe,
        })
    }

    /// The file on this machine, where there is one by now; nothing is downloaded.
    pub fn file(&self, net: &Architecture) -> Option<PathBuf> {
        match self {
            Weights::Random => None,
            Weights::Safetensors(path) | Weights::PyTorch(path) | Weights::Keras(path) => {
                Some(path.clone())
            }
            Weights::ImageNet(publisher) => {
                let download = publisher.download(net)?;
                cache_folder().ok().map(|folder| folder.join(download.name))
            }
        }
    }

    /// Downloads what has to come from elsewhere and is not here yet, and checks what is, so that reading
    /// takes no longer than the disk.
    pub(super) fn fetch(&self, net: &Architecture) -> Result<(), Error> {
        match self {
            Weights::ImageNet(publisher) => publisher.fetch(net).map(drop),
            _ => Ok(()),
        }
    }

    /// In words, for tables: the file's name or the publisher.
    pub fn describe(&self, seed: u64) -> String {
        match self {
            Weights::Random => format!("random (He, seed {seed})"),
            Weights::Safetensors(path) | Weights::PyTorch(path) | Weights::Keras(path) => {
                path.file_name().unwrap_or_default().to_string_lossy().into_owned()
            }
            Weights::ImageNet(publisher) => format!("ImageNet, {publisher:?}"),
        }
    }

    /// Reads what the net needs of them, after [`Weights::fetch`]; `None` for random ones.
    pub(super) fn read(&self, net: &Architecture) -> Result<Option<Starting>, Error> {
        let names: Vec<String> = net.parameters().into_iter().map(|p| p.name).collect();
        // torchvision's head is recognised by its last layer and then left out.
        let wanted = |name: &str| names.iter().any(|n| n == name) || name == LAST_LAYER;
        let of_torch = |path: PathBuf| -> Result<Starting, Error> {
            let parameters = Parameters::read_torch(&path, wanted)?;
            Ok(Starting { parameters, path })
        };
        let of_keras = |path: PathBuf| -> Result<Starting, Error> {
            let parameters = Parameters::read_keras(&path, net)?;
            Ok(Starting { parameters, path })
        };
        Ok(Some(match self {
            Weights::Random => return Ok(None),
            Weights::Safetensors(path) => {
                Starting { parameters: Parameters::read(path)?.0, path: path.clone() }
            }
            Weights::PyTorch(path) => of_torch(path.clone())?,
            Weights::Keras(path) => of_keras(path.clone())?,
            Weights::ImageNet(publisher) => {
                let path = cache_folder()?.join(publisher.published(net)?.name);
                match publisher {
                    Publisher::Torchvision => of_torch(path)?,
                    Publisher::Keras => of_keras(path)?,
                }
            }
        }))
    }
}

const LAST_LAYER: &str = "classifier.6.weight";

impl Publisher {
    /// The published file for a net; `None` if there is none.
    ///
    /// Sources, read in November 2026: torchvision's `torchvision/models/vgg.py` (the digits in a name
    /// are the first of its SHA-256, which torchvision checks too, and `_file_size` is in MiB; its pull request 3851 of
    /// 2021 put these files for VGG11 and VGG13 in the place of others), and `WEIGHTS_PATH_NO_TOP` with its `file_hash`,
    /// an MD5 sum, in `keras/src/applications/vgg16.py` and `vgg19.py`. Their sizes are those that Keras' own downloads
    /// report. None of these sources gives a whole SHA-256.
    pub fn download(self, net: &Architecture) -> Option<Download> {
        match self {
            Publisher::Torchvision => {
                let (digits, size) = match (net.depth, net.batch_norm) {
                    (Depth::Vgg11, false) => ("8a719046", 506_840),
                    (Depth::Vgg13, false) => ("19584684", 507_545),
                    (Depth::Vgg16, false) => ("397923af", 527_796),
                    (Depth::Vgg19, false) => ("dcbb9e9d", 548_051),
                    (Depth::Vgg11, true) => ("6002323d", 506_881),
                    (Depth::Vgg13, true) => ("abd245e5", 507_590),
                    (Depth::Vgg16, true) => ("6c64b313", 527_866),
                    (Depth::Vgg19, true) => ("c79401a0", 548_143),
                };
                let name = format!("{}-{digits}.pth", net.name());
                Some(Download {
                    url: format!("https://download.pytorch.org/models/{name}"),
                    name,
                    checksum: Checksum::Sha256(digits.into()),
                    size: Size::Millimebibytes(size),
                })
            }
            Publisher::Keras => {
                let (sum, bytes) = match (net.depth, net.batch_norm) {
                    (Depth::Vgg16, false) => ("6d6bbae143d832006294945121d1f1fc", 58_889_256),
                    (Depth::Vgg19, false) => ("253f8cb515780f3b799900260a226db6", 80_134_624),
                    _ => return None,
                };
                let net = net.depth.name();
                let name = format!("{net}_weights_tf_dim_ordering_tf_kernels_notop.h5");
                Some(Download {
                    url: format!(
                        "https://storage.googleapis.com/tensorflow/keras-applications/{net}/{name}"
                    ),
                    name,
                    checksum: Checksum::Md5(sum.into()),
                    size: Size::Bytes(bytes),
                })
            }
        }
    }

    fn published(self, net: &Architecture) -> Result<Download, Error> {
        self.download(net).ok_or_else(|| Error::Setting {
            name: "weights",
            expected: "a net that has been published: Keras has VGG16 and VGG19 without batch normalisation",
            found: format!("{self:?} for {}", net.name()),
        })
    }

    /// The file, downloaded if it is not in the cache, with progress in the cell.
    fn fetch(self, net: &Architecture) -> Result<PathBuf, Error> {
        let download = self.published(net)?;
        let mut shown = Shown::new(download.name.clone());
        let path = download.fetch(&cache_folder()?, &mut |done, total| shown.show(done, total))?;
        shown.checked(&download);
        Ok(path)
    }
}

/// The progress of a download in one output.
struct Shown {
    name: String,
    began: Instant,
    drawn: Option<Instant>,
    output: Option<DisplayHandle>,
}

/// Between two updates: a terminal gets a line for each.
const PAUSE: Duration = Duration::from_secs(1);

impl Shown {
    fn new(name: String) -> Self {
        Self { name, began: Instant::now(), drawn: None, output: None }
    }

    fn show(&mut self, done: u64, total: Option<u64>) {
        let complete = Some(done) == total;
        if !complete && self.drawn.is_some_and(|drawn| drawn.elapsed() < PAUSE) {
            return;
        }
        self.drawn = Some(Instant::now());
        // In kilobytes, so that the numbers can be read.
        let total = total.unwrap_or(done);
        let progress =
            Progress::new(done / 1000, total.div_ceil(1000)).elapsed(self.began.elapsed());
        let line = Line(format!("{} [kB] {}", self.name, progress.to_text()));
        match &self.output {
            Some(output) => output.update(&line),
            None => self.output = Some(display(&line)),
        }
    }

    /// Says what a file that was downloaded has been checked by.
    fn checked(&self, download: &Download) {
        if let Some(output) = &self.output {
            output.update(&Line(format!("{}: checked by {}", self.name, download.checks())));
        }
    }
}

struct Line(String);

impl Rich for Line {
    fn bundle(&self) -> Bundle {
        Bundle::text(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_files_have_their_publishers_names() {
        let net = Architecture::default();
        let torchvision = Publisher::Torchvision.download(&net).unwrap();
        assert_eq!(torchvision.name, "vgg16-397923af.pth");
        let normal = Architecture { batch_norm: true, depth: Depth::Vgg19, ..net.clone() };
        let torchvision = Publisher::Torchvision.download(&normal).unwrap();
        assert_eq!(torchvision.name, "vgg19_bn-c79401a0.pth");
        let keras = Publisher::Keras.download(&net).unwrap();
        assert_eq!(keras.name, "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5");
        assert!(Publisher::Keras.download(&normal).is_none());
    }

    #[test]
    fn the_preprocessing_follows_the_weights() {
        let of = |weights: Weights| weights.preprocessing().unwrap();
        assert_eq!(of(Weights::Random), Preprocessing::Rescaled);
        assert_eq!(of(Weights::PyTorch("a.pth".into())), Preprocessing::Torchvision);
        assert_eq!(of(Weights::Keras("a.h5".into())), Preprocessing::Caffe);
        assert_eq!(of(Weights::ImageNet(Publisher::Torchvision)), Preprocessing::Torchvision);
        assert_eq!(of(Weights::ImageNet(Publisher::Keras)), Preprocessing::Caffe);
    }
}
