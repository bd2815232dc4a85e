//! Published training rates, which expose an implausible rate.

use crate::record::Record;
use serde::Deserialize;

/// A published training rate of VGG16 at 224 × 224 pixels with all layers trainable, on one device.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ceiling {
    /// A part of the device's name, for example `K80`.
    pub device: String,
    /// `float32` or `float16`.
    pub precision: String,
    /// Images per second.
    pub images_per_second: f64,
    /// Library, batch and year.
    pub conditions: String,
    /// Who published it.
    pub source: String,
}

const ROWS: &str = include_str!("../data/ceilings.json");

/// The factor above the best published rate from which a rate is implausible. Later libraries are faster, and
/// machines differ: the published rates of one device differ by up to 30% (V100, 192 and 249).
const TOLERANCE: f64 = 1.3;

/// All rows.
pub fn ceilings() -> Vec<Ceiling> {
    serde_json::from_str(ROWS).unwrap_or_else(|wrong| unreachable!("data/ceilings.json: {wrong}"))
}

impl Ceiling {
    /// Why a record's training rate is implausible; `None` if it is plausible, or if no published rate is
    /// comparable.
    pub fn fault(record: &Record) -> Option<String> {
        let rate = record.throughput.training.or(record.throughput.train_phase)?;
        let name = record.library.device_name.as_deref()?;
        let net = &record.net;
        let whole = net.input_size == Some([224, 224])
            && net.name.starts_with("vgg16")
            && net.base.as_deref() != Some("frozen");
        if !whole {
            return None;
        }
        let precision = record.library.precision.as_deref().unwrap_or("float32");
        let precision = if precision == "float32" { "float32" } else { "float16" };
        let best = ceilings()
            .into_iter()
            .filter(|row| row.precision == precision && names(name, &row.device))
            .max_by(|a, b| a.images_per_second.total_cmp(&b.images_per_second))?;
        let times = rate / best.images_per_second;
        (times > TOLERANCE).then(|| {
            format!(
                "{rate:.1} images/s is {times:.1} times the {} published for {} ({}; {}); check that all layers are \
                 trainable, the device's name, and the number of images",
                best.images_per_second, best.device, best.conditions, best.source
            )
        })
    }
}

/// Whether a device's full name has `part` as words: `Tesla V100-SXM2-16GB` has `V100`.
fn names(full: &str, part: &str) -> bool {
    let words = |text: &str| -> Vec<String> {
        text.split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase).collect()
    };
    let (full, part) = (words(full), words(part));
    full.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_devices_name_is_found_by_whole_words() {
        assert!(names("Tesla V100-SXM2-16GB", "V100"));
        assert!(names("NVIDIA GeForce GTX 1080 Ti", "1080 Ti"));
        assert!(!names("NVIDIA A1000 Laptop GPU", "A100"));
    }

    #[test]
    fn every_row_has_a_rate_and_a_source() {
        for row in ceilings() {
            assert!(row.images_per_second > 1.0 && !row.source.is_empty(), "{row:?}");
        }
    }
}
