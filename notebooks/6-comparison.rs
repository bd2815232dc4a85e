// %% [markdown]
// # The comparison: figures 15 to 22, and what can be learned from them
//
// The notebook draws the report's eight bar charts from the report's numbers, then the same charts from what notebooks 1 to 4
// measured here, then both side by side. It then explains, with the arithmetic, what the report's numbers can and cannot say, and ends
// with a comparison under equal conditions.
//
// The report was course work on borrowed GPUs, and it printed its logs, which many publications do not. So what its clocks measured
// can still be reconstructed. The sections below are corrections, not reproaches.
//
// **Where it runs today:** in any Jupyter that has the kernel *Rust (Benchbook)*. Colab and Kaggle do not yet let a user choose
// a kernel.

// %% [markdown]
// ## Settings
// `results` is the folder with the records of notebooks 1 to 4. A missing record is named and has no bar. The other settings
// belong to the comparison under equal conditions at the end. Of its `backends`, `tensorflow` needs `environment/tensorflow`,
// and the two Python references need `environment/references`; a backend that is not installed keeps its row, with the reason. `accuracy`
// is the validation accuracy up to which *time to accuracy* is measured.

// %% tags=["parameters"]
let results = String::from("../results");
let scale = String::from("auto");
let backends = String::from("libtorch tensorflow python-pytorch python-keras");
let accuracy: f64 = 0.85;
let data = std::env::var("BENCHBOOK_DATA").unwrap_or("../datasets/drawings".into());
let weights = std::env::var("BENCHBOOK_WEIGHTS").unwrap_or_default();
let seed: i64 = 1;

// %%
use benchbook::serde_json::Value;
let report: Value = benchbook::serde_json::from_str(&std::fs::read_to_string("report.json")?)?;
const PHASES: [(&str, &str); 4] = [
    ("load", "load the images"),
    ("build", "build the model"),
    ("train", "train and validate"),
    ("test", "test the trained model"),
];

/// A number of the report by its place in report.json.
fn number(report: &Value, pointer: &str) -> f64 {
    report.pointer(pointer).and_then(Value::as_f64).unwrap_or(f64::NAN)
}

/// One of the report's figures 15 to 22.
fn figure(report: &Value, index: usize, place: &str, phase: &str, words: &str) -> BarChart {
    let bars = ["TensorFlow", "PyTorch"]
        .map(|library| (library, number(report, &format!("/times/{place}/{phase}/{library}"))));
    BarChart::of(format!("Figure {index}: {words}"), bars)
        .subtitle(format!(
            "report of 2019, {}",
            report["times"][place]["device"].as_str().unwrap_or_default()
        ))
        .y("time [s]")
        .size(420, 320)
        .source("report", format!("/times/{place}/{phase}/TensorFlow"))
        .source("report", format!("/times/{place}/{phase}/PyTorch"))
}

// %% [markdown]
// ## Figures 15 to 18: Colab, as reported

// %%
for (number, (phase, words)) in (15..).zip(PHASES) {
    display(&figure(&report, number, "colab", phase, words));
}

// %% [markdown]
// ## Figures 19 to 22: Kaggle, as reported
// The captions of 20 and 22 are lost; their tables are not.

// %%
for (number, (phase, words)) in (19..).zip(PHASES) {
    display(&figure(&report, number, "kaggle", phase, words));
}

// %% [markdown]
// ## The same charts, measured here
// From the records of notebooks 1 to 4. PyTorch's bars are LibTorch's, the library that PyTorch is built on. A chart's title gives the
// scale and its subtitle the job of each run; libraries and machine are listed here:

// %%
/// A notebook's record, named by the library that computed and by the notebook.
fn measured(results: &str, notebook: &str, kind: &str) -> Option<(String, Record)> {
    match Record::read(format!("{results}/{notebook}/record.json")) {
        Ok(record) => Some((format!("{}, {kind} notebook", record.library.name), record)),
        Err(missing) => {
            println!("{notebook} has no bars: {missing}. Run that notebook first.");
            None
        }
    }
}

fn phase_of(record: &Record, phase: &str) -> f64 {
    record
        .phases
        .measured()
        .into_iter()
        .find(|(name, _)| *name == phase)
        .map_or(f64::NAN, |(_, seconds)| seconds)
}

/// The scale, with which the name of a notebook's run ends; both, should they differ.
fn scale_of(records: &[(String, Record)]) -> String {
    let mut scales: Vec<&str> =
        records.iter().filter_map(|(_, record)| record.name.rsplit(", ").next()).collect();
    scales.dedup();
    if scales.is_empty() { "nothing measured".into() } else { scales.join(" and ") }
}

/// The job of each run, without the library's version and the machine.
fn jobs(records: &[(String, Record)]) -> String {
    let job = |(_, record): &(String, Record)| {
        let trained = record.images_seen.training.unwrap_or_default();
        let work = record.conditions().split(';').next().unwrap_or_default().to_string();
        format!("{}: trained on {trained} images, {work}", record.library.name)
    };
    records.iter().map(job).collect::<Vec<_>>().join("; ")
}

let colab: Vec<(String, Record)> = [("1-colab-keras", "Keras"), ("2-colab-pytorch", "PyTorch")]
    .iter()
    .filter_map(|(name, kind)| measured(&results, name, kind))
    .collect();
let kaggle: Vec<(String, Record)> = [("3-kaggle-keras", "Keras"), ("4-kaggle-pytorch", "PyTorch")]
    .iter()
    .filter_map(|(name, kind)| measured(&results, name, kind))
    .collect();
for (_, record) in colab.iter().chain(&kaggle) {
    println!("{}: {}", record.id(), record.conditions());
}

// %%
fn measured_figure(
    records: &[(String, Record)],
    number: usize,
    phase: &str,
    words: &str,
) -> BarChart {
    let bars = records.iter().map(|(label, record)| (label.as_str(), phase_of(record, phase)));
    let chart = BarChart::of(format!("Figure {number} here, {}: {words}", scale_of(records)), bars)
        .subtitle(jobs(records))
        .y("time [s]")
        .size(420, 340);
    records
        .iter()
        .fold(chart, |chart, (_, record)| chart.source(record.id(), format!("/phases/{phase}")))
}

for (number, (phase, words)) in (15..).zip(PHASES) {
    display(&measured_figure(&colab, number, phase, words));
}

// %%
for (number, (phase, words)) in (19..).zip(PHASES) {
    display(&measured_figure(&kaggle, number, phase, words));
}

// %% [markdown]
// ## Side by side
// The report's machines and this one, each with the job of its notebook. These jobs differ in size, so the bars show how long a
// reader would have waited. They do not show which library is faster.

// %%
fn side_by_side(
    report: &Value,
    place: &str,
    records: &[(String, Record)],
    phase: &str,
    words: &str,
) -> BarChart {
    let device = report["times"][place]["device"].as_str().unwrap_or_default();
    let reported = ["TensorFlow", "PyTorch"].map(|library| {
        (
            format!("{library}, {device}, report"),
            number(report, &format!("/times/{place}/{phase}/{library}")),
        )
    });
    let here =
        records.iter().map(|(label, record)| (format!("{label}, here"), phase_of(record, phase)));
    let chart = BarChart::of(
        format!("{device} and here at {}: {words}", scale_of(records)),
        reported.into_iter().chain(here),
    )
    .subtitle(jobs(records))
    .y("time [s]")
    .source("report", format!("/times/{place}/{phase}/TensorFlow"))
    .source("report", format!("/times/{place}/{phase}/PyTorch"));
    records
        .iter()
        .fold(chart, |chart, (_, record)| chart.source(record.id(), format!("/phases/{phase}")))
}

for (phase, words) in PHASES {
    display(&side_by_side(&report, "colab", &colab, phase, words));
}

// %%
for (phase, words) in PHASES {
    display(&side_by_side(&report, "kaggle", &kaggle, phase, words));
}

// %% [markdown]
// ## What the report's clocks measured
//
// ### "437644m 45s"
// Every second line of figure 12 shows an absurd time. The notebook contained:
//
// ```python
// t = time.time()                  # once, at the start
// t = time.time() - t              # at every line: correct the first time; the second time the present time minus a minute
// print('{:.0f}m {:.0f}s'.format(t // 3600, t % 60))   # hours, labelled m
// ```
//
// 437,644 hours after the start of 1970 it was four in the morning of 5 December 2019 (UTC). The same arithmetic from that time on,
// with about 56 s for 200 iterations (62 s where an epoch ends in between), prints what the report shows:

// %%
let windows = [59.0, 56.0, 56.0, 62.0, 57.0, 57.0, 62.0, 56.0, 56.0];
let mut now: f64 = 437_644.0 * 3600.0 + 45.0 - 56.0;
let mut t = now;
for window in windows {
    now += window;
    t = now - t;
    println!("Training complete in {:.0}m {:.0}s", (t / 3600.0).floor(), t % 60.0);
}
println!(
    "\nactual time: {:.0} s of the 542 s that the table gives for the whole training",
    windows.iter().sum::<f64>()
);

// %% [markdown]
// So 200 batches of 32 images took about 56.4 s: 113 images per second. The measurement was right; only the printed format was wrong.
//
// ### Unlike work
// On Colab the Keras notebook trained 30 epochs of 10 batches of 64: less than one pass over the images. The PyTorch notebook
// made three passes, by its logs on Kaggle. The report divides the two times; here each is first divided by its number of images.

// %%
fn images(report: &Value, name: &str) -> f64 {
    number(report, &format!("/images/{name}"))
}

fn trained(report: &Value, place: &str, library: &str) -> f64 {
    number(report, &format!("/times/{place}/train/{library}"))
}

let keras_images = images(&report, "keras_epochs")
    * images(&report, "keras_steps")
    * images(&report, "keras_batch");
let keras_validated = images(&report, "keras_epochs")
    * images(&report, "keras_steps")
    * images(&report, "keras_validation_batch");
let pytorch_images = images(&report, "pytorch_epochs") * images(&report, "training");
let mut rates =
    Table::new(["training as reported", "images", "seconds", "images per second", "assumed"]);
for (row, place, library, images, assumed) in [
    (
        "K80, TensorFlow",
        "colab",
        "TensorFlow",
        keras_images,
        "nothing: figure 3 shows 30 × 10 × 64",
    ),
    ("K80, PyTorch", "colab", "PyTorch", pytorch_images, "3 × 19,652, as on Kaggle"),
    (
        "P100, PyTorch",
        "kaggle",
        "PyTorch",
        pytorch_images,
        "nothing: figures 10 and 12 show 3 × 19,652",
    ),
    ("P100, TensorFlow", "kaggle", "TensorFlow", keras_images, "30 × 10 × 64, as on Colab"),
    (
        "P100, TensorFlow",
        "kaggle",
        "TensorFlow",
        pytorch_images,
        "3 × 19,652, as the PyTorch notebook",
    ),
] {
    let seconds = trained(&report, place, library);
    rates = rates.row([
        row.into(),
        images.to_string(),
        format!("{seconds:.1}"),
        format!("{:.1}", images / seconds),
        assumed.into(),
    ])?;
}
rates

// %%
/// PyTorch's time per image over TensorFlow's.
fn ratio(report: &Value, place: &str, pytorch: f64, tensorflow: f64) -> f64 {
    (trained(report, place, "PyTorch") / pytorch)
        / (trained(report, place, "TensorFlow") / tensorflow)
}

let once = images(&report, "validation") / 3.0;
let keras_with_validation = keras_images + keras_validated / 3.0;
Table::new(["PyTorch's time over TensorFlow's", "ratio"])
    .numeric()
    .row(["K80, as reported".into(), format!("{:.2}", ratio(&report, "colab", 1.0, 1.0))])?
    .row([
        "K80, per training image".into(),
        format!("{:.2}", ratio(&report, "colab", pytorch_images, keras_images)),
    ])?
    .row([
        "K80, a validation image counted as a third; PyTorch validated once".into(),
        format!("{:.2}", ratio(&report, "colab", pytorch_images + once, keras_with_validation)),
    ])?
    .row([
        "K80, the same; PyTorch never validated".into(),
        format!("{:.2}", ratio(&report, "colab", pytorch_images, keras_with_validation)),
    ])?
    .row(["P100, as reported".into(), format!("{:.2}", ratio(&report, "kaggle", 1.0, 1.0))])?
    .row([
        "P100, per image, TensorFlow with 19,200".into(),
        format!("{:.2}", ratio(&report, "kaggle", pytorch_images, keras_images)),
    ])?
    .row([
        "P100, the same with 9,600 validated".into(),
        format!("{:.2}", ratio(&report, "kaggle", pytorch_images, keras_with_validation)),
    ])?
    .row([
        "P100, per image, TensorFlow with 3 × 19,652".into(),
        format!("{:.2}", ratio(&report, "kaggle", pytorch_images, pytorch_images)),
    ])?

// %% [markdown]
// So "TensorFlow is three times as fast" becomes "4 to 21 % faster" on the K80. On the P100 the result ranges from twice as slow to a
// third faster, depending on a number of images that the report does not state.
//
// ### Unlike nets
// The two notebooks also differ in:
//
// | | Keras notebook | PyTorch notebook |
// | --- | --- | --- |
// | parameters of the head | 12,977,153 | 102,772,738 |
// | parameters in all | 27,691,841 | 117,487,426 |
// | outputs | one sigmoid | two logits |
// | batch | 64 (32 in validation) | 32 |
// | pixels | 1/255, rotated by up to 180° | not stated |
// | "load" | lists the files | lists the files |
// | "build" | builds the net | builds it and downloads 528 MB |
//
// ### How sure is 0.953?
// The best validation accuracy is 305 of 320 images, the best of 30 evaluations. A single evaluation would have this 95% interval:

// %%
let correct = number(&report, "/best_validation/correct") as usize;
let of = number(&report, "/best_validation/of") as usize;
let (low, high) = benchbook::model::wilson_interval(correct, of);
println!(
    "{correct} of {of} = {:.3}, Wilson's 95% interval {low:.3} to {high:.3}",
    correct as f64 / of as f64
);

// %% [markdown]
// ### Is it plausible?
// TensorFlow's own measurements of 2017 for full training of VGG16 at 224 × 224 are a ceiling for these devices (batch 32; on
// real data for the K80).

// %%
    let computed: Value = benchbook::serde_json::json!({
        "id": "computed from the report",
        "K80, TensorFlow": keras_images / trained(&report, "colab", "TensorFlow"),
        "K80, PyTorch": pytorch_images / trained(&report, "colab", "PyTorch"),
        "P100, TensorFlow": keras_images / trained(&report, "kaggle", "TensorFlow"),
        "P100, PyTorch": pytorch_images / trained(&report, "kaggle", "PyTorch"),
    });
    std::fs::create_dir_all(format!("{results}/6-comparison"))?;
    std::fs::write(
        format!("{results}/6-comparison/computed.json"),
        benchbook::serde_json::to_string_pretty(&computed)?,
    )?;
    // Label, height, and the record and pointer that the height comes from.
    let mut bars: Vec<(String, f64, String, String)> = Vec::new();
    for (index, who) in [(0, "TensorFlow, K80, published"), (2, "TensorFlow, P100, published")] {
        let pointer = format!("/published/{index}/rate");
        bars.push((who.into(), number(&report, &pointer), "report".into(), pointer));
    }
    for name in ["K80, TensorFlow", "K80, PyTorch", "P100, TensorFlow", "P100, PyTorch"] {
        let pointer = format!("/{name}");
        // The library comes first, so that its colour is found.
        let (device, library) = name.split_once(", ").unwrap_or((name, ""));
        bars.push((
            format!("{library}, {device}, report"),
            number(&computed, &pointer),
            "computed from the report".into(),
            pointer,
        ));
    }
    let chart = BarChart::of("Training VGG16: the report against published rates", bars.iter().map(|(name, rate, _, _)| (name.as_str(), *rate)))
.subtitle("published: TensorFlow's benchmarks of 2017, batch 32; the report's P100 with TensorFlow: assuming 19,200 training images")
.y("images per second [1/s]");
    bars.iter().fold(chart, |chart, (_, _, record, pointer)| chart.source(record, pointer))

// %% [markdown]
// Both K80 rates are 1.8 to 1.9 times what a K80 can reach. One of three things must be true: the base was frozen (although the
// summary says "Trainable params: 27,691,841"), the device was not a K80, or fewer images were processed. The P100's PyTorch rate is
// plausible.
//
// Published rates to compare with:

// %%
let mut rows =
    Table::new(["published: VGG16 at 224 × 224, training", "images per second", "source"]);
for row in report["published"].as_array().into_iter().flatten() {
    rows = rows.row([
        row["who"].as_str().unwrap_or_default().to_string(),
        row["rate"].to_string(),
        row["source"].as_str().unwrap_or_default().to_string(),
    ])?;
}
rows

// %% [markdown]
// ## Like with like
// The report's question under equal conditions: the same network and head, starting weights, batch size, optimiser, threads and images,
// for this kernel's libraries and for the Python libraries that the report used. Each run has its own process. The
// backends take turns, so that a drift of the machine affects all of them equally. The first round is a warm-up; five rounds count, each with
// its own seed. Scale `tiny` has three rounds without a warm-up and does not repeat disturbed runs.
//
// The optimiser is SGD with momentum, whose formula is the same in all libraries (their Adam formulas differ). At the small scales a base
// with ImageNet weights is frozen. Without ImageNet weights VGG16 learns nothing within minutes on a processor, and comparing trainings
// that do not learn is worth little. A small CNN takes its place; it reaches an accuracy of 0.9 in 4 to 13 seconds.

// %%
let fitted: Scale = scale.parse()?;
let frozen = fitted != Scale::Report && !weights.is_empty();
// Image height and width in pixels, epochs, steps per epoch (none: all images), batch size.
let (size, epochs, steps, batch) = match fitted {
    Scale::Report => (224, 3, None, 32),
    Scale::Laptop if frozen => (64, 4, Some(10), 16),
    Scale::Laptop => (32, 16, None, 32),
    Scale::Tiny => (32, 1, Some(2), 4),
};
let vgg = fitted == Scale::Report || frozen;
// A file of records is only appended to, so another scale, data set or weights file makes another study.
let data_set =
    std::path::Path::new(&data).file_name().unwrap_or_default().to_string_lossy().into_owned();
let kind = if weights.is_empty() { "random" } else { "imagenet" };
let study_name = format!("{}-{data_set}-{kind}-seed-{seed}", fitted.to_string().replace(' ', "-"));
let plan = StudyPlan {
    backends: backends.split_whitespace().map(String::from).collect(),
    records: Some(format!("{results}/6-comparison/{study_name}.jsonl").into()),
    baseline: Some("libtorch".into()),
    repeats: if fitted == Scale::Tiny { 3 } else { 5 },
    retries: if fitted == Scale::Tiny { 0 } else { 2 },
    warm_up: usize::from(fitted != Scale::Tiny),
    ..StudyPlan::new(
        study_name.clone(),
        Job {
            net: if vgg {
                Vgg16 { head: Head::Keras, size, ..Vgg16::new(2) }.into()
            } else {
                SmallCnn { size, ..SmallCnn::new(2) }.into()
            },
            build: Build {
                frozen,
                weights: if weights.is_empty() {
                    Weights::Random
                } else {
                    Weights::from_file(&weights)?
                },
                seed: seed as u64,
                // On a GPU: 32-bit floats without TF32, which TensorFlow can be asked for too.
                compute: Compute::common(false),
                ..Build::default()
            },
            fit: Fit {
                epochs,
                steps_per_epoch: steps,
                batch_size: batch,
                optimizer: Optimizer::momentum(0.9),
                learning_rate: Some(if frozen { 1e-4 } else if vgg { 1e-3 } else { 1e-2 }),
                seed: seed as u64,
                ..Fit::default()
            },
            ..Job::new(&data)
        },
    )
};

// %% [markdown]
// ### Check, then measure
// Before anything is timed, each library gets the same weights, the same 20 batches and the same dropout masks, and computes 20 steps in
// 64-bit floats, in which rounding cannot hide a wrong formula: logits, losses, every gradient, and the change of the weights. The majority
// decides what is correct. After the clock of a timed run has stopped, its process takes three more steps in the timed precision, with
// its own model and optimiser, and these are compared with the correct values. A library that computes something else is marked *disagrees* and has
// no ratio. A second execution of this cell keeps what is in the file of records; delete the file to measure again.

// %%
let study = plan.run()?;

// %% [markdown]
// ### The table
// Medians with quartiles in brackets; accuracies with a 95% interval that covers seeds and images; memory is the peak of the process over
// all phases. A ratio is shown with its 95% interval where the conditions of both sides are equal. Otherwise it is struck through, with the
// conditions that differ.

// %%
study.table()?

// %%
/// The titles of this section.
fn like(scale: Scale, what: &str) -> String {
    format!("Like with like, {scale}: {what}")
}

// The common job: the part of a record's conditions before the semicolon.
let work: String = study
    .records()
    .iter()
    .find(|record| record.status.reason().is_none())
    .map_or_else(String::new, |record| {
        record.conditions().split(';').next().unwrap_or_default().to_string()
    });
display(
    &study
        .ratio_chart()?
        .titled(like(fitted, "time of train as a multiple of LibTorch's"))
        .subtitle(format!("medians of pairs with 95% intervals; {work}"))
        .source(&study_name, "/ratio/libtorch/phases/train"),
);
display(
    &study
        .rate_chart()?
        .titled(like(fitted, "training rate"))
        .subtitle(format!("medians with quartiles; {work}"))
        .source(&study_name, "/throughput/training"),
);

// %% [markdown]
// ### Time to accuracy
// A user waits for a network that is good enough, not for a step. The time includes the validation after each epoch. The accuracy after
// few epochs also depends on the random starting weights and the order of the images. All libraries share both within a round, and each
// round draws them anew; the intervals show how much of a difference may be chance.

// %%
display(
    &study
        .accuracy_chart()?
        .titled(like(fitted, "accuracy against time"))
        .subtitle(format!("medians of the runs; {work}"))
        .source(&study_name, "/epochs/*/val_accuracy"),
);
study.time_to_accuracy(accuracy)?

// %% [markdown]
// ### The verdict

// %%
for sentence in study.verdict() {
    println!("{sentence}");
}

// %% [markdown]
// These results hold for this job, at this scale, on this machine, with these versions. Another image size, a GPU or a trained base may
// well give other results, so the settings are at the top.
//
// ### What changed since the first edition
// Until 27 November 2026 this section compared trainings that all ended at an accuracy of 0.5, and it compared LibTorch with references that did
// avoidable work. PyTorch's reference started its loader processes anew in every pass, discarded images that it had prefetched, built
// torchvision's head only to drop it, and did not use PyTorch's fused optimiser. Keras' input pipeline was idle for seconds at the end of a training. Each
// reference now does what its library's documentation recommends, every library gets the same images in the same order, LibTorch uses its own fused
// optimiser, and the job is one that every library learns. `kernel/study/references/REVIEW.md` lists the findings. Notebook 5 runs each
// library once, with the same input code for both; its figures are not affected.
//
// ### The report by the same rules
// The report's numbers, each ratio with the reasons why it is struck through:

// %%
Study::of_records(report_2019()).table()?
