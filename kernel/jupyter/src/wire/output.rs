//! `stream`, `display_data`, `update_display_data` and `execute_result`.

use crate::output::Stream;
use benchbook_display::Bundle;
use jupyter_protocol::messaging::{Stdio, StreamContent};
use serde::Serialize;

/// The content of a `stream` message.
pub(crate) fn stream_content(stream: Stream, text: String) -> StreamContent {
    let name = match stream {
        Stream::Stdout => Stdio::Stdout,
        Stream::Stderr => Stdio::Stderr,
    };
    StreamContent { name, text }
}

/// The display id for later updates.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Transient<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    display_id: Option<&'a str>,
}

#[derive(Debug, Serialize)]
pub(crate) struct DisplayData<'a> {
    #[serde(flatten)]
    bundle: &'a Bundle,
    transient: Transient<'a>,
}

impl<'a> DisplayData<'a> {
    pub(crate) fn new(bundle: &'a Bundle, display_id: Option<&'a str>) -> Self {
        Self { bundle, transient: Transient { display_id } }
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct UpdateDisplayData<'a>(DisplayData<'a>);

impl<'a> UpdateDisplayData<'a> {
    pub(crate) fn new(bundle: &'a Bundle, display_id: &'a str) -> Self {
        Self(DisplayData::new(bundle, Some(display_id)))
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct ExecuteResult<'a> {
    execution_count: u64,
    #[serde(flatten)]
    output: DisplayData<'a>,
}

impl<'a> ExecuteResult<'a> {
    pub(crate) fn new(execution_count: u64, bundle: &'a Bundle) -> Self {
        Self { execution_count, output: DisplayData::new(bundle, None) }
    }
}
