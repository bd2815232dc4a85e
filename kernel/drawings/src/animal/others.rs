//! Animals of one pose each, whose silhouettes have little in common.

use super::{Look, eye};
use crate::dice::Dice;
use crate::figure::Figure;
use crate::shape::{Point, band, blob, circle, curve, ellipse, polygon};

/// A round head with long upright ears side by side, and two front teeth.
pub(super) fn rabbit(look: &Look, dice: &mut Dice) -> Figure {
    let mut figure = Figure::default();
    let (wide, high) = (dice.between(0.72, 0.9), dice.between(0.78, 0.92));
    let length = dice.between(1.0, 1.35);
    for side in [-1.0, 1.0] {
        let lean = side * dice.between(4.0, 20.0);
        let centre = (side * wide * 0.42 + lean * 0.012, -high * 0.75 - length * 0.75);
        let radii = (dice.between(0.2, 0.28), length);
        figure.part(ellipse(centre, radii, lean), look.palette.fur);
        figure.fill(ellipse(centre, (radii.0 * 0.5, length * 0.75), lean), look.palette.inner_ear);
    }
    let spots = look.coat.spots((0.0, 0.0), (wide, high), dice);
    figure.spotted_part(ellipse((0.0, 0.0), (wide, high), 0.0), look.palette.fur, spots);
    face(&mut figure, look, (wide * 0.45, -0.15), dice);
    let tooth = dice.between(0.1, 0.15);
    for side in [-1.0, 1.0] {
        let x = side * tooth * 0.5;
        let half = tooth * 0.5;
        let corners = [(x - half, 0.5), (x + half, 0.5), (x + half, 0.8), (x - half, 0.8)];
        figure.part(polygon(&corners), look.palette.fur.countered(0.85));
    }
    figure
}

/// A round head with small round ears at its upper corners and a large pale muzzle.
pub(super) fn bear(look: &Look, dice: &mut Dice) -> Figure {
    let mut figure = Figure::default();
    let (wide, high) = (dice.between(0.95, 1.1), dice.between(0.85, 0.98));
    let ear = dice.between(0.3, 0.4);
    for side in [-1.0, 1.0] {
        let centre = (side * wide * 0.76, -high * 0.78);
        figure.part(circle(centre, ear), look.palette.fur);
        figure.fill(circle(centre, ear * 0.55), look.palette.inner_ear);
    }
    let spots = look.coat.spots((0.0, 0.0), (wide, high), dice);
    figure.spotted_part(ellipse((0.0, 0.0), (wide, high), 0.0), look.palette.fur, spots);
    let muzzle = (dice.between(0.42, 0.52), dice.between(0.34, 0.42));
    figure.part(ellipse((0.0, 0.4), muzzle, 0.0), look.palette.fur.countered(0.35));
    face(&mut figure, look, (wide * 0.42, -0.2), dice);
    figure
}

/// Two eyes at `(±x, y)` of a face from the front, nose and mouth.
fn face(figure: &mut Figure, look: &Look, (x, y): Point, dice: &mut Dice) {
    let shift = look.turn * 0.12;
    let size = dice.between(0.12, 0.18);
    for side in [-1.0, 1.0] {
        eye(figure, look, (side * x + shift, y), (size, size), 0.0, false);
    }
    let nose = dice.between(0.1, 0.16);
    figure.fill(ellipse((shift, 0.25), (nose, nose * 0.75), 0.0), look.line_colour());
    figure.line(curve(&[(shift, 0.3), (shift, 0.5)]), look.line_colour(), 0.05);
}

/// A body that narrows to a forked tail, with a fin above and the coat's scales.
pub(super) fn fish(look: &Look, dice: &mut Dice) -> Figure {
    let mut figure = Figure::default();
    let (long, high) = (dice.between(1.1, 1.35), dice.between(0.5, 0.7));
    let fork = dice.between(0.5, 0.75);
    let root = -long * 0.8;
    let tail = [(root, 0.0), (root - 0.75, -fork), (root - 0.45, 0.0), (root - 0.75, fork)];
    figure.part(polygon(&tail), look.palette.markings);
    let fin = dice.between(0.3, 0.5);
    let above = [(-0.5, -high * 0.75), (-0.2, -high - fin), (0.45, -high * 0.8)];
    figure.part(polygon(&above), look.palette.markings);
    let outline = blob(&[
        (long, 0.05),
        (long * 0.6, -high * 0.75),
        (0.0, -high),
        (-long * 0.65, -high * 0.4),
        (-long, 0.0),
        (-long * 0.65, high * 0.4),
        (0.0, high),
        (long * 0.6, high * 0.75),
    ]);
    let spots = look.coat.spots((0.0, 0.0), (long, high), dice);
    figure.spotted_part(outline, look.palette.fur, spots);
    let gill = long * 0.35;
    let bow = [(gill, -high * 0.6), (gill - 0.18, 0.0), (gill, high * 0.6)];
    figure.line(curve(&bow), look.line_colour(), 0.05);
    let side = [(0.15, 0.15), (-0.35, 0.1), (-0.2, 0.42)];
    figure.part(polygon(&side), look.palette.markings);
    let size = dice.between(0.12, 0.18);
    eye(&mut figure, look, (long * 0.62, -high * 0.25), (size, size), 0.0, false);
    figure
}

/// A round body on two thin legs, with a head, a beak, a wing and a tail.
pub(super) fn bird(look: &Look, dice: &mut Dice) -> Figure {
    let mut figure = Figure::default();
    let (long, high) = (dice.between(0.85, 1.0), dice.between(0.58, 0.72));
    let legs = dice.between(0.5, 0.8);
    for x in [-0.12, 0.22] {
        let foot = high + legs;
        figure.line(curve(&[(x, high * 0.7), (x, foot)]), look.line_colour(), 0.08);
        let toes = [(x - 0.12, foot + 0.06), (x, foot), (x + 0.26, foot + 0.04)];
        figure.line(curve(&toes), look.line_colour(), 0.07);
    }
    let lift = dice.between(-0.35, 0.15);
    let tail = [(-long * 0.6, -0.2), (-long - 0.65, lift - 0.15), (-long - 0.6, lift + 0.2)];
    figure.part(polygon(&tail), look.palette.markings);
    let head = (long * 0.75, -high * 0.95);
    let radius = dice.between(0.38, 0.46);
    let beak = dice.between(0.35, 0.6);
    let tip = (head.0 + radius + beak, head.1 + 0.08);
    let corners =
        [(head.0 + radius * 0.7, head.1 - 0.18), tip, (head.0 + radius * 0.7, head.1 + 0.22)];
    figure.part(polygon(&corners), look.palette.accent);
    let spots = look.coat.spots((0.0, 0.0), (long, high), dice);
    figure.spotted_part(ellipse((0.0, 0.0), (long, high), -14.0), look.palette.fur, spots);
    figure.part(circle(head, radius), look.palette.fur);
    let droop = dice.between(0.0, 25.0);
    let wing = ellipse((-0.2, 0.02), (long * 0.6, high * 0.45), droop);
    figure.part(wing, look.palette.markings);
    let size = dice.between(0.09, 0.13);
    eye(&mut figure, look, (head.0 + 0.1, head.1 - 0.06), (size, size), 0.0, false);
    figure
}

/// Four wings around a thin body with two feelers.
pub(super) fn butterfly(look: &Look, dice: &mut Dice) -> Figure {
    let mut figure = Figure::default();
    let upper = (dice.between(0.62, 0.78), dice.between(0.42, 0.55));
    let lower = (dice.between(0.45, 0.56), dice.between(0.36, 0.46));
    let tilt = dice.between(20.0, 42.0);
    let spread = dice.between(0.4, 0.6);
    for side in [-1.0, 1.0] {
        let below = (side * 0.5, 0.42);
        figure.part(ellipse(below, lower, side * 40.0), look.palette.markings);
        let above = (side * 0.68, -0.4);
        let spots = look.coat.spots(above, upper, dice);
        figure.spotted_part(ellipse(above, upper, -side * tilt), look.palette.fur, spots);
        figure.fill(circle((side * 0.8, -0.45), 0.16), look.palette.accent);
        let feeler = [(0.0, -0.62), (side * spread * 0.5, -1.0), (side * spread, -1.2)];
        figure.line(curve(&feeler), look.line_colour(), 0.06);
        figure.fill(circle((side * spread, -1.2), 0.07), look.line_colour());
    }
    let thick = dice.between(0.1, 0.15);
    figure.part(ellipse((0.0, 0.05), (thick, 0.72), 0.0), look.palette.fur.countered(0.5));
    figure
}

/// A spiral shell on a long foot, with two horns.
pub(super) fn snail(look: &Look, dice: &mut Dice) -> Figure {
    let mut figure = Figure::default();
    let house = dice.between(0.7, 0.85);
    let neck = dice.between(0.35, 0.65);
    let foot = [(-1.25, 0.72), (0.0, 0.72), (0.75, 0.62), (1.05, 0.3), (1.15, 0.35 - neck)];
    figure.part(band(&foot, 0.2, 0.42), look.palette.fur);
    for x in [0.98, 1.3] {
        let tip = (x + dice.between(0.0, 0.2), -neck - dice.between(0.25, 0.5));
        figure.line(curve(&[(x, 0.2 - neck), tip]), look.line_colour(), 0.07);
        figure.fill(circle(tip, 0.09), look.line_colour());
    }
    let centre = (-0.2, 0.7 - house);
    let spots = look.coat.spots(centre, (house, house), dice);
    figure.spotted_part(circle(centre, house), look.palette.markings, spots);
    let turns = dice.between(2.0, 2.8);
    let points: Vec<Point> = (0..=24)
        .map(|step| {
            let share = step as f32 / 24.0;
            let (sine, cosine) = (share * turns * std::f32::consts::TAU).sin_cos();
            (centre.0 + cosine * house * share * 0.92, centre.1 + sine * house * share * 0.92)
        })
        .collect();
    figure.line(curve(&points), look.palette.markings.countered(0.7), 0.09);
    figure
}

/// A thick wavy band with a head and a forked tongue.
pub(super) fn snake(look: &Look, dice: &mut Dice) -> Figure {
    let mut figure = Figure::default();
    let (waves, height) = (dice.between(1.4, 2.1), dice.between(0.3, 0.5));
    let points: Vec<Point> = (0..=16)
        .map(|step| {
            let along = step as f32 / 16.0;
            (along * 3.0 - 1.5, height * (along * waves * std::f32::consts::TAU).sin())
        })
        .collect();
    let (x, y) = points[16];
    let fork = [(x + 0.45, y), (x + 0.68, y - 0.1), (x + 0.55, y), (x + 0.68, y + 0.1)];
    figure.line(curve(&[(x, y), (x + 0.55, y)]), look.palette.flesh, 0.06);
    figure.line(curve(&fork), look.palette.flesh, 0.05);
    let thick = dice.between(0.3, 0.4);
    let spots = look.coat.spots((0.0, 0.0), (1.5, height + 0.2), dice);
    figure.spotted_part(band(&points, 0.1, thick), look.palette.fur, spots);
    figure.part(ellipse((x + 0.12, y), (0.36, thick * 0.72), 0.0), look.palette.fur);
    let size = dice.between(0.07, 0.1);
    eye(&mut figure, look, (x + 0.18, y - 0.08), (size, size), 0.0, true);
    figure
}

/// A domed shell on short legs, with a head on a neck and a small tail.
pub(super) fn turtle(look: &Look, dice: &mut Dice) -> Figure {
    let mut figure = Figure::default();
    let (long, high) = (dice.between(1.05, 1.25), dice.between(0.75, 0.95));
    let skin = look.palette.markings;
    let raised = dice.between(0.0, 0.5);
    let neck = [(long * 0.7, 0.0), (long + 0.2, -0.1), (long + 0.4, -0.2 - raised)];
    figure.part(band(&neck, 0.4, 0.3), skin);
    let head = (long + 0.5, -0.25 - raised);
    figure.part(ellipse(head, (0.34, 0.26), 0.0), skin);
    let stub = [(-long * 0.9, 0.05), (-long - 0.35, 0.25), (-long * 0.8, 0.2)];
    figure.part(polygon(&stub), skin);
    let leg = dice.between(0.35, 0.5);
    for x in [-0.62, 0.62] {
        let stand = [(x * long, 0.0), (x * long * 1.05, leg)];
        figure.part(band(&stand, 0.42, 0.34), skin);
    }
    let outline = blob(&[
        (-long, 0.12),
        (-long * 0.85, -high * 0.5),
        (-long * 0.4, -high * 0.95),
        (long * 0.4, -high * 0.95),
        (long * 0.85, -high * 0.5),
        (long, 0.12),
        (long * 0.4, 0.22),
        (-long * 0.4, 0.22),
    ]);
    let spots = look.coat.spots((0.0, -high * 0.4), (long, high * 0.6), dice);
    figure.spotted_part(outline, look.palette.fur, spots);
    for x in [-0.35, 0.0, 0.35] {
        let seam = [(x * long, -high * 0.9), (x * long * 1.5, 0.12)];
        figure.line(curve(&seam), look.line_colour(), 0.05);
    }
    let size = dice.between(0.06, 0.09);
    eye(&mut figure, look, (head.0 + 0.1, head.1 - 0.06), (size, size), 0.0, false);
    figure
}
