"""Callbacks that average the weights: StochasticWeightAveraging has its own scheduler, WeightAveraging none."""

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import callbacks as lightning_callbacks
from lightning.pytorch.callbacks import Callback, StochasticWeightAveraging

from lightning_lrsched import Cosine, LearningRateScheduler, Plateau, RunLength
from tests.callbacks.models import LR, Stranger, Tiny, expected, loader, make_trainer
from tests.callbacks.test_resume import Saves

both_orders = pytest.mark.parametrize("first", [True, False], ids=["other first", "ours first"])
swa_says = pytest.mark.filterwarnings("ignore:SWA is currently only supported every epoch")
EPOCHS, BATCHES, BEGINS = 6, 5, 3


def ordered(first: bool, other: Callback, ours: Callback) -> list[Callback]:
    return [other, ours] if first else [ours, other]


def leg(
    folder: Path, first: bool, *more: Callback, path: Path | None = None, epochs: int = EPOCHS
) -> tuple[Stranger, LearningRateScheduler]:
    """A fit with SWA from the fourth epoch on; returns the lrs that were used."""
    swa = StochasticWeightAveraging(swa_lrs=0.02, swa_epoch_start=BEGINS + 1, annealing_epochs=2)
    callback, stranger = LearningRateScheduler(Cosine(), warmup=2, total_steps=30), Stranger()
    trainer = make_trainer(folder, *ordered(first, swa, callback), stranger, *more, max_epochs=epochs)
    trainer.fit(Tiny(), loader(BATCHES), ckpt_path=path)
    return stranger, callback


@swa_says
@both_orders
@pytest.mark.filterwarnings("ignore:Another callback replaced the scheduler of LearningRateScheduler")
@pytest.mark.parametrize("saved_after", [1, 3, 4, 5])
def test_stochastic_weight_averaging_resumes_before_and_inside_its_phase(
    tmp_path: Path, first: bool, saved_after: int
) -> None:
    saves = Saves(tmp_path)
    whole, callback = leg(tmp_path, first, saves)
    assert whole.group()[: BEGINS * BATCHES] == expected(callback, BEGINS * BATCHES)
    path = [path for when, _, path in saves.paths if when == "epoch"][saved_after - 1]
    if saved_after > BEGINS:
        with pytest.warns(UserWarning, match="inside the phase of StochasticWeightAveraging"):
            rest, resumed = leg(tmp_path, first, path=path)
        assert resumed.schedulers == []
    else:
        rest, _ = leg(tmp_path, first, path=path)
    assert rest.group() == pytest.approx(whole.group()[saved_after * BATCHES :], rel=1e-12)


class Normed(Tiny):
    """Has a batch norm, for which SWA adds an epoch without steps to the run."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = torch.nn.BatchNorm1d(1)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return super().training_step(batch, batch_idx) + 0.0 * self.norm(batch).sum()


@swa_says
@both_orders
@pytest.mark.filterwarnings("ignore:Another callback replaced the scheduler of LearningRateScheduler")
def test_the_epoch_that_swa_adds_for_batch_norms_is_not_in_the_plan(
    tmp_path: Path, stranger: Stranger, first: bool
) -> None:
    swa = StochasticWeightAveraging(swa_lrs=0.02, swa_epoch_start=BEGINS + 1, annealing_epochs=2)
    callback = LearningRateScheduler(Cosine(), warmup=2)
    trainer = make_trainer(tmp_path, *ordered(first, swa, callback), stranger, max_epochs=EPOCHS)
    trainer.fit(Normed(), loader(BATCHES, batch_size=2))
    assert callback.run == RunLength(EPOCHS * BATCHES, BATCHES)
    assert stranger.group()[: BEGINS * BATCHES] == expected(callback, BEGINS * BATCHES)


@swa_says
@both_orders
@pytest.mark.filterwarnings("ignore:Another callback replaced the scheduler of LearningRateScheduler")
@pytest.mark.parametrize("made", [Tiny, Normed])
def test_a_run_that_its_steps_end_is_planned_for_them(
    tmp_path: Path, stranger: Stranger, first: bool, made: Any
) -> None:
    swa = StochasticWeightAveraging(swa_lrs=0.02, swa_epoch_start=BEGINS + 1, annealing_epochs=2)
    callback = LearningRateScheduler(Cosine(), warmup=2)
    trainer = make_trainer(tmp_path, *ordered(first, swa, callback), stranger, max_epochs=-1, max_steps=22)
    trainer.fit(made(), loader(BATCHES, batch_size=2))
    assert callback.run == RunLength(22, BATCHES)
    assert stranger.group()[: BEGINS * BATCHES] == expected(callback, BEGINS * BATCHES)
    assert len(stranger.group()) == 22


@swa_says
@both_orders
@pytest.mark.filterwarnings("ignore:Another callback replaced the scheduler of LearningRateScheduler")
def test_a_plateau_leaves_the_lr_to_swa(tmp_path: Path, stranger: Stranger, first: bool) -> None:
    swa = StochasticWeightAveraging(swa_lrs=0.02, swa_epoch_start=BEGINS + 1, annealing_epochs=1)
    callback = LearningRateScheduler(Plateau(patience=0, factor=0.5))
    trainer = make_trainer(tmp_path, *ordered(first, swa, callback), stranger, max_epochs=EPOCHS)
    trainer.fit(Tiny(score=float), loader(BATCHES))
    assert stranger.group()[(BEGINS + 1) * BATCHES :] == pytest.approx([0.02] * BATCHES * 2)


@both_orders
def test_a_share_of_the_epochs_is_refused_where_there_is_no_last_one(tmp_path: Path, first: bool) -> None:
    swa, module = StochasticWeightAveraging(swa_lrs=0.02, swa_epoch_start=0.8), Tiny()
    callback = LearningRateScheduler(Cosine(), warmup=2)
    trainer = make_trainer(tmp_path, *ordered(first, swa, callback), max_epochs=-1, max_steps=22)
    with pytest.raises(MisconfigurationException, match="provide `swa_epoch_start` as an integer"):
        trainer.fit(module, loader(BATCHES))
    assert module.batches == 0


class Averages(Callback):
    """Notes the averaged weight that validations and checkpoints see."""

    def __init__(self) -> None:
        self.validated: list[float] = []

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.validated.append(trainer.global_step)


@pytest.mark.skipif(not hasattr(lightning_callbacks, "WeightAveraging"), reason="Lightning has it from 2.6 on")
@both_orders
@pytest.mark.parametrize("name", ["WeightAveraging", "EMAWeightAveraging"])
def test_averaged_weights_change_no_lr_fresh_or_resumed(tmp_path: Path, first: bool, name: str) -> None:
    def fit(*more: Callback, path: Path | None = None) -> tuple[Stranger, LearningRateScheduler]:
        callback, stranger = LearningRateScheduler(Cosine(), warmup=2), Stranger()
        averaging = getattr(lightning_callbacks, name)()
        trainer = make_trainer(tmp_path, *ordered(first, averaging, callback), stranger, *more, max_epochs=3)
        trainer.fit(Tiny(), loader(BATCHES), ckpt_path=path)
        return stranger, callback

    saves = Saves(tmp_path)
    whole, callback = fit(saves)
    assert whole.group() == expected(callback, 15)
    for when, step, path in saves.paths[1::4]:
        rest, _ = fit(path=path)
        assert rest.group() == whole.group()[step:], (when, step)


@pytest.mark.skipif(not hasattr(lightning_callbacks, "WeightAveraging"), reason="Lightning has it from 2.6 on")
@both_orders
def test_a_plateau_is_fed_with_the_metric_of_the_averaged_weights(
    tmp_path: Path, stranger: Stranger, first: bool
) -> None:
    class ByWeight(Tiny):
        """The loss is the averaged weight itself, which moves at every step."""

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.log("val_loss", self.weight.detach().sum())

    seen: list[float] = []

    class Feeds(LearningRateScheduler):
        def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            seen.append(float(trainer.callback_metrics["val_loss"]))
            super().on_validation_end(trainer, pl_module)

    callback = Feeds(Plateau("val_loss", mode="max", patience=0, factor=0.5))
    averaging = lightning_callbacks.WeightAveraging()
    module = ByWeight()
    make_trainer(tmp_path, *ordered(first, averaging, callback), stranger, max_epochs=4).fit(module, loader(4))
    # The loss falls all the time and "max" is wanted: every validation but the first halves the lr.
    assert stranger.group() == [LR] * 8 + [LR / 2] * 4 + [LR / 4] * 4
    averages, weights, weight = [], [], 0.0
    for step, lr in enumerate(stranger.group(), 1):
        weight -= lr
        weights.append(weight)
        if step % 4 == 0:
            averages.append(sum(weights) / len(weights))
    assert seen == pytest.approx(averages, rel=1e-5)
