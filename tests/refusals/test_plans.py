"""Plans that are written right and do not fit their run."""

from typing import Any

import pytest

from lightning_lrsched import (
    REX,
    SGDR,
    WSD,
    Constant,
    Cosine,
    Cyclic,
    Exponential,
    FlatCosine,
    InverseSqrt,
    Lambda,
    Linear,
    Multiplicative,
    MultiStep,
    OneCycle,
    PiecewiseConstant,
    PiecewiseLinear,
    Plan,
    Polynomial,
    Power,
    RunLength,
    Sequence,
    Step,
    Tanh,
    Warmup,
)
from tests.refusals.check import NAN, RUN, check_refused

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
    ("Polynomial.total_iters", Plan(Polynomial(1001)), RUN, "step", "1001"),
    ("Polynomial.total_iters", Plan(Polynomial()), RunLength(), "step", "None"),
    ("Exponential.decay_period", Plan(Exponential(0.9, "1ep")), RunLength(100), "step", "'1ep'"),
    ("Exponential.decay_period", Plan(Exponential(0.9)), RUN, "epoch", "'1 steps'"),
    ("Power.s", Plan(Power("10%")), RunLength(), "step", "'10%'"),
    ("InverseSqrt.timescale", Plan(InverseSqrt("1ep")), RunLength(100), "step", "'1ep'"),
    ("REX.total_iters", Plan(REX()), RunLength(), "step", "None"),
    ("Tanh.total_iters", Plan(Tanh("11ep")), RUN, "step", "'11ep'"),
    ("Cyclic.step_size_up", Plan(Cyclic(1001)), RUN, "step", "1001"),
    ("Cyclic.step_size_down", Plan(Cyclic(5, step_size_down="1ep")), RunLength(100), "step", "'1ep'"),
    ("WSD.decay", Plan(WSD(1001)), RUN, "step", "1001"),
    ("WSD", Plan(WSD(10)), RunLength(), "step", "total_steps"),
    ("FlatCosine", Plan(FlatCosine()), RunLength(), "step", "total_steps"),
    ("PiecewiseConstant.boundaries[0]", Plan(PiecewiseConstant([1000], [1, 2])), RUN, "step", "1000"),
    ("PiecewiseConstant.boundaries[1]", Plan(PiecewiseConstant([5, 5], [1, 2, 3])), RUN, "step", "5"),
    ("PiecewiseLinear.times[0]", Plan(PiecewiseLinear([1001], [1, 2])), RUN, "step", "1001"),
    ("PiecewiseLinear.times[1]", Plan(PiecewiseLinear(["1ep", "5%"], [1, 2, 3])), RUN, "step", "'5%'"),
    ("Sequence.milestones[0]", Plan(Sequence([Cosine(), Cosine()], [1000])), RUN, "step", "1000"),
    ("Sequence.milestones[0]", Plan(Sequence([Cosine(), Cosine()], ["11ep"])), RUN, "step", "'11ep'"),
    ("Sequence.milestones[1]", Plan(Sequence([Cosine()] * 3, [50, 50])), RUN, "step", "50"),
    ("Sequence.milestones[1]", Plan(Sequence([Cosine()] * 3, [50, "2%"])), RUN, "step", "'2%'"),
    ("Cosine.T_max", Plan(Sequence([Cosine(60), Cosine()], [50])), RUN, "step", "60"),
    ("Cosine.T_max", Plan(Sequence([Constant(), Cosine()], [50])), RunLength(), "step", "None"),
    ("SGDR.cycle_warmup", Plan(SGDR(10, cycle_warmup=10)), RUN, "step", "10"),
    ("SGDR.cycle_warmup[0]", Plan(SGDR(periods=[5, 6], cycle_warmup=[6])), RUN, "step", "6"),
    ("SGDR.periods[1]", Plan(SGDR(periods=[5, 1], inclusive=True)), RUN, "step", "1"),
    ("Warmup.duration", Plan(Constant(), Warmup(2, "radam")), RUN, "step", "2"),
    ("Warmup.duration", Plan(Constant(), Warmup("1ep", overlap=True)), RunLength(100), "step", "'1ep'"),
    ("Lambda", Plan(Lambda(lambda t: "x")), RUN, "lr", "'x'"),  # type: ignore[arg-type, return-value]
    ("Lambda", Plan(Lambda(lambda t: NAN)), RUN, "lr", "nan"),
    ("Multiplicative", Plan(Multiplicative(lambda t: None)), RUN, "lr", "None"),  # type: ignore[arg-type, return-value]
    ("MultiStep.milestones[1]", Plan(MultiStep([30, "10ep"]), 10), RUN, "step", "'10ep'"),
]


@pytest.mark.parametrize(
    ("name", "plan", "run", "update", "value"),
    [pytest.param(*row, id=f"{row[0]}-{index}") for index, row in enumerate(RESOLVED)],
)
def test_resolve(name: str, plan: Plan, run: Any, update: str, value: str) -> None:
    if update == "lr":
        check_refused(name, lambda: plan.resolve(run).lr(5, 0.1), value)
    else:
        check_refused(name, lambda: plan.resolve(run, update), value)
