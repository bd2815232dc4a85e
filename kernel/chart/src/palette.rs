//! Colours: fixed colours for known names, and a cycle for other series.

use serde::{Deserialize, Serialize};
use std::sync::OnceLock;

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

/// Colours for series without a fixed colour. They differ in lightness as well as in hue, so any two are distinguishable
/// with any colour vision and in grey.
const CYCLE: [Colour; 6] = [
    Colour(0x33, 0x22, 0x88),
    Colour(0xcc, 0x66, 0x77),
    Colour(0x85, 0x7a, 0x20),
    Colour(0x5f, 0xb3, 0xa6),
    Colour(0x5a, 0x3a, 0x22),
    Colour(0x9a, 0x8e, 0xd6),
];

/// Names in [`normal`] form with their colours.
static NAMED: OnceLock<Vec<(String, Colour)>> = OnceLock::new();

/// Sets the colour, in every chart, of each series whose name begins with one of these names (the longest match). Ignores
/// case, other characters than letters and digits, and a leading `python-`: `Keras` matches
/// `Keras 3, batch 32` and `python-keras`. A name with a version (`python-keras@3.15`) has no fixed colour, so that two
/// versions differ. Applies to the whole process; only the first call has an effect.
pub fn set_colours<'a>(named: impl IntoIterator<Item = (&'a str, Colour)>) {
    NAMED.get_or_init(|| named.into_iter().map(|(name, colour)| (normal(name), colour)).collect());
}

fn normal(name: &str) -> String {
    let name = name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
    name.strip_prefix("python").map_or(name.clone(), str::to_owned)
}

/// The colour of the series number `index` (from 0): its name's (see [`set_colours`]), or the next of the cycle.
pub fn series_colour(name: &str, index: usize) -> Colour {
    let normal = normal(name);
    let named = NAMED.get().into_iter().flatten().filter(|_| !name.contains('@'));
    let fitting = named.filter(|(known, _)| normal.starts_with(known.as_str()));
    let own = fitting.max_by_key(|(known, _)| known.len());
    own.map_or(CYCLE[index % CYCLE.len()], |(_, colour)| *colour)
}

#[cfg(test)]
#[path = "../tests/support/sight.rs"]
mod sight;

#[cfg(test)]
mod tests {
    use super::sight::{contrast, nearest};
    use super::*;

    #[test]
    fn a_name_keeps_its_colour_in_every_form_and_no_other_series_gets_it() {
        let (blue, green) = (Colour(0x00, 0x66, 0xb8), Colour(0x12, 0xb8, 0x86));
        let violet = Colour(0x5c, 0x6b, 0xc0);
        set_colours([("LibTorch", blue), ("Keras", green), ("python-keras-jax", violet)]);
        for (name, colour) in [
            ("LibTorch", blue),
            ("libtorch 2.11", blue),
            ("Keras 3", green),
            ("python-keras", green),
            ("python-keras-jax", violet),
        ] {
            assert_eq!([0, 3].map(|i| series_colour(name, i)), [colour; 2], "{name}");
        }
        for name in ["training", "Python", "", "my Keras", "python-keras@3.15"] {
            assert!((0..20).all(|i| ![blue, green].contains(&series_colour(name, i))), "{name}");
        }
    }

    #[test]
    fn colours_differ_with_any_colour_vision() {
        // For comparison: 2.3 is just noticeable side by side.
        assert!(nearest(&CYCLE[..3]) > 25.0 && nearest(&CYCLE) > 15.0, "{}", nearest(&CYCLE));
    }

    #[test]
    fn colours_stand_out_from_the_card() {
        for colour in CYCLE {
            assert!(contrast(colour) > 2.1, "{}", colour.hex());
        }
    }
}
