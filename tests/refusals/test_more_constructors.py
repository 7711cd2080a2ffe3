"""The same for the schedules of more than one cycle, the falls, the functions and the sequences."""

from collections.abc import Callable
from typing import Any

import pytest

from lightning_lrsched import (
    SGDR,
    WSD,
    Constant,
    Cosine,
    Cyclic,
    Exponential,
    FlatCosine,
    InverseSqrt,
    Lambda,
    Multiplicative,
    OneCycle,
    PiecewiseConstant,
    PiecewiseLinear,
    Plan,
    Polynomial,
    Power,
    Sequence,
    Tanh,
    Warmup,
)
from tests.refusals.check import INF, check_refused

OTHERS: list[tuple[str, Callable[[], Any], str]] = [
    ("Warmup.shape", lambda: Warmup(5, "1-sqrt"), "'1-sqrt'"),
    ("Warmup.power", lambda: Warmup(5, "polynomial", power=0), "0"),
    ("Warmup.power", lambda: Warmup(5, "polynomial", power=1e9), "1000000000.0"),
    ("Warmup.overlap", lambda: Warmup(5, overlap=1), "1"),  # type: ignore[arg-type]
    ("Warmup.overlap", lambda: Warmup(5, overlap="yes"), "'yes'"),  # type: ignore[arg-type]
    ("Warmup.start_factor", lambda: Warmup(5, start_factor=0.1, overlap=True), "0.1"),
    ("Warmup.start_factor", lambda: Warmup(5, "saturating", 0.1), "0.1"),
    ("Warmup.start_factor", lambda: Warmup(5, "radam", 0.0), "0.0"),
    ("Warmup.untuned.beta2", lambda: Warmup.untuned(1.0), "1.0"),
    ("Warmup.untuned.beta2", lambda: Warmup.untuned(1 - 1e-16), "0.9999999999999999"),
    ("Warmup.untuned.shape", lambda: Warmup.untuned(0.9, "cosine"), "'cosine'"),
    ("Cosine.periodic", lambda: Cosine(10, periodic=True, exponent=2), "True"),
    ("Cosine.periodic", lambda: Cosine(10, periodic=True, k_decay=2), "True"),
    ("Cosine.num_cycles", lambda: Cosine(num_cycles=1.5, exponent=2), "1.5"),
    ("Cosine.exponent", lambda: Cosine(exponent=0), "0"),
    ("Cosine.exponent", lambda: Cosine(exponent=1001), "1001"),
    ("Cosine.k_decay", lambda: Cosine(k_decay=0.0), "0.0"),
    ("Polynomial.power", lambda: Polynomial(power=0), "0"),
    ("Polynomial.eta_min_ratio", lambda: Polynomial(eta_min=0.1, eta_min_ratio=0.1), "0.1"),
    ("Exponential.gamma", lambda: Exponential(0), "0"),
    ("Exponential.gamma", lambda: Exponential(None), "None"),  # type: ignore[arg-type]
    ("Exponential.staircase", lambda: Exponential(0.9, staircase=1), "1"),  # type: ignore[arg-type]
    ("Exponential.decay_period", lambda: Exponential(0.9, None), "None"),  # type: ignore[arg-type]
    ("Power.c", lambda: Power(5, 0), "0"),
    ("Power.s", lambda: Power(None), "None"),  # type: ignore[arg-type]
    ("InverseSqrt.timescale", lambda: InverseSqrt(None), "None"),  # type: ignore[arg-type]
    ("Tanh.lb", lambda: Tanh(lb=3.0, ub=3.0), "3.0"),
    ("Tanh.lb", lambda: Tanh(lb=4, ub=3), "4"),
    ("Tanh.ub", lambda: Tanh(ub=INF), "inf"),
    ("Tanh.ub", lambda: Tanh(ub="3"), "'3'"),  # type: ignore[arg-type]
    ("Cyclic.base_ratio", lambda: Cyclic(5, 1.0), "1.0"),
    ("Cyclic.scale_fn", lambda: Cyclic(5, scale_fn=0.5), "0.5"),  # type: ignore[arg-type]
    ("Cyclic.scale_fn", lambda: Cyclic(5, scale_fn=abs, mode="triangular2"), "<built-in function abs>"),
    ("Cyclic.mode", lambda: Cyclic(5, mode="triangular3"), "'triangular3'"),
    ("Cyclic.mode", lambda: Cyclic(5, mode=None), "None"),  # type: ignore[arg-type]
    ("Cyclic.gamma", lambda: Cyclic(5, gamma=0.9), "0.9"),
    ("Cyclic.gamma", lambda: Cyclic(5, mode="exp_range", gamma=0), "0"),
    ("Cyclic.gamma", lambda: Cyclic(5, mode="exp_range", gamma=1.1), "1.1"),
    ("Cyclic.step_size_up", lambda: Cyclic(None), "None"),  # type: ignore[arg-type]
    ("Cyclic.cycle_momentum", lambda: Cyclic(5, cycle_momentum=1), "1"),  # type: ignore[arg-type]
    ("Cyclic.base_momentum", lambda: Cyclic(5, base_momentum=0.9, max_momentum=0.8), "0.9"),
    ("OneCycle.cycle_momentum", lambda: OneCycle(cycle_momentum="no"), "'no'"),  # type: ignore[arg-type]
    ("OneCycle.max_momentum", lambda: OneCycle(max_momentum=-0.5), "-0.5"),
    ("WSD.shape", lambda: WSD(5, "exponential"), "'exponential'"),
    ("WSD.shape", lambda: WSD(5, 0.5), "0.5"),  # type: ignore[arg-type]
    ("WSD.power", lambda: WSD(5, "polynomial", power=0), "0"),
    ("WSD.decay", lambda: WSD(None), "None"),  # type: ignore[arg-type]
    ("FlatCosine.pct_start", lambda: FlatCosine(0.0), "0.0"),
    ("FlatCosine.pct_start", lambda: FlatCosine(1), "1"),
    ("PiecewiseConstant.boundaries", lambda: PiecewiseConstant([], [1]), "[]"),
    ("PiecewiseConstant.boundaries", lambda: PiecewiseConstant("5", [1, 2]), "'5'"),
    ("PiecewiseConstant.boundaries", lambda: PiecewiseConstant(5, [1, 2]), "5"),  # type: ignore[arg-type]
    ("PiecewiseConstant.values", lambda: PiecewiseConstant([5], [1]), "1"),
    ("PiecewiseConstant.values", lambda: PiecewiseConstant([5], []), "[]"),
    ("PiecewiseConstant.values", lambda: PiecewiseConstant([5], None), "None"),  # type: ignore[arg-type]
    ("PiecewiseConstant.values[1]", lambda: PiecewiseConstant([5], [1, -1]), "-1"),
    ("PiecewiseLinear.times", lambda: PiecewiseLinear([], [1]), "[]"),
    ("PiecewiseLinear.times", lambda: PiecewiseLinear({5: 1}, [1, 2]), "{5: 1}"),  # type: ignore[arg-type]
    ("PiecewiseLinear.values", lambda: PiecewiseLinear([5], [1, 2, 3]), "(1, 2, 3)"),
    ("PiecewiseLinear.values", lambda: PiecewiseLinear([5], "12"), "'12'"),  # type: ignore[arg-type]
    ("Lambda.lr_lambda", lambda: Lambda(0.9), "0.9"),  # type: ignore[arg-type]
    ("Lambda.lr_lambda", lambda: Lambda("0.9**t"), "'0.9**t'"),  # type: ignore[arg-type]
    ("Lambda.lr_lambda", lambda: Lambda(None), "None"),  # type: ignore[arg-type]
    ("Multiplicative.lr_lambda", lambda: Multiplicative(0.9), "0.9"),  # type: ignore[arg-type]
    ("Sequence.schedules", lambda: Sequence([]), "[]"),
    ("Sequence.schedules", lambda: Sequence(Cosine()), "Cosine()"),  # type: ignore[arg-type]
    ("Sequence.schedules", lambda: Sequence("Cosine"), "'Cosine'"),  # type: ignore[arg-type]
    ("Sequence.schedules[0]", lambda: Sequence(["Cosine"]), "'Cosine'"),  # type: ignore[list-item]
    ("Sequence.schedules[1]", lambda: Sequence([Cosine(), Warmup(5)], [5]), "Warmup"),  # type: ignore[list-item]
    ("Sequence.schedules[0]", lambda: Sequence([Cosine]), "Cosine"),  # type: ignore[list-item]
    ("Sequence.milestones", lambda: Sequence([Cosine()], [5]), "[5]"),
    ("Sequence.milestones", lambda: Sequence([Cosine(), Cosine()]), "()"),
    ("Sequence.milestones", lambda: Sequence([Cosine(), Cosine()], 5), "5"),  # type: ignore[arg-type]
    ("Sequence.milestones", lambda: Sequence([Cosine(), Cosine()], "5"), "'5'"),
    ("Sequence.milestones", lambda: Sequence([Cosine(), Cosine()], None), "None"),  # type: ignore[arg-type]
    ("Sequence.join", lambda: Sequence([Cosine(), Cosine()], [5], "smooth"), "'smooth'"),
    ("Sequence.join", lambda: Sequence([Cosine()], join=True), "True"),  # type: ignore[arg-type]
    ("SGDR.cycle_warmup", lambda: SGDR(10, cycle_warmup=[1]), "[1]"),
    ("SGDR.cycle_warmup", lambda: SGDR(periods=[5, 6], cycle_warmup=[1, 1]), "[1, 1]"),
    ("Plan.others", lambda: Plan(Constant(), others={"lr": Constant()}), "'lr'"),
    ("Plan.others", lambda: Plan(Constant(), others={}), "{}"),
    ("Plan.others", lambda: Plan(Constant(), others=[Constant()]), "[Constant()]"),  # type: ignore[arg-type]
    ("Plan.others['momentum']", lambda: Plan(Constant(), others={"momentum": 0.9}), "0.9"),  # type: ignore[dict-item]
]


@pytest.mark.parametrize(
    ("name", "make", "value"),
    [pytest.param(*row, id=f"{row[0]}-{index}") for index, row in enumerate(OTHERS)],
)
def test_others(name: str, make: Callable[[], Any], value: str) -> None:
    check_refused(name, make, value)
