//! A drawing: SVG by plotters, and PNG from that SVG by resvg.
//!
//! Texts are real text. Texts are measured, and drawn in a PNG, with the Roboto of this crate. A page uses the first
//! font of [`FONTS`] that it has. Both take the characters of other scripts from the machine's fonts.

mod raster;

use std::io;

use benchbook_display::escape;
use plotters::coord::Shift;
use plotters::element::{Circle, Drawable, PathElement, PointCollection, Polygon, Rectangle};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::error::{Error, Result};
use crate::font::{self, Weight};
use crate::palette::Colour;
use crate::plot::{rgb, stroke};

pub use raster::add_fonts;

/// The fonts of all texts, best first. The fonts after Roboto have a similar width, so that labels fit.
pub(crate) const FONTS: &str = "Roboto, 'Helvetica Neue', Arial, 'Liberation Sans', sans-serif";

/// The background card of every drawing. It is opaque, because an SVG cannot detect JupyterLab's dark theme;
/// dark text on a light card is readable on any page.
pub(crate) const CARD: Colour = Colour(0xfd, 0xfd, 0xfb);
const CARD_EDGE: Colour = Colour(0xd9, 0xd9, 0xd4);

/// Primary text.
pub(crate) const INK: Colour = Colour(0x22, 0x25, 0x2a);
/// Labels and numbers of axes.
pub(crate) const SOFT: Colour = Colour(0x55, 0x5b, 0x63);
/// Axis lines.
pub(crate) const AXIS: Colour = Colour(0x8a, 0x8f, 0x96);
/// Grid lines.
pub(crate) const GRID: Colour = Colour(0xe4, 0xe4, 0xe0);

/// plotters addresses whole pixels. Its surface has this factor more pixels, so that curves
/// are smooth; all sizes, widths and margins for plotters are in this unit.
const FINE: f32 = 10.0;

/// Pixels in the unit of plotters.
pub(crate) fn fine(pixels: f32) -> i32 {
    (pixels * FINE).round() as i32
}

/// A finished drawing.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawing {
    width: u32,
    height: u32,
    /// The radius of the card's corners, in CSS pixels.
    radius: u32,
    /// SVG elements in units of plotters.
    body: String,
}

impl Drawing {
    /// A card of this size, in CSS pixels, with round corners and the drawing of `draw`.
    pub(crate) fn card(width: u32, height: u32, draw: impl FnOnce(&Canvas<'_>)) -> Self {
        Self::sheet(width, height, 8, draw).0
    }

    /// A card with corners of this radius; also returns the result of `draw`.
    pub(crate) fn sheet<R>(
        width: u32,
        height: u32,
        radius: u32,
        draw: impl FnOnce(&Canvas<'_>) -> R,
    ) -> (Self, R) {
        let mut text = String::new();
        let size = (width * FINE as u32, height * FINE as u32);
        let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
        let out = draw(&Canvas { area, width, height });
        // plotters' own root element has neither a name nor a description.
        let body = text.split_once('\n').map_or("", |(_, body)| body);
        let body = body.trim_end().trim_end_matches("</svg>").to_owned();
        (Self { width, height, radius, body }, out)
    }

    /// Width in CSS pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in CSS pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The drawing as SVG with an accessible name and a description. It has no ids and no style sheet, so one page can
    /// contain several drawings.
    pub fn svg(&self, title: &str, description: &str) -> String {
        let Self { width, height, radius, body } = self;
        let (title, description) = (escape(&clean(title)), escape(&clean(description)));
        let unit = FINE as u32;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{title}\" stroke-linejoin=\"round\" \
             style=\"max-width:100%;height:auto\">\n\
             <title>{title}</title>\n<desc>{description}</desc>\n\
             <rect x=\"5\" y=\"5\" width=\"{}\" height=\"{}\" rx=\"{}\" fill=\"{}\" stroke=\"{}\" \
             stroke-width=\"{unit}\"/>\n{body}</svg>\n",
            width * unit,
            height * unit,
            width * unit - unit,
            height * unit - unit,
            radius * unit,
            CARD.hex(),
            CARD_EDGE.hex(),
        )
    }

    /// The drawing as a PNG file of `scale` times its size in pixels.
    ///
    /// # Errors
    /// [`Error::Size`] if a side had no pixel or more than 16384.
    pub fn png(&self, scale: f32) -> Result<Vec<u8>> {
        self.pixmap(scale)?.encode_png().map_err(|error| Error::Encode(error.to_string()))
    }

    /// The drawing's pixels, transparent outside the card's round corners.
    pub(crate) fn pixmap(&self, scale: f32) -> Result<resvg::tiny_skia::Pixmap> {
        raster::render(self, scale)
    }

    /// The rectangles that texts cover: text, left, top, right, bottom.
    #[cfg(test)]
    pub(crate) fn text_boxes(&self) -> Vec<(String, [f32; 4])> {
        raster::text_boxes(self)
    }
}

/// Text without the control characters that XML does not allow; a line break is a space.
fn clean(text: &str) -> String {
    let kept = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().filter(|c| !matches!(c, '\0' | '\u{fffe}' | '\u{ffff}')).map(kept).collect()
}

/// The position of a text relative to its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Centre,
    Right,
}

/// The style of a line of text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Type {
    pub size: f32,
    pub weight: Weight,
    pub colour: Colour,
}

impl Type {
    pub(crate) const TITLE: Self = Self { size: 16.0, weight: Weight::Medium, colour: INK };
    pub(crate) const LABEL: Self = Self { size: 12.5, weight: Weight::Regular, colour: INK };
    pub(crate) const AXIS: Self = Self { size: 12.0, weight: Weight::Regular, colour: SOFT };
    pub(crate) const VALUE: Self = Self { size: 12.0, weight: Weight::Medium, colour: INK };

    pub(crate) fn in_colour(self, colour: Colour) -> Self {
        Self { colour, ..self }
    }

    pub(crate) fn width(self, text: &str) -> f32 {
        font::width(text, self.size, self.weight)
    }
}

pub(crate) type Backend<'a> = SVGBackend<'a>;

/// The result of drawing with plotters. Drawing into a string never fails, but plotters returns a result.
pub(crate) type Drawn = std::result::Result<(), DrawingAreaErrorKind<io::Error>>;

/// The surface of a [`Drawing`] while it is drawn. All positions and sizes are in CSS pixels.
pub(crate) struct Canvas<'a> {
    pub area: DrawingArea<Backend<'a>, Shift>,
    width: u32,
    height: u32,
}

impl<'a> Canvas<'a> {
    /// Width in CSS pixels.
    pub(crate) fn width(&self) -> u32 {
        self.width
    }

    /// Height in CSS pixels.
    pub(crate) fn height(&self) -> u32 {
        self.height
    }

    fn put<E>(&self, element: &E)
    where
        for<'b> &'b E: PointCollection<'b, (i32, i32)>,
        E: Drawable<Backend<'a>>,
    {
        let drawn: Drawn = self.area.draw(element);
        debug_assert!(drawn.is_ok(), "{drawn:?}");
    }

    pub(crate) fn block(&self, x: f32, y: f32, width: f32, height: f32, colour: Colour) {
        let corners = [(fine(x), fine(y)), (fine(x + width), fine(y + height))];
        self.put(&Rectangle::new(corners, rgb(colour).filled()));
    }

    pub(crate) fn line(&self, points: &[(f32, f32)], colour: Colour, width: f32) {
        let points: Vec<(i32, i32)> = points.iter().map(|(x, y)| (fine(*x), fine(*y))).collect();
        self.put(&PathElement::new(points, stroke(colour, width)));
    }

    /// A line of text; `y` is the middle of its capital letters.
    pub(crate) fn text(&self, x: f32, y: f32, text: &str, align: Align, style: Type) {
        let anchor = match align {
            Align::Left => HPos::Left,
            Align::Centre => HPos::Center,
            Align::Right => HPos::Right,
        };
        // plotters centres small letters.
        let y = y + font::above_small_letters(style.size) / 2.0;
        self.write((x, y), text, anchor, style, FontTransform::None);
    }

    /// A line of text that runs upwards from `y`, centred on `x`.
    pub(crate) fn text_upward(&self, x: f32, y: f32, text: &str, style: Type) {
        let x = x + font::above_small_letters(style.size) / 2.0;
        self.write((x, y), text, HPos::Left, style, FontTransform::Rotate270);
    }

    fn write(
        &self,
        (x, y): (f32, f32),
        text: &str,
        anchor: HPos,
        style: Type,
        turn: FontTransform,
    ) {
        let text = clean(text);
        if text.trim().is_empty() {
            return;
        }
        let weight = match style.weight {
            Weight::Regular => FontStyle::Normal,
            Weight::Medium => FontStyle::Bold,
        };
        // plotters' SVG backend writes the size divided by 1.24.
        let size = f64::from(style.size * FINE) * 1.24;
        let style = FontDesc::new(FontFamily::Name(FONTS), size, weight)
            .transform(turn)
            .color(&rgb(style.colour))
            .pos(Pos::new(anchor, VPos::Center));
        let drawn: Drawn = self.area.draw_text(&text, &style, (fine(x), fine(y)));
        debug_assert!(drawn.is_ok(), "{drawn:?}");
    }

    /// A marker for the series number `index`, in the cycle disc, square, triangle, diamond, so
    /// that colour is not the only difference.
    pub(crate) fn marker(&self, x: f32, y: f32, radius: f32, index: usize, colour: Colour) {
        let r = radius;
        let corners = match index % 4 {
            0 => {
                self.put(&Circle::new((fine(x), fine(y)), fine(r), rgb(colour).filled()));
                return;
            }
            1 => {
                let h = r * 0.9;
                vec![(x - h, y - h), (x + h, y - h), (x + h, y + h), (x - h, y + h)]
            }
            2 => vec![(x, y - 1.2 * r), (x + 1.15 * r, y + 0.85 * r), (x - 1.15 * r, y + 0.85 * r)],
            _ => vec![(x, y - 1.3 * r), (x + 1.3 * r, y), (x, y + 1.3 * r), (x - 1.3 * r, y)],
        };
        let corners: Vec<(i32, i32)> = corners.iter().map(|(x, y)| (fine(*x), fine(*y))).collect();
        self.put(&Polygon::new(corners, rgb(colour)));
    }
}
