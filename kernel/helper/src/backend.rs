//! The backends of this library: one line each in [`ALL`].

pub use benchbook_backend::*;
pub use benchbook_libtorch::has_gpu;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

/// A backend that trains in this process. In JSON its id.
#[derive(Clone, Copy)]
pub struct BackendId(&'static dyn Backend);

/// PyTorch's C++ library, through the crate `tch`.
#[allow(non_upper_case_globals)]
pub const LibTorch: BackendId = BackendId(&benchbook_libtorch::LibTorch);

/// TensorFlow, through its C API. It is found and opened when it is first used.
#[allow(non_upper_case_globals)]
pub const TensorFlow: BackendId = BackendId(&benchbook_tensorflow::TensorFlow);

/// All of them.
pub const ALL: &[BackendId] = &[LibTorch, TensorFlow];

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
        self.id() == other.id()
    }
}

impl fmt::Debug for BackendId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl BackendId {
    /// The backend with this id, installed or not.
    ///
    /// # Errors
    /// The ids that there are, in words.
    pub fn find(id: &str) -> Result<Self, String> {
        ALL.iter().find(|backend| backend.id() == id).copied().ok_or_else(|| {
            let ids: Vec<&str> = ALL.iter().map(|backend| backend.id()).collect();
            format!("unknown backend `{id}`; this build has {}", ids.join(", "))
        })
    }
}

impl FromStr for BackendId {
    type Err = String;

    /// The backend with this id. One that is not installed is an error that says how to get it, and never replaced by
    /// another one.
    fn from_str(id: &str) -> Result<Self, String> {
        let found = Self::find(id)?;
        found.check_installed().map_err(|missing| missing.to_string())?;
        Ok(found)
    }
}

impl Serialize for BackendId {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.id())
    }
}

impl<'de> Deserialize<'de> for BackendId {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::find(&String::deserialize(from)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backends_are_found_by_their_ids_and_unknown_ones_are_named() {
        for backend in ALL {
            assert_eq!(BackendId::find(backend.id()), Ok(*backend));
        }
        let wrong = "mxnet".parse::<BackendId>().unwrap_err();
        assert!(wrong.contains("`mxnet`") && wrong.contains("libtorch, tensorflow"), "{wrong}");
    }
}
