//! The source of a net's starting weights, and the preprocessing that they were trained with.

use super::checkpoint;
use crate::backend::Parameters;
use crate::display::{Bundle, DisplayHandle, Rich, display};
use crate::download::{Checksum, Download, Size, cache_folder};
use crate::error::Error;
use benchbook_chart::Progress;
use benchbook_data::Preprocessing;
use benchbook_nets::Net;
use benchbook_weights::{Format, safetensors};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The source of the starting weights. Tensors that a file lacks, often the head, start at random; the head of a net for
/// other classes, such as ImageNet's 1,000, is skipped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Weights {
    /// Random numbers from the seed (He's normal distribution); pixels become x / 255.
    #[default]
    Random,
    /// A file. The content determines the format, and the format determines the preprocessing unless
    /// [`Build::preprocessing`](super::Build::preprocessing) is set:
    ///
    /// - safetensors with the net's names (`features.0.weight`, …): that of its metadata, from a saved model or under the
    ///   key `preprocessing` (`BGR`, `caffe`, `torchvision`, `x / 255, RGB`). Without metadata: torchvision's. Other
    ///   metadata are an error;
    /// - a state dict that PyTorch saved (`.pth`, `.pt`): torchvision's;
    /// - Keras' HDF5 (`.h5`, `.weights.h5`): Caffe's, which Keras uses for its published VGG weights;
    /// - Keras 3's `.keras`: x / 255.
    File(PathBuf),
    /// Weights for ImageNet that were published for this net: downloaded once by https, checked by the published checksum
    /// ([`Download::checks`](crate::download::Download::checks)), and kept in the cache folder.
    ImageNet(Publisher),
}

/// A publisher of weights for ImageNet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Publisher {
    /// torchvision's `IMAGENET1K_V1`: every VGG, with and without batch normalisation, every ResNet, AlexNet and
    /// MobileNetV2.
    Torchvision,
    /// `keras.applications`, converted from the VGG authors' files: VGG16 and VGG19 without batch normalisation.
    Keras,
}

impl Weights {
    /// The weights of a file in the format of safetensors, PyTorch (`.pth`) or Keras (`.h5`, `.weights.h5`, `.keras`). The
    /// tensors are read when a net is built.
    ///
    /// # Errors
    /// [`Error::Weights`] for a missing file or another format.
    pub fn from_file(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        Format::of(&path)?;
        Ok(Weights::File(path))
    }

    /// The preprocessing of these weights, used unless [`Build::preprocessing`](super::Build::preprocessing) is set.
    /// Downloads nothing.
    ///
    /// # Errors
    /// [`Error::Weights`] for a file that cannot be read or has unknown metadata.
    pub fn preprocessing(&self) -> Result<Preprocessing, Error> {
        Ok(match self {
            Weights::Random => Preprocessing::Rescaled,
            Weights::File(path) => match Format::of(path)? {
                Format::Safetensors => {
                    checkpoint::preprocessing(&safetensors::read_metadata(path)?, path)?
                }
                Format::PyTorch => Preprocessing::Torchvision,
                Format::KerasHdf5 => Preprocessing::Caffe,
                Format::KerasArchive => Preprocessing::Rescaled,
            },
            Weights::ImageNet(Publisher::Torchvision) => Preprocessing::Torchvision,
            Weights::ImageNet(Publisher::Keras) => Preprocessing::Caffe,
        })
    }

    /// The local file for a net of this name; a download's file may not exist yet. `None` for random weights and nets that
    /// the publisher lacks.
    pub fn file(&self, net: &str) -> Option<PathBuf> {
        match self {
            Weights::Random => None,
            Weights::File(path) => Some(path.clone()),
            Weights::ImageNet(publisher) => {
                let download = publisher.download(net)?;
                cache_folder().ok().map(|folder| folder.join(download.name))
            }
        }
    }

    /// Downloads published weights if necessary and checks them, so that [`Weights::read`] only reads the disk.
    pub(super) fn fetch(&self, net: &Net) -> Result<(), Error> {
        match self {
            Weights::ImageNet(publisher) => publisher.fetch(net.name()).map(drop),
            _ => Ok(()),
        }
    }

    /// A description for records: a file's name, the publisher, or `random` with the seed.
    pub fn describe(&self, seed: u64) -> String {
        match self {
            Weights::Random => format!("random (He, seed {seed})"),
            Weights::File(path) => {
                path.file_name().unwrap_or_default().to_string_lossy().into_owned()
            }
            Weights::ImageNet(publisher) => format!("ImageNet, {publisher:?}"),
        }
    }

    /// Replaces random values by those of the file, after [`Weights::fetch`]. False for random weights.
    pub(super) fn read(&self, net: &Net, parameters: &mut Parameters) -> Result<bool, Error> {
        let path = match self {
            Weights::Random => return Ok(false),
            Weights::File(path) => path.clone(),
            Weights::ImageNet(publisher) => {
                cache_folder()?.join(publisher.published(net.name())?.name)
            }
        };
        parameters.arrays.extend(benchbook_weights::read(&path, net)?.parameters.arrays);
        Ok(true)
    }
}

impl Publisher {
    /// The published file for a net of this name; `None` if there is none.
    ///
    /// Sources, read in November 2026: torchvision's `torchvision/models/vgg.py` and its neighbours (a name has the first
    /// digits of the file's SHA-256, which torchvision checks too, and `_file_size` is in MiB; pull request 3851 of 2021
    /// replaced the files of VGG11 and VGG13), and `WEIGHTS_PATH_NO_TOP` with its `file_hash`, an MD5 sum, in
    /// `keras/src/applications/vgg16.py` and `vgg19.py`, with the sizes that Keras' downloads report. No source gives a
    /// whole SHA-256.
    pub fn download(self, net: &str) -> Option<Download> {
        match self {
            Publisher::Torchvision => {
                let (digits, size) = match net {
                    "vgg11" => ("8a719046", 506_840),
                    "vgg13" => ("19584684", 507_545),
                    "vgg16" => ("397923af", 527_796),
                    "vgg19" => ("dcbb9e9d", 548_051),
                    "vgg11_bn" => ("6002323d", 506_881),
                    "vgg13_bn" => ("abd245e5", 507_590),
                    "vgg16_bn" => ("6c64b313", 527_866),
                    "vgg19_bn" => ("c79401a0", 548_143),
                    "resnet18" => ("f37072fd", 44_661),
                    "resnet34" => ("b627a593", 83_275),
                    "resnet50" => ("0676ba61", 97_781),
                    "alexnet" => ("7be5be79", 233_087),
                    "mobilenet_v2" => ("b0353104", 13_555),
                    _ => return None,
                };
                // From the paper "One weird trick".
                let published = if net == "alexnet" { "alexnet-owt" } else { net };
                let name = format!("{published}-{digits}.pth");
                Some(Download {
                    url: format!("https://download.pytorch.org/models/{name}"),
                    name,
                    checksum: Checksum::Sha256(digits.into()),
                    size: Size::Millimebibytes(size),
                })
            }
            Publisher::Keras => {
                let (sum, bytes) = match net {
                    "vgg16" => ("6d6bbae143d832006294945121d1f1fc", 58_889_256),
                    "vgg19" => ("253f8cb515780f3b799900260a226db6", 80_134_624),
                    _ => return None,
                };
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

    fn published(self, net: &str) -> Result<Download, Error> {
        self.download(net).ok_or_else(|| Error::Setting {
            name: "weights",
            expected: "published for the net: torchvision has AlexNet, the VGGs, the ResNets and MobileNetV2, Keras has \
                       VGG16 and VGG19 without batch normalisation",
            found: format!("{self:?} for {net}"),
        })
    }

    /// The path in the cache, after a download with progress in the cell if necessary.
    fn fetch(self, net: &str) -> Result<PathBuf, Error> {
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

/// Time between two updates: each is a line in a terminal.
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
        // In kilobytes, for readable numbers.
        let total = total.unwrap_or(done);
        let progress =
            Progress::new(done / 1000, total.div_ceil(1000)).elapsed(self.began.elapsed());
        let line = Line(format!("{} [kB] {}", self.name, progress.to_text()));
        match &self.output {
            Some(output) => output.update(&line),
            None => self.output = Some(display(&line)),
        }
    }

    /// Shows how a downloaded file was checked.
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
        let name = |publisher: Publisher, net| publisher.download(net).map(|file| file.name);
        let torchvision = name(Publisher::Torchvision, "vgg16");
        assert_eq!(torchvision.as_deref(), Some("vgg16-397923af.pth"));
        let torchvision = name(Publisher::Torchvision, "vgg19_bn");
        assert_eq!(torchvision.as_deref(), Some("vgg19_bn-c79401a0.pth"));
        // The ends of `url` in torchvision 0.26's resnet.py, alexnet.py and mobilenetv2.py.
        for (net, file) in [
            ("resnet18", "resnet18-f37072fd.pth"),
            ("resnet34", "resnet34-b627a593.pth"),
            ("resnet50", "resnet50-0676ba61.pth"),
            ("alexnet", "alexnet-owt-7be5be79.pth"),
            ("mobilenet_v2", "mobilenet_v2-b0353104.pth"),
        ] {
            assert_eq!(name(Publisher::Torchvision, net).as_deref(), Some(file));
        }
        let keras = name(Publisher::Keras, "vgg16");
        assert_eq!(keras.as_deref(), Some("vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"));
        for net in ["vgg19_bn", "small_cnn"] {
            assert_eq!(name(Publisher::Keras, net), None);
        }
    }

    #[test]
    fn the_preprocessing_follows_the_weights() {
        let of = |weights: Weights| weights.preprocessing().unwrap();
        assert_eq!(of(Weights::Random), Preprocessing::Rescaled);
        assert_eq!(of(Weights::ImageNet(Publisher::Torchvision)), Preprocessing::Torchvision);
        assert_eq!(of(Weights::ImageNet(Publisher::Keras)), Preprocessing::Caffe);
    }
}
