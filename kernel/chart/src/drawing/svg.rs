use std::fmt::Write;

use benchbook_display::escape;

use super::{Drawing, Shape};
use crate::font::Step;
use crate::palette::Colour;

/// Outlines of letters are written in whole twentieths of a pixel: as good as unrounded, and short.
const TEXT_UNIT: f32 = 20.0;

pub(super) fn write(drawing: &Drawing, title: &str, description: &str) -> String {
    let (width, height) = (drawing.width, drawing.height);
    let (title, description) = (clean(title), clean(description));
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{title}\" \
         style=\"max-width:100%;height:auto\">\n\
         <title>{title}</title>\n<desc>{description}</desc>\n"
    );
    for shape in &drawing.shapes {
        // Writing to a String cannot fail.
        let _ = shape_to(&mut out, shape);
    }
    out.push_str("</svg>\n");
    out
}

/// Escaped, and without the control characters that XML does not allow at all.
fn clean(text: &str) -> String {
    let allowed = |c: &char| match c {
        '\n' | '\t' => true,
        '\u{fffe}' | '\u{ffff}' => false,
        c => !c.is_control(),
    };
    escape(&text.chars().filter(allowed).collect::<String>())
}

fn shape_to(out: &mut String, shape: &Shape) -> std::fmt::Result {
    match shape {
        Shape::Line { points, colour, alpha, width } => {
            out.push_str("<polyline fill=\"none\" stroke=\"");
            paint(out, "stroke", *colour, *alpha)?;
            write!(out, " stroke-width=\"{}\" stroke-linejoin=\"round\" points=\"", short(*width))?;
            coordinates(out, points)?;
            out.push_str("\"/>\n");
        }
        Shape::Fill { points, colour, alpha } => {
            out.push_str("<polygon fill=\"");
            paint(out, "fill", *colour, *alpha)?;
            out.push_str(" points=\"");
            coordinates(out, points)?;
            out.push_str("\"/>\n");
        }
        Shape::Block { x, y, width, height, radius, colour } => writeln!(
            out,
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"{}\" fill=\"{}\"/>",
            short(*x),
            short(*y),
            short(*width),
            short(*height),
            short(*radius),
            colour.hex()
        )?,
        Shape::Disc { x, y, radius, colour, alpha } => {
            out.push_str("<circle fill=\"");
            paint(out, "fill", *colour, *alpha)?;
            writeln!(out, " cx=\"{}\" cy=\"{}\" r=\"{}\"/>", short(*x), short(*y), short(*radius))?;
        }
        Shape::Text { x, y, turned, outline, colour, .. } => {
            if outline.is_empty() {
                return Ok(());
            }
            write!(out, "<path transform=\"translate({} {})", short(*x), short(*y))?;
            out.push_str(if *turned { "rotate(-90)" } else { "" });
            write!(out, "scale(.05)\" fill=\"{}\" d=\"", colour.hex())?;
            letters(out, outline)?;
            out.push_str("\"/>\n");
        }
    }
    Ok(())
}

/// Ends an attribute that was begun with the colour, and adds the opacity where there is one.
fn paint(out: &mut String, kind: &str, colour: Colour, alpha: f32) -> std::fmt::Result {
    write!(out, "{}\"", colour.hex())?;
    if alpha < 1.0 {
        write!(out, " {kind}-opacity=\"{}\"", short(alpha))?;
    }
    Ok(())
}

/// A number with at most two decimals and no trailing zeros.
fn short(value: f32) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn coordinates(out: &mut String, points: &[(f32, f32)]) -> std::fmt::Result {
    for (i, (x, y)) in points.iter().enumerate() {
        let gap = if i > 0 { " " } else { "" };
        write!(out, "{gap}{},{}", short(*x), short(*y))?;
    }
    Ok(())
}

/// Relative path steps in whole units; each starts from the rounded end of the one before, so
/// that rounding never adds up. A curve that goes on smoothly, as most do, is written without its
/// control point: that halves the picture.
fn letters(out: &mut String, outline: &[Step]) -> std::fmt::Result {
    let unit = |x: f32, y: f32| ((x * TEXT_UNIT).round() as i32, (y * TEXT_UNIT).round() as i32);
    let (mut x, mut y) = (0, 0);
    let mut start = (0, 0);
    // Where the control point of the last curve is for the reader of the SVG.
    let mut control: Option<(i32, i32)> = None;
    for step in outline {
        let via = control.take();
        match *step {
            Step::Move(to_x, to_y) => {
                let to = unit(to_x, to_y);
                out.push('m');
                pair(out, to.0 - x, to.1 - y)?;
                (x, y) = to;
                start = to;
            }
            Step::Line(to_x, to_y) => {
                let to = unit(to_x, to_y);
                match (to.0 - x, to.1 - y) {
                    (0, 0) => {}
                    (dx, 0) => write!(out, "h{dx}")?,
                    (0, dy) => write!(out, "v{dy}")?,
                    (dx, dy) => {
                        out.push('l');
                        pair(out, dx, dy)?;
                    }
                }
                (x, y) = to;
            }
            Step::Curve(via_x, via_y, to_x, to_y) => {
                let (wanted, to) = (unit(via_x, via_y), unit(to_x, to_y));
                let mirrored = via.map(|(cx, cy)| (2 * x - cx, 2 * y - cy));
                let near = |(cx, cy): &(i32, i32)| {
                    (cx - wanted.0).abs() <= 1 && (cy - wanted.1).abs() <= 1
                };
                match mirrored.filter(near) {
                    Some(mirrored) => {
                        out.push('t');
                        control = Some(mirrored);
                    }
                    None => {
                        out.push('q');
                        pair(out, wanted.0 - x, wanted.1 - y)?;
                        out.push_str(if to.0 >= x { " " } else { "" });
                        control = Some(wanted);
                    }
                }
                pair(out, to.0 - x, to.1 - y)?;
                (x, y) = to;
            }
            Step::Close => {
                out.push('z');
                (x, y) = start;
            }
        }
    }
    Ok(())
}

fn pair(out: &mut String, x: i32, y: i32) -> std::fmt::Result {
    let gap = if y < 0 { "" } else { " " };
    write!(out, "{x}{gap}{y}")
}
