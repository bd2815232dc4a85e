//! Draws every kind of chart into a folder, on a light and on a dark page, to be looked at.
//!
//! `cargo run -p benchbook-chart --example contact_sheet -- OUT_FOLDER [FONTS]`, FONTS a folder with fonts for scripts
//! that the machine has none for (`tests/fonts`).
//!
//! The numbers are samples: some are the report's, the others are made up, and each chart says so.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use benchbook_chart::{
    Align, BarChart, Cell, Chart, ConfusionMatrix, Curves, Histogram, LineChart, Mark, PictureGrid,
    Progress, Scatter, Table,
};
use image::{Rgb, RgbImage};

const SAMPLE: &str = "sample numbers, not measured";
const REPORT: &str = "numbers of the report of 2019";

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: contact_sheet OUT_FOLDER [FONTS]")?;
    if let Some(fonts) = std::env::args().nth(2) {
        benchbook_chart::add_fonts(fonts)?;
    }
    let folder = Path::new(&folder);
    fs::create_dir_all(folder)?;

    let mut parts = Vec::new();
    for (name, chart) in charts()? {
        let svg = chart.svg();
        let png = chart.png(1.0)?;
        println!("{name}: SVG {} KB, PNG {} KB", svg.len() / 1024, png.len() / 1024);
        println!("  {}", chart.alt());
        fs::write(folder.join(format!("{name}.svg")), &svg)?;
        fs::write(folder.join(format!("{name}.png")), png)?;
        parts.push(svg);
    }
    let grid = pictures();
    fs::write(folder.join("pictures.png"), grid.png()?)?;
    let jpeg = base64::engine::general_purpose::STANDARD.encode(grid.jpeg()?);
    parts.push(format!("<img width=640 src=\"data:image/jpeg;base64,{jpeg}\">"));
    parts.push(grid.columns(6).tile(90).to_html()?);

    let table = table()?;
    println!("{}\n\n{}", table.to_text(), table.to_markdown());
    parts.push(table.to_html());
    for line in progress() {
        println!("{}", line.to_text());
        parts.push(line.to_html());
    }
    for (name, paper, ink) in [("light", "#ffffff", "#222222"), ("dark", "#111111", "#e0e0e0")] {
        let page = format!(
            "<!doctype html><html lang=\"en\" style=\"color-scheme:{name}\"><meta charset=\"utf-8\">\
             <title>Contact sheet, {name}</title>\
             <body style=\"background:{paper};color:{ink};font-family:sans-serif;margin:24px\">\
             <div style=\"display:flex;flex-wrap:wrap;gap:24px\">{}</div></body></html>",
            parts.iter().map(|part| format!("<div>{part}</div>\n")).collect::<String>()
        );
        fs::write(folder.join(format!("{name}.html")), page)?;
    }
    Ok(())
}

/// A chart and the name of its files.
type Named = (&'static str, Box<dyn Chart>);

fn charts() -> Result<Vec<Named>, Box<dyn Error>> {
    let epochs: Vec<f64> = (1..=30).map(f64::from).collect();
    let wave = |e: f64, phase: f64| 0.03 * (e * 1.7 + phase).sin();
    let accuracy = |phase| epochs.iter().map(move |e| 0.95 - 0.4 / e.sqrt() + wave(*e, phase));
    let loss = |phase| epochs.iter().map(move |e| 0.15 + 0.55 / e.sqrt() + wave(*e, phase));
    let curves = Curves::new("VGG16, ImageNet base frozen: training and validation")
        .subtitle(SAMPLE)
        .metric("accuracy", accuracy(0.0).collect::<Vec<_>>(), accuracy(1.0).collect::<Vec<_>>())
        .metric("loss", loss(0.5).collect::<Vec<_>>(), loss(2.0).collect::<Vec<_>>());

    let phases = ["load", "build", "train + validate", "test"];
    let train = BarChart::new("Train and validate", ["Colab, K80", "Kaggle, P100"])
        .subtitle(REPORT)
        .y("time [s]")
        .series("TensorFlow", [294.978977, 407.0])?
        .series("PyTorch", [938.3293848, 542.0])?;
    let rates = BarChart::new("Training throughput by phase of the job, three repeats", phases)
        .subtitle(SAMPLE)
        .y("images per second [1/s]")
        .series_with_error("LibTorch", [812.0, 640.5, 118.2, 402.0], [40.0, 12.0, 4.1, 9.0])?
        .series_with_error("TensorFlow", [790.0, 601.0, 109.8, 377.0], [80.0, 20.0, 6.0, 12.0])?
        .series_with_error("PyTorch", [805.0, 655.0, 121.0, 399.0], [35.0, 18.0, 3.0, 7.0])?
        .series_with_error("Keras", [755.0, 590.0, 101.0, 350.0], [35.0, 18.0, 3.0, 7.0])?;
    let build =
        BarChart::of("Build the model, Kaggle P100", [("TensorFlow", 0.46), ("PyTorch", 1.96)])
            .subtitle(REPORT)
            .y("time [s]")
            .size(420, 340);

    let apart = BarChart::new("Times that are far apart", phases)
        .subtitle(SAMPLE)
        .y("time [s]")
        .series_with_error("LibTorch", [0.031, 0.42, 312.0, 4.7], [0.02, 0.1, 12.0, 0.3])?
        .log_y_beyond(300.0);
    let chinese = ConfusionMatrix::new("混淆矩阵", ["猫", "قطة"], [[9u64, 1], [2, 8]])?
        .subtitle("needs fonts of the machine");

    let long = "a series with a very long name that would run out of the image if it could, \
                and <b>markup</b> & \"quotes\"";
    let hard = LineChart::new(format!("A title of many words: {long}"))
        .subtitle(format!("{SAMPLE}; a gap at 4 and 5, a lone point at 6"))
        .x("epoch")
        .y("loss, with an unknown unit [nats per image and head]")
        .series(long, [0.9, 0.7, 0.65, f64::NAN, f64::NAN, 0.5, f64::NAN, 0.4, 0.41])?
        .series(
            "validation, Độ chính xác, точность, ακρίβεια",
            [0.95, 0.72, 0.7, 0.6, 0.55, 0.56, 0.5, 0.49, 0.5],
        )?
        .series("third", [0.8, 0.8, 0.75, 0.7, 0.7, 0.65, 0.6, 0.6, 0.6])?
        .series("fourth", [0.85, 0.84, 0.83, 0.8, 0.8, 0.75, 0.71, 0.7, 0.7])?;
    let tiny = LineChart::new("Very small and very large numbers")
        .subtitle(SAMPLE)
        .x("images seen")
        .y("gradient norm")
        .points("all", [2e4, 4e4, 6e4, 8e4, 1e5], [1.3e-7, 2.2e-7, 9.1e-8, 4e-8, 3.2e-7])?
        .size(460, 300);
    let thousand: Vec<f64> =
        (0..1000).map(|i| (f64::from(i) * 0.02).sin() * f64::from(i % 37)).collect();
    let dense = LineChart::new("A thousand steps")
        .subtitle(SAMPLE)
        .x("step")
        .series("", thousand)?
        .size(460, 300);
    let to_accuracy = Scatter::new("Time to accuracy")
        .subtitle(SAMPLE)
        .x("time [s]")
        .y("validation accuracy")
        .points_with_error(
            "LibTorch",
            [60.0, 118.0, 180.0],
            [0.81, 0.92, 0.94],
            [0.03, 0.02, 0.015],
        )?
        .points_with_error(
            "TensorFlow",
            [70.0, 131.0, 199.0],
            [0.79, 0.90, 0.945],
            [0.04, 0.02, 0.01],
        )?
        .points_with_error(
            "PyTorch",
            [64.0, 121.0, 184.0],
            [0.80, 0.93, 0.94],
            [0.03, 0.02, 0.01],
        )?;
    let spread: Vec<f64> = (0..2000)
        .map(|i| {
            let i = f64::from(i);
            120.0 + 14.0 * ((i * 0.71).sin() + (i * 1.13).sin() + (i * 0.37).cos())
        })
        .collect();
    let histogram =
        Histogram::new("Time of a training step", spread, 30)?.subtitle(SAMPLE).x("time [ms]");
    let confusion = ConfusionMatrix::new("Validation", ["cat", "dog"], [[2561, 113], [74, 2600]])?
        .subtitle(SAMPLE);
    let empty = LineChart::new("Before the first epoch").x("epoch").y("accuracy").size(460, 300);
    Ok(vec![
        ("curves", Box::new(curves)),
        ("bars", Box::new(train)),
        ("bars_errors", Box::new(rates)),
        ("bars_log", Box::new(apart)),
        ("scripts", Box::new(chinese)),
        ("bars_named", Box::new(build)),
        ("line_hard", Box::new(hard)),
        ("line_tiny", Box::new(tiny)),
        ("line_dense", Box::new(dense)),
        ("scatter", Box::new(to_accuracy)),
        ("histogram", Box::new(histogram)),
        ("confusion", Box::new(confusion)),
        ("empty", Box::new(empty)),
    ])
}

fn pictures() -> PictureGrid {
    let mut grid = PictureGrid::new("Predictions (sample images: gradients)");
    for i in 0..8u8 {
        let picture = RgbImage::from_fn(224, 160 + 16 * u32::from(i), |x, y| {
            Rgb([(x % 256) as u8, (y % 256) as u8, 30 * i])
        });
        grid = match i {
            3 => grid.marked(picture, "dog 0.71, in truth a cat with a long name", Mark::Wrong),
            5 => grid.picture(picture, "no mark"),
            _ => grid.marked(picture, format!("cat 0.9{i}"), Mark::Right),
        };
    }
    grid
}

fn table() -> Result<Table, Box<dyn Error>> {
    Ok(Table::new(["phase", "TensorFlow [s]", "PyTorch [s]"])
        .numeric()
        .caption("Colab K80, as reported")
        .row([
            Cell::from("load images"),
            Cell::from("2.04"),
            Cell::struck("0.07", "lists the files only"),
        ])?
        .row([
            Cell::from("build model"),
            Cell::from("5.06"),
            Cell::from("31.9").note("holds a download of 528 MB"),
        ])?
        .row(["train + validate", "295", "938"])?
        .align([Align::Left, Align::Right, Align::Right]))
}

fn progress() -> [Progress; 3] {
    let line = |done| Progress::new(done, 10).metric("loss", 0.69).metric("acc", 0.53);
    [
        line(0),
        line(7).elapsed(Duration::from_secs(7)),
        line(10).elapsed(Duration::from_millis(7750)),
    ]
}
