"""What the constructors refuse beside lengths and numbers: choices, flags, lists and contradictions."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lightning_lrsched import (
    SGDR,
    Constant,
    Cooldown,
    Cosine,
    MultiStep,
    OneCycle,
    Plan,
    RunLength,
    Step,
    Warmup,
)
from tests.refusals.check import INF, check_refused

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


@pytest.mark.parametrize(
    ("name", "make", "value"),
    [pytest.param(*row, id=f"{row[0]}-{index}") for index, row in enumerate(OTHERS)],
)
def test_others(name: str, make: Callable[[], Any], value: str) -> None:
    check_refused(name, make, value)
