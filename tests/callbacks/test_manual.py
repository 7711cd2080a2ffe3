"""Manual optimization in the ways that people write it: each optimizer's plan counts that optimizer's real steps."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim import LBFGS, SGD, Adam, Optimizer
from torch.optim.lr_scheduler import StepLR

from lightning_lrsched import SGDR, LearningRateScheduler, Plan, Plateau, RunLength, TorchScheduler
from tests.callbacks.models import LR, Stranger, Tiny, expected, loader, make_trainer
from tests.callbacks.test_resume import Saves

BATCHES = 8


class Manual(Tiny):
    """Does its own steps; a subclass says how."""

    def __init__(self, configure: Callable[[Tiny], Any] | None = None) -> None:
        super().__init__(configure)
        self.automatic_optimization = False


class Accumulates(Manual):
    """Steps with every third batch, and with the last one."""

    def training_step(self, batch: Tensor, batch_idx: int) -> None:
        optimizer: Any = self.optimizers()
        self.manual_backward(self.weight.sum() / 3)
        if batch_idx % 3 == 2 or batch_idx == BATCHES - 1:
            optimizer.step()
            optimizer.zero_grad()


class Toggles(Manual):
    """Trains the two parameters in turn, and toggles their optimizers; the second one steps twice in its turn."""

    def training_step(self, batch: Tensor, batch_idx: int) -> None:
        optimizers: Any = self.optimizers()
        turn = batch_idx % 2
        optimizer = optimizers[turn]
        self.toggle_optimizer(optimizer)
        for _ in range(turn + 1):
            optimizer.zero_grad()
            self.manual_backward((self.weight + self.bias).sum())
            optimizer.step()
        self.untoggle_optimizer(optimizer)

    def configure_optimizers(self) -> list[Optimizer]:
        return [SGD([self.weight], lr=LR), Adam([self.bias], lr=LR / 10)]


class Closure(Manual):
    """Gives closures to LBFGS, which calls them several times in a step."""

    def training_step(self, batch: Tensor, batch_idx: int) -> None:
        optimizer: Any = self.optimizers()

        def closure() -> Tensor:
            self.batches += 1
            optimizer.zero_grad()
            loss = (self.weight - 3.0).square().sum()
            self.manual_backward(loss)
            return loss

        optimizer.step(closure=closure)

    def configure_optimizers(self) -> Optimizer:
        return LBFGS([self.weight], lr=LR, max_iter=4)


class Raw(Manual):
    """Steps torch's own optimizer, not Lightning's wrapper around it."""

    def training_step(self, batch: Tensor, batch_idx: int) -> None:
        optimizer: Any = self.optimizers(use_pl_optimizer=False)
        optimizer.zero_grad()
        self.manual_backward(self.weight.sum())
        optimizer.step()


class StepsEverything(Manual):
    """Calls ``step`` of every scheduler, before and after the optimizers, as other code must."""

    def training_step(self, batch: Tensor, batch_idx: int) -> None:
        schedulers: Any = self.lr_schedulers()
        optimizers: Any = self.optimizers()
        for optimizer, scheduler in zip(optimizers, schedulers, strict=True):
            scheduler.step()
            optimizer.zero_grad()
            self.manual_backward((self.weight + self.bias).sum())
            optimizer.step()
            scheduler.step()
            scheduler.step()

    def configure_optimizers(self) -> list[Optimizer]:
        return [SGD([self.weight], lr=LR), Adam([self.bias], lr=LR / 10)]


MODULES = [
    pytest.param(Accumulates, [6], id="own accumulation"),
    pytest.param(Toggles, [8, 16], id="toggled optimizers"),
    pytest.param(Closure, [16], id="LBFGS with closures"),
    pytest.param(Raw, [16], id="torch's own optimizer"),
    pytest.param(StepsEverything, [16, 16], id="steps the schedulers too"),
]
PLAN: dict[str, Any] = {"main": SGDR(4, T_mult=2), "warmup": 3, "total_steps": 16}


@pytest.mark.parametrize(("module", "steps"), MODULES)
def test_each_optimizer_follows_the_plan_by_its_own_steps(
    tmp_path: Path, stranger: Stranger, module: type[Manual], steps: list[int]
) -> None:
    callback = LearningRateScheduler(**PLAN)
    make_trainer(tmp_path, callback, stranger).fit(module(), loader(BATCHES))
    timeline = Plan(SGDR(4, T_mult=2), warmup=3).resolve(RunLength(16))
    for index, (count, base) in enumerate(zip(steps, (LR, LR / 10), strict=False)):
        assert stranger.group(optimizer=index) == expected(timeline, count, base)
    assert [scheduler.real_steps for scheduler in callback.schedulers] == steps


@pytest.mark.parametrize(("module", "steps"), MODULES)
def test_each_optimizer_resumes_at_its_own_step(tmp_path: Path, module: type[Manual], steps: list[int]) -> None:
    whole, saves = Stranger(), Saves(tmp_path)
    make_trainer(tmp_path, LearningRateScheduler(**PLAN), whole, saves).fit(module(), loader(BATCHES))
    for path in [path for when, _, path in saves.paths if when == "batch"][2:BATCHES:3]:
        taken = [state["real_steps"] for state in torch.load(path, weights_only=True)["lr_schedulers"]]
        rest = Stranger()
        trainer = make_trainer(tmp_path, LearningRateScheduler(**PLAN), rest)
        trainer.fit(module(), loader(BATCHES), ckpt_path=path)
        for index, count in enumerate(steps):
            assert rest.group(optimizer=index) == whole.group(optimizer=index)[taken[index] :]
            assert taken[index] + len(rest.group(optimizer=index)) == count


def test_own_accumulation_is_told_by_steps_per_epoch(tmp_path: Path, stranger: Stranger) -> None:
    callback = LearningRateScheduler(SGDR("1ep"), warmup="10%", steps_per_epoch=3)
    make_trainer(tmp_path, callback, stranger, max_epochs=5).fit(Accumulates(), loader(BATCHES))
    assert callback.run == RunLength(15, 3)
    assert stranger.group() == expected(callback, 15)


class StepsByEpoch(Manual):
    """Calls ``step`` of its scheduler at the end of every epoch, with its metric or without, as other code must."""

    metric = False

    def training_step(self, batch: Tensor, batch_idx: int) -> None:
        optimizer: Any = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(self.weight.sum())
        optimizer.step()

    def on_train_epoch_end(self) -> None:
        scheduler: Any = self.lr_schedulers()
        if self.metric:
            scheduler.step(self.trainer.callback_metrics["val_loss"])
        else:
            scheduler.step()


class StepsByMetric(StepsByEpoch):
    """Gives the scheduler a metric that grows."""

    metric = True


class LeavesIt(StepsByEpoch):
    """Calls nothing, as our users may."""

    def on_train_epoch_end(self) -> None:
        pass


@pytest.mark.parametrize(
    ("main", "module"),
    [
        pytest.param(TorchScheduler(lambda optimizer: StepLR(optimizer, 2, 0.5)), StepsByEpoch, id="by epoch"),
        pytest.param(Plateau(patience=1, factor=0.5), StepsByMetric, id="plateau"),
    ],
)
def test_a_user_who_steps_a_driven_scheduler_too_gets_no_double_step(
    tmp_path: Path, main: Any, module: type[StepsByEpoch]
) -> None:
    def used(made: Tiny) -> list[float]:
        made.score = float
        stranger, callback = Stranger(), LearningRateScheduler(main, warmup=3, steps_per_epoch=4)
        make_trainer(tmp_path, callback, stranger, max_epochs=6).fit(made, loader(4))
        return stranger.group()

    assert used(module()) == used(LeavesIt()) == used(Tiny())
    assert len(set(used(Tiny())[4:])) > 1
