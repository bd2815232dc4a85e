// %% [markdown]
// # Cats and dogs with VGG16
//
// The job of the 2019 report, cell by cell: load pictures, build VGG16, train and validate it, test it, and see what each
// phase took. The pictures are those in the folder `BENCHBOOK_DATA`; without it, drawings from `datasets/generate`.

// %% tags=["parameters"]
let scale = String::from("auto"); // tiny: one epoch, to see whether it runs
let results = String::from("../results");

// %%
let folder = std::env::var("BENCHBOOK_DATA").unwrap_or_else(|_| "../datasets/drawings".into());
let weights = std::env::var_os("BENCHBOOK_WEIGHTS");
ImageFolder::open(&folder)?

// %% [markdown]
// The net is VGG16 in full depth and width with the report's Keras head. With ImageNet weights (`BENCHBOOK_WEIGHTS`, a file
// of Keras, torchvision or our own) its convolutions stay frozen and only the head learns. Without weights it starts from
// random numbers. It then needs batch normalisation to learn anything in two minutes on two processor cores, mirrored pictures
// to learn more from few of them, and pictures of 32 × 32 pixels, where the report had 224 × 224.

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
// **Load**: from the folder to the first batch on the device. A run measures its phases while they happen.

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
// **Train and validate**: the curves grow while it learns. Interrupt it if you like: the model keeps what it has learned, and
// running the cell again goes on from there. A frozen base is computed once for each picture, which the record says.

// %%
run.train(&mut model, &data, fit.clone())?;

// %% [markdown]
// The history belongs to the model and can be drawn at any time.

// %%
model.history()

// %% [markdown]
// How good is it on pictures that it has not learned from, and how sure can one be of that?

// %%
run.evaluate(&mut model, &data.validation())?

// %% [markdown]
// **Test**: what it takes the test pictures for. The table goes into `results/quickstart/predictions.csv`.

// %%
let pictures = if data.test().is_empty() { data.validation() } else { data.test() };
let predictions = run.test(&mut model, &pictures)?;
predictions.write_csv(format!("{results}/quickstart/predictions.csv"))?;
predictions

// %% [markdown]
// What each phase took, as in the report's bar charts.

// %%
let record = run.record(&mut model)?;
record.write(format!("{results}/quickstart/record.json"))?;
record.phase_chart()?

// %% [markdown]
// The record holds everything that a fair comparison has to check.

// %%
record.table()?
