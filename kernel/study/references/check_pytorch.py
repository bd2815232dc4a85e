"""What PyTorch computes from the common start: losses and gradients, for comparison with the other backends."""

import torch
from safetensors.torch import load_file, save_file

from common import JOB, leave_losses
from net_pytorch import LAYOUT, VERSION, build, computed, learn, optimizer, set_weights
from pictures_pytorch import DEVICE


class Given(torch.nn.Module):
    """Dropout with the factors that all backends are given."""

    factors = 1.0

    def forward(self, x):
        return x * self.factors


def main():
    torch.set_num_threads(JOB["threads"])
    dropout = Given()
    model, named = build(dropout)
    set_weights(named, load_file(JOB["start"]))
    model.to(DEVICE, memory_format=LAYOUT)
    batches = load_file(JOB["check"]["batches"], device=str(DEVICE))
    learner = optimizer(named)
    labels = batches["labels"].long()
    _, loss = computed(model, batches["pixels"][0], labels[0])
    loss.backward()
    losses = [loss.item()]
    gradients = {name: value.grad.cpu().contiguous() for name, value in named.items() if value.grad is not None}
    save_file(gradients, JOB["check"]["gradients"])
    for pixels, truth, factors in zip(batches["pixels"][: JOB["check"]["steps"]], labels, batches["factors"]):
        dropout.factors = factors
        _, loss = computed(model, pixels, truth)
        learn(learner, loss)
        losses.append(loss.item())
    leave_losses(VERSION, losses)


if __name__ == "__main__":
    main()
