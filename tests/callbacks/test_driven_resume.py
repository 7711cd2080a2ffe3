"""A resume with another torch scheduler: what is told, and what is used, is the new one."""

import logging
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from torch.optim import SGD
from torch.optim.lr_scheduler import ExponentialLR, StepLR

from lightning_lrsched import LearningRateScheduler, Plateau, TorchScheduler
from tests.callbacks.models import LR, Stranger, Tiny, make_trainer
from tests.callbacks.test_resume_changed import saved

OF_THE_RUN = LearningRateScheduler(TorchScheduler(partial(StepLR, step_size=1, gamma=0.5)))


def at(lr: float) -> Tiny:
    return Tiny(lambda module: SGD(module.parameters(), lr=lr))


def resumed(folder: Path, stranger: Stranger, plan: LearningRateScheduler, module: Tiny, epochs: int = 3) -> None:
    with pytest.warns(UserWarning, match="The plan is not the one of the checkpoint; the new one is used"):
        make_trainer(folder, plan, stranger, max_epochs=epochs).fit(module, ckpt_path=folder / "saved.ckpt")


def test_another_class_is_told_with_its_own_base_lr(
    tmp_path: Path, stranger: Stranger, caplog: pytest.LogCaptureFixture
) -> None:
    saved(tmp_path, OF_THE_RUN, module=at(0.5))
    other = LearningRateScheduler(TorchScheduler(partial(ExponentialLR, gamma=0.5)))
    with caplog.at_level(logging.INFO):
        resumed(tmp_path, stranger, other, at(LR))
    assert "base lr 0.1; 30 steps, 10 per epoch; goes on at step 10" in caplog.text
    assert "base lr 0.5" not in caplog.text.partition("Restored all states")[2]
    assert stranger.group() == [LR / 2] * 10 + [LR / 4] * 10


def test_the_same_class_with_other_arguments_uses_them(tmp_path: Path, stranger: Stranger) -> None:
    saved(tmp_path, OF_THE_RUN)
    plan = LearningRateScheduler(TorchScheduler(partial(StepLR, step_size=2, gamma=0.5)))
    resumed(tmp_path, stranger, plan, Tiny(), epochs=5)
    assert stranger.group() == [LR] * 10 + [LR / 2] * 20 + [LR / 4] * 10


def test_a_plateau_with_another_factor_goes_on_from_the_lr_that_it_reached(tmp_path: Path, stranger: Stranger) -> None:
    worse: Any = float
    saved(tmp_path, LearningRateScheduler(Plateau(patience=0, factor=0.5)), module=Tiny(score=worse), epochs=2)
    plan = LearningRateScheduler(Plateau(patience=0, factor=0.1))
    resumed(tmp_path, stranger, plan, Tiny(score=worse), epochs=4)
    assert stranger.group() == pytest.approx([LR / 2] * 10 + [LR / 20] * 10)
