//! How large a job is made, so that it fits the machine.

use crate::backend;
use crate::error::Error;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The size of a notebook's job. The notebook's settings define each size in images, epochs and batches; the run's name,
/// and so each chart, states the size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scale {
    /// The report's numbers, for a GPU.
    Report,
    /// Minutes on two cores of a laptop.
    Laptop,
    /// Seconds, to test that everything runs.
    Tiny,
}

impl Scale {
    /// [`Scale::Report`] where LibTorch can use a GPU, else [`Scale::Laptop`].
    pub fn fitting() -> Self {
        if backend::has_gpu() { Self::Report } else { Self::Laptop }
    }
}

impl fmt::Display for Scale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Report => "report scale",
            Self::Laptop => "laptop scale",
            Self::Tiny => "tiny scale",
        })
    }
}

impl FromStr for Scale {
    type Err = Error;

    /// `report`, `laptop` or `tiny`; `auto` for [`Scale::fitting`].
    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "auto" => Ok(Self::fitting()),
            "report" => Ok(Self::Report),
            "laptop" => Ok(Self::Laptop),
            "tiny" => Ok(Self::Tiny),
            found => Err(Error::Setting {
                name: "scale",
                expected: "auto, report, laptop or tiny",
                found: found.into(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_is_read_by_its_name_and_anything_else_is_refused() {
        assert_eq!("tiny".parse::<Scale>().unwrap(), Scale::Tiny);
        assert_eq!("auto".parse::<Scale>().unwrap(), Scale::fitting());
        let refused = "huge".parse::<Scale>().unwrap_err().to_string();
        assert_eq!(refused, "`scale` must be auto, report, laptop or tiny (got huge)");
    }
}
