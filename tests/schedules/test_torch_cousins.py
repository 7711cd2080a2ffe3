"""Every schedule against the torch scheduler of the same idea, stepped, over drawn parameters."""

import math
import warnings
from collections.abc import Callable
from functools import partial
from itertools import accumulate
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
    Cyclic,
    Exponential,
    Lambda,
    Linear,
    Multiplicative,
    MultiStep,
    OneCycle,
    Plan,
    Polynomial,
    RunLength,
    Schedule,
    Sequence,
    Step,
    Warmup,
)

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


@given(milestones=st.lists(st.integers(1, 200), min_size=1, max_size=6).map(sorted), gamma=factors)
def test_multi_step(milestones: list[int], gamma: float) -> None:
    agree(Plan(MultiStep(milestones, gamma)), lambda o: of.MultiStepLR(o, milestones, gamma), 220)


@given(factor=factors, size=sizes)
def test_constant(factor: float, size: int) -> None:
    agree(Plan(Constant(factor, size)), lambda o: of.ConstantLR(o, factor, size), 60)


def test_constant_of_zero() -> None:
    # torch divides by the factor when it ends, so only its first steps can be compared.
    agree(Plan(Constant(0.0, 10)), lambda o: of.ConstantLR(o, 0.0, 10), 10)
    assert Plan(Constant(0.0, 10)).resolve(RunLength()).lr(10, BASE_LR) == BASE_LR


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


@given(size=sizes, power=st.floats(0.3, 4.0))
def test_polynomial(size: int, power: float) -> None:
    agree(Plan(Polynomial(size, power)), lambda o: of.PolynomialLR(o, size, power), 60)


@given(gamma=st.floats(0.5, 1.05))
def test_exponential(gamma: float) -> None:
    agree(Plan(Exponential(gamma)), lambda o: of.ExponentialLR(o, gamma), 60)


def _power(base: float, step: int) -> float:
    return math.pow(base, step)


@given(base=st.floats(0.5, 1.05))
def test_lambda(base: float) -> None:
    function = partial(_power, base)
    agree(Plan(Lambda(function)), lambda o: of.LambdaLR(o, function), 60)


@given(base=st.floats(0.5, 0.999))
def test_multiplicative(base: float) -> None:
    function = partial(_power, base)
    agree(Plan(Multiplicative(function)), lambda o: of.MultiplicativeLR(o, function), 25)


@given(
    up=sizes,
    down=st.none() | sizes,
    ratio=st.floats(0.0, 0.9),
    mode=st.sampled_from(["triangular", "triangular2", "exp_range"]),
    gamma=st.floats(0.8, 1.0),
)
def test_cyclic(up: int, down: int | None, ratio: float, mode: str, gamma: float) -> None:
    used = gamma if mode == "exp_range" else 1.0
    main = Cyclic(up, ratio, step_size_down=down, mode=mode, gamma=used, cycle_momentum=True)

    def make(optimizer: torch.optim.Optimizer) -> of.LRScheduler:
        return of.CyclicLR(optimizer, ratio * BASE_LR, BASE_LR, up, down, mode, used)  # type: ignore[arg-type]

    agree(Plan(main), make, 150)


def _harmonic(number: float) -> float:
    return 1.0 / number


@given(up=sizes, ratio=st.floats(0.0, 0.9))
def test_cyclic_with_a_function_of_its_own(up: int, ratio: float) -> None:
    def make(optimizer: torch.optim.Optimizer) -> of.LRScheduler:
        return of.CyclicLR(optimizer, ratio * BASE_LR, BASE_LR, up, scale_fn=_harmonic, scale_mode="cycle")

    agree(Plan(Cyclic(up, ratio, scale_fn=_harmonic, cycle_momentum=True)), make, 150)


SEQUENTIAL: dict[str, tuple[Callable[[int, float], Schedule], Callable[[Any, int, float], of.LRScheduler]]] = {
    "constant": (lambda n, f: Constant(f, n), lambda o, n, f: of.ConstantLR(o, f, n)),
    "linear": (
        lambda n, f: Linear(n, start_factor=f, end_factor=1.0),
        lambda o, n, f: of.LinearLR(o, f, 1.0, n),
    ),
    "polynomial": (lambda n, f: Polynomial(n, 1 + f), lambda o, n, f: of.PolynomialLR(o, n, 1 + f)),
    "exponential": (lambda n, f: Exponential(0.5 + f / 2), lambda o, n, f: of.ExponentialLR(o, 0.5 + f / 2)),
    "cosine": (lambda n, f: Cosine(n, periodic=True), lambda o, n, f: of.CosineAnnealingLR(o, n)),
    "restarts": (lambda n, f: SGDR(n), lambda o, n, f: of.CosineAnnealingWarmRestarts(o, n)),
    "lambda": (lambda n, f: Lambda(partial(_power, f)), lambda o, n, f: of.LambdaLR(o, partial(_power, f))),
}


@given(
    parts=st.lists(
        st.tuples(st.sampled_from(sorted(SEQUENTIAL)), st.integers(2, 12), st.floats(0.1, 0.95)), min_size=2, max_size=3
    ),
    longer=st.integers(1, 9),
)
def test_sequence_of_two_and_three(parts: list[tuple[str, int, float]], longer: int) -> None:
    turns = list(accumulate(n + longer for _, n, _ in parts[:-1]))

    def make(optimizer: torch.optim.Optimizer) -> of.LRScheduler:
        schedulers = [SEQUENTIAL[name][1](optimizer, n, f) for name, n, f in parts]
        return of.SequentialLR(optimizer, schedulers, turns)

    main = Sequence([SEQUENTIAL[name][0](n, f) for name, n, f in parts], turns)
    agree(Plan(main), make, turns[-1] + 25)


MAINS = [
    pytest.param(Step(7, 0.5), lambda o: of.StepLR(o, 7, 0.5), id="step"),
    pytest.param(MultiStep([5, 9]), lambda o: of.MultiStepLR(o, [5, 9]), id="multi-step"),
    pytest.param(Cosine(30, 0.01), lambda o: of.CosineAnnealingLR(o, 30, 0.01), id="cosine"),
    pytest.param(SGDR(6, 2), lambda o: of.CosineAnnealingWarmRestarts(o, 6, 2), id="sgdr"),
    pytest.param(Polynomial(30, 2), lambda o: of.PolynomialLR(o, 30, 2), id="polynomial"),
    pytest.param(Exponential(0.9), lambda o: of.ExponentialLR(o, 0.9), id="exponential"),
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
