//! The head of a dog, from the front and from the side.

use super::{Look, eye, tongue};
use crate::colour::Colour;
use crate::dice::Dice;
use crate::figure::Figure;
use crate::shape::{Point, blob, circle, curve, ellipse};

/// A dog's head from the front.
pub(super) fn head(look: &Look, dice: &mut Dice) -> Figure {
    let mut figure = Figure::default();
    let (wide, high) = (dice.between(0.76, 0.95), dice.between(0.88, 1.02));
    let (shift_x, shift_y) = (look.turn * 0.2 * wide, look.nod * 0.1);
    let behind = dice.chance(0.35);
    let ears = Ears::new(dice);
    let ear_colour =
        if dice.chance(0.5) { look.palette.fur.countered(0.22) } else { look.palette.fur };

    if behind {
        ears.draw(&mut figure, (wide, high), ear_colour, dice);
    }
    let jowl = dice.between(0.55, 0.78);
    let outline = blob(&[
        (0.0, -high),
        (wide * 0.66, -high * 0.82),
        (wide, -high * 0.2),
        (wide * 0.9, high * 0.4),
        (wide * jowl, high * 0.95),
        (0.0, high * 1.18),
        (-wide * jowl, high * 0.95),
        (-wide * 0.9, high * 0.4),
        (-wide, -high * 0.2),
        (-wide * 0.66, -high * 0.82),
    ]);
    let spots = look.coat.spots((0.0, 0.0), (wide, high), dice);
    figure.spotted_part(outline, look.palette.fur, spots);
    if !behind {
        ears.draw(&mut figure, (wide, high), ear_colour, dice);
    }

    let size = dice.between(0.13, 0.2);
    let (apart, eyes_at) = (dice.between(0.36, 0.48) * wide, shift_y - dice.between(0.15, 0.32));
    let brows = dice.chance(0.3);
    for side in [-1.0, 1.0] {
        let centre = (side * apart + shift_x, eyes_at);
        eye(&mut figure, look, centre, (size, size * 1.05), 0.0, false);
        if brows {
            let (x, y) = (centre.0, centre.1 - size * 1.9);
            let brow = [(x - size, y + 0.04), (x, y - 0.03), (x + size, y + 0.04)];
            figure.line(curve(&brow), look.line_colour(), 0.06);
        }
    }
    muzzle(&mut figure, look, (shift_x * 1.5, shift_y + 0.42), dice);
    figure
}

/// The shape of the two ears.
struct Ears {
    /// Vertical distance of their tips.
    length: f32,
    width: f32,
    /// Horizontal distance of their tips from the head.
    spread: f32,
}

impl Ears {
    fn new(dice: &mut Dice) -> Self {
        Self {
            length: dice.between(0.55, 1.35),
            width: dice.between(0.42, 0.68),
            spread: dice.between(0.0, 0.4),
        }
    }

    fn draw(&self, figure: &mut Figure, (wide, high): Point, colour: Colour, dice: &mut Dice) {
        for side in [-1.0, 1.0] {
            let root = (wide * 0.5, -high * 0.86);
            let tip = (
                wide * 0.98 + self.spread + dice.around_zero(0.08),
                root.1 + self.length + 0.45 + dice.around_zero(0.1),
            );
            let outer = wide * 0.95 + self.width * 0.7 + self.spread * 0.6;
            let lobe = [
                root,
                (wide * 0.85, -high * 0.98),
                (outer, (root.1 * 0.7 + tip.1 * 0.3) - 0.1),
                (tip.0 + self.width * 0.42, tip.1 - 0.25),
                tip,
                (tip.0 - self.width * 0.45, tip.1 - 0.3),
                (wide * 0.78, root.1 * 0.55 + tip.1 * 0.45),
            ];
            figure.part(blob(&lobe.map(|(x, y)| (side * x, y))), colour);
        }
    }
}

/// Snout, nose, mouth and tongue around `(x, y)`, the middle of the snout.
fn muzzle(figure: &mut Figure, look: &Look, (x, y): Point, dice: &mut Dice) {
    let (wide, high) = (dice.between(0.42, 0.56), dice.between(0.4, 0.54));
    let colour = if dice.chance(0.6) {
        look.palette.fur.mix(Colour::WHITE, dice.between(0.35, 0.65))
    } else {
        look.palette.fur.countered(0.15)
    };
    let line = colour.countered(0.85);
    if dice.chance(0.45) {
        let length = dice.between(0.35, 0.6);
        figure.fill(tongue((x, y + high * 0.62), wide * 0.42, length), look.palette.flesh);
        figure.line(
            curve(&[(x, y + high * 0.7), (x, y + high * 0.62 + length * 0.6)]),
            look.palette.flesh.countered(0.4),
            0.04,
        );
    }
    let snout = blob(&[
        (x, y - high),
        (x + wide * 0.72, y - high * 0.55),
        (x + wide, y + high * 0.35),
        (x + wide * 0.55, y + high * 0.85),
        (x, y + high * 0.68),
        (x - wide * 0.55, y + high * 0.85),
        (x - wide, y + high * 0.35),
        (x - wide * 0.72, y - high * 0.55),
    ]);
    figure.fill(snout, colour);
    let nose = (dice.between(0.2, 0.29), dice.between(0.14, 0.2));
    let nose_at = (x, y - high * 0.5);
    figure.line(curve(&[nose_at, (x, y + high * 0.3)]), line, 0.05);
    for side in [-1.0, 1.0] {
        let mouth = [
            (x, y + high * 0.3),
            (x + side * wide * 0.5, y + high * 0.55),
            (x + side * wide * 0.85, y + high * 0.3),
        ];
        figure.line(curve(&mouth), line, 0.05);
    }
    figure.fill(ellipse(nose_at, nose, 0.0), line);
    figure.fill(
        ellipse((nose_at.0 - nose.0 * 0.3, nose_at.1 - nose.1 * 0.35), (0.06, 0.035), 0.0),
        line.countered(0.6),
    );
}

/// A dog's head from the side, looking to the right; its centre is the origin.
pub(super) fn profile(look: &Look, dice: &mut Dice) -> Figure {
    let mut figure = Figure::default();
    let length = dice.between(1.35, 1.8);
    let depth = dice.between(0.3, 0.42);
    let drop = dice.between(0.1, 0.35);
    if dice.chance(0.5) {
        figure.fill(tongue((length * 0.72, drop + depth * 0.8), 0.15, 0.5), look.palette.flesh);
    }
    let outline = blob(&[
        (-0.75, -0.35),
        (-0.1, -0.85),
        (0.5, -0.55),
        (length * 0.62, drop - depth * 0.75),
        (length, drop - depth * 0.6),
        (length + 0.04, drop + depth * 0.5),
        (length * 0.6, drop + depth * 1.05),
        (0.25, 0.78),
        (-0.5, 0.65),
    ]);
    let spots = look.coat.spots((0.0, 0.0), (0.9, 0.8), dice);
    figure.spotted_part(outline, look.palette.fur, spots);
    let line = look.line_colour();
    figure.fill(ellipse((length - 0.02, drop - depth * 0.5), (0.18, 0.15), 0.0), line);
    figure.line(
        curve(&[
            (length * 0.95, drop + depth * 0.45),
            (length * 0.65, drop + depth * 0.6),
            (length * 0.4, drop + depth * 0.35),
        ]),
        line,
        0.05,
    );
    figure.fill(circle((0.36, -0.2), 0.12), line);
    let (hang, width) = (dice.between(0.75, 1.25), dice.between(0.42, 0.58));
    let ear = blob(&[
        (-0.1, -0.7),
        (0.12, -0.35),
        (0.08, hang * 0.55),
        (-0.2, hang),
        (-0.25 - width * 0.8, hang * 0.65),
        (-0.2 - width * 0.7, -0.1),
    ]);
    let colour = if dice.chance(0.5) { look.palette.fur.countered(0.22) } else { look.palette.fur };
    figure.part(ear, colour);
    figure
}
