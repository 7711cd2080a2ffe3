"""CycleCheckpoint(patience=...): training ends after cycles without improvement, wherever cycles end in an epoch."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts

from lightning_lrsched import SGDR, CycleCheckpoint, LearningRateScheduler, TorchScheduler
from tests.callbacks.interruptions import SavesAt
from tests.callbacks.models import Tiny, make_trainer
from tests.callbacks.test_cycle_checkpoint import NEVER_KEPT

EVERY_EPOCH = TorchScheduler(partial(CosineAnnealingWarmRestarts, T_0=1), "epoch")


def run(folder: Path, module: Tiny, *others: Callback, plan: Any = None, **given: Any) -> CycleCheckpoint:
    """Cycles that end after 7, 11, 15, 19, ... steps, ten steps an epoch, a validation after every second one."""
    settings: dict[str, Any] = {"val_check_interval": 2, "max_epochs": 5}
    settings |= {name: given.pop(name) for name in ("val_check_interval", "limit_val_batches") if name in given}
    checkpoint = CycleCheckpoint("val_loss", patience=2, dirpath=folder)
    callbacks = [plan or LearningRateScheduler(SGDR(4), warmup=3), checkpoint, *others]
    make_trainer(folder.parent, *callbacks, **settings).fit(module, **given)
    return checkpoint


def ends(checkpoint: CycleCheckpoint) -> list[tuple[int, bool]]:
    return [(row.end.step, row.complete) for row in checkpoint.finished_cycles if row.end is not None]


def test_a_cycle_that_ends_between_two_validations_is_measured_before_it_ends_the_training(tmp_path: Path) -> None:
    module = Tiny(score=lambda step: abs(step - 6))
    checkpoint = run(tmp_path / "cycles", module)
    assert module.batches == 15
    assert [step for step, _ in module.scores] == [2, 4, 6, 8, 10, 12, 14, 15]
    assert ends(checkpoint) == [(7, True), (11, True), (15, True)]


def test_training_goes_on_if_the_end_itself_is_better(tmp_path: Path) -> None:
    module = Tiny(score=lambda step: -1.0 if step == 15 else abs(step - 6))
    checkpoint = run(tmp_path / "cycles", module)
    assert module.batches == 23
    assert [step for step, _ in module.scores if step % 2] == [15, 23]
    assert checkpoint.best_model_score == -1.0


@pytest.mark.parametrize("warmup", [None, 3])
def test_cycles_that_end_with_an_epoch_of_a_torch_scheduler_count_too(tmp_path: Path, warmup: int | None) -> None:
    module = Tiny(score=float)
    plan = LearningRateScheduler(EVERY_EPOCH, warmup=warmup)
    checkpoint = run(tmp_path / "cycles", module, plan=plan, val_check_interval=1.0)
    assert [row.cycle for row in checkpoint.finished_cycles if row.complete] == [0, 1, 2]
    assert module.batches < 40


class ByHand(Tiny):
    """Three steps in each batch."""

    def __init__(self, score: Callable[[int], float]) -> None:
        super().__init__(score=score)
        self.automatic_optimization = False

    def training_step(self, batch: Tensor, batch_idx: int) -> None:
        self.batches += 1
        optimizer: Any = self.optimizers()
        for _ in range(3):
            optimizer.zero_grad()
            self.manual_backward((self.weight + self.bias).sum())
            optimizer.step()


@pytest.mark.filterwarnings(NEVER_KEPT)
@pytest.mark.parametrize(("every", "batches"), [(2, 7), (10, 21)])
def test_cycles_that_end_inside_a_batch_count_if_they_were_measured(tmp_path: Path, every: int, batches: int) -> None:
    module = ByHand(score=float)  # the ends are at 7, 13, 19, ... steps, the validations after every 6th or 30th
    plan = LearningRateScheduler(SGDR(6), warmup=1, steps_per_epoch=30, total_steps=150)
    run(tmp_path / "cycles", module, plan=plan, val_check_interval=every)
    assert module.batches == batches


@pytest.mark.filterwarnings(NEVER_KEPT)
def test_what_is_never_measured_ends_nothing(tmp_path: Path) -> None:
    module = Tiny()
    with pytest.warns(UserWarning, match="this fit does not validate"):
        run(tmp_path / "cycles", module, limit_val_batches=0, val_check_interval=1.0)
    assert module.batches == 50


@pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before the epoch")
def test_a_resume_from_the_last_step_measures_and_stops_as_the_run_did(tmp_path: Path) -> None:
    path = tmp_path / "saved" / "middle.ckpt"
    whole = run(tmp_path / "cycles", Tiny(score=lambda step: abs(step - 6)), SavesAt(15, path))
    module = Tiny(score=lambda step: abs(step - 6))
    resumed = run(tmp_path / "cycles", module, ckpt_path=path, weights_only=True)
    assert module.batches == 0
    assert [step for step, _ in module.scores] == [15]
    assert ends(resumed) == ends(whole)


@pytest.mark.parametrize("again", ["a second fit", "resumed from a file saved after the first"])
@pytest.mark.parametrize(("better", "batches"), [(True, 40), (False, 30)])
def test_the_last_cycle_of_a_fit_counts_once(tmp_path: Path, again: str, better: bool, batches: int) -> None:
    def begin(epochs: int) -> tuple[Any, CycleCheckpoint]:
        checkpoint = CycleCheckpoint("val_loss", patience=1, dirpath=tmp_path / "cycles")
        plan = LearningRateScheduler(SGDR("1ep"), total_steps=40)
        return make_trainer(tmp_path, plan, checkpoint, max_epochs=epochs), checkpoint

    module = Tiny(score=lambda step: -step if better or step <= 20 else 0.0)
    trainer, checkpoint = begin(2)
    trainer.fit(module)
    if again == "a second fit":
        trainer.fit_loop.max_epochs = 4
        trainer.fit(module)
    else:
        trainer.save_checkpoint(tmp_path / "saved.ckpt")
        trainer, checkpoint = begin(4)
        trainer.fit(module, ckpt_path=tmp_path / "saved.ckpt", weights_only=True)
    assert module.batches == batches
    assert ends(checkpoint) == [(10 * (cycle + 1), True) for cycle in range(batches // 10)]
