"""A GAN under manual optimization: two optimizers, each with the same plan on its own count of real steps.

The Trainer cannot know how often a module steps by hand, so the callback is told. Run it with
``python -m examples.gan_manual``.
"""

import sys

import lightning as L
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits as bce
from torch.optim import Adam, Optimizer

from examples.digits import DigitsData
from examples.record import Record
from lightning_lrsched import Cosine, LearningRateScheduler


class Gan(L.LightningModule):
    """Draws digits; both networks step with every batch."""

    automatic_optimization = False

    def __init__(self) -> None:
        super().__init__()
        self.generator = nn.Sequential(nn.Linear(16, 128), nn.ReLU(), nn.Linear(128, 64), nn.Sigmoid())
        self.discriminator = nn.Sequential(nn.Linear(64, 128), nn.LeakyReLU(0.2), nn.Linear(128, 1))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Step the optimizers by hand."""
        optimizers = self.optimizers()
        assert isinstance(optimizers, list)
        generator, discriminator = optimizers
        real, ones = batch[0], torch.ones(len(batch[0]), 1)
        drawn = self.generator(torch.randn(len(real), 16))
        judged = bce(self.discriminator(real), ones) + bce(self.discriminator(drawn.detach()), 1 - ones)
        self._step(discriminator, judged)
        self._step(generator, bce(self.discriminator(drawn), ones))

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Log how far the mean of the drawn digits is from that of the real ones."""
        drawn = self.generator(torch.randn(len(batch[0]), 16))
        self.log("distance", (drawn.mean(0) - batch[0].mean(0)).norm())

    def configure_optimizers(self) -> list[Optimizer]:
        """Return one optimizer for each network."""
        return [
            Adam(self.generator.parameters(), lr=2e-3, betas=(0.5, 0.999)),
            Adam(self.discriminator.parameters(), lr=1e-3, betas=(0.5, 0.999)),
        ]

    def _step(self, optimizer: LightningOptimizer, loss: Tensor) -> None:
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()


def main(quick: bool = False) -> dict[str, Record]:
    """Train; each optimizer makes 20 real steps an epoch."""
    L.seed_everything(0, verbose=False)
    epochs = 3 if quick else 60
    record = Record("distance")
    schedule = LearningRateScheduler(Cosine(), warmup="5%", total_steps=20 * epochs)
    trainer = L.Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False, callbacks=[schedule, record]
    )
    trainer.fit(Gan(), datamodule=DigitsData())
    for name, scheduler in zip(("generator", "discriminator"), schedule.schedulers, strict=True):
        print(f"{name}: {scheduler.real_steps} real steps")
    return {"GAN": record}


if __name__ == "__main__":
    main(quick="--quick" in sys.argv)
