//! Rich output in evcxr's own way: an `evcxr_display` method prints its content between two lines.
//!
//! Many crates have such methods. Everything else that is printed passes through at once, partial
//! lines too; only a line that begins like the marker is held until it is told apart.

use benchbook_display::Bundle;

const BEGIN: &str = "EVCXR_BEGIN_CONTENT ";
const END: &str = "EVCXR_END_CONTENT";

/// What printed text turned out to be.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Part {
    /// Text to pass on.
    Text(String),
    /// A rich output.
    Rich(Bundle),
}

/// Tells contents from other text, piece by piece.
#[derive(Debug, Default)]
pub(super) struct Markers {
    /// The MIME type and the content so far, within a content.
    content: Option<(String, String)>,
    /// The part of the current line that is not passed on yet.
    held: String,
    /// Whether something of the current line has been passed on.
    in_line: bool,
}

impl Markers {
    /// Takes the next piece of what was printed.
    pub(super) fn take(&mut self, text: &str) -> Vec<Part> {
        let mut parts = Vec::new();
        for piece in text.split_inclusive('\n') {
            self.held.push_str(piece);
            let whole = self.held.ends_with('\n');
            if let Some((mime, content)) = &mut self.content {
                if whole {
                    if self.held.trim_end() == END {
                        let bundle = bundle(mime, content.trim_end_matches('\n'));
                        parts.push(Part::Rich(bundle));
                        self.content = None;
                    } else {
                        content.push_str(&self.held);
                    }
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

    /// What is still held, at the end of a cell.
    pub(super) fn rest(&mut self) -> Vec<Part> {
        let unfinished =
            self.content.take().map(|(mime, content)| format!("{BEGIN}{mime}\n{content}"));
        let mut text = unfinished.unwrap_or_default();
        text.push_str(&std::mem::take(&mut self.held));
        self.in_line = false;
        if text.is_empty() { Vec::new() } else { vec![Part::Text(text)] }
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

fn bundle(mime: &str, content: &str) -> Bundle {
    match mime {
        "text/plain" => Bundle::text(content),
        mime => Bundle::text(format!("[{mime}]")).with(mime, content),
    }
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
    fn what_only_looks_like_a_marker_is_text() {
        assert_eq!(all(&["EVCXR_BEG"]), [text("EVCXR_BEG")]);
        assert_eq!(all(&["x EVCXR_BEGIN_CONTENT a\n"]), [text("x EVCXR_BEGIN_CONTENT a\n")]);
        assert_eq!(all(&["EVCXR_BEGIN_CONTENT a\nb"]), [text("EVCXR_BEGIN_CONTENT a\nb")]);
    }
}
