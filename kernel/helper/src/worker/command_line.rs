//! The command lines of `benchbook bench`, `study` and `reproduce`, whose help is the list of options.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

/// The words of a command line by kind.
#[derive(Default)]
pub(super) struct CommandLine<'a> {
    pub(super) files: Vec<PathBuf>,
    pub(super) switches: Vec<&'a str>,
    pub(super) values: BTreeMap<&'a str, &'a str>,
}

impl<'a> CommandLine<'a> {
    /// Sorts words by the help, in which one space precedes the value of an option, and more the description of a switch.
    /// The help lacks `hidden`, an option with a value. The error is a message.
    pub(super) fn read(words: &'a [String], help: &str, hidden: &str) -> Result<Self, String> {
        let mut read = Self::default();
        let mut words = words.iter().map(String::as_str);
        while let Some(word) = words.next() {
            if !word.starts_with('-') {
                read.files.push(word.into());
                continue;
            }
            let mut listed = help.lines().filter_map(|line| line.trim_start().strip_prefix(word));
            match listed.find(|after| after.starts_with(' ')) {
                Some(after) if after.starts_with("  ") => read.switches.push(word),
                None if word != hidden => return Err(format!("unknown option {word}\n\n{help}")),
                _ => {
                    let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
                    read.values.insert(word, value);
                }
            }
        }
        Ok(read)
    }
}

/// Reads the process's arguments after its role. The error is the exit status, after help or a message was printed.
pub(super) fn arguments<T>(
    command: &str,
    help: impl FnOnce() -> String,
    may_be_empty: bool,
    read: impl FnOnce(&[String]) -> Result<T, String>,
) -> Result<T, i32> {
    let words = std::env::args_os().skip(2).map(OsString::into_string);
    let words: Vec<String> = words.collect::<Result<_, OsString>>().map_err(|word| {
        eprintln!("benchbook {command}: the argument {} is not UTF-8", word.display());
        2_i32
    })?;
    let is_empty = words.is_empty() && !may_be_empty;
    if is_empty || words.iter().any(|word| word == "--help" || word == "-h") {
        println!("{}", help());
        return Err(0);
    }
    read(&words).map_err(|message| {
        eprintln!("benchbook {command}: {message}");
        2
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn the_help_tells_options_with_a_value_from_switches() {
        let help = "tool [FILE] [--fast]\n\n  --size N   pixels\n  --fast     in a hurry";
        let read = |line: &[String]| {
            let read = CommandLine::read(line, help, "--hidden")?;
            let values: Vec<String> =
                read.values.iter().map(|(option, value)| format!("{option}={value}")).collect();
            Ok::<_, String>(format!("{:?} {:?} {values:?}", read.files, read.switches))
        };
        let line = words("a --size 3 --fast --hidden b --size 4");
        assert_eq!(read(&line).unwrap(), r#"["a"] ["--fast"] ["--hidden=b", "--size=4"]"#);
        for wrong in ["--siz", "--", "-s", "--fastest"] {
            let message = read(&words(wrong)).unwrap_err();
            assert!(message.starts_with(&format!("unknown option {wrong}\n")), "{message}");
        }
        assert_eq!(read(&words("--size")).unwrap_err(), "--size needs a value");
    }
}
