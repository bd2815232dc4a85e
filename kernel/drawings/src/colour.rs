//! Colours and the palette that both animals and all backgrounds share.

use tiny_skia::{Color, Paint, Shader};

use crate::dice::Dice;

/// An opaque colour; red, green and blue from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Colour([f32; 3]);

impl Colour {
    pub(crate) const BLACK: Self = Self([0.05, 0.05, 0.06]);
    pub(crate) const WHITE: Self = Self([0.98, 0.98, 0.96]);

    /// From hue in full circles and saturation and lightness from 0 to 1.
    pub(crate) fn from_hsl(hue: f32, saturation: f32, lightness: f32) -> Self {
        let reach = saturation * lightness.min(1.0 - lightness);
        // The closed form of the HSL conversion, as CSS Color 4 gives it.
        let channel = |n: f32| {
            let k = (n + hue.rem_euclid(1.0) * 12.0) % 12.0;
            lightness - reach * (k - 3.0).min(9.0 - k).clamp(-1.0, 1.0)
        };
        Self([channel(0.0), channel(8.0), channel(4.0)])
    }

    /// This colour mixed with `other`; `share` 0 is this colour, 1 the other.
    pub(crate) fn mix(self, other: Self, share: f32) -> Self {
        let mut mixed = self.0;
        for (own, theirs) in mixed.iter_mut().zip(other.0) {
            *own += (theirs - *own) * share;
        }
        Self(mixed)
    }

    /// Brightness as the eye weighs it (Rec. 709), from 0 to 1.
    pub(crate) fn luma(self) -> f32 {
        let [red, green, blue] = self.0;
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }

    /// The colour for tiny-skia; `opacity` from 0 to 1.
    pub(crate) fn with_opacity(self, opacity: f32) -> Color {
        let [red, green, blue] = self.0.map(|channel| channel.clamp(0.0, 1.0));
        Color::from_rgba(red, green, blue, opacity.clamp(0.0, 1.0)).unwrap_or(Color::BLACK)
    }

    /// A paint of this colour alone.
    pub(crate) fn paint(self) -> Paint<'static> {
        shaded(Shader::SolidColor(self.with_opacity(1.0)))
    }

    /// A translucent paint of this colour.
    pub(crate) fn glaze(self, opacity: f32) -> Paint<'static> {
        shaded(Shader::SolidColor(self.with_opacity(opacity)))
    }

    /// A random colour of a drawing. Most are the browns, creams and greys of fur and wood, the rest arbitrary;
    /// fur and backgrounds both use this function, so that colour does not indicate the class.
    pub(crate) fn any(dice: &mut Dice) -> Self {
        let lightness = dice.between(0.12, 0.92);
        if dice.chance(0.6) {
            let (hue, saturation) = (dice.between(0.04, 0.13), dice.between(0.0, 0.65));
            Self::from_hsl(hue, saturation, lightness)
        } else {
            let (hue, saturation) = (dice.between(0.0, 1.0), dice.between(0.1, 0.75));
            Self::from_hsl(hue, saturation, lightness)
        }
    }

    /// This colour, darkened if it is light and lightened if it is dark.
    pub(crate) fn countered(self, share: f32) -> Self {
        let other = if self.luma() > 0.36 { Self::BLACK } else { Self::WHITE };
        self.mix(other, share)
    }
}

/// A paint with antialiased edges.
pub(crate) fn shaded(shader: Shader<'_>) -> Paint<'_> {
    Paint { shader, anti_alias: true, ..Paint::default() }
}

/// The colours of one image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Palette {
    /// Most of the animal.
    pub(crate) fur: Colour,
    /// Its markings.
    pub(crate) markings: Colour,
    /// Lines drawn on and around the animal.
    pub(crate) ink: Colour,
    /// Tongues and noses.
    pub(crate) flesh: Colour,
    /// Insides of ears: seldom pink, or thumbnails of cats would be pinker at the top.
    pub(crate) inner_ear: Colour,
    /// Irises and collars.
    pub(crate) accent: Colour,
    /// Most of the background.
    pub(crate) ground: Colour,
    /// The rest of the background.
    pub(crate) ground_detail: Colour,
}

impl Palette {
    /// Colours in which the animal stands out from its background, equally often darker and lighter.
    pub(crate) fn new(dice: &mut Dice) -> Self {
        // Draws both colours again until they differ, so that neither is favoured.
        let (fur, ground) = loop {
            let pair = (Colour::any(dice), Colour::any(dice));
            if (pair.0.luma() - pair.1.luma()).abs() > 0.3 {
                break pair;
            }
        };
        let away_from_fur = if ground.luma() > fur.luma() { Colour::WHITE } else { Colour::BLACK };
        let ground_detail = if dice.chance(0.5) {
            ground.mix(away_from_fur, dice.between(0.1, 0.5))
        } else {
            let hue = Colour::any(dice);
            ground.mix(hue, 0.4).mix(away_from_fur, 0.2)
        };
        let markings = match dice.count(0, 3) {
            0 => fur.mix(Colour::WHITE, dice.between(0.4, 0.85)),
            1 => fur.mix(Colour::BLACK, dice.between(0.35, 0.75)),
            2 => fur.countered(dice.between(0.3, 0.6)),
            _ => fur.mix(Colour::any(dice), 0.6),
        };
        let ink = match dice.count(0, 5) {
            0 => Colour::BLACK,
            1 => fur.countered(0.7),
            2 if ground.luma() < 0.4 && fur.luma() < 0.5 => Colour::WHITE,
            _ => fur.mix(Colour::BLACK, dice.between(0.55, 0.85)),
        };
        let flesh = Colour::from_hsl(
            dice.between(0.9, 1.06),
            dice.between(0.2, 0.65),
            dice.between(0.3, 0.8),
        );
        let inner_ear = match dice.count(0, 4) {
            0 => flesh,
            1 => fur.mix(Colour::WHITE, 0.45),
            2 => fur.mix(Colour::BLACK, 0.45),
            3 => Colour::any(dice),
            _ => markings,
        };
        Self {
            fur,
            markings,
            ink,
            flesh,
            inner_ear,
            accent: Colour::from_hsl(
                dice.between(0.0, 1.0),
                dice.between(0.4, 0.9),
                dice.between(0.35, 0.7),
            ),
            ground,
            ground_detail,
        }
    }
}
