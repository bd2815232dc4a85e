//! Draws cats and dogs into a folder.

use clap::Parser;
use std::process::ExitCode;

/// Draws labelled cats and dogs as JPEG files.
#[derive(Parser)]
#[command(version)]
struct Program {
    #[command(flatten)]
    arguments: benchbook_drawings::Arguments,
}

fn main() -> anyhow::Result<ExitCode> {
    benchbook_drawings::run(&Program::parse().arguments)
}
