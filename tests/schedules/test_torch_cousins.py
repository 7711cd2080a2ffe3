"""Every schedule against the torch scheduler of the same idea, stepped, over drawn parameters."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim import SGD
from torch.optim import lr_scheduler as of

from lightning_lrsched import (
    SGDR,
    Constant,
    Cosine,
    Linear,
    MultiStep,
    OneCycle,
    Plan,
    RunLength,
    Schedule,
    Step,
    Warmup,
)
from tests.strategies import milestone_lists

BASE_LR = 0.1
Make = Callable[[torch.optim.Optimizer], of.LRScheduler]
sizes = st.integers(1, 40)
factors = st.floats(0.01, 1.0)
floors = st.floats(0.0, 0.09)


def stepped(make: Make, count: int) -> list[float]:
    """Return the lrs that ``count`` optimizer steps use under a torch scheduler."""
    optimizer = SGD([torch.nn.Parameter(torch.zeros(1))], lr=BASE_LR, momentum=0.9)
    scheduler = make(optimizer)
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SequentialLR calls its schedulers in a way that torch itself deprecates
        for t in range(count):
            found.append(float(optimizer.param_groups[0]["lr"]))
            optimizer.step()
            if t + 1 < count:
                scheduler.step()
    return found


def agree(plan: Plan, make: Make, count: int, total: int | None = None) -> None:
    """Check that a plan and a torch scheduler use the same lrs."""
    drawn = plan.resolve(RunLength(total)).lr(np.arange(count), BASE_LR)
    np.testing.assert_allclose(drawn, stepped(make, count), rtol=1e-9, atol=1e-12 * BASE_LR)


@given(size=sizes, gamma=factors)
def test_step(size: int, gamma: float) -> None:
    agree(Plan(Step(size, gamma)), lambda o: of.StepLR(o, size, gamma), 100)


@given(milestones=milestone_lists(), gamma=factors)
def test_multi_step(milestones: list[int], gamma: float) -> None:
    agree(Plan(MultiStep(milestones, gamma)), lambda o: of.MultiStepLR(o, milestones, gamma), 220)


@given(factor=factors, size=sizes)
def test_constant(factor: float, size: int) -> None:
    agree(Plan(Constant(factor, size)), lambda o: of.ConstantLR(o, factor, size), 60)


@given(start=factors, end=st.floats(0.0, 1.0), size=sizes)
def test_linear(start: float, end: float, size: int) -> None:
    plan = Plan(Linear(size, start_factor=start, end_factor=end))
    agree(plan, lambda o: of.LinearLR(o, start, end, size), 60)


@given(size=sizes, floor=floors)
def test_cosine(size: int, floor: float) -> None:
    agree(Plan(Cosine(size, floor)), lambda o: of.CosineAnnealingLR(o, size, floor), size + 1, size)


@given(size=st.integers(1, 20), floor=floors)
def test_periodic_cosine(size: int, floor: float) -> None:
    agree(Plan(Cosine(size, floor, periodic=True)), lambda o: of.CosineAnnealingLR(o, size, floor), 3 * size)


@given(first=sizes, growth=st.integers(1, 4), floor=floors)
def test_warm_restarts(first: int, growth: int, floor: float) -> None:
    agree(
        Plan(SGDR(first, growth, eta_min=floor)),
        lambda o: of.CosineAnnealingWarmRestarts(o, first, growth, floor),
        200,
        200 + first,
    )


@given(
    total=st.integers(20, 120),
    params=st.fixed_dictionaries(
        {
            "pct_start": st.floats(0.1, 0.45),
            "anneal_strategy": st.sampled_from(["cos", "linear"]),
            "three_phase": st.booleans(),
            "div_factor": st.floats(1.0, 50.0),
            "final_div_factor": st.floats(1.0, 1e5),
        }
    ),
)
def test_one_cycle(total: int, params: dict[str, Any]) -> None:
    agree(Plan(OneCycle(**params)), lambda o: of.OneCycleLR(o, BASE_LR, total, **params), total, total)


MAINS = [
    pytest.param(Step(7, 0.5), lambda o: of.StepLR(o, 7, 0.5), id="step"),
    pytest.param(MultiStep([5, 9]), lambda o: of.MultiStepLR(o, [5, 9]), id="multi-step"),
    pytest.param(Cosine(30, 0.01), lambda o: of.CosineAnnealingLR(o, 30, 0.01), id="cosine"),
    pytest.param(SGDR(6, 2), lambda o: of.CosineAnnealingWarmRestarts(o, 6, 2), id="sgdr"),
    pytest.param(Linear(30, end_factor=0.1), lambda o: of.LinearLR(o, 1.0, 0.1, 30), id="linear"),
]


@pytest.mark.parametrize(("main", "make"), MAINS)
@given(steps=st.integers(1, 20), start=st.floats(0.01, 0.9))
def test_linear_warmup_in_front(main: Schedule, make: Make, steps: int, start: float) -> None:
    def sequential(optimizer: torch.optim.Optimizer) -> of.LRScheduler:
        warmup = of.LinearLR(optimizer, start, total_iters=steps)
        return of.SequentialLR(optimizer, [warmup, make(optimizer)], [steps])

    agree(Plan(main, Warmup(steps, start_factor=start)), sequential, steps + 30)


@pytest.mark.parametrize(("main", "make"), MAINS)
@given(steps=st.integers(1, 20), factor=st.floats(0.01, 0.9))
def test_constant_warmup_in_front(main: Schedule, make: Make, steps: int, factor: float) -> None:
    def sequential(optimizer: torch.optim.Optimizer) -> of.LRScheduler:
        warmup = of.ConstantLR(optimizer, factor, steps)
        return of.SequentialLR(optimizer, [warmup, make(optimizer)], [steps])

    agree(Plan(main, Warmup(steps, "constant", factor)), sequential, steps + 30)
