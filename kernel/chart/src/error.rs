use thiserror::Error;

/// Errors of charts, tables and image grids.
#[derive(Debug, Error, Clone, PartialEq)]
#[expect(missing_docs, reason = "fields are what the message prints")]
pub enum Error {
    /// Two lists that belong together have different lengths.
    #[error("{what}: expected {expected} values, got {found}")]
    Length { what: String, expected: usize, found: usize },
    /// There is nothing to draw.
    #[error("{what}: nothing to draw, got {found}")]
    Empty { what: String, found: String },
    /// An image of this size cannot be made.
    #[error(
        "image of {width} x {height} pixels at scale {scale}: expected a positive scale and at most \
         16384 pixels a side"
    )]
    Size { width: u32, height: u32, scale: f32 },
    /// A font cannot be used.
    #[error("fonts of {path}: {why}")]
    Font { path: std::path::PathBuf, why: String },
    /// A file cannot be written.
    #[error("{path} cannot be written: {why}")]
    Write { path: std::path::PathBuf, why: String },
    /// The PNG or JPEG encoder failed.
    #[error("encoding an image: {0}")]
    Encode(String),
}

/// `Result` with this crate's [`enum@Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Fails if two lists differ in length.
pub(crate) fn same_length(what: impl Into<String>, expected: usize, found: usize) -> Result<()> {
    if expected == found {
        Ok(())
    } else {
        Err(Error::Length { what: what.into(), expected, found })
    }
}

/// Fails for a list without numbers; NaN and infinities are gaps.
pub(crate) fn some(what: &str, values: &[f64]) -> Result<()> {
    if values.is_empty() {
        return Err(Error::Empty { what: what.to_owned(), found: "no values".to_owned() });
    }
    Ok(())
}

/// Fails for a list without finite numbers.
pub(crate) fn some_finite(what: &str, values: &[f64]) -> Result<()> {
    if values.iter().any(|v| v.is_finite()) {
        return Ok(());
    }
    let found = match values.len() {
        0 => "no values".to_owned(),
        n => format!("{n} values, none of them finite"),
    };
    Err(Error::Empty { what: what.to_owned(), found })
}
