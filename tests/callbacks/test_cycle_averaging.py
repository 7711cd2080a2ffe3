"""CycleCheckpoint beside StochasticWeightAveraging, which puts a scheduler of its own in the schedule's place."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import pytest
from lightning.pytorch.callbacks import Callback, StochasticWeightAveraging
from torch import Tensor
from torch.nn import BatchNorm1d, Identity
from torch.optim import SGD
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts

from lightning_lrsched import SGDR, CycleCheckpoint, LearningRateScheduler, TorchScheduler
from tests.callbacks.interruptions import SavesAt, Stops
from tests.callbacks.models import LR, Tiny, loader, make_trainer
from tests.callbacks.test_cycle_checkpoint import Weights, files, weight_in
from tests.callbacks.test_cycle_fuzz import rows_of

EPOCHS, BATCHES = 6, 5
RESTARTS = partial(CosineAnnealingWarmRestarts, T_0=4)

pytestmark = pytest.mark.filterwarnings(
    "ignore:SWA is currently only supported every epoch",
    "ignore:Another callback replaced the scheduler of LearningRateScheduler",
    "ignore:The checkpoint lies inside the phase of StochasticWeightAveraging",
    "ignore:You're resuming from a checkpoint that ended before the epoch",
    r"ignore:Cycle \d+ ended without a validation",
)


def restarting(module: Tiny) -> Any:
    optimizer = SGD(module.parameters(), lr=LR)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": RESTARTS(optimizer), "interval": "step"}}


def run(folder: Path, plan: list[Callback], *others: Callback, first: bool, **given: Any) -> CycleCheckpoint:
    checkpoint = CycleCheckpoint("val_loss", dirpath=folder)
    swa = StochasticWeightAveraging(swa_lrs=0.02, swa_epoch_start=3, annealing_epochs=2)
    ordered = [swa, *plan, checkpoint] if first else [*plan, checkpoint, swa]
    module = Tiny(None if plan else restarting)
    trainer = make_trainer(folder.parent, *ordered, *others, max_epochs=EPOCHS, val_check_interval=2)
    trainer.fit(module, loader(BATCHES), **given)
    return checkpoint


PLANS: list[Any] = [
    pytest.param(lambda: [LearningRateScheduler(SGDR(4))], id="SGDR"),
    pytest.param(lambda: [LearningRateScheduler(TorchScheduler(RESTARTS, "step"))], id="torch's, driven"),
    pytest.param(list, id="torch's, of the module"),
]


@pytest.mark.parametrize("first", [True, False], ids=["averaging first", "ours first"])
@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("saved", [12, 23])
def test_a_run_resumed_in_its_phase_ends_with_the_files_of_a_whole_one(
    tmp_path: Path, plan: Any, first: bool, saved: int
) -> None:
    whole = run(tmp_path / "whole", plan(), first=first)
    path = tmp_path / "saved" / "middle.ckpt"
    with pytest.raises(RuntimeError, match="power cut"):
        run(tmp_path / "cut", plan(), SavesAt(saved, path), Stops(saved + 1), first=first)
    resumed = run(tmp_path / "cut", plan(), first=first, ckpt_path=path, weights_only=True)
    assert rows_of(resumed) == rows_of(whole)
    assert [Path(file).name for file in files(tmp_path / "cut")] == [
        Path(file).name for file in files(tmp_path / "whole")
    ]
    listed = [json.loads((tmp_path / name / "cycles.json").read_text())["cycles"] for name in ("cut", "whole")]
    assert [row["end"] and row["end"]["step"] for row in listed[0]] == [
        row["end"] and row["end"]["step"] for row in listed[1]
    ]
    assert all(isinstance(weight_in(file), float) for file in files(tmp_path / "cut"))


def test_the_plans_cycles_go_on_in_its_phase(tmp_path: Path) -> None:
    checkpoint = run(tmp_path / "whole", [LearningRateScheduler(SGDR(4))], first=True)
    ends = [row.end.step for row in checkpoint.finished_cycles if row.end is not None]
    assert ends == [4, 8, 12, 16, 20, 24, 28, 30]


class SavesAfter(Callback):
    """Saves a checkpoint when an epoch has ended."""

    def __init__(self, epoch: int, path: Path) -> None:
        self.epoch, self.path = epoch, path

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.current_epoch == self.epoch:
            trainer.save_checkpoint(self.path)


class Itself(Tiny):
    """Its validation loss is its weight, so that a score tells of which weights it is."""

    def __init__(self, *, normed: bool) -> None:
        super().__init__()
        self.norm = BatchNorm1d(1) if normed else Identity()

    def training_step(self, batch: Tensor, batch_idx: int) -> Any:
        return super().training_step(self.norm(batch), batch_idx)

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.log("val_loss", self.weight.detach().sum())


def averaged(
    folder: Path,
    *others: Callback,
    normed: bool,
    period: int,
    first: bool,
    limits: dict[str, int] | None = None,
    **given: Any,
) -> tuple[CycleCheckpoint, Itself, dict[int, float]]:
    """Fit with averages, from the third epoch on, that are higher than the weights of the last one."""
    swa = StochasticWeightAveraging(swa_lrs=0.02, swa_epoch_start=3, annealing_epochs=2)
    checkpoint, weights = CycleCheckpoint("val_loss", "max", dirpath=folder), Weights()
    order: list[Callback] = [swa, checkpoint] if first else [checkpoint, swa]
    callbacks = [LearningRateScheduler(SGDR(period)), weights, *order, *others]
    module = Itself(normed=normed)
    limits = {"max_epochs": EPOCHS} if limits is None else limits
    trainer = make_trainer(folder.parent, *callbacks, **{"val_check_interval": 2, **limits})
    trainer.fit(module, loader(BATCHES, 2), **given)
    return checkpoint, module, weights.after


@pytest.mark.parametrize("first", [True, False], ids=["averaging first", "ours first"])
@pytest.mark.parametrize("period", [4, 5], ids=["the run cuts a cycle", "the run ends with a cycle"])
@pytest.mark.parametrize("normed", [False, True], ids=["plain", "with batch norm"])
def test_a_score_lies_with_the_weights_that_it_is_of(tmp_path: Path, normed: bool, period: int, first: bool) -> None:
    """Averages that were taken for the weights of the last step would be the best of its cycle."""
    checkpoint, module, after = averaged(tmp_path / "cycles", normed=normed, period=period, first=first)
    kept = [one for row in checkpoint.finished_cycles for one in row.kept]
    assert [weight_in(one.path) for one in kept] == [after[one.step] for one in kept]
    measured = [one for one in kept if one.score is not None]
    assert [one.score for one in measured] == [after[one.step] for one in measured]
    last = checkpoint.finished_cycles[-1]
    assert last.end is not None
    assert (last.end.step, last.end.epoch, last.complete) == (EPOCHS * BATCHES, EPOCHS - 1, period == 5)
    assert module.weight.item() > after[EPOCHS * BATCHES]  # it is the average in the end


@pytest.mark.parametrize("period", [4, 5], ids=["the run cuts a cycle", "the run ends with a cycle"])
@pytest.mark.parametrize("epoch", [4, 5], ids=["before the last epoch", "before the pass for batch norm"])
def test_a_run_resumed_before_the_averages_come_keeps_none_either(tmp_path: Path, epoch: int, period: int) -> None:
    path = tmp_path / "saved" / "late.ckpt"
    given: dict[str, Any] = {"normed": True, "period": period, "first": True}
    whole, _, after = averaged(tmp_path / "whole", SavesAfter(epoch, path), **given)
    listed = [(one.step, one.score) for row in whole.finished_cycles for one in row.kept]
    resumed, module, _ = averaged(tmp_path / "whole", ckpt_path=path, weights_only=True, **given)
    kept = [one for row in resumed.finished_cycles for one in row.kept]
    assert [(one.step, one.score) for one in kept] == listed
    assert [weight_in(one.path) for one in kept] == [after[one.step] for one in kept]
    assert rows_of(resumed) == rows_of(whole)
    assert files(tmp_path / "whole") == sorted(one.path for one in kept)
    assert module.weight.item() > after[EPOCHS * BATCHES]


class StopsAt(Callback):
    """Asks for the end of the training after so many steps, or when the epoch with that step ends."""

    def __init__(self, step: int, *, epoch_end: bool) -> None:
        self.step = step
        self.epoch_end = epoch_end

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        if not self.epoch_end:
            trainer.should_stop |= trainer.global_step == self.step

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self.epoch_end:
            trainer.should_stop |= trainer.global_step >= self.step


@pytest.mark.parametrize(
    ("limits", "stops", "steps"),
    [
        pytest.param({"max_steps": 28}, [], 28, id="inside an epoch"),
        pytest.param({"max_steps": 30}, [], 30, id="with an epoch"),
        pytest.param({"max_steps": 100}, [StopsAt(28, epoch_end=False)], 28, id="stopped inside an epoch"),
        pytest.param({"max_steps": 100}, [StopsAt(28, epoch_end=True)], 30, id="stopped with an epoch"),
        pytest.param({"max_steps": 30, "min_steps": 27}, [StopsAt(12, epoch_end=True)], 27, id="stopped too early"),
        pytest.param({"max_steps": 8}, [], 8, id="before the averages begin"),
    ],
)
@pytest.mark.parametrize("period", [4, 7])
@pytest.mark.parametrize("normed", [False, True], ids=["plain", "with batch norm"])
@pytest.mark.filterwarnings("ignore:Trainer was signaled to stop but the required")
def test_a_run_without_a_last_epoch_keeps_no_averages(
    tmp_path: Path, *, limits: dict[str, int], stops: list[Callback], steps: int, period: int, normed: bool
) -> None:
    """Lightning puts the averages into the module when such a run ends, by its steps or because it was stopped."""
    given: dict[str, Any] = {"normed": normed, "period": period, "first": True, "limits": {"max_epochs": -1} | limits}
    checkpoint, module, after = averaged(tmp_path / "cycles", *stops, **given)
    assert max(after) == steps
    kept = [one for row in checkpoint.finished_cycles for one in row.kept]
    assert [weight_in(one.path) for one in kept] == [after[one.step] for one in kept]
    last = checkpoint.finished_cycles[-1]
    assert last.end is not None
    assert (last.end.step, last.complete) == (steps, steps % period == 0)
    assert last.end.epoch == (steps - 1) // BATCHES
    assert module.weight.item() != after[steps]
