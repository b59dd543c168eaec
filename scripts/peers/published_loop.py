"""A benchmark peer: the loop as system 1 is published, which transforms image by image.

Its source reads torchvision's data set through a `DataLoader`, which pads each image and makes a
tensor of it anew in every pass, and takes PyTorch's Adam as it is, which on a CPU is not fused.
"""

from peers.task import Task, Turn, train_plainly
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pyro_vae.data.downloads._torchvision import import_torchvision


class Images(Dataset[Tensor]):
    """Gray images, transformed as they are asked for, as torchvision's MNIST is."""

    def __init__(self, task: Task) -> None:
        transforms = import_torchvision().transforms
        self.levels = task.levels[:, 0]
        self.transform = transforms.Compose(
            [transforms.Pad(padding=task.padding), transforms.ToTensor()]
        )

    def __len__(self) -> int:
        return len(self.levels)

    def __getitem__(self, index: int) -> Tensor:
        image = Image.fromarray(self.levels[index].numpy(), mode="L")
        transformed: Tensor = self.transform(image)
        return transformed


def train(task: Task, turn: Turn) -> None:
    """Train the task's networks."""
    loader = DataLoader(Images(task), batch_size=task.batch_size, shuffle=True)
    train_plainly(task.net(), lambda: loader, task, turn, fused=False)
