//! Lists of numbers of any type, and numbers as text.

use serde::{Deserialize, Deserializer, Serializer};

/// A number that a chart can draw.
pub trait Number: Copy {
    /// As a 64-bit float; integers above 2⁵³ are rounded.
    fn to_f64(self) -> f64;
}

macro_rules! number {
    ($($kind:ty),*) => { $(impl Number for $kind {
        fn to_f64(self) -> f64 { self as f64 }
    })* };
}
number!(f64, f32, i64, i32, u64, u32, u8, usize);

/// A list of numbers: an array, a slice or a `Vec`, owned or borrowed.
pub trait Numbers {
    /// The numbers as 64-bit floats.
    fn numbers(&self) -> Vec<f64>;
}

impl<T: Number> Numbers for [T] {
    fn numbers(&self) -> Vec<f64> {
        self.iter().map(|n| n.to_f64()).collect()
    }
}

impl<T: Number> Numbers for Vec<T> {
    fn numbers(&self) -> Vec<f64> {
        self.as_slice().numbers()
    }
}

impl<T: Number, const N: usize> Numbers for [T; N] {
    fn numbers(&self) -> Vec<f64> {
        self.as_slice().numbers()
    }
}

impl<L: Numbers + ?Sized> Numbers for &L {
    fn numbers(&self) -> Vec<f64> {
        (**self).numbers()
    }
}

/// Values of this size and above are drawn as gaps, like infinity: the distance between two of
/// them may exceed a 64-bit float.
pub(crate) const HUGE: f64 = 1e300;

/// Whether a value can be drawn; NaN, infinities and values beyond ±10³⁰⁰ are gaps.
pub(crate) fn drawable(value: f64) -> bool {
    value.abs() < HUGE
}

/// A number as readable text: three digits, or all digits of an integer, with commas between thousands.
pub(crate) fn short(value: f64) -> String {
    if !value.is_finite() {
        return value.to_string();
    }
    let size = value.abs();
    if size == 0.0 {
        return "0".to_owned();
    }
    if !(1e-3..1e9).contains(&size) {
        return format!("{value:.2e}").replace(".00e", "e");
    }
    if value.fract() == 0.0 || size >= 999.5 {
        return commas(&format!("{value:.0}"));
    }
    let decimals = (2 - size.log10().floor() as i32).clamp(0, 6) as usize;
    // Trailing zeros would claim a precision that the number may not have.
    let text = format!("{value:.decimals$}");
    if decimals == 0 {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Commas between thousands: `19652` becomes `19,652`. Four digits stay as they are.
pub(crate) fn commas(number: &str) -> String {
    let (sign, rest) = number.split_at(usize::from(number.starts_with('-')));
    let (whole, fraction) = rest.split_at(rest.find('.').unwrap_or(rest.len()));
    if whole.len() < 5 {
        return number.to_owned();
    }
    let groups: Vec<&str> = whole
        .as_bytes()
        .rchunks(3)
        .rev()
        .filter_map(|group| std::str::from_utf8(group).ok())
        .collect();
    format!("{sign}{}{fraction}", groups.join(","))
}

/// Serialises lists in which NaN and infinities mark gaps: JSON has no such numbers, so a gap is
/// `null`, and is read back as NaN.
pub(crate) mod gaps {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(values: &[f64], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(values.iter().map(|v| v.is_finite().then_some(*v)))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<f64>, D::Error> {
        let values = Vec::<Option<f64>>::deserialize(from)?;
        Ok(values.into_iter().map(|v| v.unwrap_or(f64::NAN)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (value, text) in [
            (2.038297415, "2.04"),
            (0.070363998, "0.0704"),
            (938.3293848, "938"),
            (999.7, "1000"),
            (27_691_841.0, "27,691,841"),
            (-19652.0, "-19,652"),
            (5000.0, "5000"),
            (0.0, "0"),
            (1e-7, "1e-7"),
            (0.46, "0.46"),
            (39.96, "40"),
            (340.2, "340"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(short(value), text);
        }
    }

    #[test]
    fn all_kinds_of_lists_are_numbers() {
        assert_eq!([1u64, 2].numbers(), vec![1.0, 2.0]);
        assert_eq!(vec![0.5f32].numbers(), vec![0.5]);
        assert_eq!([0.5, 1.5][..].numbers(), vec![0.5, 1.5]);
    }
}
