use std::path::PathBuf;

/// Errors of records and studies.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// The operation: "read", "append to" …
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A file does not hold the expected JSON.
    #[error("cannot read {what} from {}: {source}", path.display())]
    Json {
        /// The expected content, for example "a record".
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The position and the cause.
        source: serde_json::Error,
    },
    /// A setting is invalid.
    #[error("`{name}` must be {expected} (got {found})")]
    Setting {
        /// The setting.
        name: &'static str,
        /// The valid values.
        expected: String,
        /// The value.
        found: String,
    },
    /// Another study has locked the file of records.
    #[error(
        "another study is writing to {}; wait until it ends, or choose another file of records \
         (`--records FILE`, `StudyPlan::records`)", path.display()
    )]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The user interrupted a study. The file of records has the finished runs.
    #[error("the study was interrupted; the same call resumes it")]
    Interrupted,
    /// A chart cannot be drawn.
    #[error(transparent)]
    Chart(#[from] benchbook_chart::Error),
}
