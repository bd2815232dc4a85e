//! Rich output in evcxr's format: an `evcxr_display` method prints its content between two lines.
//!
//! Many crates have such methods. Other printed text passes through at once, including partial
//! lines; only a line that begins like the marker is held until it is recognised. If the
//! method is called for the cell's last expression, all its forms are one result, as in evcxr's own
//! kernel.

use crate::evcxr_contract::CONTENT;
use benchbook_display::Bundle;

const BEGIN: &str = CONTENT.0;
const END: &str = CONTENT.1;

/// A part of printed text.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Part {
    /// Text to pass on.
    Text(String),
    /// A rich output.
    Rich(Bundle),
    /// The value of the cell's last expression.
    Result(Bundle),
}

/// Separates rich outputs from plain text, piece by piece.
#[derive(Debug, Default)]
pub(super) struct Markers {
    /// Within a rich output: its MIME type and the content so far.
    content: Option<(String, String)>,
    /// The part of the current line that has not been passed on.
    held: String,
    /// Whether a part of the current line has been passed on.
    in_line: bool,
    /// While the last expression is shown: MIME types and contents printed so far.
    result: Option<Vec<(String, String)>>,
}

impl Markers {
    /// From here to the end of the cell, rich outputs are representations of the result.
    pub(super) fn begin_result(&mut self) {
        self.result.get_or_insert_default();
    }

    /// Processes the next piece of printed text.
    pub(super) fn take(&mut self, text: &str) -> Vec<Part> {
        let mut parts = Vec::new();
        for piece in text.split_inclusive('\n') {
            self.held.push_str(piece);
            let whole = self.held.ends_with('\n');
            if let Some((_, content)) = &mut self.content {
                if whole && self.held.trim_end() == END {
                    content.truncate(content.trim_end_matches('\n').len());
                    parts.extend(self.content.take().and_then(|content| self.ended(content)));
                    self.held.clear();
                } else if whole {
                    content.push_str(&self.held);
                    self.held.clear();
                }
            } else if !self.in_line && whole && self.held.starts_with(BEGIN) {
                self.content = Some((self.held[BEGIN.len()..].trim().to_owned(), String::new()));
                self.held.clear();
            } else if self.in_line || !could_be_marker(&self.held) {
                push(&mut parts, &self.held);
                self.in_line = !whole;
                self.held.clear();
            }
        }
        parts
    }

    /// A complete rich output, unless the result collects it.
    fn ended(&mut self, content: (String, String)) -> Option<Part> {
        let Some(forms) = &mut self.result else { return Some(Part::Rich(bundle(&[content]))) };
        // A second image is not another representation of the first one.
        let another = forms.iter().any(|(mime, _)| *mime == content.0);
        let earlier = another.then(|| Part::Rich(bundle(&std::mem::take(forms))));
        forms.push(content);
        earlier
    }

    /// The rest of the held text, at the end of a cell.
    pub(super) fn rest(&mut self) -> Vec<Part> {
        let forms = self.result.take().unwrap_or_default();
        let result = (!forms.is_empty()).then(|| Part::Result(bundle(&forms)));
        let unfinished =
            self.content.take().map(|(mime, content)| format!("{BEGIN}{mime}\n{content}"));
        let mut text = unfinished.unwrap_or_default();
        text.push_str(&std::mem::take(&mut self.held));
        self.in_line = false;
        let text = (!text.is_empty()).then_some(Part::Text(text));
        result.into_iter().chain(text).collect()
    }
}

fn could_be_marker(line: &str) -> bool {
    BEGIN.starts_with(line) || (line.starts_with(BEGIN) && !line.ends_with('\n'))
}

fn push(parts: &mut Vec<Part>, text: &str) {
    match parts.last_mut() {
        Some(Part::Text(last)) => last.push_str(text),
        _ => parts.push(Part::Text(text.to_owned())),
    }
}

/// One output with all these representations. Adds a plain one if there is none.
fn bundle(forms: &[(String, String)]) -> Bundle {
    let mimes: Vec<&str> = forms.iter().map(|(mime, _)| mime.as_str()).collect();
    let plain = Bundle::text(format!("[{}]", mimes.join(", ")));
    forms.iter().fold(plain, |bundle, (mime, content)| bundle.with(mime, content))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(pieces: &[&str]) -> Vec<Part> {
        let mut markers = Markers::default();
        let mut parts: Vec<Part> = pieces.iter().flat_map(|piece| markers.take(piece)).collect();
        parts.extend(markers.rest());
        parts
    }

    fn text(text: &str) -> Part {
        Part::Text(text.into())
    }

    #[test]
    fn text_passes_at_once() {
        assert_eq!(Markers::default().take("50%\r"), [text("50%\r")]);
        assert_eq!(Markers::default().take("a\nb"), [text("a\nb")]);
    }

    #[test]
    fn contents_become_rich_in_order() {
        let html = Bundle::text("[text/html]").with("text/html", "<b>\nx</b>");
        let printed = "a\nEVCXR_BEGIN_CONTENT text/html\n<b>\nx</b>\nEVCXR_END_CONTENT\nb\n";
        let expected = [text("a\n"), Part::Rich(html), text("b\n")];
        assert_eq!(all(&[printed]), expected);
        let joined: String = all(&printed.split_inclusive(|_| true).collect::<Vec<_>>())
            .iter()
            .map(|part| if let Part::Text(text) = part { text.as_str() } else { "!" })
            .collect();
        assert_eq!(joined, "a\n!b\n", "whatever the pieces");
    }

    #[test]
    fn contents_of_the_last_expression_are_forms_of_one_result() {
        let mut markers = Markers::default();
        let print = |mime: &str, content: &str| format!("{BEGIN}{mime}\n{content}\n{END}\n");
        let html = |content: &str| Bundle::text("[text/html]").with("text/html", content);
        assert_eq!(markers.take(&print("text/html", "before")), [Part::Rich(html("before"))]);
        markers.begin_result();
        assert_eq!(markers.take(&print("text/html", "one")), []);
        assert_eq!(markers.take(&print("text/html", "two")), [Part::Rich(html("one"))]);
        assert_eq!(markers.take(&print("text/plain", "2")), []);
        assert_eq!(markers.rest(), [Part::Result(Bundle::text("2").with("text/html", "two"))]);
        assert_eq!(markers.take(&print("text/html", "next")), [Part::Rich(html("next"))]);
    }

    #[test]
    fn what_only_looks_like_a_marker_is_text() {
        assert_eq!(all(&["EVCXR_BEG"]), [text("EVCXR_BEG")]);
        assert_eq!(all(&["x EVCXR_BEGIN_CONTENT a\n"]), [text("x EVCXR_BEGIN_CONTENT a\n")]);
        assert_eq!(all(&["EVCXR_BEGIN_CONTENT a\nb"]), [text("EVCXR_BEGIN_CONTENT a\nb")]);
    }
}
