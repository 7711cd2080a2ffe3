"""Several validation loaders: Lightning puts the loader's number behind the name of each metric."""

from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor

from lightning_lrsched import SGDR, CycleCheckpoint, LearningRateScheduler, MLflowTracker, Plateau
from tests.callbacks.models import LR, Tiny, loader, make_trainer, wavy
from tests.tracking.reading import history, only_run

ALL = {"val_loss/dataloader_idx_0", "val_loss/dataloader_idx_1", "plain", "of_the_epoch"}


class Several(Tiny):
    """Measures with two loaders, and with one of them under a name without its number."""

    def validation_step(self, batch: Tensor, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.log("val_loss", self.score(self.trainer.global_step) + dataloader_idx)
        if dataloader_idx == 1:
            self.log("plain", 7.0, add_dataloader_idx=False)

    def on_validation_epoch_end(self) -> None:
        self.log("of_the_epoch", 8.0)

    def val_dataloader(self) -> Any:
        return [loader(1), loader(2)]


def test_cycles_are_judged_by_the_metric_of_any_loader_as_in_lightning(tmp_path: Path) -> None:
    mine = CycleCheckpoint("val_loss/dataloader_idx_1", dirpath=tmp_path / "cycles")
    theirs = ModelCheckpoint(tmp_path, monitor="val_loss/dataloader_idx_1")
    make_trainer(tmp_path, LearningRateScheduler(SGDR("2ep")), mine, theirs, max_epochs=4).fit(Several())
    assert mine.best_model_score == pytest.approx(min(wavy(step) for step in (10, 20, 30, 40)) + 1)
    assert theirs.best_model_score is not None
    assert mine.best_model_score == theirs.best_model_score.item()
    best = mine.finished_cycles[0].best
    assert best is not None
    assert best.metrics.keys() == ALL


def test_the_tracker_has_the_metrics_of_every_loader(uri: str, tmp_path: Path) -> None:
    make_trainer(tmp_path, MLflowTracker(uri, "study"), LearningRateScheduler(SGDR("2ep"))).fit(Several())
    run = only_run(uri)
    assert run.data.metrics.keys() >= ALL
    for index in range(2):
        points = history(uri, run, f"val_loss/dataloader_idx_{index}")
        assert [step for step, _ in points] == [9, 19]
        assert [value for _, value in points] == pytest.approx([wavy(step) + index for step in (10, 20)])


def test_a_plateau_is_fed_by_any_loader(tmp_path: Path) -> None:
    schedule = LearningRateScheduler(Plateau("val_loss/dataloader_idx_1", patience=0, factor=0.5))
    trainer = make_trainer(tmp_path, schedule, max_epochs=2)
    trainer.fit(Several(score=float))
    assert trainer.optimizers[0].param_groups[0]["lr"] == LR / 2
