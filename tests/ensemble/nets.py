"""A small classifier with batch norm, its data, and checkpoints of it."""

from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_lrsched import SGDR, CycleCheckpoint, LearningRateScheduler
from tests.callbacks.models import make_trainer

Loader = DataLoader[tuple[Tensor, ...]]


class Net(L.LightningModule):
    """Calls itself in its steps, as Lightning's guides do."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(nn.Linear(4, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, 3))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.net(x)
        return logits

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.log("val_loss", nn.functional.cross_entropy(self(batch[0]), batch[1]))

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int, dataloader_idx: int = 0) -> None:
        self.log("test_loss", nn.functional.cross_entropy(self(batch[0]), batch[1]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.5)


class Inside(Net):
    """Calls a part of itself in its test step."""

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int, dataloader_idx: int = 0) -> None:
        self.log("test_loss", nn.functional.cross_entropy(self.net(batch[0]), batch[1]))


class Shares(Net):
    """Has one method for all its steps, what it logs at the end of an epoch, and what it does to every batch."""

    def __init__(self, width: int = 8) -> None:
        super().__init__(width)
        self.right: list[Tensor] = []

    @staticmethod
    def loss(logits: Tensor, y: Tensor) -> Tensor:
        return nn.functional.cross_entropy(logits, y)

    def shared_step(self, batch: tuple[Tensor, Tensor], stage: str) -> None:
        logits = self(batch[0])
        self.log(f"{stage}_loss", self.loss(logits, batch[1]))
        self.right.append((logits.argmax(-1) == batch[1]).float())

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int, dataloader_idx: int = 0) -> None:
        self.shared_step(batch, "test")

    def on_test_epoch_end(self) -> None:
        self.log("test_right", torch.cat(self.right).mean())
        self.right.clear()

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return batch[0] + 0.5, batch[1]


def data() -> tuple[Loader, Loader]:
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(60, 4, generator=draw)
    y = (x[:, 0] > 0).long() + (x[:, 1] > 0.5).long()
    return DataLoader(TensorDataset(x[:40], y[:40]), 10), DataLoader(TensorDataset(x[40:], y[40:]), 20)


class TrainOnly(L.LightningDataModule):
    """Has nothing to measure on."""

    def train_dataloader(self) -> Loader:
        return data()[0]


def trained(folder: Path, cycles: int = 3) -> CycleCheckpoint:
    """Train for some cycles of eight steps and return what was kept."""
    L.seed_everything(1, verbose=False)
    checkpoint = CycleCheckpoint("val_loss", dirpath=folder, validate_at_end=True)
    train, validation = data()
    callbacks = [LearningRateScheduler(SGDR(8)), checkpoint]
    make_trainer(folder.parent, *callbacks, max_epochs=2 * cycles).fit(Net(width=6), train, validation)
    return checkpoint
