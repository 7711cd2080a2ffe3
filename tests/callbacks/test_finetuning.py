"""Callbacks that freeze layers, add their groups later and set lrs of their own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import BackboneFinetuning, BaseFinetuning, Callback
from torch import Tensor
from torch.optim import SGD, Optimizer

from lightning_lrsched import Cosine, LearningRateScheduler, Linear, Plan, RunLength, Step
from tests.callbacks.models import LR, Stranger, Tiny, expected, loader, make_trainer

both_orders = pytest.mark.parametrize("first", [True, False], ids=["other first", "ours first"])
TOLD = "set the lr of parameter group 1 to .* at the start of an epoch, and the plan says .*groups={1: None}"
PEAK = 0.01


class Transfer(Tiny):
    """A backbone, and a head that alone is given to the optimizer."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = torch.nn.Linear(1, 1)
        self.head = torch.nn.Linear(1, 1)

    def training_step(self, batch: Tensor, batch_idx: int) -> Any:
        return self.head(self.backbone(batch)).sum()

    def configure_optimizers(self) -> Optimizer:
        return SGD(self.head.parameters(), lr=LR)


def backbone(epoch: int = 1) -> BackboneFinetuning:
    return BackboneFinetuning(epoch, lambda _: 2.0, backbone_initial_lr=PEAK, should_align=False)


def ordered(first: bool, other: Callback, ours: LearningRateScheduler) -> list[Callback]:
    return [other, ours] if first else [ours, other]


@both_orders
def test_an_unfrozen_backbone_follows_the_plan_from_its_own_peak(
    tmp_path: Path, stranger: Stranger, first: bool
) -> None:
    callback = LearningRateScheduler(Cosine(), warmup=3)
    with pytest.warns(UserWarning, match=TOLD) as told:
        make_trainer(tmp_path, *ordered(first, backbone(), callback), stranger, max_epochs=4).fit(Transfer(), loader(5))
    assert [lrs[0] for lrs in stranger.lrs[0]] == expected(callback, 20)
    assert [lrs[1] for lrs in stranger.lrs[0][5:]] == expected(callback, 20, PEAK)[5:]
    assert sum("at the start of an epoch" in str(warning.message) for warning in told) == 1


@both_orders
def test_an_unfrozen_backbone_can_keep_its_own_lr(tmp_path: Path, stranger: Stranger, first: bool) -> None:
    callback = LearningRateScheduler(Cosine(), warmup=3, groups={1: None})
    make_trainer(tmp_path, *ordered(first, backbone(), callback), stranger, max_epochs=4).fit(Transfer(), loader(5))
    assert [lrs[0] for lrs in stranger.lrs[0]] == expected(callback, 20)
    # BackboneFinetuning doubles it at the start of each epoch after the one in which it adds the group.
    assert [lrs[1] for lrs in stranger.lrs[0][5:]] == [PEAK] * 5 + [2 * PEAK] * 5 + [4 * PEAK] * 5


@both_orders
def test_an_unfrozen_backbone_can_have_a_schedule_of_its_own(tmp_path: Path, stranger: Stranger, first: bool) -> None:
    callback = LearningRateScheduler(Cosine(), groups={1: Linear()})
    with pytest.warns(UserWarning, match=TOLD):
        make_trainer(tmp_path, *ordered(first, backbone(), callback), stranger, max_epochs=4).fit(Transfer(), loader(5))
    own = expected(Plan(Linear()).resolve(RunLength(20)), 20, PEAK)
    assert [lrs[0] for lrs in stranger.lrs[0]] == expected(callback, 20)
    assert [lrs[1] for lrs in stranger.lrs[0][5:]] == own[5:]


class AddsByName(BaseFinetuning):
    """Adds the backbone in the second epoch, under its name."""

    def freeze_before_training(self, pl_module: L.LightningModule) -> None:
        self.freeze(pl_module.backbone)

    def finetune_function(self, pl_module: L.LightningModule, epoch: int, optimizer: Optimizer) -> None:
        if epoch == 1:
            assert isinstance(pl_module, Transfer)
            self.make_trainable(pl_module.backbone)
            group = {"params": pl_module.backbone.parameters(), "lr": PEAK, "name": "backbone"}
            optimizer.add_param_group(group)


@both_orders
def test_a_group_that_is_added_later_can_be_scheduled_by_name(
    tmp_path: Path, stranger: Stranger, first: bool, caplog: pytest.LogCaptureFixture
) -> None:
    plans: dict[str | int, Any] = {"backbone": Plan(Linear())}
    own = expected(Plan(Linear()).resolve(RunLength(20)), 20, PEAK)

    def callback() -> LearningRateScheduler:
        return LearningRateScheduler(Cosine(), warmup=3, groups=plans, total_steps=20)

    with caplog.at_level("INFO"):
        trainer = make_trainer(tmp_path, *ordered(first, AddsByName(), callback()), stranger, max_epochs=4)
        trainer.fit(Transfer(), loader(5))
    assert "groups: 'backbone' is not there yet; SGD has 0 so far" in caplog.text
    assert [lrs[0] for lrs in stranger.lrs[0]] == expected(Plan(Cosine(), 3).resolve(RunLength(20)), 20)
    assert [lrs[1] for lrs in stranger.lrs[0][5:]] == own[5:]

    half, rest = tmp_path / "half.ckpt", Stranger()
    begun = make_trainer(tmp_path, *ordered(first, AddsByName(), callback()), max_epochs=3)
    begun.fit(Transfer(), loader(5))
    begun.save_checkpoint(half)
    resumed = make_trainer(tmp_path, *ordered(first, AddsByName(), callback()), rest, max_epochs=4)
    resumed.fit(Transfer(), loader(5), ckpt_path=half)
    assert rest.lrs[0] == stranger.lrs[0][15:]


def test_a_name_that_never_comes_is_told_when_the_fit_ends(tmp_path: Path) -> None:
    callback = LearningRateScheduler(Cosine(), groups={"backbon": None})
    with pytest.warns(UserWarning, match=r"no parameter group with the name 'backbon' .* SGD has 0, 'backbone'\."):
        make_trainer(tmp_path, AddsByName(), callback, max_epochs=2).fit(Transfer(), loader(5))


class FreezesAndAdds(BaseFinetuning):
    """Adds the backbone in the second epoch, and freezes the head in the third."""

    def freeze_before_training(self, pl_module: L.LightningModule) -> None:
        self.freeze(pl_module.backbone)

    def finetune_function(self, pl_module: L.LightningModule, epoch: int, optimizer: Optimizer) -> None:
        if epoch == 1:
            self.unfreeze_and_add_param_group(pl_module.backbone, optimizer, lr=PEAK)
        if epoch == 2:
            self.freeze(pl_module.head)


@both_orders
def test_groups_that_are_added_and_frozen_keep_their_place_in_the_plan(
    tmp_path: Path, stranger: Stranger, first: bool
) -> None:
    callback = LearningRateScheduler(Cosine(), warmup=3)
    make_trainer(tmp_path, *ordered(first, FreezesAndAdds(), callback), stranger, max_epochs=4).fit(
        Transfer(), loader(5)
    )
    assert [lrs[0] for lrs in stranger.lrs[0]] == expected(callback, 20)
    assert [lrs[1] for lrs in stranger.lrs[0][5:]] == expected(callback, 20, PEAK)[5:]


@pytest.mark.parametrize("epochs", [1, 3])
@both_orders
def test_finetuning_resumes(tmp_path: Path, first: bool, epochs: int) -> None:
    plan: dict[str, Any] = {"main": Cosine(), "warmup": 3, "total_steps": 20}
    whole, rest = Stranger(), Stranger()

    def leg(stranger: Stranger, epochs: int, path: Path | None = None) -> L.Trainer:
        callbacks = ordered(first, FreezesAndAdds(), LearningRateScheduler(**plan))
        trainer = make_trainer(tmp_path, *callbacks, stranger, max_epochs=epochs)
        trainer.fit(Transfer(), loader(5), ckpt_path=path)
        return trainer

    leg(whole, 4)
    leg(Stranger(), epochs).save_checkpoint(tmp_path / "half.ckpt")
    leg(rest, 4, tmp_path / "half.ckpt")
    assert rest.lrs[0] == whole.lrs[0][5 * epochs :]


def test_lrs_that_a_module_sets_at_the_start_of_an_epoch_are_undone_and_told_once(
    tmp_path: Path, stranger: Stranger
) -> None:
    class Sets(Tiny):
        def on_train_epoch_start(self) -> None:
            self.trainer.optimizers[0].param_groups[0]["lr"] = 0.7

    callback = LearningRateScheduler(Step("1ep"))
    with pytest.warns(UserWarning, match=r"group 0 to 0\.7 at the start of an epoch, and the plan says 0\.1") as told:
        make_trainer(tmp_path, callback, stranger, max_epochs=3).fit(Sets(), loader(4))
    assert stranger.group() == expected(callback, 12)
    assert sum("at the start of an epoch" in str(warning.message) for warning in told) == 1


@pytest.mark.filterwarnings("ignore:.*set the lr of parameter group 1")
@both_orders
def test_a_group_that_joins_below_the_floor_holds_its_lr_also_after_a_resume(tmp_path: Path, first: bool) -> None:
    """The floor is below the lr that the run began with, so the plan is no mistake."""

    def leg(stranger: Stranger, epochs: int, path: Path | None = None) -> L.Trainer:
        callback = LearningRateScheduler(Cosine(eta_min=2 * PEAK), warmup=3, total_steps=20)
        trainer = make_trainer(tmp_path, *ordered(first, FreezesAndAdds(), callback), stranger, max_epochs=epochs)
        trainer.fit(Transfer(), loader(5), ckpt_path=path)
        return trainer

    told = r"group 1 joined with lr 0\.01, below the plan's eta_min = 0\.02: it keeps its lr"
    whole, rest = Stranger(), Stranger()
    with pytest.warns(UserWarning, match=told) as warned:
        leg(whole, 4)
    assert sum("joined with lr" in str(warning.message) for warning in warned) == 1
    plan = Plan(Cosine(eta_min=2 * PEAK), 3).resolve(RunLength(20))
    assert [lrs[0] for lrs in whole.lrs[0]] == expected(plan, 20)
    assert [lrs[1] for lrs in whole.lrs[0][5:]] == [PEAK] * 15
    with pytest.warns(UserWarning, match=told):
        leg(Stranger(), 3).save_checkpoint(tmp_path / "half.ckpt")
    with pytest.warns(UserWarning, match=told):
        leg(rest, 4, tmp_path / "half.ckpt")
    assert rest.lrs[0] == whole.lrs[0][15:]


def test_a_floor_that_is_new_in_a_resume_is_refused_for_the_groups_that_the_run_began_with(tmp_path: Path) -> None:
    first = make_trainer(tmp_path, LearningRateScheduler(Cosine(), total_steps=20), max_epochs=1)
    first.fit(Tiny())
    first.save_checkpoint(tmp_path / "half.ckpt")
    resumed = make_trainer(tmp_path, LearningRateScheduler(Cosine(eta_min=0.5), total_steps=20))
    with (
        pytest.warns(UserWarning, match=r"The plan is not the one of the checkpoint"),
        pytest.raises(MisconfigurationException, match=r"eta_min = 0\.5 .*at most the base lr 0\.1"),
    ):
        resumed.fit(Tiny(), ckpt_path=tmp_path / "half.ckpt")


@pytest.mark.parametrize("accumulate", [1, 2])
def test_an_lr_that_a_module_sets_after_every_step_is_told_once_and_not_said_to_be_undone(
    tmp_path: Path, accumulate: int
) -> None:
    class WarmsUp(Tiny):
        def optimizer_step(
            self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Callable[[], Any] | None = None
        ) -> None:
            optimizer.step(closure=optimizer_closure)
            for group in optimizer.param_groups:
                group["lr"] = 0.7

    callback = LearningRateScheduler(Step("1ep"))
    with pytest.warns(UserWarning, match="set the lr of parameter group 0") as told:
        make_trainer(tmp_path, callback, max_epochs=3, accumulate_grad_batches=accumulate).fit(WarmsUp(), loader(8))
    messages = " ".join(str(warning.message) for warning in told)
    assert messages.count("to 0.7 after a step, and the plan says 0.1: the next step uses what was set") == 1
    assert messages.count("at the start of an epoch, and the plan says 0.01, which is put back now") == 1
