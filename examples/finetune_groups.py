"""Fine-tuning: the head follows one schedule; the backbone is unfrozen later and follows its own, at a tenth of the lr.

Run it with ``python -m examples.finetune_groups``.
"""

import sys
from collections.abc import Sequence
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import BaseFinetuning
from torch import nn
from torch.optim import Optimizer
from torch.utils.data import TensorDataset

from examples.digits import Digits, DigitsData
from examples.record import Record
from lightning_lrsched import Cosine, LearningRateScheduler, Linear


class SomeDigits(DigitsData):
    """The digits of some classes alone."""

    def __init__(self, classes: Sequence[int]) -> None:
        super().__init__()
        self.classes = torch.tensor(classes)

    def setup(self, stage: str) -> None:
        """Choose the images."""
        self.train, self.validation = self._chosen(self.train), self._chosen(self.validation)

    def _chosen(self, digits: TensorDataset) -> TensorDataset:
        images, labels = digits.tensors
        chosen = torch.isin(labels, self.classes)
        return TensorDataset(images[chosen], labels[chosen])


class HeadFirst(Digits):
    """The same network; its optimizer begins with the head, as a group with a name."""

    @property
    def backbone(self) -> nn.Module:
        """Everything but the last layer."""
        return self.net[:-1]

    def configure_optimizers(self) -> Optimizer:
        """Return an optimizer of the head."""
        return torch.optim.SGD([{"params": self.net[-1].parameters(), "name": "head"}], lr=self.lr, momentum=0.9)


class Unfreeze(BaseFinetuning):
    """Gives the backbone to the optimizer at an epoch."""

    def __init__(self, epoch: int) -> None:
        super().__init__()
        self.epoch = epoch

    def freeze_before_training(self, pl_module: L.LightningModule) -> None:
        """Begin with the head alone."""
        assert isinstance(pl_module, HeadFirst)
        self.freeze(pl_module.backbone, train_bn=False)

    def finetune_function(self, pl_module: L.LightningModule, epoch: int, optimizer: Optimizer) -> None:
        """Add the backbone as a second group, with an lr and a name of its own."""
        assert isinstance(pl_module, HeadFirst)
        if epoch == self.epoch:
            self.make_trainable(pl_module.backbone)
            group = {"params": pl_module.backbone.parameters(), "lr": pl_module.lr / 10, "name": "backbone"}
            optimizer.add_param_group(group)


def main(quick: bool = False) -> dict[str, Record]:
    """Train on the digits 0 to 4, then fine-tune on 5 to 9."""
    L.seed_everything(0, verbose=False)
    epochs = 4 if quick else 20
    settings: dict[str, Any] = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False}
    trained, model = Digits(lr=0.1), HeadFirst(lr=0.1)
    L.Trainer(max_epochs=epochs, **settings).fit(trained, datamodule=SomeDigits(range(5)))
    model.backbone.load_state_dict(trained.net[:-1].state_dict())
    record = Record("val_acc")
    schedule = LearningRateScheduler(Cosine(), warmup="1ep", groups={"backbone": Linear(end_factor=0.1)})
    trainer = L.Trainer(max_epochs=epochs, callbacks=[Unfreeze(epochs // 2), schedule, record], **settings)
    trainer.fit(model, datamodule=SomeDigits(range(5, 10)))
    print(f"validation accuracy on 5 to 9: {record.scores[-1][1]:.3f}")
    return {"fine-tuning": record}


if __name__ == "__main__":
    main(quick="--quick" in sys.argv)
