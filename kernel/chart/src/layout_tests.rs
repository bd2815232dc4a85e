//! No chart may cut a text off or write one over another, whatever it is given.

use crate::*;

const LONG: &str = "a name of a length that was not expected, with <b>markup</b> & \"quotes\", \
                    repeated until it fits nowhere, repeated until it fits nowhere";

fn in_place(what: &str, drawing: &Drawing) {
    let boxes = drawing.text_boxes();
    let (width, height) = (drawing.width() as f32, drawing.height() as f32);
    for (i, (text, [left, top, right, bottom])) in boxes.iter().enumerate() {
        assert!(
            *left >= 1.0 && *top >= 1.0 && *right <= width - 1.0 && *bottom <= height - 1.0,
            "{what}: {text:?} leaves the card: {left} {top} {right} {bottom}"
        );
        for (other, [l, t, r, b]) in &boxes[i + 1..] {
            assert!(
                right <= l || r <= left || bottom <= t || b <= top,
                "{what}: {text:?} at {left} {top} {right} {bottom} and {other:?} at {l} {t} {r} {b} overlap"
            );
        }
    }
}

#[test]
fn lines_keep_their_texts_apart() {
    for (i, values) in [
        vec![0.5],
        vec![1e-9, 5e-9],
        vec![1e250, -1e250, 3.0],
        vec![f64::NAN, 1.0, f64::INFINITY, 2.0],
        vec![123_456.0, 123_457.0],
        (0..1000).map(f64::from).collect(),
    ]
    .iter()
    .enumerate()
    {
        for size in [(240, 240), (460, 300), (680, 380)] {
            let chart =
                LineChart::new(LONG).subtitle(LONG).x(LONG).y(LONG).series(LONG, values).unwrap();
            let chart = chart.series("b", values).unwrap().size(size.0, size.1);
            in_place(&format!("long line {i}"), &chart.drawing());
            let chart =
                LineChart::new("Loss").x("epoch").y("loss").series("training", values).unwrap();
            in_place(&format!("line {i}"), &chart.clone().size(size.0, size.1).drawing());
            let log = chart.clone().log_x().size(size.0, size.1);
            in_place(&format!("line {i} with a logarithmic axis"), &log.drawing());
            let curves = Curves::new("Curves").panel(chart.clone()).panel(chart.clone());
            in_place(&format!("curves {i}"), &curves.size(2 * size.0, size.1).drawing());
            let x: Vec<f64> = values.iter().map(|v| v * 0.37).collect();
            let cloud = Scatter::new("t").x("time [s]").y("accuracy").points("a", &x, values);
            in_place(&format!("scatter {i}"), &cloud.unwrap().size(size.0, size.1).drawing());
            let histogram = Histogram::new("h", values, 20).unwrap().x("time [ms]");
            in_place(&format!("histogram {i}"), &histogram.size(size.0, size.1).drawing());
        }
    }
}

#[test]
fn bars_keep_their_texts_apart() {
    for (values, error) in [
        ([2.04, 5.06, 294.98, 2.36], [0.1, 0.2, 60.0, 0.0]),
        ([-1.0, 1.0, f64::NAN, 0.0], [0.5, 0.5, 0.5, f64::NAN]),
        ([1e-12, 2e-12, 3e-12, 3e-12], [0.0; 4]),
        ([27_691_841.0, 117_487_426.0, 1e9, 1e15], [1e6; 4]),
        ([0.0; 4], [0.0; 4]),
    ] {
        for (width, height) in [(240, 240), (460, 300), (680, 380)] {
            for name in ["load", LONG] {
                let categories = [name, "build the model", "train + validate", "test"];
                let mut chart = BarChart::new(name, categories).y("time [s]").size(width, height);
                for series in ["LibTorch", "TensorFlow", "PyTorch", "Keras", LONG] {
                    chart = chart.series_with_error(series, values, error).unwrap();
                    in_place(&format!("bars {values:?} {width}"), &chart.drawing());
                    let log = chart.clone().log_y();
                    in_place(&format!("log bars {values:?} {width}"), &log.drawing());
                }
            }
            let (low, high) = (values.map(|v| v - 0.1 * v.abs()), values.map(|v| v + v.abs()));
            let bars = BarChart::new("t", ["a", "b", "c", "d"]).size(width, height);
            let bars = bars.series_with_interval("LibTorch", values, low, high).unwrap();
            in_place("bars with intervals", &bars.drawing());
            let named =
                BarChart::of("Build", ["TensorFlow", "PyTorch", LONG].map(|n| (n, values[1])));
            in_place("named bars", &named.size(width, height).drawing());
        }
    }
}

#[test]
fn matrices_and_grids_keep_their_texts_apart() {
    for classes in [vec!["cat", "dog"], vec!["cat"], vec![LONG; 12]] {
        let counts = vec![vec![123_456; classes.len()]; classes.len()];
        let matrix = ConfusionMatrix::new("Validation", classes, counts).unwrap();
        in_place("matrix", &matrix.drawing());
        in_place("small matrix", &matrix.size(240, 240).drawing());
    }
}
