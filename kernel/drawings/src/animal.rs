//! The animals, one a class.
//!
//! What tells them apart is shape alone. A cat has pointed ears that stand, a round and wide face with a
//! small nose and whiskers, and a slim, long tail; a dog has ears that hang, a long muzzle with a large
//! nose, often its tongue out, and a thicker tail. The others have
//! silhouettes of their own ([`others`]). Everything else comes from the same choices for all.

mod body;
mod cat;
mod coat;
mod dog;
mod others;

use tiny_skia::{Path, Transform};

use crate::colour::{Colour, Palette};
use crate::dice::Dice;
use crate::figure::Figure;
use crate::shape::{Point, circle, curve, ellipse, spike};
use coat::Coat;

/// The subject of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Animal {
    /// A cat.
    Cat,
    /// A dog.
    Dog,
    /// A rabbit's head with long ears.
    Rabbit,
    /// A fish from the side.
    Fish,
    /// A bird from the side.
    Bird,
    /// A bear's head with round ears.
    Bear,
    /// A butterfly from above.
    Butterfly,
    /// A snail with its shell.
    Snail,
    /// A snake in waves.
    Snake,
    /// A turtle from the side.
    Turtle,
}

impl Animal {
    /// All animals, in the order in which they are added with the number of classes.
    pub const ALL: [Self; 10] = [
        Self::Cat,
        Self::Dog,
        Self::Rabbit,
        Self::Fish,
        Self::Bird,
        Self::Bear,
        Self::Butterfly,
        Self::Snail,
        Self::Snake,
        Self::Turtle,
    ];

    /// Cats and dogs.
    pub const CATS_AND_DOGS: [Self; 2] = [Self::Cat, Self::Dog];

    /// The animals of a data set with this many classes, at most all, in the order of a loader's
    /// class numbers: by name.
    pub fn of_classes(classes: usize) -> Vec<Self> {
        let mut animals = Self::ALL[..classes.min(Self::ALL.len())].to_vec();
        animals.sort_by_key(|animal| animal.name());
        animals
    }

    /// The name of the animal's folder, for example `cat`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cat => "cat",
            Self::Dog => "dog",
            Self::Rabbit => "rabbit",
            Self::Fish => "fish",
            Self::Bird => "bird",
            Self::Bear => "bear",
            Self::Butterfly => "butterfly",
            Self::Snail => "snail",
            Self::Snake => "snake",
            Self::Turtle => "turtle",
        }
    }
}

/// The two animals with several poses.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pet {
    Cat,
    Dog,
}

/// The common look of an animal's parts.
struct Look {
    palette: Palette,
    coat: Coat,
    /// Horizontal turn of the face, -1 to 1.
    turn: f32,
    /// Vertical tilt of the face, -1 to 1.
    nod: f32,
    eyes: Eyes,
    collar: bool,
}

/// The drawing of the eyes.
#[derive(Clone, Copy)]
enum Eyes {
    /// A dark dot.
    Dots,
    /// White, iris and pupil.
    Open,
    /// A curved line.
    Closed,
}

impl Look {
    fn new(palette: Palette, dice: &mut Dice) -> Self {
        Self {
            palette,
            coat: Coat::new(&palette, dice),
            turn: dice.around_zero(1.0),
            nod: dice.around_zero(1.0),
            eyes: match dice.count(0, 9) {
                0 => Eyes::Closed,
                1..=4 => Eyes::Dots,
                _ => Eyes::Open,
            },
            collar: dice.chance(0.35),
        }
    }

    /// A line colour that is visible on the fur.
    fn line_colour(&self) -> Colour {
        self.palette.fur.countered(0.8)
    }
}

/// Draws an animal in its own coordinates.
pub(crate) fn figure(animal: Animal, palette: Palette, dice: &mut Dice) -> Figure {
    let look = Look::new(palette, dice);
    let figure = match animal {
        Animal::Cat => pet(Pet::Cat, &look, dice),
        Animal::Dog => pet(Pet::Dog, &look, dice),
        Animal::Rabbit => others::rabbit(&look, dice),
        Animal::Fish => others::fish(&look, dice),
        Animal::Bird => others::bird(&look, dice),
        Animal::Bear => others::bear(&look, dice),
        Animal::Butterfly => others::butterfly(&look, dice),
        Animal::Snail => others::snail(&look, dice),
        Animal::Snake => others::snake(&look, dice),
        Animal::Turtle => others::turtle(&look, dice),
    };
    if dice.chance(0.5) {
        let mut mirrored = Figure::default();
        mirrored.add(figure, Transform::from_scale(-1.0, 1.0));
        return mirrored;
    }
    figure
}

/// A cat or a dog: mostly its head, sometimes its whole body.
fn pet(animal: Pet, look: &Look, dice: &mut Dice) -> Figure {
    let mut figure = Figure::default();
    match dice.count(0, 19) {
        0..=14 => {
            if dice.chance(0.4) {
                body::shoulders(&mut figure, look, dice);
            }
            figure.add(head(animal, look, dice), Transform::identity());
        }
        15..=17 => body::sitting(&mut figure, animal, look, dice),
        _ => body::standing(&mut figure, animal, look, dice),
    }
    figure
}

/// A head seen from the front; its centre is the origin and its radius about 1.
fn head(animal: Pet, look: &Look, dice: &mut Dice) -> Figure {
    match animal {
        Pet::Cat => cat::head(look, dice),
        Pet::Dog => dog::head(look, dice),
    }
}

/// One eye, rotated by `slant` degrees; a `slit` pupil is narrow.
fn eye(figure: &mut Figure, look: &Look, centre: Point, radii: Point, slant: f32, slit: bool) {
    let dark = Colour::BLACK;
    match look.eyes {
        Eyes::Closed => {
            let (x, y) = centre;
            let lid = [(x - radii.0, y), (x, y + radii.1 * 0.6), (x + radii.0, y)];
            figure.line(curve(&lid), look.line_colour(), 0.06);
        }
        Eyes::Dots => {
            let size = radii.0.max(radii.1) * 0.85;
            figure.fill(circle(centre, size * 1.3), look.palette.fur.countered(0.25));
            figure.fill(circle(centre, size), look.palette.fur.countered(0.97));
            figure.fill(
                circle((centre.0 - size * 0.3, centre.1 - size * 0.35), size * 0.28),
                look.palette.fur,
            );
        }
        Eyes::Open => {
            let iris = look.palette.accent;
            figure.fill(ellipse(centre, (radii.0 * 1.15, radii.1 * 1.15), slant), dark);
            figure.fill(ellipse(centre, radii, slant), iris.mix(Colour::WHITE, 0.35));
            let pupil =
                if slit { (radii.0 * 0.28, radii.1 * 0.9) } else { (radii.0 * 0.6, radii.1 * 0.7) };
            let seen = (centre.0 + look.turn * radii.0 * 0.25, centre.1);
            figure.fill(ellipse(seen, pupil, 0.0), dark);
            figure.fill(
                circle((centre.0 - radii.0 * 0.3, centre.1 - radii.1 * 0.35), radii.0 * 0.2),
                Colour::WHITE,
            );
        }
    }
}

/// The tongue below the point `top`.
fn tongue(top: Point, width: f32, length: f32) -> Option<Path> {
    ellipse((top.0, top.1 + length * 0.4), (width, length * 0.6), 0.0)
}

/// A band around a neck.
fn collar(figure: &mut Figure, look: &Look, centre: Point, half_width: f32) {
    let (x, y) = centre;
    let line = [(x - half_width, y - 0.06), (x, y + 0.12), (x + half_width, y - 0.06)];
    figure.line(curve(&line), look.palette.accent, 0.17);
    figure.fill(circle((x, y + 0.2), 0.1), look.palette.accent.countered(0.5));
}

/// A pointed ear with its inside: from `inner` and `outer` on the head to `tip`.
fn pointed_ear(
    figure: &mut Figure,
    look: &Look,
    inner: Point,
    tip: Point,
    outer: Point,
    bulge: f32,
) {
    figure.part(spike(inner, tip, outer, bulge), look.palette.fur);
    let base = ((inner.0 + outer.0) / 2.0, (inner.1 + outer.1) / 2.0);
    let within = |point: Point, share: f32| {
        (base.0 + (point.0 - base.0) * share, base.1 + (point.1 - base.1) * share)
    };
    let inside = spike(within(inner, 0.55), within(tip, 0.72), within(outer, 0.55), bulge);
    figure.fill(inside, look.palette.inner_ear);
}
