//! Fills in the record of a run of this library: its conditions and its measurements.
//!
//! `benchbook_study` defines, reads and draws records for all languages.

mod memory;
mod words;

pub use benchbook_study::Record;
pub use benchbook_study::record::*;
pub(crate) use memory::{now as peak_memory, reset as reset_peak_memory};
pub(crate) use words::{compute_settings, pixels, setting, training};

use crate::error::Error;
use crate::model::{Build, Weights};
use benchbook_data::Dataset;
use benchbook_nets::Shape;
use sha2::{Digest, Sha256};
use std::path::Path;

/// SHA-256 in hexadecimal digits.
pub(crate) fn digest(bytes: impl AsRef<[u8]>) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

/// SHA-256 of a file in hexadecimal digits.
pub(crate) fn sha256(path: &Path) -> Result<String, Error> {
    let failed = Error::file("read", path);
    let mut file = std::fs::File::open(path).map_err(&failed)?;
    let mut hash = Sha256::new();
    std::io::copy(&mut file, &mut hash).map_err(failed)?;
    Ok(hexadecimal(&hash.finalize()))
}

/// A dataset as a record states it. Reads the size of every file, so no timed phase may contain the call.
pub(crate) fn facts(data: &dyn Dataset) -> Data {
    let splits = [data.train(), data.validation(), data.test()];
    let files_sha256 = Some(benchbook_data::digest(&splits));
    let [training, validation, test] = splits.map(|split| split.len());
    Data {
        name: data.name(),
        classes: data.class_names(),
        training,
        validation,
        test,
        files_sha256,
        skipped_sha256: Some(names_sha256(&[])),
        ..Data::default()
    }
}

/// SHA-256 of names, one per line.
pub(crate) fn names_sha256(names: &[String]) -> String {
    digest(names.join("\n"))
}

/// Identifies the build of a library in this process by the largest loaded file whose name contains `id`: a checksum of
/// its first MiB, which has the table of functions, and its size. `None` if no such file is loaded.
pub(crate) fn library_build(id: &str) -> Option<String> {
    use std::io::Read;
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let files = maps.lines().filter_map(|line| Some(Path::new(line.get(line.find('/')?..)?)));
    let named = |path: &&Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.contains(id) && name.contains(".so")
    };
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
    let largest = files.filter(named).max_by_key(|path| size(path))?;
    let mut start = Vec::new();
    std::fs::File::open(largest).ok()?.take(1 << 20).read_to_end(&mut start).ok()?;
    Some(format!("{}, {} bytes", &digest(start)[..12], size(largest)))
}

/// A net as a record states it before it is built.
pub(crate) fn net_facts(net: &benchbook_nets::Net, build: &Build) -> Net {
    let graph = serde_json::to_vec(net.graph()).unwrap_or_default();
    Net {
        name: net.name().into(),
        classes: Some(net.classes()),
        graph_sha256: Some(digest(graph)),
        base: Some(if build.frozen { "frozen" } else { "trainable" }.into()),
        weights: Some(weights(net, build)),
        input_size: match net.input() {
            Shape::Map([_, height, width]) => Some([height, width]),
            Shape::Vector(_) => None,
        },
        ..Net::default()
    }
}

/// Where a net's starting weights come from, in words.
pub(crate) fn weights(net: &benchbook_nets::Net, build: &Build) -> String {
    match (net.code(), &build.weights) {
        (Some(_), Weights::Random) => {
            format!("random (by the net's own code, seed {})", build.seed)
        }
        _ => build.weights.describe(build.seed),
    }
}

/// The package's version, with the commit that `BENCHBOOK_REVISION` names at run time or at build time. The working
/// folder's repository is not asked, since it may be another project's.
pub(crate) fn revision() -> String {
    let version = env!("CARGO_PKG_VERSION");
    match std::env::var("BENCHBOOK_REVISION")
        .ok()
        .or(option_env!("BENCHBOOK_REVISION").map(Into::into))
    {
        Some(commit) if !commit.is_empty() => format!("{version} ({commit})"),
        _ => version.into(),
    }
}
