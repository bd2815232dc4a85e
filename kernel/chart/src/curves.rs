use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::chart::{Chart, Sheet, Source, sheet_methods};
use crate::drawing::{Canvas, Drawing};
use crate::line::{self, LineChart, LineData};
use crate::numbers::Numbers;
use crate::plot::{self, Key, Room};
use crate::table::Table;
use crate::vega::VegaLite;

/// The data of [`Curves`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CurvesData {
    /// The title.
    pub title: String,
    /// The line under it.
    pub subtitle: String,
    /// The sources of the numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Source>,
    /// The charts, from left to right.
    pub panels: Vec<LineData>,
}

/// Training and validation curves side by side, one panel per metric.
///
/// ```
/// use benchbook_chart::Curves;
///
/// let curves = Curves::new("VGG16, 3 epochs")
///     .metric("accuracy", &[0.58, 0.74, 0.91], &[0.61, 0.79, 0.91])
///     .metric("loss", &[0.67, 0.51, 0.22], &[0.68, 0.45, 0.18]);
/// assert_eq!(curves.data().panels.len(), 2);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Curves {
    data: CurvesData,
    panels: Vec<LineChart>,
    sheet: Sheet,
}

sheet_methods!(Curves, Curves);

impl Curves {
    /// A chart without panels.
    pub fn new(title: impl Into<String>) -> Self {
        let data = CurvesData { title: title.into(), ..CurvesData::default() };
        Self { data, panels: Vec::new(), sheet: Sheet::new(860, 360) }
    }

    /// Adds a panel with the metric of each epoch in training and in validation; an empty list omits
    /// its line.
    pub fn metric(
        self,
        name: impl Into<String>,
        training: impl Numbers,
        validation: impl Numbers,
    ) -> Self {
        let mut chart = LineChart::new("").x("epoch").y(name);
        for (name, values) in
            [("training", training.numbers()), ("validation", validation.numbers())]
        {
            // Fails for an empty list only.
            if let Ok(longer) = chart.clone().series(name, values) {
                chart = longer;
            }
        }
        self.panel(chart)
    }

    /// Adds a panel with any line chart. Uses the chart's labels, but not its size, title and subtitle.
    pub fn panel(mut self, chart: LineChart) -> Self {
        self.data.panels.push(chart.data.clone());
        self.panels.push(chart);
        self
    }

    /// The chart's data.
    pub fn data(&self) -> &CurvesData {
        &self.data
    }
}

impl Chart for Curves {
    fn title(&self) -> &str {
        &self.data.title
    }

    fn alt(&self) -> String {
        let panels = self.data.panels.iter().map(|panel| {
            let lines: Vec<String> = panel.series.iter().map(line::in_words).collect();
            format!(" {} by {}: {}.", panel.y, panel.x, lines.join("; "))
        });
        format!("Curves: {}.{}", self.data.title, panels.collect::<String>())
    }

    fn table(&self) -> Table {
        let all =
            self.data.panels.iter().flat_map(|panel| {
                panel.series.iter().map(|s| (format!("{} {}", s.name, panel.y), s))
            });
        line::summary("curve", all)
    }

    fn drawing(&self) -> Drawing {
        Drawing::card(self.sheet.width, self.sheet.height, |canvas| self.draw(canvas))
    }

    fn vega_lite(&self) -> VegaLite {
        let width = self.sheet.width / self.panels.len().max(1) as u32;
        let panels = self.panels.iter().map(|panel| {
            let mut view = panel.vega();
            view["width"] = width.saturating_sub(120).max(120).into();
            view["height"] = self.sheet.height.saturating_sub(120).max(120).into();
            view
        });
        let views = json!({"hconcat": panels.collect::<Vec<_>>()});
        VegaLite::new(self, &self.data.subtitle, self.sheet, views)
    }
}

impl Curves {
    fn draw(&self, canvas: &Canvas<'_>) {
        const GAP: f32 = 28.0;
        let room = Room::card(canvas);
        let room = plot::title(canvas, room, &self.data.title, &self.data.subtitle);
        // Panels share a legend: equal names have equal colours and markers.
        let mut keys: Vec<Key> = Vec::new();
        for key in self.panels.iter().flat_map(LineChart::keys) {
            if !keys.iter().any(|known| known.name == key.name) {
                keys.push(key);
            }
        }
        let room = plot::legend(canvas, room, &keys);
        if self.panels.is_empty() {
            plot::nothing(canvas, room, "no values yet");
        }
        let count = self.panels.len().max(1) as f32;
        let width = ((room.width() - (count - 1.0) * GAP) / count).max(60.0);
        for (i, panel) in self.panels.iter().enumerate() {
            let left = room.left + i as f32 * (width + GAP);
            panel.draw(canvas, Room { left, right: left + width, ..room });
        }
    }
}
