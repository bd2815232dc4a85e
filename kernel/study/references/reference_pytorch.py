"""PyTorch and torchvision as their tutorials use them.

https://docs.pytorch.org/tutorials/beginner/transfer_learning_tutorial.html (data, model, the two loops of an epoch)
https://docs.pytorch.org/tutorials/beginner/introyt/trainingyt.html (the same without pretraining)

Differences from them:
- the net is VGG16 with one of the report's heads, from weights that all backends start from (torchvision also makes
  its own head of 123 million weights, which is thrown away: its `build` holds that);
- pictures are resized to a square without cropping; there is no random change of them;
- size, batch, epochs, optimiser, rate, threads and loader processes are those of the study's job;
- no schedule, no best weights; clocks stand around the phases, with the device synchronised.
"""

import itertools

import torch
from safetensors.torch import load_file
from torchvision import datasets

from common import CLOCK, JOB, RECORD, Progress, begin, finish, part, phase, test_files
from net_pytorch import LAYOUT, VERSION, build, computed, correct, learn, optimizer, set_weights, to_device
from pictures_pytorch import DEVICE, TRANSFORM, Files, loader


def clock():
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return CLOCK()


def one_pass(model, batches, steps, epoch, learner=None, progress=None):
    """One pass, which learns if it has an optimiser: loss, share recognised, pictures."""
    model.train(learner is not None)
    total = right = seen = 0
    began = clock()
    with torch.set_grad_enabled(learner is not None):
        for step, (images, labels) in enumerate(itertools.islice(batches, steps), 1):
            labels = to_device(labels)
            output, loss = computed(model, images, labels)
            if learner:
                learn(learner, loss)
            total, right, seen = total + loss.item() * len(labels), right + correct(output, labels), seen + len(labels)
            if learner and (epoch, step) == (1, 1):
                RECORD["build_parts"]["first_step"] = clock() - began
            if progress:
                progress.step(epoch, step, steps, total / seen, right / seen)
    return total / seen, right / seen, seen


def train(model, batches, validation, learner):
    progress, steps = Progress(), JOB["steps_per_epoch"] or len(batches)
    for number in range(1, JOB["epochs"] + 1):
        began = clock()
        loss, accuracy, seen = one_pass(model, batches, steps, number, learner, progress)
        epoch = {"epoch": number, "loss": loss, "accuracy": accuracy, "training_images": seen}
        epoch["training_seconds"], began = clock() - began, clock()
        if JOB["validate"]:
            epoch["val_loss"], epoch["val_accuracy"], epoch["validation_images"] = one_pass(model, validation, None, number)
            epoch["validation_seconds"] = clock() - began
        progress.epoch(epoch)


def main():
    torch.manual_seed(JOB["seed"])
    torch.set_num_threads(JOB["threads"])
    begin("PyTorch", VERSION, str(DEVICE), torch.get_num_threads())
    torch.zeros(1, device=DEVICE)
    with phase("load"):
        with part("load_parts", "list"):
            folder = {name: datasets.ImageFolder(f"{JOB['data']}/{name}", TRANSFORM) for name in ("train", "validation")}
        with part("load_parts", "first_batch"):
            images, _ = next(iter(loader(folder["train"], shuffle=True)))
        with part("load_parts", "copy"):
            to_device(images)
            clock()
    with phase("build"):
        with part("build_parts", "initialise"):
            model, named = build(torch.nn.Dropout(JOB["dropout"]))
        with part("build_parts", "read"):
            set_weights(named, load_file(JOB["start"]))
        with part("build_parts", "to_device"):
            model.to(DEVICE, memory_format=LAYOUT)
            clock()
    with phase("train"):
        train(model, loader(folder["train"], shuffle=True), loader(folder["validation"]), optimizer(named))
    with phase("test"), torch.no_grad():
        model.eval()
        found = [computed(model, images)[0] for images, _ in loader(Files(test_files()), batch=JOB["test_batch_size"])]
        RECORD["images_seen"]["test"] = len(torch.cat(found).cpu())
    RECORD["net"]["parameters"] = sum(value.numel() for value in named.values())
    RECORD["net"]["trainable_parameters"] = sum(value.numel() for value in named.values() if value.requires_grad)
    finish()


if __name__ == "__main__":
    main()
