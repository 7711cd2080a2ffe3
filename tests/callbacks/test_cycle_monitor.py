"""The metric that cycles are judged by: in which direction, and of which part of the training it must be."""

import warnings
from pathlib import Path
from typing import Any

import pytest
from lightning.fabric.utilities.exceptions import MisconfigurationException
from torch import Tensor

from lightning_lrsched import SGDR, CycleCheckpoint, LearningRateScheduler
from lightning_lrsched.callbacks.cycles import start
from tests.callbacks.interruptions import SavesAt, Stops
from tests.callbacks.models import Tiny, loader, make_trainer, wavy


class Scored(Tiny):
    """Logs an accuracy besides, and its training loss."""

    def training_step(self, batch: Tensor, batch_idx: int) -> Any:
        loss = super().training_step(batch, batch_idx)
        self.log("train_loss", loss, on_epoch=True)
        return loss

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        super().validation_step(batch, batch_idx)
        self.log("val_acc", self.score(self.trainer.global_step))


def fit(folder: Path, checkpoint: CycleCheckpoint, **given: Any) -> None:
    settings = {"max_epochs": 2, **given}
    make_trainer(folder, LearningRateScheduler(SGDR(5)), checkpoint, **settings).fit(Scored(), loader(5))


def test_a_score_whose_lowest_value_is_kept_unasked_is_told(tmp_path: Path) -> None:
    checkpoint = CycleCheckpoint("val_acc")
    with pytest.warns(UserWarning, match="keeps the lowest val_acc; for the highest pass mode='max'") as told:
        fit(tmp_path, checkpoint)
    assert sum("keeps the lowest" in str(one.message) for one in told) == 1
    scores = [kept.score for row in checkpoint.finished_cycles for kept in row.kept]
    assert checkpoint.best_model_score == min(score for score in scores if score is not None)


@pytest.mark.parametrize(
    ("given", "settings"),
    [
        ({"monitor": "val_acc", "mode": "max"}, {}),
        ({"monitor": "val_acc", "mode": "min"}, {}),
        ({"monitor": "val_loss"}, {}),
        ({}, {}),
        ({"monitor": "val_acc"}, {"fast_dev_run": True}),
    ],
    ids=["max", "min", "a loss", "no metric", "a smoke test"],
)
def test_nothing_is_told_of_a_mode_that_was_given_or_fits(
    tmp_path: Path, given: dict[str, Any], settings: dict[str, Any]
) -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        fit(tmp_path, CycleCheckpoint(**given), **settings)
    assert not [one for one in told if "keeps the lowest" in str(one.message)]


def test_the_mode_that_holds_can_be_asked_for_and_names_the_state_as_before() -> None:
    assert CycleCheckpoint("val_loss").mode == "min"
    assert CycleCheckpoint("val_loss").state_key == CycleCheckpoint("val_loss", "min").state_key


@pytest.mark.filterwarnings("ignore:Cycle 0 ended")
@pytest.mark.parametrize("monitor", ["train_loss", "train_loss_epoch", "train_loss_step", "vall"])
def test_a_metric_that_is_not_of_the_validation_is_refused_with_those_that_are(tmp_path: Path, monitor: str) -> None:
    message = rf"monitor = '{monitor}' is not logged in validation\. Logged are: val_acc, val_loss\. Log"
    with pytest.raises(MisconfigurationException, match=message):
        fit(tmp_path, CycleCheckpoint(monitor), check_val_every_n_epoch=2)


class Sometimes(Tiny):
    """Logs a costly metric in every second validation."""

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        super().validation_step(batch, batch_idx)
        if self.current_epoch % 2 == 0:
            self.log("val_fid", self.score(self.trainer.global_step))


@pytest.mark.parametrize("keep", ["both", "end"])
@pytest.mark.parametrize("resumed", [False, True])
def test_a_validation_that_leaves_the_metric_out_judges_nothing(tmp_path: Path, resumed: bool, keep: str) -> None:
    def parts() -> list[Any]:
        start.TOLD.clear()
        return [LearningRateScheduler(SGDR("2ep")), CycleCheckpoint("val_fid", dirpath=tmp_path / "cycles", keep=keep)]

    chain, saved = parts(), None
    if resumed:
        saved = tmp_path / "first.ckpt"
        interrupted = make_trainer(tmp_path, *chain, SavesAt(6, saved), Stops(6), max_epochs=4)
        with pytest.raises(RuntimeError, match="power cut"):
            interrupted.fit(Sometimes(), loader(5))
        chain = parts()
    trainer = make_trainer(tmp_path, *chain, max_epochs=4)
    with pytest.warns(UserWarning, match="this validation has not logged val_fid, so it judges no weights"):
        trainer.fit(Sometimes(), loader(5), ckpt_path=saved)
    rows = chain[1].finished_cycles
    assert [(row.end.step, row.end.score) for row in rows] == [(10, None), (20, None)]
    best = [(row.best.step, row.best.score) for row in rows if row.best]
    assert best == ([] if keep == "end" else [(5, pytest.approx(wavy(5))), (15, pytest.approx(wavy(15)))])
