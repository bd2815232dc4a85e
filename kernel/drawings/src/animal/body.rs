//! Bodies, shared by both animals except for their build and their tails.

use tiny_skia::Transform;

use super::{Look, Pet, collar, dog, head};
use crate::dice::Dice;
use crate::figure::Figure;
use crate::shape::{Point, band, blob, curve, ellipse};

/// The shoulders below a head in close view.
pub(super) fn shoulders(figure: &mut Figure, look: &Look, dice: &mut Dice) {
    let (wide, low) = (dice.between(0.75, 1.15), dice.between(1.5, 1.9));
    let outline = blob(&[
        (-0.45, 0.5),
        (0.45, 0.5),
        (wide * 0.95, 1.2),
        (wide, low),
        (-wide, low),
        (-wide * 0.95, 1.2),
    ]);
    let spots = look.coat.spots((0.0, 1.2), (wide, 0.6), dice);
    figure.spotted_part(outline, look.palette.fur, spots);
    if look.collar {
        collar(figure, look, (0.0, 1.08), 0.6);
    }
}

/// A sitting animal that faces the viewer.
pub(super) fn sitting(figure: &mut Figure, animal: Pet, look: &Look, dice: &mut Dice) {
    let wide = match animal {
        Pet::Cat => dice.between(0.68, 0.85),
        Pet::Dog => dice.between(0.76, 0.95),
    };
    let low = dice.between(1.8, 2.15);
    match animal {
        Pet::Cat => {
            let reach = dice.between(0.7, 1.2);
            let height = low - dice.between(0.9, 1.6);
            let tail = [
                (wide * 0.6, low - 0.2),
                (wide + reach * 0.6, low - 0.1),
                (wide + reach, (low + height) / 2.0),
                (wide + reach * 0.7, height + 0.25),
                (wide + reach * 0.95, height),
            ];
            figure.part(band(&tail, 0.24, 0.16), look.palette.fur);
        }
        Pet::Dog => {
            let reach = dice.between(0.5, 0.85);
            let tail = [
                (wide * 0.6, low - 0.3),
                (wide + reach * 0.55, low - 0.4),
                (wide + reach, low - dice.between(0.75, 1.2)),
            ];
            figure.part(band(&tail, 0.5, 0.24), look.palette.fur);
        }
    }
    let outline = blob(&[
        (-0.42, 0.5),
        (0.42, 0.5),
        (wide * 0.8, 1.05),
        (wide, low - 0.4),
        (wide * 0.8, low),
        (-wide * 0.8, low),
        (-wide, low - 0.4),
        (-wide * 0.8, 1.05),
    ]);
    let spots = look.coat.spots((0.0, 1.6), (wide, 0.8), dice);
    figure.spotted_part(outline, look.palette.fur, spots);
    for side in [-1.0, 1.0] {
        let x = side * wide * 0.36;
        figure.line(
            curve(&[(x - side * 0.2, low - 0.6), (x - side * 0.2, low - 0.05)]),
            look.line_colour(),
            0.05,
        );
        figure.part(ellipse((x, low - 0.02), (wide * 0.34, 0.15), 0.0), look.palette.fur);
    }
    if look.collar {
        collar(figure, look, (0.0, 1.0), 0.55);
    }
    let place = Transform::from_rotate(dice.around_zero(12.0));
    figure.add(head(animal, look, dice), place);
}

/// A standing animal from the side, its head to the right.
pub(super) fn standing(figure: &mut Figure, animal: Pet, look: &Look, dice: &mut Dice) {
    let (thick, leg) = match animal {
        Pet::Cat => (dice.between(0.44, 0.56), dice.between(0.2, 0.27)),
        Pet::Dog => (dice.between(0.52, 0.68), dice.between(0.26, 0.36)),
    };
    let long = dice.between(1.55, 1.95);
    let ground = thick + dice.between(0.7, 1.1);
    figure.part(tail(animal, (0.0, -thick * 0.45), dice), look.palette.fur);

    let darker = look.palette.fur.countered(0.18);
    let stride = dice.around_zero(0.3);
    let mut stand = |x: f32, lean: f32, colour| {
        let path = [(x, thick * 0.2), (x + lean * 0.5, ground * 0.6), (x + lean, ground)];
        figure.part(band(&path, leg * 1.5, leg), colour);
    };
    stand(0.4, -stride, darker);
    stand(long - 0.1, -stride, darker);
    stand(0.12, stride, look.palette.fur);
    stand(long - 0.4, stride, look.palette.fur);

    let sag = dice.around_zero(0.12);
    let outline = blob(&[
        (-0.12, -thick * 0.3),
        (0.3, -thick * 0.9),
        (long * 0.5, -thick * 0.85 + sag),
        (long - 0.1, -thick * 1.05),
        (long + 0.2, 0.0),
        (long - 0.2, thick * 0.9),
        (long * 0.5, thick * 0.8 + sag),
        (0.3, thick * 0.85),
    ]);
    let spots = look.coat.spots((long / 2.0, 0.0), (long / 2.0, thick), dice);
    figure.spotted_part(outline, look.palette.fur, spots);

    let raised = dice.between(0.55, 1.0);
    let place =
        Transform::from_scale(0.95, 0.95).post_translate(long + 0.25, -thick - raised * 0.7);
    let face = if animal == Pet::Dog && dice.chance(0.5) {
        dog::profile(look, dice)
    } else {
        head(animal, look, dice)
    };
    figure.add(face, place);
}

/// The tail of a standing animal, from its root `(x, y)` to the left and upwards.
fn tail(animal: Pet, (x, y): Point, dice: &mut Dice) -> Option<tiny_skia::Path> {
    match animal {
        Pet::Cat => {
            let (up, out) = (dice.between(1.1, 1.7), dice.between(0.3, 0.6));
            let curl = dice.between(-0.35, 0.35);
            let line = [
                (x + 0.1, y + 0.1),
                (x - out, y - up * 0.1),
                (x - out * 1.2, y - up * 0.5),
                (x - out + curl * 0.4, y - up * 0.85),
                (x - out + curl, y - up),
            ];
            band(&line, 0.26, 0.16)
        }
        Pet::Dog => {
            let (up, out) = (dice.between(0.2, 0.9), dice.between(0.45, 0.75));
            let line = [(x + 0.2, y + 0.15), (x - out * 0.55, y - up * 0.45), (x - out, y - up)];
            band(&line, 0.5, 0.22)
        }
    }
}
