"""Images as torchvision decodes and resizes them: tensors of bytes, resized before they become floats.

https://docs.pytorch.org/vision/stable/transforms.html ("Performance considerations")
"""

import PIL
import torch
import torchvision
from torchvision import datasets
from torchvision.io import ImageReadMode, decode_image, read_file

from common import JOB, NET

RELEASE = tuple(int(part) for part in torch.__version__.split(".")[:2])
if RELEASE >= (2, 1):
    from torchvision.transforms import v2 as transforms

    TO_FLOATS = transforms.ToDtype(torch.float32, scale=True)
else:
    # The first version has the same steps for tensors.
    from torchvision import transforms

    TO_FLOATS = transforms.ConvertImageDtype(torch.float32)
CAFFE_MEANS = torch.tensor([103.939, 116.779, 123.68]).view(3, 1, 1)


def decoded(path):
    """Bytes [3, rows, columns]. torchvision does not read BMP, Pillow does."""
    if path.lower().endswith(".bmp"):
        return transforms.functional.pil_to_tensor(datasets.folder.default_loader(path))
    return decode_image(read_file(path), ImageReadMode.RGB)


def transform():
    """From bytes to the floats [3, rows, columns] that the net takes."""
    steps = [transforms.Resize(NET["input"][1:], antialias=True), TO_FLOATS]
    if JOB["preprocessing"] == "torchvision":
        steps.append(transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    elif JOB["preprocessing"] == "caffe":
        steps.append(transforms.Lambda(lambda x: x.flip(0) * 255 - CAFFE_MEANS))
    return transforms.Compose(steps)


def versions():
    """The versions of what loads images, for the record."""
    return {"torchvision": torchvision.__version__, "pillow": PIL.__version__}
