use crate::chart::Chart;
use crate::drawing::Drawing;
use crate::error::Result;
use crate::line::{LineChart, LineData};
use crate::numbers::Numbers;
use crate::table::Table;
use crate::vega::VegaLite;

/// Loose points, one cloud a series: time against accuracy, one run a point.
#[derive(Clone, Debug, PartialEq)]
pub struct Scatter(LineChart);

impl Scatter {
    /// A chart without points yet.
    pub fn new(title: impl Into<String>) -> Self {
        let mut chart = LineChart::new(title).markers(true);
        chart.joined = false;
        Self(chart)
    }

    /// What the x axis shows, with the unit.
    pub fn x(self, label: impl Into<String>) -> Self {
        Self(self.0.x(label))
    }

    /// What the y axis shows, with the unit.
    pub fn y(self, label: impl Into<String>) -> Self {
        Self(self.0.y(label))
    }

    /// A cloud of points.
    ///
    /// # Errors
    /// [`crate::Error::Length`] when there are not as many y as x.
    pub fn points(self, name: impl Into<String>, x: impl Numbers, y: impl Numbers) -> Result<Self> {
        Ok(Self(self.0.points(name, x, y)?))
    }

    /// Points with error bars: `error` is half the height of each; an empty list leaves them out.
    ///
    /// # Errors
    /// [`crate::Error::Length`] when there are not as many y or errors as x.
    pub fn points_with_error(
        self,
        name: impl Into<String>,
        x: impl Numbers,
        y: impl Numbers,
        error: impl Numbers,
    ) -> Result<Self> {
        Ok(Self(self.0.points_with_error(name, x, y, error)?))
    }

    /// Makes the y axis cover at least this range; it grows where the values go beyond it.
    pub fn y_range(self, low: f64, high: f64) -> Self {
        Self(self.0.y_range(low, high))
    }

    /// A line under the title: conditions, machine, scale.
    pub fn subtitle(self, subtitle: impl Into<String>) -> Self {
        Self(self.0.subtitle(subtitle))
    }

    /// Says where the numbers come from: what identifies the record and a JSON pointer to the place
    /// in it. A chart may have several sources.
    pub fn source(self, record: impl Into<String>, pointer: impl Into<String>) -> Self {
        Self(self.0.source(record, pointer))
    }

    /// Width and height in CSS pixels, between 240 and 4000 each.
    pub fn size(self, width: u32, height: u32) -> Self {
        Self(self.0.size(width, height))
    }

    /// Adds a PNG to what a notebook gets, for front ends that do not show SVG.
    pub fn with_png(self) -> Self {
        Self(self.0.with_png())
    }

    /// The data that is drawn.
    pub fn data(&self) -> &LineData {
        self.0.data()
    }
}

impl Chart for Scatter {
    fn title(&self) -> &str {
        self.0.title()
    }

    fn alt(&self) -> String {
        self.0.alt()
    }

    fn table(&self) -> Table {
        self.0.table()
    }

    fn drawing(&self) -> Drawing {
        self.0.drawing()
    }

    fn vega_lite(&self) -> VegaLite {
        self.0.vega_lite()
    }
}

impl benchbook_display::Rich for Scatter {
    fn bundle(&self) -> benchbook_display::Bundle {
        self.0.bundle()
    }
}
