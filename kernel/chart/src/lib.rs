//! Charts, tables and image grids for notebooks.
//!
//! Everything here draws data that it is given and measures nothing. Each chart keeps its data
//! (`data()`), draws itself as SVG or PNG ([`Chart`]) and shows itself in a notebook
//! ([`benchbook_display::Rich`]): as SVG, and as text with its numbers. [`Chart::vega_lite`] gives it as a Vega-Lite
//! specification, [`Table::write_csv`] a table as CSV.
//!
//! What adds numbers ([`plot()`], `series`, `points`, [`Table::row`]) returns a `Result`; what adds words (`x`, `titled`,
//! `caption`) returns the chart.
//!
//! ```
//! use benchbook_chart::{Chart, LineChart};
//!
//! # fn main() -> Result<(), benchbook_chart::Error> {
//! let loss = LineChart::new("Loss")
//!     .x("epoch")
//!     .y("binary cross-entropy")
//!     .series("training", &[0.69, 0.41, 0.22])?
//!     .series("validation", &[0.68, 0.45, 0.31])?;
//! assert!(loss.svg().starts_with("<svg"));
//! # Ok(())
//! # }
//! ```

mod axis;
mod bar;
mod chart;
mod confusion;
mod curves;
mod drawing;
mod error;
mod font;
mod histogram;
#[cfg(test)]
mod layout_tests;
mod line;
mod numbers;
mod palette;
mod pictures;
mod plot;
mod progress;
mod table;
mod vega;

pub use bar::{BarChart, BarData, BarSeries};
pub use chart::{Chart, ChartData, DATA_MIME, Source};
pub use confusion::{ConfusionData, ConfusionMatrix};
pub use curves::{Curves, CurvesData};
pub use drawing::{Drawing, add_fonts};
pub use error::{Error, Result};
pub use font::install_font;
pub use histogram::{Histogram, HistogramData};
pub use line::{LineChart, LineData, Scatter, Series};
pub use numbers::{Number, Numbers};
pub use palette::{Colour, series_colour, set_colours};
pub use pictures::{Mark, Picture, PictureGrid};
pub use progress::Progress;
pub use table::{Align, Cell, Table};
pub use vega::{VEGA_LITE_MIME, VegaLite};

/// The quickest chart: values against 1, 2, 3 … As everywhere, NaN and infinities are gaps.
///
/// # Errors
/// [`Error::Empty`] when there are no values.
pub fn plot(values: impl Numbers) -> Result<LineChart> {
    let values = values.numbers();
    error::some("plot", &values)?;
    LineChart::new("").series("", values)
}
