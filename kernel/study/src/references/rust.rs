//! The Rust libraries that run as programs of their own. Their sources are a workspace apart, `kernel/references`.

use super::environment::folders;
use super::{Program, Reference};
use benchbook_backend::{About, Compute, Convention, Precision};
use std::path::PathBuf;

/// All Rust libraries with a program of their own.
pub static RUST: &[&Reference] = &[&BURN, &CANDLE];

/// burn on its own backend for processors, Flex.
pub static BURN: Reference = Reference {
    about: About {
        id: "burn",
        name: "burn",
        language: "Rust",
        colour: [0x1d, 0x0d, 0x95],
        install: "environment/references burn",
        variables: &[],
    },
    convention: Convention::PyTorch,
    supports: only_the_processor,
    program: Program::Executable(|| program("benchbook-burn", "environment/references burn")),
    variant: &[],
};

/// candle on its own operations for processors.
pub static CANDLE: Reference = Reference {
    about: About {
        id: "candle",
        name: "candle",
        language: "Rust",
        colour: [0x63, 0x62, 0x44],
        install: "environment/references candle",
        variables: &[],
    },
    convention: Convention::PyTorch,
    supports: only_the_processor,
    program: Program::Executable(|| program("benchbook-candle", "environment/references candle")),
    variant: &[],
};

fn only_the_processor(compute: &Compute, on_gpu: bool) -> Result<(), &'static str> {
    if on_gpu {
        return Err("a GPU: its program is built for the processor");
    }
    match compute.precision {
        Precision::BFloat16 | Precision::Float16 => Err("autocast to 16-bit floats"),
        Precision::Float32 | Precision::Float64 if compute.channels_last => Err("channels_last"),
        Precision::Float32 | Precision::Float64 => Ok(()),
    }
}

/// A program in the folder beside the main Python environment that `environment/rust-references` fills.
fn program(name: &str, install: &str) -> Result<PathBuf, String> {
    let folders = folders("-rust");
    let found = folders.iter().map(|folder| folder.join("bin").join(name)).find(|file| file.exists());
    found.ok_or_else(|| {
        let others = if folders.len() > 1 { ", nor one in the working folder or above" } else { "" };
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
            assert!(supports(Compute::default(), true).unwrap_err().contains("GPU"));
            let short = Compute { precision: Precision::BFloat16, ..Compute::default() };
            assert!(supports(short, false).unwrap_err().contains("16-bit"));
        }
    }

    #[test]
    fn a_missing_program_is_named_with_its_command() {
        let error = program("benchbook-none", "environment/references none").unwrap_err();
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
