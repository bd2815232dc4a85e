//! Nets that are code of the crate `tch`, with their own layers and forward pass.

use super::Build;
use crate::backend::{Device, LibTorch, Parameters};
use crate::error::Error;
use crate::interrupt::Interrupted;
use crate::worker;
use benchbook_libtorch::{Code, Forward};
use benchbook_nets::{Architecture, Graph, Net, Node, Shape};
use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use tch::Tensor;
use tch::nn::{ModuleT, Path};

/// An argument of [`Model::build`](super::Model::build): an [`Architecture`], or code ([`TchNet`]).
pub trait Buildable {
    /// The net, with its code, if any, on the device of these settings.
    ///
    /// # Errors
    /// [`Error::Net`], and for code [`Error::Setting`] and [`Error::Backend`].
    fn prepare(self, build: &Build) -> Result<Prepared, Error>;

    /// The shape of one input.
    ///
    /// # Errors
    /// [`Error::Net`].
    fn input(&self) -> Result<Shape, Error>;
}

/// A checked net, with its code if it has any.
pub struct Prepared {
    pub(super) net: Net,
    pub(super) code: Option<Code>,
}

impl<A: Architecture> Buildable for A {
    fn prepare(self, _build: &Build) -> Result<Prepared, Error> {
        Ok(Prepared { net: Net::new(self.graph())?, code: None })
    }

    fn input(&self) -> Result<Shape, Error> {
        Ok(Net::new(self.graph())?.input())
    }
}

impl Prepared {
    /// The starting values: those of the code, or random ones from the seed.
    pub(super) fn initial(&self, seed: u64) -> Result<Parameters, Error> {
        Ok(match &self.code {
            Some(code) => code.parameters()?,
            None => Parameters::initial(self.net.parameters(), seed),
        })
    }
}

/// Makes the layers on a path of variables.
type Make = Arc<dyn Fn(&Path<'_>) -> Box<dyn ModuleT> + Send + Sync>;

/// A custom net of the crate `tch`: a function that makes its layers on a path of variables and returns a value with a
/// forward pass (`nn::Module` or `nn::ModuleT`; for a closure, `nn::func` or `nn::func_t`). It trains on LibTorch like any
/// net, but [`Build::frozen`], printed layers and other libraries do not support it.
///
/// The function runs when the model is built, after LibTorch's generator is seeded with [`Build::seed`]. Each training
/// step seeds it too, so that dropout is repeatable. Variables that do not require gradients are not trained.
///
/// ```no_run
/// # use benchbook::prelude::*;
/// use tch::nn::{self, Module};
/// # fn main() -> Result<(), benchbook::Error> {
/// let data = ImageFolder::open("images")?;
/// let net = TchNet::new("mine", [3, 64, 64], |vs| {
///     nn::seq()
///         .add(nn::conv2d(vs / "conv", 3, 16, 3, Default::default()))
///         .add_fn(|x| x.relu().adaptive_avg_pool2d([1, 1]).flat_view())
///         .add(nn::linear(vs / "fc", 16, 2, Default::default()))
/// });
/// let mut model = Model::build(net, &data, Build::default())?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TchNet {
    name: String,
    input: Shape,
    make: Make,
    /// The text of the cell that made the net, for the line of an error.
    cell: Option<Arc<str>>,
}

impl TchNet {
    /// A net with this name, for inputs of this shape without the batch: `[3, 64, 64]` (channels, height, width) or
    /// `[10]`. Its forward pass gives logits `[batch, classes]`, or `[batch, 1]` for two classes.
    pub fn new<M: ModuleT + 'static>(
        name: impl Into<String>,
        input: impl Into<Shape>,
        make: impl Fn(&Path<'_>) -> M + Send + Sync + 'static,
    ) -> Self {
        let make = move |path: &Path<'_>| Box::new(make(path)) as Box<dyn ModuleT>;
        Self::of(name.into(), input.into(), Arc::new(make))
    }

    fn of(name: String, input: Shape, make: Make) -> Self {
        Self { name, input, make, cell: worker::compiled_cell().map(Into::into) }
    }

    /// Makes the layers on a path; returns the forward pass, whose panics become errors.
    fn layers(&self, path: &Path<'_>) -> Result<Forward, String> {
        let module = caught("the function", self.cell.as_deref(), || (self.make)(path))?;
        let cell = self.cell.clone();
        Ok(Box::new(move |x: &Tensor, train| {
            caught("the net's code", cell.as_deref(), || module.forward_t(x, train))
        }))
    }
}

impl fmt::Debug for TchNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TchNet({:?}, {})", self.name, self.input)
    }
}

impl Buildable for TchNet {
    fn prepare(self, build: &Build) -> Result<Prepared, Error> {
        (&self).prepare(build)
    }

    fn input(&self) -> Result<Shape, Error> {
        Ok(self.input)
    }
}

impl Buildable for &TchNet {
    fn prepare(self, build: &Build) -> Result<Prepared, Error> {
        let name = self.name.clone();
        if build.backend != LibTorch {
            return Err(Error::Setting {
                name: "Build::backend",
                expected: "LibTorch for a net of the crate `tch`",
                found: build.backend.about().name.into(),
            });
        }
        // First the requested device, which may be missing.
        let code = Code::new(build.requested_device(), build.seed, |path| self.layers(path))?;
        // A second instance on the CPU with a fixed seed, for a fingerprint that depends on neither.
        let probe = Code::new(Device::Cpu, 0, |path| self.layers(path))?;
        let mut operation = probe
            .operation(self.input)
            .map_err(|expected| Error::Code { net: name.clone(), expected })?;
        operation.fingerprint = crate::record::digest(operation.fingerprint)[..16].into();
        let graph = Graph {
            name,
            class: "TchNet".into(),
            modules: BTreeMap::default(),
            input: self.input,
            nodes: vec![Node::new("forward", operation)],
            base: 0,
        };
        Ok(Prepared { net: Net::new(graph)?, code: Some(code) })
    }

    fn input(&self) -> Result<Shape, Error> {
        Ok(self.input)
    }
}

/// Runs the user's code; a panic becomes a message with the user's line.
fn caught<T>(what: &str, cell: Option<&str>, code: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(code)).map_err(|payload| {
        if payload.is::<Interrupted>() {
            resume_unwind(payload);
        }
        let (message, line) = worker::take_panic(&*payload);
        let text = line.and_then(|line| cell?.lines().nth(line - 1));
        let place = text.map(|text| format!(" in the line `{}`", text.trim())).unwrap_or_default();
        format!("{what} failed{place}: {message}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Model, Weights};
    use crate::train::{Fit, Silent};
    use benchbook_data::Arrays;
    use tch::nn;

    /// Tests run in parallel, but LibTorch has one generator per process.
    static GENERATOR: std::sync::Mutex<()> = std::sync::Mutex::new(());

    /// `count` examples of two values; the class is the index of the larger one.
    fn data(count: i64) -> Arrays {
        let values = (0..count).flat_map(|at| if at % 2 == 0 { [0.5, -0.5] } else { [-0.5, 0.5] });
        let labels = (0..count).map(|at| at % 2).collect();
        Arrays::new(values.collect(), [2], labels, ["left", "right"]).unwrap()
    }

    fn layers(vs: &Path<'_>) -> impl ModuleT + use<> {
        nn::seq_t()
            .add(nn::linear(vs / "hidden", 2, 8, nn::LinearConfig::default()))
            .add(nn::batch_norm1d(vs / "norm", 8, nn::BatchNormConfig::default()))
            .add_fn_t(|x, train| x.relu().dropout(0.2, train))
            .add(nn::linear(vs / "out", 8, 2, nn::LinearConfig::default()))
    }

    fn build() -> Build {
        Build { device: Some(tch::Device::Cpu), seed: 3, ..Build::default() }
    }

    fn fit(epochs: usize) -> Fit {
        Fit { epochs, batch_size: 8, learning_rate: Some(0.05), ..Fit::default() }
    }

    fn model(data: &Arrays) -> Model {
        Model::build(TchNet::new("mine", [2], layers), data, build()).unwrap()
    }

    #[test]
    fn code_trains_and_resumes_from_a_file_as_if_it_had_not_been_interrupted() {
        let _alone = GENERATOR.lock();
        let data = data(40);
        let mut through = model(&data);
        assert_eq!(
            through.parameter_counts(),
            (2 * 8 + 8 + 4 * 8 + 8 * 2 + 2, 2 * 8 + 8 + 2 * 8 + 8 * 2 + 2)
        );
        assert!(through.summary().0.contains("Custom"), "{}", through.summary());
        let history = through.fit_with(&data, fit(12), &mut Silent).unwrap();
        assert_eq!(history.epochs.last().unwrap().val_accuracy, Some(1.0));

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let mut first = model(&data);
        let mut save = |_: &crate::train::EpochMetrics| std::ops::ControlFlow::Break(());
        first.fit_with(&data, fit(12), &mut save).unwrap();
        first.save(&path).unwrap();
        let mut second =
            Model::build(TchNet::new("mine", [2], layers), &data, Build { seed: 9, ..build() })
                .unwrap();
        second.restore(&path).unwrap();
        assert_eq!(second.parameters().unwrap(), first.parameters().unwrap());
        second.resume_with(&data, &mut Silent).unwrap();
        assert_eq!(second.parameters().unwrap(), through.parameters().unwrap());
        assert_eq!(second.history().epochs.len(), 12);
        assert_eq!(
            second.predict(&benchbook_data::Dataset::validation(&data)).unwrap().classes,
            ["left", "right"]
        );

        let loaded = Model::load(&path).map(drop).unwrap_err().to_string();
        assert!(loaded.contains("`mine`") && loaded.contains("restore("), "{loaded}");
        let other = |vs: &Path<'_>| nn::linear(vs / "out", 2, 2, nn::LinearConfig::default());
        let mut other = Model::build(TchNet::new("other", [2], other), &data, build()).unwrap();
        let before = other.parameters().unwrap();
        let wrong = other.restore(&path).unwrap_err().to_string();
        assert!(wrong.contains("`out.weight`") && wrong.contains("[2, 8]"), "{wrong}");
        assert_eq!(other.parameters().unwrap(), before);
    }

    #[test]
    fn weights_of_a_file_replace_the_codes_own() {
        let _alone = GENERATOR.lock();
        let data = data(16);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        let first = model(&data);
        first.save(&path).unwrap();
        let build = Build { weights: Weights::File(path), seed: 4, ..build() };
        let second = Model::build(TchNet::new("mine", [2], layers), &data, build).unwrap();
        assert_eq!(first.parameters().unwrap(), second.parameters().unwrap());
    }

    #[test]
    fn a_step_without_a_finite_loss_changes_nothing_and_unused_variables_stay() {
        let _alone = GENERATOR.lock();
        use crate::backend::{Input, Optimizer, Step};
        let data = data(16);
        let net = |vs: &Path<'_>| {
            let _unused = nn::linear(vs / "unused", 3, 3, nn::LinearConfig::default());
            layers(vs)
        };
        let mut model = Model::build(TchNet::new("mine", [2], net), &data, build()).unwrap();
        let before = model.parameters().unwrap();
        let network = model.network();
        network.compile(Optimizer::default());
        let labels = [0, 1];
        let step = Step::new(0.1, 0);
        assert!(
            network.train_step(Input::Values(&[f32::NAN; 4]), &labels, step).unwrap().loss.is_nan()
        );
        assert_eq!(model.parameters().unwrap(), before);
        model.network().train_step(Input::Values(&[0.5; 4]), &labels, step).unwrap();
        let after = model.parameters().unwrap();
        let is_same = |name: &str| before.arrays[name] == after.arrays[name];
        assert!(
            is_same("unused.weight") && !is_same("out.weight") && !is_same("norm.running_mean")
        );
    }

    #[test]
    fn a_panic_in_training_is_an_error_and_changes_nothing() {
        use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
        static FAILS: AtomicBool = AtomicBool::new(false);
        let _alone = GENERATOR.lock();
        let data = data(16);
        let net = TchNet::new("mine", [2], |vs| {
            let norm = nn::batch_norm1d(vs / "norm", 2, nn::BatchNormConfig::default());
            let out = nn::linear(vs / "out", 2, 2, nn::LinearConfig::default());
            nn::func_t(move |x, train| {
                let x = x.apply_t(&norm, train);
                tch::no_grad(|| assert!(!FAILS.load(Relaxed), "as told"));
                x.apply(&out)
            })
        });
        let mut model = Model::build(&net, &data, build()).unwrap();
        let before = model.parameters().unwrap();
        FAILS.store(true, Relaxed);
        let text = model.fit_with(&data, fit(1), &mut Silent).map(drop).unwrap_err().to_string();
        assert!(text.contains("the net's code failed: as told"), "{text}");
        assert_eq!(model.parameters().unwrap(), before);
        FAILS.store(false, Relaxed);
        // Gradients are tracked again.
        model.fit_with(&data, fit(1), &mut Silent).unwrap();
        assert_ne!(model.parameters().unwrap().arrays["out.weight"], before.arrays["out.weight"]);
    }

    #[test]
    fn the_fingerprint_depends_on_what_is_computed_and_not_on_the_seed() {
        let _alone = GENERATOR.lock();
        let graph = |function: fn(&Tensor) -> Tensor, rate, seed| {
            let net = TchNet::new("mine", [2], move |vs| {
                let out = nn::linear(vs / "out", 2, 2, nn::LinearConfig::default());
                nn::func_t(move |x, train| function(&x.apply(&out)).dropout(rate, train))
            });
            Model::new(net, Build { seed, ..build() }).unwrap().net().graph().clone()
        };
        let one = graph(Tensor::sigmoid, 0.0, 1);
        assert_eq!(one, graph(Tensor::sigmoid, 0.0, 2));
        assert_ne!(one, graph(Tensor::tanh, 0.0, 1));
        assert_ne!(one, graph(Tensor::sigmoid, 0.5, 1));
    }

    #[test]
    fn a_net_of_which_nothing_learns_says_so() {
        let _alone = GENERATOR.lock();
        let data = data(8);
        let net = TchNet::new("mine", [2], |vs| {
            let out = nn::linear(vs / "out", 2, 2, nn::LinearConfig::default());
            nn::func(move |x| x.apply(&out).detach())
        });
        let mut model = Model::build(net, &data, build()).unwrap();
        let text = model.fit_with(&data, fit(1), &mut Silent).map(drop).unwrap_err().to_string();
        assert!(text.contains("no variable that learns"), "{text}");
        let text = model.set_frozen(true).unwrap_err().to_string();
        assert!(text.contains("set_requires_grad(false)"), "{text}");
    }

    #[test]
    fn what_code_cannot_do_is_said_before_anything_is_trained() {
        let _alone = GENERATOR.lock();
        let data = data(8);
        let refused = |units: i64, build: Build| {
            let net =
                move |vs: &Path<'_>| nn::linear(vs / "fc", 2, units, nn::LinearConfig::default());
            Model::build(TchNet::new("mine", [2], net), &data, build)
                .map(drop)
                .unwrap_err()
                .to_string()
        };
        let classes = refused(3, build());
        assert!(classes.contains("3") && classes.contains("left"), "{classes}");
        let tensorflow = refused(2, Build { backend: crate::backend::TensorFlow, ..build() });
        assert!(
            tensorflow.contains("LibTorch") && tensorflow.contains("TensorFlow"),
            "{tensorflow}"
        );
        let frozen = refused(2, Build { frozen: true, ..build() });
        assert!(frozen.contains("Build::frozen"), "{frozen}");
        let flat = |vs: &Path<'_>| {
            nn::func({
                let weight = vs.zeros("weight", &[2]);
                move |x| x.matmul(&weight)
            })
        };
        let shape =
            Model::build(TchNet::new("mine", [2], flat), &data, build()).map(drop).unwrap_err();
        assert!(shape.to_string().contains("[2, classes]; the forward pass gives [2]"), "{shape}");
        let net = TchNet::new("mine", [2], layers).prepare(&build()).unwrap().net;
        for backend in [crate::backend::LibTorch, crate::backend::TensorFlow] {
            let plan = build().plan(net.clone());
            let elsewhere = backend.supports(&plan).unwrap_err().to_string();
            assert!(elsewhere.contains("`forward`: it is code of a cell"), "{elsewhere}");
        }
    }
}
