"""One pass over a folder of class folders with the loader of a Python library, for `environment/bench data`.

    data_pass.py LIBRARY FOLDER [SAMPLES]

LIBRARY is torch, tensorflow or keras; each with its usual loader for 224 x 224 pixels in batches of 32, in the order
of the files. Prints one JSON object with the seconds from creating the loader to the last batch. With SAMPLES, writes the
pixels of the first batch to this file instead, `[32, 3, 224, 224]`, float32, 0 to 255, without rotation.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Callable

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
SIDE, BATCH, WORKERS = 224, 32, 2

# The number of images of a batch, and a function that returns its pixels, [n, 3, h, w], 0 to 255.
Counted = tuple[int, Callable[[], np.ndarray]]


def torch_loader(folder: Path, augment: bool) -> Any:
    """torchvision.io and two worker processes."""
    import torch
    import torchvision
    from torchvision.transforms import v2

    transform = v2.Compose([v2.Resize((SIDE, SIDE), antialias=True), v2.ToDtype(torch.float32, scale=True)])
    rgb = torchvision.io.ImageReadMode.RGB

    def load(path: str) -> Any:
        return torchvision.io.decode_image(torchvision.io.read_file(path), rgb)

    def batches() -> Any:
        data = torchvision.datasets.ImageFolder(str(folder), transform=transform, loader=load)
        for pixels, _ in torch.utils.data.DataLoader(data, batch_size=BATCH, num_workers=WORKERS):
            yield len(pixels), lambda: pixels.numpy() * 255

    return batches


def tensorflow_loader(folder: Path, augment: bool) -> Any:
    """image_dataset_from_directory, which chooses its threads by itself."""
    import keras

    def batches() -> Any:
        data = keras.utils.image_dataset_from_directory(
            folder, image_size=(SIDE, SIDE), batch_size=BATCH, shuffle=False, verbose=False
        )
        for pixels, _ in data:
            yield len(pixels), lambda: pixels.numpy().transpose(0, 3, 1, 2)

    return batches


def keras_loader(folder: Path, augment: bool) -> Any:
    """ImageDataGenerator with a rotation of up to 180 degrees."""
    from keras.src.legacy.preprocessing.image import ImageDataGenerator

    def batches() -> Any:
        generator = ImageDataGenerator(rescale=1.0 / 255, rotation_range=180 if augment else 0)
        flow = generator.flow_from_directory(folder, target_size=(SIDE, SIDE), batch_size=BATCH, shuffle=False)
        for index in range(len(flow)):
            pixels, _ = flow[index]
            yield len(pixels), lambda: pixels.transpose(0, 3, 1, 2) * 255

    return batches


LOADERS = {"torch": torch_loader, "tensorflow": tensorflow_loader, "keras": keras_loader}


def main() -> None:
    library, folder = sys.argv[1], Path(sys.argv[2])
    samples = sys.argv[3] if len(sys.argv) > 3 else None
    # What a library prints is not part of the answer.
    answer, sys.stdout = sys.stdout, sys.stderr
    # Imports are not timed.
    batches = LOADERS[library](folder, augment=samples is None)
    if samples:
        _, pixels = next(iter(batches()))
        np.ascontiguousarray(pixels(), dtype=np.float32).tofile(samples)
        return
    began = time.monotonic()
    pictures = sum(count for count, _ in batches())
    print(json.dumps({"pictures": pictures, "seconds": time.monotonic() - began}), file=answer)


if __name__ == "__main__":
    main()
