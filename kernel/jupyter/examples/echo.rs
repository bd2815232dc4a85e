//! A kernel that does what its cells say, to try clients with: `echo CONNECTION_FILE`.

#[path = "../tests/integration/echo.rs"]
mod echo;

use benchbook_jupyter::{About, Evaluator, Kernel, LanguageInfo, Settings, connection};
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path: PathBuf =
        std::env::args_os().nth(1).ok_or("expected the path of a connection file")?.into();
    let about = About {
        implementation: "echo".into(),
        implementation_version: env!("CARGO_PKG_VERSION").into(),
        language: LanguageInfo {
            name: "echo".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            mimetype: Some("text/plain".into()),
            file_extension: Some(".txt".into()),
            pygments_lexer: Some("text".into()),
            codemirror_mode: None,
            nbconvert_exporter: None,
        },
        banner: "Does what its cells say".into(),
        help_links: Vec::new(),
    };
    let kernel = Kernel::bind(connection::read(&path)?, Settings::new(about))?;
    let (evaluator, control, remote) = echo::echo();
    // This evaluator is not controlled: a cell that waits at the gate fails.
    drop(remote.gate);
    let end = kernel.run(control, move || Ok(Box::new(evaluator) as Box<dyn Evaluator>))?;
    println!("{end:?} after {} events", remote.events.len());
    Ok(())
}
