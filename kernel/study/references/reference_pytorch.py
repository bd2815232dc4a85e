"""PyTorch and torchvision as their tutorials use them.

https://docs.pytorch.org/tutorials/beginner/transfer_learning_tutorial.html (data, model, the two loops of an epoch)
https://docs.pytorch.org/tutorials/beginner/introyt/trainingyt.html (the same without pretraining)
https://docs.pytorch.org/tutorials/recipes/recipes/tuning_guide.html (loader processes, cuDNN, channels last)

Differences from them:
- the layers are PyTorch's own in the order of the job's graph, without PyTorch's starting values, and start from the
  weights that all backends start from;
- images are resized to the net's input without cropping and not changed at random;
- one loader lasts for all epochs, so that its processes start once and every image that they decode is used; files of
  at most 64 x 64 pixels are decoded in the training process, because sending them from another takes longer;
- SGD and Adam are PyTorch's fused ones, which compute the same in one pass over the weights;
- batch size, epochs, optimiser, learning rate, threads and loader processes are those of the study's job;
- no schedule, no best weights; the clock is read at the ends of the phases, with the device synchronised.
"""

import hashlib
import itertools
import random

import PIL
import torch
import torchvision
from PIL import Image
from safetensors.torch import load_file
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from common import CLASSES, CLOCK, JOB, NET, RECORD, Progress, part, run, test_files
from net_pytorch import Given, Net

DEVICE, COMPUTE = torch.device(JOB["device"]), JOB["compute"]
DTYPE = getattr(torch, COMPUTE["precision"])
LAYOUT = torch.channels_last if COMPUTE["channels_last"] else torch.contiguous_format
SMALL = 64 * 64
CAFFE_MEANS = torch.tensor([103.939, 116.779, 123.68]).view(3, 1, 1)


class Folder(datasets.ImageFolder):
    """The classes of the job, in their order."""

    def find_classes(self, directory):
        return CLASSES, {name: number for number, name in enumerate(CLASSES)}


class Files(torch.utils.data.Dataset):
    """Images without classes."""

    def __init__(self, paths, transform):
        self.paths, self.transform = paths, transform

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        return self.transform(datasets.folder.default_loader(self.paths[index])), 0


def transform():
    steps = [transforms.Resize(NET["input"][1:]), transforms.ToTensor()]
    if JOB["preprocessing"] == "torchvision":
        steps.append(transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    elif JOB["preprocessing"] == "caffe":
        steps.append(transforms.Lambda(lambda x: x.flip(0) * 255 - CAFFE_MEANS))
    return transforms.Compose(steps)


def loader(data, processes, **batches):
    pin, persistent = COMPUTE["pinned_memory"], processes > 0
    return DataLoader(data, num_workers=processes, pin_memory=pin, persistent_workers=persistent, **batches)


def clock():
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return CLOCK()


def to_device(tensor, **how):
    return tensor.to(DEVICE, non_blocking=COMPUTE["asynchronous_copies"], **how)


def make_optimizer(values):
    settings, rate = JOB["optimizer"], JOB["learning_rate"]
    if settings["name"] == "sgd":
        momentum, nesterov, decay = settings["momentum"], settings["nesterov"], settings["weight_decay"]
        return torch.optim.SGD(values, rate, momentum, nesterov=nesterov, weight_decay=decay, fused=True)
    if settings["name"] == "adam":
        betas = (settings["beta1"], settings["beta2"])
        return torch.optim.Adam(values, rate, betas, settings["epsilon"], fused=True)
    return torch.optim.RMSprop(values, rate, settings["decay"], settings["epsilon"])


class PyTorch:
    name, version = "PyTorch", torch.__version__

    def __init__(self):
        torch.manual_seed(JOB["seed"])
        torch.set_num_threads(JOB["threads"])
        torch.backends.cuda.matmul.allow_tf32 = COMPUTE["tf32_matmul"]
        torch.backends.cudnn.allow_tf32 = COMPUTE["tf32_convolutions"]
        torch.backends.cudnn.benchmark = COMPUTE["cudnn_benchmark"]
        torch.zeros(1, device=DEVICE)

    def load(self):
        with part("load_parts", "list"):
            folders = [Folder(f"{JOB['data']}/{split}", transform()) for split in ("train", "validation")]
            self.training, self.validation = folders
            with Image.open(self.training.samples[0][0]) as first:
                self.processes = 0 if first.width * first.height <= SMALL else JOB["loader_threads"]
            self.steps = JOB["steps_per_epoch"] or -(-len(self.training) // JOB["batch_size"])
        with part("load_parts", "first_batch"):
            ((images, _),) = loader(self.training, 0, batch_sampler=[next(self.order())])
        with part("load_parts", "copy"):
            to_device(images)
            clock()

    def order(self):
        """The images of every batch of every epoch, drawn anew for each pass over all of them."""
        generator, size, every = random.Random(JOB["seed"]), JOB["batch_size"], range(len(self.training))
        for _ in range(JOB["epochs"]):
            batches = []
            while len(batches) < self.steps:
                order = generator.sample(every, len(every))
                batches += [order[start : start + size] for start in every[::size]]
            yield from batches[: self.steps]

    def build(self):
        with part("build_parts", "initialise"):
            self.model = Net(NET, JOB["freeze"], Given if JOB["check"] else torch.nn.Dropout)
        with part("build_parts", "read"):
            self.model.set_weights(load_file(JOB["start"]))
        with part("build_parts", "to_device"):
            self.model.to(DEVICE, memory_format=LAYOUT)
            clock()
        self.optimizer = make_optimizer([value for value in self.model.parameters() if value.requires_grad])
        self.trained = 0
        self.scaler = torch.amp.GradScaler(DEVICE.type, enabled=DTYPE == torch.float16)

    def forward(self, images, labels=None):
        """The outputs, and with labels their loss, in the precision of the job."""
        images = to_device(images, memory_format=LAYOUT) if images.ndim == 4 else to_device(images)
        with torch.autocast(DEVICE.type, DTYPE, enabled=DTYPE != torch.float32):
            output = self.model(images)
            return output, None if labels is None else self.model.loss(output, labels)

    def learn(self, images, labels):
        """One training step. The loss is scaled for 16-bit floats only, whose small gradients would vanish."""
        self.optimizer.zero_grad()
        output, loss = self.forward(images, labels)
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.trained += 1
        return output, loss

    def one_pass(self, batches, epoch, steps=None, progress=None):
        """One pass, which trains if it has a progress line: loss, accuracy, images."""
        self.model.train(progress is not None)
        total = right = seen = 0
        began = clock()
        with torch.set_grad_enabled(progress is not None):
            for step, (images, labels) in enumerate(itertools.islice(batches, steps), 1):
                labels = to_device(labels)
                output, loss = (self.learn if progress else self.forward)(images, labels)
                total, seen = total + loss.item() * len(labels), seen + len(labels)
                found = output.squeeze(1) >= 0 if output.shape[1] == 1 else output.argmax(1)
                right += found.eq(labels).sum().item()
                if progress and (epoch, step) == (1, 1):
                    RECORD["build_parts"]["first_step"] = clock() - began
                if progress:
                    progress.step(epoch, step, steps, total / seen, right / seen)
        return total / seen, right / seen, seen

    def train(self):
        progress, batches = Progress(), iter(loader(self.training, self.processes, batch_sampler=self.order()))
        validation = loader(self.validation, self.processes, batch_size=JOB["batch_size"])
        for number in range(1, JOB["epochs"] + 1):
            began = clock()
            loss, accuracy, seen = self.one_pass(batches, number, self.steps, progress)
            epoch = {"epoch": number, "loss": loss, "accuracy": accuracy, "training_images": seen}
            epoch["training_seconds"], began = clock() - began, clock()
            if JOB["validate"]:
                epoch["val_loss"], epoch["val_accuracy"], epoch["validation_images"] = self.one_pass(validation, number)
                epoch["validation_seconds"] = clock() - began
            progress.epoch(epoch)

    @torch.no_grad()
    def test(self):
        self.model.eval()
        files = loader(Files(test_files(), transform()), self.processes, batch_size=JOB["test_batch_size"])
        return len(torch.cat([self.forward(images)[0] for images, _ in files]).cpu())

    def count(self):
        values = self.model.named().values()
        return sum(v.numel() for v in values), sum(v.numel() for v in values if v.requires_grad)

    def steps(self):
        return self.trained

    def parts(self):
        build = hashlib.sha256(torch.__config__.show().encode()).hexdigest()[:12]
        build = f"{build}, commit {torch.version.git_version[:12]}"
        return {"build": build, "torchvision": torchvision.__version__, "pillow": PIL.__version__}

    def set_weights(self, arrays):
        self.model.set_weights({name: torch.from_numpy(array) for name, array in arrays.items()})

    @torch.no_grad()
    def first_loss(self, pixels, labels):
        self.model.eval()
        return self.forward(torch.from_numpy(pixels), to_device(torch.from_numpy(labels)))[1].item()

    def gradients(self, pixels, labels):
        self.model.train()
        self.forward(torch.from_numpy(pixels), to_device(torch.from_numpy(labels)))[1].backward()
        named = self.model.named().items()
        return {name: value.grad.cpu().contiguous().numpy() for name, value in named if value.grad is not None}

    def step(self, pixels, labels, masks):
        given = [layer for layer in self.model.modules() if isinstance(layer, Given)]
        for layer, mask in zip(given, masks, strict=True):
            layer.factors = to_device(torch.from_numpy(mask))
        return self.learn(torch.from_numpy(pixels), to_device(torch.from_numpy(labels)))[1].item()


if __name__ == "__main__":
    run(PyTorch())
