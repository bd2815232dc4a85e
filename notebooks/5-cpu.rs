// %% [markdown]
// # CPUs: the sections that the report left empty
//
// The report has a heading "results on CPUs" for Colab (4.1.1) and one for Kaggle (4.2.1), and nothing under either. This notebook runs the
// Colab notebook's job on this machine's processor with one library after the other: same net, weights, order of images and
// number of threads.
//
// **Where it runs today:** in any Jupyter that has the kernel *Rust (Benchbook)*. Colab and Kaggle do not yet let a user choose
// a kernel.

// %% [markdown]
// ## Settings
// Two cores train VGG16 at 224 × 224 pixels at about five images per second, so the report's 19,200 images would take more than
// an hour. So `scale` is `laptop` (minutes) or `tiny` (seconds) here; `report` takes hours. With ImageNet's weights
// the first two train only the head, as the Colab notebook says. `backends` are the libraries. A library that is not
// installed has no bar; a line says how to install it.

// %% tags=["parameters"]
let scale = String::from("laptop");
let backends = String::from("tensorflow libtorch");
let threads: i64 = std::thread::available_parallelism().map_or(1, |cores| cores.get()) as i64;
let data = std::env::var("BENCHBOOK_DATA").unwrap_or("../datasets/drawings".into());
let weights = std::env::var("BENCHBOOK_WEIGHTS").unwrap_or_default();
let results = String::from("../results");
let seed: i64 = 1;

// %%
let fitted: Scale = scale.parse()?;
let frozen = fitted != Scale::Report && !weights.is_empty();
// Side of the images in pixels, epochs, steps of an epoch, batch.
let (size, epochs, steps, batch) = match fitted {
    Scale::Report => (224, 30, 10, 64),
    Scale::Laptop => (if frozen { 128 } else { 32 }, 6, 10, 16),
    Scale::Tiny => (32, 2, 2, 4),
};
let (start, batch_norm, rate) = match weights.as_str() {
    "" => (Weights::Random, true, 3e-4),
    file => (Weights::from_file(file)?, false, if frozen { 3e-4 } else { 5e-5 }),
};
let job = Job {
    net: Vgg16 { head: Head::Keras, size, batch_norm, ..Vgg16::new(2) }.into(),
    build: Build {
        weights: start,
        frozen,
        preprocessing: (!frozen).then_some(benchbook::data::Preprocessing::Rescaled),
        device: Some(Device::Cpu),
        threads: Some(threads as usize),
        seed: seed as u64,
        ..Build::default()
    },
    fit: Fit {
        epochs,
        steps_per_epoch: Some(steps),
        batch_size: batch,
        validation_steps: Some(steps),
        validation_batch_size: Some(batch / 2),
        augmentation: vec![Augmentation::ROTATION_180],
        optimizer: Optimizer::adam(Convention::Keras),
        learning_rate: Some(rate),
        seed: seed as u64,
        ..Fit::default()
    },
    ..Job::new(&data)
};

// %% [markdown]
// ## Load, build, train and validate, test
// All four phases with each library, logged in Keras' format.

// %%
let mut records: Vec<Record> = Vec::new();
for backend in backends.split_whitespace() {
    match backend.parse::<BackendId>() {
        Err(missing) => println!("{backend} is left out: {missing}\n"),
        Ok(library) => {
            println!("{backend}");
            let job = Job {
                name: format!("CPU, {}, {fitted}", library.name()),
                build: Build { backend: library, ..job.build.clone() },
                record: Some(format!("{results}/5-cpu/{backend}.json").into()),
                ..job.clone()
            };
            records.push(job::run(&job, &mut KerasLog::new(std::io::stdout()))?);
            println!();
        }
    }
}

// %% [markdown]
// ## The four times

// %%
/// What all of these did, and the libraries that did it.
fn conditions(records: &[Record]) -> String {
    let Some(first) = records.first() else { return String::new() };
    let work = first.conditions().split(';').next().unwrap_or_default().to_string();
    let libraries: Vec<String> = records
        .iter()
        .map(|record| {
            format!(
                "{} {}",
                record.library.name,
                record.library.version.clone().unwrap_or_default()
            )
        })
        .collect();
    let (libraries, threads) = (libraries.join(" and "), first.library.threads.unwrap_or_default());
    let processor = first.library.device_name.clone().unwrap_or_default();
    format!("{work}; {libraries} on {processor}, {threads} threads")
}

for (name, of) in [
    ("load", (|phases| phases.load) as fn(&benchbook::record::Phases) -> Option<f64>),
    ("build", |phases| phases.build),
    ("train", |phases| phases.train),
    ("test", |phases| phases.test),
] {
    let bars = records
        .iter()
        .map(|record| (record.library.name.clone(), of(&record.phases).unwrap_or(f64::NAN)));
    let mut chart = BarChart::of(format!("CPU, {fitted}: {name}"), bars)
        .y("time [s]")
        .subtitle(conditions(&records))
        .size(420, 320);
    for record in &records {
        chart = chart.source(record.id(), format!("/phases/{name}"));
    }
    display(&chart);
}

// %% [markdown]
// One run of each, so there are no error bars: `6-comparison` repeats runs and gives confidence intervals. The phases of libraries
// differ in content, too: a library that compiles its graph in the first step does so in *train*, and generating starting weights
// is part of *build*.

// %%
let mut chart = BarChart::of(
    format!("CPU, {fitted}: training rate"),
    records.iter().map(|record| {
        (record.library.name.clone(), record.throughput.training.unwrap_or(f64::NAN))
    }),
)
.y("images per second [1/s]")
.subtitle(conditions(&records))
.size(420, 320);
for record in &records {
    chart = chart.source(record.id(), "/throughput/training");
}
chart

// %%
for record in &records {
    display(&record.curves());
    display(&record.table()?);
}
