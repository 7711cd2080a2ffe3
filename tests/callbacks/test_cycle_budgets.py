"""What a fit is told of budgets that end with a cycle."""

import logging
from functools import partial
from pathlib import Path

import pytest
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts

from lightning_lrsched import SGDR, Cosine, CycleCheckpoint, LearningRateScheduler, TorchScheduler
from tests.callbacks.models import Tiny, loader, make_trainer


@pytest.mark.parametrize(
    ("scheduler", "every", "share"),
    [
        (LearningRateScheduler(SGDR("4ep", T_mult=2), warmup="5%"), None, "5%"),
        (LearningRateScheduler(SGDR(0.3)), None, "30%"),
        (LearningRateScheduler(TorchScheduler(partial(CosineAnnealingWarmRestarts, T_0=4)), warmup=0.1), None, "10%"),
        (LearningRateScheduler(Cosine(), warmup="5%"), "30%", "30%"),
    ],
    ids=["warmup", "cycles", "warmup of torch's", "every"],
)
def test_no_budget_is_told_where_cycles_move_with_it(
    scheduler: LearningRateScheduler, every: str | None, share: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """They would end elsewhere in a run of that budget."""
    with caplog.at_level(logging.INFO):
        make_trainer(tmp_path, scheduler, CycleCheckpoint(every=every), max_epochs=15).fit(Tiny(), loader(2))
    assert f"short. Where its cycles end depends on how long the run is, because '{share}' is a share" in caplog.text
    assert "Budgets" not in caplog.text


def test_a_share_after_the_cycles_moves_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    plan = LearningRateScheduler(Cosine(), cooldown="10%")
    with caplog.at_level(logging.INFO):
        make_trainer(tmp_path, plan, CycleCheckpoint(every="4ep"), max_epochs=15).fit(Tiny(), loader(2))
    assert "Budgets that end with a cycle: max_epochs = 4, 8, 12, 16" in caplog.text


def test_a_single_end_that_is_not_measured_is_told_as_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    callbacks = LearningRateScheduler(SGDR(periods=[13, 7])), CycleCheckpoint("val_loss")
    with caplog.at_level(logging.INFO):
        make_trainer(tmp_path, *callbacks, max_epochs=2).fit(Tiny())
    assert "at 1 cycle end (after step 13), so it has no val_loss of its own." in caplog.text
