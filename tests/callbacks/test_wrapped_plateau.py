"""A module's own plateau behind a warmup, on metrics that come late in an epoch: fed as Lightning feeds it."""

from pathlib import Path
from typing import Any

import lightning as L
import pytest
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch.optim import SGD
from torch.optim.lr_scheduler import ReduceLROnPlateau

from lightning_lrsched import LearningRateScheduler
from tests.callbacks.models import LR, Stranger, Tiny, loader, make_trainer

BATCHES, WARMUP = 6, 4
LOSSES = [5.0, 4.0, 6.0, 3.0, 7.0, 2.0, 2.5, 1.0]
"""Of each epoch; the value of the epoch before would halve the lr at other epochs."""


class Late(Tiny):
    """Logs the metric of its plateau when the training epoch ends, and nowhere else.

    Args:
        strict: whether a metric that is not there is an error.
        by_callback: leave the logging to a callback.
    """

    def __init__(self, *, strict: bool = True, by_callback: bool = False, begins: int = 0) -> None:
        super().__init__()
        self.strict_plateau = strict
        self.by_callback = by_callback
        self.begins = begins

    def configure_optimizers(self) -> Any:
        optimizer = SGD(self.parameters(), lr=LR)
        plateau = ReduceLROnPlateau(optimizer, factor=0.5, patience=0)
        config = {"scheduler": plateau, "monitor": "late", "strict": self.strict_plateau}
        return {"optimizer": optimizer, "lr_scheduler": config}

    def on_train_epoch_end(self) -> None:
        if not self.by_callback and self.current_epoch >= self.begins:
            self.log("late", LOSSES[self.current_epoch])


class Logs(Callback):
    """Logs the metric in the module's stead."""

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        pl_module.log("late", LOSSES[trainer.current_epoch])


def used(folder: Path, module: Tiny, *callbacks: Callback, **given: Any) -> list[float]:
    """The lr of each step."""
    stranger, path = Stranger(), given.pop("path", None)
    settings = {"max_epochs": len(LOSSES)} | given
    make_trainer(folder, *callbacks, stranger, **settings).fit(module, loader(BATCHES), ckpt_path=path)
    return stranger.group()


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({}, id="with validations"),
        pytest.param({"limit_val_batches": 0}, id="without"),
        pytest.param({"accumulate_grad_batches": 2, "val_check_interval": 3}, id="accumulated"),
    ],
)
def test_a_metric_of_the_modules_epoch_end_is_that_of_this_epoch(tmp_path: Path, given: dict[str, Any]) -> None:
    native = used(tmp_path, Late(), **given)
    ours = used(tmp_path, Late(), LearningRateScheduler(warmup=2), **given)
    assert ours[2:] == native[2:]
    assert len(set(native)) == 4


@pytest.mark.parametrize("first", [True, False])
def test_a_metric_that_another_callback_logs_then_is_that_of_this_epoch(tmp_path: Path, first: bool) -> None:
    native = used(tmp_path, Late(by_callback=True), Logs())
    callback = LearningRateScheduler(warmup=WARMUP)
    ours = used(tmp_path, Late(by_callback=True), *([Logs(), callback] if first else [callback, Logs()]))
    assert ours[WARMUP:] == native[WARMUP:]


@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")
def test_a_checkpoint_of_the_epochs_end_holds_what_the_plateau_was_fed(tmp_path: Path) -> None:
    def saving() -> ModelCheckpoint:
        return ModelCheckpoint(tmp_path, "{epoch}", save_top_k=-1, every_n_epochs=1, save_on_train_epoch_end=True)

    whole = used(tmp_path, Late(), LearningRateScheduler(warmup=WARMUP), saving())
    for epoch in range(len(LOSSES) - 1):
        path = tmp_path / f"epoch={epoch}.ckpt"
        rest = used(tmp_path, Late(), LearningRateScheduler(warmup=WARMUP), path=path, enable_checkpointing=False)
        assert rest == whole[(epoch + 1) * BATCHES :], epoch


@pytest.mark.filterwarnings("ignore:ReduceLROnPlateau conditioned on metric late which is not available")
def test_a_metric_that_need_not_be_there_is_awaited(tmp_path: Path) -> None:
    native = used(tmp_path, Late(strict=False, begins=2))
    ours = used(tmp_path, Late(strict=False, begins=2), LearningRateScheduler(warmup=WARMUP))
    assert ours[WARMUP:] == native[WARMUP:]
    assert len(set(native)) == 3


def test_what_waits_for_the_modules_hook_leaves_nothing_behind(tmp_path: Path) -> None:
    class Fails(Late):
        def on_train_epoch_end(self) -> None:
            super().on_train_epoch_end()
            if self.current_epoch == 2:
                raise RuntimeError("no more epochs")

    class FailsBefore(Callback):
        def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            if trainer.current_epoch == 1:
                raise RuntimeError("no more epochs")

    for module, others in ((Fails(), []), (Late(), [FailsBefore()])):
        before = set(vars(module))
        with pytest.raises(RuntimeError, match="no more epochs"):
            used(tmp_path, module, LearningRateScheduler(warmup=WARMUP), *others)
        assert "on_train_epoch_end" not in set(vars(module)) - before


def test_a_metric_that_never_comes_is_told_with_those_that_are_there(tmp_path: Path) -> None:
    told = "the module's ReduceLROnPlateau monitors 'late', which is not logged. Logged are: val_loss"
    with pytest.raises(MisconfigurationException, match=told):
        used(tmp_path, Late(begins=1), LearningRateScheduler(warmup=WARMUP))
