use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::chart::{Chart, Sheet, Source, sheet_methods};
use crate::drawing::{Align, CARD, Canvas, Drawing, INK, Type};
use crate::error::{Error, Result, same_length};
use crate::font;
use crate::numbers::commas;
use crate::palette::Colour;
use crate::plot::{self, Room};
use crate::table::{Cell, Table};
use crate::vega::{self, VegaLite};

/// The fill of a cell that holds its whole row.
const SHADE: Colour = Colour(0x00, 0x66, 0xb8);

/// The data of a [`ConfusionMatrix`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConfusionData {
    /// The title.
    pub title: String,
    /// The line under it.
    pub subtitle: String,
    /// Where the numbers come from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Source>,
    /// The classes, in the order of rows and columns.
    pub classes: Vec<String>,
    /// `counts[truth][prediction]`.
    pub counts: Vec<Vec<u64>>,
}

/// How often each class was taken for each: a row a true class, a column a prediction.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfusionMatrix {
    data: ConfusionData,
    sheet: Sheet,
}

sheet_methods!(ConfusionMatrix, Confusion);

impl ConfusionMatrix {
    /// A matrix of `counts[truth][prediction]`.
    ///
    /// # Errors
    /// [`Error::Empty`] without a class, [`Error::Length`] when rows or columns are not as many as
    /// the classes.
    pub fn new<C: Into<String>, R: AsRef<[u64]>>(
        title: impl Into<String>,
        classes: impl IntoIterator<Item = C>,
        counts: impl IntoIterator<Item = R>,
    ) -> Result<Self> {
        let title = title.into();
        let classes: Vec<String> = classes.into_iter().map(Into::into).collect();
        let counts: Vec<Vec<u64>> = counts.into_iter().map(|row| row.as_ref().to_vec()).collect();
        if classes.is_empty() {
            let what = format!("confusion matrix \"{title}\"");
            return Err(Error::Empty { what, found: "no classes".to_owned() });
        }
        same_length(format!("rows of confusion matrix \"{title}\""), classes.len(), counts.len())?;
        for (class, row) in classes.iter().zip(&counts) {
            let what = format!("row \"{class}\" of confusion matrix \"{title}\"");
            same_length(what, classes.len(), row.len())?;
        }
        let side = 150 + (90 * classes.len() as u32).min(600);
        let data =
            ConfusionData { title, subtitle: String::new(), sources: Vec::new(), classes, counts };
        Ok(Self { data, sheet: Sheet::new(side + 110, side) })
    }

    /// The data that is drawn.
    pub fn data(&self) -> &ConfusionData {
        &self.data
    }

    /// Share of the predictions that are right, 0 to 1; NaN without any.
    pub fn accuracy(&self) -> f64 {
        let right: u64 = self.data.counts.iter().enumerate().map(|(i, row)| row[i]).sum();
        let all: u64 = self.data.counts.iter().flatten().sum();
        right as f64 / all as f64
    }
}

impl Chart for ConfusionMatrix {
    fn title(&self) -> &str {
        &self.data.title
    }

    fn alt(&self) -> String {
        let ConfusionData { title, classes, counts, .. } = &self.data;
        let rows: Vec<String> = classes
            .iter()
            .zip(counts)
            .map(|(truth, row)| {
                let taken: Vec<String> = classes
                    .iter()
                    .zip(row)
                    .map(|(prediction, count)| format!("{count} predicted as {prediction}"))
                    .collect();
                format!("of true {truth}: {}", taken.join(", "))
            })
            .collect();
        let accuracy = match self.accuracy() {
            accuracy if accuracy.is_nan() => "no predictions".into(),
            accuracy => format!("accuracy {accuracy:.3}"),
        };
        format!("Confusion matrix: {title}, {accuracy}; {}.", rows.join("; "))
    }

    fn table(&self) -> Table {
        let heads =
            ["true \\ predicted"].into_iter().chain(self.data.classes.iter().map(String::as_str));
        let mut table = Table::new(heads).numeric();
        for (class, row) in self.data.classes.iter().zip(&self.data.counts) {
            let mut cells = vec![Cell::from(class)];
            cells.extend(row.iter().map(Cell::from));
            table.push(cells);
        }
        table
    }

    fn drawing(&self) -> Drawing {
        Drawing::card(self.sheet.width, self.sheet.height, |canvas| self.draw(canvas))
    }

    fn vega_lite(&self) -> VegaLite {
        let ConfusionData { subtitle, classes, counts, .. } = &self.data;
        let names = vega::distinct(classes.iter().map(String::as_str));
        let mut cells = Vec::new();
        for (truth, row) in names.iter().zip(counts) {
            let total = row.iter().sum::<u64>().max(1) as f64;
            cells.extend(names.iter().zip(row).map(|(prediction, count)| {
                let share = *count as f64 / total;
                json!({"truth": truth, "prediction": prediction, "count": count, "share": share})
            }));
        }
        let class = |field: &str, title: &str| {
            let mut class = json!({"field": field, "type": "nominal", "sort": names});
            class["title"] = title.into();
            class
        };
        let range = [0.06, 1.0].map(|strength| SHADE.tint(strength).hex());
        let share = json!({"field": "share", "type": "quantitative", "title": "share of the true class",
                           "scale": {"domain": [0, 1], "range": range}});
        let ink = json!({"condition": {"test": "datum.share > 0.5", "value": CARD.hex()}, "value": INK.hex()});
        let count = json!({"field": "count", "type": "quantitative"});
        let view = json!({
            "data": {"values": cells},
            "encoding": {"x": class("prediction", "prediction"), "y": class("truth", "true class")},
            "layer": [
                {"mark": {"type": "rect", "tooltip": true}, "encoding": {"color": share}},
                {"mark": "text", "encoding": {"text": count, "color": ink}},
            ],
        });
        VegaLite::new(self, subtitle, self.sheet, view)
    }
}

impl ConfusionMatrix {
    fn draw(&self, canvas: &Canvas<'_>) {
        let ConfusionData { title, subtitle, classes, counts, .. } = &self.data;
        let room = Room::card(canvas);
        let room = plot::title(canvas, room, title, subtitle);
        let style = Type::LABEL;
        let widest = classes.iter().map(|class| style.width(class)).fold(0.0, f32::max);
        let names = (widest + 12.0).min(room.width() * 0.35);
        canvas.text(
            room.left,
            room.bottom - 6.0,
            "rows: true class, columns: prediction",
            Align::Left,
            Type::AXIS,
        );
        let grid = Room {
            left: room.left + names,
            top: room.top + 22.0,
            bottom: room.bottom - 20.0,
            ..room
        };
        let (width, height) =
            (grid.width() / classes.len() as f32, grid.height() / classes.len() as f32);
        for (i, class) in classes.iter().enumerate() {
            let across = font::fit(class, style.size, style.weight, width - 4.0);
            canvas.text(
                grid.left + (i as f32 + 0.5) * width,
                room.top + 10.0,
                &across,
                Align::Centre,
                style,
            );
            let down = font::fit(class, style.size, style.weight, names - 12.0);
            canvas.text(
                grid.left - 10.0,
                grid.top + (i as f32 + 0.5) * height,
                &down,
                Align::Right,
                style,
            );
        }
        for (i, row) in counts.iter().enumerate() {
            // Shades compare within a row: of what is truly this class, how much went where.
            let total: u64 = row.iter().sum();
            for (k, count) in row.iter().enumerate() {
                let share = *count as f32 / total.max(1) as f32;
                let fill = SHADE.tint(0.06 + 0.94 * share);
                let (x, y) = (grid.left + k as f32 * width, grid.top + i as f32 * height);
                canvas.block(x + 1.0, y + 1.0, width - 2.0, height - 2.0, fill);
                let text = commas(&count.to_string());
                let ink = Type { size: 15.0, ..Type::VALUE }.in_colour(plot::ink_on(fill));
                let lines = [
                    (text, ink, -8.0),
                    (
                        format!("{:.1} %", share * 100.0),
                        Type { size: 11.5, ..Type::AXIS }.in_colour(ink.colour),
                        10.0,
                    ),
                ];
                let (x, y) = (x + width / 2.0, y + height / 2.0);
                let small = height < 44.0;
                for (text, style, shift) in lines.into_iter().take(if small { 1 } else { 2 }) {
                    if style.width(&text) < width - 4.0 {
                        canvas.text(
                            x,
                            if small { y } else { y + shift },
                            &text,
                            Align::Centre,
                            style,
                        );
                    }
                }
            }
        }
    }
}
