//! Paths that the drawings are put together from.
//!
//! Coordinates grow to the right and downwards. A path is `None` where it would have no extent; what
//! draws it then draws nothing.

use tiny_skia::{Path, PathBuilder, Rect, Transform};

/// A point, x then y.
pub(crate) type Point = (f32, f32);

/// The length of a vector. Not `f32::hypot`, whose last bit depends on the C library: drawings are
/// the same everywhere.
pub(crate) fn distance(x: f32, y: f32) -> f32 {
    let (x, y) = (f64::from(x), f64::from(y));
    (x * x + y * y).sqrt() as f32
}

/// An ellipse around `centre`, turned by `degrees` clockwise.
pub(crate) fn ellipse(centre: Point, radii: Point, degrees: f32) -> Option<Path> {
    let frame = Rect::from_ltrb(-radii.0, -radii.1, radii.0, radii.1)?;
    let turned = Transform::from_rotate(degrees).post_translate(centre.0, centre.1);
    PathBuilder::from_oval(frame)?.transform(turned)
}

/// A circle.
pub(crate) fn circle(centre: Point, radius: f32) -> Option<Path> {
    PathBuilder::from_circle(centre.0, centre.1, radius)
}

/// A closed polygon.
pub(crate) fn polygon(points: &[Point]) -> Option<Path> {
    let mut builder = PathBuilder::new();
    let (first, others) = points.split_first()?;
    builder.move_to(first.0, first.1);
    for point in others {
        builder.line_to(point.0, point.1);
    }
    builder.close();
    builder.finish()
}

/// A smooth closed curve through the points (Catmull-Rom, written as Bézier curves).
pub(crate) fn blob(points: &[Point]) -> Option<Path> {
    let count = points.len();
    if count < 3 {
        return None;
    }
    let at = |index: usize| points[index % count];
    let mut builder = PathBuilder::new();
    builder.move_to(at(0).0, at(0).1);
    for index in 0..count {
        add_curve(&mut builder, at(index + count - 1), at(index), at(index + 1), at(index + 2));
    }
    builder.close();
    builder.finish()
}

/// A smooth open curve through the points.
pub(crate) fn curve(points: &[Point]) -> Option<Path> {
    let (first, last) = (*points.first()?, *points.last()?);
    let at = |index: usize| points.get(index).copied().unwrap_or(last);
    let mut builder = PathBuilder::new();
    builder.move_to(first.0, first.1);
    for index in 0..points.len() - 1 {
        add_curve(
            &mut builder,
            at(index.saturating_sub(1)),
            at(index),
            at(index + 1),
            at(index + 2),
        );
    }
    builder.finish()
}

/// One segment of a Catmull-Rom curve, from `from` to `to`.
fn add_curve(builder: &mut PathBuilder, before: Point, from: Point, to: Point, after: Point) {
    let lead = (from.0 + (to.0 - before.0) / 6.0, from.1 + (to.1 - before.1) / 6.0);
    let trail = (to.0 - (after.0 - from.0) / 6.0, to.1 - (after.1 - from.1) / 6.0);
    builder.cubic_to(lead.0, lead.1, trail.0, trail.1, to.0, to.1);
}

/// A triangle whose two sides from `left` and `right` to the tip bulge by `bulge` of their length;
/// positive values bulge outwards.
pub(crate) fn spike(left: Point, tip: Point, right: Point, bulge: f32) -> Option<Path> {
    let centre = ((left.0 + tip.0 + right.0) / 3.0, (left.1 + tip.1 + right.1) / 3.0);
    let bulged = |a: Point, b: Point| {
        let middle = ((a.0 + b.0) / 2.0, (a.1 + b.1) / 2.0);
        (
            middle.0 + (middle.0 - centre.0) * bulge * 2.0,
            middle.1 + (middle.1 - centre.1) * bulge * 2.0,
        )
    };
    let (up, down) = (bulged(left, tip), bulged(tip, right));
    let mut builder = PathBuilder::new();
    builder.move_to(left.0, left.1);
    builder.quad_to(up.0, up.1, tip.0, tip.1);
    builder.quad_to(down.0, down.1, right.0, right.1);
    builder.close();
    builder.finish()
}

/// A band along a smooth curve through the points, `from` wide at its start and `to` wide at its rounded end.
pub(crate) fn band(points: &[Point], from: f32, to: f32) -> Option<Path> {
    let last = points.len().checked_sub(1).filter(|last| *last > 0)?;
    let mut left = Vec::with_capacity(points.len() * 2 + 1);
    let mut right = Vec::with_capacity(points.len());
    for (index, point) in points.iter().enumerate() {
        let (before, after) = (points[index.saturating_sub(1)], points[(index + 1).min(last)]);
        let (dx, dy) = (after.0 - before.0, after.1 - before.1);
        let length = distance(dx, dy).max(1e-6);
        let half = (from + (to - from) * index as f32 / last as f32) / 2.0;
        let (nx, ny) = (-dy / length * half, dx / length * half);
        left.push((point.0 + nx, point.1 + ny));
        right.push((point.0 - nx, point.1 - ny));
        if index == last {
            left.push((point.0 + dx / length * half, point.1 + dy / length * half));
        }
    }
    left.extend(right.into_iter().rev());
    blob(&left)
}
