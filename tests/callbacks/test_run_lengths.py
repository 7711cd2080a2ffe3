"""Runs of every length that a Trainer can make: the plan fits exactly, or what to pass is said."""

import time
from pathlib import Path
from typing import Any

import pytest
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities import CombinedLoader
from torch import Tensor
from torch.utils.data import DataLoader

from lightning_lrsched import SGDR, Constant, Cosine, LearningRateScheduler, Plan, RunLength
from tests.callbacks.models import LR, Rows, SizedStream, Stranger, Stream, Tiny, expected, loader, make_trainer

PLAN: dict[str, Any] = {"main": Cosine(), "warmup": "10%"}


def resolved(total: int, per_epoch: int | None, **plan: Any) -> list[float]:
    return expected(Plan(**(plan or PLAN)).resolve(RunLength(total, per_epoch)), total)


COMBINED: list[Any] = [
    pytest.param("max_size_cycle", 7, id="the longest"),
    pytest.param("min_size", 4, id="the shortest"),
]


@pytest.mark.parametrize(("mode", "batches"), COMBINED)
def test_combined_loaders_are_measured(tmp_path: Path, stranger: Stranger, mode: Any, batches: int) -> None:
    callback = LearningRateScheduler(**PLAN)
    data = CombinedLoader([loader(4), loader(7)], mode)
    make_trainer(tmp_path, callback, stranger, max_epochs=3).fit(Tiny(), data)
    assert callback.run == RunLength(3 * batches, batches)
    assert stranger.group() == resolved(3 * batches, batches)


@pytest.mark.parametrize(
    ("settings", "length"),
    [
        pytest.param({"overfit_batches": 3, "max_epochs": 4}, (12, 3), id="overfit_batches"),
        pytest.param({"overfit_batches": 99, "max_epochs": 2}, (20, 10), id="overfit_batches, more than there are"),
        pytest.param({"max_epochs": -1, "max_steps": 23}, (23, 10), id="max_steps alone"),
        pytest.param({"max_epochs": None, "max_steps": 23}, (23, 10), id="max_steps, max_epochs left out"),
        pytest.param({"min_epochs": 3, "max_epochs": 3}, (30, 10), id="min_epochs"),
        pytest.param({"min_steps": 25, "max_epochs": 2}, (20, 10), id="min_steps past the end"),
        pytest.param({"max_epochs": 3, "max_time": "00:01:00:00"}, (30, 10), id="max_time that is not reached"),
        pytest.param({"max_epochs": 3, "check_val_every_n_epoch": 2}, (30, 10), id="check_val_every_n_epoch"),
        pytest.param(
            {"max_epochs": 3, "check_val_every_n_epoch": None, "val_check_interval": 4}, (30, 10), id="across epochs"
        ),
        pytest.param({"max_epochs": 3, "num_sanity_val_steps": 2}, (30, 10), id="sanity check"),
        pytest.param({"max_epochs": 4, "reload_dataloaders_every_n_epochs": 1}, (40, 10), id="reloaded, same length"),
        pytest.param({"max_epochs": 3, "accumulate_grad_batches": 16}, (3, 1), id="one window longer than the epoch"),
        pytest.param({"max_epochs": 4, "accumulate_grad_batches": 3}, (16, 4), id="uneven last window"),
        pytest.param({"fast_dev_run": 8}, (8, 8), id="fast_dev_run"),
    ],
)
@pytest.mark.filterwarnings("ignore:You requested to overfit but enabled train dataloader shuffling")
def test_every_step_of_a_run_follows_the_plan(
    tmp_path: Path, stranger: Stranger, settings: dict[str, Any], length: tuple[int, int]
) -> None:
    plan: dict[str, Any] = {"main": Cosine(), "warmup": 1}
    callback = LearningRateScheduler(**plan)
    make_trainer(tmp_path, callback, stranger, **settings).fit(Tiny())
    assert callback.run == RunLength(*length)
    assert stranger.group() == resolved(*length, **plan)


@pytest.mark.parametrize(
    ("settings", "plan", "message"),
    [
        pytest.param(
            {"max_epochs": -1}, {"warmup": "5%"}, r"total steps of the run.*total_steps=1000", id="max_epochs=-1"
        ),
        pytest.param(
            {"max_epochs": None, "max_time": "00:01:00:00"},
            {"main": Cosine()},
            r"T_max = None fills the run.*total_steps=10_000",
            id="max_time alone",
        ),
        pytest.param(
            {"max_epochs": 2, "limit_train_batches": 5},
            {"main": SGDR("1ep"), "manual": True},
            r"T_0 = '1ep' needs the steps per epoch.*steps_per_epoch=1000",
            id="manual optimization",
        ),
    ],
)
def test_a_run_without_a_known_length_says_what_to_pass(
    tmp_path: Path, settings: dict[str, Any], plan: dict[str, Any], message: str
) -> None:
    module = Tiny()
    module.automatic_optimization = not plan.pop("manual", False)
    with pytest.raises(MisconfigurationException, match=message):
        make_trainer(tmp_path, LearningRateScheduler(**plan), **settings).fit(module)
    assert module.batches == 0


@pytest.mark.parametrize("settings", [{"max_epochs": -1, "max_time": "00:00:00:01"}, {"max_time": "00:00:00:01"}])
def test_a_run_by_the_clock_follows_the_total_that_was_passed(
    tmp_path: Path, stranger: Stranger, settings: dict[str, Any]
) -> None:
    class Slow(Tiny):
        def training_step(self, batch: Tensor, batch_idx: int) -> Any:
            time.sleep(0.06)
            return super().training_step(batch, batch_idx)

    callback = LearningRateScheduler(Cosine(), warmup="10%", total_steps=1000)
    make_trainer(tmp_path, callback, stranger, **settings | {"max_epochs": -1}).fit(Slow())
    assert 5 < len(stranger.group()) < 20
    assert stranger.group() == expected(callback, len(stranger.group()))


def test_a_stream_shorter_than_limit_train_batches_is_told_after_its_first_epoch(
    tmp_path: Path, stranger: Stranger
) -> None:
    callback = LearningRateScheduler(**PLAN)
    message = (
        r"Epoch 0 ended after 6 training batches \(6 optimizer steps\), and the plan counts on 10 steps in each epoch, "
        r"30 in all\. Pass .*LearningRateScheduler\(\.\.\., steps_per_epoch=6, total_steps=18\)"
    )
    trainer = make_trainer(tmp_path, callback, stranger, max_epochs=3, limit_train_batches=10)
    with pytest.warns(UserWarning, match=message) as told:
        trainer.fit(Tiny(), DataLoader(Stream(6)))
    assert sum("training batches" in str(warning.message) for warning in told) == 1
    assert stranger.group() == resolved(30, 10)[:18]


def test_what_that_message_says_to_pass_is_exact(tmp_path: Path, stranger: Stranger) -> None:
    callback = LearningRateScheduler(**PLAN, steps_per_epoch=6, total_steps=18)
    trainer = make_trainer(tmp_path, callback, stranger, max_epochs=3, limit_train_batches=10)
    trainer.fit(Tiny(), DataLoader(Stream(6)))
    assert stranger.group() == resolved(18, 6)


def test_a_window_that_such_a_stream_leaves_open_is_no_step(tmp_path: Path, stranger: Stranger) -> None:
    settings: dict[str, Any] = {"max_epochs": 3, "limit_train_batches": 10, "accumulate_grad_batches": 4}
    with pytest.warns(UserWarning, match=r"6 training batches \(1 optimizer steps\).*steps_per_epoch=1, total_steps=3"):
        make_trainer(tmp_path, LearningRateScheduler(Cosine()), stranger, **settings).fit(Tiny(), DataLoader(Stream(6)))
    assert len(stranger.group()) == 3
    exact = Stranger()
    callback = LearningRateScheduler(Cosine(), steps_per_epoch=1, total_steps=3)
    make_trainer(tmp_path, callback, exact, **settings).fit(Tiny(), DataLoader(Stream(6)))
    assert exact.group() == expected(Plan(Cosine()).resolve(RunLength(3)), 3)


def test_a_plan_that_needs_no_length_is_not_warned_of(tmp_path: Path, stranger: Stranger) -> None:
    callback = LearningRateScheduler(SGDR(4), warmup=3)
    trainer = make_trainer(tmp_path, callback, stranger, max_epochs=3, limit_train_batches=10)
    trainer.fit(Tiny(), DataLoader(Stream(6)))
    assert stranger.group() == expected(callback, 18)


class Grows(Tiny):
    """Yields two batches more in every epoch."""

    made = 0

    def train_dataloader(self) -> Any:
        self.made += 1
        return loader(2 + 2 * self.made)


def test_reloaded_loaders_of_another_length_are_told_and_total_steps_makes_them_exact(tmp_path: Path) -> None:
    first, second = Stranger(), Stranger()
    settings: dict[str, Any] = {"max_epochs": 3, "reload_dataloaders_every_n_epochs": 1}
    with pytest.warns(UserWarning, match=r"Epoch 1 ended after 6 .* counts on 4 steps|ended at step 12") as told:
        make_trainer(tmp_path, LearningRateScheduler(**PLAN), first, **settings).fit(Grows())
    assert sum("training batches" in str(warning.message) for warning in told) == 1
    make_trainer(tmp_path, LearningRateScheduler(**PLAN, total_steps=18), second, **settings).fit(Grows())
    assert second.group() == resolved(18, 4)


def test_wrong_steps_per_epoch_are_told(tmp_path: Path, stranger: Stranger) -> None:
    callback = LearningRateScheduler(SGDR("1ep"), steps_per_epoch=4)
    with pytest.warns(UserWarning, match=r"Epoch 0 ended after 6 .* 4 steps in each epoch|ended at step 8"):
        make_trainer(tmp_path, callback, stranger).fit(Tiny(), loader(6))


def test_an_epoch_that_max_steps_cuts_short_is_not_told(tmp_path: Path, stranger: Stranger) -> None:
    callback = LearningRateScheduler(**PLAN)
    make_trainer(tmp_path, callback, stranger, max_epochs=3, max_steps=14).fit(Tiny())
    assert stranger.group() == resolved(14, 10)


@pytest.mark.filterwarnings("ignore:Total length of `.*` across ranks is zero")
@pytest.mark.parametrize(("batches", "settings"), [(0, {}), (10, {"limit_train_batches": 0}), (10, {"max_steps": 0})])
def test_where_there_is_nothing_to_train_nothing_is_refused(
    tmp_path: Path, stranger: Stranger, batches: int, settings: dict[str, Any]
) -> None:
    make_trainer(tmp_path, LearningRateScheduler(**PLAN), stranger, **settings).fit(Tiny(), loader(batches))
    assert stranger.group() == []


def test_a_stream_that_knows_its_length_under_accumulation(tmp_path: Path, stranger: Stranger) -> None:
    callback = LearningRateScheduler(**PLAN)
    trainer = make_trainer(tmp_path, callback, stranger, max_epochs=4, accumulate_grad_batches=4)
    trainer.fit(Tiny(), DataLoader(SizedStream(10)))
    assert callback.run == RunLength(12, 3)
    assert stranger.group() == resolved(12, 3)


def test_a_stream_without_length_and_a_constant_lr_needs_nothing(tmp_path: Path, stranger: Stranger) -> None:
    callback = LearningRateScheduler(Constant(), warmup=5)
    make_trainer(tmp_path, callback, stranger, max_epochs=2).fit(Tiny(), DataLoader(Stream(10)))
    assert stranger.group() == expected(callback, 20)
    assert stranger.group()[5:] == [LR] * 15


def test_a_second_fit_with_a_longer_loader_is_measured_anew(tmp_path: Path, stranger: Stranger) -> None:
    callback, module = LearningRateScheduler(SGDR("1ep"), warmup=2), Tiny()
    trainer = make_trainer(tmp_path, callback, stranger)
    trainer.fit(module, DataLoader(Rows(5)))
    trainer.fit_loop.max_epochs = 4
    trainer.fit(module, DataLoader(Rows(5)))
    assert stranger.group() == expected(callback, 20)


def test_hooks_that_come_before_a_loader_is_asked_for_its_length(tmp_path: Path) -> None:
    class Notes(Tiny):
        """Notes the order of its hooks."""

        def __init__(self) -> None:
            super().__init__()
            self.hooks: list[str] = []

        def setup(self, stage: str) -> None:
            self.hooks.append("setup")

        def on_fit_start(self) -> None:
            self.hooks.append("on_fit_start")

        def train_dataloader(self) -> Any:
            self.hooks.append("train_dataloader")
            return super().train_dataloader()

    module = Notes()
    make_trainer(tmp_path, LearningRateScheduler(Cosine())).fit(module)
    assert module.hooks == ["setup", "train_dataloader", "on_fit_start"]
