"""Runs that end before their plan does: by the clock, by a metric, by an exception; and what is left for a resume."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint, OnExceptionCheckpoint, Timer
from torch import Tensor

from lightning_lrsched import SGDR, Cosine, CycleCheckpoint, LearningRateScheduler, Plateau, TorchScheduler
from tests.callbacks.models import Stranger, Tiny, expected, loader, make_trainer
from tests.callbacks.test_main_kinds import step_lr

pytestmark = [  # what Lightning says of these resumes
    pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`, callbacks used to create"),
    pytest.mark.filterwarnings(r"ignore:`.fit\(ckpt_path=None\)` was called without a model"),
    pytest.mark.filterwarnings("ignore:.* is set, but there is no last checkpoint available"),
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty"),
]
both_orders = pytest.mark.parametrize("first", [True, False], ids=["other first", "ours first"])


class Sleeps(Tiny):
    """Sleeps for a second after its eighth batch, so that a clock of a second runs out there."""

    def training_step(self, batch: Tensor, batch_idx: int) -> Any:
        if self.batches == 7:
            time.sleep(1.1)
        return super().training_step(batch, batch_idx)


@pytest.mark.parametrize("by", ["max_time", "timer first", "timer last"])
def test_a_clock_that_stops_inside_a_cycle_leaves_the_partial_cycle(
    tmp_path: Path, stranger: Stranger, by: str
) -> None:
    callback, checkpoint = LearningRateScheduler(SGDR(5), total_steps=40), CycleCheckpoint()
    timer: list[Callback] = [] if by == "max_time" else [Timer({"seconds": 1})]
    ours: list[Callback] = [callback, checkpoint]
    order = timer + ours if by == "timer first" else ours + timer
    given: dict[str, Any] = {"max_time": {"seconds": 1}} if by == "max_time" else {}
    make_trainer(tmp_path, *order, stranger, max_epochs=20, **given).fit(Sleeps())
    assert stranger.group() == expected(callback, 8)
    ends = [(cycle.cycle, cycle.end, cycle.complete) for cycle in checkpoint.finished_cycles]
    assert [(cycle, end.step, complete) for cycle, end, complete in ends if end] == [(0, 5, True), (1, 8, False)]
    assert all(Path(end.path).exists() for _, end, _ in ends if end)


@both_orders
def test_a_run_that_stopped_early_goes_on_along_the_same_curve(tmp_path: Path, first: bool) -> None:
    plan: dict[str, Any] = {"main": Cosine(), "warmup": 2}

    def fit(*others: Callback, path: Path | None = None) -> tuple[Stranger, L.Trainer]:
        callback, stranger = LearningRateScheduler(**plan), Stranger()
        order = [*others, callback] if first else [callback, *others]
        trainer = make_trainer(tmp_path, *order, stranger, max_epochs=5)
        trainer.fit(Tiny(score=float), loader(6), ckpt_path=path)
        return stranger, trainer

    whole, _ = fit()
    stopped, trainer = fit(EarlyStopping("val_loss", patience=1))
    trainer.save_checkpoint(tmp_path / "stopped.ckpt")
    rest, _ = fit(path=tmp_path / "stopped.ckpt")
    assert len(stopped.group()) == 12
    assert stopped.group() + rest.group() == whole.group()


def test_epochs_that_early_stopping_must_wait_for_follow_the_plan(tmp_path: Path, stranger: Stranger) -> None:
    callback = LearningRateScheduler(Cosine(), warmup=2)
    stops = EarlyStopping("val_loss", patience=0)
    make_trainer(tmp_path, stops, callback, stranger, min_epochs=4, max_epochs=9).fit(Tiny(score=float), loader(6))
    assert stranger.group() == expected(callback, 24)


class Breaks(Tiny):
    """Raises at one of its batches."""

    def __init__(self, at: int) -> None:
        super().__init__(score=float)
        self.at = at

    def training_step(self, batch: Tensor, batch_idx: int) -> Any:
        if self.batches == self.at:
            raise RuntimeError("broken on purpose")
        return super().training_step(batch, batch_idx)


MAINS: dict[str, Callable[[], LearningRateScheduler]] = {
    "restarts": lambda: LearningRateScheduler(SGDR(4, T_mult=2), warmup=3),
    "driven": lambda: LearningRateScheduler(TorchScheduler(step_lr), warmup=3),
    "plateau": lambda: LearningRateScheduler(Plateau(patience=0, factor=0.5), warmup=3),
}


@pytest.mark.parametrize("at", [2, 9, 12, 15])
@pytest.mark.parametrize("main", MAINS)
def test_what_an_exception_left_behind_resumes(tmp_path: Path, main: str, at: int) -> None:
    whole, begun, rest = Stranger(), Stranger(), Stranger()
    make_trainer(tmp_path, MAINS[main](), whole, max_epochs=4).fit(Breaks(-1), loader(6))
    saves = OnExceptionCheckpoint(tmp_path, "broken")
    with pytest.raises(RuntimeError, match="broken on purpose"):
        make_trainer(tmp_path, saves, MAINS[main](), begun, max_epochs=4).fit(Breaks(at), loader(6))
    path = tmp_path / "broken.ckpt"
    make_trainer(tmp_path, MAINS[main](), rest, max_epochs=4).fit(Breaks(-1), loader(6), ckpt_path=path)
    taken = int(torch.load(path, weights_only=True)["global_step"])
    assert rest.group() == whole.group()[taken:]


@pytest.mark.parametrize("main", MAINS)
@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"save_last": True, "every_n_train_steps": 4}, id="steps"),
        pytest.param({"save_last": True, "every_n_epochs": 1, "save_on_train_epoch_end": True}, id="epochs"),
        pytest.param({"save_last": True, "monitor": "val_loss", "save_top_k": -1}, id="validations"),
    ],
)
def test_the_last_checkpoint_of_a_broken_run_resumes(tmp_path: Path, main: str, settings: dict[str, Any]) -> None:
    def fit(module: Tiny, *, resume: bool = False) -> tuple[Stranger, L.Trainer]:
        stranger, checkpoint = Stranger(), ModelCheckpoint(tmp_path / "kept", **settings)
        trainer = make_trainer(tmp_path, MAINS[main](), stranger, checkpoint, max_epochs=5, val_check_interval=3)
        trainer.fit(module, loader(6), ckpt_path="last" if resume else None)
        return stranger, trainer

    whole = Stranger()
    make_trainer(tmp_path, MAINS[main](), whole, max_epochs=5, val_check_interval=3).fit(Breaks(-1), loader(6))
    with pytest.raises(RuntimeError, match="broken on purpose"):
        fit(Breaks(16))
    taken = int(torch.load(tmp_path / "kept" / "last.ckpt", weights_only=True)["global_step"])
    assert 6 <= taken <= 16
    rest, _ = fit(Breaks(-1), resume=True)
    assert rest.group() == whole.group()[taken:]
