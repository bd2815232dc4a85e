//! Markings of fur, the same for both animals.

use tiny_skia::Path;

use crate::colour::{Colour, Palette};
use crate::dice::Dice;
use crate::shape::{Point, blob, curve, ellipse, polygon};

/// The pattern of an animal's fur.
#[derive(Clone, Copy)]
enum Pattern {
    Plain,
    Stripes,
    Spots,
    Patches,
    Halves,
    Hairs,
}

/// The fur of one animal.
#[derive(Clone, Copy)]
pub(super) struct Coat {
    pattern: Pattern,
    markings: Colour,
}

impl Coat {
    pub(super) fn new(palette: &Palette, dice: &mut Dice) -> Self {
        let pattern = match dice.count(0, 9) {
            0..=2 => Pattern::Plain,
            3 | 4 => Pattern::Stripes,
            5 => Pattern::Spots,
            6 | 7 => Pattern::Patches,
            8 => Pattern::Halves,
            _ => Pattern::Hairs,
        };
        Self { pattern, markings: palette.markings }
    }

    /// The markings on a surface around `centre` that extends `reach` to each side.
    pub(super) fn spots(
        &self,
        centre: Point,
        reach: Point,
        dice: &mut Dice,
    ) -> Vec<(Path, Colour)> {
        let anywhere = |dice: &mut Dice| {
            (
                centre.0 + dice.between(-1.0, 1.0) * reach.0,
                centre.1 + dice.between(-1.0, 1.0) * reach.1,
            )
        };
        let size = reach.0.min(reach.1);
        let paths: Vec<Option<Path>> = match self.pattern {
            Pattern::Plain => Vec::new(),
            Pattern::Stripes => stripes(centre, reach, dice),
            Pattern::Spots => (0..dice.count(5, 14))
                .map(|_| {
                    let radii = (size * dice.between(0.07, 0.2), size * dice.between(0.07, 0.2));
                    ellipse(anywhere(dice), radii, dice.between(0.0, 180.0))
                })
                .collect(),
            Pattern::Patches => (0..dice.count(1, 3))
                .map(|_| {
                    let radii = (size * dice.between(0.3, 0.7), size * dice.between(0.25, 0.6));
                    ellipse(anywhere(dice), radii, dice.between(0.0, 180.0))
                })
                .collect(),
            Pattern::Halves => vec![half(centre, reach, dice)],
            Pattern::Hairs => (0..dice.count(20, 50))
                .map(|_| {
                    let (x, y) = anywhere(dice);
                    let (dx, dy) = (dice.around_zero(0.06), size * dice.between(0.08, 0.22));
                    polygon(&[(x - 0.012, y), (x + dx, y + dy), (x + 0.012, y)])
                })
                .collect(),
        };
        paths.into_iter().flatten().map(|path| (path, self.markings)).collect()
    }
}

/// Tapered bands from both sides and from above.
fn stripes(centre: Point, reach: Point, dice: &mut Dice) -> Vec<Option<Path>> {
    let (x, y) = centre;
    let mut paths = Vec::new();
    let thickness = reach.1 * dice.between(0.07, 0.14);
    for side in [-1.0, 1.0] {
        for step in 0..3 {
            let height = y + reach.1 * (-0.35 + 0.4 * step as f32 + dice.around_zero(0.08));
            let (edge, end) =
                (x + side * reach.0 * 1.1, x + side * reach.0 * dice.between(0.4, 0.65));
            paths.push(polygon(&[
                (edge, height - thickness),
                (end, height),
                (edge, height + thickness),
            ]));
        }
    }
    for step in [-0.4, 0.0, 0.4] {
        let (middle, end) = (x + step * reach.0, y - reach.1 * dice.between(0.35, 0.6));
        paths.push(polygon(&[
            (middle - thickness, y - reach.1 * 1.15),
            (middle * 0.9 + x * 0.1, end),
            (middle + thickness, y - reach.1 * 1.15),
        ]));
    }
    paths
}

/// Everything on one side of a wavy line.
fn half(centre: Point, reach: Point, dice: &mut Dice) -> Option<Path> {
    let degrees = dice.between(0.0, 360.0);
    let (sine, cosine) = f32::to_radians(degrees).sin_cos();
    let size = reach.0.max(reach.1) * 2.0;
    let at = |along: f32, away: f32| {
        (centre.0 + cosine * along - sine * away, centre.1 + sine * along + cosine * away)
    };
    let bend = dice.around_zero(size * 0.25);
    blob(&[
        at(-size, 0.0),
        at(-size * 0.3, bend),
        at(size * 0.3, -bend),
        at(size, 0.0),
        at(size, size),
        at(-size, size),
    ])
}

/// A single hair, such as a whisker; `bend` is the distance of its middle from the straight line.
pub(super) fn hair(from: Point, to: Point, bend: f32) -> Option<Path> {
    let middle = ((from.0 + to.0) / 2.0 + bend, (from.1 + to.1) / 2.0 - bend);
    curve(&[from, middle, to])
}
