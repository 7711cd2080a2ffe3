"""Laws that every schedule keeps, over drawn parameters: bounds, joins, the peak, jumps, cost."""

import itertools
import math
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase as Generating
from hypothesis import find, given, settings
from hypothesis import strategies as st

import lightning_lrsched.schedules
from lightning_lrsched import (
    REX,
    SGDR,
    Constant,
    Cosine,
    Cyclic,
    Exponential,
    FlatCosine,
    InverseSqrt,
    Lambda,
    Linear,
    Multiplicative,
    PiecewiseLinear,
    Plan,
    Polynomial,
    Power,
    RunLength,
    Schedule,
    Sequence,
    Step,
    Tanh,
    Timeline,
    Warmup,
)
from lightning_lrsched.phases import Phase, Repeat
from tests.strategies import LEAST_STEPS, cyclic, falling, halving, overlaps, plans, runs, schedules, warmups

ROOM = RunLength(LEAST_STEPS, 20)
CLOSE = 1 + 1e-12


def drawn(timeline: Timeline, base_lr: float = 1.0, more: int = 5) -> Any:
    """Return the lrs of all steps and of some after the end."""
    return timeline.lr(np.arange((timeline.total or 0) + more), base_lr)


@pytest.mark.parametrize("name", lightning_lrsched.schedules.__all__)
def test_every_schedule_is_drawn(name: str) -> None:
    without_shrinking = settings(max_examples=5000, phases=[Generating.generate], database=None)
    find(schedules, lambda main: type(main).__name__ == name, settings=without_shrinking)


@given(main=falling, run=runs)
def test_falling_schedules_begin_at_the_base_lr_and_never_rise(main: Schedule, run: RunLength) -> None:
    curve = drawn(Plan(main).resolve(run))
    assert curve[0] == 1.0 if not isinstance(main, Tanh) else 0.85 < curve[0] <= 1.0
    assert (np.diff(curve) <= 1e-15).all()
    assert curve.min() >= (getattr(main, "eta_min_ratio", None) or 0.0) - 1e-15


@given(main=cyclic, run=runs)
def test_cycles_stay_between_floor_and_peak(main: Schedule, run: RunLength) -> None:
    base_lr = 0.1
    curve = drawn(Plan(main).resolve(run), base_lr)
    ratios = getattr(main, "max_ratios", None) or [1.0]
    lows = [getattr(main, "base_ratio", 0.0) * base_lr, *np.ravel(getattr(main, "eta_min", 0.0))]
    assert curve.max() <= max(base_lr * max(ratios), *lows) * CLOSE
    assert curve.min() >= 0.0


@given(plan=plans, run=runs)
def test_the_lr_stays_between_its_levels(plan: Plan, run: RunLength) -> None:
    timeline, base_lr = plan.resolve(run), 0.1
    curve = drawn(timeline, base_lr)
    for span in itertools.islice(timeline.spans(), 300):
        phase = span.phase
        if phase.name in ("lambda", "multiplicative"):
            continue  # a user's function is bound by nothing
        ends = [level.scale * base_lr + level.offset for level in phase.ends()]
        inside = curve[span.start : span.stop]
        assert inside.max() <= max(ends) * CLOSE
        assert timeline.damping is not None or inside.min() >= min(ends) / CLOSE - 1e-17


@pytest.mark.parametrize(
    ("main", "largest"),
    [
        pytest.param(Linear(), 1 / 400, id="Linear"),
        pytest.param(Cosine(), math.pi / 800, id="Cosine"),
        pytest.param(Cosine(50, periodic=True), math.pi / 100, id="periodic"),
        pytest.param(Cosine(num_cycles=1.5), 3 * math.pi / 800, id="waves"),
        pytest.param(Polynomial(power=2), 2 / 400, id="Polynomial"),
        pytest.param(Exponential(0.5, 100), math.log(2) / 100, id="Exponential"),
        pytest.param(Power(100), 1 / 100, id="Power"),
        pytest.param(InverseSqrt(100), 0.5 / 100, id="InverseSqrt"),
        pytest.param(REX(), 2 / 400, id="REX"),
        pytest.param(Tanh(), 5 / 400, id="Tanh"),
        pytest.param(FlatCosine(0.5), math.pi / 400, id="FlatCosine"),
        pytest.param(Cyclic(40, 0.0), 1 / 40, id="Cyclic"),
        pytest.param(Cyclic(40, 0.0, mode="triangular2"), 1 / 40, id="triangular2"),
        pytest.param(Cyclic(40, 0.0, mode="exp_range", gamma=0.99), 1 / 40 + 0.01, id="exp_range"),
        pytest.param(PiecewiseLinear([100, 200], [0.5, 1.0, 0.0]), 1 / 100, id="PiecewiseLinear"),
        pytest.param(SGDR(100, cycle_warmup=20, gamma=0.5), 1 / 20, id="SGDR-with-rises"),
        pytest.param(Sequence([Linear(100, end_factor=0.5), Cosine()], [100], "reached"), 1 / 200, id="reached"),
        pytest.param(Sequence([Exponential(0.5, 99), Cosine()], [99], "reached"), 1 / 100, id="endless-reached"),
        pytest.param(Sequence([Exponential(0.99), Exponential(0.99)], [2], "reached"), 0.01, id="two-steps-reached"),
        pytest.param(Sequence([Cosine(30, periodic=True), Linear()], [31], "reached"), 0.06, id="swing-reached"),
    ],
)
def test_continuous_schedules_make_no_jump(main: Schedule, largest: float) -> None:
    curve = drawn(Plan(main).resolve(ROOM))
    assert np.abs(np.diff(curve)).max() <= largest * (1 + 1e-6)


@given(main=st.one_of(falling.filter(lambda main: not isinstance(main, Tanh)), cyclic), warmup=warmups, run=runs)
def test_the_warmup_reaches_the_peak_exactly_once(main: Schedule, warmup: Warmup, run: RunLength) -> None:
    timeline = Plan(main, warmup).resolve(run)
    begin = timeline.boundaries[1]
    curve = drawn(timeline)
    assert curve[begin] == timeline.level_at(begin).scale * 1.0 + timeline.level_at(begin).offset
    first = Plan(main).resolve(RunLength((run.total_steps or 0) - begin, 20)).lr(0, 1.0)
    assert curve[begin] == first
    assert (curve[:begin] < curve[begin]).all() or curve[begin] == 0.0


@given(main=falling, warmup=overlaps, run=runs)
def test_an_overlapping_warmup_is_a_product(main: Schedule, warmup: Warmup, run: RunLength) -> None:
    timeline, alone = Plan(main, warmup).resolve(run), Plan(main).resolve(run)
    assert timeline.boundaries == alone.boundaries
    factors = Plan(Constant(), warmup).resolve(run)
    assert drawn(timeline) == pytest.approx(drawn(alone) * drawn(factors), rel=1e-14)
    assert (np.diff(drawn(factors)) >= -1e-15).all()
    assert drawn(factors).max() <= 1.0


@given(warmup=overlaps, total=st.integers(1, 50), beyond=st.integers(0, 10**6))
def test_an_overlapping_warmup_is_held_where_the_run_ends(warmup: Warmup, total: int, beyond: int) -> None:
    timeline = Plan(Constant(), warmup).resolve(RunLength(total))
    held = timeline.lr(total - 1, 0.1)
    assert timeline.lr(total + beyond, 0.1) == held
    assert timeline.lr(np.array([total + beyond]), 0.1).tolist() == [held]


@given(plan=plans, run=runs)
def test_a_jump_uses_what_steps_in_order_use(plan: Plan, run: RunLength) -> None:
    timeline, total = plan.resolve(run), run.total_steps or 0
    last = plan.resolve(run).lr(total - 1, 0.1)
    in_order = [timeline.lr(t, 0.1) for t in range(total)]
    assert in_order[-1] == last
    assert timeline.lr(np.arange(total)[::-1], 0.1).tolist() == in_order[::-1]


@given(plan=plans, run=runs, steps=st.lists(st.integers(10**6, 10**15), min_size=1, max_size=5))
def test_huge_steps_give_the_same_bits(plan: Plan, run: RunLength, steps: list[int]) -> None:
    timeline = plan.resolve(run)
    assert timeline.lr(np.array(steps), 0.1).tolist() == [timeline.lr(step, 0.1) for step in steps]


ENDLESS = [
    pytest.param(Step(7, 0.999), id="Step"),
    pytest.param(SGDR(10, gamma=0.999), id="SGDR"),
    pytest.param(SGDR(10, cycle_warmup=2, gamma=0.9), id="SGDR-with-rises"),
    pytest.param(Cyclic(9, mode="exp_range", gamma=0.99999), id="Cyclic"),
    pytest.param(Cyclic(9, mode="triangular2"), id="Cyclic-halved"),
    pytest.param(Cosine(9, periodic=True), id="Cosine"),
    pytest.param(Exponential(0.9999), id="Exponential"),
    pytest.param(Exponential(0.99, 50, staircase=True), id="Exponential-stairs"),
    pytest.param(Power(100), id="Power"),
    pytest.param(InverseSqrt(100), id="InverseSqrt"),
    pytest.param(Lambda(halving), id="Lambda"),
    pytest.param(Sequence([Constant(), SGDR(10)], [100]), id="Sequence"),
]


@pytest.mark.parametrize("main", ENDLESS)
@pytest.mark.parametrize("total", [None, 10**6])
def test_a_long_run_takes_no_memory(main: Schedule, total: int | None) -> None:
    timeline = Plan(main, Warmup(50)).resolve(RunLength(total))
    assert len(timeline.segments) <= 6
    timeline.lr(999_999, 0.1)
    assert len(pickle.dumps(timeline)) < 5000


@pytest.mark.parametrize("main", ENDLESS)
def test_a_far_step_runs_no_more_code_than_a_near_one(main: Schedule, monkeypatch: pytest.MonkeyPatch) -> None:
    timeline = Plan(main, Warmup(50)).resolve(RunLength())
    calls: list[int] = []
    level, phases = Phase.level, Repeat.phases

    def counted(self: Phase, k: float) -> Any:
        calls.append(1)
        return level(self, k)

    def counted_phases(self: Repeat, index: int) -> Any:
        calls.append(1)
        return phases(self, index)

    monkeypatch.setattr(Phase, "level", counted)
    monkeypatch.setattr(Repeat, "phases", counted_phases)
    costs = set()
    for step in (200, 10**6, 10**12):
        calls.clear()
        timeline.lr(step, 0.1)
        costs.add(len(calls))
    assert costs <= {1, 2}
    assert len(costs) == 1


def test_a_hundred_thousand_cycles_are_one_segment() -> None:
    timeline = Plan(SGDR(10, gamma=0.9999)).resolve(RunLength(10**6))
    assert len(timeline.segments) == 1
    assert timeline.cycle_at(999_999) == 99_999
    assert timeline.cycle(50_000).start == 500_000


def test_a_product_is_computed_once() -> None:
    calls: list[int] = []

    def factor(step: int) -> float:
        calls.append(step)
        return 0.999

    timeline = Plan(Multiplicative(factor)).resolve(RunLength())
    assert timeline.lr(1000, 1.0) == pytest.approx(0.999**1000, rel=1e-10)
    assert timeline.lr(500, 1.0) == pytest.approx(0.999**500, rel=1e-10)
    assert calls == list(range(1, 1001))


@given(
    parts=st.lists(st.tuples(st.integers(1, 40), st.floats(0.0, 2.0)), min_size=1, max_size=5),
    join=st.sampled_from(["base", "reached"]),
)
def test_a_sequence_is_its_parts(parts: list[tuple[int, float]], join: str) -> None:
    turns = list(itertools.accumulate(length for length, _ in parts))
    mains = [Linear(length, end_factor=end) for length, end in parts]
    curve = drawn(Plan(Sequence([*mains, Cosine(5)], turns, join)).resolve(RunLength(turns[-1] + 9)))
    peak = 1.0
    for main, begin, (length, end) in zip(mains, [0, *turns], parts, strict=False):
        alone = Plan(main).resolve(RunLength(length))
        assert curve[begin : begin + length] == pytest.approx(peak * drawn(alone, more=0), rel=1e-12, abs=1e-15)
        peak *= end if join == "reached" else 1.0
    assert curve[turns[-1]] == pytest.approx(peak, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize(
    ("before", "reached"),
    [
        pytest.param(Constant(0.5), 0.05, id="a multiple"),
        pytest.param(Cosine(10, eta_min=0.02), 0.02, id="a floor"),
        pytest.param(SGDR(4, 3, eta_min=0.02), 0.06, id="between the two"),
    ],
)
@given(main=schedules)
def test_after_a_join_the_value_reached_stands_for_the_base_lr(
    before: Schedule, reached: float, main: Schedule
) -> None:
    joined = Plan(Sequence([before, main], [10], "reached")).resolve(RunLength(LEAST_STEPS + 10, 20))
    alone = Plan(main).resolve(ROOM)
    assert drawn(joined, 0.1)[10:] == pytest.approx(drawn(alone, reached), rel=1e-12, abs=1e-15)


@given(main=schedules)
def test_a_sequence_of_one_is_that_schedule(main: Schedule) -> None:
    assert drawn(Plan(Sequence([main])).resolve(ROOM)).tolist() == drawn(Plan(main).resolve(ROOM)).tolist()


def test_sequences_inside_sequences_are_the_flat_one() -> None:
    nested = Sequence([Sequence([Constant(0.5), Linear()], [10]), Cosine()], [50])
    flat = Sequence([Constant(0.5), Linear(), Cosine()], [10, 50])
    assert Plan(nested).resolve(ROOM) == Plan(flat).resolve(ROOM)
    joined = Sequence([Cosine(9, eta_min=0.02), SGDR(10, gamma=0.5)], [9], "reached")
    nested = Sequence([Constant(0.5), joined], [50], "reached")
    flat = Sequence([Constant(0.5), *joined.schedules], [50, 59], "reached")
    assert Plan(nested).resolve(ROOM) == Plan(flat).resolve(ROOM)
