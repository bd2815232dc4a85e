//! The font that ships with the project, measured.
//!
//! What Roboto lacks is taken from the fonts of a page or machine, which are not known here: its width is estimated.

use std::sync::LazyLock;

use ab_glyph::{Font, FontRef};
use plotters::style::{FontStyle, register_font};
use unicode_width::UnicodeWidthChar;

pub(crate) const REGULAR: &[u8] = include_bytes!("../fonts/Roboto-Regular.ttf");
pub(crate) const MEDIUM: &[u8] = include_bytes!("../fonts/Roboto-Medium.ttf");

static FACES: LazyLock<[FontRef<'static>; 2]> = LazyLock::new(|| {
    [REGULAR, MEDIUM].map(|bytes| {
        FontRef::try_from_slice(bytes).expect("the font files in this crate are valid")
    })
});

/// Makes the font known to plotters, for charts drawn with it directly: as `sans-serif`, `serif`,
/// `monospace` and `Roboto`, regular and bold. Doing so twice is harmless.
pub fn install_font() {
    for family in ["sans-serif", "serif", "monospace", "Roboto"] {
        for (style, bytes) in [(FontStyle::Normal, REGULAR), (FontStyle::Bold, MEDIUM)] {
            // Only fails for bytes that are no font; those here are tested.
            let _ = register_font(family, style, bytes);
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weight {
    Regular,
    Medium,
}

/// Width of one line of text, in pixels.
pub(crate) fn width(text: &str, size: f32, weight: Weight) -> f32 {
    let face = &FACES[weight as usize];
    let units = face.units_per_em().unwrap_or(2048.0);
    let em = |c: char| {
        let c = if c.is_control() { ' ' } else { c };
        match (face.glyph_id(c), c.width()) {
            (glyph, _) if glyph.0 != 0 => face.h_advance_unscaled(glyph) / units,
            // Chinese characters fill a square; emoji are a little wider.
            (_, Some(2)) if u32::from(c) < 0x1_f000 => 1.0,
            (_, Some(2)) => 1.25,
            (_, None | Some(0)) => 0.0,
            _ => 0.65,
        }
    };
    text.chars().map(em).sum::<f32>() * size
}

/// By how much capital letters are higher than small ones, in pixels.
pub(crate) fn above_small_letters(size: f32) -> f32 {
    (0.711 - 0.528) * size
}

/// The text, shortened with an ellipsis where it is wider than `room` pixels.
pub(crate) fn fit(text: &str, size: f32, weight: Weight, room: f32) -> String {
    if width(text, size, weight) <= room {
        return text.to_owned();
    }
    let mut left = room - width("…", size, weight);
    let mut kept = String::new();
    for (i, c) in text.char_indices() {
        left -= width(&text[i..i + c.len_utf8()], size, weight);
        if left < 0.0 {
            break;
        }
        kept.push(c);
    }
    if kept.is_empty() { kept } else { format!("{}…", kept.trim_end()) }
}

/// The text on up to `lines` lines of at most `room` pixels, broken at spaces and between Chinese characters, the last
/// shortened.
pub(crate) fn wrap(text: &str, size: f32, weight: Weight, room: f32, lines: usize) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut pieces = pieces(text).into_iter().peekable();
    while pieces.peek().is_some() {
        let mut line = String::new();
        let last = out.len() + 1 == lines;
        while let Some((spaced, piece)) = pieces.peek() {
            let space = if *spaced && !line.is_empty() { " " } else { "" };
            let longer = format!("{line}{space}{piece}");
            if !last && !line.is_empty() && width(&longer, size, weight) > room {
                break;
            }
            line = longer;
            pieces.next();
            // Beyond the room there is nothing to see, and names may be very long.
            if last && width(&line, size, weight) > room {
                break;
            }
        }
        out.push(fit(&line, size, weight, room));
        if last {
            break;
        }
    }
    out
}

/// The parts between which a line may be broken, each with whether a space is before it.
fn pieces(text: &str) -> Vec<(bool, &str)> {
    let mut pieces = Vec::new();
    for word in text.split_whitespace() {
        let mut start = 0;
        let mut wide_before = false;
        for (i, c) in word.char_indices() {
            let wide = c.width() == Some(2);
            if i > 0 && wide && wide_before {
                pieces.push((start == 0, &word[start..i]));
                start = i;
            }
            wide_before = wide;
        }
        pieces.push((start == 0, &word[start..]));
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_equally_wide() {
        let one = width("1", 12.0, Weight::Regular);
        assert!(one > 5.0);
        assert!("023456789".chars().all(|c| width(&c.to_string(), 12.0, Weight::Regular) == one));
    }

    #[test]
    fn other_scripts_are_measured_too() {
        let wide = |text: &str| width(text, 10.0, Weight::Regular);
        assert_eq!(wide("混淆矩阵"), 40.0);
        assert!((10.0..30.0).contains(&wide("قطة")), "{}", wide("قطة"));
        // A combining accent takes no room of its own.
        assert_eq!(wide("\u{95e}\u{94d}"), wide("\u{95e}"));
        let lines = wrap("模型在验证集上的混淆矩阵", 10.0, Weight::Regular, 65.0, 2);
        assert_eq!(lines, ["模型在验证集", "上的混淆矩阵"]);
    }

    #[test]
    fn text_is_cut_to_its_room() {
        let long = "supercalifragilistic".repeat(10);
        let cut = fit(&long, 12.0, Weight::Regular, 100.0);
        assert!(cut.ends_with('…') && width(&cut, 12.0, Weight::Regular) <= 100.0);
        assert_eq!(fit("short", 12.0, Weight::Regular, 100.0), "short");
        let lines = wrap("one two three four five six seven", 12.0, Weight::Regular, 60.0, 2);
        assert_eq!(lines.len(), 2);
        assert!(lines.iter().all(|line| width(line, 12.0, Weight::Regular) <= 60.0));
    }

    #[test]
    fn plotters_finds_the_font() {
        install_font();
        let size = plotters::style::FontDesc::new(
            plotters::style::FontFamily::SansSerif,
            20.0,
            FontStyle::Bold,
        )
        .box_size("Loss");
        assert!(size.is_ok_and(|(w, h)| w > 10 && h > 10));
    }
}
