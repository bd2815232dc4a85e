//! Printed bytes as text.

/// Decodes bytes to text piece by piece: an incomplete character at the end of a piece waits for
/// its remaining bytes, and invalid UTF-8 becomes `�`.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    cut: Vec<u8>,
}

impl Decoder {
    /// The text of the next bytes.
    pub(super) fn take(&mut self, bytes: &[u8]) -> String {
        let mut all = std::mem::take(&mut self.cut);
        all.extend_from_slice(bytes);
        let mut text = String::with_capacity(all.len());
        let mut rest = all.as_slice();
        loop {
            match std::str::from_utf8(rest) {
                Ok(valid) => {
                    text.push_str(valid);
                    return text;
                }
                Err(error) => {
                    let (valid, after) = rest.split_at(error.valid_up_to());
                    text.push_str(&String::from_utf8_lossy(valid));
                    let Some(length) = error.error_len() else {
                        self.cut = after.to_vec();
                        return text;
                    };
                    text.push(char::REPLACEMENT_CHARACTER);
                    rest = &after[length..];
                }
            }
        }
    }

    /// The replacement for a character that remained incomplete.
    pub(super) fn rest(&mut self) -> &'static str {
        let cut = !std::mem::take(&mut self.cut).is_empty();
        if cut { "\u{fffd}" } else { "" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_may_be_cut_anywhere() {
        let bytes = "a€ü\u{1f980}".as_bytes();
        for cut in 0..bytes.len() {
            let mut decoder = Decoder::default();
            let text = decoder.take(&bytes[..cut]) + &decoder.take(&bytes[cut..]);
            assert_eq!(text, "a€ü\u{1f980}");
            assert_eq!(decoder.rest(), "");
        }
    }

    #[test]
    fn what_is_no_text_is_marked_and_the_rest_kept() {
        let mut decoder = Decoder::default();
        assert_eq!(decoder.take(b"a\xffb\r"), "a\u{fffd}b\r");
        assert_eq!(decoder.take(b"\xe2\x82"), "");
        assert_eq!(decoder.rest(), "\u{fffd}");
    }
}
