"""Compares the transforms of torchvision and Keras with Benchbook's on real photos, for `kernel/tests/test_transforms.py`.

    transforms.py PROGRAM PHOTOS

PROGRAM is the example `pixels` of benchbook-data, PHOTOS a folder of JPEG files. Each photo is first written as PNG,
so that both sides start from the same pixels; the JPEG decoders are compared separately. Random
choices are Benchbook's: its program prints the drawn numbers, which the original gets, too. Prints a table,
and fails if a difference exceeds its tolerance. Values are levels, 0 to 255, unless a row states otherwise.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
import torch  # noqa: E402
import torchvision  # noqa: E402
from keras.src.legacy.preprocessing.image import apply_affine_transform  # noqa: E402
from keras.src.utils.image_utils import smart_resize  # noqa: E402
from PIL import Image  # noqa: E402
from torchvision.transforms import InterpolationMode  # noqa: E402
from torchvision.transforms.v2 import functional as F  # noqa: E402

Pixels = np.ndarray
HEIGHT, WIDTH = 96, 128
SIDE = 112
RAW: dict[str, Any] = {"Custom": []}


class Ours:
    """The values of Benchbook's loader."""

    def __init__(self, program: Path) -> None:
        self.program = program

    def pictures(self, folder: Path, **settings: Any) -> list[tuple[dict[str, Any], Pixels]]:
        """The entry and the values, `[height, width, 3]`, of each image."""
        config = {"height": HEIGHT, "width": WIDTH, "shuffle": False, "preprocessing": RAW, "seed": 5} | settings
        with tempfile.NamedTemporaryFile() as out:
            ran = subprocess.run(
                [self.program, folder, json.dumps(config), "0", out.name], capture_output=True, text=True, check=False
            )
            if ran.returncode:
                raise SystemExit(ran.stderr)
            values = np.fromfile(out.name, dtype=np.float32)
        entries = json.loads(ran.stdout)
        pictures = values.reshape(len(entries), 3, config["height"], config["width"]).transpose(0, 2, 3, 1)
        return list(zip(entries, pictures))


rows: list[tuple[str, str, float, float, bool]] = []


def largest(name: str, tolerance: float, differences: list[Pixels]) -> None:
    """The largest difference in all images is at most `tolerance`."""
    worst = max(float(np.abs(difference).max()) for difference in differences)
    rows.append((name, "largest difference", worst, tolerance, worst <= tolerance))


def apart(name: str, tolerance: float, differences: list[Pixels], level: float) -> None:
    """At most a share `tolerance` of the values differs by more than `level`."""
    worst = max(float((np.abs(difference) > level).mean()) for difference in differences)
    rows.append((name, f"share of values more than {level:g} apart", worst, tolerance, worst <= tolerance))


def average(name: str, tolerance: float, differences: list[Pixels]) -> None:
    """The mean difference of each image is at most `tolerance`."""
    worst = max(float(np.abs(difference).mean()) for difference in differences)
    rows.append((name, "mean difference of the worst image", worst, tolerance, worst <= tolerance))


def pil(entry: dict[str, Any]) -> Image.Image:
    return Image.open(entry["path"]).convert("RGB")


def tensor(entry: dict[str, Any]) -> torch.Tensor:
    return F.pil_to_tensor(pil(entry))


def array(picture: Image.Image | torch.Tensor) -> Pixels:
    if isinstance(picture, torch.Tensor):
        return picture.permute(1, 2, 0).numpy().astype(np.float64)
    return np.asarray(picture, dtype=np.float64)


def against(pictures: list[tuple[dict[str, Any], Pixels]], original: Callable[[dict[str, Any]], Any]) -> list[Pixels]:
    return [values.astype(np.float64) - array(original(entry)) for entry, values in pictures]


def resizing(ours: Ours, photos: Path) -> None:
    size = [HEIGHT, WIDTH]
    found = ours.pictures(photos)
    largest("Resize, Pillow image", 1, against(found, lambda e: F.resize(pil(e), size)))
    largest("Resize with antialias, tensor", 1, against(found, lambda e: F.resize(tensor(e), size, antialias=True)))
    found = ours.pictures(photos, filter="Bicubic")
    cubic = InterpolationMode.BICUBIC
    # Both round between the two directions, and Pillow does the rows first: where the cubic overshoots, the values cut
    # off at 0 and 255 are not the same (up to 7 levels in one of 50 photos).
    apart("Resize, bicubic, Pillow image", 0.002, against(found, lambda e: F.resize(pil(e), size, cubic)), 2)
    found = ours.pictures(photos, filter="Nearest")
    nearest = against(found, lambda e: pil(e).resize((WIDTH, HEIGHT), Image.Resampling.NEAREST))
    apart("Keras target_size (nearest)", 0, nearest, 0)
    found = ours.pictures(photos, filter="BilinearNoAntialias")
    expected = [np.abs(v - tf.image.resize(np.asarray(pil(e)), size).numpy()) for e, v in found]
    largest("tf.image.resize (ours in whole levels)", 1, expected)
    found = ours.pictures(photos, crop="AspectRatio", filter="BilinearNoAntialias")
    expected = [np.abs(v - np.asarray(smart_resize(np.asarray(pil(e)), size))) for e, v in found]
    largest("Keras crop_to_aspect_ratio (ours in whole levels)", 1, expected)


def cropping(ours: Ours, photos: Path) -> None:
    square = {"height": SIDE, "width": SIDE}
    found = ours.pictures(photos, crop={"Center": {"shorter": 128}}, **square)
    for name, source in [("Pillow image", pil), ("tensor", tensor)]:
        differences = against(found, lambda e: F.center_crop(F.resize(source(e), [128]), [SIDE, SIDE]))
        largest(f"Resize(128) and CenterCrop({SIDE}), {name}", 1, differences)
    crop = {"RandomResized": {"scale": [0.08, 1.0], "ratio": [0.75, 4 / 3]}}
    found = ours.pictures(photos, crop=crop, **square)

    def resized_crop(entry: dict[str, Any]) -> Image.Image:
        cut = entry["drawn"]["window"]["Cut"]
        return F.resized_crop(pil(entry), cut["top"], cut["left"], cut["height"], cut["width"], [SIDE, SIDE])

    largest("RandomResizedCrop, same part", 1, against(found, resized_crop))


def mirroring(ours: Ours, photos: Path) -> None:
    size = [HEIGHT, WIDTH]
    plain = [values for _, values in ours.pictures(photos)]
    for name, flip in [("HorizontalFlip", F.hflip), ("VerticalFlip", F.vflip)]:
        found = ours.pictures(photos, augmentation=[{name: {"p": 1.0}}])
        mirrored = [flip(torch.from_numpy(values).permute(2, 0, 1)) for values in plain]
        largest(f"Random{name}", 0, [v - array(m) for (_, v), m in zip(found, mirrored)])
        largest(f"Random{name} after Resize", 1, against(found, lambda e: flip(F.resize(pil(e), size))))


def turning(ours: Ours, photos: Path) -> None:
    plain = [values for _, values in ours.pictures(photos)]
    found = ours.pictures(photos, augmentation=[{"RandomRotation": {"degrees": 180.0, "fill": [0.0, 0.0, 0.0]}}])
    for name in ("Pillow image", "tensor"):
        differences = []
        for (entry, values), before in zip(found, plain):
            degrees = entry["drawn"]["changes"][0]["TurnedToNearest"]["degrees"]
            picture: Any = Image.fromarray(before.astype(np.uint8))
            if name == "tensor":
                picture = F.pil_to_tensor(picture)
            differences.append(values - array(F.rotate(picture, degrees)))
        # Points halfway between two pixels are rounded in 16.16 fixed point by Pillow, in float32 by PyTorch.
        apart(f"RandomRotation, same angle, {name}", 0.005, differences, 0)


def keras_changes(ours: Ours, photos: Path) -> None:
    # Square, since Keras exchanges the coordinates of the centre of any other image.
    square = {"height": SIDE, "width": SIDE}
    plain = [values for _, values in ours.pictures(photos, **square)]
    for fill, mode in [("Nearest", "nearest"), ("Reflect", "reflect"), ("Wrap", "wrap"), (None, "constant")]:
        ours_fill = fill or {"Constant": [30.0, 30.0, 30.0]}
        changes = {
            "rotation_range": [{"Rotation": {"degrees": 180.0, "fill": ours_fill}}],
            "width and height_shift_range": [{"Shift": {"height": 0.4, "width": 0.6, "fill": ours_fill}}],
            "zoom_range": [{"Zoom": {"low": 0.5, "high": 2.5, "fill": ours_fill}}],
        }
        changes["all three and both flips"] = [c for each in changes.values() for c in each] + [
            {"HorizontalFlip": {"p": 1.0}},
            {"VerticalFlip": {"p": 1.0}},
        ]
        for name, list_of_changes in changes.items():
            found = ours.pictures(photos, augmentation=list_of_changes, **square)
            differences = []
            for (entry, values), before in zip(found, plain):
                differences.append(values - keras_image(before, entry["drawn"]["changes"], mode))
            # Single pixels whose point lies on the border are inside on one side and outside on the other.
            apart(f"Keras {name}, {mode}", 1e-4, differences, 0.01)


def keras_image(picture: Pixels, changes: list[Any], mode: str) -> Pixels:
    """What `ImageDataGenerator.apply_transform` does with these numbers."""
    numbers: dict[str, float] = {}
    across = down = False
    for change in changes:
        if change == "MirroredAcross":
            across = True
        elif change == "MirroredDown":
            down = True
        elif "Turned" in change:
            numbers["theta"] = change["Turned"]["degrees"]
        elif "Shifted" in change:
            # In `apply_affine_transform` x is the second axis, as its own comment says.
            numbers |= {"tx": change["Shifted"]["columns"], "ty": change["Shifted"]["rows"]}
        elif "Zoomed" in change:
            numbers |= {"zx": change["Zoomed"]["width"], "zy": change["Zoomed"]["height"]}
    axes = {"row_axis": 0, "col_axis": 1, "channel_axis": 2}
    made = apply_affine_transform(picture, **numbers, **axes, fill_mode=mode, cval=30.0, order=1)
    if across:
        made = made[:, ::-1]
    return made[::-1] if down else made


def normalising(ours: Ours, photos: Path) -> None:
    plain = [values for _, values in ours.pictures(photos)]
    found = ours.pictures(photos, preprocessing="Rescaled")
    largest("rescale=1/255 (values 0 to 1)", 1e-6, [v - p * np.float32(1 / 255) for (_, v), p in zip(found, plain)])
    found = ours.pictures(photos, preprocessing="Torchvision")
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    expected = [
        array(F.normalize(torch.from_numpy(p).permute(2, 0, 1) / 255, mean=mean, std=std)) for p in plain
    ]
    largest("Normalize (values -2.2 to 2.7)", 2e-6, [v - e for (_, v), e in zip(found, expected)])
    found = ours.pictures(photos, preprocessing="Caffe")
    preprocess = tf.keras.applications.vgg16.preprocess_input
    largest("vgg16.preprocess_input", 1e-4, [v - preprocess(p.copy()) for (_, v), p in zip(found, plain)])


def decoding(ours: Ours, jpegs: Path) -> None:
    """The photos as they are, in their own size: one folder for each."""
    folders = sorted(path for path in jpegs.iterdir())
    found = []
    for folder in folders:
        (path,) = folder.iterdir()
        width, height = Image.open(path).size
        found += ours.pictures(folder, height=height, width=width)
    largest("JPEG, Pillow", 12, against(found, pil))
    average("JPEG, Pillow", 0.5, against(found, pil))

    def torchvision_io(entry: dict[str, Any]) -> torch.Tensor:
        return torchvision.io.decode_image(torchvision.io.read_file(entry["path"]), torchvision.io.ImageReadMode.RGB)

    average("JPEG, torchvision.io", 0.5, against(found, torchvision_io))
    # TensorFlow decodes with the fast transform of less accuracy unless told otherwise.
    differences = [v - tf.io.decode_image(tf.io.read_file(e["path"]), channels=3).numpy() for e, v in found]
    average("JPEG, tf.io.decode_image", 1.5, differences)


def main() -> None:
    program, photos = Path(sys.argv[1]), Path(sys.argv[2])
    chosen = sorted(photos.glob("*.jpg"))[:20]
    if len(chosen) < 20:
        raise SystemExit(f"expected 20 photos in {photos}, found {len(chosen)}")
    ours = Ours(program)
    with tempfile.TemporaryDirectory() as folder:
        pngs, jpegs = Path(folder, "png"), Path(folder, "jpeg")
        pngs.mkdir()
        for path in chosen:
            Image.open(path).convert("RGB").save(pngs / f"{path.stem}.png", compress_level=1)
            (jpegs / path.stem).mkdir(parents=True)
            (jpegs / path.stem / path.name).symlink_to(path)
        resizing(ours, pngs)
        cropping(ours, pngs)
        mirroring(ours, pngs)
        turning(ours, pngs)
        keras_changes(ours, pngs)
        normalising(ours, pngs)
        decoding(ours, jpegs)
    for name, what, worst, tolerance, good in rows:
        print(f"{'ok' if good else 'BEYOND'}: {name}: {what} {worst:.3g}, tolerance {tolerance:g}")
    if not all(row[-1] for row in rows):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
