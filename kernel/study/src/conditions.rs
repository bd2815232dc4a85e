//! The table of a run's conditions. Comparisons, the display of a record, `CONDITIONS.md` and the list of what the Python
//! references must state come from this table.

use crate::compare::Quantity::{self, Build, Load, Test, Train};
use crate::record::Record;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;

/// The effect of a difference on a ratio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The difference invalidates the ratio.
    Strikes,
    /// The difference invalidates the ratio of times, but not the ratio per image.
    PerImage,
    /// The difference invalidates the ratio within a round: a study changes the condition from round to round.
    WithinRound,
    /// The difference invalidates the ratio of two runs of one library. Between libraries, the condition is not compared.
    WithinLibrary,
    /// The difference is reported beside the ratio.
    Told,
}

/// A condition of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Condition {
    /// The name in messages and tables.
    pub name: &'static str,
    /// The unit of a number; empty for none.
    pub unit: &'static str,
    /// JSON pointers into a record; the first stated one counts.
    pub places: &'static [&'static str],
    /// The phases that the condition influences.
    pub phases: &'static [Quantity],
    /// The effect of a difference.
    pub rule: Rule,
    /// Whether a run may lack the condition. Otherwise a run that does not state it is never comparable.
    pub optional: bool,
    /// Whether only the training process can state it.
    pub by_process: bool,
}

const ALL: &[Quantity] = &Quantity::PHASES;
const IMAGES: &[Quantity] = &[Load, Train, Test];
const FIRST_BATCH: &[Quantity] = &[Load, Train];
const NET: &[Quantity] = &[Build, Train, Test];
const TRAINING: &[Quantity] = &[Train];

use Rule::{PerImage, Strikes, Told, WithinLibrary, WithinRound};

/// All conditions. A record groups them by the first part of the first place.
pub const CONDITIONS: &[Condition] = &[
    of("version", "", &["/library/version"], ALL, WithinLibrary).by_process(),
    of("called from", "", &["/library/language"], ALL, WithinLibrary).by_process(),
    of("build", "", &["/library/parts/build"], ALL, WithinLibrary).optional().by_process(),
    of("graph prepared in", "", &["/library/parts/graph"], &[Build], Strikes)
        .optional()
        .by_process(),
    of("Python", "", &["/library/parts/python"], ALL, WithinLibrary).optional().by_process(),
    of("torchvision", "", &["/library/parts/torchvision"], IMAGES, WithinLibrary)
        .optional()
        .by_process(),
    of("Pillow", "", &["/library/parts/pillow"], IMAGES, WithinLibrary).optional().by_process(),
    of("device", "", &["/library/device"], ALL, Strikes).by_process(),
    of("device name", "", &["/library/device_name"], ALL, Strikes).optional(),
    of("threads", "", &["/library/threads"], ALL, Strikes).by_process(),
    of("ranks", "", &["/library/ranks"], ALL, Strikes).optional().by_process(),
    of("precision", "", &["/library/precision"], NET, Strikes),
    of("settings", "", &["/library/settings"], ALL, Strikes),
    of("net", "", &["/net/name"], NET, Strikes),
    of("layers", "", &["/net/graph_sha256", "/net/head"], NET, Strikes),
    of("dropout", "", &["/net/dropout"], TRAINING, Strikes).optional(),
    of("base", "", &["/net/base"], &[Build, Train], Strikes),
    of("weights", "", &["/net/weights_sha256", "/net/weights"], NET, WithinRound),
    of("parameters", "", &["/net/parameters"], NET, Strikes).by_process(),
    of("trainable parameters", "", &["/net/trainable_parameters"], NET, Strikes).by_process(),
    of("input height and width", "pixels", &["/net/input_size"], ALL, Strikes),
    of("preprocessing", "", &["/net/preprocessing"], IMAGES, Strikes),
    of("images", "", &["/data/files_sha256", "/data/name"], IMAGES, Strikes),
    of("class order", "", &["/data/classes"], IMAGES, Strikes),
    of("skipped files", "", &["/data/skipped"], IMAGES, Strikes),
    of("names of skipped files", "", &["/data/skipped_sha256"], IMAGES, Strikes),
    of("optimiser", "", &["/training/optimizer"], TRAINING, Strikes),
    of("learning rate", "", &["/training/learning_rate"], TRAINING, Strikes),
    of("schedule", "", &["/training/schedule"], TRAINING, Strikes),
    of("augmentation", "", &["/training/augmentation"], FIRST_BATCH, Strikes),
    of("class weights", "", &["/training/class_weights"], TRAINING, Strikes),
    of("batch", "", &["/training/batch_size"], FIRST_BATCH, Strikes),
    of("epochs", "", &["/training/epochs"], TRAINING, PerImage),
    of("steps per epoch", "", &["/training/steps_per_epoch"], TRAINING, PerImage).optional(),
    of("seed", "", &["/training/seed"], FIRST_BATCH, WithinRound),
    of("cached features", "", &["/training/cache_features"], TRAINING, Strikes),
    of("cache of decoded images", "", &["/training/cache"], FIRST_BATCH, Strikes),
    of("loader threads", "", &["/training/loader_threads"], IMAGES, Strikes),
    of("steps", "", &["/steps"], TRAINING, PerImage).by_process(),
    of("images trained on", "", &["/images_seen/training"], TRAINING, PerImage),
    of("images validated on", "", &["/images_seen/validation"], TRAINING, PerImage),
    of("images tested on", "", &["/images_seen/test"], &[Test], PerImage).by_process(),
    of("cores", "", &["/environment/affinity"], ALL, Strikes),
    of("governor", "", &["/environment/governor"], ALL, Strikes).optional(),
    of("environment", "", &["/environment/variables"], ALL, Strikes),
    of("C library", "", &["/environment/libc"], ALL, Strikes),
    of("GPU driver", "", &["/environment/gpu_driver"], ALL, Strikes).optional(),
    of("memory", "bytes", &["/environment/memory_bytes"], ALL, Told),
    of("operating system", "", &["/environment/os"], ALL, Told),
    of("kernel", "", &["/environment/kernel"], ALL, Told),
    of("machine", "", &["/environment/host"], ALL, Told),
    of("Benchbook", "", &["/revision"], ALL, Told),
];

const fn of(
    name: &'static str,
    unit: &'static str,
    places: &'static [&'static str],
    phases: &'static [Quantity],
    rule: Rule,
) -> Condition {
    Condition { name, unit, places, phases, rule, optional: false, by_process: false }
}

impl Condition {
    const fn optional(self) -> Self {
        Self { optional: true, ..self }
    }

    const fn by_process(self) -> Self {
        Self { by_process: true, ..self }
    }

    /// The part of a record that the condition belongs to, for example `training`.
    pub fn group(&self) -> &'static str {
        self.places[0].split('/').nth(1).unwrap_or_default()
    }

    /// The value in a record, as JSON; null if the record does not state it.
    pub fn of(&self, record: &Value) -> Value {
        let stated = self.places.iter().find_map(|place| stated(record, place));
        stated.cloned().unwrap_or_default()
    }

    /// All stated values in a record, as text; `None` if the record states none.
    pub fn shown(&self, record: &Value) -> Option<String> {
        let stated = self.places.iter().filter_map(|place| stated(record, place));
        let parts: Vec<String> = stated.map(words).collect();
        (!parts.is_empty())
            .then(|| format!("{} {} {}", self.name, parts.join(", "), self.unit).trim().to_owned())
    }
}

fn stated<'a>(record: &'a Value, place: &str) -> Option<&'a Value> {
    record.pointer(place).filter(|value| !value.is_null() && *value != "")
}

/// The places of the conditions that only the training process can state, and whether it may lack them.
pub fn by_process() -> BTreeMap<&'static str, bool> {
    let own = CONDITIONS.iter().filter(|condition| condition.by_process);
    own.map(|condition| (condition.places[0], condition.optional)).collect()
}

/// A record as JSON, for [`Condition::of`].
pub(crate) fn json(record: &Record) -> Value {
    serde_json::to_value(record).unwrap_or_default()
}

/// A condition in which two runs differ, or that one or both do not state.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The condition.
    pub condition: &'static Condition,
    /// The first run's value; null if not stated. A list of named values is reduced to those that the other run lacks.
    pub first: Value,
    /// The second run's value, in the same form.
    pub second: Value,
}

impl Difference {
    /// Whether neither run states the condition.
    pub fn is_unstated(&self) -> bool {
        self.first.is_null() && self.second.is_null()
    }

    /// Whether the difference invalidates a ratio of this quantity; `None` if the condition does not influence the quantity.
    pub fn strikes(&self, quantity: Quantity) -> Option<bool> {
        let matters = self.condition.phases.contains(&quantity.phase());
        matters.then_some(self.condition.rule != Told)
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Condition { name, unit, rule, .. } = self.condition;
        if self.is_unstated() {
            return write!(f, "{name} not stated by either");
        }
        write!(f, "{name} {} against {}", words(&self.first), words(&self.second))?;
        if !unit.is_empty() {
            write!(f, " {unit}")?;
        }
        // A quotient of seeds has no meaning.
        match self.first.as_f64().zip(self.second.as_f64()).map(|(first, second)| second / first) {
            Some(factor) if factor.is_finite() && factor > 0.0 && *rule != WithinRound => {
                write!(f, " ({factor:.2} ×)")
            }
            _ => Ok(()),
        }
    }
}

/// Every condition in which two runs differ, or that a run must state and does not.
pub fn differences(first: &Record, second: &Record) -> Vec<Difference> {
    between(&json(first), &json(second))
}

pub(crate) fn between(first: &Value, second: &Value) -> Vec<Difference> {
    let one_library = first.pointer("/library/name") == second.pointer("/library/name");
    let compared = |condition: &&Condition| one_library || condition.rule != WithinLibrary;
    let difference = |condition: &'static Condition| {
        let (mut first, mut second) = (condition.of(first), condition.of(second));
        let may_be_absent = condition.optional || condition.rule == Told;
        if first == second && (may_be_absent || !first.is_null()) {
            return None;
        }
        let common = named(&first).zip(named(&second)).map(|(first, second)| {
            first.iter().filter(|value| second.contains(value)).cloned().collect::<Vec<_>>()
        });
        for list in [&mut first, &mut second].into_iter().filter_map(Value::as_array_mut) {
            list.retain(|value| !common.as_ref().is_some_and(|common| common.contains(value)));
        }
        Some(Difference { condition, first, second })
    };
    CONDITIONS.iter().filter(compared).filter_map(difference).collect()
}

/// A list of names with their values.
fn named(value: &Value) -> Option<&Vec<Value>> {
    value.as_array().filter(|list| list.iter().all(Value::is_array))
}

/// A value as text: the first digits of a checksum, `name=value` for named values, and `adam(beta1 0.9, …)` for settings.
pub fn words(value: &Value) -> String {
    let joined = |parts: Vec<String>| parts.join(", ");
    match value {
        Value::Null => "not stated".into(),
        Value::Bool(flag) => if *flag { "yes" } else { "no" }.into(),
        Value::Number(number) => number.to_string(),
        Value::String(text) if text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit()) => {
            text[..12].into()
        }
        Value::String(text) => text.clone(),
        Value::Array(list) if list.is_empty() => "none".into(),
        Value::Array(list) => joined(
            list.iter()
                .map(|value| match value.as_array() {
                    Some(pair) => pair.iter().map(words).collect::<Vec<_>>().join("="),
                    None => words(value),
                })
                .collect(),
        ),
        Value::Object(settings) => {
            let rest = settings.iter().filter(|(name, _)| *name != "name");
            let rest = joined(
                rest.map(|(name, value)| match value {
                    Value::Object(_) => format!("{name}({})", words(value)),
                    _ => format!("{name} {}", words(value)),
                })
                .collect(),
            );
            match settings.get("name").and_then(Value::as_str) {
                Some(name) => format!("{name}({rest})"),
                None => rest,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::tests::stated;
    use crate::record::Training;
    use std::collections::BTreeSet;
    use std::fmt::Write;

    /// A misspelt place would always be "not stated".
    #[test]
    fn every_place_is_a_field_of_the_record() {
        let mut record = Record { training: Some(Training::default()), ..Record::default() };
        for part in ["build", "graph", "python", "torchvision", "pillow"] {
            record.library.parts.insert(part.into(), String::new());
        }
        let json = json(&record);
        let places: Vec<&str> = CONDITIONS.iter().flat_map(|c| c.places).copied().collect();
        let absent: Vec<_> = places.iter().filter(|place| json.pointer(place).is_none()).collect();
        assert!(absent.is_empty(), "{absent:?}");
        let names: BTreeSet<&str> = CONDITIONS.iter().map(|condition| condition.name).collect();
        assert_eq!(names.len(), CONDITIONS.len(), "each name once");
        assert_eq!(places.iter().collect::<BTreeSet<_>>().len(), places.len(), "each place once");
    }

    /// Every field that describes the run is a condition, or has a reason here.
    #[test]
    fn every_stated_field_is_compared_or_has_a_reason_not_to_be() {
        let beside = [
            ("/library/name", "what is compared"),
            ("/net/classes", "part of the layers"),
            ("/data/training", "part of the files"),
            ("/data/validation", "part of the files"),
            ("/data/test", "part of the files"),
            ("/data/skipped_files", "the names' checksum"),
            ("/environment/cpu", "the device's name, if it is the device"),
            ("/environment/cores", "the number of the cores"),
            ("/environment/gpus", "the device's name, if one is the device"),
            ("/library/parts", "each by itself"),
        ];
        let json = json(&Record { training: Some(Training::default()), ..Record::default() });
        for group in ["library", "net", "data", "training", "images_seen", "environment"] {
            for field in json[group].as_object().unwrap().keys() {
                let place = format!("/{group}/{field}");
                let known = CONDITIONS.iter().any(|c| c.places.contains(&place.as_str()))
                    || beside.iter().any(|(known, _)| *known == place);
                assert!(known, "{place} is in no condition");
            }
        }
    }

    #[test]
    fn values_are_shown_by_their_type() {
        let mut record = stated("a", 0, 1.0);
        record.data.classes = vec!["cat".into(), "dog".into()];
        record.net.graph_sha256 = Some("0123456789abcdef".repeat(4));
        record.training.as_mut().unwrap().optimizer =
            Some(serde_json::json!({"name": "sgd", "momentum": 0.9, "nesterov": false}));
        record.training.as_mut().unwrap().augmentation =
            Some(serde_json::json!([{"Rotation": {"degrees": 15.0, "fill": "Nearest"}}]));
        let json = json(&record);
        let shown = |name: &str| {
            CONDITIONS.iter().find(|condition| condition.name == name).unwrap().shown(&json)
        };
        for (name, expected) in [
            ("layers", "layers 0123456789ab, Keras"),
            ("class order", "class order cat, dog"),
            ("input height and width", "input height and width 64, 64 pixels"),
            ("cached features", "cached features no"),
            ("settings", "settings none"),
            ("optimiser", "optimiser sgd(momentum 0.9, nesterov no)"),
            ("augmentation", "augmentation Rotation(degrees 15.0, fill Nearest)"),
        ] {
            assert_eq!(shown(name).as_deref(), Some(expected));
        }
        assert_eq!(shown("GPU driver"), None);
    }

    #[test]
    fn a_librarys_parts_are_compared_within_the_library_only() {
        let with = |library: &str, part: &str, version: &str| {
            let mut record = stated("a", 0, 1.0);
            record.library.name = library.into();
            record.library.parts.insert(part.into(), version.into());
            record
        };
        let pillow = |library| with(library, "pillow", "12.0.0");
        let found = differences(&pillow("PyTorch"), &with("PyTorch", "pillow", "11.3.0"));
        assert_eq!(found[0].to_string(), "Pillow 12.0.0 against 11.3.0");
        let matters = [Load, Build, Train, Test].map(|quantity| found[0].strikes(quantity));
        assert_eq!(matters, [Some(true), None, Some(true), Some(true)]);
        assert_eq!(differences(&pillow("PyTorch"), &with("Keras", "build", "2.21")), []);
        let absent = differences(&pillow("PyTorch"), &with("PyTorch", "build", "1"));
        let absent: Vec<String> = absent.iter().map(ToString::to_string).collect();
        assert_eq!(absent, ["build not stated against 1", "Pillow 12.0.0 against not stated"]);
    }

    /// `UPDATE_CONDITIONS=1 cargo test -p benchbook-study` writes the file.
    #[test]
    fn the_documentation_has_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/CONDITIONS.md");
        let mut text = String::from(
            "# The conditions of a run\n\nGenerated from the table in `src/conditions.rs`, which compares and shows the conditions, \
             by `UPDATE_CONDITIONS=1 cargo test -p benchbook-study`.\n\nA difference *invalidates* the ratio of the phases \
             that the condition influences. *Not per image*: the ratio per image still counts. *Within a round*, *within a \
             library*: the condition is compared only between runs of one round or one library. *Reported*: the difference \
             is shown beside the ratio. A run may lack an optional condition; any other condition that a run does not \
             state counts as a difference. The training process states the marked conditions; all others come from the job \
             and the machine.\n\n| condition | place in the record | influences | a difference | optional | stated by the process |\n\
             | --- | --- | --- | --- | --- | --- |\n",
        );
        for condition in CONDITIONS {
            let Condition { name, unit, places, phases, rule, optional, by_process } = *condition;
            let unit = if unit.is_empty() { String::new() } else { format!(" [{unit}]") };
            let places: Vec<String> = places.iter().map(|place| format!("`{place}`")).collect();
            let phases: Vec<&str> = phases.iter().map(|phase| phase.name()).collect();
            let rule = match rule {
                Strikes => "invalidates",
                PerImage => "invalidates, not per image",
                WithinRound => "invalidates within a round",
                WithinLibrary => "invalidates within a library",
                Told => "reported",
            };
            let mark = |flag: bool| if flag { "yes" } else { "" };
            writeln!(
                text,
                "| {name}{unit} | {} | {} | {rule} | {} | {} |",
                places.join(", else "),
                phases.join(", "),
                mark(optional),
                mark(by_process)
            )
            .unwrap();
        }
        if std::env::var_os("UPDATE_CONDITIONS").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap_or_default(), text);
    }
}
