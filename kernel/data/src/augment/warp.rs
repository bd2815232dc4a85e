//! Sampling an image through maps.

use super::Fill;
use super::affine::Affine;
use crate::preprocess::PixelMap;

/// A map and its sampling.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stage {
    pub(super) map: Affine,
    pub(super) sampling: Sampling,
}

/// The computation of the values at a point between pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Sampling {
    /// Every point is a pixel of the image, as with a flip.
    None,
    /// Interpolation between the four pixels around the point.
    Bilinear(Fill),
    /// The nearest pixel, and a colour beyond the image's edge.
    Nearest([f32; 3]),
}

impl Stage {
    /// Whether another change can be combined with this sampling.
    pub(super) fn joins(&self, next: Sampling) -> bool {
        match (self.sampling, next) {
            (Sampling::Nearest(_), Sampling::None) => true,
            (Sampling::Nearest(_), _) | (Sampling::Bilinear(_), Sampling::Nearest(_)) => false,
            // A flip before a rotation with the nearest pixel is not combined: points halfway between two
            // pixels would be rounded to the other side.
            (Sampling::None, Sampling::Nearest(_)) => false,
            (Sampling::None | Sampling::Bilinear(_), Sampling::None | Sampling::Bilinear(_)) => {
                true
            }
        }
    }

    pub(super) fn join(&mut self, map: Affine, sampling: Sampling) {
        self.map = self.map.after(map);
        if sampling != Sampling::None {
            // The last change determines the pixels outside.
            self.sampling = sampling;
        }
    }
}

/// Samples and preprocesses: `[height, width, 3]` bytes to `[3, height, width]` values.
///
/// Each pixel is preprocessed first and then sampled. Preprocessing is linear in each channel and the
/// weights of an interpolation add up to 1, so the order does not matter. A processor adds and multiplies the four
/// lanes of a pixel at once.
pub(super) fn apply(
    stages: &[Stage],
    rgb: &[u8],
    (height, width): (usize, usize),
    pixels: &PixelMap,
    memory: &mut Vec<[f32; 4]>,
    out: &mut [f32],
) {
    pixels.interleaved(rgb, width, memory);
    let source = Source { pixels: memory, height, width };
    match stages {
        [Stage { map, sampling: Sampling::Bilinear(fill) }] => match *fill {
            Fill::Nearest => source.draw(map, out, |y, x| source.nearest_edge(y, x)),
            Fill::Constant(colour) => {
                let colour = pixels.pixel(colour);
                source.draw(map, out, |y, x| source.constant(colour, y, x))
            }
            Fill::Reflect => source.draw(map, out, |y, x| source.reflected(y, x)),
            Fill::Wrap => source.draw(map, out, |y, x| source.wrapped(y, x)),
        },
        _ => {
            let colours: Vec<[f32; 4]> = stages
                .iter()
                .map(|stage| match stage.sampling {
                    Sampling::Nearest(colour) | Sampling::Bilinear(Fill::Constant(colour)) => {
                        pixels.pixel(colour)
                    }
                    _ => [0.0; 4],
                })
                .collect();
            let identity = Affine([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]);
            source.draw(&identity, out, |y, x| source.chain(stages, &colours, y, x));
        }
    }
}

/// A preprocessed image as [`PixelMap::interleaved`] makes it.
pub(super) struct Source<'a> {
    pub(super) pixels: &'a [[f32; 4]],
    pub(super) height: usize,
    pub(super) width: usize,
}

impl Source<'_> {
    /// Fills the planes with the result of `sample` at the point of each pixel.
    fn draw(&self, map: &Affine, out: &mut [f32], sample: impl Fn(f64, f64) -> [f32; 4]) {
        let (first, rest) = out.split_at_mut(self.height * self.width);
        let (second, third) = rest.split_at_mut(self.height * self.width);
        let planes = first
            .chunks_exact_mut(self.width)
            .zip(second.chunks_exact_mut(self.width))
            .zip(third.chunks_exact_mut(self.width));
        let [down, across] = map.0;
        for (row, ((first, second), third)) in planes.enumerate() {
            let y = down[0] * row as f64 + down[2];
            let x = across[0] * row as f64 + across[2];
            let values = first.iter_mut().zip(second).zip(third);
            for (column, ((first, second), third)) in values.enumerate() {
                let column = column as f64;
                [*first, *second, *third, _] = sample(y + down[1] * column, x + across[1] * column);
            }
        }
    }

    /// The last row and column as coordinates.
    #[inline]
    fn last(&self) -> (f64, f64) {
        ((self.height - 1) as f64, (self.width - 1) as f64)
    }

    #[inline]
    fn is_inside(&self, y: f64, x: f64) -> bool {
        let (bottom, right) = self.last();
        (0.0..=bottom).contains(&y) && (0.0..=right).contains(&x)
    }

    #[inline]
    fn nearest_edge(&self, y: f64, x: f64) -> [f32; 4] {
        let (bottom, right) = self.last();
        self.between(y.clamp(0.0, bottom), x.clamp(0.0, right))
    }

    #[inline]
    fn constant(&self, colour: [f32; 4], y: f64, x: f64) -> [f32; 4] {
        if self.is_inside(y, x) { self.between(y, x) } else { colour }
    }

    pub(super) fn reflected(&self, y: f64, x: f64) -> [f32; 4] {
        if self.is_inside(y, x) {
            return self.between(y, x);
        }
        // The two sides meet half a pixel beyond the centres of the outermost pixels, and between
        // the two adjacent centres the value is constant.
        let (bottom, right) = self.last();
        let (y, x) = (reflect(y, self.height), reflect(x, self.width));
        self.between(y.clamp(0.0, bottom), x.clamp(0.0, right))
    }

    pub(super) fn wrapped(&self, y: f64, x: f64) -> [f32; 4] {
        self.between(wrap(y, self.height), wrap(x, self.width))
    }

    /// Stages from the last to the first: each maps to a point of the previous one.
    fn chain(&self, stages: &[Stage], colours: &[[f32; 4]], y: f64, x: f64) -> [f32; 4] {
        let (mut y, mut x) = (y, x);
        for (stage, colour) in stages.iter().zip(colours).rev() {
            (y, x) = stage.map.apply(y, x);
            match stage.sampling {
                Sampling::None => {}
                Sampling::Nearest(_) => {
                    (y, x) = ((y + 0.5).floor(), (x + 0.5).floor());
                    if !self.is_inside(y, x) {
                        return *colour;
                    }
                }
                Sampling::Bilinear(fill) => {
                    let (bottom, right) = self.last();
                    (y, x) = match fill {
                        Fill::Constant(_) if !self.is_inside(y, x) => return *colour,
                        Fill::Nearest | Fill::Constant(_) => (y, x),
                        Fill::Reflect => (reflect(y, self.height), reflect(x, self.width)),
                        Fill::Wrap => (wrap(y, self.height), wrap(x, self.width)),
                    };
                    (y, x) = (y.clamp(0.0, bottom), x.clamp(0.0, right));
                }
            }
        }
        // A flip by whole pixels may differ by a rounding error.
        self.nearest_edge(y, x)
    }

    /// The values at a point within the image, interpolated between the four pixels around it.
    #[inline]
    fn between(&self, y: f64, x: f64) -> [f32; 4] {
        // Through i32, which is one instruction; both are small and positive.
        let (top, left) = (y as i32, x as i32);
        let (dy, dx) = ((y - f64::from(top)) as f32, (x - f64::from(left)) as f32);
        let stride = self.width + 1;
        let around = &self.pixels[top as usize * stride + left as usize..][..stride + 2];
        let (a, b) = (around[0], around[1]);
        let (c, d) = (around[stride], around[stride + 1]);
        std::array::from_fn(|i| {
            let upper = a[i] + (b[i] - a[i]) * dx;
            let lower = c[i] + (d[i] - c[i]) * dx;
            upper + (lower - upper) * dy
        })
    }
}

/// A coordinate in the image mirrored at its edges, -0.5 to `length` - 0.5.
fn reflect(at: f64, length: usize) -> f64 {
    let length = length as f64;
    // From the edge instead of from the first pixel's centre.
    let period = (at + 0.5).rem_euclid(2.0 * length);
    (if period < length { period } else { 2.0 * length - period }) - 0.5
}

/// A coordinate in the repeated image, 0 to `length` - 1. As in SciPy the period is one less than
/// the length.
fn wrap(at: f64, length: usize) -> f64 {
    let last = (length - 1) as f64;
    if (0.0..=last).contains(&at) {
        return at;
    }
    if last == 0.0 { 0.0 } else { at.rem_euclid(last) }
}
