"""A small network on scikit-learn's digits, as module and data module: what `mlflow_configs/sweep-digits.yaml` names.

Nothing in it knows of any schedule: the optimizer's lr is the peak. Train it alone with ``python examples/digits.py``.
"""

import lightning as L
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_lrsched import SGDR, LearningRateScheduler


class Digits(L.LightningModule):
    """A network of 25,000 weights.

    Args:
        lr: peak lr of SGD.
        dropout: share of the first layer's outputs that is dropped.
    """

    def __init__(self, lr: float = 0.3, dropout: float = 0.3) -> None:
        super().__init__()
        self.lr = lr
        first = (nn.Linear(64, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Dropout(dropout))
        self.net = nn.Sequential(*first, nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10))

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits; the steps call it as ``self(...)``, so that an ensemble can take its place."""
        logits: Tensor = self.net(images)
        return logits

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the loss, with a little noise on the images against overfitting."""
        images, labels = batch
        return nn.functional.cross_entropy(self(images + 0.2 * torch.randn_like(images)), labels)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Log loss and accuracy."""
        scores = self(batch[0])
        self.log("val_loss", nn.functional.cross_entropy(scores, batch[1]))
        self.log("val_acc", (scores.argmax(1) == batch[1]).float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimizer alone."""
        return torch.optim.SGD(self.parameters(), lr=self.lr, momentum=0.9, weight_decay=5e-4)


class DigitsData(L.LightningDataModule):
    """1,797 real digits of 8 x 8 pixels: 1,280 to train, 517 to validate, the same for every seed.

    Args:
        batch_size: images in a batch of the training.
    """

    def __init__(self, batch_size: int = 64) -> None:
        super().__init__()
        self.batch_size = batch_size
        digits = load_digits()
        order = torch.randperm(len(digits.target), generator=torch.Generator().manual_seed(0))
        images = torch.tensor(digits.data, dtype=torch.float32)[order] / 16
        labels = torch.tensor(digits.target)[order]
        self.train = TensorDataset(images[:1280], labels[:1280])
        self.validation = TensorDataset(images[1280:], labels[1280:])

    def train_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        """Return the loader of the training."""
        return DataLoader(self.train, batch_size=self.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        """Return the loader of the validation."""
        return DataLoader(self.validation, batch_size=517)


if __name__ == "__main__":
    L.seed_everything(0, verbose=False)
    schedule = LearningRateScheduler(SGDR(T_0="5ep", T_mult=2), warmup="1ep")
    trainer = L.Trainer(
        max_epochs=16, accelerator="cpu", logger=False, enable_checkpointing=False, callbacks=[schedule]
    )
    trainer.fit(Digits(), datamodule=DigitsData())
    print(f"validation accuracy {float(trainer.callback_metrics['val_acc']):.3f}")
