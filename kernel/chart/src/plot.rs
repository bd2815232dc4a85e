//! The parts that all charts share: title, legend, axes, and the plot area that plotters maps.

use plotters::chart::ChartContext;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use crate::axis::Axis;
use crate::drawing::{AXIS, Align, Backend, Canvas, Drawn, GRID, INK, SOFT, Type, fine};
use crate::font;
use crate::palette::Colour;

const MARGIN: f32 = 16.0;

/// A rectangle of the drawing, in CSS pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Room {
    pub left: f32,
    pub top: f32,
    pub right: f32,
    pub bottom: f32,
}

impl Room {
    /// The card without its margin.
    pub(crate) fn card(canvas: &Canvas<'_>) -> Self {
        let (width, height) = (canvas.width() as f32, canvas.height() as f32);
        Self { left: MARGIN, top: MARGIN, right: width - MARGIN, bottom: height - MARGIN + 2.0 }
    }

    pub(crate) fn width(&self) -> f32 {
        (self.right - self.left).max(1.0)
    }

    pub(crate) fn height(&self) -> f32 {
        (self.bottom - self.top).max(1.0)
    }
}

/// One entry of a legend.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub name: String,
    pub colour: Colour,
    pub sign: Sign,
}

/// The symbol beside a name in a legend; lines and points have the number of their series, which selects the marker.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sign {
    Line { series: usize, marked: bool },
    Point(usize),
    Block,
}

/// Writes title and subtitle at the top of the room; returns the rest of the room.
pub(crate) fn title(canvas: &Canvas<'_>, mut room: Room, title: &str, subtitle: &str) -> Room {
    let lines = if room.height() > 280.0 { 2 } else { 1 };
    for (text, style) in [(title, Type::TITLE), (subtitle, Type::AXIS)] {
        for line in font::wrap(text, style.size, style.weight, room.width(), lines) {
            canvas.text(room.left, room.top + style.size / 2.0, &line, Align::Left, style);
            room.top += style.size * 1.35;
        }
    }
    if room.top > MARGIN {
        room.top += 4.0;
    }
    room
}

/// Writes the legend in rows at the top of the room, above the data and never over it.
pub(crate) fn legend(canvas: &Canvas<'_>, mut room: Room, keys: &[Key]) -> Room {
    const SIGN: f32 = 18.0;
    const GAP: f32 = 20.0;
    const ROW: f32 = 20.0;
    // More rows would leave no room for the data.
    let most_rows = (room.height() * 0.3 / ROW) as usize;
    let style = Type::LABEL;
    let (mut x, mut rows) = (room.left, 0);
    for key in keys.iter().filter(|key| !key.name.is_empty()) {
        let most = (room.width() - SIGN).min(320.0);
        let name = font::fit(&key.name, style.size, style.weight, most);
        let width = SIGN + style.width(&name);
        if rows == 0 || x + width > room.right {
            if rows == most_rows {
                break;
            }
            (x, rows) = (room.left, rows + 1);
        }
        let y = room.top + (rows as f32 - 0.5) * ROW;
        match key.sign {
            Sign::Line { series, marked } => {
                canvas.line(&[(x, y), (x + 13.0, y)], key.colour, 2.0);
                if marked {
                    canvas.marker(x + 6.5, y, 3.5, series, key.colour);
                }
            }
            Sign::Point(series) => canvas.marker(x + 6.5, y, 4.0, series, key.colour),
            Sign::Block => canvas.block(x, y - 5.5, 11.0, 11.0, key.colour),
        }
        canvas.text(x + SIGN, y, &name, Align::Left, style);
        x += width + GAP;
    }
    if rows > 0 {
        room.top += rows as f32 * ROW + 4.0;
    }
    room
}

/// Writes a text, such as "no values yet", in the middle of the plot area.
pub(crate) fn nothing(canvas: &Canvas<'_>, room: Room, text: &str) {
    let (x, y) = ((room.left + room.right) / 2.0, (room.top + room.bottom) / 2.0);
    canvas.text(x, y, text, Align::Centre, Type::LABEL.in_colour(SOFT));
}

pub(crate) type Plane<'a, 'b> =
    ChartContext<'a, Backend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// plotters' form of a colour.
pub(crate) fn rgb(colour: Colour) -> RGBColor {
    RGBColor(colour.0, colour.1, colour.2)
}

pub(crate) fn stroke(colour: Colour, width: f32) -> ShapeStyle {
    rgb(colour).stroke_width(fine(width) as u32)
}

/// An error bar from `low` to `high` with caps; `half` is half a cap's width on the x axis.
pub(crate) fn error_bar(
    plane: &mut Plane<'_, '_>,
    (at, low, high): (f64, f64, f64),
    half: f64,
    style: ShapeStyle,
) -> Drawn {
    let cap = |y: f64| [(at - half, y), (at + half, y)];
    for line in [[(at, low), (at, high)], cap(low), cap(high)] {
        plane.draw_series(LineSeries::new(line, style))?;
    }
    Ok(())
}

/// Draws axes into the room and calls `data` to draw between them. Returns the room between the axes.
pub(crate) fn axes(
    canvas: &Canvas<'_>,
    mut room: Room,
    x: &Axis,
    y: &Axis,
    data: impl FnOnce(&mut Plane<'_, '_>) -> Drawn,
) -> Room {
    let style = Type::AXIS;
    if !y.name.is_empty() {
        let name = font::fit(&y.name, style.size, style.weight, room.width());
        canvas.text(room.left, room.top + 6.0, &name, Align::Left, style);
        room.top += 20.0;
    }
    // Half a label is above the highest tick.
    room.top += 5.0;
    let mut inner = room;
    inner.left += gutter(y);
    // The last label on the x axis is centred at the right end of it.
    inner.right -= x.labels.last().map_or(0.0, |label| style.width(label) / 2.0).max(4.0);
    inner.bottom -= if x.labels.is_empty() { 4.0 } else { 24.0 };
    if !x.name.is_empty() {
        let name = font::fit(&x.name, style.size, style.weight, room.width());
        let middle = (inner.left + inner.right) / 2.0;
        let half = style.width(&name) / 2.0;
        let middle = middle.clamp(room.left + half, (room.right - half).max(room.left + half));
        canvas.text(middle, room.bottom - 6.0, &name, Align::Centre, style);
        inner.bottom -= 18.0;
    }
    inner.right = inner.right.max(inner.left + 10.0);
    inner.bottom = inner.bottom.max(inner.top + 10.0);

    let rows = spacing(y, inner.height(), 16.0);
    let drawn = mapped(canvas, inner, x, y, |plane| {
        for tick in y.ticks.iter().step_by(rows) {
            let line = [(x.low, *tick), (x.high, *tick)];
            let colour = if *tick == 0.0 && !y.log { AXIS } else { GRID };
            plane.draw_series(LineSeries::new(line, stroke(colour, 1.0)))?;
        }
        let base = [(x.low, y.low), (x.high, y.low)];
        plane.draw_series(LineSeries::new(base, stroke(AXIS, 1.0)))?;
        data(plane)
    });
    debug_assert!(drawn.is_ok(), "{drawn:?}");

    let across = |at: f64| inner.left + share(at, x) * inner.width();
    let every = spacing(x, inner.width(), x.label_width(|label| style.width(label)) + 8.0);
    for (tick, label) in x.ticks.iter().zip(&x.labels).step_by(every) {
        let at = across(*tick);
        canvas.line(&[(at, inner.bottom), (at, inner.bottom + 4.0)], AXIS, 1.0);
        canvas.text(at, inner.bottom + 14.0, label, Align::Centre, style);
    }
    for (tick, label) in y.ticks.iter().zip(&y.labels).step_by(rows) {
        let at = inner.bottom - share(*tick, y) * inner.height();
        canvas.text(inner.left - 8.0, at, label, Align::Right, style);
    }
    inner
}

/// The width of the labels of a y axis.
fn gutter(y: &Axis) -> f32 {
    y.label_width(|label| Type::AXIS.width(label)) + 8.0
}

/// The width between the axes in a room, if the x axis has no labels.
pub(crate) fn inner_width(room: Room, y: &Axis) -> f32 {
    (room.width() - gutter(y) - 4.0).max(10.0)
}

/// The interval of labelled ticks if a label needs `least` pixels of `length`.
fn spacing(axis: &Axis, length: f32, least: f32) -> usize {
    let between = match axis.ticks.as_slice() {
        [first, second, ..] => (share(*second, axis) - share(*first, axis)) * length,
        _ => return 1,
    };
    (least / between.max(0.1)).ceil().max(1.0) as usize
}

/// The position of a value on an axis, from 0 to 1.
pub(crate) fn share(value: f64, axis: &Axis) -> f32 {
    ((value - axis.low) / (axis.high - axis.low)) as f32
}

/// Lets plotters draw into the room, in the coordinates of the two axes.
fn mapped(
    canvas: &Canvas<'_>,
    room: Room,
    x: &Axis,
    y: &Axis,
    data: impl FnOnce(&mut Plane<'_, '_>) -> Drawn,
) -> Drawn {
    let area = canvas
        .area
        .clone()
        .shrink((fine(room.left), fine(room.top)), (fine(room.width()), fine(room.height())));
    let mut plane = ChartBuilder::on(&area).build_cartesian_2d(x.low..x.high, y.low..y.high)?;
    data(&mut plane)
}

/// The more readable text colour on a fill.
pub(crate) fn ink_on(fill: Colour) -> Colour {
    if fill.luminance() > 0.35 { INK } else { Colour(0xff, 0xff, 0xff) }
}
