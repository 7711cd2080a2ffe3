"""Cycles begin and end by real steps: what a scaler skips, or what only makes an optimizer's states, is none."""

import logging
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import pytest
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict
from torch.optim import SGD
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts

from lightning_lrsched import SGDR, CycleCheckpoint, LearningRateScheduler, TorchScheduler
from tests.callbacks.interruptions import SavesAt
from tests.callbacks.models import LR, Stranger, Tiny, expected, loader, make_trainer
from tests.callbacks.test_cycle_checkpoint import weight_in
from tests.callbacks.test_real_steps import scaled

RESTARTS = partial(CosineAnnealingWarmRestarts, T_0=4)


class Overflows(Tiny):
    """Has infinite gradients at some batches, which a GradScaler skips; keeps the weight after each real step."""

    skipped: tuple[int, ...] = (1, 2, 6, 11, 12, 18)

    def __init__(self, *, fused: bool) -> None:
        super().__init__(lambda module: SGD(module.parameters(), lr=LR, fused=fused))
        self.after = [0.0]

    def training_step(self, batch: Tensor, batch_idx: int) -> Any:
        loss = super().training_step(batch, batch_idx)
        return loss * float("inf") if self.batches in self.skipped else loss

    def on_train_batch_end(self, outputs: Any, batch: Tensor, batch_idx: int) -> None:
        if self.batches not in self.skipped:
            self.after.append(self.weight.item())


SOURCES: list[Any] = [
    pytest.param([LearningRateScheduler(SGDR(4))], {}, id="SGDR"),
    pytest.param([LearningRateScheduler(TorchScheduler(RESTARTS, "step"))], {}, id="torch's, driven"),
    pytest.param([LearningRateScheduler(SGDR(4))], {"every": 4}, id="every"),
    pytest.param([], {"every": 4}, id="every, without a schedule"),
]


@pytest.mark.parametrize("fused", [False, True], ids=["plain", "fused"])
@pytest.mark.parametrize(("plan", "given"), SOURCES)
def test_updates_that_a_scaler_skips_move_no_boundary(
    tmp_path: Path, plan: list[Callback], given: dict[str, Any], fused: bool
) -> None:
    checkpoint = CycleCheckpoint("val_loss", validate_at_end=True, **given)
    module = Overflows(fused=fused)
    settings: dict[str, Any] = {"plugins": [scaled()], "val_check_interval": 3}
    make_trainer(tmp_path, *plan, checkpoint, **settings).fit(module)
    assert len(module.after) == 15  # 20 batches, 6 of them skipped
    ends = [row.end for row in checkpoint.finished_cycles if row.end is not None]
    assert [(end.step, row.complete) for end, row in zip(ends, checkpoint.finished_cycles, strict=True)] == [
        *((4, True), (8, True), (12, True), (14, False))
    ]
    kept = [one for row in checkpoint.finished_cycles for one in row.kept]
    assert [weight_in(one.path) for one in kept] == [module.after[one.step] for one in kept]
    assert all(end.score is not None for end in ends[:3])


class SavesStates(Callback):
    """Asks for the optimizer's states as FSDP2 does at each save, where SGD has none and no gradient is left."""

    def __init__(self) -> None:
        self.asked = 0

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        trainer.optimizers[0].zero_grad()
        get_optimizer_state_dict(pl_module, trainer.optimizers[0])
        self.asked += 1


@pytest.mark.parametrize("given", [{}, {"every": 5}], ids=["with a plan", "without"])
def test_the_step_that_makes_states_for_a_save_is_none(
    tmp_path: Path, stranger: Stranger, given: dict[str, Any]
) -> None:
    plan = [] if given else [LearningRateScheduler(SGDR(5))]
    saves, checkpoint = SavesStates(), CycleCheckpoint("val_loss", keep="end", **given)
    make_trainer(tmp_path, *plan, stranger, saves, checkpoint, val_check_interval=2).fit(Tiny(), loader(10))
    assert len(stranger.group()) == 20 + saves.asked == 30  # torch steps once for each of them, with lr 0
    used = [lr for lr in stranger.group() if lr != 0.0]
    assert used == (expected(plan[0], 20) if plan else [LR] * 20)
    assert [row.end.step for row in checkpoint.finished_cycles if row.end] == [5, 10, 15, 20]


@pytest.mark.parametrize(
    ("skipped", "plan", "complete"),
    [
        ((1, 2), SGDR("1ep"), True),
        ((1, 2, 3), SGDR("1ep"), False),  # more than a twentieth of the cycle
        ((1, 2), SGDR(60), False),  # the run cuts it short anyway
    ],
)
@pytest.mark.parametrize("save_partial", [True, False])
def test_a_last_cycle_that_lacks_only_what_a_scaler_skipped_is_complete(
    tmp_path: Path, skipped: tuple[int, ...], plan: SGDR, complete: bool, save_partial: bool
) -> None:
    checkpoint, module = CycleCheckpoint("val_loss", keep="end", save_partial=save_partial), Overflows(fused=False)
    module.skipped = skipped
    make_trainer(tmp_path, LearningRateScheduler(plan), checkpoint, plugins=[scaled()]).fit(module, loader(50))
    last = checkpoint.finished_cycles[-1]
    assert len(checkpoint.finished_cycles) == (2 if complete or save_partial else 1)
    assert last.complete == (complete or not save_partial)
    assert last.end is not None
    if complete:
        assert last.end.step == 98
        assert last.end.score == pytest.approx(module.scores[-1][1])
        assert checkpoint.end_model_paths[-1] == last.end.path


@pytest.mark.parametrize("skipped", [(), (1, 2)])
def test_an_end_that_skipped_updates_push_off_its_validation_is_told_once(
    tmp_path: Path, skipped: tuple[int, ...], caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint, module = CycleCheckpoint("val_loss", keep="end"), Overflows(fused=False)
    module.skipped = skipped
    plan = LearningRateScheduler(SGDR("1ep"))
    with caplog.at_level(logging.INFO):
        make_trainer(tmp_path, plan, checkpoint, plugins=[scaled()], max_epochs=4).fit(module)
    told = [record.getMessage() for record in caplog.records if "updates were skipped" in record.getMessage()]
    assert len(told) == bool(skipped)
    assert all("2 updates were skipped" in text and "validate_at_end=True" in text for text in told)
    measured = [row.end.score is not None for row in checkpoint.finished_cycles if row.end and row.complete]
    assert measured == ([False] * 3 if skipped else [True] * 4)


@pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before the epoch")
def test_one_that_is_added_on_a_resume_counts_on_from_the_trainers_step(tmp_path: Path) -> None:
    path = tmp_path / "saved" / "middle.ckpt"
    make_trainer(tmp_path, SavesAt(13, path)).fit(Tiny())
    checkpoint, told = CycleCheckpoint(every=8), "holds no state of this CycleCheckpoint.* from step 13, .* in cycle 1"
    with pytest.warns(UserWarning, match=told):
        make_trainer(tmp_path, checkpoint, max_epochs=3).fit(Tiny(), ckpt_path=path, weights_only=True)
    ends = [row.end for row in checkpoint.finished_cycles if row.end is not None]
    assert [(end.step, row.cycle, row.complete) for end, row in zip(ends, checkpoint.finished_cycles, strict=True)] == [
        *((16, 1, True), (24, 2, True), (30, 3, False))
    ]
    assert [weight_in(end.path) for end in ends] == pytest.approx([-LR * end.step for end in ends])
