//! A drawing as a list of shapes, written as SVG or as PNG.
//!
//! Both forms come from the same list, so they look the same. `pen` lets plotters draw into it.

mod pen;
mod raster;
mod svg;

use crate::error::{Error, Result};
use crate::font::{self, Step, Weight};
use crate::palette::Colour;

pub(crate) use pen::{FINE, Pen};

/// The card that every drawing stands on. It is opaque, because JupyterLab's dark theme does not
/// tell an SVG that it is dark: dark text on a light card can be read on any page.
const CARD: Colour = Colour(0xfd, 0xfd, 0xfb);
const CARD_EDGE: Colour = Colour(0xd9, 0xd9, 0xd4);

/// Text that matters.
pub(crate) const INK: Colour = Colour(0x22, 0x25, 0x2a);
/// Labels and numbers of axes.
pub(crate) const SOFT: Colour = Colour(0x55, 0x5b, 0x63);
/// Axis lines.
pub(crate) const AXIS: Colour = Colour(0x8a, 0x8f, 0x96);
/// Grid lines.
pub(crate) const GRID: Colour = Colour(0xe4, 0xe4, 0xe0);

/// A finished drawing.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawing {
    width: u32,
    height: u32,
    shapes: Vec<Shape>,
}

#[derive(Clone, Debug, PartialEq)]
enum Shape {
    /// An open line through points.
    Line { points: Vec<(f32, f32)>, colour: Colour, alpha: f32, width: f32 },
    /// A filled polygon.
    Fill { points: Vec<(f32, f32)>, colour: Colour, alpha: f32 },
    /// A filled rectangle with round corners.
    Block { x: f32, y: f32, width: f32, height: f32, radius: f32, colour: Colour },
    /// A filled disc.
    Disc { x: f32, y: f32, radius: f32, colour: Colour, alpha: f32 },
    /// One line of text as outlines, its baseline starting at (x, y).
    Text { x: f32, y: f32, turned: bool, text: String, outline: Vec<Step>, colour: Colour },
}

/// Where a text stands relative to its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Centre,
    Right,
}

/// How a line of text looks.
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

impl Drawing {
    /// An empty card of this size, in CSS pixels, with round corners.
    pub(crate) fn card(width: u32, height: u32) -> Self {
        Self::sheet(width, height, 8.0)
    }

    /// An empty card with corners of this radius.
    pub(crate) fn sheet(width: u32, height: u32, radius: f32) -> Self {
        let mut sheet = Self { width, height, shapes: Vec::new() };
        let (w, h) = (width as f32, height as f32);
        sheet.block(0.0, 0.0, w, h, radius, CARD_EDGE);
        sheet.block(1.0, 1.0, w - 2.0, h - 2.0, (radius - 1.0).max(0.0), CARD);
        sheet
    }

    /// Width in CSS pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in CSS pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The texts in the drawing, in drawing order. They are drawn as shapes, so a search in the SVG
    /// would not find them.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.shapes.iter().filter_map(|shape| match shape {
            Shape::Text { text, .. } => Some(text.as_str()),
            _ => None,
        })
    }

    /// The drawing as SVG with an accessible name and a description. It has no ids, no style
    /// sheet and no text elements, so several can stand in one page and none needs a font.
    pub fn svg(&self, title: &str, description: &str) -> String {
        svg::write(self, title, description)
    }

    /// The drawing as a PNG file of `scale` times its size in pixels.
    ///
    /// # Errors
    /// [`Error::Size`] when a side would have no pixel or more than 16384.
    pub fn png(&self, scale: f32) -> Result<Vec<u8>> {
        self.pixmap(scale)?.encode_png().map_err(|error| Error::Encode(error.to_string()))
    }

    /// The drawing's pixels, transparent outside the card's round corners.
    pub(crate) fn pixmap(&self, scale: f32) -> Result<tiny_skia::Pixmap> {
        raster::render(self, scale)
    }

    pub(crate) fn block(
        &mut self,
        x: f32,
        y: f32,
        width: f32,
        height: f32,
        radius: f32,
        colour: Colour,
    ) {
        self.shapes.push(Shape::Block { x, y, width, height, radius, colour });
    }

    pub(crate) fn line(&mut self, points: Vec<(f32, f32)>, colour: Colour, width: f32) {
        self.shapes.push(Shape::Line { points, colour, alpha: 1.0, width });
    }

    /// A line of text; `y` is the middle of its capital letters.
    pub(crate) fn text(&mut self, x: f32, y: f32, text: &str, align: Align, style: Type) {
        let shift = match align {
            Align::Left => 0.0,
            Align::Centre => style.width(text) / 2.0,
            Align::Right => style.width(text),
        };
        self.shapes.push(Shape::Text {
            x: x - shift,
            y: y + font::cap_height(style.size) / 2.0,
            turned: false,
            text: text.to_owned(),
            outline: font::outline(text, style.size, style.weight),
            colour: style.colour,
        });
    }

    /// A line of text that runs upwards from `y`, centred on `x`.
    pub(crate) fn text_upward(&mut self, x: f32, y: f32, text: &str, style: Type) {
        self.shapes.push(Shape::Text {
            x: x + font::cap_height(style.size) / 2.0,
            y,
            turned: true,
            text: text.to_owned(),
            outline: font::outline(text, style.size, style.weight),
            colour: style.colour,
        });
    }

    /// A small sign for the series number `index`: disc, square, triangle, diamond, in turn, so
    /// that colour is not the only difference.
    pub(crate) fn marker(&mut self, x: f32, y: f32, radius: f32, index: usize, colour: Colour) {
        let r = radius;
        let points = match index % 4 {
            0 => {
                self.shapes.push(Shape::Disc { x, y, radius, colour, alpha: 1.0 });
                return;
            }
            1 => {
                let h = r * 0.9;
                vec![(x - h, y - h), (x + h, y - h), (x + h, y + h), (x - h, y + h)]
            }
            2 => vec![(x, y - 1.2 * r), (x + 1.15 * r, y + 0.85 * r), (x - 1.15 * r, y + 0.85 * r)],
            _ => vec![(x, y - 1.3 * r), (x + 1.3 * r, y), (x, y + 1.3 * r), (x - 1.3 * r, y)],
        };
        self.shapes.push(Shape::Fill { points, colour, alpha: 1.0 });
    }

    /// The rectangles that texts cover: text, left, top, right, bottom.
    #[cfg(test)]
    pub(crate) fn text_boxes(&self) -> Vec<(&str, [f32; 4])> {
        let place = |shape| match shape {
            &Shape::Text { x, y, turned, ref text, ref outline, .. } if !outline.is_empty() => {
                let mut sides = [f32::MAX, f32::MAX, f32::MIN, f32::MIN];
                for step in outline {
                    if let Step::Move(a, b) | Step::Line(a, b) | Step::Curve(_, _, a, b) = *step {
                        let (a, b) = if turned { (b, -a) } else { (a, b) };
                        sides = [
                            sides[0].min(x + a),
                            sides[1].min(y + b),
                            sides[2].max(x + a),
                            sides[3].max(y + b),
                        ];
                    }
                }
                Some((text.as_str(), sides))
            }
            _ => None,
        };
        self.shapes.iter().filter_map(place).collect()
    }
}
