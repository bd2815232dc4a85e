use std::path::Path;

use benchbook_display::{Bundle, Rich};
use serde_json::{Value, json};

use crate::chart::{Chart, Sheet};
use crate::error::{Error, Result};
use crate::palette::series_colour;

/// The MIME type of a Vega-Lite specification of version 5, which JupyterLab, VS Code and others draw.
pub const VEGA_LITE_MIME: &str = "application/vnd.vegalite.v5+json";
const SCHEMA: &str = "https://vega.github.io/schema/vega-lite/v5.json";

/// A chart as a specification of [Vega-Lite](https://vega.github.io/vega-lite/) 5 that contains the data. In a notebook
/// the front end draws it ([`VEGA_LITE_MIME`]), or else shows the chart's description.
///
/// ```
/// use benchbook_chart::{Chart, LineChart};
///
/// # fn main() -> Result<(), benchbook_chart::Error> {
/// let loss = LineChart::new("Loss").x("epoch").series("training", &[0.69, 0.41])?;
/// assert_eq!(loss.vega_lite().spec()["title"]["text"], "Loss");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct VegaLite {
    spec: Value,
}

impl VegaLite {
    /// A specification of `view`, the chart's data, marks and encodings.
    pub(crate) fn new(chart: &impl Chart, subtitle: &str, sheet: Sheet, view: Value) -> Self {
        let mut spec = json!({
            "$schema": SCHEMA,
            "title": {"text": chart.title(), "subtitle": subtitle, "anchor": "start"},
            "description": chart.alt(),
        });
        // Views side by side have separate sizes.
        if view.get("hconcat").is_none() {
            spec["width"] = sheet.width.into();
            spec["height"] = sheet.height.into();
            spec["autosize"] = json!({"type": "fit", "contains": "padding"});
        }
        if let (Value::Object(spec), Value::Object(view)) = (&mut spec, view) {
            spec.extend(view);
        }
        Self { spec }
    }

    /// The specification.
    pub fn spec(&self) -> &Value {
        &self.spec
    }

    /// Writes the specification as JSON and replaces an existing file.
    ///
    /// # Errors
    /// [`Error::Write`] when the file cannot be written.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        std::fs::write(path, format!("{:#}\n", self.spec))
            .map_err(|error| Error::Write { path: path.to_owned(), why: error.to_string() })
    }
}

impl Rich for VegaLite {
    fn bundle(&self) -> Bundle {
        let mut bundle = Bundle::text(self.spec["description"].as_str().unwrap_or_default());
        bundle.data.insert(VEGA_LITE_MIME.into(), self.spec.clone());
        bundle
    }
}

/// The title of an axis; none if the chart has no label.
pub(crate) fn title(label: &str) -> Value {
    if label.is_empty() { Value::Null } else { label.into() }
}

/// A channel of numbers.
pub(crate) fn quantity(field: &str, label: &str, scale: &Value) -> Value {
    json!({"field": field, "type": "quantitative", "title": title(label), "scale": scale})
}

/// Marks of rows with their own channels, in addition to those that a view's layers share.
pub(crate) fn layer(rows: Vec<Value>, mark: Value, encoding: Value) -> Value {
    json!({"data": {"values": rows}, "mark": mark, "encoding": encoding})
}

/// The channel of colours: each series has the colour of the drawing.
pub(crate) fn colour(names: &[String], legend: Value) -> Value {
    let colours = names.iter().enumerate().map(|(i, name)| series_colour(name, i).hex());
    let scale = json!({"domain": names, "range": colours.collect::<Vec<_>>()});
    json!({"field": "series", "type": "nominal", "legend": legend, "scale": scale})
}

/// Makes names unique with numbers, since Vega-Lite takes series of equal names for one series.
pub(crate) fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for name in names {
        let numbered = (2..).map(|number| format!("{name} ({number})"));
        let mut free = std::iter::once(name.to_owned()).chain(numbered);
        all.extend(free.find(|name| !all.contains(name)));
    }
    all
}
