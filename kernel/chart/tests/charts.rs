//! What charts promise to who uses them: data, words, and images that every front end can show.

use benchbook_chart::{
    BarChart, BarData, Chart, ChartData, Colour, ConfusionMatrix, Curves, DATA_MIME, Error,
    Histogram, LineChart, LineData, Mark, PictureGrid, Scatter, Table, VEGA_LITE_MIME, add_fonts,
    plot, set_colours,
};
use benchbook_display::Rich;
use image::RgbImage;
use insta::assert_snapshot;

const MARKUP: &str = "</title><script>alert(\"1\")</script> & 'x' ]]> \u{1} \u{0}";

/// One chart of each kind with these values and this name for everything that has a name.
fn every_chart(values: &[f64], name: &str) -> Vec<Box<dyn Chart>> {
    let x: Vec<f64> = (0..values.len()).map(|i| i as f64 * 0.5).collect();
    let categories: Vec<String> = values.iter().take(20).map(|_| name.to_owned()).collect();
    let bars = &values[..categories.len()];
    let points: Vec<f64> = (1..=values.len()).map(|i| i as f64).collect();
    let line = LineChart::new(name).x(name).y(name).points(name, &points, values).unwrap();
    let line = line.points("", &points, values).unwrap();
    let mut charts: Vec<Box<dyn Chart>> = vec![
        Box::new(Curves::new(name).metric("accuracy", values, values).panel(line.clone())),
        Box::new(line.subtitle(name)),
        Box::new(Scatter::new(name).points_with_error(name, &x, values, values).unwrap()),
        Box::new(
            BarChart::new(name, categories)
                .y(name)
                .series(name, bars)
                .unwrap()
                .series_with_error("PyTorch", bars, bars)
                .unwrap(),
        ),
        Box::new(BarChart::of(name, bars.iter().map(|v| (name, *v)))),
        Box::new(
            BarChart::new(name, bars.iter().map(|_| name))
                .series_with_error(name, bars, bars)
                .unwrap()
                .log_y(),
        ),
        Box::new(ConfusionMatrix::new(name, [name, name], [[0, 1], [2, u64::MAX / 8]]).unwrap()),
    ];
    if let Ok(histogram) = Histogram::new(name, values, 12) {
        charts.push(Box::new(histogram.x(name)));
    }
    charts
}

/// Parses an SVG and checks what must hold for each.
fn check_svg(svg: &str) {
    let document = roxmltree::Document::parse(svg).unwrap_or_else(|e| panic!("{e}\n{svg}"));
    let root = document.root_element();
    assert_eq!(root.attribute("role"), Some("img"));
    let child = |name| root.children().find(|node| node.has_tag_name(name));
    let named = |name| child((root.tag_name().namespace().unwrap(), name)).and_then(|n| n.text());
    assert!(named("desc").is_some_and(|text| text.len() > 10), "{svg}");
    for node in document.descendants().filter(|node| node.is_element()) {
        let kind = node.tag_name().name();
        assert!(!["style", "script", "use", "defs"].contains(&kind), "{kind}");
        for attribute in node.attributes() {
            assert_ne!(attribute.name(), "id");
            if attribute.name() != "aria-label" {
                let value = attribute.value();
                assert!(!value.contains("NaN") && !value.contains("inf"), "{kind} {value}");
            }
        }
    }
    // Points of lines and areas stay on the card.
    let view: Vec<f64> =
        root.attribute("viewBox").unwrap().split(' ').map(|n| n.parse().unwrap()).collect();
    let (width, height) = (view[2], view[3]);
    for points in document.descendants().filter_map(|node| node.attribute("points")) {
        for point in points.split_whitespace() {
            let (x, y) = point.split_once(',').unwrap();
            let (x, y): (f64, f64) = (x.parse().unwrap(), y.parse().unwrap());
            assert!((0.0..=width).contains(&x) && (0.0..=height).contains(&y), "{point}");
        }
    }
}

/// The texts in an image.
fn texts(svg: &str) -> Vec<String> {
    let document = roxmltree::Document::parse(svg).unwrap();
    let texts = document.descendants().filter(|node| node.tag_name().name() == "text");
    texts.filter_map(|node| node.text()).map(|text| text.trim().to_owned()).collect()
}

#[test]
fn every_chart_draws_any_numbers() {
    let nan = f64::NAN;
    let lists: [Vec<f64>; 12] = [
        vec![],
        vec![0.5],
        vec![0.5, 0.25],
        (0..1000).map(|i| f64::from(i % 91)).collect(),
        vec![nan],
        vec![nan, 0.5, nan, nan, 0.7, 0.8, nan],
        vec![f64::INFINITY, f64::NEG_INFINITY, 1.0],
        vec![f64::MAX, f64::MIN, 1.0],
        vec![1e299, -1e299],
        vec![f64::MIN_POSITIVE, 5e-324, 0.0],
        vec![-3.0, -2.0, -2.5],
        vec![1e15, 1e15 + 1.0],
    ];
    for values in &lists {
        for chart in every_chart(values, "Loss") {
            check_svg(&chart.svg());
            let picture = image::load_from_memory(&chart.png(0.5).unwrap()).unwrap();
            assert_eq!(picture.width(), (chart.drawing().width() as f32 * 0.5).round() as u32);
        }
    }
}

#[test]
fn every_chart_draws_any_name() {
    let long = "very long ".repeat(100);
    for name in ["", MARKUP, long.as_str(), "\n\t", "猫と犬 🐱 ئ"] {
        for chart in every_chart(&[0.5, 0.25], name) {
            check_svg(&chart.svg());
            assert!(chart.alt().contains(name) && !chart.table().rows().is_empty(), "{name}");
        }
    }
}

#[test]
fn data_is_what_was_given() {
    let loss = [0.69, f64::NAN, 0.22];
    let chart = LineChart::new("Loss").x("epoch").y("loss").series("training", loss).unwrap();
    let series = &chart.data().series[0];
    assert_eq!(series.x, [1.0, 2.0, 3.0]);
    assert_eq!((series.y[0], series.y[2]), (0.69, 0.22));
    assert!(series.y[1].is_nan());

    let json = serde_json::to_value(chart.data()).unwrap();
    assert_eq!(json["series"][0]["y"], serde_json::json!([0.69, null, 0.22]));
    let back: LineData = serde_json::from_value(json).unwrap();
    assert!(back.series[0].y[1].is_nan() && back.series[0].y[2] == 0.22);

    // The report's table of times (Colab K80 and Kaggle P100, train + validate).
    let times = BarChart::new("Train", ["K80", "P100"])
        .series("TensorFlow", [294.978977, 407.0])
        .unwrap()
        .series_with_error("PyTorch", [938.3293848, 542.0].as_slice(), vec![1.0, 2.0])
        .unwrap();
    assert_eq!(times.data().series[0].values, [294.978977, 407.0]);
    assert_eq!(times.data().series[1].error, [1.0, 2.0]);
    assert_eq!(times.data().categories, ["K80", "P100"]);

    // An interval need not have the value in its middle.
    let ratio = BarChart::new("Ratio", [""])
        .series_with_interval("LibTorch", [0.75], [0.5], [0.875])
        .unwrap();
    let series = &ratio.data().series[0];
    assert_eq!((series.below[0], series.error[0]), (0.25, 0.125));
    assert!(ratio.alt().ends_with(" LibTorch: 0.75 (0.5 to 0.875)."), "{}", ratio.alt());

    let curves = Curves::new("c").metric("accuracy", [0.5f32, 0.75], Vec::<f64>::new());
    assert_eq!(curves.data().panels[0].series.len(), 1);
    assert_eq!(curves.data().panels[0].series[0].y, [0.5, 0.75]);

    let counted = Histogram::new("h", [0.0, 0.1, 0.9, 1.0, f64::NAN], 2).unwrap();
    assert_eq!(counted.data().counts, [2, 2]);
    assert_eq!(
        (counted.data().edges.as_slice(), counted.data().left_out),
        (&[0.0, 0.5, 1.0][..], 1)
    );

    let matrix = ConfusionMatrix::new("m", ["cat", "dog"], [[9, 1], [2, 8]]).unwrap();
    assert_eq!(matrix.accuracy(), 17.0 / 20.0);
}

#[test]
fn alt_text_says_title_and_numbers() {
    let lines = LineChart::new("Loss").x("epoch").y("nats").series("training", [0.69, 0.22]);
    assert_snapshot!(lines.unwrap().alt(), @"Line chart: Loss, nats by epoch. training: 2 points, from 0.69 at 1 to 0.22 at 2, lowest 0.22 at 2, highest 0.69 at 1.");
    let bars = BarChart::of("Build", [("TensorFlow", 0.46), ("PyTorch", 1.96)]).y("time [s]");
    assert_snapshot!(bars.alt(), @"Bar chart: Build, time [s]. TensorFlow: 0.46. PyTorch: 1.96.");
}

#[test]
fn values_units_and_places_stand_in_the_svg() {
    let bars = BarChart::new("Train", ["K80", "P100"]).y("time [s]").subtitle("batch 32");
    let bars = bars.series("TensorFlow", [294.98, 407.0]).unwrap();
    let bars =
        bars.series_with_interval("PyTorch", [938.33, 542.0], [900.0, 500.0], [950.0, 600.0]);
    assert_snapshot!("bars", bars.unwrap().svg());
    let curves = Curves::new("VGG16").metric("accuracy", [0.5, 0.75, 0.875], [0.5, 0.625, 0.75]);
    assert_snapshot!("curves", curves.metric("loss", [0.69, 0.5, 0.25], [0.75, 0.6, 0.5]).svg());
    let matrix = ConfusionMatrix::new("Test", ["cat", "dog"], [[9, 1], [2, 8]]).unwrap();
    assert_snapshot!("confusion_matrix", matrix.svg());
    let histogram = Histogram::new("Steps", [0.1, 0.11, 0.12, 0.3], 4).unwrap().x("time [s]");
    assert_snapshot!("histogram", histogram.svg());
}

const BLUE: Colour = Colour(0x00, 0x66, 0xb8);

#[test]
fn a_name_has_its_colour_in_every_chart() {
    let named = [("LibTorch", BLUE), ("Keras", Colour(0x12, 0xb8, 0x86))];
    set_colours(named);
    for ((name, colour), (_, other)) in [(named[0], named[1]), (named[1], named[0])] {
        let line = LineChart::new("").series("other", [1.0]).unwrap();
        let line = line.series(name, [1.0, 2.0]).unwrap();
        let bar =
            BarChart::new("", ["a"]).series("other", [1.0]).unwrap().series(name, [2.0]).unwrap();
        for svg in [line.svg(), bar.svg(), BarChart::of("", [(name, 1.0)]).svg()] {
            assert!(svg.to_lowercase().contains(&colour.hex()), "{name}");
        }
        assert!(!line.svg().to_lowercase().contains(&other.hex()), "{name}");
    }
}

#[test]
fn png_has_the_stated_size() {
    let chart = LineChart::new("Loss").series("a", [1.0, 2.0]).unwrap().size(500, 300);
    for (scale, size) in [(1.0, (500, 300)), (2.0, (1000, 600)), (0.1, (50, 30))] {
        let picture = image::load_from_memory(&chart.png(scale).unwrap()).unwrap().to_rgb8();
        assert_eq!(picture.dimensions(), size);
        let colours: std::collections::HashSet<_> = picture.pixels().collect();
        assert!(colours.len() > 5, "drawn in {} colours", colours.len());
    }
    for scale in [0.0, -1.0, f32::NAN, f32::INFINITY, 1e6] {
        assert!(matches!(chart.png(scale), Err(Error::Size { .. })), "{scale}");
    }
}

#[test]
fn a_notebook_gets_text_and_svg_and_png_on_request() {
    let chart = LineChart::new("Loss").y("loss").series("training", [0.69, 0.22]).unwrap();
    let bundle = chart.bundle();
    let kinds: Vec<&str> = bundle.data.keys().map(String::as_str).collect();
    assert_eq!(kinds, [DATA_MIME, "image/svg+xml", "text/plain"]);
    assert_snapshot!(bundle.plain(), @"
    Loss

    loss      points  first  last  lowest  highest
    --------  ------  -----  ----  ------  -------
    training       2   0.69  0.22    0.22     0.69
    ");

    let with_png = chart.with_png().bundle();
    assert!(with_png.data.contains_key("image/png"));
    assert_eq!(with_png.metadata["image/png"]["width"], 680);
}

#[test]
fn a_notebook_keeps_what_is_drawn_and_where_it_comes_from() {
    let chart = BarChart::of("Build", [("TensorFlow", 5.061016321), ("PyTorch", 31.89926934)])
        .source("report", "/times/colab")
        .titled("Build the model");
    let kept = &chart.bundle().data[DATA_MIME];
    assert_eq!(kept["chart"], "bars");
    assert_eq!(kept["data"]["title"], "Build the model");
    assert_eq!(kept["data"]["sources"][0]["record"], "report");
    assert_eq!(kept["data"]["sources"][0]["pointer"], "/times/colab");
    let data: BarData = serde_json::from_value(kept["data"].clone()).unwrap();
    assert_eq!(&data, chart.data());
}

#[test]
fn the_data_of_every_chart_is_read_back() {
    for chart in every_chart(&[0.5, f64::NAN, 2.0], "PyTorch") {
        let kept = &chart.bundle().data[DATA_MIME];
        let data: ChartData = serde_json::from_value(kept.clone()).unwrap();
        assert_eq!(&serde_json::to_value(data).unwrap(), kept);
    }
}

/// Every place in a specification that Vega-Lite draws numbers from.
fn rows(spec: &serde_json::Value) -> Vec<&serde_json::Value> {
    let own = spec["data"]["values"].as_array().into_iter().flatten();
    let views = ["layer", "hconcat"].map(|views| spec[views].as_array().into_iter().flatten());
    own.chain(views.into_iter().flatten().flat_map(rows)).collect()
}

#[test]
fn every_chart_is_a_specification_of_vega_lite_with_its_numbers() {
    for chart in every_chart(&[0.5, f64::NAN, 2.0], "PyTorch") {
        let vega = chart.vega_lite();
        assert_eq!(vega.spec()["$schema"], "https://vega.github.io/schema/vega-lite/v5.json");
        assert_eq!(vega.spec()["title"]["text"], "PyTorch");
        let bundle = vega.bundle();
        assert_eq!(&bundle.data[VEGA_LITE_MIME], vega.spec());
        assert_eq!(bundle.plain(), chart.alt());
        assert!(rows(vega.spec()).len() >= 2, "{}", vega.spec());
    }
    let bars = BarChart::new("Train", ["K80", "P100"])
        .y("time [s]")
        .series("TensorFlow", [295.0, 407.0])
        .unwrap()
        .series_with_interval("PyTorch", [938.0, 542.0], [900.0, 500.0], [950.0, 600.0])
        .unwrap()
        .log_y();
    let vega = bars.vega_lite();
    let values: Vec<f64> =
        rows(vega.spec()).iter().filter_map(|row| row["value"].as_f64()).collect();
    assert_eq!(values, [295.0, 407.0, 938.0, 542.0]);
    assert!(rows(vega.spec()).iter().any(|row| row["low"] == 900.0 && row["high"] == 950.0));
    let y = &vega.spec()["layer"][0]["encoding"]["y"];
    assert_eq!((&y["title"], &y["scale"]["type"]), (&"time [s]".into(), &"log".into()));
    // Two series of one name stay two.
    let same = BarChart::of("", [("a", 1.0), ("a", 2.0)]).vega_lite();
    assert_eq!(
        same.spec()["encoding"]["color"]["scale"]["domain"],
        serde_json::json!(["a", "a (2)"])
    );
}

#[test]
fn single_values_are_drawn_as_points_beside_their_mean() {
    let discs = |chart: &dyn Chart| chart.svg().matches("<circle").count();
    let bars = |runs: Vec<Vec<f64>>| {
        BarChart::new("Train", [""]).series("PyTorch", [2.0]).unwrap().runs(runs)
    };
    let with = bars(vec![vec![1.0, 2.0, 9.0, f64::NAN]]).unwrap();
    // A disc and its ring for each.
    assert_eq!(discs(&with), 6);
    assert_eq!(with.data().series[0].runs, [[1.0, 2.0, 9.0]]);
    assert!(with.alt().ends_with("PyTorch: 2, single values 1, 2, 9."), "{}", with.alt());
    assert_eq!(rows(with.vega_lite().spec()).iter().filter(|row| row["run"].is_f64()).count(), 3);
    assert!(texts(&with.svg()).contains(&"8".into()), "the axis goes beyond the highest of them");
    let error = bars(Vec::new()).unwrap_err().to_string();
    assert!(error.contains("single values of series \"PyTorch\": expected 1"), "{error}");

    let line = LineChart::new("Accuracy").series("PyTorch", [0.5, 0.75]).unwrap();
    let plain = discs(&line);
    let with = line.runs([1.0, 1.0, 2.0], [0.25, f64::NAN, 0.5]).unwrap();
    assert_eq!(discs(&with), plain + 2);
    assert_eq!(with.data().series[0].runs, [(1.0, 0.25), (2.0, 0.5)]);
}

#[test]
fn pictures_stay_small() {
    let ten_thousand: Vec<f64> = (0..10_000).map(|i| f64::from(i).sin()).collect();
    let svg =
        LineChart::new("Loss").x("step").y("loss").series("training", &ten_thousand).unwrap().svg();
    assert!(svg.len() < 60_000, "{} bytes", svg.len());
    let epochs: Vec<f64> = (1..=30).map(|i| 1.0 / f64::from(i)).collect();
    let curves =
        Curves::new("VGG16").metric("accuracy", &epochs, &epochs).metric("loss", &epochs, &epochs);
    assert!(curves.svg().len() < 60_000, "{} bytes", curves.svg().len());
}

#[test]
fn wrong_input_is_refused_with_a_reason() {
    let bars = BarChart::new("Train", ["K80", "P100"]);
    let messages = [
        LineChart::new("Loss").points("training", [1.0, 2.0], [0.5]).unwrap_err(),
        LineChart::new("Loss").series("training", [0.0; 0]).unwrap_err(),
        bars.series("PyTorch", [1.0, 2.0, 3.0]).unwrap_err(),
        plot(Vec::<f64>::new()).unwrap_err(),
        Histogram::new("h", [f64::INFINITY], 3).unwrap_err(),
        Table::new(["a", "b"]).row(["1"]).unwrap_err(),
        ConfusionMatrix::new("m", ["cat", "dog"], [[1, 2]]).unwrap_err(),
    ];
    assert_snapshot!(messages.map(|error| error.to_string()).join("\n"), @r#"
    y values of series "training": expected 2 values, got 1
    series "training": nothing to draw, got no values
    values of series "PyTorch": expected 2 values, got 3
    plot: nothing to draw, got no values
    histogram "h": nothing to draw, got 1 values, none of them finite
    row 1 of a table: expected 2 values, got 1
    rows of confusion matrix "m": expected 2 values, got 1
    "#);
}

#[test]
fn empty_charts_show_their_axes_and_say_so() {
    let chart = LineChart::new("Accuracy").x("epoch").y("accuracy");
    assert!(texts(&chart.svg()).iter().any(|text| text == "no values yet"));
    assert!(chart.alt().ends_with("No values yet."), "{}", chart.alt());
}

#[test]
fn values_without_a_finite_number_are_gaps_in_every_chart_of_lines() {
    for chart in [plot([f64::NAN; 3]), LineChart::new("").series("", [f64::INFINITY])] {
        assert!(texts(&chart.unwrap().svg()).iter().any(|text| text == "no finite values"));
    }
}

#[test]
fn texts_of_every_script_stand_in_the_svg_as_they_are() {
    for names in [
        ["猫", "狗"],
        ["قطة", "كلب"],
        ["고양이", "개"],
        ["बिल्ली", "कुत्ता"],
        ["🐱", "🐶"],
        ["חתול", "כלב"],
    ] {
        let matrix = ConfusionMatrix::new("m", names, [[9, 1], [2, 8]]).unwrap();
        let bars = BarChart::new("b", names).series(names[0], [1.0, 2.0]).unwrap();
        let lines = LineChart::new(names[0]).y(names[1]).series(names[0], [1.0, 2.0]).unwrap();
        for svg in [matrix.svg(), bars.svg(), lines.svg()] {
            let texts = texts(&svg);
            assert!(names.iter().all(|name| texts.iter().any(|text| text == name)), "{texts:?}");
            assert!(svg.contains("font-family=\"Roboto, "), "the fonts are stated");
        }
    }
}

/// What a text looks like in a PNG.
fn drawn(text: &str) -> Vec<u8> {
    let chart = LineChart::new(text).size(240, 240);
    image::load_from_memory(&chart.png(1.0).unwrap()).unwrap().to_rgb8().into_raw()
}

#[test]
fn a_png_takes_what_roboto_lacks_from_other_fonts() {
    let fonts = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fonts");
    add_fonts(fonts).unwrap();
    // No font has a character of the private use area.
    let box_of_a_missing_character = drawn("\u{f8fe}");
    for names in [["猫", "狗"], ["قطة", "كلب"], ["고양이", "개"], ["と", "犬"]] {
        let [first, second] = names.map(drawn);
        assert_ne!(first, second, "{names:?}");
        assert!(![first, second].contains(&box_of_a_missing_character), "{names:?}");
    }
    // Arabic letters change their forms where they meet.
    assert_ne!(drawn("كلب"), drawn("ك ل ب"));
    let error = add_fonts(concat!(env!("CARGO_MANIFEST_DIR"), "/src")).unwrap_err().to_string();
    assert!(error.contains("/src: no TrueType or OpenType font"), "{error}");
    assert!(matches!(add_fonts("no/such/font.ttf"), Err(Error::Font { .. })));
}

#[test]
fn a_bar_of_a_ten_thousandth_is_visible_on_a_logarithmic_axis() {
    // Load, build, train, test; the first is a ten-thousandth of the third.
    let seconds = [0.031, 0.42, 310.0, 0.0];
    set_colours([("LibTorch", BLUE), ("Keras", Colour(0x12, 0xb8, 0x86))]);
    let bars = BarChart::new("Phases", ["load", "build", "train", "test"]).y("time [s]");
    let bars = bars.series("LibTorch", seconds).unwrap();
    let linear = bars.clone();
    let log = bars.log_y_beyond(300.0);
    assert!(log.data().log_y && !linear.data().log_y);
    let heights = |chart: &BarChart| -> Vec<f64> {
        let svg = chart.svg();
        let document = roxmltree::Document::parse(&svg).unwrap();
        let colour = BLUE.hex();
        let bars = document.descendants().filter(|node| {
            let fill = node.attribute("fill").unwrap_or_default().to_lowercase();
            node.has_tag_name(("http://www.w3.org/2000/svg", "rect")) && fill == colour
        });
        // The first is the legend's.
        bars.skip(1)
            .map(|bar| bar.attribute("height").unwrap().parse::<f64>().unwrap() / 10.0)
            .collect()
    };
    assert!(heights(&linear)[0] < 1.0, "{:?}", heights(&linear));
    let shown = heights(&log);
    assert!(shown[0] > 10.0 && shown[0] < shown[1] && shown[1] < shown[2], "{shown:?}");
    assert_eq!(shown[3], 0.0, "zero has no place on the axis");
    let texts = texts(&log.svg());
    for text in ["time [s], log scale", "0.01", "100", "0.031", "310", "0"] {
        assert!(texts.iter().any(|shown| shown == text), "{text}: {texts:?}");
    }
    let even = BarChart::of("b", [("a", 1.0), ("b", 250.0)]).log_y_beyond(300.0);
    assert!(!even.data().log_y);
    let json = serde_json::to_string(even.data()).unwrap();
    assert!(!json.contains("log_y"), "{json}");
}

#[test]
fn picture_grids_show_pictures_and_captions() {
    let red = RgbImage::from_pixel(30, 20, image::Rgb([200, 10, 10]));
    let grid = PictureGrid::new("Predictions")
        .columns(2)
        .marked(red.clone(), "cat <0.9>", Mark::Right)
        .marked(red.clone(), "dog", Mark::Wrong)
        .picture(RgbImage::new(0, 0), MARKUP);
    let bundle = grid.bundle();
    assert!(bundle.plain().contains("  2  dog (wrong)"), "{}", bundle.plain());
    assert!(bundle.data.contains_key("image/jpeg"));

    let image = grid.image().unwrap();
    let decoded = image::load_from_memory(&grid.png().unwrap()).unwrap().to_rgb8();
    assert_eq!(image, decoded);
    let reds = image.pixels().filter(|p| p.0 == [200, 10, 10]).count();
    // Two tiles of 150 pixels less a frame of 4 on each side, at twice the size.
    assert_eq!(reds, 2 * (2 * 142) * (2 * 142));
    let html = grid.to_html().unwrap();
    assert!(
        html.contains("alt=\"cat &lt;0.9&gt; (right)\"") && !html.contains("<script>"),
        "{html}"
    );
    assert!(PictureGrid::new("none").bundle().data.contains_key("image/jpeg"));
}

#[test]
fn equal_ratios_are_equal_distances_on_a_logarithmic_x_axis() {
    let chart = LineChart::new("Search").x("learning rate").y("loss").log_x();
    // Zero has no place on the axis.
    let chart = chart.points("mean", [1e-6, 1e-4, 1e-2, 0.0], [2.0, 1.0, 3.0, 9.0]).unwrap();
    let svg = chart.svg();
    let document = roxmltree::Document::parse(&svg).unwrap();
    let line = |node: roxmltree::Node<'_, '_>| -> Vec<f64> {
        let points = node.attribute("points").unwrap_or_default().split_whitespace();
        points.map(|point| point.split(',').next().unwrap().parse().unwrap()).collect()
    };
    let lines: Vec<Vec<f64>> = document.descendants().map(line).collect();
    let x = lines.iter().find(|x| x.len() == 3).unwrap_or_else(|| panic!("{lines:?}"));
    assert!((x[2] - 2.0 * x[1] + x[0]).abs() <= 2.0 && x[1] - x[0] > 100.0, "{x:?}");
    let texts = texts(&svg);
    for text in ["learning rate, log scale", "1e−6", "0.01"] {
        assert!(texts.iter().any(|shown| shown == text), "{text}: {texts:?}");
    }
    assert!(serde_json::to_string(chart.data()).unwrap().contains("\"log_x\":true"));
}
