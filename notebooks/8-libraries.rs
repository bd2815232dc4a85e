// %% [markdown]
// # Thirteen libraries on one job: the rest of the report's future work
//
// The report compared Keras on TensorFlow with PyTorch, and named more libraries as future work. This notebook trains the same
// nets from the same weights, on the same images in the same order, with every library that is installed, and asks:
//
// 1. **Keras or TensorFlow?** The report's difference may come from Keras or from the library under it. So the same Keras program runs on
//    TensorFlow, JAX and PyTorch, and both libraries run without Keras as well.
// 2. **Eager or compiled?** PyTorch runs operation by operation, or compiled (`torch.compile`). Keras on TensorFlow always builds a
//    graph, and may have XLA compile it (`jit_compile`).
// 3. **Rust or Python?** LibTorch called from Rust, burn and candle against PyTorch called from Python.
// 4. **Then or now?** PyTorch 1.13, Theano and MXNet are earlier releases, of which the last two are no longer developed.
//
// **Where it runs:** in any Jupyter that has the kernel *Rust (Benchbook)*.

// %% [markdown]
// ## Settings
// `scale` is `laptop` (64 × 64 pixels; about two hours on two cores, see below), `tiny` (two minutes, as a test) or `report`
// (224 × 224 pixels, for a GPU). `libraries` are ids as `benchbook study --help` lists them; `all` stands for all thirteen, or with `tiny`
// for four of them. `environment/references NAME…` installs the libraries; a missing library keeps its row with the reason.
// `accuracy` is the validation accuracy up to which *time to accuracy* is measured.
//
// `python-keras-no-jit` is not among the thirteen: on a processor it does exactly what `python-keras` does. On a GPU Keras chooses XLA by
// itself, so add it there.

// %% tags=["parameters"]
let scale = String::from("auto");
let libraries = String::from("all");
let accuracy: f64 = 0.85;
let data = std::env::var("BENCHBOOK_DATA").unwrap_or("../datasets/drawings".into());
let results = String::from("../results");
let seed: i64 = 1;

// %%
let fitted: Scale = scale.parse()?;
let libraries = match (libraries.as_str(), fitted) {
    ("all", Scale::Tiny) => "libtorch tensorflow python-pytorch python-mxnet",
    ("all", _) => {
        "libtorch tensorflow burn candle python-pytorch python-pytorch-compile python-pytorch@1.13 python-keras \
         python-keras-jit python-keras-jax python-keras-pytorch python-theano python-mxnet"
    }
    (named, _) => named,
}
.to_string();

/// What a net is trained with at a scale.
struct Training {
    epochs: usize,
    /// Batches of an epoch; none: all images.
    steps: Option<usize>,
    batch: usize,
    learning_rate: f64,
    /// Steps and images in a batch of the check in 64-bit floats.
    check: (usize, usize),
}

/// A net by its name, with its training. The two large nets take a stated number of steps at laptop scale: enough to see how long
/// a step takes, and far too few to learn.
fn net(name: &str, scale: Scale) -> Result<(benchbook::nets::Named, Training), String> {
    let size = match scale {
        Scale::Report => 224,
        Scale::Laptop => 64,
        Scale::Tiny => 32,
    };
    // Epochs, their steps and the batch at laptop scale; learning rate; check.
    let (net, epochs, steps, batch, learning_rate, check): (benchbook::nets::Named, _, _, _, _, _) = match name {
        "small_cnn" => (SmallCnn { size, ..SmallCnn::new(2) }.into(), 8, None, 32, 2e-2, (20, 8)),
        "resnet18" => (ResNet18 { size, ..ResNet18::new(2) }.into(), 2, Some(5), 16, 1e-2, (10, 8)),
        "vgg16" => {
            let vgg = Vgg16 { head: Head::Keras, size, ..Vgg16::new(2) };
            (vgg.into(), 2, Some(3), 8, 1e-3, (5, 4))
        }
        other => return Err(format!("this notebook has no net `{other}`")),
    };
    let (epochs, steps, batch, check) = match scale {
        Scale::Report => (12, None, 32, check),
        Scale::Laptop => (epochs, steps, batch, check),
        Scale::Tiny => (1, Some(2), 4, (3, 2)),
    };
    Ok((net, Training { epochs, steps, batch, learning_rate, check }))
}

let folder = std::path::Path::new(&data).file_name().unwrap_or_default().to_string_lossy().into_owned();
let study_name = format!("{}-{folder}-seed-{seed}", fitted.to_string().replace(' ', "-"));
/// The file of a net's records, without its ending.
fn file(study: &str, net: &str) -> String {
    format!("{study}-{net}")
}
let mut plans: Vec<StudyPlan> = Vec::new();
for name in ["small_cnn", "vgg16", "resnet18"] {
    let (net, Training { epochs, steps, batch, learning_rate, check }) = net(name, fitted)?;
    let build = Build { seed: seed as u64, compute: Compute::common(false), ..Build::default() };
    let fit = Fit {
        epochs,
        steps_per_epoch: steps,
        batch_size: batch,
        optimizer: Optimizer::momentum(0.9),
        learning_rate: Some(learning_rate),
        // The large nets learn nothing in a few steps that could be validated.
        validate: steps.is_none() || name == "small_cnn",
        seed: seed as u64,
        ..Fit::default()
    };
    plans.push(StudyPlan {
        // candle disagrees, and its training of the small CNN would take four minutes in each round.
        backends: libraries
            .split_whitespace()
            .filter(|id| (name, *id) != ("small_cnn", "candle"))
            .map(String::from)
            .collect(),
        records: Some(format!("{results}/8-libraries/{}.jsonl", file(&study_name, name)).into()),
        repeats: if fitted == Scale::Tiny { 3 } else { 5 },
        retries: usize::from(fitted != Scale::Tiny),
        warm_up: 0,
        check: Some(benchbook::study::Check { steps: check.0, batch_size: check.1, ..Default::default() }),
        ..StudyPlan::new(name, Job { net, build, fit, ..Job::new(&data) })
    });
}

// %% [markdown]
// ## How it is measured
// First each library computes some steps in 64-bit floats from common weights, on common batches and with common dropout masks: logits, losses,
// every gradient, and the changes of the weights. The majority decides which values are correct; a library that computes something else has the
// verdict *disagrees*, with the layer, and no ratio. Then all libraries train in several rounds, alternating, each run in its own process. After its clock
// has stopped, each run executes a few more steps in 32-bit floats, which are compared with the correct values.
//
// The tables have two times. *Train* is the time that a user waits: reading images, compiling, training and, with the small CNN, validation. A
// *step* is the time of the net alone, measured after the run with one batch in memory, so it contains neither compiling
// nor reading images. With the few steps of the large nets, *train* is mostly start-up, so compare their steps.
//
// **How long it takes** at laptop scale on two idle cores: thirteen minutes a round for the small CNN, five for VGG16 and six for ResNet18, of which a minute is `torch.compile`. With
// the checks this makes 64, 27 and 32 minutes.
// Each net has its own file of records, and the small CNN is first, so an interrupted measurement leaves complete studies. A second execution resumes the measurement and keeps
// existing records; delete a file to measure again. `-p libraries "…"` with fewer names takes less time.

// %% [markdown]
// ## A small CNN, trained for several epochs

// %%
let small = plans[0].run()?.target_accuracy(accuracy);
small.table()?

// %%
/// The title of a chart.
fn title(scale: Scale, net: &str, what: &str) -> String {
    format!("{net}, {scale}: {what}")
}

display(
    &small
        .chart(benchbook::study::Quantity::Train)?
        .titled(title(fitted, "Small CNN", "time of training"))
        .source(file(&study_name, "small_cnn"), "/phases/train"),
);
display(
    &small
        .chart(benchbook::study::Quantity::Step)?
        .titled(title(fitted, "Small CNN", "time of a step, batch in memory"))
        .source(file(&study_name, "small_cnn"), "/median/step_seconds"),
);
display(
    &small
        .accuracy_chart()?
        .titled(title(fitted, "Small CNN", "accuracy against time"))
        .source(file(&study_name, "small_cnn"), "/epochs/*/val_accuracy"),
);
small.time_to_accuracy(accuracy)?

// %%
small.steps()?

// %% [markdown]
// Where the time goes, library by library:

// %%
small.parts()?

// %% [markdown]
// ## VGG16, the report's net, a stated number of steps
// At laptop scale two epochs of three steps, without validation. The head is that of the report's Keras notebook.

// %%
let vgg = plans[1].run()?;
vgg.steps()?

// %%
display(
    &vgg
        .chart(benchbook::study::Quantity::Step)?
        .titled(title(fitted, "VGG16", "time of a step, batch in memory"))
        .source(file(&study_name, "vgg16"), "/median/step_seconds"),
);
vgg.parts()?

// %% [markdown]
// ## ResNet18, a stated number of steps
// At laptop scale two epochs of five steps, without validation: no time to an accuracy is measured.

// %%
let residual = plans[2].run()?;
residual.steps()?

// %%
display(
    &residual
        .chart(benchbook::study::Quantity::Step)?
        .titled(title(fitted, "ResNet18", "time of a step, batch in memory"))
        .source(file(&study_name, "resnet18"), "/median/step_seconds"),
);
residual.parts()?

// %% [markdown]
// ## The questions
// The same records once more, with the libraries of each question and the baseline that it needs. `step ×` is the time of a step as a
// multiple of the baseline's, with its 95% interval.

// %%
/// The records of some libraries in all three studies.
fn among(studies: &[&Study], libraries: &str) -> Study {
    let named = |record: &&Record| libraries.split_whitespace().any(|id| id == record.backend());
    Study::of_records(studies.iter().flat_map(|study| study.records().iter().filter(named).cloned()))
}

// %% [markdown]
// ### 1. Keras or TensorFlow?
// If Keras were the reason, Keras on PyTorch would differ from PyTorch as Keras on TensorFlow does from TensorFlow. If TensorFlow were, Keras would change its
// time with the library under it. The baseline is Keras on TensorFlow, which the report used. TensorFlow without Keras is called from Rust, so
// that row differs in the language, too.

// %%
among(&[&small, &vgg, &residual], "python-keras tensorflow python-keras-jax python-keras-pytorch python-pytorch")
    .baseline("python-keras")
    .steps()?

// %% [markdown]
// ### 2. Eager or compiled?
// The first step includes the time of compiling. Each PyTorch run compiles again, since it has its own cache folder.

// %%
among(&[&small, &vgg, &residual], "python-pytorch python-pytorch-compile").baseline("python-pytorch").steps()?

// %%
among(&[&small, &vgg, &residual], "python-keras python-keras-jit").baseline("python-keras").steps()?

// %% [markdown]
// ### 3. Which Rust library trains as fast as PyTorch?
// A library that *disagrees* has no ratio: it trains another net than the others, however fast.

// %%
among(&[&small, &vgg, &residual], "python-pytorch libtorch burn candle tensorflow").baseline("python-pytorch").steps()?

// %% [markdown]
// ### 4. Then or now?

// %%
among(&[&small, &vgg, &residual], "python-pytorch python-pytorch@1.13 python-theano python-mxnet").baseline("python-pytorch").steps()?

// %% [markdown]
// ## What others have published
// Times from other machines, with their sources: for libraries that were not run here (Caffe2, CNTK, Chainer), and for comparison. They are not
// records: each table is only divided by its own baseline, and nothing in this notebook divides a measured time by a published one. Why
// Caffe was not measured is in `kernel/study/references/REVIEW.md`.

// %%
published().table()?

// %% [markdown]
// ## What can be concluded, and what cannot
// The kept outputs (28 and 29 November 2026, two cores of an AMD EPYC for VGG16 and of an Intel Xeon for the others, no GPU) say:
//
// 1. **Keras or TensorFlow?** The library under Keras matters more than Keras. With JAX or PyTorch under it, a step of the same Keras program takes 1.45
//    to 7.5 times as long as with TensorFlow. TensorFlow without Keras takes as long as with it, or a sixth less (ResNet18). Which of PyTorch and Keras on TensorFlow
//    is faster depends on the net: PyTorch's step takes 1.5 times as long for the small CNN, about as long for VGG16, and three quarters for ResNet18.
// 2. **Eager or compiled?** On two cores compiling never makes a step significantly shorter: `torch.compile` makes ResNet18's 1.4 times as long, and XLA Keras' 2 (small CNN) to 7
//    times (ResNet18; VGG16's row has no ratio). The first step takes 42 s and more with `torch.compile`, and with XLA two to three times as long as without.
// 3. **Rust or Python?** LibTorch takes as long from Rust as PyTorch from Python, since both execute the same operations. burn takes 2.2 to 4.1 times as long, with the
//    least memory. candle is no answer for these nets: its gradients of VGG16 are wrong, and it has none for ResNet18's max pooling.
// 4. **Then or now?** PyTorch 1.13 is about as fast as 2.11. MXNet keeps up except for ResNet18 (1.6 times as long); Theano takes 1.5 to 2.6 times as long.
//
// In any case:
//
// - **A ratio counts only where the library computes the same.** A library that *disagrees* or was *not checked* has none, and its time says nothing about
//   libraries.
// - **Few steps measure steps, not learning.** At laptop scale only the small CNN takes enough steps to learn.
// - **Compiling pays off only if it makes the step shorter.** Then the difference of the first steps divided by the difference of the later steps is
//   the number of steps after which the compiled form has caught up. At laptop scale a run is shorter than most trainings.
// - **A processor is no GPU.** How a library spreads its work over many cores, or hides its own work behind a GPU's, does not show here.
// - **One program for each library.** Each program follows the library's tutorials, and was reviewed against its documentation
//   (`kernel/study/references/REVIEW.md`); an expert's program may be faster.
