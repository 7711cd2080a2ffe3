"""The auditor: an lr that something else has set is told once, with group, step, expected and found."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import StepLR

from lightning_lrsched import Constant, Cosine, LearningRateScheduler, Plateau, TorchScheduler
from lightning_lrsched.callbacks.audit import Auditor
from lightning_lrsched.tracks import write_value
from tests.callbacks.models import LR, Stranger, Tiny, make_trainer, two_groups


class Audits(Callback):
    """Puts an auditor on the first scheduler, and keeps what it tells."""

    def __init__(self, schedule: LearningRateScheduler) -> None:
        self.schedule = schedule
        self.told: list[str] = []

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        scheduler = self.schedule.schedulers[0]
        scheduler.observers.append(Auditor(scheduler, self.told.append))


class Meddles(Callback):
    """Sets the lr of one group before a batch."""

    def __init__(self, batches: tuple[int, ...], group: int = 0, lr: float = 0.7) -> None:
        self.batches, self.group, self.lr = batches, group, lr

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step in self.batches:
            write_value(trainer.optimizers[0].param_groups[self.group], "lr", self.lr)


def audited(folder: Path, schedule: LearningRateScheduler, module: Tiny, *callbacks: Callback) -> list[str]:
    audits = Audits(schedule)
    make_trainer(folder, schedule, audits, *callbacks).fit(module)
    return audits.told


def test_an_lr_that_a_callback_sets_is_told_once_and_training_goes_on(tmp_path: Path, stranger: Stranger) -> None:
    schedule = LearningRateScheduler(Cosine(), warmup=4)
    [told] = audited(tmp_path, schedule, Tiny(), Meddles((7, 9, 12)), stranger)
    assert schedule.timeline is not None
    planned = schedule.timeline.lr(7, LR)
    assert told.startswith(f"Real step 7 used lr 0.7 in parameter group 0, and the plan says {planned:g}:")
    assert "groups={0: None}" in told
    assert len(stranger.group()) == 20
    assert stranger.group()[7] == 0.7
    assert stranger.group()[8] == schedule.timeline.lr(8, LR)


def test_the_group_is_named_and_the_others_are_counted(tmp_path: Path) -> None:
    def named(module: Tiny) -> Optimizer:
        groups: list[dict[str, Any]] = [
            {"params": [module.weight], "name": "body"},
            {"params": [module.bias], "name": "head", "lr": LR / 5},
        ]
        return SGD(groups, lr=LR)

    [told] = audited(tmp_path, LearningRateScheduler(Cosine()), Tiny(named), Meddles((3,), 1), Meddles((3,), 0))
    assert told.startswith("Real step 3 used lr 0.7 in parameter group 'body' (and 1 more of 2 groups)")
    [told] = audited(tmp_path, LearningRateScheduler(Cosine()), Tiny(named), Meddles((3,), 1))
    assert "in parameter group 'head', and the plan says" in told


def test_a_scheduler_that_the_users_code_steps_is_found(tmp_path: Path) -> None:
    class Steps(Tiny):
        def on_train_start(self) -> None:
            self.own = StepLR(self.trainer.optimizers[0], 4, gamma=0.5)

        def on_train_batch_end(self, *_: Any) -> None:
            self.own.step()

    schedule = LearningRateScheduler(Constant(), warmup=3)
    [told] = audited(tmp_path, schedule, Steps())
    assert told.startswith("Real step 4 used lr 0.05 in parameter group 0, and the plan says 0.1:")


def tensor_lr(module: Tiny) -> Optimizer:
    return SGD(module.parameters(), lr=torch.tensor(LR, dtype=torch.float32))


@pytest.mark.parametrize(
    ("schedule", "configure"),
    [
        pytest.param({"main": Cosine(), "warmup": 4}, None, id="planned"),
        pytest.param({"main": Cosine(), "warmup": 4}, two_groups, id="two groups"),
        pytest.param({"main": Cosine(), "warmup": 4}, tensor_lr, id="tensor lr"),
        pytest.param({"main": Cosine(), "groups": {1: None}}, two_groups, id="group left alone"),
        pytest.param({"main": TorchScheduler(lambda optimizer: StepLR(optimizer, 1)), "warmup": 4}, None, id="torch"),
        pytest.param({"main": Plateau(patience=0), "warmup": 4}, two_groups, id="plateau"),
    ],
)
def test_an_untouched_fit_tells_nothing(
    tmp_path: Path, schedule: dict[str, Any], configure: Callable[[Tiny], Any] | None
) -> None:
    assert audited(tmp_path, LearningRateScheduler(**schedule), Tiny(configure)) == []


@pytest.mark.parametrize(
    "schedule",
    [
        pytest.param({"main": TorchScheduler(lambda optimizer: StepLR(optimizer, 1)), "warmup": 4}, id="torch"),
        pytest.param({"main": Plateau(patience=0), "warmup": 4}, id="plateau"),
        pytest.param({"main": Cosine(), "warmup": 4}, id="planned"),
    ],
)
@pytest.mark.parametrize("configure", [None, tensor_lr])
def test_every_kind_of_schedule_is_audited(
    tmp_path: Path, schedule: dict[str, Any], configure: Callable[[Tiny], Any] | None
) -> None:
    [told] = audited(tmp_path, LearningRateScheduler(**schedule), Tiny(configure), Meddles((6,)))
    assert told.startswith("Real step 6 used lr 0.7 in parameter group 0")


def test_a_group_that_is_left_alone_may_be_set_by_others(tmp_path: Path) -> None:
    schedule = LearningRateScheduler(Cosine(), groups={1: None})
    assert audited(tmp_path, schedule, Tiny(two_groups), Meddles((3,), group=1)) == []
