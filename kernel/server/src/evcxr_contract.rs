//! Everything that the kernel relies on in evcxr's generated code, files and messages.
//!
//! evcxr does not guarantee any of this. The tests compare each of these texts with evcxr's source, so that an incompatible
//! release fails here and nowhere else.

use crate::parsed::words;
use crate::template::hex;
use anyhow::bail;
use sha2::{Digest, Sha256};

/// The variable in a cell's function that holds the session's variables.
pub(crate) const STORE: &str = "evcxr_variable_store";

/// Prefix of the names of cell functions.
pub(crate) const FUNCTION: &str = "run_user_code_";

/// The module with the type of [`STORE`].
const RUNTIME: &str = "evcxr_internal_runtime";

/// The file, in the crate's folder, with the path of a compiled cell's library, and the variable
/// with the file's name for cargo.
pub(crate) const EXECUTION_PATH: &str = ".evcxr-execution-so";
pub(crate) const EXECUTION_VARIABLE: &str = "EVCXR_EXECUTION_SO_PATH";

/// The variables by which a session sets evcxr's folders.
pub(crate) const FOLDERS: [&str; 2] = ["EVCXR_TMPDIR", "EVCXR_CONFIG_DIR"];

/// The lines around a rich output of `evcxr_display`; a MIME type follows the first.
pub(crate) const CONTENT: (&str, &str) = ("EVCXR_BEGIN_CONTENT ", "EVCXR_END_CONTENT");

/// evcxr assigns messages about files with this ending to the cell.
pub(crate) const FILE: &str = "lib.rs";

/// evcxr's message for a build that failed without a compile error.
pub(crate) const NO_ERRORS: &str =
    "Compilation failed, but no parsable errors were found. STDERR:\n";

/// evcxr's message for a worker that has ended; the status follows.
pub(crate) const TERMINATED: &str = "Subprocess terminated with status: ";

/// evcxr's answer for a name without documentation.
pub(crate) const UNDOCUMENTED: &str = "No documentation found";

/// The part of `:env`'s output that names an unavailable command, and its replacement.
pub(crate) const RESTART: (&str, &str) = ("(use :restart command", "(use the :clear command");

/// The manifest line with the optimisation level.
pub(crate) fn opt_level(level: &str) -> String {
    format!("opt-level = {level}\n")
}

/// SHA-256 of the runtime module that evcxr 0.22 pastes and that `benchbook::evcxr_runtime` replaces.
const KNOWN_RUNTIME: &str = "2111ce0ccd9e67b0c069e3ec792823578fcc921827987cdac8a777c6afb01363";

/// The text before and after the runtime module.
const MODULE: (&str, &str) = ("mod evcxr_internal_runtime {\n", "}\n#[unsafe(no_mangle)]\n");

/// evcxr's call to catch panics of the user's statements, and the helper library's compiled counterpart.
const CATCH: (&str, &str) = (
    "match std::panic::catch_unwind(\n  std::panic::AssertUnwindSafe(||{\n",
    "match evcxr_internal_runtime::catch_unwind(\n  evcxr_internal_runtime::AssertUnwindSafe(||{\n",
);

/// evcxr's notification of a panic, and a version that works if the user redefines `println!`.
const NOTIFY: (&str, &str) = ("    println!(\"EVCXR", "    ::benchbook::println!(\"EVCXR");

/// The start and end of evcxr's panic-catching code in [`compiled`] source.
pub(crate) const BEGIN: &str = CATCH.1;
pub(crate) const END: &str = "})) { \n  Ok(_) => {}\n  Err(_) => {\n    ::benchbook::println!(\"EVCXR_PANIC_NOTIFICATION\");\n}}\n";

/// The closure around a cell with `?`.
pub(crate) const QUESTION_MARK: (&str, &str) =
    ("let _ = (|| -> std::result::Result<(), EvcxrUserCodeError> {\n", "Ok(())})();\n");

/// The start of a cell with `.await`; the future follows after some lines. The second end applies without `?`.
pub(crate) const AWAIT: &str = "let mut mutex";
pub(crate) const FUTURE: &str = ".block_on(async {\n";
pub(crate) const FUTURE_ENDS: [&str; 2] = ["Ok::<(), EvcxrUserCodeError>(())\n});\n", "});\n"];

/// The name of tokio's runtime in the store; there must be only one runtime.
pub(crate) const TOKIO: &str = "evcxr_tokio_runtime";

/// Enters tokio's runtime until the cell ends.
pub(crate) const ENTER_TOKIO: &str = "let evcxr_runtime = evcxr_variable_store.lazy_arc(\"evcxr_tokio_runtime\", || std::sync::Mutex::new(::tokio::runtime::Runtime::new().unwrap())); \
let evcxr_runtime = match evcxr_runtime.lock() { Ok(runtime) => runtime.handle().clone(), Err(poisoned) => poisoned.into_inner().handle().clone() }; \
let _evcxr_entered = evcxr_runtime.enter(); ";

/// The end of a cell's function.
pub(crate) const LAST: &str = "evcxr_variable_store\n}\n";

/// The arguments and the body of a function that does nothing.
const NOTHING: &str = "(\nmut x: *mut std::os::raw::c_void) -> *mut std::os::raw::c_void {x}";

/// The type to which `?` converts every error.
const ERROR: &str = r#"
            struct EvcxrUserCodeError {}
            impl<T: std::fmt::Display> From<T> for EvcxrUserCodeError {
                fn from(error: T) -> Self {
                    eprintln!("{}", error);
                    println!("{}", evcxr_internal_runtime::USER_ERROR_OCCURRED);
                    EvcxrUserCodeError {}
                }
            }
        "#;

/// How evcxr's code handles a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handling {
    Check,
    Take,
    Put,
}

/// A line that only checks, takes or puts a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handled<'a> {
    pub(crate) name: &'a str,
    pub(crate) kind: &'a str,
    /// Whether the variable is declared as `mut`.
    pub(crate) mutable: bool,
    pub(crate) handling: Handling,
}

/// The variable of a line that only checks, takes or puts it.
pub(crate) fn handled(line: &str) -> Option<Handled<'_>> {
    let (before, call) = line.split_once("evcxr_variable_store.")?;
    let (rest, handling) = match before {
        "" => (call.strip_prefix("put_variable::<")?, Handling::Put),
        "vars_ok &= " => (call.strip_prefix("check_variable::<")?, Handling::Check),
        _ if before.starts_with("let ") && before.ends_with(" = ") => {
            (call.strip_prefix("take_variable::<")?, Handling::Take)
        }
        _ => return None,
    };
    let (kind, name) = rest.rsplit_once(">(stringify!(")?;
    let name = name.strip_suffix(");")?;
    let name = if handling == Handling::Put {
        let (name, value) = name.split_once("), ")?;
        (name == value).then_some(name)?
    } else {
        name.strip_suffix(')')?
    };
    let is_word = !name.is_empty() && words(name).next() == Some(name);
    let mutable = before.starts_with("let mut ");
    is_word.then_some(Handled { name, kind, mutable, handling })
}

/// A check of a variable that always fails, because no variable has this type.
pub(crate) fn vain_check(name: &str) -> String {
    format!(
        "vars_ok &= ({STORE}.check_variable::<{RUNTIME}::VariableStore>(stringify!({name})));\n"
    )
}

/// A line for a cell that takes a variable that a failed cell left in the store.
pub(crate) fn take_again(name: &str, kind: &str, mutable: bool) -> String {
    let mutability = if mutable { "mut " } else { "" };
    format!("let {mutability}{name}: {kind} = {STORE}.take_variable(\"{name}\");\n")
}

/// Whether a text contains names of evcxr's code around a cell.
pub(crate) fn is_internal(text: &str) -> bool {
    ["evcxr", "Evcxr", FUNCTION].iter().any(|name| text.contains(name))
}

/// A message without the names of evcxr's code around a cell.
pub(crate) fn readable(message: &str) -> String {
    let known = [
        ("`?` couldn't convert the error to `EvcxrUserCodeError`", "`?` cannot show this error"),
        ("<end of input>", "the end of the cell"),
        ("`evcxr_variable_store`", "the end of the cell"),
        ("`EvcxrUserCodeError`", "the error of a cell"),
    ];
    known.iter().fold(message.to_owned(), |text, (internal, plain)| text.replace(internal, plain))
}

/// Why evcxr cannot store a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotKept<'a> {
    Closure,
    /// The type is unknown, or private to its crate.
    Unknown {
        private: bool,
    },
    /// The type cannot be named.
    Type(Option<&'a str>),
}

/// The variable that evcxr cannot store, with the reason; `None` for other messages.
pub(crate) fn not_kept(message: &str) -> Option<(&str, NotKept<'_>)> {
    let (_, rest) = message.split_once("ariable `")?;
    let (name, about) = rest.split_once('`')?;
    let why = if message.contains("is a closure") {
        NotKept::Closure
    } else if message.contains("determine type of variable") {
        NotKept::Unknown { private: about.contains("private") }
    } else if message.contains("cannot be persisted") {
        NotKept::Type(about.split('`').nth(1))
    } else {
        return None;
    };
    Some((name, why))
}

/// The source of a cell in the form that is compiled. evcxr pastes the module that stores variables
/// into every cell. The helper library has a compiled module with the same functions, which halves
/// the time of a cell, and whose messages to evcxr cannot be mistaken for prints. All later lines
/// keep their numbers, since evcxr finds the origin of a message by its line. An unknown module is
/// an error: its markers would be taken for prints of the user.
pub(crate) fn compiled(source: String) -> anyhow::Result<String> {
    let Some((before, rest)) = source.split_once(MODULE.0) else { return Ok(source) };
    let Some((module, after)) = rest.split_once(MODULE.1) else { return Ok(source) };
    if hex(Sha256::digest(module)) != KNOWN_RUNTIME {
        bail!("evcxr's runtime module is not the one that Benchbook was made for");
    }
    let lines = "\n".repeat(module.matches('\n').count() + 1);
    // The closing brace's line remains as an empty line.
    let end = MODULE.1.trim_start_matches('}');
    // An implementation of `From` makes rustc read those of all crates. With another `:efmt` the
    // text differs and stays as it is.
    let error = format!(
        "use ::benchbook::evcxr_runtime::EvcxrUserCodeError;{}",
        "\n".repeat(ERROR.matches('\n').count())
    );
    let before = before.replacen(ERROR, &error, 1);
    let after = after.replacen(CATCH.0, CATCH.1, 1).replacen(NOTIFY.0, NOTIFY.1, 1);
    Ok(format!("{before}use ::benchbook::evcxr_runtime as {RUNTIME};{lines}{end}{after}"))
}

/// Whether a cell consists of definitions only. Such a cell is only checked, since nothing in it
/// would be compiled to code. The worker treats an empty library as a cell that does nothing.
pub(crate) fn runs_nothing(source: &str) -> bool {
    // Items that have an effect without being called.
    const EFFECTS: [&str; 5] = ["no_mangle", "export_name", "link_section", "used", "global_asm"];
    let Some(before) = source.trim_end().strip_suffix(NOTHING) else { return false };
    let Some((items, _)) = before.rsplit_once("#[unsafe(no_mangle)]") else { return false };
    !words(items).any(|word| EFFECTS.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ra_ap_syntax::ast::{self, AstNode, AstToken, HasName};
    use ra_ap_syntax::{Edition, SourceFile, SyntaxNode};
    use std::fs;
    use std::path::PathBuf;
    use std::process::Command;
    use std::sync::LazyLock;

    /// The source of the evcxr crate that this crate is compiled with.
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--format-version", "1", "--locked", "--filter-platform"])
            .args(["x86_64-unknown-linux-gnu", "--manifest-path"])
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let packages = metadata["packages"].as_array().unwrap();
        let evcxr = packages.iter().find(|package| package["name"] == "evcxr").unwrap();
        PathBuf::from(evcxr["manifest_path"].as_str().unwrap()).parent().unwrap().join("src")
    });

    fn parsed(file: &str) -> SyntaxNode {
        let text = fs::read_to_string(FOLDER.join(file)).unwrap();
        SourceFile::parse(&text, Edition::Edition2024).syntax_node()
    }

    /// The string literals of an evcxr function that generates code, one a line.
    fn generated(function: &str) -> String {
        let tree = parsed("eval_context.rs");
        let mut functions = tree.descendants().filter_map(ast::Fn::cast);
        let found = functions.find(|item| item.name().is_some_and(|name| name.text() == function));
        let lines = strings(found.unwrap().syntax());
        lines.join("\n").replace("{PANIC_NOTIFICATION}", "EVCXR_PANIC_NOTIFICATION") + "\n"
    }

    fn strings(node: &SyntaxNode) -> Vec<String> {
        let tokens = node.descendants_with_tokens().filter_map(|element| element.into_token());
        let strings = tokens.filter_map(ast::String::cast);
        strings.filter_map(|string| Some(string.value().ok()?.into_owned())).collect()
    }

    fn says(file: &str, text: &str) -> bool {
        strings(&parsed(file)).iter().any(|string| string.contains(text))
    }

    #[test]
    fn evcxr_generates_the_code_around_a_cell_that_is_taken_apart() {
        let code = generated("wrap_user_code");
        let notified = END.replacen(NOTIFY.1, NOTIFY.0, 1);
        for part in
            [MODULE.0, CATCH.0, NOTIFY.0, &notified, FUTURE, FUTURE_ENDS[0], FUTURE_ENDS[1], LAST]
        {
            let part = part.replace("evcxr_internal_runtime {\n}", "");
            assert!(code.contains(part.trim_end()), "{part}\n{code}");
        }
        for part in [QUESTION_MARK.0, QUESTION_MARK.1, MODULE.1] {
            assert!(code.contains(part), "{part}\n{code}");
        }
        let text = fs::read_to_string(FOLDER.join("eval_context.rs")).unwrap();
        let start = format!("{AWAIT} = {STORE}.lazy_arc(\"{TOKIO}\",");
        assert!(
            text.contains(&start) && ENTER_TOKIO.contains(&format!("{STORE}.lazy_arc(\"{TOKIO}\""))
        );
        assert!(generated("current_user_fn_name").starts_with(FUNCTION));
        // The functions that generate the code for type checks.
        let checked = generated("analysis_code");
        let functions = checked.split("fn ").skip(1).filter_map(|rest| words(rest).next());
        assert_eq!(functions.filter(|name| is_internal(name)).count(), 2, "{checked}");
        let nothing = NOTHING.trim_start_matches("(\n");
        assert!(generated("code_to_compile").contains(nothing));
    }

    #[test]
    fn evcxr_pastes_the_known_runtime_and_error() {
        let module = fs::read_to_string(FOLDER.join("evcxr_internal_runtime.rs")).unwrap();
        assert_eq!(hex(Sha256::digest(&module)), KNOWN_RUNTIME);
        for name in ["VariableStore", "USER_ERROR_OCCURRED", "fn take_variable", "fn lazy_arc"] {
            assert!(module.contains(name), "{name}");
        }
        let error = generated("error_trait_code").replace("{{", "{").replace("}}", "}");
        let error = error.replacen("T: {}", "T: std::fmt::Display", 1);
        let (head, _) = ERROR.split_once("eprintln!").unwrap();
        assert!(error.starts_with(head), "{error}");
        assert!(error.contains("println!(\"{}\", evcxr_internal_runtime::USER_ERROR_OCCURRED);"));
    }

    #[test]
    fn evcxr_checks_takes_and_puts_variables_in_lines_of_their_own() {
        for (function, begin, handling) in [
            ("check_variable_statements", "vars_ok", Handling::Check),
            ("load_variable_statements", "let ", Handling::Take),
            ("store_variable_statements", STORE, Handling::Put),
        ] {
            let text = generated(function);
            let line = text.lines().find(|line| line.starts_with(begin)).unwrap();
            let line = line.replace("{var_name}", "x");
            let line = match handling {
                Handling::Take => line.replacen("{}{}", "mut x", 1).replacen("<{}>", "<u8>", 1),
                _ => line.replacen("<{}>", "<u8>", 1),
            };
            let line = line.replace("{}", "x");
            let mutable = handling == Handling::Take;
            assert_eq!(
                handled(&line),
                Some(Handled { name: "x", kind: "u8", mutable, handling }),
                "{line}"
            );
        }
    }

    #[test]
    fn evcxr_says_what_is_looked_for_and_finds_files_where_they_are_put() {
        for (file, text) in [
            ("module.rs", NO_ERRORS),
            ("module.rs", EXECUTION_PATH),
            ("module.rs", EXECUTION_VARIABLE),
            ("module.rs", "\nopt-level = {}\n"),
            ("child_process.rs", TERMINATED),
            ("errors.rs", FILE),
            ("errors.rs", "<end of input>"),
            ("eval_context.rs", UNDOCUMENTED),
            ("eval_context.rs", CONTENT.0),
            ("eval_context.rs", CONTENT.1),
            ("command_context.rs", RESTART.0),
            ("toml_parse.rs", FOLDERS[0]),
            ("lib.rs", FOLDERS[1]),
        ] {
            assert!(says(file, text), "{file}: {text}");
        }
        let texts = strings(&parsed("eval_context.rs"));
        let texts = texts.iter().map(|text| text.replacen("`{}`", "`x`", 1).replace("{}", "A"));
        let found: Vec<_> = texts
            .filter_map(|text| Some(not_kept(&text)?.1).map(|why| format!("{why:?}")))
            .collect();
        for why in ["Closure", "Unknown { private: false }", "Type(Some(\"A\"))"] {
            assert!(found.iter().any(|found| found == why), "{why}: {found:?}");
        }
    }

    #[test]
    fn the_worker_speaks_evcxrs_words() {
        let helper = concat!(env!("CARGO_MANIFEST_DIR"), "/../helper/src/worker");
        for (evcxr, file, word) in [
            ("eval_context.rs", "run.rs", "LOAD_AND_RUN "),
            ("runtime.rs", "run.rs", "EVCXR_EXECUTION_COMPLETE"),
            ("evcxr_internal_runtime.rs", "run.rs", "EVCXR_VARIABLE_CHANGED_TYPE:"),
            ("evcxr_internal_runtime.rs", "failure.rs", "EVCXR_ERROR_OCCURRED"),
            ("eval_context.rs", "failure.rs", "EVCXR_PANIC_NOTIFICATION"),
        ] {
            let own = fs::read_to_string(format!("{helper}/{file}")).unwrap();
            assert!(says(evcxr, word), "{evcxr}: {word}");
            assert!(own.contains(word), "{file}: {word}");
        }
    }

    #[test]
    fn other_lines_are_no_handling_of_variables() {
        for line in [
            "let a = f(evcxr_variable_store.take_variable::<u8>(stringify!(a)));",
            "evcxr_variable_store.put_variable::<u8>(stringify!(a), b);",
            "evcxr_variable_store.lazy_arc(\"a\", || 1);",
            "let evcxr_variable_store = unsafe {&mut *evcxr_variable_store};",
        ] {
            assert_eq!(handled(line), None, "{line}");
        }
        assert_eq!(
            handled(vain_check("x").trim_end()),
            None,
            "it stays where the cell does not name `x`"
        );
    }

    #[test]
    fn an_unknown_module_is_refused() {
        let source =
            "mod evcxr_internal_runtime {\npub struct Other;\n}\n#[unsafe(no_mangle)]\nfn f() {}\n";
        assert!(compiled(source.into()).is_err());
        assert_eq!(compiled("fn f() {}\n".into()).unwrap(), "fn f() {}\n", "without the module");
    }

    #[test]
    fn a_cell_of_items_runs_nothing_but_where_an_item_has_an_effect_by_itself() {
        let cell = |items: &str, body: &str| {
            format!(
                "{items}\n#[unsafe(no_mangle)]\npub extern \"C\" fn run_user_code_4(\n\
                 mut x: *mut std::os::raw::c_void) -> *mut std::os::raw::c_void {{{body}}}\n"
            )
        };
        assert!(runs_nothing(&cell("use a::b;\nfn f() {}\nstruct S;", "x")));
        assert!(!runs_nothing(&cell("fn f() {}", "f(); x")));
        assert!(!runs_nothing(&cell("#[unsafe(no_mangle)] extern \"C\" fn f() {}", "x")));
        assert!(!runs_nothing(&cell("#[used] static A: i32 = 1;", "x")));
    }
}
