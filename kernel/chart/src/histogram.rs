use plotters::prelude::Rectangle;
use plotters::style::Color;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::axis::{Axis, Fit};
use crate::chart::{Chart, Sheet, Source, sheet_methods};
use crate::drawing::{Canvas, Drawing};
use crate::error::{Result, some_finite};
use crate::numbers::{Numbers, drawable, short};
use crate::palette::series_colour;
use crate::plot::{self, Room, rgb};
use crate::table::Table;
use crate::vega::{self, VegaLite};

/// Largest number of bins; more bins would be thinner than a pixel.
const MOST_BINS: usize = 400;

/// The data of a [`Histogram`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistogramData {
    /// The title.
    pub title: String,
    /// The line under it.
    pub subtitle: String,
    /// The sources of the numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Source>,
    /// What was counted, with the unit.
    pub x: String,
    /// The edges of the bins in increasing order, one more than bins.
    pub edges: Vec<f64>,
    /// The number of values in each bin; a value on an edge belongs to the bin on its right, the
    /// highest value to the last bin.
    pub counts: Vec<u64>,
    /// The number of values outside all bins because they are NaN or infinite.
    pub left_out: u64,
}

/// The frequency of values, in bins of equal width.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    data: HistogramData,
    sheet: Sheet,
}

sheet_methods!(Histogram, Histogram);

impl Histogram {
    /// Counts the values in `bins` bins (1 to 400) between the lowest and the highest.
    ///
    /// # Errors
    /// [`crate::Error::Empty`] if no value is finite.
    pub fn new(title: impl Into<String>, values: impl Numbers, bins: usize) -> Result<Self> {
        let (title, all) = (title.into(), values.numbers());
        let values: Vec<f64> = all.iter().copied().filter(|v| drawable(*v)).collect();
        some_finite(
            &format!("histogram \"{title}\""),
            if values.is_empty() { &all } else { &values },
        )?;
        let bins = bins.clamp(1, MOST_BINS);
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let pad = if high - low > low.abs().max(high.abs()) * 1e-12 {
            0.0
        } else {
            0.5f64.max(low.abs() * 0.01)
        };
        let (low, high) = (low - pad, high + pad);
        let width = (high - low) / bins as f64;
        let mut counts = vec![0; bins];
        for value in &values {
            counts[(((value - low) / width) as usize).min(bins - 1)] += 1;
        }
        let edges = (0..=bins).map(|i| low + i as f64 * width).collect();
        let left_out = (all.len() - values.len()) as u64;
        let data = HistogramData {
            title,
            subtitle: String::new(),
            sources: Vec::new(),
            x: String::new(),
            edges,
            counts,
            left_out,
        };
        Ok(data.into())
    }

    /// What was counted, with the unit.
    pub fn x(mut self, label: impl Into<String>) -> Self {
        self.data.x = label.into();
        self
    }

    /// The chart's data.
    pub fn data(&self) -> &HistogramData {
        &self.data
    }

    fn bins(&self) -> impl Iterator<Item = (f64, f64, u64)> {
        let edges = self.data.edges.windows(2).map(|edge| (edge[0], edge[1]));
        edges.zip(&self.data.counts).map(|((low, high), count)| (low, high, *count))
    }
}

impl From<HistogramData> for Histogram {
    fn from(data: HistogramData) -> Self {
        Self { data, sheet: Sheet::new(680, 340) }
    }
}

impl Chart for Histogram {
    fn title(&self) -> &str {
        &self.data.title
    }

    fn alt(&self) -> String {
        let HistogramData { title, x, edges, counts, left_out, .. } = &self.data;
        let total: u64 = counts.iter().sum();
        let (low, high) = (edges.first().copied(), edges.last().copied());
        let fullest = self.bins().max_by_key(|(_, _, count)| *count);
        let mut words = format!(
            "Histogram: {title}. {total} values of {} from {} to {}",
            if x.is_empty() { "one quantity" } else { x },
            short(low.unwrap_or_default()),
            short(high.unwrap_or_default()),
        );
        if let Some((from, to, count)) = fullest {
            words += &format!(", most ({count}) between {} and {}", short(from), short(to));
        }
        if *left_out > 0 {
            words += &format!(", {left_out} left out (not finite)");
        }
        words + "."
    }

    fn table(&self) -> Table {
        let mut table = Table::new(["from", "to", "count"]).align([crate::Align::Right; 3]);
        for (low, high, count) in self.bins() {
            table.push([short(low), short(high), count.to_string()].map(Into::into).to_vec());
        }
        table
    }

    fn drawing(&self) -> Drawing {
        Drawing::card(self.sheet.width, self.sheet.height, |canvas| self.draw(canvas))
    }

    fn vega_lite(&self) -> VegaLite {
        let bins =
            self.bins().map(|(from, to, count)| json!({"from": from, "to": to, "count": count}));
        let view = json!({
            "data": {"values": bins.collect::<Vec<_>>()},
            "mark": {"type": "bar", "tooltip": true, "color": series_colour("", 0).tint(0.75).hex()},
            "encoding": {
                "x": {"field": "from", "type": "quantitative", "bin": "binned", "title": vega::title(&self.data.x)},
                "x2": {"field": "to"},
                "y": {"field": "count", "type": "quantitative", "title": "count"},
            },
        });
        VegaLite::new(self, &self.data.subtitle, self.sheet, view)
    }
}

impl Histogram {
    fn draw(&self, canvas: &Canvas<'_>) {
        let room = Room::card(canvas);
        let room = plot::title(canvas, room, &self.data.title, &self.data.subtitle);
        let ticks = (room.width() / 70.0).clamp(2.0, 10.0) as usize;
        let fit = Fit { ticks, from_zero: false, whole: false, tight: true, at_least: None };
        let x = Axis::of(&self.data.x, self.data.edges.iter().copied(), fit);
        let heights = self.data.counts.iter().map(|count| *count as f64).chain([0.0, 1.0]);
        let y = Axis::of("count", heights, Fit { whole: true, ticks: 5, ..Fit::VALUES });
        let colour = series_colour("", 0).tint(0.75);
        plot::axes(canvas, room, &x, &y, |plane| {
            plane.draw_series(self.bins().filter(|(_, _, count)| *count > 0).map(
                |(low, high, count)| {
                    let gap = (high - low) * 0.04;
                    Rectangle::new(
                        [(low + gap, 0.0), (high - gap, count as f64)],
                        rgb(colour).filled(),
                    )
                },
            ))?;
            Ok(())
        });
    }
}
