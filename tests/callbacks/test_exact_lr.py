"""The lr that the optimizer holds at every real step is the timeline's, bit for bit."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.optim import SGD, Adam, AdamW

from lightning_lrsched import SGDR, Cosine, LearningRateScheduler, MultiStep, OneCycle, Plan, RunLength, Step, Warmup
from tests.callbacks.models import LR, Rows, SizedStream, Stranger, Tiny, expected, loader, make_trainer, two_groups

PLAN: dict[str, Any] = {"main": SGDR(4, T_mult=2, eta_min=1e-3), "warmup": 3, "cooldown": "10%"}


def resolve(total: int, per_epoch: int, update: str = "step", **plan: Any) -> list[float]:
    timeline = Plan(**(plan or PLAN)).resolve(RunLength(total, per_epoch), update)
    return expected(timeline, total)


@pytest.mark.parametrize(
    ("batches", "settings", "length"),
    [
        pytest.param(10, {}, (20, 10), id="plain"),
        pytest.param(8, {"accumulate_grad_batches": 4, "max_epochs": 6}, (12, 2), id="accumulation"),
        pytest.param(6, {"accumulate_grad_batches": 4, "max_epochs": 6}, (12, 2), id="accumulation, uneven window"),
        pytest.param(10, {"max_steps": 15, "max_epochs": -1}, (15, 10), id="max_steps inside an epoch"),
        pytest.param(10, {"max_steps": 50}, (20, 10), id="max_epochs before max_steps"),
        pytest.param(10, {"limit_train_batches": 7}, (14, 7), id="limit_train_batches, whole"),
        pytest.param(10, {"limit_train_batches": 0.5, "max_epochs": 3}, (15, 5), id="limit_train_batches, share"),
        pytest.param(10, {"val_check_interval": 3}, (20, 10), id="validation inside an epoch"),
        pytest.param(10, {"gradient_clip_val": 0.5}, (20, 10), id="gradient clipping"),
    ],
)
def test_every_real_step_uses_the_lr_of_the_plan(
    tmp_path: Path, stranger: Stranger, batches: int, settings: dict[str, Any], length: tuple[int, int]
) -> None:
    callback = LearningRateScheduler(**PLAN)
    make_trainer(tmp_path, callback, stranger, **settings).fit(Tiny(), loader(batches))
    assert callback.run == RunLength(*length)
    assert stranger.group() == resolve(*length)


@pytest.mark.parametrize("optimizer", [SGD, Adam, AdamW])
@pytest.mark.parametrize("main", [Cosine("50%"), OneCycle(), Step("1ep"), MultiStep([5, "75%"])], ids=str)
def test_schedules_reach_every_optimizer(tmp_path: Path, stranger: Stranger, optimizer: Any, main: Any) -> None:
    callback = LearningRateScheduler(main, warmup=Warmup("10%", shape="cosine"))
    module = Tiny(lambda module: optimizer(module.parameters(), lr=LR))
    make_trainer(tmp_path, callback, stranger).fit(module)
    assert stranger.group() == expected(callback, 20)


def test_the_weights_move_by_the_lr_of_the_plan(tmp_path: Path) -> None:
    module = Tiny()
    make_trainer(tmp_path, LearningRateScheduler(**PLAN)).fit(module)
    weight = torch.zeros(1)
    for lr in resolve(20, 10):
        weight -= torch.tensor([lr], dtype=torch.float64).float()
    torch.testing.assert_close(module.weight.detach(), weight, rtol=1e-6, atol=0)


def test_groups_keep_their_ratio(tmp_path: Path, stranger: Stranger) -> None:
    callback = LearningRateScheduler(Cosine(), warmup=3)
    make_trainer(tmp_path, callback, stranger).fit(Tiny(two_groups))
    assert stranger.group(0) == expected(callback, 20)
    assert stranger.group(1) == expected(callback, 20, LR / 5)


def test_a_staircase_changes_only_between_epochs(tmp_path: Path, stranger: Stranger) -> None:
    callback = LearningRateScheduler(Cosine(), warmup="1ep", update="epoch")
    make_trainer(tmp_path, callback, stranger, max_epochs=5).fit(Tiny(), loader(4))
    assert stranger.group() == resolve(20, 4, "epoch", main=Cosine(), warmup="1ep")
    assert [len(set(stranger.group()[first : first + 4])) for first in range(0, 20, 4)] == [1] * 5
    assert all(before != after for before, after in pairwise(stranger.group()[::4]))


class Unfreezes(Callback):
    """Adds the bias as a group of its own at the start of an epoch."""

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.current_epoch == 1:
            assert isinstance(pl_module, Tiny)
            trainer.optimizers[0].add_param_group({"params": [pl_module.bias], "lr": 0.03})


@pytest.mark.parametrize("first", [True, False])
def test_a_group_added_later_joins_at_its_own_base_lr(tmp_path: Path, stranger: Stranger, first: bool) -> None:
    callback = LearningRateScheduler(Cosine(), warmup=3)
    order = [Unfreezes(), callback] if first else [callback, Unfreezes()]
    make_trainer(tmp_path, *order, stranger).fit(Tiny(lambda module: SGD([module.weight], lr=LR)))
    assert [lrs[0] for lrs in stranger.lrs[0]] == expected(callback, 20)
    assert [lrs[1] for lrs in stranger.lrs[0][10:]] == expected(callback, 20, 0.03)[10:]


def test_a_second_fit_goes_on_where_the_first_ended(tmp_path: Path, stranger: Stranger) -> None:
    callback = LearningRateScheduler(SGDR(6), warmup=2)
    trainer = make_trainer(tmp_path, callback, stranger)
    module = Tiny()
    trainer.fit(module)
    trainer.fit_loop.max_epochs = 4
    trainer.fit(module)
    assert callback.run == RunLength(40, 10)
    assert stranger.group() == resolve(40, 10, main=SGDR(6), warmup=2)


def test_a_new_trainer_begins_anew(tmp_path: Path) -> None:
    callback, module = LearningRateScheduler(Cosine(), warmup=2), Tiny()
    for _ in range(2):
        stranger = Stranger()
        make_trainer(tmp_path, callback, stranger).fit(module)
        assert stranger.group() == expected(callback, 20)


@pytest.mark.parametrize("total", [12, 19])
def test_past_the_end_of_the_plan_the_last_lr_is_held_and_told_once(
    tmp_path: Path, stranger: Stranger, total: int
) -> None:
    callback = LearningRateScheduler(Cosine(eta_min=0.01), total_steps=total)
    with pytest.warns(UserWarning, match=f"ended at step {total}, and training goes on") as told:
        make_trainer(tmp_path, callback, stranger).fit(Tiny())
    assert sum("training goes on" in str(warning.message) for warning in told) == 1
    assert stranger.group() == [*expected(callback, total), *[0.01] * (20 - total)]


def test_a_plan_for_a_longer_run_is_followed_as_far_as_it_goes(tmp_path: Path, stranger: Stranger) -> None:
    make_trainer(tmp_path, LearningRateScheduler(Cosine(), total_steps=100), stranger).fit(Tiny())
    assert stranger.group() == resolve(100, 10, main=Cosine())[:20]


def test_an_iterable_with_a_length_is_measured(tmp_path: Path, stranger: Stranger) -> None:
    data: torch.utils.data.DataLoader[Tensor] = torch.utils.data.DataLoader(SizedStream(10), batch_size=2)
    callback = LearningRateScheduler(Cosine(), warmup="10%")
    make_trainer(tmp_path, callback, stranger).fit(Tiny(), data)
    assert stranger.group() == resolve(10, 5, main=Cosine(), warmup="10%")


def test_a_tensor_lr_keeps_its_identity(tmp_path: Path, stranger: Stranger) -> None:
    lr = torch.tensor(LR, dtype=torch.float64)
    callback = LearningRateScheduler(Cosine(), warmup=3)
    trainer = make_trainer(tmp_path, callback, stranger)
    trainer.fit(Tiny(lambda module: SGD(module.parameters(), lr=lr)))
    assert trainer.optimizers[0].param_groups[0]["lr"] is lr
    assert stranger.group() == expected(callback, 20)


def test_the_last_batch_may_be_smaller(tmp_path: Path, stranger: Stranger) -> None:
    data: torch.utils.data.DataLoader[Tensor] = torch.utils.data.DataLoader(Rows(7), batch_size=2)
    callback = LearningRateScheduler(Cosine())
    make_trainer(tmp_path, callback, stranger).fit(Tiny(), data)
    assert callback.run == RunLength(8, 4)
    assert stranger.group() == expected(callback, 8)
