"""Cycles of torch's own schedulers: the module's, wrapped, driven, and inside one another."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import ChainedScheduler, ConstantLR, CosineAnnealingWarmRestarts, SequentialLR

from lightning_lrsched import CycleCheckpoint, LearningRateScheduler, TorchScheduler
from tests.callbacks.models import LR, Tiny, loader, make_trainer


class Annealed(Tiny):
    def configure_optimizers(self) -> Any:
        optimizer = SGD(self.parameters(), lr=LR)
        scheduler = CosineAnnealingWarmRestarts(optimizer, 4)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


@pytest.mark.parametrize("warmup", [None, 3])
def test_the_modules_own_warm_restarts_have_cycles(tmp_path: Path, warmup: int | None) -> None:
    checkpoint = CycleCheckpoint("val_loss")
    wrapped = [] if warmup is None else [LearningRateScheduler(warmup=warmup)]
    make_trainer(tmp_path, *wrapped, checkpoint, val_check_interval=2).fit(Annealed())
    ends = [row.end.step for row in checkpoint.finished_cycles if row.end and row.complete]
    assert ends == list(range(4 + (warmup or 0), 21, 4))


def chained(optimizer: Optimizer) -> ChainedScheduler:
    return ChainedScheduler([ConstantLR(optimizer, 0.5, 4), CosineAnnealingWarmRestarts(optimizer, 3)])


def sequential(optimizer: Optimizer) -> SequentialLR:
    parts = [ConstantLR(optimizer, 0.5, 4), CosineAnnealingWarmRestarts(optimizer, 3)]
    return SequentialLR(optimizer, parts, [4])


@pytest.mark.parametrize("own", [True, False], ids=["of the module", "driven"])
@pytest.mark.parametrize("interval", ["step", "epoch"])
@pytest.mark.parametrize(("make", "ends"), [(chained, [3, 6]), (sequential, [7, 10])])
def test_warm_restarts_inside_another_scheduler_have_cycles(
    tmp_path: Path, make: Callable[[Optimizer], Any], ends: list[int], interval: str, own: bool
) -> None:
    def configured(module: Tiny) -> Any:
        optimizer = SGD(module.parameters(), lr=LR)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": make(optimizer), "interval": interval}}

    checkpoint, batches = CycleCheckpoint(), 1 if interval == "step" else 2
    plan = [] if own else [LearningRateScheduler(TorchScheduler(make, interval))]
    trainer = make_trainer(tmp_path, *plan, checkpoint, max_epochs=11)
    trainer.fit(Tiny(configured if own else None), loader(batches))
    found = [row.end.step for row in checkpoint.finished_cycles if row.end and row.complete]
    assert found[:2] == [batches * end for end in ends]
