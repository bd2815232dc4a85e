//! `Debug` text of any size, abbreviated as NumPy abbreviates arrays.
//!
//! The text is read while it is written, so that a value of a gigabyte takes neither memory nor, beyond
//! [`MOST_READ`], time. Lists, sets and maps are told apart from structs and tuples, whose parts are all shown.

use std::collections::VecDeque;
use std::fmt::{self, Write};
use std::mem::take;

/// More values than these are abbreviated, as in NumPy and PyTorch.
const MOST_VALUES: u64 = 1000;
/// A longer text is abbreviated, however few values it has.
const MOST_BYTES: usize = 20_000;
/// Elements shown at each end of an abbreviated list.
const EDGE: usize = 3;
/// Characters shown at each end of a string literal that is abbreviated.
const EDGE_OF_STRING: usize = 500;
/// Bytes that are read for the sake of the count and the end: a few seconds' worth.
const MOST_READ: usize = 256 << 20;

/// A value's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Abbreviated {
    /// The text, with `...` for what is left out.
    pub text: String,
    /// How much there is ("3,000,000 values", "150,528 values, 224 × 224 × 3"); `None` where nothing is left out.
    pub left_out: Option<String>,
}

/// Runs `write` and abbreviates what it writes. Up to 1000 values and 20,000 bytes stay as they are; of longer lists
/// and maps the first and last three elements are shown, of long strings the beginning and the end.
pub fn abbreviate(write: impl FnOnce(&mut dyn Write) -> fmt::Result) -> Abbreviated {
    up_to(MOST_READ, write)
}

fn up_to(most: usize, write: impl FnOnce(&mut dyn Write) -> fmt::Result) -> Abbreviated {
    let mut reader = Reader::new(most);
    // An error is the reader's own, which has had enough, or one of the value's `Debug`: the text ends there.
    let _ = write(&mut reader);
    reader.finish()
}

/// What is between two brackets, or outside of all.
#[derive(Default)]
struct Level {
    open: Option<char>,
    /// Whether elements may be left out: not those of structs and tuples.
    list: bool,
    first: Vec<String>,
    last: VecDeque<String>,
    count: u64,
    /// The element that is being read.
    current: String,
    /// The shapes of the lists in the current element; `Err` where they differ.
    inner: Option<Result<Vec<u64>, ()>>,
    /// The shape that all elements so far have.
    shape: Option<Result<Vec<u64>, ()>>,
}

enum State {
    Code,
    /// In a string literal, with the characters so far and whether the next character is escaped.
    Text {
        length: usize,
        end: VecDeque<char>,
        escaped: bool,
    },
    /// After an apostrophe, which begins a character literal or is none.
    Tick,
    /// After an apostrophe and a character.
    Ticked(char),
    /// In an escape of a character literal.
    TickEscape {
        escaped: bool,
    },
}

struct Reader {
    levels: Vec<Level>,
    state: State,
    /// The text as it is, up to [`MOST_BYTES`], and its last bytes if brackets do not match.
    whole: String,
    end: VecDeque<char>,
    bytes: usize,
    values: u64,
    /// A bracket closes what was not opened: the text is not that of a derived `Debug`.
    unmatched: bool,
    most: usize,
    /// More than `most` bytes have come.
    impatient: bool,
}

impl Reader {
    fn new(most: usize) -> Self {
        Self {
            levels: vec![Level::default()],
            state: State::Code,
            whole: String::new(),
            end: VecDeque::new(),
            bytes: 0,
            values: 0,
            unmatched: false,
            most,
            impatient: false,
        }
    }

    fn level(&mut self) -> &mut Level {
        if self.levels.is_empty() {
            self.levels.push(Level::default());
        }
        let last = self.levels.len() - 1;
        &mut self.levels[last]
    }

    fn push(&mut self, c: char) {
        self.level().current.push(c);
    }

    fn read(&mut self, c: char) {
        match &mut self.state {
            State::Code => self.read_code(c),
            State::Text { length, end, escaped } => {
                let closes = c == '"' && !*escaped;
                *escaped = c == '\\' && !*escaped;
                *length += usize::from(!closes);
                if closes {
                    let (length, end) = (*length, take(end));
                    self.state = State::Code;
                    self.end_text(length, end);
                } else if *length <= EDGE_OF_STRING {
                    self.push(c);
                } else {
                    end.push_back(c);
                    if end.len() > 2 * EDGE_OF_STRING {
                        end.pop_front();
                    }
                }
            }
            State::Tick if c == '\\' => {
                self.state = State::TickEscape { escaped: true };
                self.push(c);
            }
            State::Tick => self.state = State::Ticked(c),
            State::Ticked(before) => {
                let before = *before;
                self.state = State::Code;
                if c == '\'' {
                    self.push(before);
                    self.push(c);
                } else {
                    self.read_code(before);
                    self.read(c);
                }
            }
            State::TickEscape { escaped } => {
                let closes = c == '\'' && !*escaped;
                *escaped = c == '\\' && !*escaped;
                self.push(c);
                if closes {
                    self.state = State::Code;
                }
            }
        }
    }

    fn end_text(&mut self, length: usize, mut end: VecDeque<char>) {
        if end.len() > EDGE_OF_STRING {
            end.drain(..end.len() - EDGE_OF_STRING);
            let left_out = length - 2 * EDGE_OF_STRING;
            let _ =
                write!(self.level().current, "... {} more characters ...", commas(left_out as u64));
        }
        self.level().current.extend(end);
        self.push('"');
    }

    fn read_code(&mut self, c: char) {
        match c {
            '[' | '{' | '(' => {
                let before = self.level().current.trim_end();
                let named = before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '>');
                let list = c == '[' || (c == '{' && !named);
                self.levels.push(Level { open: Some(c), list, ..Level::default() });
            }
            ']' | '}' | ')' => self.close(c),
            ',' if self.level().list => self.end_element(),
            '"' => {
                self.push(c);
                self.state = State::Text { length: 0, end: VecDeque::new(), escaped: false };
            }
            '\'' => {
                self.push(c);
                self.state = State::Tick;
            }
            c => self.push(c),
        }
    }

    fn end_element(&mut self) {
        let level = self.level();
        let inner = level.inner.take();
        let is_value = inner.is_none();
        let shape = inner.unwrap_or(Ok(Vec::new()));
        level.shape = Some(match level.shape.take() {
            None => shape,
            Some(before) if before == shape => before,
            Some(_) => Err(()),
        });
        level.count += 1;
        if level.first.len() < EDGE {
            let element = take(&mut level.current);
            level.first.push(element);
        } else {
            // The texts of elements that are left out are used again.
            let mut free = match level.last.len() {
                EDGE => level.last.pop_front().unwrap_or_default(),
                _ => String::new(),
            };
            std::mem::swap(&mut free, &mut level.current);
            level.last.push_back(free);
            level.current.clear();
        }
        self.values += u64::from(is_value);
    }

    fn close(&mut self, c: char) {
        let open = match c {
            ']' => '[',
            '}' => '{',
            _ => '(',
        };
        if self.level().open != Some(open) {
            self.unmatched = true;
            self.push(c);
            return;
        }
        let mut tail = String::new();
        if self.level().list {
            if self.level().current.trim().is_empty() {
                tail = take(&mut self.level().current);
            } else {
                self.end_element();
            }
        }
        let Some(level) = self.levels.pop() else { return };
        let shape = level.list.then(|| {
            let elements = level.shape.clone().unwrap_or(Ok(Vec::new()));
            elements.map(|mut shape| {
                shape.insert(0, level.count);
                shape
            })
        });
        let shape = shape.or(level.inner.clone());
        let text = level.text(&tail, true);
        let outer = self.level();
        outer.current.push_str(&text);
        outer.current.push(c);
        outer.inner = match (outer.inner.take(), shape) {
            (None, shape) => shape,
            (before, None) => before,
            (Some(_), Some(_)) => Some(Err(())),
        };
    }

    /// The text and how much was left out.
    fn finish(mut self) -> Abbreviated {
        match take_state(&mut self.state) {
            State::Ticked(c) => self.read_code(c),
            State::Text { length, end, .. } if !self.impatient => self.end_text(length, end),
            _ => {}
        }
        if self.bytes <= MOST_BYTES && self.values <= MOST_VALUES && !self.impatient {
            return Abbreviated { text: self.whole, left_out: None };
        }
        let more = if self.impatient { "more than " } else { "" };
        let bytes = format!("{more}{} bytes", commas(self.bytes as u64));
        if self.unmatched || (self.levels.len() > 1 && !self.impatient) {
            let mut text = cut(&self.whole, MOST_BYTES / 4).to_owned() + "\n...\n";
            text.extend(self.end.iter().skip(self.end.len().saturating_sub(MOST_BYTES / 4)));
            return Abbreviated { text, left_out: Some(bytes) };
        }
        // Only an impatient reader leaves brackets open.
        while self.levels.len() > 1 {
            let Some(level) = self.levels.pop() else { break };
            let close = match level.open {
                Some('[') => ']',
                Some('{') => '}',
                _ => ')',
            };
            let text = level.text("", false);
            self.level().current.push_str(&text);
            self.level().current.push(close);
        }
        let shape = match self.level().inner.take() {
            Some(Ok(shape)) if shape.len() > 1 && !self.impatient => {
                let sides: Vec<String> = shape.iter().map(|side| commas(*side)).collect();
                format!(", {}", sides.join(" × "))
            }
            _ => String::new(),
        };
        let text = take(&mut self.level().current);
        let count = match self.values {
            0..=1 => bytes,
            values => format!("{more}{} values{shape}", commas(values)),
        };
        Abbreviated { text, left_out: Some(count) }
    }
}

impl Level {
    /// The elements between the brackets, abbreviated; `closed` if the last ones are known.
    fn text(&self, tail: &str, closed: bool) -> String {
        let mut text: String = self.open.into_iter().collect();
        if !self.list {
            return text + &self.current;
        }
        let mut elements: Vec<&str> = self.first.iter().map(String::as_str).collect();
        let left_out = !closed || self.count > 2 * EDGE as u64;
        if left_out {
            let before = elements
                .get(1)
                .map_or(" ", |element| &element[..element.len() - element.trim_start().len()]);
            text += &elements.join(",");
            text += if elements.is_empty() { "" } else { "," };
            text += before;
            text += "...";
            if !closed {
                return text;
            }
            text += ",";
            elements.clear();
        }
        elements.extend(self.last.iter().map(String::as_str));
        text += &elements.join(",");
        // `{:#?}` writes a comma after the last element.
        if !tail.is_empty() && self.count > 0 {
            text += ",";
        }
        text + tail
    }
}

fn take_state(state: &mut State) -> State {
    std::mem::replace(state, State::Code)
}

impl Write for Reader {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes += text.len();
        if self.whole.len() < MOST_BYTES {
            self.whole.push_str(cut(text, MOST_BYTES - self.whole.len()));
        }
        for c in text.chars() {
            self.read(c);
        }
        if self.unmatched {
            self.end.extend(text.chars());
            let too_many = self.end.len().saturating_sub(MOST_BYTES / 4);
            self.end.drain(..too_many);
        }
        self.impatient = self.bytes > self.most;
        if self.impatient { Err(fmt::Error) } else { Ok(()) }
    }
}

/// The beginning of a text, of at most so many bytes.
fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

/// 3000000 as `3,000,000`.
pub fn commas(count: u64) -> String {
    let digits = count.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .filter_map(|group| std::str::from_utf8(group).ok())
        .collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;
    use std::collections::{BTreeMap, BTreeSet};
    use std::fmt::Debug;

    fn of(value: &dyn Debug) -> (String, String) {
        let short = abbreviate(|out| write!(out, "{value:?}"));
        (short.text, short.left_out.unwrap_or_default())
    }

    fn pretty(value: &dyn Debug) -> (String, String) {
        let short = abbreviate(|out| write!(out, "{value:#?}"));
        (short.text, short.left_out.unwrap_or_default())
    }

    #[derive(Debug)]
    #[allow(dead_code)]
    struct Net {
        name: &'static str,
        weights: Vec<f32>,
        shape: (u8, u8),
    }

    #[test]
    fn what_is_short_stays_as_it_is() {
        let tricky =
            ("a [ \" , \\", ['[', '\'', ',', '\\'], "it's", BTreeMap::from([("{", vec![1])]));
        let net = Net { name: "]", weights: vec![0.5; 1000], shape: (1, 2) };
        for value in [&tricky as &dyn Debug, &net, &(0..1000).collect::<Vec<_>>(), &()] {
            assert_eq!(of(value), (format!("{value:?}"), String::new()));
            assert_eq!(pretty(value), (format!("{value:#?}"), String::new()));
        }
    }

    /// The abbreviated text, and what it leaves out.
    fn shown((text, left_out): (String, String)) -> String {
        format!("{text}\n{left_out}")
    }

    #[test]
    fn long_lists_show_their_ends_and_their_counts() {
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
        assert_snapshot!(shown(of(&bytes)), @"
        [0, 1, 2, ..., 45, 46, 47]
        3,000,000 values
        ");
        let set: BTreeSet<u32> = (0..1001).collect();
        assert_snapshot!(shown(of(&set)), @"
        {0, 1, 2, ..., 998, 999, 1000}
        1,001 values
        ");
        let map: BTreeMap<u32, char> = (0..2000).map(|i| (i, ',')).collect();
        assert_snapshot!(shown(of(&map)), @"
        {0: ',', 1: ',', 2: ',', ..., 1997: ',', 1998: ',', 1999: ','}
        2,000 values
        ");
        assert_snapshot!(shown(pretty(&vec![1; 1001])), @"
        [
            1,
            1,
            1,
            ...,
            1,
            1,
            1,
        ]
        1,001 values
        ");
    }

    #[test]
    fn nested_lists_show_their_ends_and_their_shape() {
        let (text, count) = of(&vec![vec![vec![0.5_f32; 3]; 224]; 224]);
        assert_eq!(count, "150,528 values, 224 × 224 × 3");
        let row = "[[0.5, 0.5, 0.5], [0.5, 0.5, 0.5], [0.5, 0.5, 0.5], ..., [0.5, 0.5, 0.5], \
                   [0.5, 0.5, 0.5], [0.5, 0.5, 0.5]]";
        assert_eq!(text, format!("[{row}, {row}, {row}, ..., {row}, {row}, {row}]"));
        let ragged: Vec<Vec<u8>> = (0..100).map(|i| vec![7; i]).collect();
        assert_eq!(of(&ragged).1, "4,950 values");
    }

    #[test]
    fn structs_and_tuples_keep_all_their_parts() {
        let net = Net { name: "a, b", weights: vec![0.0; 5000], shape: (1, 2) };
        assert_snapshot!(shown(of(&net)), @r#"
        Net { name: "a, b", weights: [0.0, 0.0, 0.0, ..., 0.0, 0.0, 0.0], shape: (1, 2) }
        5,000 values
        "#);
        let pairs: Vec<(u32, Option<bool>)> = (0..2000).map(|i| (i, Some(true))).collect();
        assert_snapshot!(shown(of(&pairs)), @"
        [(0, Some(true)), (1, Some(true)), (2, Some(true)), ..., (1997, Some(true)), (1998, Some(true)), (1999, Some(true))]
        2,000 values
        ");
    }

    #[test]
    fn long_strings_show_their_ends() {
        let (text, count) = of(&"0123456789".repeat(1_000_000));
        assert!(text.starts_with("\"0123") && text.ends_with("6789\""), "{text}");
        assert!(text.contains("... 9,999,000 more characters ..."), "{text}");
        assert_eq!(count, "10,000,002 bytes");
        let (text, count) = of(&vec!["猫".repeat(10_000); 3]);
        assert!(text.chars().count() < 5000 && text.ends_with("猫\"]"), "{text}");
        assert!(text.contains("... 9,000 more characters ..."), "{text}");
        assert_eq!(count, "3 values");
    }

    #[test]
    fn any_text_is_cut_even_without_matching_brackets() {
        struct Odd;
        impl Debug for Odd {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                (0..100_000).try_for_each(|i| write!(f, "{i}] don't ("))
            }
        }
        let (text, count) = of(&Odd);
        assert!(text.starts_with("0] don't (1]") && text.ends_with("99999] don't ("), "{text}");
        assert!(text.len() < MOST_BYTES && count.ends_with(" bytes"), "{count}");
    }

    #[test]
    fn a_value_without_end_is_given_up() {
        struct Endless;
        impl Debug for Endless {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                // `DebugList` goes on over its iterator after an error.
                f.write_str("[")?;
                (0_u64..).try_for_each(|i| write!(f, "[{i}, {i}], "))
            }
        }
        let short = up_to(100_000, |out| write!(out, "{Endless:?}"));
        assert_eq!(short.text, "[[0, 0], [1, 1], [2, 2], ...]");
        assert_eq!(short.left_out.as_deref(), Some("more than 14,603 values"));
    }
}
