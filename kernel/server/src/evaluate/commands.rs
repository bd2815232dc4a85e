//! The commands of evcxr that the kernel changes.
//!
//! evcxr handles most commands. A few would replace the kernel's cargo, compiler or worker by evcxr's;
//! these are refused, with advice. `:fmt` and `:types` also set how the kernel displays a
//! value, and `:help` describes Benchbook's additions and differences.

use crate::parsed::{Parsed, rust_begins};
use benchbook_display::{Bundle, escape};
use std::fmt::Write;

/// Refused commands, and the alternatives.
const REFUSED: &[(&str, &str)] = &[
    (":allow_static_linking", "cells are always linked against the helper library"),
    (":cache", "crates added with :dep are kept between sessions anyway"),
    (":codegen_backend", "cells are compiled with rustc's own"),
    (":linker", "cells are linked by the linker that rustc brings"),
    (":quit", "shut the kernel down from the front end"),
    (":restart", "restart the kernel from the front end, or use :clear"),
    (":sccache", "crates added with :dep are kept between sessions anyway"),
    (":time_passes", "it needs a nightly compiler; `:timing` tells what a cell takes"),
    (
        ":toolchain",
        "choose it with `rustup default` and run `environment/run`: the helper library is compiled with one",
    ),
];

/// Commands that differ from evcxr's.
const DIFFERENT: &[(&str, &str)] = &[
    (":clear", "afterwards the helper library's names are available again without further steps"),
    (
        ":dep",
        "the crates are compiled apart from the helper library, so a type of a crate that both use is not the same type in both; `benchbook::{tch, image, plotters, serde_json}` are there already",
    ),
    (":env", "reaches the process that runs the cells when it starts anew, at `:clear`"),
    (":fmt", "takes formats of `Debug`, such as {:?}, {:#?} or {:.3?}"),
    (
        ":load_config",
        "evcxr.toml, init.evcxr and prelude.rs are not loaded at the start of a session; this command runs their dependencies and prelude, and the other settings of evcxr.toml are never used",
    ),
    (":opt", "a session begins with 1, which compiles faster; hot loops belong into a crate"),
    (":types", "also shows the type where a value has a rich form"),
];

/// Additions to evcxr, printed before its help.
const INTRODUCTION: &str = "\
Benchbook: Rust cells with tensors, image classifiers, charts and records of what a run took.
data      `ImageFolder`: images in one folder a class; `Split`, `Augmentation`, `Loader`
libraries `libraries()?` lists what trains and is compared, what is installed, and how to get the rest
nets      `Vgg` describes a net, `Model` is the built one; `Weights` to start from; `Tensor` is LibTorch's
training  `model.fit(&data, Fit { epochs: 3, ..Fit::default() })?`, with `Callback` and `Schedule`
charts    `plot(&[1.0, 2.0])?`, `Curves` of a history, `BarChart`, `ConfusionMatrix`, `PictureGrid`
records   `Run` measures a job, `Record` keeps time, memory and energy; `Study` compares libraries
help      `:doc Fit` shows documentation, `:vars` the variables, Tab completes, Shift+Tab explains
cells     the last expression is shown; `?` ends the cell with the error; `let` keeps a variable
          `:timing` tells what each cell takes; `:dep name = \"1\"` adds a crate; `:clear` starts anew
";

/// The Rust form of a cell with IPython syntax: magics (`%%time`) and questions (`Fit?`, `?Fit`).
fn of_ipython(cell: &Parsed) -> Option<String> {
    let rust = cell.rust().trim();
    if let Some(magic) = rust.strip_prefix('%') {
        let name = magic.trim_start_matches('%').split_whitespace().next().unwrap_or_default();
        let instead = match name {
            "time" | "timeit" | "prun" => {
                "`:timing` in a cell of its own tells what every later cell takes, and `std::time::Instant` measures a part"
            }
            "pip" | "conda" => "a crate is added with `:dep name = \"1\"`",
            "who" | "whos" | "who_ls" => "`:vars` lists the variables",
            "bash" | "sh" | "system" | "cd" | "ls" => {
                "a line that begins with `!` is run by a shell: `!ls`"
            }
            "env" | "set_env" => "`:env NAME=value` sets a variable of the environment",
            "matplotlib" | "pylab" => "charts are shown where they are made: `plot(&[1.0, 2.0])?`",
            "reset" => "`:clear` starts anew",
            _ => "`:help` lists the commands that there are",
        };
        let signs = &rust[..rust.len() - magic.trim_start_matches('%').len()];
        return Some(format!("`{signs}{name}` is a magic of IPython's; {instead}"));
    }
    // `value?` is Rust: it unwraps a `Result`. Types have no `?`.
    let asked = rust.trim_end_matches('?').rsplit("::").next().unwrap_or_default();
    let is_type = asked.starts_with(char::is_uppercase) && asked.contains(char::is_lowercase);
    let name = if let Some(name) = rust.strip_prefix('?') {
        name.trim_start_matches('?')
    } else if rust.ends_with('?') && is_type {
        rust.trim_end_matches('?')
    } else {
        return None;
    };
    let name = name.trim();
    let is_path = |c: char| c.is_alphanumeric() || matches!(c, '_' | ':' | '.');
    if name.is_empty() {
        return Some("`:help` lists the commands, and `:doc Fit` shows documentation".into());
    }
    name.chars().all(is_path).then(|| {
        format!("`:doc {name}` shows the documentation of `{name}`, and so does Shift+Tab behind the name")
    })
}

/// The first command of a cell that is not available here, with the reason.
pub(super) fn refused(cell: &Parsed) -> Option<String> {
    if let Some(instead) = of_ipython(cell) {
        return Some(instead);
    }
    for line in commands(cell) {
        let (name, argument) = split(line);
        if let Some((_, instead)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
            return Some(format!("{name} is not available in Benchbook: {instead}"));
        }
        if name == ":fmt" && !argument.is_none_or(is_debug_format) {
            return Some(format!(
                ":fmt takes one placeholder for `Debug`, such as {{:?}}, {{:#?}} or {{:.3?}}; received {}",
                argument.unwrap_or_default()
            ));
        }
    }
    None
}

/// Whether a text holds exactly one placeholder, with a `Debug` format.
fn is_debug_format(text: &str) -> bool {
    let plain = text.replace("{{", "").replace("}}", "");
    let Some((before, rest)) = plain.split_once('{') else { return false };
    let Some((placeholder, after)) = rest.split_once('}') else { return false };
    let specification = placeholder.strip_prefix(':').and_then(|text| text.strip_suffix('?'));
    let known = |text: &str| {
        text.chars().all(|c| {
            c.is_ascii_digit() || matches!(c, '#' | '.' | 'x' | 'X' | '+' | '<' | '>' | '^')
        })
    };
    specification.is_some_and(known)
        && ![before, after].iter().any(|text| text.contains(['{', '}', '"', '\\']))
}

/// Blanks refused commands in the text, since evcxr would execute them during completion.
pub(super) fn without_refused(code: &str) -> String {
    let refused = |line: &str| {
        command(line).is_some_and(|line| REFUSED.iter().any(|(name, _)| *name == split(line).0))
    };
    let blank = |c: char| if c == '\n' { "\n".to_owned() } else { " ".repeat(c.len_utf8()) };
    let lines = code.split_inclusive('\n').map(|line| match refused(line) {
        true => line.chars().map(blank).collect(),
        false => line.to_owned(),
    });
    lines.collect()
}

/// Splits a cell at a `:clear` line, which evcxr executes before any code. The second part has as many lines as
/// the whole cell, so its positions are those of the cell. `None` without such a line.
pub(super) fn split_at_clear(code: &str) -> Option<(String, String)> {
    let top = &code[..rust_begins(code)];
    let is_clear = |line| command(line).is_some_and(|line| split(line).0 == ":clear");
    let at = top.lines().position(is_clear)?;
    let head: String = code.split_inclusive('\n').take(at + 1).collect();
    let tail = "\n".repeat(at + 1) + &code[head.len()..];
    Some((head, tail))
}

/// Format of a displayed last expression, as set by `:fmt` and `:types`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) format: String,
    pub(super) types: bool,
}

impl Default for Form {
    fn default() -> Self {
        Self { format: "{:?}".into(), types: false }
    }
}

impl Form {
    /// Executes the commands of a cell that is not refused.
    pub(super) fn obey(&mut self, cell: &Parsed) {
        for line in commands(cell) {
            match split(line) {
                (":fmt", format) => self.format = format.unwrap_or("{:?}").to_owned(),
                (":types", _) => self.types = !self.types,
                _ => {}
            }
        }
    }
}

/// Whether a cell has this command.
pub(super) fn asks_for(cell: &Parsed, command: &str) -> bool {
    commands(cell).any(|line| split(line).0 == command)
}

/// The text printed before evcxr's help.
pub(super) fn introduction() -> Bundle {
    Bundle::text(INTRODUCTION).html(format!("<pre>{}</pre>", escape(INTRODUCTION)))
}

/// The differences from evcxr's help.
pub(super) fn help() -> Bundle {
    let mut text = String::from("In Benchbook these are different:\n");
    let mut html = String::from("<p>In Benchbook these are different:</p><table>");
    let refused =
        REFUSED.iter().map(|(name, instead)| (*name, format!("not available: {instead}")));
    let different = DIFFERENT.iter().map(|(name, how)| (*name, (*how).to_owned()));
    for (name, how) in different.chain(refused) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<22} {how}");
        let _ = write!(html, "<tr><td>{name}</td><td>{}</td></tr>", escape(&how));
    }
    text.push_str(
        "Lines that begin with ! are run by a shell; what they print comes at their end.\n",
    );
    html.push_str("</table><p>Lines that begin with ! are run by a shell; what they print comes at their end.</p>");
    Bundle::text(text).html(html)
}

/// Whether a cell has a command.
pub(super) fn has_any(cell: &Parsed) -> bool {
    commands(cell).next().is_some()
}

/// A cell's command lines, without the text before the colon.
fn commands(cell: &Parsed) -> impl Iterator<Item = &str> {
    cell.top().lines().filter_map(command)
}

/// A command line from its colon on; `None` for other lines.
fn command(line: &str) -> Option<&str> {
    Some(line.trim()).filter(|line| line.starts_with(':') && !line.starts_with("::"))
}

/// Splits a command into its name, with the colon, and its arguments.
fn split(command: &str) -> (&str, Option<&str>) {
    let (name, rest) = command.split_once(' ').unwrap_or((command, ""));
    (name, Some(rest.trim()).filter(|rest| !rest.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(cell: &str) -> Option<String> {
        refused(&Parsed::of(cell).unwrap())
    }

    #[test]
    fn clear_divides_the_commands_from_the_rest() {
        let parts = split_at_clear(":vars\n:clear\nlet a = 1;").unwrap();
        assert_eq!(parts, (":vars\n:clear\n".into(), "\n\nlet a = 1;".into()));
        assert_eq!(split_at_clear(":clear"), Some((":clear".into(), "\n".into())));
        assert_eq!(split_at_clear("let a = 1;"), None);
    }

    #[test]
    fn commands_that_are_not_available_are_found_and_blanked() {
        let why = told(":vars\n:toolchain nightly\n1").unwrap();
        assert!(why.starts_with(":toolchain is not available in Benchbook: choose it"), "{why}");
        assert_eq!(told(":vars\n:opt 2\na"), None);
        assert_eq!(without_refused(":quit now\na.b"), "         \na.b");
    }

    #[test]
    fn what_people_write_in_ipython_leads_to_the_command_that_does_it() {
        for (cell, command) in [
            ("Fit?", "`:doc Fit`"),
            ("?Fit", "`:doc Fit`"),
            ("benchbook::train::Fit??", "`:doc benchbook::train::Fit`"),
            ("?", "`:help`"),
            ("%%time\nlet a = 1;", "`%%time` is a magic of IPython's; `:timing`"),
            ("%timeit f()", "`%timeit` is a magic of IPython's; `:timing`"),
            ("%matplotlib inline", "`plot("),
            ("%load_ext tensorboard", "`:help`"),
        ] {
            let told = told(cell).unwrap_or_default();
            assert!(told.contains(command), "{cell}: {told}");
        }
        for cell in ["value?", "LIMIT?", "load()?", "Fit::load(path)?", "help(Fit)", "5 % 3"] {
            assert_eq!(told(cell), None, "{cell}");
        }
    }

    #[test]
    fn the_introduction_has_ten_lines_at_most() {
        assert!(INTRODUCTION.lines().count() <= 10);
        assert!(INTRODUCTION.lines().all(|line| line.chars().count() <= 110));
    }

    #[test]
    fn formats_are_those_of_debug() {
        for format in ["{:?}", "{:#?}", "{:.3?}", "value {:8.2?} {{x}}"] {
            assert_eq!(told(&format!(":fmt {format}")), None, "{format}");
        }
        for format in ["{}", "{:?} {:?}", "text", "{:\"?}", "\" {:?}", "{a:?}"] {
            assert!(told(&format!(":fmt {format}")).is_some(), "{format}");
        }
        let mut form = Form::default();
        form.obey(&Parsed::of(":fmt {:#?}\n:types\n1").unwrap());
        assert_eq!(form, Form { format: "{:#?}".into(), types: true });
        form.obey(&Parsed::of(":fmt\n:types").unwrap());
        assert_eq!(form, Form::default());
    }
}
