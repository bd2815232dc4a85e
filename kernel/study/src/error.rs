use std::path::PathBuf;

/// What can be wrong with records and studies.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was tried: "read", "append to" …
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file holds something else.
    #[error("expected {what}, found something else: {}: {source}", path.display())]
    Json {
        /// What should be there.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A study that cannot be run.
    #[error("expected {expected} for `{name}`, found {found}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// What it may be.
        expected: String,
        /// What it was.
        found: String,
    },
    /// Another study holds the file of records.
    #[error(
        "another study is adding to {}; wait for it to end, or choose another file of records \
         (`--records FILE`, `StudyPlan::records`)", path.display()
    )]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The user stopped a study. What was measured so far is in the records.
    #[error("the study was interrupted; the same call goes on from there")]
    Interrupted,
    /// A chart that cannot be drawn.
    #[error(transparent)]
    Chart(#[from] benchbook_chart::Error),
}
