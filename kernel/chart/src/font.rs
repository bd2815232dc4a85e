//! The font that ships with the project, measured and turned into outlines.
//!
//! Charts draw their text as shapes: a front end that lacks the font, forbids style sheets or
//! strips `<style>` from an SVG still shows exactly this picture.

use std::sync::LazyLock;

use ab_glyph::{Font, FontRef, GlyphId, OutlineCurve};
use plotters::style::{FontStyle, register_font};

const REGULAR: &[u8] = include_bytes!("../fonts/Roboto-Regular.ttf");
const MEDIUM: &[u8] = include_bytes!("../fonts/Roboto-Medium.ttf");

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

/// One step of an outline, in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Step {
    Move(f32, f32),
    Line(f32, f32),
    Curve(f32, f32, f32, f32),
    Close,
}

fn face(weight: Weight) -> &'static FontRef<'static> {
    &FACES[weight as usize]
}

fn pixels_per_unit(face: &FontRef<'static>, size: f32) -> f32 {
    size / face.units_per_em().unwrap_or(2048.0)
}

fn glyphs(face: &'static FontRef<'static>, text: &str) -> impl Iterator<Item = GlyphId> {
    // A line break or another control character would be drawn as an empty box.
    text.chars().map(|c| face.glyph_id(if c.is_control() { ' ' } else { c }))
}

/// Width of one line of text, in pixels.
pub(crate) fn width(text: &str, size: f32, weight: Weight) -> f32 {
    let face = face(weight);
    let advance: f32 = glyphs(face, text).map(|glyph| face.h_advance_unscaled(glyph)).sum();
    advance * pixels_per_unit(face, size)
}

/// Height of a capital letter, by which text is centred.
pub(crate) fn cap_height(size: f32) -> f32 {
    0.711 * size
}

/// The outline of one line of text that starts at the origin of the baseline, y pointing down.
pub(crate) fn outline(text: &str, size: f32, weight: Weight) -> Vec<Step> {
    let face = face(weight);
    let scale = pixels_per_unit(face, size);
    let (mut steps, mut pen) = (Vec::new(), 0.0);
    for glyph in glyphs(face, text) {
        if let Some(outline) = face.outline(glyph) {
            let at = |point: ab_glyph::Point| (pen + point.x * scale, -point.y * scale);
            trace(&outline.curves, at, &mut steps);
        }
        pen += face.h_advance_unscaled(glyph) * scale;
    }
    steps
}

/// Joins the loose curves of a glyph to closed contours.
fn trace(
    curves: &[OutlineCurve],
    at: impl Fn(ab_glyph::Point) -> (f32, f32),
    steps: &mut Vec<Step>,
) {
    let mut last = None;
    let begin = |from: (f32, f32), steps: &mut Vec<Step>, last: Option<(f32, f32)>| {
        if last != Some(from) {
            if last.is_some() {
                steps.push(Step::Close);
            }
            steps.push(Step::Move(from.0, from.1));
        }
    };
    for curve in curves {
        match *curve {
            OutlineCurve::Line(from, to) => {
                begin(at(from), steps, last);
                let to = at(to);
                steps.push(Step::Line(to.0, to.1));
                last = Some(to);
            }
            OutlineCurve::Quad(from, control, to) => {
                begin(at(from), steps, last);
                let (control, to) = (at(control), at(to));
                steps.push(Step::Curve(control.0, control.1, to.0, to.1));
                last = Some(to);
            }
            // TrueType outlines have no cubic curves; a straight line would stand in for one.
            OutlineCurve::Cubic(from, _, _, to) => {
                begin(at(from), steps, last);
                let to = at(to);
                steps.push(Step::Line(to.0, to.1));
                last = Some(to);
            }
        }
    }
    if last.is_some() {
        steps.push(Step::Close);
    }
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

/// The text on up to `lines` lines of at most `room` pixels, broken at spaces, the last shortened.
pub(crate) fn wrap(text: &str, size: f32, weight: Weight, room: f32, lines: usize) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut words = text.split_whitespace().peekable();
    while words.peek().is_some() {
        let mut line = String::new();
        let last = out.len() + 1 == lines;
        while let Some(word) = words.peek() {
            let longer =
                if line.is_empty() { (*word).to_owned() } else { format!("{line} {word}") };
            if !last && !line.is_empty() && width(&longer, size, weight) > room {
                break;
            }
            line = longer;
            words.next();
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
    fn a_ring_has_two_closed_contours() {
        let steps = outline("0", 12.0, Weight::Regular);
        assert_eq!(steps.iter().filter(|s| matches!(s, Step::Move(..))).count(), 2);
        assert_eq!(steps.iter().filter(|s| matches!(s, Step::Close)).count(), 2);
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
