//! Draws the charts of executed notebooks on a light and on a dark page, to be looked at.
//!
//! `cargo run -p benchbook-chart --example notebooks -- OUT_FOLDER NOTEBOOK.ipynb…`
//!
//! Each chart is drawn anew from the data that the notebook keeps; image grids are taken as they
//! are. `light-1.png`, `dark-1.png` and so on hold as many as stay legible; each image alone is in a
//! file by its notebook's name and its number.

use std::error::Error;
use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use benchbook_chart::{
    BarChart, BarSeries, Chart, ChartData, ConfusionData, ConfusionMatrix, Curves, DATA_MIME,
    Histogram, LineChart, LineData, Series,
};
use image::{Rgb, RgbImage, imageops};
use serde::Deserialize;
use serde_json::Value;

/// Width of a page and the space around a tile, in pixels: two charts of a notebook's width.
const PAGE: u32 = 1800;
const GAP: u32 = 20;
/// A page is at most so high.
const MOST: u32 = 2400;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("usage: notebooks OUT_FOLDER NOTEBOOK.ipynb…")?;
    fs::create_dir_all(&folder)?;
    let mut tiles = Vec::new();
    for path in arguments {
        let before = tiles.len();
        let notebook: Value = serde_json::from_slice(&fs::read(&path)?)?;
        let name = Path::new(&path).file_stem().unwrap_or_default().to_string_lossy();
        for output in outputs(&notebook) {
            if let Some(picture) = tile(output)? {
                let number = tiles.len() - before + 1;
                picture.save(Path::new(&folder).join(format!("{name}-{number:02}.png")))?;
                tiles.push(picture);
            }
        }
        println!("{path}: {} images", tiles.len() - before);
    }
    for (name, paper) in [("light", Rgb([255, 255, 255])), ("dark", Rgb([17, 17, 17]))] {
        for (number, page) in pages(&tiles, paper).iter().enumerate() {
            let path = Path::new(&folder).join(format!("{name}-{}.png", number + 1));
            page.save(&path)?;
            println!("{}", path.display());
        }
    }
    Ok(())
}

/// All outputs of a notebook that have data, in order.
fn outputs(notebook: &Value) -> impl Iterator<Item = &Value> {
    let cells = notebook["cells"].as_array().into_iter().flatten();
    let all = cells.flat_map(|cell| cell["outputs"].as_array().into_iter().flatten());
    all.filter_map(|output| output.get("data"))
}

/// The image of an output; `None` where it has none.
fn tile(data: &Value) -> Result<Option<RgbImage>, Box<dyn Error>> {
    let bytes = match (data.get(DATA_MIME), data["image/jpeg"].as_str()) {
        (Some(kept), _) => chart(kept)?.png(1.0)?,
        (None, Some(jpeg)) => STANDARD.decode(jpeg.replace('\n', ""))?,
        (None, None) => return Ok(None),
    };
    // The corners of a card are transparent: what shines through is the page's business, and a
    // middle grey shows on either.
    let picture = image::load_from_memory(&bytes)?.to_rgba8();
    let mut opaque = RgbImage::from_pixel(picture.width(), picture.height(), Rgb([128; 3]));
    for (below, above) in opaque.pixels_mut().zip(picture.pixels()) {
        let share = f32::from(above[3]) / 255.0;
        for channel in 0..3 {
            let mixed =
                f32::from(above[channel]) * share + f32::from(below[channel]) * (1.0 - share);
            below[channel] = mixed as u8;
        }
    }
    let most = (PAGE - 3 * GAP) / 2;
    if opaque.width() > most {
        let height = opaque.height() * most / opaque.width();
        opaque = imageops::resize(&opaque, most, height, imageops::FilterType::Triangle);
    }
    Ok(Some(opaque))
}

/// A chart from the data that a notebook keeps of it, in its usual size.
fn chart(kept: &Value) -> Result<Box<dyn Chart>, Box<dyn Error>> {
    Ok(match ChartData::deserialize(kept)? {
        ChartData::Bars(data) => {
            let mut chart =
                BarChart::new(data.title, data.categories).subtitle(data.subtitle).y(data.y);
            for BarSeries { name, values, error, below, runs } in data.series {
                chart = if below.is_empty() {
                    chart.series_with_error(name, values, error)?
                } else {
                    let end = |distance: &[f64], sign: f64| -> Vec<f64> {
                        values.iter().zip(distance).map(|(v, d)| v + sign * d).collect()
                    };
                    let (low, high) = (end(&below, -1.0), end(&error, 1.0));
                    chart.series_with_interval(name, values, low, high)?
                };
                if !runs.is_empty() {
                    chart = chart.runs(runs)?;
                }
            }
            Box::new(if data.log_y { chart.log_y() } else { chart })
        }
        ChartData::Curves(data) => {
            let mut curves = Curves::new(data.title).subtitle(data.subtitle);
            for panel in data.panels {
                curves = curves.panel(lines(panel)?);
            }
            Box::new(curves)
        }
        ChartData::Lines(data) => Box::new(lines(data)?),
        ChartData::Histogram(data) => Box::new(Histogram::from(data)),
        ChartData::Confusion(ConfusionData { title, subtitle, classes, counts, .. }) => {
            Box::new(ConfusionMatrix::new(title, classes, counts)?.subtitle(subtitle))
        }
    })
}

fn lines(data: LineData) -> Result<LineChart, benchbook_chart::Error> {
    let mut chart = LineChart::new(data.title).subtitle(data.subtitle).x(data.x).y(data.y);
    for Series { name, x, y, error, runs } in data.series {
        let (at, values): (Vec<f64>, Vec<f64>) = runs.into_iter().unzip();
        chart = chart.points_with_error(name, x, y, error)?.runs(at, values)?;
    }
    Ok(data.y_range.into_iter().fold(chart, |chart, (low, high)| chart.y_range(low, high)))
}

/// Tiles from left to right and top to bottom.
fn pages(tiles: &[RgbImage], paper: Rgb<u8>) -> Vec<RgbImage> {
    let mut rows: Vec<(Vec<&RgbImage>, u32)> = Vec::new();
    let mut free = 0;
    for tile in tiles {
        let needed = tile.width() + GAP;
        if needed > free {
            rows.push((Vec::new(), 0));
            free = PAGE - GAP;
        }
        free -= needed;
        if let Some((row, height)) = rows.last_mut() {
            row.push(tile);
            *height = (*height).max(tile.height());
        }
    }
    let mut pages = Vec::new();
    let mut rows = rows.into_iter().peekable();
    while rows.peek().is_some() {
        let (mut page, mut top) = (RgbImage::from_pixel(PAGE, MOST, paper), GAP);
        while let Some((row, height)) =
            rows.next_if(|(_, height)| top == GAP || top + height + GAP <= MOST)
        {
            let mut left = GAP;
            for tile in row {
                imageops::overlay(&mut page, tile, i64::from(left), i64::from(top));
                left += tile.width() + GAP;
            }
            top += height + GAP;
        }
        pages.push(imageops::crop_imm(&page, 0, 0, PAGE, top.min(MOST)).to_image());
    }
    pages
}
