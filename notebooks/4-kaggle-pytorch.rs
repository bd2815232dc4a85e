// %% [markdown]
// # Kaggle and PyTorch: figures 10 to 14
//
// The report's third notebook: PyTorch on Kaggle's Tesla P100, three epochs with a line every 200 iterations. It runs on
// LibTorch, the library inside PyTorch.

// %% [markdown] tags=["kernel"]
// **Where it runs:** in any Jupyter that has the kernel *Rust (Benchbook)*. On Colab and Kaggle, which have fixed kernels,
// use [the form with `%%rust` cells](colab/4-kaggle-pytorch.ipynb) from the same source.

// %% [markdown]
// ## Settings
// `scale` sets the size of the job: `report` needs a GPU, `laptop` takes minutes on two cores, `tiny` seconds; `auto` is
// `report` with a GPU and `laptop` without. A `backend` that is not installed is an error and never replaced.

// %% tags=["parameters"]
let scale = String::from("auto");
let backend = String::from("libtorch");
let data = std::env::var("BENCHBOOK_DATA").unwrap_or("../datasets/drawings".into());
let weights = std::env::var("BENCHBOOK_WEIGHTS").unwrap_or_default();
let results = String::from("../results");
let seed: i64 = 1;

// %%
let fitted: Scale = scale.parse()?;
let library: BackendId = backend.parse()?;
// With ImageNet's weights a small machine trains the head alone.
let frozen = fitted != Scale::Report && !weights.is_empty();
// Side of the images in pixels, epochs, steps of an epoch (none: all images), batch, steps
// between two lines of the log.
let (size, epochs, steps, batch, every) = match fitted {
    Scale::Report => (224, 3, None, 32, 200_usize),
    Scale::Laptop if frozen => (128, 3, Some(25), 32, 8),
    Scale::Laptop => (32, 3, Some(30), 16, 10),
    Scale::Tiny => (32, 3, Some(3), 2, 1),
};
let (start, batch_norm, rate) = match weights.as_str() {
    "" => (Weights::Random, true, 1e-4),
    file => (Weights::from_file(file)?, false, 2e-5),
};
let net = Vgg16 { head: Head::PyTorch, size, batch_norm, ..Vgg16::new(2) };
let build = Build {
    weights: start,
    frozen,
    backend: library,
    seed: seed as u64,
    ..Build::default()
};
let fit = Fit {
    epochs,
    steps_per_epoch: steps,
    batch_size: batch,
    validation_steps: match fitted {
        Scale::Report => None,
        Scale::Laptop => Some(16),
        Scale::Tiny => Some(2),
    },
    optimizer: Optimizer::adam(Convention::PyTorch),
    learning_rate: Some(rate),
    seed: seed as u64,
    ..Fit::default()
};

// %% [markdown]
// What the report does not say is chosen here: PyTorch's Adam, its rate, the seed; the transform of the images follows the
// weights. The words of the report's log ("Training complete in 0m 59s") are those of PyTorch's tutorial on transfer learning,
// which takes SGD with momentum 0.9 and rate 0.001; from weights in Caffe's convention, whose features are larger than
// torchvision's, that diverges within a few steps (tried).
//
// The laptop's scale keeps the three epochs, the batch of 32 and the three lines an epoch, which has 25 steps (800 images) of
// 128 × 128 pixels, and with ImageNet's weights a frozen base. Without weights it takes 30 steps of 16 at 32 × 32 pixels.

// %% [markdown]
// ## Figure 10: loading the images
// The report's log: 19,652 images under train, 5,348 under validation, which together are Kaggle's 25,000.

// %%
let mut run = Run::new(format!("Kaggle, PyTorch on {}, {fitted}", library.name()));
let (pictures, first) = run.load(&data, &net, &build, &fit)?;
for split in [pictures.train(), pictures.validation()] {
    println!("Loaded {} images under {}", split.len(), split.name());
}
println!(
    "Classes:\n[{}]",
    pictures.class_names().iter().map(|class| format!("'{class}'")).collect::<Vec<_>>().join(", ")
);
println!("First batch: {:?}", first.shape());

// %% [markdown]
// ## Figure 11: the model

// %%
let mut model = run.build(&net, &pictures, build.clone())?;
model

// %% [markdown]
// ## Figure 12: training
// The report's lines, but for its clock. There every second line says something like `437644m 45s`: the notebook kept the start
// of its clock and the time that had passed in one variable, `t = time.time() - t`, and so every second value was the time since
// 1970, shown as hours (`t // 3600`) with an `m` behind them. `6-comparison` does the sum. Here a line's time is that since the
// training began, by a monotonic clock.

// %%
let mut log = TorchLog::new(std::io::stdout(), every);
run.train_with(&mut model, &pictures, fit.clone(), &mut log)?;

// %% [markdown]
// ## Figure 13: training and validation

// %%
run.record(&mut model)?.curves()

// %%
run.evaluate(&mut model, &pictures.validation())?

// %% [markdown]
// ## Figure 14: predictions on test images

// %%
let unseen = if pictures.test().is_empty() { pictures.validation() } else { pictures.test() };
let predictions = run.test(&mut model, &unseen)?;
predictions.write_csv(format!("{results}/4-kaggle-pytorch/predictions.csv"))?;
let record = run.record(&mut model)?;
predictions
    .grid(12)?
    .titled(format!("{}: {predictions}", record.name))
    .subtitle(record.conditions())

// %% [markdown]
// ## What it took
// PyTorch's bars of figures 19 to 22. `6-comparison` reads this record.

// %%
record.write(format!("{results}/4-kaggle-pytorch/record.json"))?;
record.phase_chart()?

// %%
record.table()?
