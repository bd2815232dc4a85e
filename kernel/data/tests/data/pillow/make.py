"""Writes the pictures of this folder with Pillow, and beside each the pixels that are expected of it.

python make.py with Pillow 13.0.0 and NumPy. NAME.rgb holds height x width x 3 bytes; sizes.json has the sizes.
Expected is what Pillow's own decoder and convert("RGB") give, but for 16-bit PNGs, which Pillow cuts to the high
byte or clips at 255: there it is round(x / 257), and for EXIF orientations, where it is ImageOps.exif_transpose.
"""

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

HERE = Path(__file__).parent
WIDTH, HEIGHT = 24, 16
sizes: dict[str, list[int]] = {}


def picture() -> np.ndarray:
    """Smooth, so that a JPEG keeps it, and different in each corner and channel."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    return np.stack([x * 255 / (WIDTH - 1), y * 255 / (HEIGHT - 1), 200 - 6 * x], axis=-1).round().astype(np.uint8)


def keep(name: str, content: bytes, expected: np.ndarray | None = None) -> None:
    if expected is None:
        expected = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    sizes[name] = [expected.shape[0], expected.shape[1]]
    (HERE / name).write_bytes(content)
    (HERE / f"{name}.rgb").write_bytes(np.ascontiguousarray(expected, dtype=np.uint8).tobytes())


def saved(image: Image.Image, format: str, **options) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def jpegs(image: Image.Image) -> None:
    for name, subsampling in [("444", 0), ("422", 1), ("420", 2)]:
        keep(f"{name}.jpg", saved(image, "JPEG", quality=90, subsampling=subsampling))
    keep("progressive.jpg", saved(image, "JPEG", quality=90, progressive=True))
    keep("restart.jpg", saved(image, "JPEG", quality=90, restart_marker_blocks=1))
    keep("grey.jpg", saved(image.convert("L"), "JPEG", quality=90))
    keep("cmyk-photo.jpg", saved(image.convert("CMYK"), "JPEG", quality=90))
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        content = saved(image, "JPEG", quality=90, subsampling=0, exif=exif)
        upright = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
        keep(f"orientation-{orientation}.jpg", content, np.asarray(upright))


def pngs(image: Image.Image) -> None:
    rgb = np.asarray(image)
    alpha = Image.fromarray((rgb[..., 0] // 2).astype(np.uint8))
    transparent = image.copy()
    transparent.putalpha(alpha)
    keep("rgb.png", saved(image, "PNG"))
    keep("alpha.png", saved(transparent, "PNG"))
    keep("grey.png", saved(image.convert("L"), "PNG"))
    keep("grey-alpha.png", saved(transparent.convert("LA"), "PNG"))
    keep("one-bit.png", saved(image.convert("1"), "PNG"))
    palette = image.quantize(16)
    keep("palette.png", saved(palette, "PNG"))
    keep("palette-alpha.png", saved(palette, "PNG", transparency=3))
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    sixteen = ((x * 2801 + y * 977) % 65536).astype(np.uint16)
    expected = np.rint(sixteen / 257).astype(np.uint8)
    keep("grey-16-bit.png", saved(Image.fromarray(sixteen), "PNG"), np.stack([expected] * 3, axis=-1))


def others(image: Image.Image) -> None:
    keep("rgb.bmp", saved(image, "BMP"))
    keep("palette.bmp", saved(image.quantize(16), "BMP"))
    keep("one-bit.bmp", saved(image.convert("1"), "BMP"))
    keep("lossless.webp", saved(image, "WEBP", lossless=True))
    keep("lossy.webp", saved(image, "WEBP", quality=90))
    transparent = image.copy()
    transparent.putalpha(128)
    keep("alpha.webp", saved(transparent, "WEBP", lossless=True, exact=True))
    exif = Image.Exif()
    exif[0x0112] = 6
    content = saved(image, "WEBP", lossless=True, exif=exif)
    keep("orientation-6.webp", content, np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content)))))


if __name__ == "__main__":
    made = Image.fromarray(picture())
    jpegs(made)
    pngs(made)
    others(made)
    (HERE / "sizes.json").write_text(json.dumps(sizes, indent=1, sort_keys=True) + "\n")
