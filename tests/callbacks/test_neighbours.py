"""Other callbacks in the same Trainer, in both orders; exceptions, smoke tests, copies."""

import copy
import csv
import pickle
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import (
    BatchSizeFinder,
    Callback,
    EarlyStopping,
    GradientAccumulationScheduler,
    LearningRateFinder,
    LearningRateMonitor,
    StochasticWeightAveraging,
)
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.tuner.tuning import Tuner
from torch import Tensor
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import (
    CosineAnnealingWarmRestarts,
    LambdaLR,
    LinearLR,
    OneCycleLR,
    SequentialLR,
    StepLR,
)
from torch.utils.data import DataLoader

from lightning_lrsched import SGDR, Cosine, CycleCheckpoint, LearningRateScheduler, Plan, RunLength
from tests.callbacks.models import LR, Rows, Stranger, Stream, Tiny, expected, loader, make_trainer

both_orders = pytest.mark.parametrize("first", [True, False], ids=["other first", "ours first"])


def ordered(first: bool, other: Callback, ours: LearningRateScheduler) -> list[Callback]:
    return [other, ours] if first else [ours, other]


class Quadratic(Tiny):
    """A loss with a minimum, for the finder; its own batch size, for the other finder."""

    batch_size = 2

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def training_step(self, batch: Tensor, batch_idx: int) -> Any:
        self.batches += 1
        return self.weight.square().sum()

    def train_dataloader(self) -> Any:
        return DataLoader(Rows(64), batch_size=self.batch_size)


class Finder(LearningRateFinder):
    """Also finds in a short test."""

    def __init__(self) -> None:
        super().__init__(min_lr=1e-4, max_lr=10.0, num_training_steps=20)


@both_orders
def test_the_peak_is_what_the_finder_suggests(tmp_path: Path, stranger: Stranger, first: bool) -> None:
    finder, callback, module = Finder(), LearningRateScheduler(Cosine(), warmup=3), Quadratic()
    trainer = make_trainer(tmp_path, *ordered(first, finder, callback), stranger, max_epochs=1)
    trainer.fit(module)
    assert finder.optimal_lr is not None
    suggestion = finder.optimal_lr.suggestion()
    assert suggestion is not None
    assert suggestion == module.lr != LR
    assert stranger.group() == expected(callback, 32, suggestion)


def lambdas(optimizer: Optimizer) -> Any:
    return LambdaLR(optimizer, lambda step: 0.9**step)


def after_a_line(optimizer: Optimizer) -> Any:
    parts = [LinearLR(optimizer, 0.5, total_iters=4), CosineAnnealingWarmRestarts(optimizer, 5)]
    return SequentialLR(optimizer, parts, [4])


def one_cycle(optimizer: Optimizer) -> Any:
    return OneCycleLR(optimizer, 0.3, total_steps=40, cycle_momentum=False)


@both_orders
@pytest.mark.parametrize("make", [lambdas, after_a_line, one_cycle])
def test_a_scheduler_of_the_module_starts_from_what_the_finder_suggests(
    tmp_path: Path, stranger: Stranger, first: bool, make: Any
) -> None:
    class Scheduled(Quadratic):
        def configure_optimizers(self) -> Any:
            optimizer = SGD(self.parameters(), lr=self.lr)
            return [optimizer], [{"scheduler": make(optimizer), "interval": "step"}]

    finder, module = Finder(), Scheduled()
    callbacks = ordered(first, finder, LearningRateScheduler(warmup=3))
    make_trainer(tmp_path, *callbacks, stranger, max_epochs=1).fit(module)
    assert module.lr != LR
    plain, told = Stranger(), Scheduled()
    told.lr = module.lr
    make_trainer(tmp_path, LearningRateScheduler(warmup=3), plain, max_epochs=1).fit(told)
    assert stranger.group() == pytest.approx(plain.group(), rel=1e-12)


def test_the_peak_is_what_a_tuner_suggested_before_the_fit(tmp_path: Path, stranger: Stranger) -> None:
    callback, module = LearningRateScheduler(Cosine(), warmup=3), Quadratic()
    trainer = make_trainer(tmp_path, callback, stranger, max_epochs=1)
    found = Tuner(trainer).lr_find(module, min_lr=1e-4, max_lr=10.0, num_training=20)
    assert found is not None
    suggestion = found.suggestion()
    assert suggestion is not None
    assert suggestion == module.lr != LR
    stranger.lrs.clear()
    trainer.fit(module)
    assert stranger.group() == expected(callback, 32, suggestion)


@both_orders
def test_the_run_is_measured_with_the_batch_size_that_was_found(
    tmp_path: Path, stranger: Stranger, first: bool
) -> None:
    finder, callback = BatchSizeFinder(init_val=2, max_trials=2, steps_per_trial=1), LearningRateScheduler(Cosine())
    module = Quadratic()
    make_trainer(tmp_path, *ordered(first, finder, callback), stranger, max_epochs=2).fit(module)
    assert module.batch_size == 4
    assert callback.run == RunLength(32, 16)
    assert stranger.group() == expected(callback, 32)


@both_orders
def test_a_warmup_by_share_is_measured_with_the_batch_size_that_was_found(
    tmp_path: Path, stranger: Stranger, first: bool
) -> None:
    class Scheduled(Quadratic):
        def configure_optimizers(self) -> Any:
            return step_lr(self)

    finder = BatchSizeFinder(init_val=2, max_trials=2, steps_per_trial=1)
    callback = LearningRateScheduler(warmup="25%")
    make_trainer(tmp_path, *ordered(first, finder, callback), stranger, max_epochs=2).fit(Scheduled())
    assert callback.run == RunLength(32, 16)
    assert stranger.group()[:9] == pytest.approx([LR * (t + 1) / 9 for t in range(9)])


@both_orders
def test_a_floor_is_checked_against_the_lr_that_was_found(tmp_path: Path, stranger: Stranger, first: bool) -> None:
    finder, callback = Finder(), LearningRateScheduler(Cosine(eta_min=1e-3))
    module = Quadratic()
    module.lr = 1e-4
    make_trainer(tmp_path, *ordered(first, finder, callback), stranger, max_epochs=1).fit(module)
    assert stranger.group() == expected(callback, 32, module.lr)


@both_orders
def test_accumulation_that_changes_between_epochs_is_measured(tmp_path: Path, stranger: Stranger, first: bool) -> None:
    other = GradientAccumulationScheduler({0: 1, 1: 4})
    callback = LearningRateScheduler(Cosine(), warmup=2)
    make_trainer(tmp_path, *ordered(first, other, callback), stranger, max_epochs=3).fit(Tiny(), loader(6))
    assert callback.run == RunLength(10, None)
    assert stranger.group() == expected(callback, 10)


@both_orders
def test_epochs_can_be_told_in_steps_while_the_accumulation_changes(
    tmp_path: Path, stranger: Stranger, first: bool
) -> None:
    other = GradientAccumulationScheduler({0: 1, 1: 4})
    callback = LearningRateScheduler(Cosine(), warmup="0.5ep", steps_per_epoch=6)
    make_trainer(tmp_path, *ordered(first, other, callback), stranger, max_epochs=3).fit(Tiny(), loader(6))
    assert callback.run == RunLength(10, 6)
    assert stranger.group() == expected(Plan(Cosine(), warmup=3).resolve(RunLength(10)), 10)


def test_a_shorter_stream_is_told_while_the_accumulation_changes(tmp_path: Path, stranger: Stranger) -> None:
    other, callback = GradientAccumulationScheduler({0: 1, 1: 4}), LearningRateScheduler(Cosine())
    trainer = make_trainer(tmp_path, other, callback, stranger, max_epochs=3, limit_train_batches=8)
    message = r"Epoch 0 ended after 6 training batches .* counts on 8 batches in each epoch, 12 steps in all\. .*"
    with pytest.warns(UserWarning, match=message + r"LearningRateScheduler\(\.\.\., total_steps=8\)") as told:
        trainer.fit(Tiny(), DataLoader(Stream(6)))
    assert sum("training batches" in str(warning.message) for warning in told) == 1
    assert stranger.group() == expected(Plan(Cosine()).resolve(RunLength(12)), 8)


class Extends(Callback):
    """Makes the run longer when the fit starts."""

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        trainer.fit_loop.max_epochs = 4


@both_orders
def test_a_run_that_another_callback_makes_longer_is_measured_again(
    tmp_path: Path, stranger: Stranger, first: bool
) -> None:
    callback = LearningRateScheduler(Cosine(), warmup="10%")
    make_trainer(tmp_path, *ordered(first, Extends(), callback), stranger).fit(Tiny())
    assert callback.run == RunLength(40, 10)
    assert stranger.group() == expected(callback, 40)


@both_orders
def test_early_stopping_cuts_the_curve(tmp_path: Path, stranger: Stranger, first: bool) -> None:
    other, callback = EarlyStopping("val_loss", patience=1), LearningRateScheduler(Cosine(), warmup=2)
    make_trainer(tmp_path, *ordered(first, other, callback), stranger, max_epochs=9).fit(Tiny(score=float), loader(6))
    assert len(stranger.group()) == 12
    assert stranger.group() == expected(callback, 12)


@both_orders
def test_the_learning_rate_monitor_sees_the_lr(tmp_path: Path, first: bool) -> None:
    other, callback = LearningRateMonitor("step"), LearningRateScheduler(Cosine(), warmup=2)
    logger = CSVLogger(tmp_path)
    trainer = make_trainer(tmp_path, *ordered(first, other, callback), logger=logger, log_every_n_steps=1)
    trainer.fit(Tiny(), loader(6))
    rows = csv.DictReader((Path(logger.log_dir) / "metrics.csv").read_text(encoding="utf-8").splitlines())
    assert [float(row["lr-SGD"]) for row in rows if row["lr-SGD"]] == expected(callback, 12)


@both_orders
@pytest.mark.filterwarnings("ignore:SWA is currently only supported every epoch")
def test_weight_averaging_takes_over_and_is_left_alone(tmp_path: Path, stranger: Stranger, first: bool) -> None:
    other = StochasticWeightAveraging(swa_lrs=0.02, swa_epoch_start=2, annealing_epochs=1)
    callback = LearningRateScheduler(Cosine(), warmup=2)
    trainer = make_trainer(tmp_path, *ordered(first, other, callback), stranger, max_epochs=5)
    with pytest.warns(UserWarning, match="lets go of the optimizer at real step 6 and leaves the lr to it"):
        trainer.fit(Tiny(), loader(6))
    assert stranger.group()[:6] == expected(callback, 6)
    assert stranger.group()[12:24] == [0.02] * 12


@pytest.mark.parametrize("callback", [LearningRateScheduler(Cosine(), warmup=500), LearningRateScheduler(SGDR("50ep"))])
def test_a_smoke_test_is_not_refused_for_being_short(tmp_path: Path, callback: LearningRateScheduler) -> None:
    module = Tiny()
    make_trainer(tmp_path, callback, CycleCheckpoint("val_loss"), fast_dev_run=True).fit(module)
    assert module.batches == 1
    assert not list(tmp_path.rglob("*.ckpt"))


def step_lr(module: Tiny) -> Any:
    optimizer = SGD(module.parameters(), lr=LR)
    return [optimizer], [StepLR(optimizer, 3)]


def test_a_smoke_test_of_a_wrapped_scheduler_is_not_refused_for_being_short(tmp_path: Path) -> None:
    module = Tiny(step_lr)
    make_trainer(tmp_path, LearningRateScheduler(warmup=500), fast_dev_run=True).fit(module)
    assert module.batches == 1


class Breaks(Tiny):
    """Raises at its fourth batch, once."""

    def training_step(self, batch: Tensor, batch_idx: int) -> Any:
        if self.batches == 3:
            self.batches += 1
            raise RuntimeError("broken on purpose")
        return super().training_step(batch, batch_idx)


def test_after_an_exception_no_hook_is_left_and_the_next_fit_counts_once(tmp_path: Path, stranger: Stranger) -> None:
    callback, module = LearningRateScheduler(Cosine(), warmup=2), Breaks()
    optimizer = SGD(module.parameters(), lr=LR)
    module.configure = lambda _: optimizer
    first = make_trainer(tmp_path, callback, stranger)
    with pytest.raises(RuntimeError, match="broken on purpose"):
        first.fit(module, loader(6))
    assert not optimizer._optimizer_step_post_hooks
    assert not optimizer._optimizer_step_pre_hooks
    assert len(stranger.group()) == 4
    second = Stranger()
    make_trainer(tmp_path, callback, second).fit(module, loader(6))
    assert second.group() == expected(callback, 12)
    assert not optimizer._optimizer_step_post_hooks


def test_the_same_trainer_goes_on_after_an_exception(tmp_path: Path, stranger: Stranger) -> None:
    callback, module = LearningRateScheduler(Cosine(), warmup=2), Breaks()
    trainer = make_trainer(tmp_path, callback, stranger)
    with pytest.raises(RuntimeError, match="broken on purpose"):
        trainer.fit(module, loader(6))
    steps = trainer.global_step
    with pytest.warns(UserWarning, match="ended at step 12"):
        trainer.fit(module, loader(6))
    assert stranger.group()[4:] == expected(callback, 20)[steps : steps + len(stranger.group()) - 4]


def copies(value: Any) -> list[Any]:
    return [copy.deepcopy(value), pickle.loads(pickle.dumps(value))]


def test_the_callbacks_can_be_copied_before_and_after_a_fit(tmp_path: Path) -> None:
    callback, checkpoint = LearningRateScheduler(SGDR("1ep"), warmup=3), CycleCheckpoint("val_loss")
    assert [copied.plan for copied in copies(callback)] == [callback.plan] * 2
    assert [copied.monitor for copied in copies(checkpoint)] == ["val_loss"] * 2
    make_trainer(tmp_path, callback, checkpoint).fit(Tiny())
    for copied in copies(callback):
        assert copied.timeline == callback.timeline
        stranger = Stranger()
        make_trainer(tmp_path, copied, stranger).fit(Tiny())
        assert stranger.group() == expected(callback, 20)
    assert [copied.best_model_paths for copied in copies(checkpoint)] == [checkpoint.best_model_paths] * 2


def test_the_callback_can_be_copied_within_a_fit(tmp_path: Path) -> None:
    found: list[LearningRateScheduler] = []

    class Copies(L.Callback):
        def on_train_batch_end(self, *_: object) -> None:
            found.append(copy.deepcopy(callback))

    callback = LearningRateScheduler(SGDR("1ep"), warmup=3)
    make_trainer(tmp_path, callback, Copies()).fit(Tiny())
    assert [copied.schedulers[0].real_steps for copied in found] == list(range(1, 21))


def test_a_wrapped_scheduler_can_be_copied_after_a_fit(tmp_path: Path) -> None:
    callback = LearningRateScheduler(warmup=3)
    make_trainer(tmp_path, callback).fit(Tiny(step_lr))
    assert [len(copied.schedulers) for copied in copies(callback)] == [1, 1]


def test_validate_and_test_leave_the_lr_alone(tmp_path: Path) -> None:
    callback, module = LearningRateScheduler(Cosine(), warmup=3), Tiny()
    trainer = make_trainer(tmp_path, callback)
    trainer.fit(module)
    before = trainer.optimizers[0].param_groups[0]["lr"]
    trainer.validate(module, verbose=False)
    assert trainer.optimizers[0].param_groups[0]["lr"] == before


@pytest.mark.filterwarnings("ignore:`max_epochs`")
def test_nothing_to_train_is_no_error(tmp_path: Path) -> None:
    module = Tiny()
    make_trainer(tmp_path, LearningRateScheduler(Cosine(), warmup=3), max_epochs=0).fit(module)
    assert module.batches == 0
