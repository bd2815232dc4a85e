//! Draws a bar chart from its data: `bars DATA.json OUT.svg`, where DATA is a `BarData` as JSON. Programs in other
//! languages draw their figures with it.

use std::error::Error;

use benchbook_chart::{BarChart, BarData, Chart};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [data, out] = arguments.as_slice() else {
        return Err("usage: bars DATA.json OUT.svg".into());
    };
    let BarData { title, subtitle, y, categories, series, log_y, .. } =
        serde_json::from_str(&std::fs::read_to_string(data)?)?;
    let mut chart = BarChart::new(title, categories).subtitle(subtitle).y(y);
    for series in series {
        chart = chart.series(series.name, &series.values)?;
    }
    let chart = if log_y { chart.log_y() } else { chart };
    std::fs::write(out, chart.size(1100, 420).svg())?;
    Ok(())
}
