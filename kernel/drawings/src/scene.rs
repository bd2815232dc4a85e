//! What lies behind an animal.

use tiny_skia::{
    FillRule, GradientStop, LinearGradient, Paint, Path, Pixmap, RadialGradient, Rect, SpreadMode,
    Transform,
};

use crate::colour::{Colour, Palette, shaded};
use crate::dice::Dice;
use crate::figure::round_stroke;
use crate::shape::{Point, blob, circle, curve, distance, ellipse, polygon};

/// Fills the canvas with a background and adds a few objects that are not animals.
pub(crate) fn draw(canvas: &mut Pixmap, palette: &Palette, dice: &mut Dice) {
    let (wide, high) = (canvas.width() as f32, canvas.height() as f32);
    canvas.fill(palette.ground.with_opacity(1.0));
    match dice.count(0, 8) {
        0 => {}
        1 | 2 => gradient(canvas, palette, dice),
        3 => stripes(canvas, palette, dice),
        4 => dots(canvas, palette, dice),
        5 => blobs(canvas, palette, dice),
        6 => hills(canvas, palette, dice),
        7 => room(canvas, palette, dice),
        _ => waves(canvas, palette, dice),
    }
    for _ in 0..dice.count(0, 5) {
        let centre = (dice.between(0.0, wide), dice.between(0.0, high));
        let size = dice.between(0.05, 0.2) * wide.min(high);
        let colour = palette.ground.mix(Colour::any(dice), dice.between(0.25, 0.7));
        thing(canvas, centre, size, colour, dice);
    }
}

fn fill(canvas: &mut Pixmap, path: Option<Path>, paint: &Paint<'_>) {
    if let Some(path) = path {
        canvas.fill_path(&path, paint, FillRule::Winding, Transform::identity(), None);
    }
}

/// One small object. Triangles, drops and curves are among the shapes, so that no single shape
/// indicates an animal.
fn thing(canvas: &mut Pixmap, (x, y): Point, size: f32, colour: Colour, dice: &mut Dice) {
    let degrees = dice.between(0.0, 360.0);
    let around = |turn: f32, reach: f32| {
        let (sine, cosine) = (degrees + turn).to_radians().sin_cos();
        (x + cosine * reach * size, y + sine * reach * size)
    };
    let path = match dice.count(0, 6) {
        0 => circle((x, y), size),
        1 => polygon(&[around(0.0, 1.2), around(130.0, 1.0), around(230.0, 1.0)]),
        2 => polygon(&[
            around(45.0, 1.0),
            around(135.0, 1.0),
            around(225.0, 1.0),
            around(315.0, 1.0),
        ]),
        3 => ellipse((x, y), (size, size * 0.45), degrees),
        4 => blob(&[around(0.0, 1.6), around(110.0, 0.8), around(180.0, 0.9), around(250.0, 0.8)]),
        5 => {
            let star: Vec<Point> = (0..10)
                .map(|corner| around(corner as f32 * 36.0, if corner % 2 == 0 { 1.2 } else { 0.5 }))
                .collect();
            polygon(&star)
        }
        _ => {
            let line =
                [around(180.0, 1.5), around(90.0, 0.5), around(0.0, 1.0), around(-40.0, 1.6)];
            if let Some(path) = curve(&line) {
                let stroke = round_stroke(size * 0.3);
                canvas.stroke_path(&path, &colour.paint(), &stroke, Transform::identity(), None);
            }
            None
        }
    };
    fill(canvas, path, &colour.paint());
}

fn gradient(canvas: &mut Pixmap, palette: &Palette, dice: &mut Dice) {
    let (wide, high) = (canvas.width() as f32, canvas.height() as f32);
    let stops = vec![
        GradientStop::new(0.0, palette.ground_detail.with_opacity(1.0)),
        GradientStop::new(1.0, palette.ground.with_opacity(1.0)),
    ];
    let mut anywhere = || (dice.between(0.0, wide), dice.between(0.0, high));
    let (from, to) = (anywhere(), anywhere());
    let shader = if dice.chance(0.5) {
        LinearGradient::new(from.into(), to.into(), stops, SpreadMode::Pad, Transform::identity())
    } else {
        let radius = wide.max(high) * dice.between(0.5, 1.0);
        let centre = from.into();
        RadialGradient::new(centre, centre, radius, stops, SpreadMode::Pad, Transform::identity())
    };
    if let (Some(shader), Some(all)) = (shader, Rect::from_xywh(0.0, 0.0, wide, high)) {
        canvas.fill_rect(all, &shaded(shader), Transform::identity(), None);
    }
}

fn stripes(canvas: &mut Pixmap, palette: &Palette, dice: &mut Dice) {
    let (wide, high) = (canvas.width() as f32, canvas.height() as f32);
    let reach = distance(wide, high);
    let period = wide.min(high) * dice.between(0.08, 0.35);
    let share = dice.between(0.25, 0.7);
    let turned =
        Transform::from_rotate(dice.between(0.0, 180.0)).post_translate(wide / 2.0, high / 2.0);
    let crossed = dice.chance(0.3);
    let mut at = -reach;
    while at < reach {
        if let Some(bar) = Rect::from_xywh(at, -reach, period * share, reach * 2.0) {
            let paint = palette.ground_detail.glaze(if crossed { 0.6 } else { 1.0 });
            canvas.fill_rect(bar, &paint, turned, None);
            if crossed {
                canvas.fill_rect(bar, &paint, turned.pre_rotate(90.0), None);
            }
        }
        at += period;
    }
}

fn dots(canvas: &mut Pixmap, palette: &Palette, dice: &mut Dice) {
    let (wide, high) = (canvas.width() as f32, canvas.height() as f32);
    let period = wide.min(high) * dice.between(0.1, 0.3);
    let radius = period * dice.between(0.15, 0.38);
    let start = (dice.between(0.0, period), dice.between(0.0, period));
    let (columns, rows) = ((wide / period) as usize + 2, (high / period) as usize + 2);
    for row in 0..rows {
        let shift = if row % 2 == 0 { 0.0 } else { period / 2.0 };
        for column in 0..columns {
            let x = start.0 + shift + (column as f32 - 1.0) * period;
            let y = start.1 + (row as f32 - 1.0) * period;
            fill(canvas, circle((x, y), radius), &palette.ground_detail.paint());
        }
    }
}

fn blobs(canvas: &mut Pixmap, palette: &Palette, dice: &mut Dice) {
    let (wide, high) = (canvas.width() as f32, canvas.height() as f32);
    for _ in 0..dice.count(4, 12) {
        let centre = (dice.between(0.0, wide), dice.between(0.0, high));
        let radii = (dice.between(0.08, 0.35) * wide, dice.between(0.08, 0.35) * high);
        let colour = palette.ground.mix(palette.ground_detail, dice.between(0.3, 1.0));
        let paint = colour.glaze(dice.between(0.3, 0.9));
        fill(canvas, ellipse(centre, radii, dice.between(0.0, 180.0)), &paint);
    }
}

fn hills(canvas: &mut Pixmap, palette: &Palette, dice: &mut Dice) {
    let (wide, high) = (canvas.width() as f32, canvas.height() as f32);
    if dice.chance(0.5) {
        let sun = (dice.between(0.0, wide), dice.between(0.0, high * 0.4));
        let radius = wide.min(high) * dice.between(0.06, 0.16);
        fill(canvas, circle(sun, radius), &palette.ground_detail.glaze(0.7));
    }
    let mut horizon = high * dice.between(0.35, 0.7);
    for layer in 0..dice.count(1, 3) {
        let colour = palette.ground_detail.mix(palette.ground, 0.3 * layer as f32);
        let (left, middle, right) = (
            horizon + dice.around_zero(high * 0.15),
            horizon + dice.around_zero(high * 0.2),
            horizon + dice.around_zero(high * 0.15),
        );
        let land = blob(&[
            (-wide * 0.5, left),
            (0.0, left),
            (wide * 0.5, middle),
            (wide, right),
            (wide * 1.5, right),
            (wide * 1.5, high * 2.0),
            (-wide * 0.5, high * 2.0),
        ]);
        fill(canvas, land, &colour.paint());
        horizon += high * dice.between(0.08, 0.2);
    }
}

fn room(canvas: &mut Pixmap, palette: &Palette, dice: &mut Dice) {
    let (wide, high) = (canvas.width() as f32, canvas.height() as f32);
    let floor = high * dice.between(0.55, 0.85);
    let tilt = dice.around_zero(high * 0.1);
    let corners = [(0.0, floor - tilt), (wide, floor + tilt), (wide, high), (0.0, high)];
    fill(canvas, polygon(&corners), &palette.ground_detail.paint());
    if dice.chance(0.6) {
        let (left, top) = (dice.between(0.0, wide * 0.7), dice.between(0.0, floor * 0.4));
        let (right, bottom) =
            (left + wide * dice.between(0.15, 0.35), top + floor * dice.between(0.25, 0.5));
        let pane = polygon(&[(left, top), (right, top), (right, bottom), (left, bottom)]);
        let colour = palette.ground.mix(Colour::any(dice), 0.4);
        fill(canvas, pane.clone(), &colour.paint());
        if let Some(pane) = pane {
            let stroke = round_stroke(wide * 0.02);
            let paint = palette.ground_detail.paint();
            canvas.stroke_path(&pane, &paint, &stroke, Transform::identity(), None);
        }
    }
}

fn waves(canvas: &mut Pixmap, palette: &Palette, dice: &mut Dice) {
    let (wide, high) = (canvas.width() as f32, canvas.height() as f32);
    let side = wide.min(high);
    let (period, swing) = (side * dice.between(0.12, 0.3), side * dice.between(0.02, 0.1));
    let stroke = round_stroke(period * dice.between(0.15, 0.5));
    let reach = distance(wide, high);
    let length = side * dice.between(0.2, 0.6);
    let turned =
        Transform::from_rotate(dice.between(0.0, 180.0)).post_translate(wide / 2.0, high / 2.0);
    let lines = (2.0 * reach / period) as usize;
    for line in 0..lines {
        let y = -reach + line as f32 * period;
        let steps = (4.0 * reach / length) as usize;
        let points: Vec<Point> = (0..=steps)
            .map(|step| {
                let up = if step % 2 == 0 { swing } else { -swing };
                (-reach + step as f32 * length / 2.0, y + up)
            })
            .collect();
        if let Some(path) = curve(&points) {
            canvas.stroke_path(&path, &palette.ground_detail.paint(), &stroke, turned, None);
        }
    }
}
