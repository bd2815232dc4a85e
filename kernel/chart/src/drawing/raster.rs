use tiny_skia::{
    FillRule, LineCap, LineJoin, Paint, Path, PathBuilder, Pixmap, Rect, Stroke, Transform,
};

use super::{Drawing, Shape};
use crate::error::{Error, Result};
use crate::font::Step;
use crate::palette::Colour;

/// Longest side of a picture, in pixels.
const LONGEST: f32 = 16384.0;

pub(super) fn render(drawing: &Drawing, scale: f32) -> Result<Pixmap> {
    let (width, height) = (drawing.width, drawing.height);
    let refused = || Error::Size { width, height, scale };
    let side = |pixels: u32| {
        let scaled = (pixels as f32 * scale).round();
        (1.0..=LONGEST).contains(&scaled).then_some(scaled as u32)
    };
    let (w, h) = (side(width).ok_or_else(refused)?, side(height).ok_or_else(refused)?);
    let mut pixmap = Pixmap::new(w, h).ok_or_else(refused)?;
    let scale = Transform::from_scale(scale, scale);
    for shape in &drawing.shapes {
        paint(&mut pixmap, shape, scale);
    }
    Ok(pixmap)
}

fn ink(colour: Colour, alpha: f32) -> Paint<'static> {
    let mut paint = Paint { anti_alias: true, ..Paint::default() };
    paint.set_color_rgba8(colour.0, colour.1, colour.2, (alpha * 255.0).round() as u8);
    paint
}

fn fill(pixmap: &mut Pixmap, path: Option<Path>, paint: &Paint<'_>, transform: Transform) {
    // A path without any extent has nothing to show.
    if let Some(path) = path {
        pixmap.fill_path(&path, paint, FillRule::Winding, transform, None);
    }
}

fn paint(pixmap: &mut Pixmap, shape: &Shape, scale: Transform) {
    match shape {
        Shape::Line { points, colour, alpha, width } => {
            let stroke = Stroke {
                width: *width,
                line_join: LineJoin::Round,
                line_cap: LineCap::Butt,
                ..Stroke::default()
            };
            if let Some(path) = joined(points, false) {
                pixmap.stroke_path(&path, &ink(*colour, *alpha), &stroke, scale, None);
            }
        }
        Shape::Fill { points, colour, alpha } => {
            fill(pixmap, joined(points, true), &ink(*colour, *alpha), scale);
        }
        Shape::Block { x, y, width, height, radius, colour } => {
            let path = rounded(*x, *y, *width, *height, *radius);
            fill(pixmap, path, &ink(*colour, 1.0), scale);
        }
        Shape::Disc { x, y, radius, colour, alpha } => {
            let path = PathBuilder::from_circle(*x, *y, *radius);
            fill(pixmap, path, &ink(*colour, *alpha), scale);
        }
        Shape::Text { x, y, turned, outline, colour, .. } => {
            let turn = if *turned { Transform::from_rotate(-90.0) } else { Transform::identity() };
            let place = turn.post_translate(*x, *y).post_concat(scale);
            fill(pixmap, letters(outline), &ink(*colour, 1.0), place);
        }
    }
}

fn joined(points: &[(f32, f32)], closed: bool) -> Option<Path> {
    let mut path = PathBuilder::new();
    for (i, (x, y)) in points.iter().enumerate() {
        if i == 0 {
            path.move_to(*x, *y);
        } else {
            path.line_to(*x, *y);
        }
    }
    if closed {
        path.close();
    }
    path.finish()
}

fn rounded(x: f32, y: f32, width: f32, height: f32, radius: f32) -> Option<Path> {
    let r = radius.min(width / 2.0).min(height / 2.0).max(0.0);
    if r == 0.0 {
        return Rect::from_xywh(x, y, width, height).map(PathBuilder::from_rect);
    }
    let (right, bottom) = (x + width, y + height);
    let mut path = PathBuilder::new();
    path.move_to(x + r, y);
    path.line_to(right - r, y);
    path.quad_to(right, y, right, y + r);
    path.line_to(right, bottom - r);
    path.quad_to(right, bottom, right - r, bottom);
    path.line_to(x + r, bottom);
    path.quad_to(x, bottom, x, bottom - r);
    path.line_to(x, y + r);
    path.quad_to(x, y, x + r, y);
    path.close();
    path.finish()
}

fn letters(outline: &[Step]) -> Option<Path> {
    let mut path = PathBuilder::new();
    for step in outline {
        match *step {
            Step::Move(x, y) => path.move_to(x, y),
            Step::Line(x, y) => path.line_to(x, y),
            Step::Curve(via_x, via_y, x, y) => path.quad_to(via_x, via_y, x, y),
            Step::Close => path.close(),
        }
    }
    path.finish()
}
