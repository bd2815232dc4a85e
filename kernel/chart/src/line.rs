use std::collections::HashSet;

use plotters::prelude::{Circle, LineSeries};
use plotters::style::Color;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::axis::{Axis, Fit};
use crate::chart::{Chart, Sheet, Source, sheet_methods};
use crate::drawing::{Canvas, Drawing, Drawn, fine};
use crate::error::{Result, same_length, some};
use crate::numbers::{Numbers, drawable, gaps, short};
use crate::palette::{Colour, series_colour};
use crate::plot::{self, Key, Plane, Room, Sign, rgb, stroke};
use crate::table::{Cell, Table};
use crate::vega::{self, VegaLite};

/// Lines with at most this number of points have a marker at each.
const MARKED: usize = 40;

/// One line of a [`LineChart`] or one cloud of a [`Scatter`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// The positions of the points on the x axis.
    #[serde(with = "gaps")]
    pub x: Vec<f64>,
    /// Their values; NaN and infinities are gaps (`null` in JSON).
    #[serde(with = "gaps")]
    pub y: Vec<f64>,
    /// Half the height of the error bar at each point; may be empty.
    #[serde(with = "gaps")]
    pub error: Vec<f64>,
    /// Single points behind the line, x and y, drawn small and without lines; may be empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<(f64, f64)>,
}

impl Series {
    /// The points that can be drawn.
    fn drawable(&self) -> impl Iterator<Item = (f64, f64)> {
        self.x
            .iter()
            .copied()
            .zip(self.y.iter().copied())
            .filter(|(x, y)| drawable(*x) && drawable(*y))
    }
}

/// The data of a [`LineChart`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LineData {
    /// The title.
    pub title: String,
    /// The line under it.
    pub subtitle: String,
    /// The sources of the numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Source>,
    /// What the x axis shows, with the unit.
    pub x: String,
    /// What the y axis shows, with the unit.
    pub y: String,
    /// The lines.
    pub series: Vec<Series>,
    /// The smallest range of the y axis.
    pub y_range: Option<(f64, f64)>,
    /// Whether the x axis is logarithmic.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub log_x: bool,
}

impl LineData {
    /// The position of a value on the x axis; NaN for zero and below on a logarithmic axis.
    fn place(&self, x: f64) -> f64 {
        match self.log_x {
            true if x > 0.0 => x.log10(),
            true => f64::NAN,
            false => x,
        }
    }
}

/// Lines over one x axis: loss by epoch, accuracy by time.
///
/// The y axis starts at zero if the values are not far from it. An axis whose label starts
/// with "acc", or contains "accuracy", is from 0 to 1 if the values are.
#[derive(Clone, Debug, PartialEq)]
pub struct LineChart {
    pub(crate) data: LineData,
    sheet: Sheet,
    markers: Option<bool>,
    /// Whether lines connect the points; in a scatter chart they do not.
    pub(crate) joined: bool,
}

sheet_methods!(LineChart, Lines);

/// A [`LineChart`] of unconnected points, one cloud per series: time against accuracy, one run per point.
#[derive(Clone, Copy, Debug)]
pub struct Scatter;

impl Scatter {
    /// A chart without points; `points` adds a cloud.
    #[expect(clippy::new_ret_no_self, reason = "a scatter chart is a line chart without its lines")]
    pub fn new(title: impl Into<String>) -> LineChart {
        LineChart { markers: Some(true), joined: false, ..LineChart::new(title) }
    }
}

impl LineChart {
    /// A chart without lines, shown as empty axes.
    pub fn new(title: impl Into<String>) -> Self {
        let data = LineData { title: title.into(), ..LineData::default() };
        Self { data, sheet: Sheet::new(680, 380), markers: None, joined: true }
    }

    /// What the x axis shows, with the unit.
    pub fn x(mut self, label: impl Into<String>) -> Self {
        self.data.x = label.into();
        self
    }

    /// What the y axis shows, with the unit.
    pub fn y(mut self, label: impl Into<String>) -> Self {
        self.data.y = label.into();
        self
    }

    /// Adds a line through values at 1, 2, 3 … (epochs count from 1). NaN is a gap.
    ///
    /// # Errors
    /// [`crate::Error::Empty`] without values.
    pub fn series(self, name: impl Into<String>, y: impl Numbers) -> Result<Self> {
        let (name, y) = (name.into(), y.numbers());
        some(&format!("series \"{name}\""), &y)?;
        let x: Vec<f64> = (1..=y.len()).map(|i| i as f64).collect();
        self.points(name, x, y)
    }

    /// Adds a line through points.
    ///
    /// # Errors
    /// [`crate::Error::Length`] if the number of y is not that of x.
    pub fn points(self, name: impl Into<String>, x: impl Numbers, y: impl Numbers) -> Result<Self> {
        self.points_with_error(name, x, y, Vec::<f64>::new())
    }

    /// Adds a line through points with error bars: `error` is half the height of each, for example a
    /// standard deviation; an empty list omits them.
    ///
    /// # Errors
    /// [`crate::Error::Length`] if the number of y or errors is not that of x.
    pub fn points_with_error(
        mut self,
        name: impl Into<String>,
        x: impl Numbers,
        y: impl Numbers,
        error: impl Numbers,
    ) -> Result<Self> {
        let (name, x, y, error) = (name.into(), x.numbers(), y.numbers(), error.numbers());
        same_length(format!("y values of series \"{name}\""), x.len(), y.len())?;
        if !error.is_empty() {
            same_length(format!("errors of series \"{name}\""), x.len(), error.len())?;
        }
        self.data.series.push(Series { name, x, y, error, ..Series::default() });
        Ok(self)
    }

    /// Draws single points behind the newest line, for example the epochs of each run behind medians. Omits points
    /// with NaN or an infinity.
    ///
    /// # Errors
    /// [`crate::Error::Length`] if the number of y is not that of x.
    pub fn runs(mut self, x: impl Numbers, y: impl Numbers) -> Result<Self> {
        let (x, y) = (x.numbers(), y.numbers());
        same_length("y values of single points", x.len(), y.len())?;
        if let Some(series) = self.data.series.last_mut() {
            let points = x.into_iter().zip(y).filter(|(x, y)| drawable(*x) && drawable(*y));
            series.runs = points.collect();
        }
        Ok(self)
    }

    /// Makes the x axis logarithmic, for values that differ by orders of magnitude.
    pub fn log_x(mut self) -> Self {
        self.data.log_x = true;
        self
    }

    /// Sets the smallest range of the y axis, which values can extend.
    pub fn y_range(mut self, low: f64, high: f64) -> Self {
        self.data.y_range = Some((low.min(high), high.max(low)));
        self
    }

    /// Whether each point has a marker; by default, lines of up to 40 points have them.
    pub fn markers(mut self, markers: bool) -> Self {
        self.markers = Some(markers);
        self
    }

    /// The chart's data.
    pub fn data(&self) -> &LineData {
        &self.data
    }

    fn marked(&self, series: &Series) -> bool {
        self.markers.unwrap_or(series.y.len() <= MARKED)
    }

    /// The legend's entries.
    pub(crate) fn keys(&self) -> Vec<Key> {
        let key = |(i, series): (usize, &Series)| Key {
            name: series.name.clone(),
            colour: series_colour(&series.name, i),
            sign: if self.joined {
                Sign::Line { series: i, marked: self.marked(series) }
            } else {
                Sign::Point(i)
            },
        };
        self.data.series.iter().enumerate().map(key).collect()
    }

    /// Draws axes and lines, without title and legend.
    pub(crate) fn draw(&self, canvas: &Canvas<'_>, room: Room) {
        let place = |x: &f64| self.data.place(*x);
        let placed = self.data.series.iter().map(|series| {
            let x = series.x.iter().map(place).collect();
            let runs = series.runs.iter().map(|(x, y)| (place(x), *y)).collect();
            Series { x, runs, ..series.clone() }
        });
        let placed: Vec<Series> = placed.collect();
        let (x, y) = (x_axis(&self.data, &placed, room, self.joined), y_axis(&self.data));
        // Caps of error bars are about eight pixels wide.
        let cap = (x.high - x.low) * f64::from(4.0 / room.width());
        let inner = plot::axes(canvas, room, &x, &y, |plane| {
            for (i, series) in placed.iter().enumerate() {
                let colour = series_colour(&series.name, i);
                draw_errors(plane, series, colour, cap)?;
                if self.joined {
                    draw_line(plane, series, colour, room.width())?;
                }
            }
            Ok(())
        });
        let point = |(at, value): (f64, f64)| {
            let right = inner.left + plot::share(at, &x) * inner.width();
            (right, inner.bottom - plot::share(value, &y) * inner.height())
        };
        for (i, series) in placed.iter().enumerate() {
            let colour = series_colour(&series.name, i).tint(0.6);
            for (right, down) in series.runs.iter().copied().map(point) {
                canvas.marker(right, down, 2.0, i, colour);
            }
        }
        for (i, series) in placed.iter().enumerate().filter(|(_, s)| self.marked(s)) {
            let colour = series_colour(&series.name, i);
            let mut seen = HashSet::new();
            for (right, down) in series.drawable().map(point) {
                // A marker on an equal marker would only make the image larger.
                if seen.insert(((right * 2.0) as i32, (down * 2.0) as i32)) {
                    canvas.marker(right, down, 3.2, i, colour);
                }
            }
        }
        if placed.iter().all(|series| series.drawable().next().is_none()) {
            let text =
                if self.data.series.is_empty() { "no values yet" } else { "no finite values" };
            plot::nothing(canvas, inner, text);
        }
    }
}

/// Lines fill the width; unconnected points keep a distance from the edges.
fn x_axis(data: &LineData, placed: &[Series], room: Room, tight: bool) -> Axis {
    let points = |s: &Series| s.drawable().chain(s.runs.iter().copied()).collect::<Vec<_>>();
    let values = || placed.iter().flat_map(points).map(|(x, _)| x);
    if data.log_x {
        return Axis::log(&format!("{}, log scale", data.x), values(), 0.0);
    }
    let whole = values().all(|x| x.fract() == 0.0 && x.abs() < 1e7);
    let ticks = (room.width() / 60.0).clamp(2.0, 12.0) as usize;
    let fit = Fit { ticks, from_zero: !tight, whole: whole && tight, tight, at_least: None };
    if !tight {
        let low = values().fold(f64::INFINITY, f64::min);
        let high = values().fold(f64::NEG_INFINITY, f64::max);
        let pad = (high - low) * 0.03;
        return Axis::of(&data.x, [low - pad, high + pad].into_iter(), fit);
    }
    let axis = Axis::of(&data.x, values(), fit);
    if axis.ticks.len() >= 2 || whole {
        return axis;
    }
    // The range is too short for two round ticks, so use finer ones.
    Axis::of(&data.x, values(), Fit { ticks: 2 * ticks, ..fit })
}

fn y_axis(data: &LineData) -> Axis {
    let values = || {
        data.series
            .iter()
            .flat_map(|series| {
                series.y.iter().enumerate().flat_map(|(i, y)| {
                    let error =
                        series.error.get(i).copied().filter(|e| drawable(*e)).unwrap_or(0.0);
                    [y - error, y + error]
                })
            })
            .chain(data.series.iter().flat_map(|series| &series.runs).map(|(_, y)| *y))
    };
    let label = data.y.to_lowercase();
    let share = (label.starts_with("acc") || label.contains("accuracy"))
        && values().all(|y| !drawable(y) || (0.0..=1.0).contains(&y));
    let at_least = data.y_range.or(share.then_some((0.0, 1.0)));
    let at_least = at_least.filter(|(low, high)| drawable(*low) && drawable(*high));
    Axis::of(&data.y, values(), Fit { at_least, ..Fit::VALUES })
}

fn draw_errors(plane: &mut Plane<'_, '_>, series: &Series, colour: Colour, cap: f64) -> Drawn {
    for ((x, y), error) in series.x.iter().zip(&series.y).zip(&series.error) {
        if drawable(*x) && drawable(*y) && drawable(*error) && *error > 0.0 {
            let bar = (*x, y - error, y + error);
            plot::error_bar(plane, bar, cap, stroke(colour, 1.3))?;
        }
    }
    Ok(())
}

fn draw_line(plane: &mut Plane<'_, '_>, series: &Series, colour: Colour, width: f32) -> Drawn {
    let points: Vec<(f64, f64)> = series.x.iter().copied().zip(series.y.iter().copied()).collect();
    for part in points.split(|(x, y)| !drawable(*x) || !drawable(*y)) {
        if let [lone] = part {
            plane.draw_series([Circle::new(*lone, fine(2.0), rgb(colour).filled())])?;
        } else if !part.is_empty() {
            plane.draw_series(LineSeries::new(thin(part, width), stroke(colour, 2.0)))?;
        }
    }
    Ok(())
}

/// Keeps a line of very many points small: of each run of points that share a pixel column, the
/// first, lowest, highest and last are all that can be seen.
fn thin(points: &[(f64, f64)], width: f32) -> Vec<(f64, f64)> {
    let run = points.len() / (width.max(1.0) as usize);
    if run < 5 {
        return points.to_vec();
    }
    let mut kept = Vec::new();
    for chunk in points.chunks(run) {
        let by_height = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
        let ends = [chunk.first(), chunk.last()].into_iter().flatten();
        let peaks = [chunk.iter().min_by(by_height), chunk.iter().max_by(by_height)];
        let mut seen: Vec<(f64, f64)> = ends.chain(peaks.into_iter().flatten()).copied().collect();
        seen.sort_by(|a, b| a.0.total_cmp(&b.0));
        seen.dedup();
        kept.extend(seen);
    }
    kept
}

/// What a series does, in words.
pub(crate) fn in_words(series: &Series) -> String {
    let name = if series.name.is_empty() { "values" } else { &series.name };
    let points: Vec<(f64, f64)> = series.drawable().collect();
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return format!("{name}: no values");
    };
    let by_value = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
    let lowest = points.iter().min_by(by_value).unwrap_or(first);
    let highest = points.iter().max_by(by_value).unwrap_or(first);
    let mut words = format!(
        "{name}: {} points, from {} at {} to {} at {}, lowest {} at {}, highest {} at {}",
        points.len(),
        short(first.1),
        short(first.0),
        short(last.1),
        short(last.0),
        short(lowest.1),
        short(lowest.0),
        short(highest.1),
        short(highest.0),
    );
    let gaps = series.y.len() - points.len();
    if gaps > 0 {
        words += &format!(", {gaps} without a value");
    }
    words
}

/// First, last, lowest and highest value of each series.
pub(crate) fn summary<'a>(what: &str, all: impl Iterator<Item = (String, &'a Series)>) -> Table {
    let mut table = Table::new([what, "points", "first", "last", "lowest", "highest"]).numeric();
    for (name, series) in all {
        let values: Vec<f64> = series.drawable().map(|(_, y)| y).collect();
        let number = |value: Option<f64>| Cell::from(value.map_or("–".to_owned(), short));
        table.push(vec![
            Cell::from(name),
            Cell::from(values.len()),
            number(values.first().copied()),
            number(values.last().copied()),
            number(values.iter().copied().reduce(f64::min)),
            number(values.iter().copied().reduce(f64::max)),
        ]);
    }
    table
}

impl Chart for LineChart {
    fn title(&self) -> &str {
        &self.data.title
    }

    fn alt(&self) -> String {
        let LineData { title, x, y, series, .. } = &self.data;
        let kind = if self.joined { "Line chart" } else { "Scatter chart" };
        let mut heading = format!("{kind}: {title}");
        for (word, label) in [(", ", y), (" by ", x)] {
            if !label.is_empty() {
                heading += &format!("{word}{label}");
            }
        }
        let lines: Vec<String> = series.iter().map(in_words).collect();
        format!(
            "{heading}. {}.",
            if lines.is_empty() { "No values yet".into() } else { lines.join("; ") }
        )
    }

    fn table(&self) -> Table {
        let name = if self.data.y.is_empty() { "series" } else { &self.data.y };
        summary(name, self.data.series.iter().map(|s| (s.name.clone(), s)))
    }

    fn drawing(&self) -> Drawing {
        Drawing::card(self.sheet.width, self.sheet.height, |canvas| {
            let room = Room::card(canvas);
            let room = plot::title(canvas, room, &self.data.title, &self.data.subtitle);
            let room = plot::legend(canvas, room, &self.keys());
            self.draw(canvas, room);
        })
    }

    fn vega_lite(&self) -> VegaLite {
        VegaLite::new(self, &self.data.subtitle, self.sheet, self.vega())
    }
}

impl LineChart {
    /// The chart's view for [`VegaLite`].
    pub(crate) fn vega(&self) -> Value {
        let LineData { x, y, series, log_x, .. } = &self.data;
        let names = vega::distinct(series.iter().map(|series| series.name.as_str()));
        let (mut points, mut errors, mut runs) = (Vec::new(), Vec::new(), Vec::new());
        for (series, name) in series.iter().zip(&names) {
            for (i, (x, y)) in series.x.iter().zip(&series.y).enumerate() {
                // What cannot be drawn is a gap in the line.
                let y = drawable(*y).then_some(*y);
                points.push(json!({"series": name, "x": x, "y": y}));
                if let (Some(y), Some(error)) = (y, series.error.get(i).filter(|e| drawable(**e))) {
                    errors
                        .push(json!({"series": name, "x": x, "low": y - error, "high": y + error}));
                }
            }
            runs.extend(series.runs.iter().map(|(x, y)| json!({"series": name, "x": x, "run": y})));
        }
        let axis = y_axis(&self.data);
        let scale = json!({"domain": [axis.low, axis.high], "nice": false});
        let height = |field: &str| vega::quantity(field, y, &scale);
        let legend = match names.iter().all(String::is_empty) {
            true => Value::Null,
            false => json!({"title": null}),
        };
        let mark = match self.joined {
            true => json!({"type": "line", "order": false, "tooltip": true,
                           "point": series.iter().all(|series| self.marked(series))}),
            false => json!({"type": "point", "filled": true, "tooltip": true}),
        };
        let mut layers = Vec::new();
        if !runs.is_empty() {
            let mark = json!({"type": "point", "filled": true, "size": 12, "opacity": 0.6});
            layers.push(vega::layer(runs, mark, json!({"y": height("run")})));
        }
        if !errors.is_empty() {
            let ends = json!({"y": height("low"), "y2": {"field": "high"}});
            layers.push(vega::layer(errors, json!("rule"), ends));
        }
        layers.push(vega::layer(points, mark, json!({"y": height("y")})));
        let across = json!({"field": "x", "type": "quantitative", "title": vega::title(x),
                            "scale": {"type": if *log_x { "log" } else { "linear" }, "zero": false,
                                      "nice": !self.joined}});
        json!({"encoding": {"x": across, "color": vega::colour(&names, legend)}, "layer": layers})
    }
}
