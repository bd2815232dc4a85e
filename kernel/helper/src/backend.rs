//! The list of libraries, [`ALL`], and backends by their ids.

pub use benchbook_backend::*;
pub use benchbook_libtorch::has_gpu;
pub(crate) use benchbook_libtorch::profile;

use benchbook_chart::{Cell, Colour, Table};
use benchbook_study::references::{self, Reference};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

/// Every library. Help, `benchbook doctor`, studies, charts and messages take their libraries from here.
pub static ALL: &[Runner] = &[
    Runner::Rust(LibTorch),
    Runner::Rust(TensorFlow),
    Runner::Program(&references::PYTORCH),
    Runner::Program(&references::KERAS),
    Runner::Program(&references::PYTORCH_COMPILE),
    Runner::Program(&references::KERAS_JIT),
    Runner::Program(&references::KERAS_NO_JIT),
    Runner::Program(&references::KERAS_JAX),
    Runner::Program(&references::KERAS_PYTORCH),
    Runner::Program(&references::THEANO),
    Runner::Program(&references::MXNET),
    Runner::Program(&references::BURN),
    Runner::Program(&references::CANDLE),
    #[cfg(test)]
    Runner::Rust(BackendId(&benchbook_toy::Toy)),
];

/// The libraries that a study compares by default.
pub const COMPARED: [&str; 4] = ["libtorch", "tensorflow", "python-pytorch", "python-keras"];

/// PyTorch's C++ library, through the crate `tch`.
#[allow(non_upper_case_globals)]
pub const LibTorch: BackendId = BackendId(&benchbook_libtorch::LibTorch);

/// TensorFlow, through its C API, whose library is opened at the first use.
#[allow(non_upper_case_globals)]
pub const TensorFlow: BackendId = BackendId(&benchbook_tensorflow::TensorFlow);

/// A library and the way to run it.
#[derive(Clone, Copy)]
pub enum Runner {
    /// A backend, which trains in this process.
    Rust(BackendId),
    /// A separate program, which runs in studies.
    Program(&'static Reference),
}

impl Runner {
    /// The library with this id, installed or not. The id of a program may have a version, as in `python-pytorch@1.13`.
    ///
    /// # Errors
    /// A message for an unknown id, with the known ones, or for a version of a library without versions.
    pub fn find(id: &str) -> Result<Self, String> {
        let ids = || ALL.iter().map(|runner| runner.about().id).collect::<Vec<_>>().join(", ");
        let (name, version) = id.split_once('@').map_or((id, None), |(n, v)| (n, Some(v)));
        let found = ALL.iter().find(|runner| runner.about().id == name).copied();
        match (found, version) {
            (None, _) => Err(format!("unknown backend `{id}`; backends are {}", ids())),
            (Some(found), None) => Ok(found),
            (Some(Self::Program(reference)), Some(version)) => {
                reference.at(version).map(Self::Program)
            }
            (Some(Self::Rust(_)), Some(_)) => {
                Err(format!("`{name}` has only one version; remove `@…` from `{id}`"))
            }
        }
    }

    /// The library's names, colour, command to install and environment variables.
    pub fn about(&self) -> &'static About {
        match self {
            Self::Rust(backend) => backend.about(),
            Self::Program(reference) => &reference.about,
        }
    }

    fn colour(&self) -> Colour {
        let [red, green, blue] = self.about().colour;
        Colour(red, green, blue)
    }

    /// The library's path or version.
    ///
    /// # Errors
    /// A message with the searched places and the command to install it.
    pub fn installed(&self) -> Result<String, String> {
        match self {
            Self::Rust(backend) => backend.installed().map_err(|missing| missing.to_string()),
            Self::Program(reference) => {
                reference.installed().map(|program| program.display().to_string())
            }
        }
    }
}

/// A table of all libraries, with the installed version or the command to install it.
///
/// # Errors
/// [`benchbook_chart::Error`].
pub fn libraries() -> Result<Table, benchbook_chart::Error> {
    let table = Table::new(["id", "library", "called from", "installed", "installed by"]);
    ALL.iter().try_fold(table, |table, runner| {
        let About { id, name, language, install, .. } = runner.about();
        let found = runner.installed();
        let installed = found.map_or_else(|missing| Cell::from("no").note(missing), Cell::from);
        table.row([(*id).into(), (*name).into(), (*language).into(), installed, (*install).into()])
    })
}

/// Gives each library its colour in every chart of this process.
pub(crate) fn set_colours() {
    let names = |runner: &Runner| [runner.about().name, runner.about().id];
    let named = ALL.iter().flat_map(|runner| names(runner).map(|name| (name, runner.colour())));
    benchbook_chart::set_colours(named);
}

/// A backend that trains in this process. In JSON its id.
#[derive(Clone, Copy)]
pub struct BackendId(&'static dyn Backend);

impl Default for BackendId {
    fn default() -> Self {
        LibTorch
    }
}

impl Deref for BackendId {
    type Target = dyn Backend;

    fn deref(&self) -> &(dyn Backend + 'static) {
        self.0
    }
}

impl PartialEq for BackendId {
    fn eq(&self, other: &Self) -> bool {
        self.about().id == other.about().id
    }
}

impl fmt::Debug for BackendId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.about().name)
    }
}

impl BackendId {
    /// The displayed name, for example `LibTorch`.
    pub fn name(self) -> &'static str {
        self.about().name
    }

    /// The backend with this id, installed or not.
    ///
    /// # Errors
    /// A message for an unknown id, with the known ones, or for a program, which runs only in studies.
    pub fn find(id: &str) -> Result<Self, String> {
        match Runner::find(id)? {
            Runner::Rust(backend) => Ok(backend),
            Runner::Program(_) => Err(format!(
                "`{id}` runs only in studies, as a separate program; choose a backend that is called from Rust"
            )),
        }
    }
}

impl FromStr for BackendId {
    type Err = String;

    /// The backend with this id. A missing library is an error with the command to install it.
    fn from_str(id: &str) -> Result<Self, String> {
        let found = Self::find(id)?;
        found.installed().map_err(|missing| missing.to_string())?;
        Ok(found)
    }
}

impl Serialize for BackendId {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.about().id)
    }
}

impl<'de> Deserialize<'de> for BackendId {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::find(&String::deserialize(from)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::sight::{contrast, nearest};
    use super::*;
    use crate::model::{Build, Model};
    use crate::train::{Fit, Silent};
    use benchbook_data::Arrays;
    use benchbook_nets::{ResNet18, Sequential};

    #[test]
    fn libraries_are_found_by_their_ids_and_unknown_ones_are_named() {
        for runner in ALL {
            let About { id, name, language, install, .. } = runner.about();
            assert_eq!(Runner::find(id).unwrap().about(), runner.about());
            assert!([id, name, language, install].iter().all(|word| !word.is_empty()), "{id}");
            match runner {
                Runner::Rust(backend) => assert_eq!(BackendId::find(id), Ok(*backend)),
                Runner::Program(_) => assert!(BackendId::find(id).unwrap_err().contains("studies")),
            }
        }
        let wrong = "mxnet".parse::<BackendId>().unwrap_err();
        assert!(wrong.contains("`mxnet`") && wrong.contains("libtorch, tensorflow"), "{wrong}");
    }

    #[test]
    fn every_library_has_a_row_with_how_to_get_it() {
        let text = libraries().unwrap().to_text();
        for runner in ALL {
            let About { id, name, install, .. } = runner.about();
            assert!([id, name, install].iter().all(|word| text.contains(*word)), "{id}: {text}");
        }
    }

    #[test]
    fn the_toy_trains_a_model_and_refuses_what_it_does_not_have() {
        // The class is the index of the larger value.
        let values = (0..32).flat_map(|at| if at % 2 == 0 { [0.5, -0.5] } else { [-0.5, 0.5] });
        let labels = (0..32).map(|at| at % 2).collect();
        let data = Arrays::new(values.collect(), [2], labels, ["left", "right"]).unwrap();
        let toy = BackendId::find("toy").unwrap();
        let build = Build { backend: toy, device: Some(tch::Device::Cpu), ..Build::default() };
        let net = Sequential::vector(2).dense(8).relu().dense(2);
        let mut model = Model::build(net, &data, build.clone()).unwrap();
        assert_eq!(model.backend().name, "Toy");
        let fit = Fit { epochs: 20, batch_size: 8, learning_rate: Some(0.1), ..Fit::default() };
        let history = model.fit_with(&data, fit, &mut Silent).unwrap();
        assert_eq!(history.epochs.last().unwrap().val_accuracy, Some(1.0));

        let refused = Model::new(ResNet18::new(2), build).map(drop).unwrap_err().to_string();
        assert!(refused.contains("Toy cannot compute layer `bn1`"), "{refused}");
        assert!(refused.contains("does not have BatchNormalization"), "{refused}");
    }

    #[test]
    fn colours_of_libraries_differ_with_any_colour_vision_and_stand_out_from_the_card() {
        let colours: Vec<Colour> = ALL.iter().map(Runner::colour).collect();
        // A difference of 2.3 is just noticeable side by side.
        assert!(nearest(&colours) > 20.0, "{}", nearest(&colours));
        assert!(colours.iter().all(|colour| contrast(*colour) > 2.1), "{colours:?}");
    }
}

#[cfg(test)]
#[path = "../../chart/tests/support/sight.rs"]
mod sight;
