"""Keep the end of every SGDR cycle, and compare single ends, their ensemble and their averaged weights.

Run it with ``python -m examples.snapshot_ensemble``.
"""

import logging
import sys
import warnings

import lightning as L
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from examples.record import Record
from lightning_lrsched import SGDR, CycleCheckpoint, LearningRateScheduler
from lightning_lrsched.cli import main as lrsched

FOLDER = "snapshot_ensemble"
Loader = DataLoader[tuple[Tensor, ...]]


class Digits(L.LightningModule):
    """A small network with batch norm; nothing in it knows of cycles."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 10))

    def forward(self, images: Tensor) -> Tensor:
        """Return logits. The steps below call self(images), which an ensemble answers for them."""
        logits: Tensor = self.net(images)
        return logits

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the loss."""
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Log the loss."""
        self.log("val_loss", nn.functional.cross_entropy(self(batch[0]), batch[1]))

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Log loss and error."""
        logits = self(batch[0])
        self.log("test_loss", nn.functional.cross_entropy(logits, batch[1]))
        self.log("error_percent", 100 * (logits.argmax(1) != batch[1]).float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimizer; its lr is the peak of every cycle."""
        return torch.optim.SGD(self.parameters(), lr=0.3, momentum=0.9)


def parts() -> tuple[Loader, Loader, Loader]:
    """Return scikit-learn's 1,797 digits with 20% wrong labels to train on: 600, 200 to validate, 997 to test."""
    digits, draw = load_digits(), torch.Generator().manual_seed(0)
    order = torch.randperm(len(digits.target), generator=draw)
    images = torch.tensor(digits.data, dtype=torch.float32)[order] / 16
    labels = torch.tensor(digits.target)[order]
    wrong = torch.randperm(600, generator=draw)[:120]
    labels[wrong] = torch.randint(10, (120,), generator=draw)
    train = TensorDataset(images[:600], labels[:600])
    return (
        DataLoader(train, batch_size=50, shuffle=True),
        DataLoader(TensorDataset(images[600:800], labels[600:800]), batch_size=200),
        DataLoader(TensorDataset(images[800:], labels[800:]), batch_size=997),
    )


def loaders() -> tuple[Loader, Loader]:
    """Return what ``lrsched ensemble`` asks for: training batches, and the data to measure on."""
    train, _, test = parts()
    return train, test


def main(quick: bool = False) -> dict[str, Record]:
    """Train five cycles, list what was kept, and print the table."""
    warnings.filterwarnings("ignore", message=".*does not have many workers|.*LeafSpec|.*much worse")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    L.seed_everything(0, verbose=False)
    length = 1 if quick else 8
    train, validation, _ = parts()
    checkpoint, record = CycleCheckpoint("val_loss", dirpath=FOLDER, keep="end", validate_at_end=True), Record()
    trainer = L.Trainer(
        max_epochs=5 * length,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[LearningRateScheduler(SGDR(f"{length}ep", eta_min=1e-4)), checkpoint, record],
    )
    trainer.fit(Digits(), train, validation)
    print(f"recommended: {checkpoint.recommended_model_path}\n")
    lrsched(["cycles", FOLDER])
    print()
    here = "examples.snapshot_ensemble"
    if lrsched(["ensemble", FOLDER, "--module", f"{here}:Digits", "--data", f"{here}:loaders"]):
        raise SystemExit("the evaluation failed; the line above says why")
    return {"SGDR": record}


if __name__ == "__main__":
    main(quick="--quick" in sys.argv)
