//! The command line that draws: `benchbook drawings`, and the program `benchbook-drawings`.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use crate::{Existing, Frame, Plan, SIDES, estimate_bytes, generate};
use clap::ValueEnum;

/// Draws labelled cats and dogs, or up to ten kinds of animals, as JPEG files: train/{cat,dog},
/// validation/{cat,dog} and an unlabelled test/. The same seed always gives the same images, whatever the counts. The images are CC0.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// Folder to write; it must be missing or empty
    #[arg(long)]
    out: PathBuf,
    /// Training images, as many of each class
    #[arg(long, default_value_t = Plan::default().train)]
    train: u32,
    /// Validation images, as many of each class
    #[arg(long, default_value_t = Plan::default().validation)]
    validation: u32,
    /// Test images, without labels
    #[arg(long, default_value_t = Plan::default().test)]
    test: u32,
    /// Classes, 2 to 10: cat, dog, rabbit, fish, bird, bear, butterfly, snail, snake, turtle
    #[arg(long, default_value_t = Plan::default().classes)]
    classes: usize,
    /// Seed; other seeds give other images
    #[arg(long, default_value_t = Plan::default().seed)]
    seed: u64,
    /// Longer side of an image, in pixels
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32)
        .range(i64::from(*SIDES.start())..=i64::from(*SIDES.end())))]
    size: u32,
    /// Form of the images
    #[arg(long, value_enum, default_value_t = Form::Square)]
    form: Form,
    /// Replace the folder if it holds an earlier output of this program
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    /// Squares
    Square,
    /// Upright and lying, of varied proportions, as photos are
    Photo,
}

/// Draws the images, with progress on a terminal.
///
/// # Errors
/// The folder is not empty, or cannot be written.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let plan = Plan {
        train: arguments.train,
        validation: arguments.validation,
        test: arguments.test,
        classes: arguments.classes,
        seed: arguments.seed,
        frame: match arguments.form {
            Form::Square => Frame::Square(arguments.size),
            Form::Photo => Frame::Photo(arguments.size),
        },
    };
    let existing = if arguments.force { Existing::Replace } else { Existing::Keep };
    let total = u64::from(plan.train) + u64::from(plan.validation) + u64::from(plan.test);
    let expected = estimate_bytes(&plan)?;
    eprintln!("drawing {total} images, about {}", megabytes(expected));
    let terminal = std::io::stderr().is_terminal();
    let written = generate(&plan, &arguments.out, existing, |ready| {
        if terminal && (ready.is_multiple_of(20) || u64::from(ready) == total) {
            // A progress line that cannot be shown is not an error.
            let _ = write!(std::io::stderr(), "\r{ready} of {total}");
        }
    })?;
    if terminal {
        eprintln!();
    }
    let size = megabytes(written.bytes);
    eprintln!("wrote {} images, {size}, to {}", written.pictures, arguments.out.display());
    Ok(ExitCode::SUCCESS)
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
