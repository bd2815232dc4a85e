"""PyTorch and torchvision as their tutorials use them.

https://docs.pytorch.org/tutorials/beginner/transfer_learning_tutorial.html (data, model, the two loops of an epoch)
https://docs.pytorch.org/tutorials/beginner/introyt/trainingyt.html (the same without pretraining)
https://docs.pytorch.org/tutorials/recipes/recipes/tuning_guide.html (loader processes, cuDNN, channels last,
  no synchronisation within an epoch)
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
- SGD and Adam are PyTorch's fused ones, which compute the same in one pass over the weights;
- batch size, epochs, optimiser, learning rate, threads and loader processes are those of the study's job;
- no schedule, no best weights; the clock is read at the ends of the phases, with the device synchronised.
"""

import hashlib
import itertools

import PIL
import torch
import torchvision
from PIL import Image
from safetensors.torch import load_file
from torch.utils.data import DataLoader
from torchvision import datasets
from torchvision.io import ImageReadMode, decode_image
from torchvision.transforms import v2

from common import CLASSES, CLOCK, JOB, NET, RECORD, Progress, different, learned, part, run, test_files
from net_pytorch import Net

DEVICE, COMPUTE = torch.device(JOB["device"]), JOB["compute"]
DTYPE = getattr(torch, COMPUTE["precision"])
SHORT = DTYPE in (torch.bfloat16, torch.float16)
LAYOUT = torch.channels_last if COMPUTE["channels_last"] else torch.contiguous_format
SMALL = 64 * 64
CAFFE_MEANS = torch.tensor([103.939, 116.779, 123.68]).view(3, 1, 1)


def decoded(path):
    """Bytes [3, rows, columns]. torchvision does not read BMP, Pillow does."""
    if path.lower().endswith(".bmp"):
        return v2.functional.pil_to_tensor(datasets.folder.default_loader(path))
    return decode_image(path, ImageReadMode.RGB)


class Folder(datasets.ImageFolder):
    """The classes of the job, in their order."""

    def __init__(self, root):
        super().__init__(root, transform(), loader=decoded)

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


def transform():
    steps = [v2.Resize(NET["input"][1:]), v2.ToDtype(torch.float32, scale=True)]
    if JOB["preprocessing"] == "torchvision":
        steps.append(v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    elif JOB["preprocessing"] == "caffe":
        steps.append(v2.Lambda(lambda x: x.flip(0) * 255 - CAFFE_MEANS))
    return v2.Compose(steps)


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
    version, omitted = torch.__version__, []

    def __init__(self):
        torch.manual_seed(JOB["seed"])
        torch.set_num_threads(JOB["threads"])
        torch.backends.cuda.matmul.allow_tf32 = COMPUTE["tf32_matmul"]
        torch.backends.cudnn.allow_tf32 = COMPUTE["tf32_convolutions"]
        torch.backends.cudnn.benchmark = COMPUTE["cudnn_benchmark"]
        torch.zeros(1, device=DEVICE)

    def load(self):
        with part("load_parts", "list"):
            folders = [Folder(f"{JOB['data']}/{split}") for split in ("train", "validation")]
            self.training, self.validation = folders
            with Image.open(self.training.samples[0][0]) as first:
                self.processes = 0 if first.width * first.height <= SMALL else JOB["loader_threads"]
            places = {path: place for place, (path, _) in enumerate(self.training.samples)}
            self.epochs = [[[places[path] for path in batch] for batch in epoch] for epoch in JOB["order"]]
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
            clock()
        self.optimizer = make_optimizer([value for value in self.model.parameters() if value.requires_grad])
        self.trained = 0
        self.scaler = torch.amp.GradScaler(DEVICE.type, enabled=DTYPE == torch.float16)

    def forward(self, images, labels=None):
        """The outputs, and with labels their loss, in the precision of the job."""
        images = to_device(images, memory_format=LAYOUT) if images.ndim == 4 else to_device(images)
        images = images.double() if DTYPE == torch.float64 else images
        with torch.autocast(DEVICE.type, DTYPE, enabled=SHORT):
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
        total, right, seen = torch.zeros((), dtype=torch.float64, device=DEVICE), 0, 0
        began, waited, waiting = clock(), 0.0, CLOCK()
        with torch.inference_mode(progress is None):
            for step, (images, labels) in enumerate(itertools.islice(batches, steps), 1):
                waited += CLOCK() - waiting
                labels = to_device(labels)
                output, loss = (self.learn if progress else self.forward)(images, labels)
                total, seen = total + loss.detach() * len(labels), seen + len(labels)
                found = output.squeeze(1) >= 0 if output.shape[1] == 1 else output.argmax(1)
                right = right + found.eq(labels).sum()
                if progress and (epoch, step) == (1, 1):
                    RECORD["build_parts"]["first_step"] = clock() - began
                if progress:
                    progress.step(epoch, step, steps, total / seen, right / seen)
                waiting = CLOCK()
        return total.item() / seen, right.item() / seen, seen, waited

    def train(self):
        progress = Progress()
        batches = iter(loader(self.training, self.processes, batch_sampler=sum(self.epochs, [])))
        validation = loader(self.validation, self.processes, batch_size=JOB["batch_size"])
        for number in range(1, JOB["epochs"] + 1):
            began = clock()
            loss, accuracy, seen, waited = self.one_pass(batches, number, len(self.epochs[number - 1]), progress)
            epoch = {"epoch": number, "loss": loss, "accuracy": accuracy, "training_images": seen}
            epoch["input_wait_seconds"] = waited
            epoch["training_seconds"], began = clock() - began, clock()
            if JOB["validate"]:
                found = self.one_pass(validation, number)
                epoch["val_loss"], epoch["val_accuracy"], epoch["validation_images"], _ = found
                epoch["validation_seconds"] = clock() - began
            progress.epoch(epoch)

    @torch.inference_mode()
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
        found += different("what learns", sorted(trained), learned())
        kinds = sorted({str(value.dtype) for value in self.model.parameters()})
        found += different("the type of the weights", kinds, [str(torch.float32 if SHORT else DTYPE)])
        for layer, module in zip(NET["layers"], self.model.layers):
            operation = layer["operation"]
            if operation["type"] == "dropout":
                found += different(f"the rate of {layer['name']}", module.p, operation["rate"])
            elif operation["type"] == "batch_norm":
                found += different(f"the momentum of {layer['name']}", module.momentum, operation["momentum"])
                found += different(f"the epsilon of {layer['name']}", module.eps, operation["epsilon"])
        return found + different("the number of threads", torch.get_num_threads(), JOB["threads"])

    def dropouts(self):
        return [layer for layer in self.model.modules() if isinstance(layer, torch.nn.Dropout)]

    def dropped(self):
        self.model.train()
        ones = torch.ones(100, 1000, device=DEVICE)
        return [[layer(ones).cpu().numpy() for _ in range(2)] for layer in self.dropouts()]

    def set_masks(self, masks):
        def given(layer, mask):
            mask = to_device(torch.from_numpy(mask))
            return lambda x: x * mask.to(x.dtype) if layer.training else x

        for layer, mask in zip(self.dropouts(), masks, strict=True):
            layer.forward = given(layer, mask)

    def weights(self):
        # A copy, since on the processor an array shares the tensor's memory.
        return {name: value.detach().cpu().numpy().copy() for name, value in self.model.named().items()}

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
        self.forward(torch.from_numpy(pixels), to_device(torch.from_numpy(labels)))[1].backward()
        named = self.model.named().items()
        return {name: value.grad.cpu().numpy().copy() for name, value in named if value.grad is not None}

    def step(self, pixels, labels):
        self.model.train()
        return self.learn(torch.from_numpy(pixels), to_device(torch.from_numpy(labels)))[1].item()


if __name__ == "__main__":
    run(PyTorch())
