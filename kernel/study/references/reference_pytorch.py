"""PyTorch and torchvision as their tutorials use them.

https://docs.pytorch.org/tutorials/beginner/transfer_learning_tutorial.html (data, model, the two loops of an epoch)
https://docs.pytorch.org/tutorials/beginner/introyt/trainingyt.html (the same without pretraining)
https://docs.pytorch.org/tutorials/recipes/recipes/tuning_guide.html (loader processes, cuDNN, channels last,
  no synchronisation within an epoch)
https://docs.pytorch.org/tutorials/intermediate/ddp_tutorial.html (DistributedDataParallel, for a job with several ranks,
  which `torchrun` starts)
https://docs.pytorch.org/vision/stable/transforms.html ("Performance considerations": the images)

Differences from them:
- the layers are PyTorch's own in the order of the job's graph, without PyTorch's starting values, and start from the
  weights that all backends start from;
- images are resized to the net's input without cropping and not changed at random; they are decoded to tensors of bytes
  and resized there, which takes less time than Pillow and the first version of the transforms;
- the order of the images is the job's, the same for every library;
- one loader lasts for all epochs, so that its processes start once and every image that they decode is used; files of
  at most 64 x 64 pixels are decoded in the training process, because sending them from another takes longer;
- losses and hits are summed on the device, and read for the progress line and at the end of a pass;
- SGD and Adam are PyTorch's fused ones where the release has them: the same in one pass over the weights;
- several ranks divide the job's batches in their order, instead of a DistributedSampler's, and multiply their losses so
  that the mean of the gradients is that of the whole batch where its parts are not of one size;
- the variant `compile` compiles the model (`torch.compile`) for each batch size, anew in each run;
- batch size, epochs, optimiser, learning rate, threads and loader processes are those of the study's job;
- no schedule, no best weights; the clock is read at the ends of the phases, with the device synchronised.
"""

import hashlib
import itertools
import os
import sys
import tempfile
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import load_file
from torch.utils.data import DataLoader
from torchvision import datasets

from common import CLASSES, CLOCK, JOB, NET, RANK, RANKS, RECORD, Progress, different, is_image, learned, part, run, share, test_files
from images_torchvision import RELEASE, decoded, transform, versions
from net_pytorch import Net

DEVICE, COMPUTE = torch.device(JOB["device"]), JOB["compute"]
DTYPE = getattr(torch, COMPUTE["precision"])
SHORT = DTYPE in (torch.bfloat16, torch.float16)
# PyTorch 1.13 takes no other type on the processor, whether enabled or not.
AUTOCAST = DTYPE if SHORT else torch.bfloat16
LAYOUT = torch.channels_last if COMPUTE["channels_last"] else torch.contiguous_format
SMALL = 64 * 64
COMPILE = JOB["variant"].get("compile") == "yes"
# On the processor since 2.4.
FUSED = {"fused": True} if RELEASE >= (2, 4) else {}


class Folder(datasets.ImageFolder):
    """The classes of the job, in their order."""

    def __init__(self, root):
        super().__init__(root, transform(), loader=decoded, is_valid_file=is_image)

    def find_classes(self, directory):
        return CLASSES, {name: number for number, name in enumerate(CLASSES)}


class Files(torch.utils.data.Dataset):
    """Images without classes."""

    def __init__(self, paths, transform):
        self.paths, self.transform = paths, transform

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        return self.transform(decoded(self.paths[index])), 0


def all_small(paths):
    """Whether images have at most `SMALL` pixels, by eight to fifteen of them, evenly spaced: the first one may be an exception."""
    for path in paths[:: max(1, len(paths) // 8)]:
        with Image.open(path) as image:
            if image.width * image.height > SMALL:
                return False
    return True


def loader(data, processes, **batches):
    pin, persistent = COMPUTE["pinned_memory"], processes > 0
    return DataLoader(data, num_workers=processes, pin_memory=pin, persistent_workers=persistent, **batches)


def clock():
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return CLOCK()


def batches(count, size):
    """This rank's numbers of each batch of so many samples in order."""
    return [share(range(start, min(start + size, count))) for start in range(0, count, size)]


def summed(*values):
    """Sums over the ranks."""
    if RANKS == 1:
        return values
    all_values = torch.tensor([float(value) for value in values], dtype=torch.float64)
    torch.distributed.all_reduce(all_values)
    return all_values.tolist()


def to_device(tensor, **how):
    return tensor.to(DEVICE, non_blocking=COMPUTE["asynchronous_copies"], **how)


def make_optimizer(values):
    settings, rate = JOB["optimizer"], JOB["learning_rate"]
    if settings["name"] == "sgd":
        momentum, nesterov, decay = settings["momentum"], settings["nesterov"], settings["weight_decay"]
        return torch.optim.SGD(values, rate, momentum, nesterov=nesterov, weight_decay=decay, **FUSED)
    if settings["name"] == "adam":
        betas = (settings["beta1"], settings["beta2"])
        return torch.optim.Adam(values, rate, betas, settings["epsilon"], **FUSED)
    return torch.optim.RMSprop(values, rate, settings["decay"], settings["epsilon"])


def of_batch(loss, labels, size):
    """A loss whose mean gradient over the ranks is that of the whole batch."""
    return loss if RANKS == 1 else loss * (len(labels) * RANKS / size)


class PyTorch:
    version, omitted = torch.__version__, []
    graph = "train" if COMPILE else "none"

    def __init__(self):
        # Ranks drop other values, as they have other images.
        torch.manual_seed(JOB["seed"] + RANK)
        if RANKS > 1:
            torch.distributed.init_process_group("gloo")
        torch.set_num_threads(JOB["threads"])
        torch.backends.cuda.matmul.allow_tf32 = COMPUTE["tf32_matmul"]
        torch.backends.cudnn.allow_tf32 = COMPUTE["tf32_convolutions"]
        torch.backends.cudnn.benchmark = COMPUTE["cudnn_benchmark"]
        torch.zeros(1, device=DEVICE)
        self.masks = []
        if COMPILE and RELEASE < (2, 1):
            sys.exit(f"PyTorch {torch.__version__} has no torch.nn.Module.compile; use 2.1 or newer")

    def load(self):
        with part("load_parts", "list"):
            folders = [Folder(f"{JOB['data']}/{split}") for split in ("train", "validation")]
            self.training, self.validation = folders
            small = all_small([path for path, _ in self.training.samples])
            self.processes = 0 if small else max(1, JOB["loader_threads"] // RANKS)
            places = {path: place for place, (path, _) in enumerate(self.training.samples)}
            self.epochs = [[[places[path] for path in share(batch)] for batch in epoch] for epoch in JOB["order"]]
            self.sizes = [len(batch) for epoch in JOB["order"] for batch in epoch]
        with part("load_parts", "first_batch"):
            ((images, _),) = loader(self.training, 0, batch_sampler=self.epochs[0][:1])
        with part("load_parts", "copy"):
            to_device(images)
            clock()

    def build(self):
        with part("build_parts", "initialise"):
            self.model = Net(NET, JOB["freeze"])
        with part("build_parts", "read"):
            self.model.set_weights(load_file(JOB["start"]))
        with part("build_parts", "to_device"):
            self.model.to(DEVICE, torch.float32 if SHORT else DTYPE, memory_format=LAYOUT)
            self.learner = torch.nn.parallel.DistributedDataParallel(self.model) if RANKS > 1 else self.model
            clock()
        if COMPILE:
            # In a folder of this run's own, so that what an earlier run compiled shortens none.
            folder = tempfile.mkdtemp(prefix="inductor-", dir=Path(sys.argv[1]).parent)
            os.environ |= {"TORCHINDUCTOR_CACHE_DIR": folder, "TORCHINDUCTOR_COMPILE_THREADS": str(JOB["threads"])}
            self.model.compile(dynamic=False)
        self.optimizer = make_optimizer([value for value in self.model.parameters() if value.requires_grad])
        self.trained = 0
        scaled = DTYPE == torch.float16
        if RELEASE >= (2, 3):
            self.scaler = torch.amp.GradScaler(DEVICE.type, enabled=scaled)
        else:
            self.scaler = torch.cuda.amp.GradScaler(enabled=scaled)

    def copied(self, images):
        """Images on the device; those that are there already as they are."""
        images = to_device(images, memory_format=LAYOUT) if images.ndim == 4 else to_device(images)
        return images.double() if DTYPE == torch.float64 else images

    def forward(self, images, labels=None):
        """The outputs, and with labels their loss, in the precision of the job."""
        images = self.copied(images)
        with torch.autocast(DEVICE.type, AUTOCAST, enabled=SHORT):
            output = (self.learner if self.model.training else self.model)(images)
            return output, None if labels is None else self.model.loss(output, labels)

    def learn(self, images, labels, size):
        """One training step with this rank's part of a batch of that size.

        The loss is scaled for 16-bit floats only, whose small gradients would vanish.
        """
        self.optimizer.zero_grad()
        output, loss = self.forward(images, labels)
        self.scaler.scale(of_batch(loss, labels, size)).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.trained += 1
        return output, loss

    def one_pass(self, loaded, epoch, steps=None, progress=None):
        """One pass, which trains if it has a progress line: loss, accuracy, images."""
        self.model.train(progress is not None)
        total, right, seen = torch.zeros((), dtype=torch.float64, device=DEVICE), 0, 0
        began, waited, waiting = clock(), 0.0, CLOCK()
        with torch.inference_mode(progress is None):
            for step, (images, labels) in enumerate(itertools.islice(loaded, steps), 1):
                waited += CLOCK() - waiting
                labels = to_device(labels)
                if progress:
                    output, loss = self.learn(images, labels, self.sizes[self.trained])
                else:
                    output, loss = self.forward(images, labels)
                total, seen = total + loss.detach() * len(labels), seen + len(labels)
                found = output.squeeze(1) >= 0 if output.shape[1] == 1 else output.argmax(1)
                right = right + found.eq(labels).sum()
                if progress and (epoch, step) == (1, 1):
                    RECORD["build_parts"]["first_step"] = clock() - began
                if progress:
                    progress.step(epoch, step, steps, total / seen, right / seen)
                waiting = CLOCK()
        total, right, seen = summed(total.item(), right.item(), seen)
        return total / seen, right / seen, int(seen), waited

    def train(self):
        progress = Progress()
        training = iter(loader(self.training, self.processes, batch_sampler=sum(self.epochs, [])))
        parts = batches(len(self.validation), JOB["batch_size"])
        validation = loader(self.validation, self.processes, batch_sampler=parts)
        for number in range(1, JOB["epochs"] + 1):
            began = clock()
            loss, accuracy, seen, waited = self.one_pass(training, number, len(self.epochs[number - 1]), progress)
            epoch = {"epoch": number, "loss": loss, "accuracy": accuracy, "training_images": seen}
            epoch["input_wait_seconds"] = waited
            epoch["training_seconds"], began = clock() - began, clock()
            if JOB["validate"]:
                found = self.one_pass(validation, number)
                epoch["val_loss"], epoch["val_accuracy"], epoch["validation_images"], _ = found
                epoch["validation_seconds"] = clock() - began
            progress.epoch(epoch)

    def profile(self, path):
        """What PyTorch does in ten more steps on images as in the training, for ui.perfetto.dev."""
        order = list(itertools.islice(itertools.cycle(sum(self.epochs, [])), 10))
        training = loader(self.training, self.processes, batch_sampler=order)
        self.sizes += map(len, order)
        kinds = [torch.profiler.ProfilerActivity.CPU]
        kinds += [torch.profiler.ProfilerActivity.CUDA] if DEVICE.type == "cuda" else []
        with torch.profiler.profile(activities=kinds, profile_memory=True) as profiler:
            self.one_pass(training, 0, len(order), Progress())
            clock()
        profiler.export_chrome_trace(path)

    @torch.inference_mode()
    def test(self):
        self.model.eval()
        files = Files(test_files(), transform())
        parts = loader(files, self.processes, batch_sampler=batches(len(files), JOB["test_batch_size"]))
        (tested,) = summed(len(torch.cat([self.forward(images)[0] for images, _ in parts]).cpu()))
        return int(tested)

    def count(self):
        values = self.model.named().values()
        return sum(v.numel() for v in values), sum(v.numel() for v in values if v.requires_grad)

    def steps(self):
        return self.trained

    def parts(self):
        build = hashlib.sha256(torch.__config__.show().encode()).hexdigest()[:12]
        build = f"{build}, commit {torch.version.git_version[:12]}"
        return {"build": build} | versions()

    def deviations(self):
        settings, (group,) = JOB["optimizer"], self.optimizer.param_groups
        momentum = {"momentum": settings.get("momentum"), "nesterov": settings.get("nesterov")}
        names = {
            "sgd": momentum | {"dampening": 0, "weight_decay": settings.get("weight_decay")},
            "adam": {"betas": (settings.get("beta1"), settings.get("beta2")), "weight_decay": 0, "amsgrad": False},
            "rmsprop": {"alpha": settings.get("decay"), "momentum": 0, "weight_decay": 0, "centered": False},
        }[settings["name"]]
        names |= {"lr": JOB["learning_rate"]} | ({"eps": settings["epsilon"]} if "epsilon" in settings else {})
        found = [words for name, value in names.items() for words in different(f"the optimiser's {name}", group[name], value)]
        found += different("the optimiser", type(self.optimizer).__name__.lower(), settings["name"])
        held = {id(value) for value in group["params"]}
        trained = {name for name, value in self.model.named().items() if value.requires_grad and id(value) in held}
        found += different("trainable parameters", sorted(trained), learned())
        kinds = sorted({str(value.dtype) for value in self.model.parameters()})
        found += different("the type of the weights", kinds, [str(torch.float32 if SHORT else DTYPE)])
        for layer, module in zip(NET["layers"], self.model.layers):
            operation = layer["operation"]
            if operation["type"] == "dropout":
                found += different(f"the rate of {layer['name']}", module.p, operation["rate"])
            elif operation["type"] == "batch_norm":
                found += different(f"the momentum of {layer['name']}", module.momentum, operation["momentum"])
                found += different(f"the epsilon of {layer['name']}", module.eps, operation["epsilon"])
        compiled = getattr(self.model, "_compiled_call_impl", None) is not None
        found += different("whether the model is compiled", compiled, COMPILE)
        return found + different("the number of threads", torch.get_num_threads(), JOB["threads"])

    def dropouts(self):
        return [layer for layer in self.model.modules() if isinstance(layer, torch.nn.Dropout)]

    def dropped(self):
        self.model.train()
        ones = torch.ones(100, 1000, device=DEVICE)
        return [[layer(ones).cpu().numpy() for _ in range(2)] for layer in self.dropouts()]

    def set_masks(self, masks):
        def given(layer, mask):
            return lambda x: x * mask.to(x.dtype) if layer.training else x

        masks = [share(mask) for mask in masks]
        if not self.masks:
            self.masks = [to_device(torch.from_numpy(mask)).clone() for mask in masks]
            for layer, mask in zip(self.dropouts(), self.masks, strict=True):
                layer.forward = given(layer, mask)
            if COMPILE:
                # What is compiled already would go on with PyTorch's dropout.
                torch.compiler.reset()
        for own, mask in zip(self.masks, masks, strict=True):
            own.copy_(torch.from_numpy(mask))

    def weights(self):
        # A copy, since on the processor an array shares the tensor's memory.
        return {name: value.detach().cpu().numpy().copy() for name, value in self.model.named().items()}

    def scale_rate(self, factor):
        for group in self.optimizer.param_groups:
            group["lr"] *= factor

    def start_from(self, arrays):
        self.model.set_weights({name: torch.from_numpy(array) for name, array in arrays.items()})
        self.optimizer.state.clear()

    @torch.no_grad()
    def logits(self, pixels):
        self.model.eval()
        return self.forward(torch.from_numpy(pixels))[0].float().cpu().numpy()

    def gradients(self, pixels, labels):
        self.model.train()
        self.optimizer.zero_grad()
        own = to_device(torch.from_numpy(share(labels)))
        of_batch(self.forward(torch.from_numpy(share(pixels)), own)[1], own, len(labels)).backward()
        named = self.model.named().items()
        return {name: value.grad.cpu().numpy().copy() for name, value in named if value.grad is not None}

    def held(self, pixels, labels):
        return self.copied(torch.from_numpy(share(pixels))), to_device(torch.from_numpy(share(labels))), len(labels)

    def step(self, images, labels, size):
        self.model.train()
        loss = self.learn(images, labels, size)[1].item()
        return loss if RANKS == 1 else summed(loss * len(labels))[0] / size


if __name__ == "__main__":
    run(PyTorch())
    if RANKS > 1:
        torch.distributed.destroy_process_group()
