"""The net, the loss and the optimiser in PyTorch's own layers, for the reference and for the check of gradients."""

import torch
from torch import nn
from torchvision import models

from common import JOB
from pictures_pytorch import DEVICE

VERSION = torch.__version__
BINARY = JOB["head"] == "Keras"
COMPUTE = JOB["compute"]
DTYPE = getattr(torch, COMPUTE["precision"])
LAYOUT = torch.channels_last if COMPUTE["channels_last"] else torch.contiguous_format
SCALER = torch.amp.GradScaler(DEVICE.type, enabled=DTYPE == torch.float16)
torch.backends.cuda.matmul.allow_tf32 = COMPUTE["tf32_matmul"]
torch.backends.cudnn.allow_tf32 = COMPUTE["tf32_convolutions"]
torch.backends.cudnn.benchmark = COMPUTE["cudnn_benchmark"]


class Permute(nn.Module):
    """Channels last, the order in which Keras flattens."""

    def forward(self, x):
        return x.permute(0, 2, 3, 1)


def build(dropout):
    """VGG16's convolutions with one of the report's heads, and its parameters by the names in weight files."""
    base, side = models.vgg16(weights=None, init_weights=False).features, JOB["size"] // 32
    if BINARY:
        sizes = [(512 * side * side, 512), (512, 256), (256, 1)]
        dense = {f"dense_{number}": nn.Linear(*size) for number, size in enumerate(sizes, 1)}
        one, two, three = dense.values()
        head = [Permute(), nn.Flatten(), one, nn.ReLU(), dropout, two, nn.ReLU(), three]
    else:
        dense = {"classifier.0": nn.Linear(25088, 4096), "classifier.3": nn.Linear(4096, 2)}
        one, two = dense.values()
        head = [nn.AdaptiveAvgPool2d(7), nn.Flatten(), one, nn.ReLU(), dropout, two]
    base.requires_grad_(not JOB["freeze"])
    layers = {"features": base, **dense}
    named = {f"{name}.{key}": value for name, layer in layers.items() for key, value in layer.named_parameters()}
    return nn.Sequential(base, *head), named


def set_weights(named, arrays):
    """Gives each parameter its start; one that the file lacks is an error."""
    with torch.no_grad():
        for name, value in named.items():
            value.copy_(arrays[name])


def optimizer(named):
    settings, rate = JOB["optimizer"], JOB["learning_rate"]
    values = [value for value in named.values() if value.requires_grad]
    if settings["name"] == "sgd":
        momentum, nesterov = settings["momentum"], settings["nesterov"]
        return torch.optim.SGD(values, rate, momentum, nesterov=nesterov, weight_decay=settings["weight_decay"])
    if settings["name"] == "adam":
        return torch.optim.Adam(values, rate, (settings["beta1"], settings["beta2"]), settings["epsilon"])
    return torch.optim.RMSprop(values, rate, settings["decay"], settings["epsilon"])


def criterion(output, labels):
    if BINARY:
        return nn.functional.binary_cross_entropy_with_logits(output.squeeze(1), labels.float())
    return nn.functional.cross_entropy(output, labels)


def to_device(tensor, **how):
    return tensor.to(DEVICE, non_blocking=COMPUTE["asynchronous_copies"], **how)


def computed(model, images, labels=None):
    """The outputs, and with labels their loss, in the precision of the job."""
    images = to_device(images, memory_format=LAYOUT)
    with torch.autocast(DEVICE.type, DTYPE, enabled=DTYPE != torch.float32):
        output = model(images)
        return output, None if labels is None else criterion(output, labels)


def learn(learner, loss):
    """One change of the weights. The loss is only scaled for 16-bit floats, whose small gradients would vanish."""
    learner.zero_grad()
    SCALER.scale(loss).backward()
    SCALER.step(learner)
    SCALER.update()


def correct(output, labels):
    """How many of a batch are recognised."""
    found = output.squeeze(1) >= 0 if BINARY else output.argmax(1)
    return found.eq(labels).sum().item()
