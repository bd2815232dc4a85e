//! Everything that a record states of how it came about, by its place in the record's JSON.

use crate::record::Record;
use serde_json::Value;
use std::collections::BTreeMap;

/// The parts of a record that are figures, or say where the record belongs; all others are conditions.
const FIGURES: [&str; 19] = [
    "build_parts",
    "computes",
    "epochs",
    "job",
    "load_parts",
    "metrics",
    "name",
    "other_phases",
    "peak_memory",
    "phases",
    "place",
    "rates",
    "resources",
    "schema",
    "started",
    "status",
    "throughput",
    "train_parts",
    "wall_seconds",
];

/// Each condition as text, for example `library/version` or `environment/variables/OMP_NUM_THREADS`. What the record does
/// not state is left out.
pub fn stated(record: &Record) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    // A record always has a form in JSON: files of them are made so.
    if let Ok(Value::Object(parts)) = serde_json::to_value(record) {
        for (name, part) in parts {
            if !FIGURES.contains(&name.as_str()) {
                add(&mut found, name, part);
            }
        }
    }
    found
}

fn add(found: &mut BTreeMap<String, String>, place: String, value: Value) {
    match value {
        Value::Null => {}
        Value::Object(parts) => {
            for (name, part) in parts {
                add(found, format!("{place}/{name}"), part);
            }
        }
        Value::Array(parts) if parts.is_empty() => {}
        Value::Array(parts) => {
            // Environment variables are pairs of a name and a value.
            let pairs = parts.iter().map(|part| match part.as_array().map(Vec::as_slice) {
                Some([Value::String(name), Value::String(value)]) => Some((name, value)),
                _ => None,
            });
            match pairs.collect::<Option<Vec<_>>>() {
                Some(pairs) => found.extend(
                    pairs
                        .into_iter()
                        .map(|(name, value)| (format!("{place}/{name}"), value.clone())),
                ),
                None => {
                    let words: Vec<String> = parts.iter().map(word).collect();
                    found.insert(place, words.join(", "));
                }
            }
        }
        Value::String(text) if text.is_empty() => {}
        other => {
            found.insert(place, word(&other));
        }
    }
}

fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::tests::stated as run;

    #[test]
    fn conditions_are_named_by_their_place_and_figures_are_none() {
        let mut record = run("libtorch", 0, 10.0);
        record.environment.variables = vec![("OMP_NUM_THREADS".into(), "2".into())];
        let stated = stated(&record);
        let of = |place: &str| stated.get(place).map(String::as_str);
        assert_eq!(of("environment/variables/OMP_NUM_THREADS"), Some("2"));
        assert_eq!(of("environment/affinity"), Some("0, 1"));
        assert_eq!(of("training/batch_size"), Some("32"));
        assert_eq!(of("net/input_size"), Some("64, 64"));
        assert_eq!(of("provenance/kind"), Some("measured"));
        assert_eq!(of("library/version"), None, "it does not state it");
        assert!(!stated.keys().any(|place| place.starts_with("phases")), "{stated:?}");
    }
}
