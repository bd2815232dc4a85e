"""Validation accuracy on photos from ImageNet weights, for several seeds.

Only the head learns; the features of the frozen base are computed once and shared by the seeds, which differ in the
head's starting weights, the order of the images and the dropout masks. The figure is that of the final epoch.
BENCHBOOK_DATA names the image folder, BENCHBOOK_WEIGHTS the weights (.safetensors, .pth or .h5). Leaves each seed's record.
"""

from __future__ import annotations

import os
import statistics

from shared import parser, write

import driver

CELL = """
let mut run = Run::new("seed %(seed)d");
let net = Vgg16 { size: %(size)d, head: Head::%(head)s, ..Vgg16::new(2) };
let build = Build { weights: Weights::from_file("%(weights)s")?, frozen: true, seed: %(seed)d,
    device: %(device)s, ..Build::default() };
let fit = Fit { epochs: %(epochs)d, learning_rate: Some(%(rate)s), schedule: Schedule::Cosine, cache_features: true,
    seed: %(seed)d, ..Fit::default() };
let (data, _) = run.load("%(data)s", &net, &build, &fit)?;
let mut model = run.build(&net, &data, build)?;
if let Some(first) = &first {
    model.share_features(first)?;
}
let history = run.train_with(&mut model, &data, fit, &mut benchbook::train::Silent)?;
run.record(&mut model)?.write("%(record)s")?;
println!("{}", history.last().and_then(|epoch| epoch.val_accuracy).unwrap_or(f64::NAN));
if first.is_none() {
    first = Some(model);
}
"""


def main() -> None:
    arguments = parser("accuracy", __doc__)
    arguments.add_argument("--data", default=os.environ.get("BENCHBOOK_DATA"))
    arguments.add_argument("--weights", default=os.environ.get("BENCHBOOK_WEIGHTS"))
    arguments.add_argument("--size", type=int, default=224)
    arguments.add_argument("--head", choices=["Keras", "PyTorch"], default="Keras")
    arguments.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments.add_argument("--epochs", type=int, default=10)
    arguments.add_argument("--rate", default="1e-4", help="Adam's learning rate")
    arguments.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="auto takes a GPU if there is one")
    options = arguments.parse_args()
    if not options.data or not options.weights:
        raise SystemExit("set BENCHBOOK_DATA (an image folder) and BENCHBOOK_WEIGHTS (.safetensors, .pth or .h5)")
    # Features of a thousand photos at 224² take some minutes on two cores, in one cell.
    driver.PATIENCE = 3600
    kernel = driver.Kernel()
    accuracies = {}
    device = {"auto": "None", "cpu": "Some(Device::Cpu)", "cuda": "Some(Device::Cuda(0))"}[options.device]
    facts = {key: getattr(options, key) for key in ("size", "head", "epochs", "rate")}
    try:
        kernel.good("let mut first: Option<Model> = None;")
        for seed in options.seeds:
            record = options.output.with_name(f"{options.output.stem}-seed-{seed}.json")
            settings = vars(options) | {"seed": seed, "record": record.resolve(), "device": device}
            cell = kernel.good("{" + CELL % settings + "}")
            accuracies[seed] = float(cell.stdout.splitlines()[-1])
            print(f"seed {seed}: {accuracies[seed]:.4f}", flush=True)
            # After each, so that a run that is broken off leaves what it has found.
            mean = statistics.mean(accuracies.values())
            write(options.output, **facts, accuracies=accuracies, mean=mean)
    finally:
        kernel.stop()
    print(f"mean of {len(accuracies)} seeds: {mean:.4f}")


if __name__ == "__main__":
    main()
