// %% [markdown]
// # Colab and PyTorch: figures 6 to 9
//
// The report's second notebook: PyTorch on Colab's Tesla K80. Load the images, build VGG16 with a head of two classes, train
// and validate it, look at predictions. It runs on LibTorch, the library inside PyTorch.

// %% [markdown] tags=["kernel"]
// **Where it runs:** in any Jupyter that has the kernel *Rust (Benchbook)*. On Colab and Kaggle, which have fixed kernels,
// use [the form with `%%rust` cells](colab/2-colab-pytorch.ipynb) from the same source.

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
// In so few steps random weights learn next to nothing without batch normalisation.
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
// ## Figure 6: loading the images

// %%
let mut run = Run::new(format!("Colab, PyTorch on {}, {fitted}", library.name()));
let (pictures, first) = run.load(&data, &net, &build, &fit)?;
for split in [pictures.train(), pictures.validation()] {
    println!("Loaded {} images under {}", split.len(), split.name());
}
println!(
    "Classes:\n[{}]",
    pictures.class_names().iter().map(|class| format!("'{class}'")).collect::<Vec<_>>().join(", ")
);
println!("First batch: {:?}", first.shape());

// %%
pictures

// %% [markdown]
// ## Figure 7: the model
// In the report, "build: 31.9 s" includes downloading 528 MB of weights. Here they are read from a file.

// %%
let mut model = run.build(&net, &pictures, build.clone())?;
model

// %% [markdown]
// ## Training
// A line after every few steps: the mean loss of the epoch so far, and the accuracy of the last batch.

// %%
let mut log = TorchLog::new(std::io::stdout(), every);
run.train_with(&mut model, &pictures, fit.clone(), &mut log)?;

// %% [markdown]
// ## Figure 8: training and validation

// %%
run.record(&mut model)?.curves()

// %%
run.evaluate(&mut model, &pictures.validation())?

// %% [markdown]
// ## Figure 9: predictions on test images

// %%
let unseen = if pictures.test().is_empty() { pictures.validation() } else { pictures.test() };
let predictions = run.test(&mut model, &unseen)?;
predictions.write_csv(format!("{results}/2-colab-pytorch/predictions.csv"))?;
let record = run.record(&mut model)?;
predictions
    .grid(12)?
    .titled(format!("{}: {predictions}", record.name))
    .subtitle(record.conditions())

// %% [markdown]
// ## What it took
// PyTorch's bars of figures 15 to 18. `6-comparison` reads this record.

// %%
record.write(format!("{results}/2-colab-pytorch/record.json"))?;
record.phase_chart()?

// %%
record.table()?
