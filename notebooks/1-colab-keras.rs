// %% [markdown]
// # Colab and Keras: figures 1 to 5
//
// The first notebook of the 2019 report, cell by cell: TensorFlow-Keras on Colab's Tesla K80. Load the images, build a network
// "based on VGG16", train and validate it, draw the curves, look at predictions.

// %% [markdown] tags=["kernel"]
// **Where it runs:** in any Jupyter that has the kernel *Rust (Benchbook)*. On Colab and Kaggle, which have fixed kernels,
// use [the form with `%%rust` cells](colab/1-colab-keras.ipynb) from the same source.

// %% [markdown]
// ## Settings
// `scale` sets the size of the job: `report` is the report's job and needs a GPU, `laptop` takes minutes on two cores,
// `tiny` takes seconds; `auto` is `report` with a GPU and `laptop` without.
//
// `backend` is the library, here that of the report. If TensorFlow is not installed, the cell after the next one stops and
// says how to install it; `backend = "libtorch"` does the same job with LibTorch. No library is ever replaced by another
// one; titles and records name the library.

// %% tags=["parameters"]
let scale = String::from("auto");
let backend = String::from("tensorflow");
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
let fit = Fit {
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
        "{results}/1-colab-keras/vgg16_1.safetensors"
    ))],
    ..Fit::default()
};

// %% [markdown]
// The report does not state the optimiser (here Keras' Adam), its learning rate and the seed. That the base started from ImageNet's
// weights is inferred: nothing else reaches 0.95 after 19,200 images. The notebook uses them if `weights` names their file.
//
// The scale `laptop` keeps the 30 epochs of 10 steps and the rotation. It has smaller images and batches, and with ImageNet's
// weights a frozen base; training the base would take more than an hour on two cores. A frozen base cannot adapt to pixels
// divided by 255, so it gets the preprocessing that it was trained with. Charts and records state all of this.

// %% [markdown]
// ## Figure 1: loading the images
// `ImageDataGenerator(rescale=1./255, rotation_range=180)` for training, `rescale` alone for validation. In the report this cell
// lists files and decodes none of them; here the phase ends with the first batch on the device.

// %%
let mut run = Run::new(format!("Colab, Keras on {}, {fitted}", library.name()));
let (pictures, first) = run.load(&data, &net, &build, &fit)?;
for split in [pictures.train(), pictures.validation()] {
    println!("Found {} images belonging to {} classes.", split.len(), split.classes());
}
println!("First batch: {:?}", first.shape());

// %%
pictures

// %% [markdown]
// ## Figure 2: the model
// First the report's table, then the net of this run. Its numbers differ if its images are smaller or its base has batch
// normalisation.

// %%
benchbook::model::Summary(Net::new(Vgg16::new(2).graph())?.summary(false))

// %%
let mut model = run.build(&net, &pictures, build.clone())?;
model.summary()

// %% [markdown]
// ## Figure 3: training
// Keras' log of 2019, with the checkpoint of the best validation accuracy. The time of a line is that of the whole epoch, so
// the milliseconds per step include the validation, as in the report.

// %%
run.train_with(&mut model, &pictures, fit.clone(), &mut KerasLog::new(std::io::stdout()))?;

// %% [markdown]
// ## Figure 4: the curves

// %%
run.record(&mut model)?.curves()

// %% [markdown]
// The best epoch of a training is the best of many evaluations on few images, so part of the report's 0.953 may be luck. A
// single evaluation on all validation images, with its interval:

// %%
run.evaluate(&mut model, &pictures.validation())?

// %% [markdown]
// ## Figure 5: predictions on test images

// %%
let unseen = if pictures.test().is_empty() { pictures.validation() } else { pictures.test() };
let predictions = run.test(&mut model, &unseen)?;
predictions.write_csv(format!("{results}/1-colab-keras/predictions.csv"))?;
let record = run.record(&mut model)?;
predictions
    .grid(12)?
    .titled(format!("{}: {predictions}", record.name))
    .subtitle(record.conditions())

// %% [markdown]
// ## What it took
// The four times that the report compares in its figures 15 to 18. `6-comparison` reads this record.

// %%
record.write(format!("{results}/1-colab-keras/record.json"))?;
record.phase_chart()?

// %%
record.table()?
