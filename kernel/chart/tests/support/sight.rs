//! How colours look to people. The tests of this crate's colours and those of the libraries' colours use it.

use super::Colour;

/// How a colour looks with full sight, protanopia, deuteranopia and tritanopia: the matrices of
/// Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB.
const SIGHT: [[[f64; 3]; 3]; 4] = [
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
    [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
];

/// CIE Lab (D65) of a colour as it is seen.
fn lab(colour: Colour, sight: &[[f64; 3]; 3]) -> [f64; 3] {
    let linear = [colour.0, colour.1, colour.2].map(|c| {
        let c = f64::from(c) / 255.0;
        if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
    });
    let times = |rows: &[[f64; 3]; 3], v: [f64; 3]| {
        rows.map(|row| row[0] * v[0] + row[1] * v[1] + row[2] * v[2])
    };
    let seen = times(sight, linear).map(|c| c.clamp(0.0, 1.0));
    let xyz = times(
        &[[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]],
        seen,
    );
    let root = |t: f64| if t > 0.008856 { t.cbrt() } else { 7.787 * t + 16.0 / 116.0 };
    let [x, y, z] = [root(xyz[0] / 0.95047), root(xyz[1]), root(xyz[2] / 1.08883)];
    [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
}

/// The smallest distance (CIE 1976) between any two of the colours, with any sight.
pub(crate) fn nearest(colours: &[Colour]) -> f64 {
    let mut nearest = f64::INFINITY;
    for sight in &SIGHT {
        for (i, a) in colours.iter().enumerate() {
            for b in &colours[i + 1..] {
                let (a, b) = (lab(*a, sight), lab(*b, sight));
                let distance = (0..3).map(|k| (a[k] - b[k]).powi(2)).sum::<f64>().sqrt();
                nearest = nearest.min(distance);
            }
        }
    }
    nearest
}

/// The contrast with a chart's card. WCAG 2.1 asks for 3 for parts of an image; orange and green on white have 2.2 and
/// 2.5, and their bars also carry their values and stand on an axis.
pub(crate) fn contrast(colour: Colour) -> f32 {
    (Colour(0xfd, 0xfd, 0xfb).luminance() + 0.05) / (colour.luminance() + 0.05)
}
