//! The Rust libraries that run as separate programs. Their sources are in a separate workspace, `kernel/references`.

use super::environment::folders;
use super::{Program, Reference};
use benchbook_backend::{About, Compute, Convention, Precision};
use std::path::PathBuf;

/// All Rust libraries that run as separate programs.
pub static RUST: &[&Reference] = &[&BURN, &CANDLE];

/// burn with its backend for processors, Flex.
pub static BURN: Reference =
    executable("burn", [0x1d, 0x0d, 0x95], "environment/references burn", "benchbook-burn");

/// candle on processors.
pub static CANDLE: Reference =
    executable("candle", [0x63, 0x62, 0x44], "environment/references candle", "benchbook-candle");

const fn executable(
    id: &'static str,
    colour: [u8; 3],
    install: &'static str,
    program: &'static str,
) -> Reference {
    Reference {
        about: About { id, name: id, language: "Rust", colour, install, variables: &[] },
        convention: Convention::PyTorch,
        supports: only_the_processor,
        program: Program::Executable(program),
        has_ranks: false,
        has_profile: false,
        variant: &[],
    }
}

fn only_the_processor(compute: &Compute, on_gpu: bool) -> Result<(), &'static str> {
    if on_gpu {
        return Err("support for GPUs");
    }
    match compute.precision {
        Precision::BFloat16 | Precision::Float16 => Err("autocast to 16-bit floats"),
        Precision::Float32 | Precision::Float64 if compute.channels_last => Err("channels_last"),
        Precision::Float32 | Precision::Float64 => Ok(()),
    }
}

/// The path of a program in the folder beside the main Python environment, where `environment/references` installs it.
pub(super) fn find(name: &str, install: &str) -> Result<PathBuf, String> {
    let folders = folders("-rust");
    let found =
        folders.iter().map(|folder| folder.join("bin").join(name)).find(|file| file.exists());
    found.ok_or_else(|| {
        let others =
            if folders.len() > 1 { ", nor one in the working folder or above" } else { "" };
        format!("there is no {}/bin/{name}{others}; run `{install}`", folders[0].display())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_compute_on_the_processor_in_one_type_of_numbers() {
        for reference in RUST {
            let supports = |compute, on_gpu| (reference.supports)(&compute, on_gpu);
            assert_eq!(supports(Compute::common(false), false), Ok(()));
            assert_eq!(supports(Compute::exact(), false), Ok(()));
            assert!(supports(Compute::default(), true).unwrap_err().contains("GPUs"));
            let short = Compute { precision: Precision::BFloat16, ..Compute::default() };
            assert!(supports(short, false).unwrap_err().contains("16-bit"));
        }
    }

    #[test]
    fn a_missing_program_is_named_with_its_command() {
        let error = find("benchbook-none", "environment/references none").unwrap_err();
        for part in [".venv-references-rust/bin/benchbook-none", "environment/references none"] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_program_lists_its_differences_from_the_examples_first() {
        for (name, text) in [
            ("burn", include_str!("../../../references/burn/src/main.rs")),
            ("candle", include_str!("../../../references/candle/src/main.rs")),
        ] {
            let head: Vec<&str> = text.lines().take_while(|line| line.starts_with("//!")).collect();
            let head = head.join("\n");
            assert!(head.contains("https://") && head.contains("Differences"), "{name}: {head}");
        }
    }
}
