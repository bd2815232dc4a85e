use benchbook_display::{Bundle, Rich};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::bar::BarData;
use crate::confusion::ConfusionData;
use crate::curves::CurvesData;
use crate::drawing::Drawing;
use crate::error::Result;
use crate::histogram::HistogramData;
use crate::line::LineData;
use crate::table::Table;
use crate::vega::VegaLite;

/// What all charts can do.
pub trait Chart: Rich {
    /// The title as it was given.
    fn title(&self) -> &str;

    /// What the chart shows, in words, with its main numbers: for who cannot see it.
    fn alt(&self) -> String;

    /// The main numbers as a table.
    fn table(&self) -> Table;

    /// The chart as drawn shapes.
    fn drawing(&self) -> Drawing;

    /// The chart as a [Vega-Lite](https://vega.github.io/vega-lite/) specification with its data, for other tools and for
    /// notebooks that draw it themselves: `display(&chart.vega_lite())`.
    fn vega_lite(&self) -> VegaLite;

    /// The chart as SVG without ids or style sheets. Texts are text in Roboto or a font like it, with other fonts for
    /// the characters that it lacks.
    fn svg(&self) -> String {
        self.drawing().svg(self.title(), &self.alt())
    }

    /// The chart as a PNG file of `scale` times its size in pixels. Characters that Roboto lacks are drawn in a font of
    /// the machine or one of [`crate::add_fonts`].
    ///
    /// # Errors
    /// [`crate::Error::Size`] when a side would have no pixel or more than 16384.
    fn png(&self, scale: f32) -> Result<Vec<u8>> {
        self.drawing().png(scale)
    }
}

/// The MIME type under which a notebook keeps what a chart draws, as [`ChartData`].
/// Front ends leave it alone; a program can check the numbers and draw them anew.
pub const DATA_MIME: &str = "application/vnd.benchbook.chart+json";

/// The data of a chart of any kind. As JSON: `{"chart": kind, "data": …}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "chart", content = "data", rename_all = "lowercase")]
pub enum ChartData {
    /// [`crate::BarChart`]
    Bars(BarData),
    /// [`crate::ConfusionMatrix`]
    Confusion(ConfusionData),
    /// [`crate::Curves`]
    Curves(CurvesData),
    /// [`crate::Histogram`]
    Histogram(HistogramData),
    /// [`crate::LineChart`] and [`crate::Scatter`]
    Lines(LineData),
}

/// Where numbers of a chart come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// What identifies the record.
    pub record: String,
    /// The place in the record, as a JSON pointer (RFC 6901), for example `/phases`.
    pub pointer: String,
}

/// Size of a chart and which forms of it a notebook gets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sheet {
    pub width: u32,
    pub height: u32,
    pub png: bool,
}

impl Sheet {
    /// Smallest and largest sides: below, a chart has no room for its own labels.
    const SIDES: (u32, u32) = (240, 4000);

    pub(crate) fn new(width: u32, height: u32) -> Self {
        let side = |pixels: u32| pixels.clamp(Self::SIDES.0, Self::SIDES.1);
        Self { width: side(width), height: side(height), png: false }
    }

    pub(crate) fn resized(self, width: u32, height: u32) -> Self {
        Self { png: self.png, ..Self::new(width, height) }
    }
}

/// The forms of a chart: text with its numbers, SVG, its data, and PNG (at twice the size, for
/// sharp screens) where it was asked for.
pub(crate) fn bundle(chart: &impl Chart, data: ChartData, sheet: Sheet) -> Bundle {
    let table = chart.table().to_text();
    let plain = match chart.title() {
        "" => table,
        title => format!("{title}\n\n{table}"),
    };
    let drawing = chart.drawing();
    let alt = chart.alt();
    let mut bundle = Bundle::text(plain).svg(drawing.svg(chart.title(), &alt));
    // Numbers and texts can always be written as JSON.
    if let Ok(data) = serde_json::to_value(data) {
        bundle.data.insert(DATA_MIME.into(), data);
    }
    if sheet.png
        && let Ok(png) = drawing.png(2.0)
    {
        bundle = bundle.png(&png);
        let shown = json!({"width": drawing.width(), "height": drawing.height(), "alt": alt});
        bundle.metadata.insert("image/png".into(), shown);
    }
    bundle
}

/// The methods that every chart with a `sheet` has, and its [`Rich`] form.
macro_rules! sheet_methods {
    ($chart:ty, $kind:ident) => {
        impl $chart {
            /// Width and height in CSS pixels, between 240 and 4000 each.
            pub fn size(mut self, width: u32, height: u32) -> Self {
                self.sheet = self.sheet.resized(width, height);
                self
            }

            /// Adds a PNG to what a notebook gets, for front ends that do not show SVG.
            pub fn with_png(mut self) -> Self {
                self.sheet.png = true;
                self
            }

            /// A line under the title: conditions, machine, scale.
            pub fn subtitle(mut self, subtitle: impl Into<String>) -> Self {
                self.data.subtitle = subtitle.into();
                self
            }

            /// Another title.
            pub fn titled(mut self, title: impl Into<String>) -> Self {
                self.data.title = title.into();
                self
            }

            /// Says where the numbers come from: what identifies the record and a JSON pointer to
            /// the place in it. A chart may have several sources.
            pub fn source(mut self, record: impl Into<String>, pointer: impl Into<String>) -> Self {
                let (record, pointer) = (record.into(), pointer.into());
                self.data.sources.push($crate::chart::Source { record, pointer });
                self
            }
        }

        impl benchbook_display::Rich for $chart {
            fn bundle(&self) -> benchbook_display::Bundle {
                let data = $crate::chart::ChartData::$kind(self.data.clone());
                $crate::chart::bundle(self, data, self.sheet)
            }
        }
    };
}
pub(crate) use sheet_methods;
