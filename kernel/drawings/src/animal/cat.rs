//! The head and the tail of a cat.

use super::{Look, coat, eye, pointed_ear, tongue};
use crate::colour::Colour;
use crate::dice::Dice;
use crate::figure::Figure;
use crate::shape::{Point, blob, curve, ellipse, spike};

/// A cat's head from the front.
pub(super) fn head(look: &Look, dice: &mut Dice) -> Figure {
    let mut figure = Figure::default();
    let (wide, high) = (dice.between(0.98, 1.2), dice.between(0.82, 0.98));
    // When the face turns, its features move and the ears hardly do.
    let (shift_x, shift_y) = (look.turn * 0.2 * wide, look.nod * 0.1);

    ears(&mut figure, look, (wide, high), dice);
    let cheek = dice.between(0.0, 0.12);
    let outline = blob(&[
        (0.0, -high),
        (wide * 0.62, -high * 0.78),
        (wide * 0.98, -high * 0.1),
        (wide * (0.86 + cheek), high * 0.48),
        (wide * 0.42, high * 0.92),
        (0.0, high),
        (-wide * 0.42, high * 0.92),
        (-wide * (0.86 + cheek), high * 0.48),
        (-wide * 0.98, -high * 0.1),
        (-wide * 0.62, -high * 0.78),
    ]);
    let spots = look.coat.spots((0.0, 0.0), (wide, high), dice);
    figure.spotted_part(outline, look.palette.fur, spots);

    let slant = dice.between(-18.0, 5.0);
    let size = dice.between(0.17, 0.27);
    let narrow = dice.between(0.65, 1.05);
    let slit = dice.chance(0.6);
    let (apart, eyes_at) = (dice.between(0.36, 0.48) * wide, shift_y - dice.between(0.02, 0.18));
    for side in [-1.0, 1.0] {
        let centre = (side * apart + shift_x, eyes_at);
        eye(&mut figure, look, centre, (size, size * narrow), -side * slant, slit);
    }
    muzzle(&mut figure, look, (shift_x * 1.35, shift_y + 0.28), dice);
    figure
}

/// Two upright ears, each with a small rotation.
fn ears(figure: &mut Figure, look: &Look, (wide, high): Point, dice: &mut Dice) {
    let apart = dice.between(30.0, 46.0);
    let length = dice.between(1.5, 1.85);
    let (near, far) = (dice.between(8.0, 16.0), dice.between(62.0, 76.0));
    let bulge = dice.between(0.0, 0.22);
    let on_head = |degrees: f32| {
        let (sine, cosine) = degrees.to_radians().sin_cos();
        (sine * wide * 0.96, -cosine * high * 0.96)
    };
    for side in [-1.0_f32, 1.0] {
        let (sine, cosine) = (apart + dice.around_zero(9.0)).to_radians().sin_cos();
        let reach = length * (1.0 + dice.around_zero(0.06));
        let tip = (side * sine * reach * wide.sqrt(), -cosine * reach);
        let (inner, outer) = (on_head(side * near), on_head(side * far));
        pointed_ear(figure, look, inner, tip, outer, bulge);
    }
}

/// Nose, mouth and whiskers around the nose at `(x, y)`.
fn muzzle(figure: &mut Figure, look: &Look, (x, y): Point, dice: &mut Dice) {
    let line = look.line_colour();
    if dice.chance(0.45) {
        let pale = look.palette.fur.mix(Colour::WHITE, 0.45);
        for side in [-1.0, 1.0] {
            figure.fill(ellipse((x + side * 0.17, y + 0.2), (0.22, 0.17), 0.0), pale);
        }
    }
    if dice.chance(0.12) {
        figure.fill(tongue((x, y + 0.24), 0.09, 0.2), look.palette.flesh);
    }
    let half = dice.between(0.08, 0.13);
    let nose =
        spike((x - half, y - half * 0.7), (x, y + half * 0.9), (x + half, y - half * 0.7), 0.15);
    let nose_colour = if dice.chance(0.5) { look.palette.flesh } else { line };
    let smile = dice.between(0.16, 0.26);
    figure.line(curve(&[(x, y), (x, y + 0.16)]), line, 0.045);
    for side in [-1.0, 1.0] {
        let mouth =
            [(x, y + 0.16), (x + side * smile * 0.55, y + 0.26), (x + side * smile, y + 0.17)];
        figure.line(curve(&mouth), line, 0.045);
    }
    figure.fill(nose, nose_colour);

    let (length, width) = (dice.between(0.75, 1.15), dice.between(0.02, 0.04));
    let droop = dice.between(-0.1, 0.2);
    let colour = if dice.chance(0.5) { look.palette.ink } else { line };
    for side in [-1.0, 1.0] {
        for step in [-1.0, 0.0, 1.0] {
            let from = (x + side * 0.3, y + 0.16 + step * 0.07);
            let to = (from.0 + side * length, from.1 + step * 0.2 + droop);
            figure.line(coat::hair(from, to, dice.around_zero(0.05)), colour, width);
        }
    }
}
