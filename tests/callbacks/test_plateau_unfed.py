"""A Plateau in a fit that never validates says so before the first step, and in no other."""

import re
import warnings
from pathlib import Path
from typing import Any

import lightning as L
import pytest

from lightning_lrsched import LearningRateScheduler, Plateau, TorchScheduler
from tests.callbacks.models import Tiny, make_trainer
from tests.callbacks.test_main_kinds import step_lr

TOLD = r"Plateau: this fit does not validate, so val_loss is never measured and the lr is never lowered.*LearningRate"


class Unvalidated(Tiny):
    """Has neither a validation step nor a loader for it."""

    validation_step = L.LightningModule.validation_step  # type: ignore[assignment]
    val_dataloader = L.LightningModule.val_dataloader


@pytest.mark.parametrize("given", [{}, {"max_epochs": 3}])
def test_a_fit_without_validation_is_told_once(given: dict[str, Any], tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, LearningRateScheduler(Plateau(patience=0)), **given)
    with pytest.warns(UserWarning, match=TOLD) as told:
        trainer.fit(Unvalidated())
    assert len([each for each in told if "Plateau" in str(each.message)]) == 1


def test_nothing_is_told_where_nothing_waits_for_a_metric(tmp_path: Path) -> None:
    make_trainer(tmp_path, LearningRateScheduler(TorchScheduler(step_lr))).fit(Unvalidated())


def test_nothing_is_told_in_a_smoke_test(tmp_path: Path) -> None:
    make_trainer(tmp_path, LearningRateScheduler(Plateau()), fast_dev_run=True).fit(Unvalidated())


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({}, id="each epoch"),
        pytest.param({"check_val_every_n_epoch": 2}, id="the last epoch"),
        pytest.param({"check_val_every_n_epoch": 3}, id="beyond the epochs"),
        pytest.param({"limit_val_batches": 0}, id="no batches"),
        pytest.param({"val_check_interval": 4, "max_steps": 4}, id="inside the epoch"),
        pytest.param({"val_check_interval": 5, "max_steps": 4}, id="beyond the steps"),
        pytest.param({"max_steps": 9}, id="a step before the epoch ends"),
        pytest.param({"max_steps": 10}, id="the step that ends the epoch"),
        pytest.param({"max_steps": 3, "accumulate_grad_batches": 4}, id="steps under accumulation"),
        pytest.param({"max_steps": 2, "accumulate_grad_batches": 4}, id="too few under accumulation"),
        pytest.param({"check_val_every_n_epoch": None, "val_check_interval": 20}, id="across epochs"),
        pytest.param({"check_val_every_n_epoch": None, "val_check_interval": 21}, id="beyond the batches"),
    ],
)
def test_it_is_told_just_where_no_validation_comes(given: dict[str, Any], tmp_path: Path) -> None:
    module = Tiny()
    trainer = make_trainer(tmp_path, LearningRateScheduler(Plateau()), **given)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        trainer.fit(module)
    assert any(re.search(TOLD, str(each.message)) for each in told) == (not module.scores)
