mod values;

use plotters::prelude::Rectangle;
use plotters::style::Color;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use self::values::Values;
use crate::axis::{Axis, Fit};
use crate::chart::{Chart, Sheet, Source, sheet_methods};
use crate::drawing::{Align, CARD, Canvas, Drawing, INK, Type};
use crate::error::{Result, same_length};
use crate::font;
use crate::numbers::{Numbers, drawable, gaps, short};
use crate::palette::series_colour;
use crate::plot::{self, Key, Room, Sign, rgb, stroke};
use crate::table::{Cell, Table};
use crate::vega::{self, VegaLite};

/// One series of a [`BarChart`]: a bar in each category.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BarSeries {
    /// Its name in the legend; a library's name gives it the library's colour.
    pub name: String,
    /// One value per category; NaN omits the bar.
    #[serde(with = "gaps")]
    pub values: Vec<f64>,
    /// The upper length of each error bar, also the lower one if `below` is empty; empty without error bars.
    #[serde(with = "gaps")]
    pub error: Vec<f64>,
    /// The lower length of each error bar; may be empty.
    #[serde(default, with = "gaps", skip_serializing_if = "Vec::is_empty")]
    pub below: Vec<f64>,
    /// The single values behind each value, one list per category, drawn as points; may be empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<Vec<f64>>,
}

impl BarSeries {
    /// The lower and upper length of the error bar of a category.
    pub(crate) fn reach(&self, category: usize) -> Option<(f64, f64)> {
        let up = *self.error.get(category)?;
        Some((self.below.get(category).copied().unwrap_or(up), up))
    }

    /// A value with its error and the single values behind it, as text.
    fn words_with_runs(&self, category: usize) -> String {
        let words = self.words(category);
        match self.runs.get(category).map(Vec::as_slice) {
            None | Some([]) => words,
            Some(runs) => {
                let runs: Vec<String> = runs.iter().map(|value| short(*value)).collect();
                format!("{words}, single values {}", runs.join(", "))
            }
        }
    }

    /// A value with its error, as text.
    fn words(&self, category: usize) -> String {
        let value = self.values[category];
        match self.reach(category) {
            None => short(value),
            Some((down, up)) if self.below.is_empty() || down == up => {
                format!("{} ± {}", short(value), short(up))
            }
            Some((down, up)) => {
                format!("{} ({} to {})", short(value), short(value - down), short(value + up))
            }
        }
    }
}

/// The data of a [`BarChart`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BarData {
    /// The title.
    pub title: String,
    /// The line under it.
    pub subtitle: String,
    /// The sources of the numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Source>,
    /// What the bars show, with the unit.
    pub y: String,
    /// The groups of bars, from left to right.
    pub categories: Vec<String>,
    /// The bars of each group.
    pub series: Vec<BarSeries>,
    /// Whether the y axis is logarithmic.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub log_y: bool,
}

/// Bars for categories × series, with the values on them.
///
/// ```
/// use benchbook_chart::BarChart;
///
/// # fn main() -> Result<(), benchbook_chart::Error> {
/// let times = BarChart::new("Train and validate", ["Colab K80", "Kaggle P100"])
///     .y("time [s]")
///     .series("TensorFlow", &[294.98, 407.0])?
///     .series("PyTorch", &[938.33, 542.0])?;
/// assert_eq!(times.data().series[1].values[0], 938.33);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct BarChart {
    data: BarData,
    sheet: Sheet,
}

sheet_methods!(BarChart, Bars);

impl BarChart {
    /// A chart with these categories, without bars.
    pub fn new<C: Into<String>>(
        title: impl Into<String>,
        categories: impl IntoIterator<Item = C>,
    ) -> Self {
        let categories = categories.into_iter().map(Into::into).collect();
        let data = BarData { title: title.into(), categories, ..BarData::default() };
        Self { data, sheet: Sheet::new(680, 380) }
    }

    /// One bar for each name, in its own colour: `BarChart::of("Build", [("PyTorch", 1.96)])`.
    pub fn of<N: Into<String>>(
        title: impl Into<String>,
        bars: impl IntoIterator<Item = (N, f64)>,
    ) -> Self {
        let mut chart = Self::new(title, [""]);
        for (name, value) in bars {
            let (name, values) = (name.into(), vec![value]);
            chart.data.series.push(BarSeries { name, values, ..BarSeries::default() });
        }
        chart
    }

    /// What the bars show, with the unit.
    pub fn y(mut self, label: impl Into<String>) -> Self {
        self.data.y = label.into();
        self
    }

    /// Makes the y axis logarithmic, for values that differ by orders of magnitude. The length of a bar then only shows the
    /// order of magnitude; a value of zero or below has no bar.
    pub fn log_y(mut self) -> Self {
        self.data.log_y = true;
        self
    }

    /// Makes the y axis logarithmic if the largest value exceeds `ratio` times the smallest positive one.
    pub fn log_y_beyond(self, ratio: f64) -> Self {
        let positive = self.data.series.iter().flat_map(|series| &series.values);
        let positive = positive.copied().filter(|value| drawable(*value) && *value > 0.0);
        let (low, high) = positive
            .fold((f64::INFINITY, 0.0f64), |(low, high), value| (low.min(value), high.max(value)));
        if high > low * ratio { self.log_y() } else { self }
    }

    /// Adds a series with a bar in each category.
    ///
    /// # Errors
    /// [`crate::Error::Length`] if the number of values is not that of the categories.
    pub fn series(self, name: impl Into<String>, values: impl Numbers) -> Result<Self> {
        self.series_with_error(name, values, Vec::<f64>::new())
    }

    /// Adds a series with a bar in each category and error bars: `error` is half the height of each, for example
    /// a standard deviation; an empty list omits them.
    ///
    /// # Errors
    /// [`crate::Error::Length`] if the number of values or errors is not that of the categories.
    pub fn series_with_error(
        mut self,
        name: impl Into<String>,
        values: impl Numbers,
        error: impl Numbers,
    ) -> Result<Self> {
        let (name, values, error) = (name.into(), values.numbers(), error.numbers());
        let expected = self.data.categories.len();
        same_length(format!("values of series \"{name}\""), expected, values.len())?;
        if !error.is_empty() {
            same_length(format!("errors of series \"{name}\""), expected, error.len())?;
        }
        self.data.series.push(BarSeries { name, values, error, ..BarSeries::default() });
        Ok(self)
    }

    /// Draws the single values behind the bars of the newest series, for example the runs behind a median:
    /// one list per category. Omits NaN and infinities.
    ///
    /// # Errors
    /// [`crate::Error::Length`] if the number of lists is not that of the categories.
    pub fn runs<L: Numbers>(mut self, lists: impl IntoIterator<Item = L>) -> Result<Self> {
        let finite = |list: L| list.numbers().into_iter().filter(|v| drawable(*v)).collect();
        let runs: Vec<Vec<f64>> = lists.into_iter().map(finite).collect();
        if let Some(series) = self.data.series.last_mut() {
            let what = format!("lists of single values of series \"{}\"", series.name);
            same_length(what, self.data.categories.len(), runs.len())?;
            series.runs = runs;
        }
        Ok(self)
    }

    /// Adds a series with a bar in each category and error bars from `low` to `high`: intervals that may be asymmetric
    /// about the value.
    ///
    /// # Errors
    /// [`crate::Error::Length`] if the number of values or ends is not that of the categories.
    pub fn series_with_interval(
        self,
        name: impl Into<String>,
        values: impl Numbers,
        low: impl Numbers,
        high: impl Numbers,
    ) -> Result<Self> {
        let (name, values, low, high) =
            (name.into(), values.numbers(), low.numbers(), high.numbers());
        same_length(format!("lower ends of series \"{name}\""), values.len(), low.len())?;
        same_length(format!("upper ends of series \"{name}\""), values.len(), high.len())?;
        let apart = |from: &[f64], to: &[f64]| -> Vec<f64> {
            from.iter().zip(to).map(|(from, to)| to - from).collect()
        };
        let (error, below) = (apart(&values, &high), apart(&low, &values));
        let mut chart = self.series_with_error(name, values, error)?;
        if let Some(series) = chart.data.series.last_mut() {
            series.below = below;
        }
        Ok(chart)
    }

    /// The chart's data.
    pub fn data(&self) -> &BarData {
        &self.data
    }

    /// Whether the bars are named one by one instead of by category and legend.
    pub(crate) fn named_bars(&self) -> bool {
        self.data.categories.len() == 1 && self.data.categories[0].is_empty()
    }

    /// The position of a value on the y axis; negative infinity for zero and below on a logarithmic axis.
    fn place(&self, value: f64) -> f64 {
        match self.data.log_y {
            true if value > 0.0 => value.log10(),
            true => f64::NEG_INFINITY,
            false => value,
        }
    }

    /// A linear y axis always includes zero, so that the length of a bar shows its value. The axis exceeds the bars
    /// by `extra`, a fraction of their height, for the printed values.
    fn y_axis(&self, bars: &[Bar], extra: f64) -> Axis {
        let ends = bars.iter().flat_map(|bar| {
            let (low, high) = bar.error.unwrap_or((bar.at, bar.at));
            bar.runs.iter().copied().chain([low, high])
        });
        if self.data.log_y {
            return Axis::log(&format!("{}, log scale", self.data.y), ends, extra);
        }
        let (low, high) = ends.fold((0.0f64, 0.0f64), |(low, high), v| (low.min(v), high.max(v)));
        let more = (high - low) * extra;
        let low = if low < 0.0 { low - more } else { low };
        let high = if high > 0.0 { high + more } else { high };
        let at_least = (low == high).then_some((0.0, 1.0));
        Axis::of(&self.data.y, [low, high].into_iter(), Fit { ticks: 5, at_least, ..Fit::VALUES })
    }

    fn bars(&self, room: Room) -> Vec<Bar> {
        let (groups, each) = (self.data.categories.len(), self.data.series.len());
        // Bars wider than this look like blocks.
        let widest = 96.0 / room.width() * groups.max(1) as f32;
        let width = (0.76 / each.max(1) as f64).min(f64::from(widest));
        let mut bars = Vec::new();
        for group in 0..groups {
            for (i, series) in self.data.series.iter().enumerate() {
                let middle = if self.named_bars() {
                    (i as f64 + 0.5) / each as f64
                } else {
                    group as f64 + 0.5 + (i as f64 - (each as f64 - 1.0) / 2.0) * width
                };
                let value = series.values[group];
                if drawable(value) {
                    let error = series.reach(group).filter(|(down, up)| {
                        drawable(*down) && drawable(*up) && down.max(*up) > 0.0
                    });
                    let (low, high) = match error {
                        Some((down, up)) => (value - down, value + up),
                        None => (value, value),
                    };
                    let [at, low, high] = [value, low, high].map(|end| self.place(end));
                    let half = width * 0.46;
                    let error = error.is_some().then_some((low, high));
                    let runs = series.runs.get(group).into_iter().flatten();
                    let runs = runs.map(|value| self.place(*value)).collect();
                    bars.push(Bar { series: i, middle, half, value, at, error, runs });
                }
            }
        }
        bars
    }
}

/// One bar, in the coordinates of the axes.
struct Bar {
    series: usize,
    middle: f64,
    half: f64,
    /// The given value.
    value: f64,
    /// The position of the value on the y axis.
    at: f64,
    /// The ends of the error bar, on the y axis.
    error: Option<(f64, f64)>,
    /// The single values, on the y axis.
    runs: Vec<f64>,
}

impl Bar {
    /// Whether the bar is below zero.
    fn hangs(&self) -> bool {
        self.value < 0.0 && self.at.is_finite()
    }

    /// The farthest position of the bar, its error bar and its single values from the start of the bar.
    fn end(&self, y: &Axis) -> f64 {
        let (low, high) = self.error.unwrap_or((self.at, self.at));
        let runs = self.runs.iter().copied();
        if self.hangs() { runs.fold(low, f64::min) } else { runs.fold(high.max(y.low), f64::max) }
    }

    /// The single values with their positions on the x axis, side by side over the bar.
    fn points(&self) -> impl Iterator<Item = (f64, f64)> {
        let count = self.runs.len() as f64;
        let across = move |i: usize| ((i as f64 + 0.5) / count - 0.5) * 1.3 * self.half;
        self.runs.iter().enumerate().map(move |(i, at)| (self.middle + across(i), *at))
    }
}

impl Chart for BarChart {
    fn title(&self) -> &str {
        &self.data.title
    }

    fn alt(&self) -> String {
        let BarData { title, y, categories, series, .. } = &self.data;
        let what = if y.is_empty() { String::new() } else { format!(", {y}") };
        let bar = |series: &BarSeries, i: usize| {
            let value = series.words_with_runs(i);
            match categories[i].as_str() {
                "" => value,
                category => format!("{value} ({category})"),
            }
        };
        let bars = series.iter().map(|series| {
            let values: Vec<String> = (0..categories.len()).map(|i| bar(series, i)).collect();
            format!(" {}: {}.", series.name, values.join(", "))
        });
        format!("Bar chart: {title}{what}.{}", bars.collect::<String>())
    }

    fn table(&self) -> Table {
        let heads = [self.data.y.as_str()]
            .into_iter()
            .chain(self.data.categories.iter().map(String::as_str));
        let mut table = Table::new(heads).numeric();
        for series in &self.data.series {
            let mut row = vec![Cell::from(&series.name)];
            row.extend((0..series.values.len()).map(|i| Cell::from(series.words(i))));
            table.push(row);
        }
        table
    }

    fn drawing(&self) -> Drawing {
        Drawing::card(self.sheet.width, self.sheet.height, |canvas| self.draw(canvas))
    }

    fn vega_lite(&self) -> VegaLite {
        VegaLite::new(self, &self.data.subtitle, self.sheet, self.vega())
    }
}

impl BarChart {
    fn draw(&self, canvas: &Canvas<'_>) {
        let room = Room::card(canvas);
        let mut room = plot::title(canvas, room, &self.data.title, &self.data.subtitle);
        let colour = |i: usize| series_colour(&self.data.series[i].name, i);
        if !self.named_bars() {
            let keys: Vec<Key> = (0..self.data.series.len())
                .map(|i| Key {
                    name: self.data.series[i].name.clone(),
                    colour: colour(i),
                    sign: Sign::Block,
                })
                .collect();
            room = plot::legend(canvas, room, &keys);
        }
        let bars = self.bars(room);
        let groups = self.data.categories.len().max(1) as f64;
        let x = Axis {
            name: String::new(),
            low: 0.0,
            high: groups,
            ticks: vec![],
            labels: vec![],
            log: false,
        };

        let values: Vec<String> =
            bars.iter().map(|bar| short(bar.value).replace('-', "−")).collect();
        // The labels of the y axis determine the width of the bars, which determines the form of the values.
        let width = plot::inner_width(room, &self.y_axis(&bars, 0.2));
        let slot = bars.first().map_or(0.0, |bar| bar.half as f32 / 0.46) / x.high as f32 * width;
        let form = Values::fitting(&values, slot);
        let height = (room.height() - 60.0).max(20.0);
        let extra = form.length(&values) / (height - form.length(&values)).max(20.0);
        let y = self.y_axis(&bars, f64::from(extra));
        let base = if self.data.log_y { y.low } else { 0.0 };

        // Names of categories take up to three lines under the axis.
        let names: Vec<&str> = if self.named_bars() {
            self.data.series.iter().map(|s| s.name.as_str()).collect()
        } else {
            self.data.categories.iter().map(String::as_str).collect()
        };
        let style = Type::LABEL;
        let slot = plot::inner_width(room, &y) / names.len().max(1) as f32;
        let names: Vec<Vec<String>> = names
            .iter()
            .map(|name| font::wrap(name, style.size, style.weight, slot - 6.0, 3))
            .collect();
        let lines = names.iter().map(Vec::len).max().unwrap_or(0);
        let bottom = room.bottom;
        room.bottom -= lines as f32 * 16.0 + 2.0;

        let inner = plot::axes(canvas, room, &x, &y, |plane| {
            plane.draw_series(bars.iter().map(|bar| {
                let end = bar.at.max(y.low);
                let corners = [(bar.middle - bar.half, base), (bar.middle + bar.half, end)];
                Rectangle::new(corners, rgb(colour(bar.series)).filled())
            }))?;
            for bar in &bars {
                if let Some((low, high)) = bar.error {
                    let ends = (bar.middle, low.max(y.low), high.max(y.low));
                    let ink = stroke(INK, 1.3);
                    plot::error_bar(plane, ends, bar.half * 0.35, ink)?;
                }
            }
            Ok(())
        });
        for (x_at, y_at) in bars.iter().flat_map(Bar::points).filter(|(_, at)| at.is_finite()) {
            let across = inner.left + plot::share(x_at, &x) * inner.width();
            let down = inner.bottom - plot::share(y_at, &y) * inner.height();
            // The ring separates points from each other and from the bar.
            canvas.marker(across, down, 3.4, 0, CARD);
            canvas.marker(across, down, 2.3, 0, INK);
        }
        for (bar, value) in bars.iter().zip(&values) {
            let across = inner.left + plot::share(bar.middle, &x) * inner.width();
            let end = inner.bottom - plot::share(bar.end(&y), &y) * inner.height();
            form.write(canvas, (across, end), value, bar.hangs());
        }
        for (i, lines) in names.iter().enumerate() {
            let across = inner.left + (i as f32 + 0.5) / names.len() as f32 * inner.width();
            for (k, line) in lines.iter().enumerate() {
                let down = room.bottom + 8.0 + k as f32 * 16.0;
                canvas.text(across, down.min(bottom), line, Align::Centre, style);
            }
        }
        if bars.is_empty() {
            plot::nothing(canvas, inner, "no values yet");
        }
    }
}

impl BarChart {
    /// The chart's view for [`VegaLite`].
    fn vega(&self) -> Value {
        let BarData { y, categories, series, log_y, .. } = &self.data;
        let names = vega::distinct(series.iter().map(|series| series.name.as_str()));
        let room = Room { left: 0.0, top: 0.0, right: 600.0, bottom: 300.0 };
        let axis = self.y_axis(&self.bars(room), 0.2);
        let [lowest, highest] =
            [axis.low, axis.high].map(|at| if *log_y { 10f64.powf(at) } else { at });
        let (mut bars, mut errors, mut runs) = (Vec::new(), Vec::new(), Vec::new());
        for (series, name) in series.iter().zip(&names) {
            for (i, category) in categories.iter().enumerate() {
                let shown = |value: f64| drawable(value) && (!log_y || value > 0.0);
                let value = series.values[i];
                if !shown(value) {
                    continue;
                }
                let row = json!({"series": name, "category": category});
                let row = |key: &str, value: f64| {
                    let mut row = row.clone();
                    row[key] = value.into();
                    row
                };
                let single = series.runs.get(i).into_iter().flatten().filter(|run| shown(**run));
                runs.extend(single.map(|run| row("run", *run)));
                if let Some((down, up)) = series.reach(i).filter(|(a, b)| drawable(a + b)) {
                    let mut error = row("low", (value - down).max(lowest));
                    error["high"] = (value + up).into();
                    errors.push(error);
                }
                bars.push(row("value", value));
            }
        }
        let kind = if *log_y { "log" } else { "linear" };
        let scale = json!({"type": kind, "domain": [lowest, highest], "nice": false});
        let height = |field: &str| vega::quantity(field, y, &scale);
        let mut bar = height("value");
        bar["stack"] = Value::Null;
        let named = self.named_bars();
        let legend = if named { Value::Null } else { json!({"title": null}) };
        let across = if named { "series" } else { "category" };
        let axis = json!({"labelAngle": 0});
        let mut encoding = json!({
            "x": {"field": across, "type": "nominal", "sort": null, "title": null, "axis": axis},
            "color": vega::colour(&names, legend),
        });
        if !named {
            encoding["xOffset"] = json!({"field": "series", "type": "nominal", "sort": names});
        }
        let ink = json!({"value": INK.hex()});
        let mark = json!({"type": "bar", "tooltip": true});
        let mut layers = vec![vega::layer(bars, mark, json!({"y": bar}))];
        if !errors.is_empty() {
            let ends = json!({"y": height("low"), "y2": {"field": "high"}, "color": ink});
            layers.push(vega::layer(errors, json!("rule"), ends));
        }
        if !runs.is_empty() {
            let mark = json!({"type": "point", "filled": true, "size": 20, "tooltip": true});
            layers.push(vega::layer(runs, mark, json!({"y": height("run"), "color": ink})));
        }
        json!({"encoding": encoding, "layer": layers})
    }
}
