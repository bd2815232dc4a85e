//! What a notebook can show.
//!
//! A [`Bundle`] is one output in several forms, keyed by MIME type, of which the front end picks
//! the richest that it can draw. Everything with more to show than its `Debug` form implements
//! [`Rich`]. This crate knows neither Jupyter nor the worker: it is data only, so that charts,
//! folders and models can be drawn and tested without a kernel.

mod abbreviate;
#[cfg(feature = "image")]
mod picture;
#[cfg(feature = "tch")]
mod tensor;

pub use abbreviate::{Abbreviated, abbreviate, commas};
use base64::Engine;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One output in several forms. `text/plain` is always there, so that a terminal is never empty.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bundle {
    /// Content by MIME type: text as a string, binary content as base64.
    pub data: Map<String, Value>,
    /// Metadata by MIME type (for example `{"image/png": {"width": 640}}`, in CSS pixels).
    #[serde(default)]
    pub metadata: Map<String, Value>,
}

impl Bundle {
    /// A bundle with its plain text form.
    pub fn text(plain: impl Into<String>) -> Self {
        let mut data = Map::new();
        data.insert("text/plain".into(), Value::String(plain.into()));
        Self { data, metadata: Map::new() }
    }

    /// Adds textual content of any MIME type, or replaces it.
    pub fn with(mut self, mime: &str, content: impl Into<String>) -> Self {
        self.data.insert(mime.into(), Value::String(content.into()));
        self
    }

    /// Adds an HTML form.
    pub fn html(self, html: impl Into<String>) -> Self {
        self.with("text/html", html)
    }

    /// Adds a Markdown form.
    pub fn markdown(self, markdown: impl Into<String>) -> Self {
        self.with("text/markdown", markdown)
    }

    /// Adds an SVG image.
    pub fn svg(self, svg: impl Into<String>) -> Self {
        self.with("image/svg+xml", svg)
    }

    /// Adds a PNG image from the bytes of its file.
    pub fn png(self, png: &[u8]) -> Self {
        self.with("image/png", base64::engine::general_purpose::STANDARD.encode(png))
    }

    /// Adds a JPEG image from the bytes of its file.
    pub fn jpeg(self, jpeg: &[u8]) -> Self {
        self.with("image/jpeg", base64::engine::general_purpose::STANDARD.encode(jpeg))
    }

    /// The plain text form.
    pub fn plain(&self) -> &str {
        self.data.get("text/plain").and_then(Value::as_str).unwrap_or_default()
    }
}

/// Something that shows itself in a notebook, as the last expression of a cell or by `display`.
pub trait Rich {
    /// The forms to choose from.
    fn bundle(&self) -> Bundle;
}

impl Rich for Bundle {
    fn bundle(&self) -> Bundle {
        self.clone()
    }
}

impl<T: Rich + ?Sized> Rich for &T {
    fn bundle(&self) -> Bundle {
        (**self).bundle()
    }
}

impl<T: Rich + ?Sized> Rich for Box<T> {
    fn bundle(&self) -> Bundle {
        (**self).bundle()
    }
}

/// Text as it has to be written inside HTML or SVG.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
