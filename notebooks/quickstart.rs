// %% [markdown]
// # Cats and dogs with VGG16
//
// The job of the 2019 report, cell by cell: load images, build VGG16, train and validate it, test it, and measure the
// time of each phase. The images are in the folder `BENCHBOOK_DATA`, or by default drawings from `datasets/generate`.

// %% tags=["parameters"]
let scale = String::from("auto"); // tiny: one epoch, to see whether it runs
let results = String::from("../results");

// %%
let folder = std::env::var("BENCHBOOK_DATA").unwrap_or_else(|_| "../datasets/drawings".into());
let weights = std::env::var_os("BENCHBOOK_WEIGHTS");
ImageFolder::open(&folder)?

// %% [markdown]
// The net is VGG16 in full depth and width with the report's Keras head. With ImageNet weights (`BENCHBOOK_WEIGHTS`, a file
// of Keras, torchvision or Benchbook) the convolutions are frozen and only the head is trained. Without weights the net starts
// from random numbers. To learn in two to three minutes on two cores, it then has batch normalisation, mirrored images and images of
// 32 × 32 pixels, instead of the report's 224 × 224.

// %%
let (net, build, fit) = match &weights {
    Some(file) => (
        Vgg16 { size: 112, ..Vgg16::new(2) },
        Build { weights: Weights::from_file(file)?, frozen: true, ..Build::default() },
        Fit { learning_rate: Some(1e-4), cache_features: true, ..Fit::default() },
    ),
    None => (
        Vgg16 { size: 32, batch_norm: true, ..Vgg16::new(2) },
        Build::default(),
        Fit { learning_rate: Some(3e-4), augmentation: vec![Augmentation::FLIP], ..Fit::default() },
    ),
};
let fit = Fit {
    epochs: if scale == "tiny" { 1 } else { 8 },
    batch_size: 16,
    schedule: Schedule::Cosine,
    callbacks: vec![Builtin::best_checkpoint(format!("{results}/quickstart/vgg16_1.safetensors"))],
    ..fit
};

// %% [markdown]
// **Load**: from the folder to the first batch on the device. A `Run` measures each phase.

// %%
let mut run = Run::new("quickstart");
let (data, batch) = run.load(&folder, &net, &build, &fit)?;
batch.shape()

// %% [markdown]
// **Build**: the layers and their parameters, as Keras prints them.

// %%
let mut model = run.build(&net, &data, build.clone())?;
model.summary()

// %% [markdown]
// **Train and validate**: the curves are drawn during the training. You can interrupt it: the model keeps its weights, and
// running the cell again continues the training. The features of a frozen base are computed once per image, as the record states.

// %%
run.train(&mut model, &data, fit.clone())?;

// %% [markdown]
// The history belongs to the model and can be drawn at any time.

// %%
model.history()

// %% [markdown]
// The accuracy on images that were not used for training, with its confidence interval:

// %%
run.evaluate(&mut model, &data.validation())?

// %% [markdown]
// **Test**: the predictions for the test images, which are also written to `results/quickstart/predictions.csv`.

// %%
let pictures = if data.test().is_empty() { data.validation() } else { data.test() };
let predictions = run.test(&mut model, &pictures)?;
predictions.write_csv(format!("{results}/quickstart/predictions.csv"))?;
predictions

// %% [markdown]
// The time of each phase, as in the report's bar charts.

// %%
let record = run.record(&mut model)?;
record.write(format!("{results}/quickstart/record.json"))?;
record.phase_chart()?

// %% [markdown]
// The record holds all conditions that a fair comparison must check.

// %%
record.table()?
