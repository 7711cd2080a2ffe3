"""The tracker's auditor: an lr that something else has set is a warning, once, and never the end of a training."""

from pathlib import Path

import pytest

from lightning_lrsched import Cosine, LearningRateScheduler, MLflowTracker
from tests.callbacks.models import Stranger, Tiny, make_trainer
from tests.callbacks.test_audit import Meddles


def fit(folder: Path, uri: str, *, audit: bool) -> list[float]:
    stranger = Stranger()
    tracker = MLflowTracker(uri) if audit else MLflowTracker(uri, audit=False)
    callbacks = [LearningRateScheduler(Cosine(), warmup=4), tracker, Meddles((7, 12)), stranger]
    make_trainer(folder, *callbacks).fit(Tiny())
    return stranger.group()


def test_an_lr_that_a_callback_sets_is_a_warning_once(tmp_path: Path, uri: str) -> None:
    with pytest.warns(UserWarning, match="Real step 7 used lr 0.7 in parameter group 0, and the plan says") as told:
        lrs = fit(tmp_path, uri, audit=True)
    assert sum("Real step" in str(one.message) for one in told) == 1
    assert len(lrs) == 20


def test_the_auditor_can_be_left_out(tmp_path: Path, uri: str, recwarn: pytest.WarningsRecorder) -> None:
    assert fit(tmp_path, uri, audit=False)[7] == 0.7
    assert not [one for one in recwarn if "Real step" in str(one.message)]
