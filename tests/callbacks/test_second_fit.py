"""A second fit with the same Trainer goes on where the first ended, whatever kind of schedule it is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch.optim import SGD
from torch.optim.lr_scheduler import CyclicLR, ReduceLROnPlateau, StepLR

from lightning_lrsched import SGDR, LearningRateScheduler, Plateau, TorchScheduler
from tests.callbacks.models import LR, Stranger, Tiny, loader, make_trainer


def cyclic(optimizer: Any) -> CyclicLR:
    return CyclicLR(optimizer, LR / 10, LR, step_size_up=3, cycle_momentum=False)


def own_plateau(module: Tiny) -> dict[str, Any]:
    optimizer = SGD(module.parameters(), lr=LR)
    plateau = ReduceLROnPlateau(optimizer, factor=0.5, patience=0)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": plateau, "monitor": "val_loss"}}


KINDS: list[Any] = [
    pytest.param(lambda: LearningRateScheduler(SGDR(4, T_mult=2), warmup=3), None, id="planned"),
    pytest.param(lambda: LearningRateScheduler(TorchScheduler(cyclic), warmup=3), None, id="torch, by step"),
    pytest.param(
        lambda: LearningRateScheduler(TorchScheduler(lambda optimizer: StepLR(optimizer, 2, 0.5)), warmup=3),
        None,
        id="torch, by epoch",
    ),
    pytest.param(lambda: LearningRateScheduler(Plateau(patience=0, factor=0.5), warmup=3), None, id="plateau"),
    pytest.param(lambda: LearningRateScheduler(warmup=3), own_plateau, id="the module's plateau"),
]


@pytest.mark.parametrize(("make", "configure"), KINDS)
def test_two_fits_use_the_lrs_of_one(
    tmp_path: Path, make: Callable[[], LearningRateScheduler], configure: Callable[[Tiny], Any] | None
) -> None:
    whole, halves = Stranger(), Stranger()
    make_trainer(tmp_path, make(), whole, max_epochs=6).fit(Tiny(configure, score=float), loader(4))
    trainer, module = make_trainer(tmp_path, make(), halves, max_epochs=3), Tiny(configure, score=float)
    trainer.fit(module, loader(4))
    trainer.fit_loop.max_epochs = 6
    trainer.fit(module, loader(4))
    assert halves.group() == whole.group()
    assert len(set(whole.group()[12:])) > 1
