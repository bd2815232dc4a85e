//! Writes the pixels that a loader gives, for a comparison with another library.
//!
//! `cargo run --release -p benchbook-data --example pixels -- FOLDER SETTINGS EPOCH OUT`, where SETTINGS
//! is a `LoaderConfig` as JSON. OUT gets the values of all images, `[pictures, 3, height, width]`, as
//! 32-bit floats of this machine; a JSON list says for each image its path, its size and what the
//! random choices came to. `kernel/data/tests/python` reads both.

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;

use benchbook_data::{DEFAULT_MAX_PIXELS, Drawn, Loader, LoaderConfig, Picture, Split};
use serde::Serialize;

#[derive(Serialize)]
struct Entry {
    path: PathBuf,
    height: u32,
    width: u32,
    drawn: Drawn,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, settings, epoch, out] = arguments.as_slice() else {
        return Err("usage: pixels FOLDER SETTINGS EPOCH OUT".into());
    };
    let config: LoaderConfig = serde_json::from_str(settings)?;
    let epoch: u64 = epoch.parse()?;
    let loader = Loader::new(&Split::open(folder)?, config)?;
    let mut file = std::io::BufWriter::new(std::fs::File::create(out)?);
    let mut entries = Vec::new();
    for batch in loader.epoch(epoch) {
        let batch = batch?;
        for value in &batch.values {
            file.write_all(&value.to_ne_bytes())?;
        }
        for index in batch.indices {
            let path = loader.split().files()[index].path.clone();
            let Picture { height, width, .. } = Picture::open(&path, DEFAULT_MAX_PIXELS)?;
            let drawn = loader.drawn(epoch, index, (height, width));
            entries.push(Entry { path, height, width, drawn });
        }
    }
    file.flush()?;
    println!("{}", serde_json::to_string(&entries)?);
    Ok(())
}
