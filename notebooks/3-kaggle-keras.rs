// %% [markdown]
// # Kaggle and Keras: what the report left out
//
// **Inferred.** The report has a heading for TensorFlow-Keras on Kaggle's Tesla P100 and nothing under it: only the four times
// are given (2 s, 0.46 s, 407 s, 3 s). So this notebook repeats the settings of the Colab notebook, which is one reading:
//
// | reading | training images | in 407 s |
// | --- | --- | --- |
// | 30 epochs × 10 steps of 64, as on Colab | 19,200 | 47 a second: slower than the report's K80 (65) |
// | 3 passes over 19,652 images, as in the PyTorch notebook | 58,956 | 145 a second: the published rate of a P100 (144 to 154) |
//
// The second reading fits the device better, the first one fits the report's words. The data do not decide between them. Set
// `passes` to 3 to run the second.

// %% [markdown] tags=["kernel"]
// **Where it runs:** in any Jupyter that has the kernel *Rust (Benchbook)*. On Colab and Kaggle, which have fixed kernels,
// use [the form with `%%rust` cells](colab/3-kaggle-keras.ipynb) from the same source.

// %% [markdown]
// ## Settings
// `scale` sets the size of the job: `report` is the report's job and needs a GPU, `laptop` takes minutes on two cores,
// `tiny` takes seconds; `auto` is `report` with a GPU and `laptop` without.
//
// `backend` is the library, here that of the report. If TensorFlow is not installed, the cell after the next one stops and
// says how to install it; `backend = "libtorch"` does the same job with LibTorch. No library is ever replaced by another
// one; titles and records name the library.
//
// The laptop's scale is that of the Colab notebook, which says what it changes and why.

// %% tags=["parameters"]
let scale = String::from("auto");
let backend = String::from("tensorflow");
let passes: i64 = 0;
let data = std::env::var("BENCHBOOK_DATA").unwrap_or("../datasets/drawings".into());
let weights = std::env::var("BENCHBOOK_WEIGHTS").unwrap_or_default();
let results = String::from("../results");
let seed: i64 = 1;

// %%
let fitted: Scale = scale.parse()?;
let library: BackendId = backend.parse()?;
// With ImageNet's weights a small machine trains the head alone, on pixels as the base knows them.
let frozen = fitted != Scale::Report && !weights.is_empty();
// Side of the images in pixels, epochs, steps of an epoch, batch (in validation half of it).
let (size, epochs, steps, batch) = match fitted {
    Scale::Report => (224, 30, 10, 64),
    Scale::Laptop => (if frozen { 128 } else { 32 }, 30, 10, 16),
    Scale::Tiny => (32, 2, 2, 4),
};
// In so few steps random weights learn next to nothing without batch normalisation.
let (start, batch_norm, rate) = match weights.as_str() {
    "" => (Weights::Random, true, 3e-4),
    file => (Weights::from_file(file)?, false, if frozen { 3e-4 } else { 5e-5 }),
};
let net = Vgg16 { head: Head::Keras, size, batch_norm, ..Vgg16::new(2) };
let build = Build {
    weights: start,
    frozen,
    preprocessing: (!frozen).then_some(benchbook::data::Preprocessing::Rescaled),
    backend: library,
    seed: seed as u64,
    ..Build::default()
};
let as_on_colab = Fit {
    epochs,
    steps_per_epoch: Some(steps),
    batch_size: batch,
    validation_steps: Some(steps),
    validation_batch_size: Some(batch / 2),
    augmentation: vec![Augmentation::ROTATION_180],
    optimizer: Optimizer::adam(Convention::Keras),
    learning_rate: Some(rate),
    seed: seed as u64,
    callbacks: vec![Builtin::best_checkpoint(format!(
        "{results}/3-kaggle-keras/vgg16_1.safetensors"
    ))],
    ..Fit::default()
};
let fit = match passes {
    0 => as_on_colab,
    passes => Fit {
        epochs: passes as usize,
        steps_per_epoch: None,
        validation_steps: None,
        ..as_on_colab
    },
};

// %% [markdown]
// ## Load

// %%
let mut run =
    Run::new(format!("Kaggle, Keras on {} (inferred), {fitted}", library.name()));
let (pictures, first) = run.load(&data, &net, &build, &fit)?;
for split in [pictures.train(), pictures.validation()] {
    println!("Found {} images belonging to {} classes.", split.len(), split.classes());
}
println!("First batch: {:?}", first.shape());

// %% [markdown]
// ## Build

// %%
let mut model = run.build(&net, &pictures, build.clone())?;
model.summary()

// %% [markdown]
// ## Train and validate

// %%
run.train_with(&mut model, &pictures, fit.clone(), &mut KerasLog::new(std::io::stdout()))?;

// %%
run.record(&mut model)?.curves()

// %%
run.evaluate(&mut model, &pictures.validation())?

// %% [markdown]
// ## Test

// %%
let unseen = if pictures.test().is_empty() { pictures.validation() } else { pictures.test() };
let predictions = run.test(&mut model, &unseen)?;
predictions.write_csv(format!("{results}/3-kaggle-keras/predictions.csv"))?;
let record = run.record(&mut model)?;
predictions
    .grid(12)?
    .titled(format!("{}: {predictions}", record.name))
    .subtitle(record.conditions())

// %% [markdown]
// ## What it took
// TensorFlow's bars of the report's figures 19 to 22. `6-comparison` reads this record.

// %%
record.write(format!("{results}/3-kaggle-keras/record.json"))?;
record.phase_chart()?

// %%
record.table()?
