//! The light that falls on a finished image, and the camera that takes it.

use image::{Rgb, RgbImage};

use crate::dice::Dice;

/// Light, exposure, tint and noise of one image.
pub(crate) struct Light {
    /// Direction of decreasing brightness, in radians.
    direction: f32,
    /// Fraction of brightness lost from one side to the other.
    fall: f32,
    /// Fraction of brightness lost in the corners.
    vignette: f32,
    /// Factors for red, green and blue.
    tint: [f32; 3],
    contrast: f32,
    /// Standard deviation of the noise, in steps of 255.
    noise: f32,
    /// Radius of the blur as a fraction of the shorter side.
    blur: f32,
}

impl Light {
    pub(crate) fn new(dice: &mut Dice) -> Self {
        let exposure = dice.between(0.9, 1.3);
        Self {
            direction: dice.between(0.0, std::f32::consts::TAU),
            fall: if dice.chance(0.6) { dice.between(0.1, 0.45) } else { 0.0 },
            vignette: if dice.chance(0.3) { dice.between(0.1, 0.4) } else { 0.0 },
            tint: [0; 3].map(|_| exposure * (1.0 + dice.around_zero(0.15))),
            contrast: dice.between(0.8, 1.1),
            noise: if dice.chance(0.5) { dice.between(1.0, 5.0) } else { 0.0 },
            blur: if dice.chance(0.15) { dice.between(0.003, 0.007) } else { 0.0 },
        }
    }

    /// Applies the light to an image.
    pub(crate) fn fall_on(&self, picture: RgbImage, dice: &mut Dice) -> RgbImage {
        let (wide, high) = (picture.width() as f32, picture.height() as f32);
        let sigma = self.blur * wide.min(high);
        let mut picture =
            if sigma > 0.2 { image::imageops::blur(&picture, sigma) } else { picture };
        let (sine, cosine) = self.direction.sin_cos();
        for (x, y, Rgb(channels)) in picture.enumerate_pixels_mut() {
            let (right, down) = (x as f32 / wide * 2.0 - 1.0, y as f32 / high * 2.0 - 1.0);
            let along = (right * cosine + down * sine) / std::f32::consts::SQRT_2;
            let corner = (right * right + down * down) / 2.0;
            let shade = (1.0 - self.fall * (0.5 + along / 2.0)) * (1.0 - self.vignette * corner);
            // Noise from a sum of uniform numbers, which is close enough to a normal distribution.
            let noise = if self.noise > 0.0 {
                self.noise * (dice.around_zero(1.0) + dice.around_zero(1.0)) * 1.7
            } else {
                0.0
            };
            for (channel, tint) in channels.iter_mut().zip(self.tint) {
                let lit = f32::from(*channel) * shade * tint;
                *channel = (128.0 + (lit - 128.0) * self.contrast + noise).clamp(0.0, 255.0) as u8;
            }
        }
        picture
    }
}
