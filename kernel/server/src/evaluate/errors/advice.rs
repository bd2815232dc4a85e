//! One sentence of advice for errors that are common among users of Keras or PyTorch.

use super::{Place, gone, notes};
use crate::names::Names;
use evcxr::CompilationError;

/// The parts of an error that advice depends on.
struct Problem<'a> {
    code: &'a str,
    message: &'a str,
    /// The labels of its spans, the primary ones first.
    labels: Vec<&'a str>,
    /// The compiler's notes.
    notes: &'a [(&'static str, String)],
    names: &'a Names,
    /// The user's text from the primary span on.
    source: &'a str,
    /// The whole line of the primary span.
    line: &'a str,
}

impl Problem<'_> {
    /// Whether the compiler makes a suggestion of its own.
    fn helped(&self) -> bool {
        self.notes.iter().any(|(kind, _)| *kind == "help")
    }
}

const NO_NAMED_ARGUMENTS: &str = "Rust has neither named nor default arguments; settings go into a struct, as in `Fit { epochs: 3, ..Fit::default() }`";

const CANNOT_BORROW: &str = "variables outlive their cell and cannot borrow from shorter-lived values: store an owned value, such as a String for a `&str` or a Vec for a slice, or wrap the code in braces { … }";

/// Advice on an error, if there is any.
pub(super) fn of(error: &CompilationError, at: Place<'_>) -> Option<String> {
    let primary = error.primary_spanned_message();
    let span = primary.and_then(|message| message.span);
    let line = span.and_then(|span| at.cell.text.lines().nth(span.start_line.checked_sub(1)?));
    let line = line.unwrap_or_default();
    // The prepared line begins like the user's, up to inserted code; names are found behind inserted code too.
    let labels = error.spanned_messages();
    let mut labels: Vec<_> = labels.iter().map(|m| (!m.is_primary, m.label.as_str())).collect();
    labels.sort_by_key(|(secondary, _)| *secondary);
    let message = error.message();
    let name = quoted(&message);
    let source = name.and_then(|name| line.find(name).map(|at| &line[at..])).unwrap_or(line);
    let notes = notes::of(error);
    let problem = Problem {
        code: error.code().unwrap_or_default(),
        message: &message,
        labels: labels.into_iter().map(|(_, label)| label).collect(),
        notes: &notes,
        names: at.names,
        source,
        line,
    };
    let gone = name.and_then(|name| at.gone.get(name));
    match (problem.code, gone) {
        ("E0425", Some(gone)) => Some(gone.clone()),
        _ => advice(&problem),
    }
}

fn advice(problem: &Problem<'_>) -> Option<String> {
    let message = problem.message;
    let name = quoted(message).unwrap_or("it");
    let told = |text: &str| Some(text.to_owned());
    if let Some(advice) = of_python(problem) {
        return told(advice);
    }
    if message.contains("reference with a non-static lifetime") {
        return told(CANNOT_BORROW);
    }
    match problem.code {
        "E0382" => Some(format!("`{name}` was moved away; {}", after_move(problem, name))),
        "E0597" | "E0716" | "E0515" | "E0521" => told(CANNOT_BORROW),
        "E0505" | "E0502" | "E0499" => told(
            "a borrowed value cannot be moved, changed or borrowed in conflict while the reference is in use: do so after the reference's last use",
        ),
        "E0282" | "E0283" | "E0284" | "E0790" => Some(write_the_type("name")),
        "E0596" if message.contains("behind a `&` reference") => {
            told("it is borrowed with `&`, which is read-only: borrow it with `&mut`")
        }
        "E0384" | "E0596" => {
            let name = name.trim_start_matches('*').split('.').next().unwrap_or_default();
            Some(format!(
                "declare it with `let mut`; a variable of an earlier cell becomes changeable by `let mut {name} = {name};`"
            ))
        }
        "E0425" if name == "help" && message.contains("function") => {
            let asked = problem.source.strip_prefix("help(").and_then(|rest| rest.split_once(')'));
            let asked = asked.map_or("Fit", |(name, _)| name.trim());
            Some(format!(
                "`:doc {asked}` shows the documentation, and so does Shift+Tab behind the name"
            ))
        }
        "E0063" => missing_fields(problem),
        "E0560" | "E0609" => unknown_field(problem),
        "E0425" if is_named_argument(problem.source, name) => told(NO_NAMED_ARGUMENTS),
        "E0061" => told(NO_NAMED_ARGUMENTS),
        "E0432" | "E0433" => missing_crate(problem),
        "E0308" => mismatch(problem),
        "E0277" | "E0369" => bound(problem),
        "E0599"
            if message.contains("for enum `Result<")
                || message.contains("for enum `std::result::Result<") =>
        {
            told("take the value out of the Result first: put `?` before the dot")
        }
        "E0599"
            if message.contains("for enum `Option<")
                || message.contains("for enum `std::option::Option<") =>
        {
            told(
                "take the value out of the Option first, for example with `.ok_or(\"nothing there\")?`",
            )
        }
        _ => None,
    }
}

/// Advice for a variable of unknown type.
pub(super) fn write_the_type(name: &str) -> String {
    format!(
        "write the type down: `let {name}: Type = …;`, or where it is made, as in `.collect::<Vec<_>>()` or `.parse::<f64>()`"
    )
}

/// The first text in backquotes.
fn quoted(message: &str) -> Option<&str> {
    message.split('`').nth(1).filter(|name| !name.is_empty())
}

/// `epochs = 3` among the arguments of a call.
fn is_named_argument(source: &str, name: &str) -> bool {
    let after = source.strip_prefix(name).map(str::trim_start);
    after.is_some_and(|after| {
        after.starts_with('=') && !after.starts_with("==") && after.contains(')')
    })
}

fn of_python(problem: &Problem<'_>) -> Option<&'static str> {
    let line = problem.line.trim_start();
    let first = line.split([' ', '(', ':']).next().unwrap_or_default();
    // The words are valid Rust names, so only unparsable code and unknown names get this advice.
    match (problem.code, first) {
        ("", "import" | "from") => Some(
            "a crate is added with `:dep name = \"version\"`, and `use name::Thing;` brings its names in",
        ),
        ("", "def") => Some("a function is written `fn name(x: f64) -> f64 { … }`"),
        ("E0425", _) if matches!(quoted(problem.message), Some("True" | "False")) => {
            Some("in Rust they are written `true` and `false`")
        }
        _ => None,
    }
}

/// Alternatives to moving a value, depending on its type.
fn after_move(problem: &Problem<'_>, name: &str) -> String {
    let kind = problem.labels.iter().find_map(|label| label.split_once("has type `"));
    let kind = kind.and_then(|(_, rest)| rest.split('`').next()).unwrap_or_default();
    if problem.notes.iter().any(|(_, note)| note.starts_with("consider cloning")) {
        return format!("pass a reference, `&{name}`, or a copy, `{name}.clone()`");
    }
    gone::instead(name, kind, problem.names, "")
}

fn missing_fields(problem: &Problem<'_>) -> Option<String> {
    let (_, kind) = problem.message.split_once("in initializer of `")?;
    let kind = last_name(kind.split('`').next()?);
    problem.names.have(kind, "default").then(|| {
        format!("set them, or take the others from the defaults: `..{kind}::default()` as the last entry")
    })
}

fn unknown_field(problem: &Problem<'_>) -> Option<String> {
    let words: Vec<&str> = problem.message.split('`').collect();
    // `struct `Fit` has no field named …`, `no field … on type `&Fit``.
    let kind = if problem.code == "E0560" { words.get(1) } else { words.get(3) }?;
    let fields = problem.names.fields(last_name(kind));
    let names: Vec<&str> = fields.iter().filter_map(|(field, _)| field.split(':').next()).collect();
    (!names.is_empty()).then(|| format!("the fields are {}", names.join(", ")))
}

/// The name of a type without its path, references and arguments.
fn last_name(kind: &str) -> &str {
    let kind = kind.split('<').next().unwrap_or_default();
    kind.rsplit([':', '&', ' ']).next().unwrap_or_default()
}

fn missing_crate(problem: &Problem<'_>) -> Option<String> {
    let name = quoted(problem.message)?.split("::").next()?;
    if problem.names.has_module(name) {
        return Some(format!(
            "`{name}` is a module of the helper library: write `benchbook::{name}`"
        ));
    }
    let is_crate = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !["std", "core", "alloc", "crate", "self", "super", "benchbook"].contains(&name)
        && !problem.helped();
    is_crate.then(|| {
        format!(
            "if `{name}` is a crate, add it with `:dep {name} = \"version\"` in a line before the code"
        )
    })
}

const NUMBERS: &[&str] = &[
    "f32", "f64", "i8", "i16", "i32", "i64", "i128", "isize", "u8", "u16", "u32", "u64", "u128",
    "usize",
];

/// `mismatched types`: the label says `expected X, found Y`.
fn mismatch(problem: &Problem<'_>) -> Option<String> {
    let label = problem.labels.iter().find(|label| label.contains("found "))?;
    let (expected, found) = label.split_once("found ")?;
    let expected = quoted(expected).unwrap_or_default();
    if found.contains("Result<") || found.contains("enum `Result") {
        return Some("take the value out of the Result with `?`".into());
    }
    if found.contains("Option<") {
        return Some(
            "take the value out of the Option, for example with `.ok_or(\"nothing there\")?`"
                .into(),
        );
    }
    if ["f32", "f64"].contains(&expected) && found.contains("integer") {
        return Some("a float needs a decimal point: `1.0`, not `1`".into());
    }
    if NUMBERS.contains(&expected) && quoted(found).is_some_and(|found| NUMBERS.contains(&found)) {
        return Some(format!(
            "numbers are not converted by themselves: write `value as {expected}`"
        ));
    }
    if !problem.helped() && expected == "String" && found.contains("&str") {
        return Some("make it a String with `.to_string()`".into());
    }
    None
}

/// The verb and the two types of a message such as "cannot add `f64` to `{integer}`".
fn operands(message: &str) -> Option<(&str, [&str; 2])> {
    let verbs =
        ["cannot add", "cannot subtract", "cannot multiply", "cannot divide", "can't compare"];
    let verb = verbs.into_iter().find(|verb| message.starts_with(verb))?;
    let mut kinds = message.split('`').skip(1).step_by(2);
    Some((verb, [kinds.next()?, kinds.next()?]))
}

/// Advice on two types between which there is no operation.
fn mixed(verb: &str, kinds: [&str; 2]) -> Option<String> {
    let is_number = |kind: &str| matches!(kind, "{float}" | "{integer}") || NUMBERS.contains(&kind);
    let is_list = |kind: &str| kind.starts_with('[') || last_name(kind) == "Vec";
    let is_wrapped = |kind: &str| matches!(last_name(kind), "Option" | "Result");
    let values = kinds.map(|kind| kind.trim_start_matches('&'));
    let advice = if values.into_iter().all(is_number) {
        if values[0] == values[1] {
            return None;
        }
        "numbers of two types are not mixed: write `2.0` for a float, or convert with `as f64`"
    } else if values.into_iter().any(is_wrapped) {
        "take the value out of the Option or Result first, with `?` or `match`"
    } else if verb != "can't compare" && values.into_iter().any(is_list) {
        "a Vec, slice or array has no arithmetic: use `v.iter().map(|x| x * 2.0).collect::<Vec<_>>()`, or a Tensor, `Tensor::from_slice(&v)`"
    } else {
        return None;
    };
    Some(advice.to_owned())
}

/// Advice for a trait that is not implemented.
fn bound(problem: &Problem<'_>) -> Option<String> {
    let message = problem.message;
    if let Some((verb, kinds)) = operands(message) {
        return mixed(verb, kinds);
    }
    if message.contains("cannot be indexed by") {
        return Some("an index is a `usize`: write `v[i as usize]`".into());
    }
    if message.contains("can only be applied to values that implement `Try`") {
        return Some("`?` takes the value out of a Result or an Option, and this is neither; `:doc name` shows documentation".into());
    }
    if message.contains("can only be used on `Result`s") || message.contains("on `Option`s") {
        return Some(
            "`?` in a cell takes a Result; of an Option make one with `.ok_or(\"nothing there\")?`"
                .into(),
        );
    }
    if message.contains("can only be used in") {
        return Some(
            "let the function return `Result<…, Box<dyn std::error::Error>>`, and end it with `Ok(…)`".into(),
        );
    }
    if message.contains("doesn't implement `Debug`") {
        let own = problem.notes.iter().any(|(_, note)| note.contains("consider annotating"));
        return Some(match own {
            true => "put `#[derive(Debug)]` before the definition of the type".into(),
            false => "the type has no form for `{:?}`; print parts of it that have one".into(),
        });
    }
    if message.contains("doesn't implement `std::fmt::Display`")
        || message.contains("couldn't convert the error")
    {
        return Some(
            "print it with `{:?}`; of errors that `?` lets through, `:efmt {:?}` shows that form"
                .into(),
        );
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(code: &str, message: &str, label: &str, line: &str) -> String {
        let name = quoted(message).unwrap_or_default();
        let source = line.find(name).map_or(line, |at| &line[at..]);
        advice(&Problem {
            code,
            message,
            labels: vec![label],
            notes: &[],
            names: &names(),
            source,
            line,
        })
        .unwrap_or_default()
    }

    fn names() -> Names {
        let names = Names::default();
        let cell =
            "#[derive(Clone, Default)] struct Settings { epochs: u8, rate: f64 } struct Net;";
        names.end(Vec::new(), Some(cell));
        names
    }

    /// Error code | message | label | the cell's line | text expected in the advice.
    const CASES: &str = r"E0382 | borrow of moved value: `model` | | | &model
E0597 | `y` does not live long enough | | | wrap the code in braces
E0282 | type annotations needed | | | write the type down
E0790 | cannot call associated function on trait | | | write the type down
E0596 | cannot borrow `v` as mutable | | | let mut v = v;
E0308 | mismatched types | expected `f64`, found integer | | `1.0`
E0308 | mismatched types | expected `usize`, found `i32` | | as usize
E0308 | mismatched types | expected `Model`, found `Result<Model, Error>` | | `?`
E0277 | cannot multiply `{float}` by `{integer}` | | | 2.0
E0277 | can't compare `f64` with `{integer}` | | | 2.0
E0277 | cannot multiply `{float}` by `Vec<f64>` | | | Tensor::from_slice
E0369 | cannot multiply `Vec<{float}>` by `{float}` | | | Tensor::from_slice
E0369 | cannot add `{float}` to `[f64; 2]` | | | has no arithmetic
E0277 | cannot add `std::option::Option<{float}>` to `{float}` | | | out of the Option
E0277 | the type `[f32]` cannot be indexed by `i32` | | | usize
E0277 | `Net` doesn't implement `Debug` | | | print parts of it
E0277 | the `?` operator can only be applied to values that implement `Try` | | | `:doc name`
E0277 | `?` couldn't convert the error: `Hidden: std::fmt::Display` is not satisfied | | | `:efmt {:?}`
E0382 | use of moved value: `a` | move occurs because `a` has type `Settings`, which does not implement | | `a.clone()`
E0382 | use of moved value: `a` | `a` has type `tch::Tensor` | | a.shallow_clone()
E0063 | missing field `rate` in initializer of `Settings` | | | `..Settings::default()`
E0560 | struct `Settings` has no field named `epoch` | | | are epochs, rate
E0609 | no field `epoch` on type `&Settings` | | | are epochs, rate
E0425 | cannot find function `help` in this scope | | help(Fit) | `:doc Fit`
E0596 | cannot borrow `v.items` as mutable, as `v` is not declared | | | let mut v = v;
E0596 | cannot borrow `*v` as mutable, as it is behind a `&` reference | | | `&mut`
E0599 | no method named `fit` found for enum `Result<T, E>` in the current scope | | | `?` before
E0425 | cannot find value `epochs` in this scope | | model.fit(&data, epochs = 3) | named
E0425 | cannot find value `True` in this scope | | let a = True; | `true`
E0433 | failed to resolve: use of unresolved module or unlinked crate `rand` | | | :dep rand
 | expected one of `!` or `::`, found `numpy` | | import numpy as np | :dep";

    #[test]
    fn the_usual_stumbling_blocks_are_advised_on() {
        for case in CASES.lines() {
            let [code, message, label, line, expected] =
                case.split('|').map(str::trim).collect::<Vec<_>>()[..]
            else {
                panic!("{case}")
            };
            let advice = told(code, message, label, line);
            assert!(advice.contains(expected), "{message}: {advice}");
        }
    }

    #[test]
    fn nothing_is_cloned_that_cannot_be() {
        let net = told("E0382", "use of moved value: `a`", "`a` has type `Net`", "");
        assert!(net.ends_with("pass a reference, `&a`"), "{net}");
    }

    #[test]
    fn other_errors_are_left_to_the_compiler() {
        for (code, message, line) in [
            ("E0425", "cannot find value `a` in this scope", "a == 3"),
            ("E0433", "failed to resolve: use of undeclared type `HashMap`", ""),
            ("E0277", "the trait bound `A: B` is not satisfied", ""),
            ("E0277", "cannot add `std::string::String` to `{integer}`", ""),
            ("E0277", "can't compare `&{integer}` with `{integer}`", ""),
            ("E0277", "can't compare `Vec<f64>` with `{float}`", ""),
            ("E0308", "mismatched types", ""),
            ("E0063", "missing field `a` in initializer of `Net`", ""),
            ("E0609", "no field `a` on type `Unknown`", ""),
        ] {
            assert_eq!(told(code, message, "expected `A`, found `B`", line), "", "{message}");
        }
    }
}
