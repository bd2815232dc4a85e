//! Completion and inspection while rust-analyzer is busy.
//!
//! evcxr's analysis belongs to the thread that runs the cells, so it is not available while a cell is compiled or runs
//! (for an hour, if it trains). Completion and inspection are then answered from
//! the variables with their types at the start of the cell, the definitions in the notebook's
//! cells, and an index of the libraries that cells see, made from their source at
//! installation (`names/index.rs`). The types of expressions are followed through calls by the return types of
//! functions (`names/types.rs`); if this fails, nothing is offered.

mod index;
pub(crate) mod place;
mod types;

use benchbook_display::{Bundle, escape};
use benchbook_jupyter::{Completions, Match};
use index::{Index, Member, Type};
use place::Place;
use ra_ap_syntax::SyntaxNode;
use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use types::Types;

pub use index::record;

/// The template's index file.
pub const INDEX: &str = "names.json";

const KEYWORDS: &str = "as async await break const continue dyn else enum false fn for if impl in let loop match mod \
    move mut pub ref return self static struct trait true type unsafe use where while";

/// evcxr's commands.
const COMMANDS: &str = ":build_env :clear :clear_cache :dep :doc :efmt :env :explain :fmt :help :internal_debug \
    :last_compile_dir :last_error_json :load_config :offline :opt :preserve_vars_on_panic :show_deps :t :timing \
    :type :types :vars :version";

const MACROS: &str = "assert! assert_eq! dbg! eprintln! format! panic! print! println! todo! vec!";

/// Answers completions and inspections while a cell is compiled or runs. The thread that runs the
/// cells updates it; any thread may read it.
#[derive(Default)]
pub struct Names {
    /// The template's index, read on first use.
    file: PathBuf,
    libraries: OnceLock<Index>,
    session: Mutex<SessionNames>,
}

#[derive(Default)]
struct SessionNames {
    /// Types of variables, by name.
    variables: BTreeMap<String, String>,
    /// The definitions of cells that ran.
    notebook: Index,
    /// The text of the cell that is being compiled or run.
    running: String,
}

impl Names {
    /// Names of a template's libraries.
    pub fn new(template: &Path) -> Self {
        Self { file: template.join(INDEX), ..Self::default() }
    }

    /// Records the start of a cell.
    pub fn begin(&self, code: &str) {
        code.clone_into(&mut self.session().running);
    }

    /// Records the end of a cell: the session's variables and their types, and the definitions in `code`.
    pub fn end(&self, variables: Vec<(String, String)>, code: Option<&str>) {
        let mut session = self.session();
        session.variables = variables.into_iter().collect();
        session.running.clear();
        if let Some(code) = code {
            session.notebook.add_cell(code);
        }
    }

    /// Completions at `cursor`, a byte offset in `code`.
    pub fn complete(&self, code: &str, cursor: usize) -> Completions {
        if let Some(line) = command(code, cursor) {
            let found = COMMANDS.split_whitespace().filter(|name| name.starts_with(line));
            let matches = found.map(|name| matched(name, "magic")).collect();
            return Completions { matches, start: cursor - line.len(), end: cursor };
        }
        let Some((place, root)) = Place::of(code, cursor) else {
            return Completions::none(cursor);
        };
        let range = word(code, cursor);
        let typed = &code[range.start..cursor];
        let session = self.session();
        let types = self.types(&session, Some(&root));
        let mut matches = match place {
            Place::Member(value) => types.members(&types.of_value(value), |member| {
                (member.method || member.kind == "field").then_some(member.complete)
            }),
            Place::Path(owner) => types.within(&owner),
            Place::Field(name) => {
                let fields = types.of_name(&name).into_iter().flat_map(|known| &known.fields);
                fields.map(|name| matched(name, "instance")).collect()
            }
            Place::Name => self.everywhere(&session, &types),
        };
        let mut seen = HashSet::new();
        matches.retain(|found| {
            let name = found.text.as_str();
            let fits =
                [name, name.trim_start_matches("r#")].iter().any(|name| name.starts_with(typed));
            fits && name != typed && seen.insert(found.text.clone())
        });
        without_second_call(code, Completions { matches, start: range.start, end: range.end })
    }

    /// Filters rust-analyzer's completions: removes those in text, and private names of libraries,
    /// since rust-analyzer treats all crates as the user's own. rust-analyzer finds no raw names.
    pub fn checked(&self, code: &str, cursor: usize, mut found: Completions) -> Completions {
        if command(code, cursor).is_some() {
            return found;
        }
        let Some((place, root)) = Place::of(code, cursor) else {
            return Completions::none(cursor);
        };
        if code[word(code, cursor)].starts_with("r#") {
            return self.complete(code, cursor);
        }
        let session = self.session();
        let types = self.types(&session, Some(&root));
        let owner = match place {
            Place::Member(value) => Some(types.of_value(value)),
            Place::Path(owner) => Some(owner),
            Place::Field(_) | Place::Name => None,
        };
        if let Some(owner) = owner {
            found
                .matches
                .retain(|found| !types.is_hidden(&owner, &found.text, found.kind == "function"));
        }
        without_second_call(code, found)
    }

    /// The public fields of a struct in declaration order, each with its description; empty if the
    /// type is unknown or no struct.
    pub fn fields(&self, name: &str) -> Vec<(String, String)> {
        let session = self.session();
        let types = self.types(&session, None);
        types.of_name(name).map(fields).unwrap_or_default()
    }

    /// Whether the helper library has a module of this name.
    pub fn has_module(&self, name: &str) -> bool {
        let library = self.libraries();
        library.modules.get("benchbook").is_some_and(|names| names.contains(name))
            && !library.types.contains_key(name)
            && !library.functions.contains_key(name)
    }

    /// Whether a type and everything it consists of is known to have a function: `clone` or `default`.
    pub fn have(&self, kind: &str, function: &str) -> bool {
        const PRIMITIVE: &str =
            "bool char str f32 f64 i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize";
        let session = self.session();
        let types = self.types(&session, None);
        let words =
            kind.split(|c| !(is_part_of_name(c) || c == ':')).filter(|word| !word.is_empty());
        words.map(last_word).all(|word| {
            PRIMITIVE.split_whitespace().any(|name| name == word)
                || types.of_name(word).is_some_and(|known| known.members.contains_key(function))
        })
    }

    /// The documentation of the name at `cursor`, a byte offset in `code`.
    pub fn inspect(&self, code: &str, cursor: usize) -> Option<Bundle> {
        let word = &code[word(code, cursor)];
        if word.is_empty() {
            return None;
        }
        let (place, root) = Place::of(code, cursor)?;
        let session = self.session();
        let types = self.types(&session, Some(&root));
        let (signature, docs) = match place {
            Place::Member(value) => describe(types.member(&types.of_value(value), word)?),
            Place::Field(owner) => describe(types.member(&owner, word)?),
            Place::Path(owner) => match types.member(&owner, word) {
                Some(member) => describe(member),
                None => types.item(word)?,
            },
            Place::Name => match types.variable(word) {
                Some(kind) => {
                    let docs =
                        types.of_name(&types::parts(&kind).0).map(|found| found.docs.clone());
                    (format!("let {word}: {kind}"), docs.unwrap_or_default())
                }
                None => types.item(word)?,
            },
        };
        let mut plain = format!("{signature}\n\n{docs}").trim_end().to_owned();
        let mut html = format!("<pre>{}</pre><p>{}</p>", escape(&signature), escape(&docs));
        if let Some(known) = types.of_name(word).filter(|known| !known.fields.is_empty()) {
            let (text, list) = shown_fields(&fields(known));
            plain += &text;
            html += &list;
        }
        Some(Bundle::text(plain).html(html))
    }

    fn types<'a>(&'a self, session: &'a SessionNames, root: Option<&SyntaxNode>) -> Types<'a> {
        Types::new(&session.variables, [&session.notebook, self.libraries()], root)
    }

    /// The names available without a path.
    fn everywhere(&self, session: &SessionNames, types: &Types<'_>) -> Vec<Match> {
        let mut found: Vec<Match> =
            types.variables().map(|name| matched(name, "instance")).collect();
        found.extend(session.notebook.names());
        found.extend(self.libraries().within("prelude"));
        found.extend(types::local_names(&session.running).map(|name| matched(name, "instance")));
        found.extend(MACROS.split_whitespace().map(|name| matched(name, "function")));
        found.extend(KEYWORDS.split_whitespace().map(|name| matched(name, "keyword")));
        found.push(matched("benchbook", "module"));
        found
    }

    fn libraries(&self) -> &Index {
        self.libraries.get_or_init(|| {
            let read = fs::read(&self.file).map_err(anyhow::Error::from);
            let index = read.and_then(|bytes| Ok(serde_json::from_slice(&bytes)?));
            index.unwrap_or_else(|error| {
                tracing::warn!(
                    "{} cannot be read ({error}); run `environment/run` to have library names completed while a cell runs",
                    self.file.display()
                );
                Index::default()
            })
        })
    }

    fn session(&self) -> MutexGuard<'_, SessionNames> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn matched(text: impl Into<String>, kind: &str) -> Match {
    Match { text: text.into(), kind: kind.into() }
}

/// The fields of a struct as an appendix of its documentation: as text and as HTML.
pub fn shown_fields(fields: &[(String, String)]) -> (String, String) {
    let mut text = String::from("\n\nFields\n");
    let mut html = String::from("<p>Fields</p><dl>");
    for (declaration, docs) in fields {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n{declaration}\n    {docs}");
        let _ =
            write!(html, "<dt><code>{}</code></dt><dd>{}</dd>", escape(declaration), escape(docs));
    }
    (text, html + "</dl>")
}

fn fields(of: &Type) -> Vec<(String, String)> {
    let members = of.fields.iter().filter_map(|name| of.members.get(name));
    members.map(describe).collect()
}

fn describe(member: &Member) -> (String, String) {
    (member.signature.clone(), member.docs.clone())
}

fn is_part_of_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Whether a name at the cursor would be code, rather than in text, a comment or a command.
pub(crate) fn is_code(code: &str, cursor: usize) -> bool {
    Place::of(code, cursor).is_some()
}

/// The byte range of the name at a cursor, including `r#`.
pub(crate) fn word(code: &str, cursor: usize) -> Range<usize> {
    let start = code[..cursor].trim_end_matches(is_part_of_name).len();
    let raw = code[..start].strip_suffix("r#").filter(|before| !before.ends_with(is_part_of_name));
    let after = code[cursor..].trim_start_matches(is_part_of_name);
    raw.map_or(start, str::len)..code.len() - after.len()
}

/// The text before the name at a cursor.
fn before(code: &str, cursor: usize) -> &str {
    &code[..word(code, cursor).start]
}

/// The start of a command's name before a cursor.
fn command(code: &str, cursor: usize) -> Option<&str> {
    let line = code[..cursor].rsplit('\n').next()?;
    (line.starts_with(':') && !line.contains(' ')).then_some(line)
}

/// Removes the brackets from completions that are inserted before brackets.
fn without_second_call(code: &str, mut found: Completions) -> Completions {
    if code[found.end..].starts_with('(') {
        for found in &mut found.matches {
            found.text.truncate(found.text.trim_end_matches("()").len());
        }
    }
    found
}

/// The last name of a text, without generic arguments: `Vec` for `Vec::<f32>`.
fn last_word(text: &str) -> &str {
    let text = match text.strip_suffix('>') {
        Some(_) => text.find("::<").map_or(text, |at| &text[..at]),
        None => text,
    };
    &text[text.trim_end_matches(is_part_of_name).len()..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        let names = Names::default();
        let mut index = Index::default();
        index.add_library(
            "tch",
            "tch",
            "pub struct Tensor; impl Tensor {
                /// Random numbers.
                ///
                /// More of it.
                pub fn rand(size: &[i64], options: (Kind, Device)) -> Tensor { todo!() }
                pub fn relu(&self) -> Tensor { todo!() }
                fn hidden(&self) {}
                pub fn len(&self) -> usize { 0 }
             }
             trait Private { fn private_of_numbers(&self); }
             impl Private for u8 { fn private_of_numbers(&self) {} }",
        );
        index.add_library(
            "benchbook",
            "benchbook",
            "pub mod prelude { pub use crate::model::Model; pub use crate::nets::Vgg16 as Net; pub use tch::{self, Tensor};
                                pub use crate::nets::architectures::*; }
             pub mod model;
             /// A net and what it has learnt.
             pub struct Model { pub classes: Vec<String>, secret: u8 }
             impl Model { pub fn load(path: &str) -> Result<Self, Error> { todo!() }
                          pub fn history(&self) -> &History { todo!() } }
             pub struct History { pub epochs: Vec<u8> }
             pub enum Kind { Float, Int }",
        );
        index.add_library(
            "nets",
            "architectures",
            "pub use resnet::ResNet18;\npub use vgg::{Vgg11, Vgg19};",
        );
        index.resolve_globs();
        names.libraries.set(index).ok().unwrap();
        names.end(
            vec![("model".into(), "Model".into()), ("images".into(), "Vec<Tensor>".into())],
            Some("struct Mine { size: u8 }\nimpl Mine { fn grow(&mut self, by: u8) -> Tensor { todo!() } }\nfn make() -> Mine { todo!() }"),
        );
        names.begin("let running = 1;");
        names
    }

    fn complete(code: &str) -> Vec<String> {
        let found = names().complete(code, code.len());
        let mut matches: Vec<String> = found.matches.into_iter().map(|found| found.text).collect();
        matches.sort();
        matches
    }

    #[test]
    fn names_without_a_path_are_completed() {
        assert_eq!(complete("let a = mod"), ["model"]);
        assert_eq!(complete("Mo"), ["Model"]);
        assert_eq!(complete("Ne"), ["Net"]);
        assert_eq!(complete("Vg"), ["Vgg11", "Vgg19"]);
        assert_eq!(complete("mak"), ["make()"]);
        assert_eq!(complete("runn"), ["running"]);
        assert_eq!(complete("let here = 1; her"), ["here"]);
        assert_eq!(complete("printl"), ["println!"]);
        assert_eq!(complete(":ver"), [":version"]);
    }

    #[test]
    fn functions_and_variants_of_a_type_are_completed() {
        assert_eq!(complete("Tensor::ra"), ["rand"]);
        assert_eq!(complete("Kind::F"), ["Float"]);
        assert_eq!(complete("benchbook::mo"), ["model"]);
    }

    #[test]
    fn methods_and_fields_follow_the_type_of_the_expression() {
        assert_eq!(complete("model.hi"), ["history()"]);
        assert_eq!(complete("model.s"), Vec::<String>::new(), "private fields stay private");
        assert_eq!(complete("model.history().ep"), ["epochs"]);
        assert_eq!(complete("Model::load(\"a\")?.cl"), ["classes"]);
        assert_eq!(complete("let m = Model::load(\"a\")?;\nm.his"), ["history()"]);
        assert_eq!(complete("make().gr"), ["grow"]);
        assert_eq!(complete("make().grow(1).re"), ["relu()"]);
        assert_eq!(complete("images[0].re"), ["relu()"]);
        assert_eq!(complete("for i in &images { i.re"), ["relu()"]);
        assert_eq!(complete("unknown.re"), Vec::<String>::new());
        assert_eq!(complete("vec![images[0].re"), ["relu()"], "within a macro, too");
        assert_eq!(complete("f(1,\n  model\n    .history()\n    .ep"), ["epochs"]);
    }

    #[test]
    fn values_are_completed_wherever_an_expression_may_stand() {
        for code in ["Model { classes: mod", "make(1, mod", "let x: i32 = mod", "vec![mod", "&mod"]
        {
            assert_eq!(complete(code), ["model"], "{code}");
        }
        assert_eq!(complete("vec![Kind::F"), ["Float"]);
    }

    #[test]
    fn fields_are_completed_in_a_literal() {
        assert_eq!(complete("let m = Model { "), ["classes"]);
        assert_eq!(complete("f(Model { classes: vec![], cl"), ["classes"]);
        assert_eq!(complete("struct Model { cl"), Vec::<String>::new());
        assert_eq!(complete("if model { mak"), ["make()"]);
    }

    #[test]
    fn nothing_is_offered_in_text_comments_and_arguments_of_commands() {
        for code in [
            "let s = \"mod",
            "f(\"model.hi",
            "r\"mod",
            "// mod",
            "1; // model.hi",
            "/* mod",
            "let c = 'm",
            ":vars mod",
            ":dep mod",
            "\"{mod",
        ] {
            assert_eq!(complete(code), Vec::<String>::new(), "{code}");
            assert_eq!(names().inspect(code, code.len()), None, "{code}");
        }
        assert_eq!(complete("println!(\"{mod"), ["model"]);
        let matches = vec![matched("model", "instance")];
        let found = Completions { matches, start: 3, end: 6 };
        assert_eq!(names().checked("// mod", 6, found).matches, [], "of rust-analyzer");
    }

    #[test]
    fn what_is_inserted_replaces_the_whole_name() {
        for (code, text, range) in [
            ("model.hi|story", "history()", 6..13),
            ("model.hi|story()", "history", 6..13),
            ("let é = \"ü\"; mod|", "model", 15..18),
            ("let a = r#ty|pe;", "r#type", 8..14),
            ("let a = typ|", "r#type", 8..11),
            ("Kind::|", "clone", 6..6),
        ] {
            let cursor = code.find('|').unwrap();
            let names = names();
            names.end(
                vec![("r#type".into(), "u8".into()), ("model".into(), "Model".into())],
                Some("#[derive(Clone)] enum Kind { Float }"),
            );
            let found = names.complete(&code.replacen('|', "", 1), cursor);
            assert_eq!(found.start..found.end, range, "{code}");
            assert!(found.matches.iter().any(|found| found.text == text), "{code}: {found:?}");
        }
    }

    #[test]
    fn what_is_private_to_a_library_is_taken_out() {
        let retained = |code: &str, found: &[&str]| {
            let kind = |text: &str| if text.ends_with(')') { "function" } else { "instance" };
            let matches = found.iter().map(|text| matched(*text, kind(text))).collect();
            let found = Completions { matches, start: code.len(), end: code.len() };
            let found = names().checked(code, code.len(), found).matches;
            found.into_iter().map(|found| found.text).collect::<Vec<_>>()
        };
        assert_eq!(
            retained("model.", &["classes", "secret", "history()"]),
            ["classes", "history()"]
        );
        assert_eq!(retained("images[0].", &["hidden()", "relu()", "len()"]), ["relu()", "len()"]);
        assert_eq!(retained("Tensor::", &["rand", "hidden()"]), ["rand"]);
        assert_eq!(retained("make().", &["size", "grow"]), ["size", "grow"], "a cell's own type");
        assert_eq!(retained("unknown.", &["anything"]), ["anything"]);
        assert_eq!(retained("3.", &["private_of_numbers()"]), ["private_of_numbers()"]);
        assert_eq!(complete("let n: u8 = 3; n.private"), Vec::<String>::new());
        let names = names();
        names.end(
            vec![("sealed".into(), "Sealed".into())],
            Some("mod inner { pub struct Sealed { pub open: u8, closed: u8 } impl Sealed { fn own(&self) {} } }"),
        );
        let open = matched("open", "instance");
        let matches = vec![open, matched("closed", "instance"), matched("own", "function")];
        let completions = Completions { matches, start: 7, end: 7 };
        let completions = names.checked("sealed.", 7, completions);
        assert_eq!(completions.matches.len(), 1, "a cell's own module: {completions:?}");
    }

    #[test]
    fn it_is_known_which_types_can_be_cloned_or_have_defaults() {
        let names = names();
        names.end(Vec::new(), Some("#[derive(Debug, Clone)] struct Copied;\nimpl Default for Mine {\nfn default() -> Self { todo!() } }"));
        assert!(names.have("Copied", "clone") && names.have("(Copied, f64)", "clone"));
        assert!(!names.have("Model", "clone") && !names.have("Copied<Model>", "clone"));
        assert!(names.have("Mine", "default") && !names.have("Copied", "default"));
    }

    #[test]
    fn what_is_known_of_a_name_is_told() {
        let inspect =
            |code: &str| names().inspect(code, code.len()).map(|bundle| bundle.plain().to_owned());
        assert_eq!(inspect("model").unwrap(), "let model: Model\n\nA net and what it has learnt.");
        assert_eq!(
            inspect("Tensor::rand").unwrap(),
            "fn rand(size: &[i64], options: (Kind, Device)) -> Tensor\n\nRandom numbers."
        );
        assert_eq!(inspect("model.history").unwrap(), "fn history(&self) -> &History");
        assert_eq!(
            inspect("Model").unwrap(),
            "struct Model\n\nA net and what it has learnt.\n\nFields\n\nclasses: Vec<String>\n    "
        );
        assert_eq!(inspect("f(Model { classes").unwrap(), "classes: Vec<String>");
        assert_eq!(inspect("nothing_of_that_name"), None);
        assert_eq!(inspect("  "), None);
    }
}
