//! Data-parallel training: each rank computes its share of a batch, and sums over the ranks make the whole batch's loss,
//! logits, gradients and batch normalisation of it.

use crate::net::{Computed, Model};
use crate::{NAME, failed, shim};
use benchbook_backend::{BackendError, Plan, without_code};
use benchbook_ranks::Ranks;
use std::ops::Range;
use tch::{Device, Kind, TchError, Tensor};

/// The ranks that train a plan's net; `None` for one process.
pub(crate) fn of(plan: &Plan, device: Device) -> Result<Option<&'static Ranks>, BackendError> {
    if plan.ranks < 2 {
        return Ok(None);
    }
    without_code(&plan.net, "LibTorch in several ranks")?;
    let refused = |library: &str, expected, found: String| {
        let library = library.into();
        Err(BackendError::Option { library, option: "ranks", expected, found })
    };
    if device != Device::Cpu {
        let (library, found) = (format!("{NAME} on a GPU"), plan.ranks.to_string());
        return refused(&library, "1 (several compute on the CPU only: set `device`)", found);
    }
    let found = Ranks::of_process();
    match found.map_err(|error| BackendError::Unavailable { source: error.to_string().into() })? {
        Some(ranks) if ranks.rank.size == plan.ranks => Ok(Some(ranks)),
        other => {
            let started = other.map_or(1, |ranks| ranks.rank.size);
            let expected = "the number of processes that were started together (`benchbook bench --ranks` and studies \
                            start them)";
            refused(NAME, expected, format!("{} in a process of {started}", plan.ranks))
        }
    }
}

/// Replaces a tensor's values by their sums over the ranks: on the CPU, contiguous, of 32 or 64 bits.
fn sum(ranks: &Ranks, values: &Tensor) -> Result<(), TchError> {
    let (start, count) = (values.data_ptr(), values.numel());
    // SAFETY: the memory holds as many numbers of the type, and nothing else reads or writes it meanwhile.
    let summed = unsafe {
        match values.f_kind()? {
            Kind::Double => ranks.sum(std::slice::from_raw_parts_mut(start.cast::<f64>(), count)),
            _ => ranks.sum(std::slice::from_raw_parts_mut(start.cast::<f32>(), count)),
        }
    };
    summed.map_err(|error| TchError::Torch(error.to_string()))
}

extern "C" fn sum_in_shim(values: *mut f64, count: usize) -> bool {
    // SAFETY: the shim gives the memory of a tensor of its own.
    let values = unsafe { std::slice::from_raw_parts_mut(values, count) };
    matches!(Ranks::of_process(), Ok(Some(ranks)) if ranks.sum(values).is_ok())
}

/// Batch normalisation in training over the whole batch, of which `x` is this rank's share.
pub(crate) fn batch_norm(
    x: &Tensor,
    weights: [&Tensor; 2],
    running: Option<[&Tensor; 2]>,
    numbers: [f64; 2],
) -> Result<Tensor, TchError> {
    shim::sync_batch_norm(x, weights, running, numbers, sum_in_shim)
}

impl Model {
    /// The examples of a batch that this process computes.
    pub(crate) fn share(&self, batch: usize) -> Range<usize> {
        self.ranks.map_or(0..batch, |ranks| ranks.rank.share(batch))
    }

    /// Results of the whole batch, from this rank's part `own` of loss and gradients and the logits
    /// of its share. One sum over all values.
    pub(crate) fn of_all_ranks(
        &self,
        own: Computed,
        batch: usize,
    ) -> Result<Computed, BackendError> {
        let Some(ranks) = self.ranks else { return Ok(own) };
        let _guard = tch::no_grad_guard();
        let summed = || {
            let Computed { loss, logits, gradients } = &own;
            let share = self.share(batch);
            let [start, length] = [share.start, share.len()].map(|number| number as i64);
            let outputs = logits.size()[1];
            let all = Tensor::f_zeros([batch as i64, outputs], (logits.kind(), Device::Cpu))?;
            all.f_narrow(0, start, length)?.f_copy_(&logits.f_detach()?)?;
            let used = || gradients.iter().filter(|gradient| gradient.defined());
            let mut parts = vec![loss.f_detach()?.f_view_([1])?, all.f_flatten(0, -1)?];
            for gradient in used() {
                parts.push(gradient.f_flatten(0, -1)?);
            }
            let flat = Tensor::f_cat(&parts, 0)?;
            sum(ranks, &flat)?;
            let mut start = 0;
            let mut next = |shape: &[i64]| {
                let length = shape.iter().product();
                let part = flat.f_narrow(0, start, length)?.f_view_(shape);
                start += length;
                part
            };
            let (loss, logits) = (next(&[])?, next(&[batch as i64, outputs])?);
            let mut whole = Vec::with_capacity(gradients.len());
            for gradient in gradients {
                whole.push(if gradient.defined() {
                    next(&gradient.size())?
                } else {
                    gradient.shallow_clone()
                });
            }
            Ok(Computed { loss, logits, gradients: whole })
        };
        summed().map_err(failed("the sum over the ranks"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LibTorch;
    use benchbook_backend::{
        Backend, Compute, Device as Requested, Input, Network, Optimizer, Parameters, Precision,
        Step,
    };
    use benchbook_nets::{Architecture, Graph, Head, Net, Sequential, Vgg11, Vgg16};
    use benchbook_ranks::mpirun;

    /// The output of running a test of this crate as two ranks; `None` without OpenMPI.
    fn two_ranks(test: &str) -> Option<String> {
        let mut command = mpirun(2);
        command.arg(std::env::current_exe().unwrap());
        command.args([&format!("ranks::tests::{test}"), "--exact", "--nocapture"]);
        let output = match command.output() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                println!("SKIPPED: no OpenMPI: apt-get install openmpi-bin");
                return None;
            }
            output => output.unwrap(),
        };
        let text = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        Some(text.concat())
    }

    fn built(graph: &Graph, ranks: usize, precision: Precision) -> Box<dyn Network> {
        let compute = Compute { precision, ..Compute::exact() };
        let (net, device) = (Net::new(graph.clone()).unwrap(), Requested::Cpu);
        let plan = Plan { net, frozen: false, device, threads: Some(1), ranks, compute };
        let weights = Parameters::initial(plan.net.parameters(), 1);
        LibTorch.build(&plan, &weights).unwrap()
    }

    fn small_cnn_with_batch_norm() -> Graph {
        let mut net = Sequential::image(3, 32, 32).named("small");
        for channels in [8, 16] {
            net = net.conv(channels, 3).batch_norm().relu().max_pool(2);
        }
        net.end_base().flatten().dense(16).relu().dropout(0.5).dense(3).graph()
    }

    /// The largest difference between two sets of values, relative to each array's largest value. An array of
    /// values far below those of others is rounding: the gradient of a bias before batch normalisation is zero.
    fn apart(one: &Parameters, other: &Parameters) -> f32 {
        assert_eq!(one.arrays.keys().collect::<Vec<_>>(), other.arrays.keys().collect::<Vec<_>>());
        let largest = |values: &[f32]| values.iter().fold(0.0_f32, |most, v| most.max(v.abs()));
        let all = one.arrays.values().map(|array| largest(&array.values)).fold(0.0, f32::max);
        let each = one.arrays.iter().map(|(name, array)| {
            let pairs = array.values.iter().zip(&other.arrays[name].values);
            let largest = largest(&array.values).max(1e-2 * all);
            pairs.fold(0.0_f32, |most, (a, b)| most.max((a - b).abs())) / largest
        });
        each.fold(0.0, f32::max)
    }

    /// Batches of five images (two and three for the ranks), of four, and of one, of which the first rank gets none.
    #[test]
    fn two_ranks_compute_what_one_computes_of_the_whole_batch() {
        if benchbook_ranks::started().is_none() {
            let test = "two_ranks_compute_what_one_computes_of_the_whole_batch";
            for (rank, text) in two_ranks(test).iter().flat_map(|text| [(0, text), (1, text)]) {
                assert!(text.contains(&format!("rank {rank} agrees")), "{text}");
            }
            return;
        }
        let (head, size) = (Head::Keras, 32);
        let nets = [
            (Vgg16 { head, size, ..Vgg16::new(2) }.graph(), vec![1.0, 3.0]),
            (Vgg11 { head, size, batch_norm: true, ..Vgg11::new(2) }.graph(), vec![1.0, 3.0]),
            (small_cnn_with_batch_norm(), vec![1.0, 2.0, 3.0]),
        ];
        for ((graph, class_weights), (precision, bound)) in nets.iter().flat_map(|net| {
            // Results are read as 32-bit floats; with those the gradients differ by the order of their sums.
            [(net, (Precision::Float64, 2e-7)), (net, (Precision::Float32, 2e-3))]
        }) {
            let classes = class_weights.len() as i64;
            let (mut alone, mut together) =
                (built(graph, 1, precision), built(graph, 2, precision));
            let rank = together.rank();
            for (step, batch) in [5, 4, 1].into_iter().enumerate() {
                let each = 3 * 32 * 32;
                let values = benchbook_backend::normal(batch * each, 1.0, step as u64, 0);
                let labels: Vec<i64> = (0..batch as i64).map(|index| index % classes).collect();
                let share = rank.share(batch);
                let own = Input::Values(&values[share.start * each..share.end * each]);
                let whole = Input::Values(&values);
                let same = |what: &str, one: f64, other: f64| {
                    let near = (one - other).abs() <= bound * one.abs().max(1.0);
                    assert!(
                        near,
                        "{} {precision}, batch {batch}: {what} {one} and {other}",
                        graph.name
                    );
                };
                let gradients = [
                    alone.gradients(whole, &labels).unwrap(),
                    together.gradients(own, &labels).unwrap(),
                ];
                same("gradients apart by", 0.0, f64::from(apart(&gradients[0], &gradients[1])));
                let settings =
                    Step { class_weights: Some(class_weights), ..Step::new(1e-3, step as u64) };
                for net in [&mut alone, &mut together] {
                    net.compile(Optimizer::momentum(0.9));
                }
                let [one, other] = [
                    alone.train_step(whole, &labels, settings).unwrap(),
                    together.train_step(own, &labels, settings).unwrap(),
                ];
                same("loss", one.loss, other.loss);
                assert_eq!(one.logits.len(), other.logits.len());
                for (one, other) in one.logits.iter().zip(&other.logits) {
                    same("logit", f64::from(*one), f64::from(*other));
                }
                let [one, other] = [&alone, &together].map(|net| net.parameters().unwrap());
                same("weights apart by", 0.0, f64::from(apart(&one, &other)));
                let [one, other] = [
                    alone.evaluate_step(whole, &labels).unwrap(),
                    together.evaluate_step(own, &labels).unwrap(),
                ];
                same("loss without learning", one.loss, other.loss);
                let logits = together.logits(own, batch).unwrap();
                assert_eq!(logits, other.logits);
            }
        }
        Ranks::of_process().unwrap().unwrap().finish().unwrap();
        // The line end of the test harness comes after this output.
        println!("\nrank {} agrees", rank_of_process());
    }

    fn rank_of_process() -> usize {
        Ranks::of_process().unwrap().unwrap().rank.number
    }

    #[test]
    fn ranks_that_were_not_started_are_refused() {
        if benchbook_ranks::started().is_some() {
            return;
        }
        let net = Net::new(small_cnn_with_batch_norm()).unwrap();
        let compute = Compute::default();
        let (device, threads) = (Requested::Cpu, Some(1));
        let plan = Plan { net, frozen: false, device, threads, ranks: 2, compute };
        let weights = Parameters::initial(plan.net.parameters(), 1);
        let refused = LibTorch.build(&plan, &weights).map(|_| ()).unwrap_err().to_string();
        assert!(refused.contains("2 in a process of 1"), "{refused}");
    }
}
