"""Main schedules that torch drives: how they are written."""

from functools import partial
from typing import Any

import pytest
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, StepLR

from lightning_lrsched import Plateau, TorchScheduler


def halves(optimizer: Optimizer) -> LRScheduler:
    return StepLR(optimizer, 30, gamma=0.5)


def tenth(step: int) -> float:
    return 0.1


class Makes:
    def __call__(self, optimizer: Optimizer) -> LRScheduler:
        return halves(optimizer)


def made_by(cls: type, context: object, **given: Any) -> LRScheduler:
    """Stand where LightningCLI's own function stands in the partial that it makes of a class in YAML."""
    raise NotImplementedError


@pytest.mark.parametrize(
    ("schedule", "written"),
    [
        (TorchScheduler(halves), "TorchScheduler(halves)"),
        (TorchScheduler(halves, "step"), "TorchScheduler(halves, interval='step')"),
        (TorchScheduler(lambda optimizer: StepLR(optimizer, 30)), "TorchScheduler(<lambda>)"),
        (TorchScheduler(Makes()), "TorchScheduler(Makes)"),
        (TorchScheduler(partial(StepLR, step_size=30)), "TorchScheduler(partial(StepLR, step_size=30))"),
        (
            TorchScheduler(partial(made_by, object(), StepLR, step_size=3)),  # type: ignore[arg-type]
            "TorchScheduler(partial(StepLR, step_size=3))",
        ),
        (
            TorchScheduler(partial(LambdaLR, lr_lambda=[tenth])),
            "TorchScheduler(partial(LambdaLR, lr_lambda=[<function tenth>]))",
        ),
        (Plateau(patience=3), "Plateau(patience=3)"),
    ],
)
def test_a_schedule_is_written_without_what_differs_between_processes(schedule: object, written: str) -> None:
    assert repr(schedule) == written
