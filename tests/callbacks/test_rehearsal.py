"""A driven schedule drawn before the run: the lrs are those that a real fit uses."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch.optim import Optimizer
from torch.optim import lr_scheduler as torch_schedulers
from torch.optim.lr_scheduler import LRScheduler

from lightning_lrsched import LearningRateScheduler, Plateau, RunLength, TorchScheduler, Warmup
from tests.callbacks.models import LR, Stranger, Tiny, make_trainer

EPOCHS, PER_EPOCH = 6, 10
RUN = RunLength(EPOCHS * PER_EPOCH, PER_EPOCH)


def nested(optimizer: Optimizer) -> LRScheduler:
    parts = [torch_schedulers.LinearLR(optimizer, 0.5, total_iters=2), torch_schedulers.ExponentialLR(optimizer, 0.7)]
    return torch_schedulers.ChainedScheduler(parts)


STEP_LR = partial(torch_schedulers.StepLR, step_size=2, gamma=0.5)
RESTARTS = partial(torch_schedulers.CosineAnnealingWarmRestarts, T_0=7, T_mult=2, eta_min=0.001)
CYCLIC = partial(torch_schedulers.CyclicLR, base_lr=0.01, max_lr=0.1, step_size_up=5, step_size_down=3)
FITS = [
    pytest.param(TorchScheduler(STEP_LR), None, id="by epoch"),
    pytest.param(TorchScheduler(STEP_LR), "1ep", id="by epoch, warmup of an epoch"),
    pytest.param(TorchScheduler(STEP_LR), 15, id="by epoch, warmup ends inside one"),
    pytest.param(TorchScheduler(STEP_LR), Warmup(14, "cosine", overlap=True), id="by epoch, overlap"),
    pytest.param(TorchScheduler(partial(torch_schedulers.MultiStepLR, milestones=[2, 4])), "5%", id="MultiStepLR"),
    pytest.param(TorchScheduler(partial(torch_schedulers.ExponentialLR, gamma=0.97), "step"), 7, id="by step"),
    pytest.param(TorchScheduler(RESTARTS, "step"), "10%", id="cycles"),
    pytest.param(
        TorchScheduler(partial(torch_schedulers.CosineAnnealingWarmRestarts, T_0=2)), 15, id="cycles by epoch"
    ),
    pytest.param(TorchScheduler(CYCLIC), Warmup(9, "exponential", start_factor=0.2), id="CyclicLR"),
    pytest.param(TorchScheduler(CYCLIC), Warmup(20, "saturating"), id="CyclicLR, saturating"),
    pytest.param(
        TorchScheduler(partial(torch_schedulers.OneCycleLR, max_lr=0.3, total_steps=40)), 5, id="past its end"
    ),
    pytest.param(TorchScheduler(nested), "1ep", id="nested"),
]


@pytest.mark.parametrize(("main", "warmup"), FITS)
def test_it_is_what_a_real_fit_uses(main: TorchScheduler, warmup: Any, tmp_path: Path, stranger: Stranger) -> None:
    fit = LearningRateScheduler(main, warmup=warmup)
    make_trainer(tmp_path, fit, stranger, max_epochs=EPOCHS).fit(Tiny())
    timeline = main.resolve(RUN, LR, warmup)
    assert timeline.total == len(stranger.group()) == EPOCHS * PER_EPOCH
    assert [timeline.lr(step, LR) for step in range(RUN.total_steps or 0)] == stranger.group()
    assert timeline.lr(np.arange(RUN.total_steps or 0), LR).tolist() == stranger.group()
    [scheduler] = fit.schedulers
    places = [scheduler.place(step) for step in range(RUN.total_steps or 0)]
    spans = [timeline.phase_at(step) for step in range(RUN.total_steps or 0)]
    assert [(span.name, span.start, span.cycle) for span in spans] == [(at.phase, at.start, at.cycle) for at in places]


def test_a_run_that_stops_inside_an_epoch(tmp_path: Path, stranger: Stranger) -> None:
    main = TorchScheduler(STEP_LR)
    make_trainer(tmp_path, LearningRateScheduler(main), stranger, max_epochs=None, max_steps=47).fit(Tiny())
    timeline = main.resolve(RunLength(47, PER_EPOCH), LR)
    assert [timeline.lr(step, LR) for step in range(47)] == stranger.group()


def test_the_last_cycle_can_be_cut_short() -> None:
    spans = list(TorchScheduler(RESTARTS, "step").resolve(RunLength(30), LR).spans())
    assert [(span.start, span.stop, span.cycle, span.phase.whole) for span in spans] == [
        (0, 7, 0, True),
        (7, 21, 1, True),
        (21, 30, 2, False),
    ]


def test_a_long_run_that_advances_by_epochs_is_run_by_epochs() -> None:
    calls = 0

    class Counted(torch_schedulers.StepLR):
        def get_lr(self) -> Any:
            nonlocal calls
            calls += 1
            return super().get_lr()

    timeline = TorchScheduler(lambda optimizer: Counted(optimizer, 30)).resolve(RunLength(10**9, 10**7), 1.0)
    assert timeline.lr(10**9 - 1, 1.0) == pytest.approx(1e-3)
    assert calls == 100


@pytest.mark.parametrize(
    ("main", "run", "message"),
    [
        pytest.param(TorchScheduler(STEP_LR), RunLength(None, 10), "the run has no known end", id="no end"),
        pytest.param(TorchScheduler(STEP_LR), RunLength(100), "steps per epoch .* unknown", id="no epochs"),
        pytest.param(
            TorchScheduler(STEP_LR, "step"), RunLength(10**9), "999,999,999 .* at most 10,000,000", id="too long"
        ),
        pytest.param(
            TorchScheduler(partial(torch_schedulers.CosineAnnealingLR, T_max=60)),
            RUN,
            "interval='step', or interval='epoch' to insist",
            id="another unit",
        ),
        pytest.param(
            TorchScheduler(partial(torch_schedulers.StepLR, step_size=0)), RUN, "ZeroDivisionError", id="torch fails"
        ),
        pytest.param(TorchScheduler(lambda optimizer: 5), RUN, "a torch LRScheduler", id="no scheduler"),  # type: ignore[arg-type, return-value]
        pytest.param(Plateau(factor=0.2), RUN, r"'val_loss'.*only training.*Step\('30ep', gamma=0\.2\)", id="plateau"),
        pytest.param(TorchScheduler(STEP_LR), "10ep", "RunLength", id="no run"),
    ],
)
def test_what_cannot_be_foretold_is_refused(main: TorchScheduler | Plateau, run: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        main.resolve(run, LR)


def test_a_warmup_that_fills_the_run_is_refused_as_in_the_fit() -> None:
    with pytest.raises(ValueError, match="warmup = '100%' does not fit the run: 60 steps of 60"):
        TorchScheduler(STEP_LR).resolve(RUN, LR, "100%")
