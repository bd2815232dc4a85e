// %% [markdown]
// # Other nets: the future work of the report
//
// The report's future work is the same comparison for other convolutional nets and for recurrent nets. This notebook trains seven
// nets on one job: VGG16, ResNet18, ResNet50, MobileNetV2, a small CNN, an LSTM and a GRU. The two recurrent nets read an image row
// by row, from the top, so they take the same images as the others.
//
// **Where it runs:** in any Jupyter that has the kernel *Rust (Benchbook)*.

// %% [markdown]
// ## Settings
// `scale` is `laptop` (half an hour on two cores), `tiny` (a minute, as a test) or `report` (224 × 224 pixels, for
// a GPU). `nets` are the nets by name. `accuracy` is the validation accuracy whose time is measured. Every net gets the same images,
// batch size, epochs, optimiser and number of threads, and the learning rate 10⁻³. VGG16 has 3 × 10⁻⁴, since it did not
// learn with 10⁻³ in trials with another seed.

// %% tags=["parameters"]
let scale = String::from("auto");
let nets = String::from("vgg16 resnet18 resnet50 mobilenet_v2 small_cnn lstm gru");
let backend = String::from("libtorch");
let accuracy: f64 = 0.85;
let data = std::env::var("BENCHBOOK_DATA").unwrap_or("../datasets/drawings".into());
let results = String::from("../results");
let seed: i64 = 11;

// %%
let fitted: Scale = scale.parse()?;
// Side of the images in pixels, epochs, steps of an epoch (none: all images), batch size, rounds.
let (size, epochs, steps, batch, rounds) = match fitted {
    Scale::Report => (224, 12, None, 32, 5),
    Scale::Laptop => (32, 12, None, 32, 5),
    Scale::Tiny => (32, 1, Some(2), 4, 3),
};

/// A net by its name, with its learning rate.
fn net(name: &str, size: usize) -> Result<(benchbook::nets::Named, f64), String> {
    Ok(match name {
        "vgg16" => (Vgg16 { head: Head::Keras, size, batch_norm: true, ..Vgg16::new(2) }.into(), 3e-4),
        "resnet18" => (ResNet18 { size, ..ResNet18::new(2) }.into(), 1e-3),
        "resnet50" => (ResNet50 { size, ..ResNet50::new(2) }.into(), 1e-3),
        "mobilenet_v2" => (MobileNetV2 { size, ..MobileNetV2::new(2) }.into(), 1e-3),
        "small_cnn" => (SmallCnn { size, ..SmallCnn::new(2) }.into(), 1e-3),
        "lstm" => (Lstm { size, ..Lstm::new(2) }.into(), 1e-3),
        "gru" => (Gru { size, ..Gru::new(2) }.into(), 1e-3),
        other => return Err(format!("this notebook has no net `{other}`")),
    })
}

let folder = std::path::Path::new(&data).file_name().unwrap_or_default().to_string_lossy().into_owned();
let study_name = format!("{}-{folder}-seed-{seed}", fitted.to_string().replace(' ', "-"));
let mut plans: Vec<StudyPlan> = Vec::new();
for name in nets.split_whitespace() {
    let (net, learning_rate) = net(name, size)?;
    let build = Build { seed: seed as u64, ..Build::default() };
    let fit = Fit {
        epochs,
        steps_per_epoch: steps,
        batch_size: batch,
        optimizer: Optimizer::adam(Convention::PyTorch),
        learning_rate: Some(learning_rate),
        seed: seed as u64,
        ..Fit::default()
    };
    plans.push(StudyPlan {
        backends: vec![backend.clone()],
        // All nets share a file of records, each with a study of its own name.
        records: Some(format!("{results}/7-nets/{study_name}.jsonl").into()),
        repeats: rounds,
        retries: if fitted == Scale::Tiny { 0 } else { 2 },
        warm_up: 0,
        check: None,
        ..StudyPlan::new(name, Job { net, build, fit, ..Job::new(&data) })
    });
}

// %% [markdown]
// ## The runs
// Each training runs in its own process, so that memory is measured separately. Each round has its own seed for the starting
// weights and the order of the images. One library trains all nets; the project's tests check that other libraries compute the
// same. A second execution keeps existing records; delete the file to measure again.

// %%
let mut study = Study::default();
for plan in &plans {
    study = plan.run()?;
}
study = study.target_accuracy(accuracy);

// %% [markdown]
// ## The table
// The interval of an accuracy covers other seeds and other images. *Training* is the training time per image, without validation.
// *To accuracy* is the time of training and validation until the end of the first epoch that reaches the accuracy; it is only
// given if every round reaches it.

// %%
study.nets()?

// %%
/// The title of a chart.
fn title(scale: Scale, what: &str) -> String {
    format!("Seven nets, {scale}: {what}")
}

display(
    &study
        .accuracy_chart()?
        .titled(title(fitted, "accuracy against time"))
        .source(&study_name, "/epochs/*/val_accuracy"),
);
display(
    &study
        .rate_chart()?
        .titled(title(fitted, "training rate"))
        .source(&study_name, "/throughput/training"),
);

// %% [markdown]
// ## What can be concluded, and what cannot
// On these drawings the smallest convolutional net has the highest mean accuracy and is by far the fastest to the target accuracy.
// VGG16 takes more than ten times as long; its accuracy cannot be told from the small net's, because their intervals overlap.
//
// These runs do not show:
//
// - **That a net is poor.** ResNet50, MobileNetV2, the LSTM and the GRU were still learning when the epochs ended, as the curves
//   show. Twelve epochs of a thousand drawings are few for them, and nets made for 224 × 224 pixels shrink an image of 32 × 32 to a
//   single pixel before their last layers. More epochs, larger images or published weights change the order.
// - **That one learning rate is fair.** It was not searched for each net; `model.find_learning_rate(…)` draws a curve as a
//   starting point.
// - **The speed on a GPU.** The time per image depends on how a processor with two cores executes each operation. MobileNetV2 has a
//   seventh of VGG16's parameters and needs far fewer multiplications, yet gains much less in time, since its depthwise
//   convolutions do little work for each value they read. A GPU has other bottlenecks.
// - **Anything about recurrent nets in general.** Reading an image row by row makes the comparison possible, but is not their typical
//   use.
