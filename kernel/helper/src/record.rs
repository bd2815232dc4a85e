//! What one run was, and what it took: everything that a later comparison must check.
//!
//! The record itself, its reading and its drawing are `benchbook_study`'s, so that Python programs, studies and
//! notebooks all mean the same. Here is what fills it in for a run of this library.

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
use std::path::Path;

/// SHA-256 of a file in hexadecimal digits.
pub(crate) fn sha256(path: &Path) -> Result<String, Error> {
    use sha2::{Digest, Sha256};
    let failed = |source| Error::File { action: "read", path: path.into(), source };
    let mut file = std::fs::File::open(path).map_err(failed)?;
    let mut hash = Sha256::new();
    std::io::copy(&mut file, &mut hash).map_err(failed)?;
    Ok(hexadecimal(&hash.finalize()))
}

/// A dataset as a record states it; asks for the size of every file, which belongs in no phase.
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

/// SHA-256 over names, one a line.
pub(crate) fn names_sha256(names: &[String]) -> String {
    use sha2::{Digest, Sha256};
    hexadecimal(&Sha256::digest(names.join("\n")))
}

/// The build of a library in this process, by its id: the size of the largest file of that name that is loaded, and a
/// checksum of the file's first MiB, which has the list of the library's functions. `None` if no such file is loaded.
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
    use sha2::{Digest, Sha256};
    let sum = hexadecimal(&Sha256::digest(&start)[..6]);
    Some(format!("{sum}, {} bytes", size(largest)))
}

/// A net as a record states it before it is built.
pub(crate) fn net_facts(net: &benchbook_nets::Net, build: &Build) -> Net {
    use sha2::{Digest, Sha256};
    let graph = serde_json::to_vec(net.graph()).unwrap_or_default();
    Net {
        name: net.name().into(),
        classes: Some(net.classes()),
        graph_sha256: Some(hexadecimal(&Sha256::digest(graph))),
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

/// The package's version and, where whoever started the process told it (`BENCHBOOK_REVISION`), the
/// commit it was built from. A commit found at run time could be another project's.
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
