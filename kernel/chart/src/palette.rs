//! Colours: one for each library in the whole project, and a cycle for everything else.

use serde::{Deserialize, Serialize};

/// An opaque colour: red, green, blue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Colour(pub u8, pub u8, pub u8);

impl Colour {
    /// As HTML and SVG write it: `#rrggbb`.
    pub fn hex(self) -> String {
        format!("#{:02x}{:02x}{:02x}", self.0, self.1, self.2)
    }

    /// Mixed with white; 1 leaves the colour as it is, 0 is white.
    pub fn tint(self, strength: f32) -> Self {
        let mix = |c: u8| (255.0 - (255.0 - f32::from(c)) * strength.clamp(0.0, 1.0)).round() as u8;
        Self(mix(self.0), mix(self.1), mix(self.2))
    }

    /// Relative luminance after WCAG 2.1, 0 for black to 1 for white.
    pub fn luminance(self) -> f32 {
        let linear = |c: u8| {
            let c = f32::from(c) / 255.0;
            if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * linear(self.0) + 0.7152 * linear(self.1) + 0.0722 * linear(self.2)
    }
}

/// The libraries that the project compares. Each has one colour in every chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Library {
    /// libtorch, called from Rust.
    LibTorch,
    /// TensorFlow.
    TensorFlow,
    /// PyTorch, called from Python.
    PyTorch,
    /// Keras, where it is told apart from TensorFlow.
    Keras,
}

impl Library {
    /// All of them, in the order of legends.
    pub const ALL: [Self; 4] = [Self::LibTorch, Self::TensorFlow, Self::PyTorch, Self::Keras];

    /// The name as charts print it.
    pub fn name(self) -> &'static str {
        match self {
            Self::LibTorch => "LibTorch",
            Self::TensorFlow => "TensorFlow",
            Self::PyTorch => "PyTorch",
            Self::Keras => "Keras",
        }
    }

    /// Its colour in every chart: blue, orange, plum, green. They differ in lightness as well as
    /// in hue, so any two can be told apart with any colour vision and in grey.
    pub fn colour(self) -> Colour {
        match self {
            Self::LibTorch => Colour(0x00, 0x66, 0xb8),
            Self::TensorFlow => Colour(0xe6, 0x9f, 0x00),
            Self::PyTorch => Colour(0x7e, 0x1f, 0x56),
            Self::Keras => Colour(0x12, 0xb8, 0x86),
        }
    }

    /// The library that a series is about: the one whose name it starts with, in any case
    /// (`"PyTorch 2.11, batch 32"`, `"tch"`), studies' `python-` before it or not; `None` for
    /// anything else. TensorFlow-Keras is TensorFlow.
    pub fn of(name: &str) -> Option<Self> {
        let name: String =
            name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
        let name = name.strip_prefix("python").unwrap_or(&name);
        let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
        if starts(&["libtorch", "tchrs"]) || name == "tch" {
            Some(Self::LibTorch)
        } else if starts(&["tensorflow", "tfkeras"]) || name == "tf" {
            Some(Self::TensorFlow)
        } else if starts(&["pytorch"]) || name == "torch" {
            Some(Self::PyTorch)
        } else if starts(&["keras"]) {
            Some(Self::Keras)
        } else {
            None
        }
    }
}

/// Colours for series that are not libraries, chosen like those of the libraries, none of which
/// is among them.
const CYCLE: [Colour; 6] = [
    Colour(0x33, 0x22, 0x88),
    Colour(0xcc, 0x66, 0x77),
    Colour(0x85, 0x7a, 0x20),
    Colour(0x5f, 0xb3, 0xa6),
    Colour(0x5a, 0x3a, 0x22),
    Colour(0x9a, 0x8e, 0xd6),
];

/// The colour of the series number `index` (from 0): its library's, or the next of the cycle.
pub fn series_colour(name: &str, index: usize) -> Colour {
    Library::of(name).map_or(CYCLE[index % CYCLE.len()], Library::colour)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_keeps_its_colour_under_every_name() {
        for (name, hex) in [
            ("LibTorch", "#0066b8"),
            ("tch", "#0066b8"),
            ("tensorflow 2.20", "#e69f00"),
            ("TensorFlow-Keras", "#e69f00"),
            ("tf.keras", "#e69f00"),
            ("PyTorch, batch 32", "#7e1f56"),
            ("Keras 3", "#12b886"),
            ("python-keras", "#12b886"),
            ("python-pytorch", "#7e1f56"),
        ] {
            assert_eq!([0, 3].map(|i| series_colour(name, i).hex()), [hex; 2], "{name}");
        }
    }

    #[test]
    fn other_series_never_get_a_library_colour() {
        let libraries = Library::ALL.map(Library::colour);
        assert_eq!(Library::of("training"), None);
        assert!((0..20).all(|i| !libraries.contains(&series_colour("training", i))));
    }

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
    fn nearest(colours: &[Colour]) -> f64 {
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

    #[test]
    fn colours_differ_with_any_colour_vision() {
        // For comparison: 2.3 is just noticeable side by side.
        let libraries = nearest(&Library::ALL.map(Library::colour));
        assert!(libraries > 25.0, "libraries: {libraries}");
        assert!(nearest(&CYCLE[..3]) > 25.0 && nearest(&CYCLE) > 15.0, "{}", nearest(&CYCLE));
    }

    #[test]
    fn colours_stand_out_from_the_card() {
        // WCAG 2.1 asks for a contrast of 3 for parts of a picture; orange and green on white have
        // 2.2 and 2.5, and their bars also carry their values and stand on an axis.
        let card = Colour(0xfd, 0xfd, 0xfb).luminance() + 0.05;
        for colour in CYCLE.into_iter().chain(Library::ALL.map(Library::colour)) {
            assert!(card / (colour.luminance() + 0.05) > 2.1, "{}", colour.hex());
        }
    }
}
