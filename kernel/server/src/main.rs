//! `benchbook`: parses the command line and calls the library.

use anyhow::Context;
use benchbook_kernel::machine::Machine;
use benchbook_kernel::template::Template;
use benchbook_kernel::{
    bench, cargo, clean, doctor, install, kernel, kernelspec, record, setup, study,
};
use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A Jupyter kernel for Rust that compares deep-learning libraries.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve a notebook; Jupyter starts this.
    Kernel {
        /// The file in which Jupyter says how to connect.
        #[arg(long, short = 'f')]
        connection_file: PathBuf,
        /// The template to run cells against; the newest installed if not given.
        #[arg(long)]
        template: Option<PathBuf>,
        /// Ignored: `jupyter run script.rs` passes the script's name, too.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
        others: Vec<OsString>,
    },
    /// Build the template of sessions and register the kernel with Jupyter.
    Install {
        /// The checkout of Benchbook.
        #[arg(long, default_value = ".")]
        source: PathBuf,
        /// The folder with libtorch's `lib` and `include`.
        #[arg(long)]
        libtorch: Option<PathBuf>,
        /// The Python environment in which Jupyter finds the kernel.
        #[arg(long)]
        prefix: Option<PathBuf>,
        /// Where cargo keeps what it compiles.
        #[arg(long)]
        target_dir: Option<PathBuf>,
    },
    /// List the parts found on this machine, and how to install missing ones.
    Doctor {
        /// The Python environment in which the kernel was installed.
        #[arg(long)]
        prefix: Option<PathBuf>,
    },
    /// Download missing parts, the Rust toolchain and libtorch, into the cache.
    Setup {
        /// Options; `benchbook setup --help` lists them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<OsString>,
    },
    /// Remove the cache folder, after listing its contents.
    Clean {
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Draw cats and dogs: the image folder of the notebooks if there are no photos.
    Drawings(benchbook_drawings::Arguments),
    /// Print this machine's parts as JSON; `setup` calls this.
    #[command(hide = true)]
    Machine,
    /// Record the answers to a session's first questions; `install` calls this.
    #[command(hide = true)]
    Record {
        /// The template that stores the answers.
        template: PathBuf,
    },
    /// Run a benchmark job in a terminal.
    #[command(disable_help_flag = true)]
    Bench(bench::Arguments),
    /// Run one job on several libraries, alternating, each run in its own process, and compare them.
    #[command(disable_help_flag = true)]
    Study(study::Arguments),
    /// Run the job of a published record again, and compare.
    #[command(disable_help_flag = true)]
    Reproduce(study::Arguments),
}

/// The default log filter. rust-analyzer warns, with a backtrace, of every tool that ends early, as
/// tools do at a shutdown of the kernel.
const LOG: &str = "warn,ra_ap_project_model=error";

fn main() -> ExitCode {
    if std::env::args_os().next().is_some_and(|program| cargo::is_called(&program)) {
        return cargo::main();
    }
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("BENCHBOOK_LOG")
                .unwrap_or_else(|_| LOG.into()),
        )
        .with_writer(std::io::stderr)
        .init();
    let command = Arguments::parse().command;
    if !matches!(command, Command::Kernel { .. } | Command::Install { .. } | Command::Record { .. })
    {
        // The others write to pipes of a session, which may close.
        benchbook_guard::end_with_reader();
    }
    match run(command) {
        Ok(status) => status,
        Err(error) => {
            eprintln!("benchbook: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Kernel { connection_file, template, others } => {
            if !others.is_empty() {
                tracing::debug!("arguments that mean nothing to this kernel: {others:?}");
            }
            // SAFETY: nothing has started a thread yet.
            unsafe { kernel::serve(&connection_file, template.as_deref()) }
        }
        Command::Install { source, libtorch, prefix, target_dir } => {
            let options = install::Install { source, libtorch, prefix, target: target_dir };
            let (template, kernelspec) = install::install(&options).context("not installed")?;
            println!("template:   {}", template.folder.display());
            println!("kernelspec: {}", kernelspec.display());
            Ok(ExitCode::SUCCESS)
        }
        Command::Doctor { prefix } => {
            let report = doctor::examine(prefix.as_deref())?;
            print!("{report}");
            Ok(if report.works() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Setup { options } => setup::run(&options),
        Command::Clean { yes } => clean::clean(yes),
        Command::Drawings(arguments) => benchbook_drawings::run(&arguments),
        Command::Machine => {
            let folder = kernelspec::find(None).map(|(_, template)| template);
            let template = folder.and_then(|folder| Template::open(&folder).ok());
            let machine = Machine::examine(template.as_ref().map(|template| &template.manifest))?;
            println!("{}", serde_json::to_string_pretty(&machine)?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Record { template } => {
            // SAFETY: nothing has started a thread yet.
            unsafe { record::record(&template) }?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Study(arguments) => study::run(&arguments),
        Command::Reproduce(arguments) => study::reproduce(&arguments),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_for_help_reaches_the_worker_that_knows_all_options() {
        for name in ["bench", "study", "reproduce"] {
            for flag in ["--help", "-h"] {
                let words = match Arguments::parse_from(["benchbook", name, flag]).command {
                    Command::Bench(arguments) => arguments.job,
                    Command::Study(arguments) | Command::Reproduce(arguments) => arguments.words,
                    _ => panic!("{name} is another command"),
                };
                assert_eq!(words, [flag], "{name}");
            }
        }
    }
}
