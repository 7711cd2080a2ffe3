"""The cycles of torch's own schedulers in MLflow: where the scheduler was seen to restart."""

from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import lightning as L
import pytest
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts, CyclicLR

from lightning_lrsched import LearningRateScheduler, MLflowTracker, TorchScheduler
from lightning_lrsched.driven import DrivenScheduler
from tests.callbacks.models import LR, Tiny, make_trainer
from tests.callbacks.test_real_steps import scaled
from tests.tracking.reading import history, only_run

RESTARTS = partial(CosineAnnealingWarmRestarts, T_0=3, T_mult=2)
BY_EPOCH = partial(CosineAnnealingWarmRestarts, T_0=1)
UP_AND_DOWN = partial(CyclicLR, base_lr=0.01, max_lr=LR, step_size_up=2, cycle_momentum=False)


class Wraps(Callback):
    """Notes at each step how often torch's scheduler has begun anew, by its own counters."""

    def __init__(self, plan: LearningRateScheduler) -> None:
        self.plan = plan
        self.cycles: list[int] = []
        self._seen, self._cycle = 0, 0

    def on_before_optimizer_step(self, *_: Any) -> None:
        (scheduler,) = self.plan.schedulers
        assert isinstance(scheduler, DrivenScheduler)
        driven: Any = scheduler.driven
        if driven.last_epoch != self._seen:
            wrapped = driven.T_cur == 0 if hasattr(driven, "T_cur") else driven.last_epoch % driven.total_size == 0
            self._seen, self._cycle = driven.last_epoch, self._cycle + bool(wrapped)
        self.cycles.append(self._cycle)


@pytest.mark.parametrize("warmup", [None, 4, "1ep"])
@pytest.mark.parametrize(
    ("factory", "interval"),
    [
        pytest.param(RESTARTS, "step", id="CosineAnnealingWarmRestarts"),
        pytest.param(BY_EPOCH, "epoch", id="once an epoch"),
        pytest.param(UP_AND_DOWN, "step", id="CyclicLR"),
    ],
)
def test_the_cycle_is_the_one_that_torch_is_in(
    uri: str, tmp_path: Path, factory: Any, interval: str, warmup: Any
) -> None:
    plan = LearningRateScheduler(TorchScheduler(factory, interval), warmup=warmup)
    wraps = Wraps(plan)
    make_trainer(tmp_path, plan, wraps, MLflowTracker(uri), max_epochs=3).fit(Tiny())
    points = dict(history(uri, only_run(uri), "schedule/cycle"))
    assert wraps.cycles[-1] >= 1
    assert {step: wraps.cycles[step] for step in points} == points
    changes = [step for step in range(1, 30) if wraps.cycles[step] != wraps.cycles[step - 1]]
    assert {*changes, *(step - 1 for step in changes)} <= points.keys()


def test_a_resumed_run_goes_on_with_the_cycle_that_it_is_in(uri: str, tmp_path: Path) -> None:
    def fit(epochs: int, path: Path | None = None) -> L.Trainer:
        plan = LearningRateScheduler(TorchScheduler(RESTARTS, "step"))
        trainer = make_trainer(tmp_path, plan, MLflowTracker(uri), max_epochs=epochs)
        trainer.fit(Tiny(), ckpt_path=path)
        return trainer

    fit(1).save_checkpoint(tmp_path / "saved.ckpt")
    fit(3, tmp_path / "saved.ckpt")
    found = history(uri, only_run(uri), "schedule/cycle")
    assert [(step, cycle) for step, cycle in found if step in (8, 9, 20, 21)] == [
        (8, 1.0),
        (9, 2.0),
        (20, 2.0),
        (21, 3.0),
    ]


class Advances(Callback):
    """Notes at each batch how often torch's scheduler has advanced: with cycles of one advance, the cycle it is in."""

    def __init__(self, plan: LearningRateScheduler) -> None:
        self.plan = plan
        self.cycles: list[int] = []

    def on_before_optimizer_step(self, *_: Any) -> None:
        (scheduler,) = self.plan.schedulers
        assert isinstance(scheduler, DrivenScheduler)
        self.cycles.append(scheduler.driven.last_epoch)


class Skips(Tiny):
    """Has infinite gradients at some batches, whose updates a GradScaler skips."""

    skipped = (0, 1, 5, 10, 11, 17, 29)

    def training_step(self, batch: Tensor, batch_idx: int) -> Any:
        loss = super().training_step(batch, batch_idx)
        return loss * float("inf") if self.batches - 1 in self.skipped else loss


@pytest.mark.parametrize("warmup", [None, 4])
@pytest.mark.parametrize("saved", [None, 1, 2, 3], ids=["at once", "resumed", "resumed later", "resumed at last"])
def test_epochs_that_a_scaler_makes_shorter_end_the_cycles_where_they_end(
    uri: str, tmp_path: Path, warmup: Any, saved: int | None
) -> None:
    def fit(module: Skips, epochs: int, path: Path | None = None) -> tuple[L.Trainer, list[int]]:
        plan = LearningRateScheduler(TorchScheduler(BY_EPOCH, "epoch"), warmup=warmup, on_horizon_change="keep")
        advances = Advances(plan)
        given: dict[str, Any] = {"max_epochs": epochs, "plugins": [scaled()]}
        trainer = make_trainer(tmp_path, plan, advances, MLflowTracker(uri), **given)
        trainer.fit(module, ckpt_path=path)
        return trainer, advances.cycles

    module, cycles = Skips(), list[int]()
    if saved is not None:
        trainer, cycles = fit(module, saved)
        trainer.save_checkpoint(tmp_path / "saved.ckpt")
    _, rest = fit(module, 4, None if saved is None else tmp_path / "saved.ckpt")
    cycles = [*cycles, *rest]
    points = dict(history(uri, only_run(uri), "schedule/cycle"))
    assert {step: cycles[step] for step in points} == points
    real = [step for step in range(40) if step not in Skips.skipped]
    turns = [(before, after) for before, after in pairwise(real) if cycles[before] != cycles[after]]
    assert len(turns) == 3
    assert {step for turn in turns for step in turn} <= points.keys()
