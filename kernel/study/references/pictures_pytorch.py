"""The pictures, by torchvision's own folder, transforms and loader."""

import torch
from torchvision import datasets, transforms

from common import JOB

DEVICE = torch.device(JOB["device"])
TRANSFORM = [transforms.Resize((JOB["size"], JOB["size"])), transforms.ToTensor()]
if JOB["preprocessing"] == "torchvision":
    TRANSFORM.append(transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
elif JOB["preprocessing"] == "caffe":
    TRANSFORM.append(transforms.Lambda(lambda x: x.flip(0) * 255 - torch.tensor([103.939, 116.779, 123.68]).view(3, 1, 1)))
TRANSFORM = transforms.Compose(TRANSFORM)


class Files(torch.utils.data.Dataset):
    """Pictures without classes."""

    def __init__(self, paths):
        self.paths = paths

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        return TRANSFORM(datasets.folder.default_loader(self.paths[index])), 0


def loader(data, shuffle=False, batch=JOB["batch_size"]):
    workers = JOB["loader_threads"]
    pin = JOB["compute"]["pinned_memory"]
    return torch.utils.data.DataLoader(data, batch, shuffle, num_workers=workers, pin_memory=pin)
