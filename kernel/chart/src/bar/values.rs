use crate::drawing::{Align, Canvas, Type};

/// How the values stand at the ends of the bars: the same way at all of them.
#[derive(Clone, Copy, Debug)]
pub(super) enum Values {
    Upright(Type),
    /// Along the bars, where these are too narrow for the numbers.
    Turned(Type),
    /// Nowhere: the bars are thinner than a letter is high.
    Hidden,
}

/// Space between the end of a bar and its value.
const GAP: f32 = 5.0;

impl Values {
    /// The largest form in which every text fits into `room` pixels of width.
    pub(super) fn fitting(texts: &[String], room: f32) -> Self {
        let small = Type { size: 10.5, ..Type::VALUE };
        let fits = |style: &Type| texts.iter().all(|text| style.width(text) <= room);
        match [Type::VALUE, small].into_iter().find(fits) {
            Some(style) => Self::Upright(style),
            None if room >= small.size => Self::Turned(small),
            None => Self::Hidden,
        }
    }

    /// Space that the longest value takes beyond the end of its bar, in pixels.
    pub(super) fn length(self, texts: &[String]) -> f32 {
        match self {
            Self::Upright(style) => GAP + style.size,
            Self::Turned(style) => {
                GAP + texts.iter().map(|text| style.width(text)).fold(0.0, f32::max)
            }
            Self::Hidden => 0.0,
        }
    }

    /// Writes a value at the end of a bar: above it, or below it where the bar hangs down.
    pub(super) fn write(self, canvas: &Canvas<'_>, (x, end): (f32, f32), text: &str, below: bool) {
        match self {
            Self::Upright(style) => {
                let middle = GAP + style.size / 2.0 - 1.0;
                let y = if below { end + middle } else { end - middle };
                canvas.text(x, y, text, Align::Centre, style);
            }
            Self::Turned(style) => {
                let start = if below { end + GAP + style.width(text) } else { end - GAP };
                canvas.text_upward(x, start, text, style);
            }
            Self::Hidden => {}
        }
    }
}
