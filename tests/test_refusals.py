"""What is refused, in one table: every message names the parameter, the value and a way that works."""

import re
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from lightning_lrsched import (
    SGDR,
    Constant,
    Cooldown,
    Cosine,
    Duration,
    Linear,
    MultiStep,
    OneCycle,
    Plan,
    RunLength,
    Step,
    Warmup,
)

NAN, INF = float("nan"), float("inf")
HINT = re.compile(r"[Ee]xample|write|Pass ")
RUN = RunLength(1000, 100)

LENGTHS: dict[str, Callable[[Any], Any]] = {
    "duration": Duration,
    "Warmup.duration": Warmup,
    "Cooldown.duration": Cooldown,
    "warmup": lambda value: Plan(Constant(), value),
    "cooldown": lambda value: Plan(Constant(), None, value),
    "Constant.total_iters": lambda value: Constant(0.5, value),
    "Linear.total_iters": Linear,
    "Cosine.T_max": Cosine,
    "SGDR.T_0": SGDR,
    "SGDR.periods[1]": lambda value: SGDR(periods=[5, value]),
    "OneCycle.total_steps": OneCycle,
    "Step.step_size": Step,
    "MultiStep.milestones[0]": lambda value: MultiStep([value]),
}
BAD_LENGTHS = {
    "zero": 0,
    "negative": -5,
    "bool": True,
    "zero-share": 0.0,
    "negative-share": -0.1,
    "nan": NAN,
    "inf": INF,
    "huge": 10**400,
    "huge-float": 1e308,
    "tiny-float": 1e-320,
    "empty-text": "",
    "word": "soon",
    "weeks": "5 weeks",
    "text-negative": "-5%",
    "text-zero": "0ep",
    "text-over-100%": "101%",
    "text-nan": "nan",
    "text-inf": "inf",
    "text-parts-of-steps": "1.5 steps",
    "text-1e999": "1e999 steps",
    "text-1e99999999": "1e99999999 steps",
    "text-1e-99999999": "1e-99999999%",
    "text-two-units": "5 steps ep",
    "text-underscores": "1__0",
    "text-other-digits": "٣",
    "text-long": "1." + "0" * 5000,
    "bytes": b"5",
    "list": [5],
    "dict": {"steps": 5},
    "set": {5},
    "decimal": Decimal("0.5"),
    "array": np.array([1, 2]),
    "tensor": torch.tensor(5),
    "complex": 1j,
    "type": Warmup,
}

NUMBERS: dict[str, Callable[[Any], Any]] = {
    "Constant.factor": Constant,
    "Linear.start_factor": lambda value: Linear(start_factor=value),
    "Linear.end_factor": lambda value: Linear(end_factor=value),
    "Cosine.eta_min": lambda value: Cosine(eta_min=value),
    "Cosine.eta_min_ratio": lambda value: Cosine(eta_min_ratio=value),
    "Cosine.num_cycles": lambda value: Cosine(num_cycles=value),
    "SGDR.T_mult": lambda value: SGDR(10, value),
    "SGDR.eta_min": lambda value: SGDR(10, eta_min=value),
    "SGDR.eta_min_ratio": lambda value: SGDR(10, eta_min_ratio=value),
    "SGDR.gamma": lambda value: SGDR(10, gamma=value),
    "SGDR.max_ratios[0]": lambda value: SGDR(periods=[5], max_ratios=[value]),
    "SGDR.eta_min[0]": lambda value: SGDR(periods=[5], eta_min=[value]),
    "SGDR.eta_min_ratio[0]": lambda value: SGDR(periods=[5], eta_min_ratio=[value]),
    "OneCycle.pct_start": lambda value: OneCycle(pct_start=value),
    "OneCycle.div_factor": lambda value: OneCycle(div_factor=value),
    "OneCycle.final_div_factor": lambda value: OneCycle(final_div_factor=value),
    "Step.gamma": lambda value: Step(10, value),
    "MultiStep.gamma": lambda value: MultiStep([10], value),
    "Warmup.start_factor": lambda value: Warmup(5, start_factor=value),
    "Cooldown.eta_min": lambda value: Cooldown(5, eta_min=value),
}
LISTED = ("SGDR.eta_min", "SGDR.eta_min_ratio")  # these take lists too
BAD_NUMBERS = {
    "negative": -0.1,
    "nan": NAN,
    "inf": INF,
    "huge": 10**400,
    "bool": True,
    "text": "0.1",
    "dict": {},
    "set": {1},
    "nested-list": [[1]],
    "decimal": Decimal("0.5"),
    "array": np.array([0.1, 0.2]),
    "tensor": torch.tensor(0.5),
    "complex": 1j,
}

OTHERS: list[tuple[str, Callable[[], Any], str]] = [
    ("Warmup.shape", lambda: Warmup(5, "exp"), "'exp'"),
    ("Warmup.shape", lambda: Warmup(5, ["linear"]), "['linear']"),  # type: ignore[arg-type]
    ("Warmup.shape", lambda: Warmup(5, None), "None"),  # type: ignore[arg-type]
    ("Warmup.start_factor", lambda: Warmup(5, "constant"), "None"),
    ("Warmup.start_factor", lambda: Warmup(5, start_factor=1.0), "1.0"),
    ("Warmup.start_factor", lambda: Warmup(5, "exponential", 0.0), "0.0"),
    ("Warmup.start_factor", lambda: Warmup(5, "exponential", 1e-320), "1e-320"),
    ("Cooldown.shape", lambda: Cooldown(5, "exponential"), "'exponential'"),
    ("main", lambda: Plan(None), "None"),  # type: ignore[arg-type]
    ("main", lambda: Plan("cosine"), "'cosine'"),  # type: ignore[arg-type]
    ("main", lambda: Plan(Cosine), "Cosine"),  # type: ignore[arg-type]
    ("main", lambda: Plan(Warmup(5)), "Warmup(duration=5)"),  # type: ignore[arg-type]
    ("warmup", lambda: Plan(Constant(), Cooldown(5)), "Cooldown(duration=5)"),  # type: ignore[arg-type]
    ("cooldown", lambda: Plan(Constant(), None, Warmup(5)), "Warmup(duration=5)"),  # type: ignore[arg-type]
    ("Cosine.eta_min_ratio", lambda: Cosine(eta_min=1e-5, eta_min_ratio=0.1), "1e-05"),
    ("Cosine.eta_min_ratio", lambda: Cosine(eta_min_ratio=1.5), "1.5"),
    ("Cosine.num_cycles", lambda: Cosine(num_cycles=0), "0"),
    ("Cosine.num_cycles", lambda: Cosine(num_cycles=1e308), "1e+308"),
    ("Cosine.inclusive", lambda: Cosine(inclusive=1), "1"),  # type: ignore[arg-type]
    ("Cosine.inclusive", lambda: Cosine(inclusive="yes"), "'yes'"),  # type: ignore[arg-type]
    ("Cosine.periodic", lambda: Cosine(10, periodic=None), "None"),  # type: ignore[arg-type]
    ("Cosine.periodic", lambda: Cosine(10, periodic=True, inclusive=True), "True"),
    ("Cosine.periodic", lambda: Cosine(10, periodic=True, num_cycles=1.5), "True"),
    ("Cosine.eta_min", lambda: Cosine(eta_min=[0.1]), "[0.1]"),  # type: ignore[arg-type]
    ("SGDR.T_0", SGDR, "None"),
    ("SGDR.T_0", lambda: SGDR(10, periods=[10]), "10"),
    ("SGDR.T_mult", lambda: SGDR(10, 0), "0"),
    ("SGDR.T_mult", lambda: SGDR(10, 0.5), "0.5"),
    ("SGDR.T_mult", lambda: SGDR(10, 1e308), "1e+308"),
    ("SGDR.T_mult", lambda: SGDR(periods=[10], T_mult=2), "2"),
    ("SGDR.gamma", lambda: SGDR(10, gamma=1.1), "1.1"),
    ("SGDR.gamma", lambda: SGDR(10, gamma=0.0), "0.0"),
    ("SGDR.gamma", lambda: SGDR(periods=[10], gamma=0.5), "0.5"),
    ("SGDR.inclusive", lambda: SGDR(10, inclusive=0), "0"),  # type: ignore[arg-type]
    ("SGDR.periods", lambda: SGDR(periods=[]), "[]"),
    ("SGDR.periods", lambda: SGDR(periods="10ep"), "'10ep'"),
    ("SGDR.periods", lambda: SGDR(periods=10), "10"),  # type: ignore[arg-type]
    ("SGDR.periods", lambda: SGDR(periods={10, 20}), "{"),  # type: ignore[arg-type]
    ("SGDR.periods", lambda: SGDR(periods={"10ep": 1}), "{'10ep': 1}"),  # type: ignore[arg-type]
    ("SGDR.periods", lambda: SGDR(periods=np.array([5, 6])), "array([5, 6])"),  # type: ignore[arg-type]
    ("SGDR.periods[0]", lambda: SGDR(periods=[[10]]), "[10]"),  # type: ignore[list-item]
    ("SGDR.periods[1]", lambda: SGDR(periods=[5, None]), "None"),  # type: ignore[list-item]
    ("SGDR.max_ratios", lambda: SGDR(periods=[5, 6], max_ratios=[1.0]), "[1.0]"),
    ("SGDR.max_ratios", lambda: SGDR(periods=[5], max_ratios=[]), "[]"),
    ("SGDR.max_ratios", lambda: SGDR(periods=[5], max_ratios=1.0), "1.0"),  # type: ignore[arg-type]
    ("SGDR.max_ratios", lambda: SGDR(periods=[5], max_ratios="1"), "'1'"),  # type: ignore[arg-type]
    ("SGDR.max_ratios", lambda: SGDR(10, max_ratios=[1.0]), "[1.0]"),
    ("SGDR.max_ratios[1]", lambda: SGDR(periods=[5, 6], max_ratios=[1.0, 0]), "0"),
    ("SGDR.eta_min", lambda: SGDR(10, eta_min=[1e-5]), "[1e-05]"),
    ("SGDR.eta_min", lambda: SGDR(10, eta_min=[]), "[]"),
    ("SGDR.eta_min", lambda: SGDR(periods=[5, 6], eta_min=[1e-5]), "[1e-05]"),
    ("SGDR.eta_min_ratio", lambda: SGDR(periods=[5], eta_min_ratio=[0.1, 0.2]), "[0.1, 0.2]"),
    ("SGDR.eta_min_ratio", lambda: SGDR(10, eta_min=0.1, eta_min_ratio=0.1), "eta_min (here 0.1)"),
    ("SGDR.eta_min_ratio", lambda: SGDR(periods=[5], eta_min=[0.1], eta_min_ratio=[0.1]), "[0.1]"),
    ("OneCycle.pct_start", lambda: OneCycle(pct_start=0.0), "0.0"),
    ("OneCycle.pct_start", lambda: OneCycle(pct_start=1.0), "1.0"),
    ("OneCycle.pct_start", lambda: OneCycle(pct_start=0.5, three_phase=True), "0.5"),
    ("OneCycle.div_factor", lambda: OneCycle(div_factor=0.5), "0.5"),
    ("OneCycle.div_factor", lambda: OneCycle(div_factor=0), "0"),
    ("OneCycle.final_div_factor", lambda: OneCycle(final_div_factor=0.99), "0.99"),
    ("OneCycle.anneal_strategy", lambda: OneCycle(anneal_strategy="cosine"), "'cosine'"),
    ("OneCycle.anneal_strategy", lambda: OneCycle(anneal_strategy=None), "None"),  # type: ignore[arg-type]
    ("OneCycle.three_phase", lambda: OneCycle(three_phase="no"), "'no'"),  # type: ignore[arg-type]
    ("Step.gamma", lambda: Step(10, 0.0), "0.0"),
    ("Step.step_size", lambda: Step(None), "None"),  # type: ignore[arg-type]
    ("MultiStep.milestones", lambda: MultiStep([]), "[]"),
    ("MultiStep.milestones", lambda: MultiStep("30ep"), "'30ep'"),
    ("MultiStep.milestones", lambda: MultiStep(30), "30"),  # type: ignore[arg-type]
    ("MultiStep.milestones", lambda: MultiStep(None), "None"),  # type: ignore[arg-type]
    ("MultiStep.milestones", lambda: MultiStep({30}), "{30}"),  # type: ignore[arg-type]
    ("MultiStep.milestones", lambda: MultiStep({30: 0.1}), "{30: 0.1}"),  # type: ignore[arg-type]
    ("MultiStep.milestones[1]", lambda: MultiStep([30, [60]]), "[60]"),  # type: ignore[list-item]
    ("MultiStep.gamma", lambda: MultiStep([30], 0), "0"),
    ("total_steps", lambda: RunLength(0), "0"),
    ("total_steps", lambda: RunLength(True), "True"),
    ("total_steps", lambda: RunLength(10**400), "1000"),
    ("total_steps", lambda: RunLength("1000"), "'1000'"),  # type: ignore[arg-type]
    ("steps_per_epoch", lambda: RunLength(10, 1.5), "1.5"),  # type: ignore[arg-type]
    ("steps_per_epoch", lambda: RunLength(10, INF), "inf"),  # type: ignore[arg-type]
]

RESOLVED: list[tuple[str, Plan, Any, str, str]] = [
    ("run", Plan(Constant()), 1000, "step", "1000"),
    ("run", Plan(Constant()), None, "step", "None"),
    ("update", Plan(Constant()), RUN, "batch", "'batch'"),
    ("update", Plan(Constant()), RUN, None, "None"),  # type: ignore[list-item]
    ("update", Plan(Constant()), RUN, True, "True"),  # type: ignore[list-item]
    ("update", Plan(Constant()), RunLength(1000), "epoch", "'epoch'"),
    ("warmup", Plan(Constant(), 1000), RUN, "step", "1000 steps"),
    ("warmup", Plan(Constant(), "100%"), RUN, "step", "1000 steps"),
    ("warmup", Plan(Constant(), 5000), RUN, "step", "5000 steps"),
    ("cooldown", Plan(Constant(), "50%", "50%"), RUN, "step", "500 steps"),
    ("Cooldown.duration", Plan(Constant(), None, "2%"), RunLength(), "step", "'2%'"),
    ("cooldown", Plan(Constant(), None, 5), RunLength(), "step", "5"),
    ("Warmup.duration", Plan(Constant(), "2%"), RunLength(None, 10), "step", "'2%'"),
    ("Warmup.duration", Plan(Constant(), "2ep"), RunLength(1000), "step", "'2ep'"),
    ("Warmup.duration", Plan(Constant(), "0.5ep"), RUN, "epoch", "'0.5ep'"),
    ("Warmup.duration", Plan(Constant(), 150), RUN, "epoch", "'150 steps'"),
    ("Warmup.duration", Plan(Constant(), "0.04%"), RUN, "step", "'0.04%'"),
    ("Constant.total_iters", Plan(Constant(0.5, 1001)), RUN, "step", "1001"),
    ("Linear.total_iters", Plan(Linear("11ep")), RUN, "step", "'11ep'"),
    ("Linear.total_iters", Plan(Linear()), RunLength(), "step", "None"),
    ("Cosine.T_max", Plan(Cosine()), RunLength(), "step", "None"),
    ("Cosine.T_max", Plan(Cosine(2000)), RUN, "step", "2000"),
    ("Cosine.T_max", Plan(Cosine(1, inclusive=True)), RUN, "step", "1"),
    ("Cosine.T_max", Plan(Cosine("100%"), 1), RUN, "step", "'100%'"),
    ("SGDR.T_0", Plan(SGDR("11ep")), RUN, "step", "'11ep'"),
    ("SGDR.T_0", Plan(SGDR(1, inclusive=True)), RUN, "step", "1"),
    ("SGDR.T_0", Plan(SGDR("10%")), RunLength(), "step", "'10%'"),
    ("SGDR.T_mult", Plan(SGDR(1, 1.000001)), RunLength(10**9), "step", "1.000001"),
    ("SGDR.periods[1]", Plan(SGDR(periods=[5, "1ep"])), RunLength(100), "step", "'1ep'"),
    ("OneCycle.total_steps", Plan(OneCycle(2000)), RUN, "step", "2000"),
    ("OneCycle.total_steps", Plan(OneCycle()), RunLength(), "step", "None"),
    ("OneCycle.pct_start", Plan(OneCycle(pct_start=0.001)), RUN, "step", "0.001"),
    ("Step.step_size", Plan(Step(1000)), RUN, "step", "1000"),
    ("Step.step_size", Plan(Step("10ep")), RUN, "step", "'10ep'"),
    ("MultiStep.milestones[0]", Plan(MultiStep([1000])), RUN, "step", "1000"),
    ("MultiStep.milestones[1]", Plan(MultiStep([30, 20])), RUN, "step", "20"),
    ("MultiStep.milestones[1]", Plan(MultiStep(["3ep", "20%"])), RUN, "step", "'20%'"),
    ("MultiStep.milestones[1]", Plan(MultiStep([30, "10ep"]), 10), RUN, "step", "'10ep'"),
]


def check_refused(name: str, make: Callable[[], Any], shown: str) -> None:
    """Check that a call is refused with a message that names the parameter, the value and a hint."""
    with pytest.raises(ValueError, match=re.escape(name)) as caught:
        make()
    message = str(caught.value)
    assert shown in message
    assert HINT.search(message), message
    assert len(message) < 1000


def shown(value: object) -> str:
    """Return how a message shows a value: its repr, shortened when it is very long."""
    return repr(value)[:200]


@pytest.mark.parametrize("value", [pytest.param(value, id=key) for key, value in BAD_LENGTHS.items()])
@pytest.mark.parametrize("name", LENGTHS)
def test_lengths(name: str, value: Any) -> None:
    check_refused(name, lambda: LENGTHS[name](value), shown(value))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param(name, value, id=f"{name}-{key}")
        for name in NUMBERS
        for key, value in BAD_NUMBERS.items()
        if not (isinstance(value, list) and name in LISTED)
    ],
)
def test_numbers(name: str, value: Any) -> None:
    check_refused(name, lambda: NUMBERS[name](value), shown(value))


@pytest.mark.parametrize(
    ("name", "make", "value"),
    [pytest.param(*row, id=f"{row[0]}-{index}") for index, row in enumerate(OTHERS)],
)
def test_others(name: str, make: Callable[[], Any], value: str) -> None:
    check_refused(name, make, value)


@pytest.mark.parametrize(
    ("name", "plan", "run", "update", "value"),
    [pytest.param(*row, id=f"{row[0]}-{index}") for index, row in enumerate(RESOLVED)],
)
def test_resolve(name: str, plan: Plan, run: Any, update: str, value: str) -> None:
    check_refused(name, lambda: plan.resolve(run, update), value)


@pytest.mark.parametrize("name", LENGTHS)
@pytest.mark.parametrize(
    ("value", "readings"),
    [
        pytest.param(1.5, ["=1,", "'1.5%'"], id="1.5"),
        pytest.param(5.0, ["=5,", "'5%'", "=0.05"], id="5.0"),
        pytest.param("2.0", ["=2,", "'2%'", "=0.02"], id="text"),
        pytest.param(1.0, ["=1,", "'1%'", "=0.01"], id="1.0"),
        pytest.param(Fraction(3, 2), ["=1,", "'1.5%'"], id="fraction"),
        pytest.param(np.float32(3.0), ["=3,", "'3%'"], id="float32"),
    ],
)
def test_float_of_1_or_more_is_refused_with_both_readings(name: str, value: Any, readings: list[str]) -> None:
    with pytest.raises(ValueError, match=r"can be read in two ways: for steps write") as caught:
        LENGTHS[name](value)
    message = str(caught.value)
    assert message.startswith(name)
    assert repr(value) in message
    assert all(reading in message for reading in readings)


def test_nothing_is_changed_by_a_refusal() -> None:
    periods: list[Any] = [5, "soon"]
    with pytest.raises(ValueError, match=r"SGDR\.periods\[1\] = 'soon'"):
        SGDR(periods=periods)
    assert periods == [5, "soon"]


def test_value_without_a_repr_is_refused_all_the_same() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError("no repr")

    with pytest.raises(ValueError, match=r"duration = a value of type Broken .*example"):
        Duration(Broken())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"duration = a value of type int .*example"):
        Duration(10**5000)
