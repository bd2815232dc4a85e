//! Turns Kaggle's archive of photos into the folders that the report trained on.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use benchbook_drawings::kaggle::{Division, REPORT_SHARE, Unreadable, import};
use clap::Parser;

/// Unpacks Kaggle's dogs-vs-cats.zip into train/{cat,dog}, validation/{cat,dog} and test/. Every image
/// is decoded; an import that was interrupted resumes where it stopped, and one that is complete is
/// verified.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// dogs-vs-cats.zip as downloaded
    #[arg(long)]
    zip: PathBuf,
    /// Folder to write: missing, empty, or that of the same import, which then resumes
    #[arg(long)]
    out: PathBuf,
    /// Share of each class that is for validation; by default the report's 5,348 of 25,000
    #[arg(long, default_value_t = REPORT_SHARE)]
    validation: f64,
    /// Seed of the division
    #[arg(long, default_value_t = Division::default().seed)]
    seed: u64,
    /// Leave out images that cannot be decoded, and list them
    #[arg(long)]
    skip_unreadable: bool,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let division = Division { validation_share: arguments.validation, seed: arguments.seed };
    let unreadable = if arguments.skip_unreadable { Unreadable::Skip } else { Unreadable::Refuse };
    let terminal = std::io::stderr().is_terminal();
    let imported = import(&arguments.zip, &arguments.out, division, unreadable, |done, all| {
        if terminal {
            // A progress line that cannot be shown is not an error.
            let _ = write!(std::io::stderr(), "\r{done} of {all}");
        }
    })?;
    if terminal {
        eprintln!();
    }
    eprintln!(
        "wrote {} training, {} validation and {} test images to {} ({} were there already)",
        imported.train,
        imported.validation,
        imported.test,
        arguments.out.display(),
        imported.resumed
    );
    for (path, reason) in &imported.unreadable {
        eprintln!("left out: {}: {reason}", path.display());
    }
    let duplicates = &imported.duplicates_across_parts;
    eprintln!("{} groups of equal images lie in more than one part", duplicates.len());
    for group in duplicates {
        let names: Vec<String> = group.iter().map(|path| path.display().to_string()).collect();
        eprintln!("equal: {}", names.join(", "));
    }
    Ok(())
}
