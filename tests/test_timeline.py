"""Timelines: one step and many give the same bits, and phases, cycles and boundaries agree with each other."""

import itertools
import re
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_lrsched import SGDR, Constant, Cooldown, Cosine, Linear, Plan, RunLength, Step, Timeline
from lightning_lrsched.describe import plan_table
from lightning_lrsched.phases import Level, Phase, Repeat
from lightning_lrsched.timeline import Cycle
from tests.counting import calls_of
from tests.strategies import base_lrs, plans, runs

PERIODIC = Plan(SGDR("10ep", 2, eta_min=1e-5), warmup="500 steps").resolve(RunLength(7000, 100))


@given(plan=plans, run=runs, base_lr=base_lrs)
def test_one_step_and_many_give_the_same_bits(plan: Plan, run: RunLength, base_lr: float) -> None:
    timeline = plan.resolve(run)
    steps = np.arange(0, (run.total_steps or 0) + 7)
    assert timeline.lr(steps, base_lr).tolist() == [timeline.lr(int(t), base_lr) for t in steps]


@given(plan=plans, run=runs, base_lr=base_lrs)
def test_every_lr_is_finite_and_at_least_zero(plan: Plan, run: RunLength, base_lr: float) -> None:
    drawn = plan.resolve(run).lr(np.arange(run.total_steps or 0), base_lr)
    assert np.isfinite(drawn).all()
    assert (drawn >= 0.0).all()


@given(plan=plans, run=runs)
def test_spans_cover_the_run_without_gap(plan: Plan, run: RunLength) -> None:
    timeline = plan.resolve(run)
    spans = list(timeline.spans())
    assert timeline.total == run.total_steps
    assert spans[0].start == 0
    assert spans[-1].stop == timeline.total
    assert all(before.stop == after.start for before, after in itertools.pairwise(spans))
    assert all(span.stop is not None and span.stop > span.start for span in spans)
    assert timeline.boundaries == (*(span.start for span in spans), timeline.total)


@given(plan=plans, run=runs, share=st.floats(0.0, 1.1))
def test_phase_and_cycle_of_a_step_contain_it(plan: Plan, run: RunLength, share: float) -> None:
    timeline, step = plan.resolve(run), int(share * (run.total_steps or 0))
    span = timeline.phase_at(step)
    assert span.start <= step
    assert span.stop is None or step < span.stop
    cycle = timeline.cycle(timeline.cycle_at(step))
    assert cycle.start <= step
    assert step >= (timeline.total or 0) or cycle.stop is None or step < cycle.stop


@given(plan=plans, run=runs)
def test_cycles_follow_each_other_from_start_to_end(plan: Plan, run: RunLength) -> None:
    timeline = plan.resolve(run)
    cycles = list(timeline.cycles())
    assert [cycle.index for cycle in cycles] == list(range(len(cycles)))
    assert cycles[0].start == 0
    assert cycles[-1].stop == timeline.total
    assert all(before.stop == after.start for before, after in itertools.pairwise(cycles))
    assert all(cycle.complete for cycle in cycles[:-1])


@given(plan=plans, run=runs, beyond=st.integers(0, 10**9))
def test_past_the_end_the_last_value_holds(plan: Plan, run: RunLength, beyond: int) -> None:
    timeline, total = plan.resolve(run), run.total_steps or 0
    held = timeline.lr(total, 0.1)
    assert timeline.lr(total + beyond, 0.1) == held
    assert timeline.lr(np.array([total + beyond]), 0.1).tolist() == [held]
    assert timeline.phase_at(total + beyond).stop is None


@given(plan=plans, run=runs)
def test_epoch_updates_make_a_staircase(plan: Plan, run: RunLength) -> None:
    per_epoch = RunLength(run.total_steps, max(1, (run.total_steps or 0) // 20))
    try:
        timeline = plan.resolve(per_epoch, update="epoch")
    except ValueError:
        return
    steps = np.arange(per_epoch.total_steps or 0)
    drawn = timeline.lr(steps, 0.1)
    stride = per_epoch.steps_per_epoch or 1
    assert drawn.tolist() == timeline.lr(steps // stride * stride, 0.1).tolist()
    assert all(boundary % stride == 0 for boundary in timeline.boundaries)


def test_epoch_staircase_has_the_values_of_the_epochs() -> None:
    timeline = Plan(Cosine(), warmup="2ep").resolve(RunLength(1000, 100), update="epoch")
    by_epoch = Plan(Cosine(), warmup=2).resolve(RunLength(10))
    assert [timeline.lr(t, 0.1) for t in range(0, 1000, 50)] == [by_epoch.lr(t // 2, 0.1) for t in range(20)]
    assert timeline.boundaries == (0, 200, 1000)


def test_epoch_staircase_covers_a_last_epoch_that_is_cut() -> None:
    timeline = Plan(Linear()).resolve(RunLength(950, 100), update="epoch")
    assert timeline.total == 1000
    assert timeline.lr(949, 1.0) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("step", "name", "start", "stop", "cycle"),
    [
        pytest.param(0, "warmup", 0, 500, 0, id="first"),
        pytest.param(499, "warmup", 0, 500, 0, id="warmup-end"),
        pytest.param(500, "cosine cycle", 500, 1500, 0, id="first-cycle"),
        pytest.param(1499, "cosine cycle", 500, 1500, 0, id="before-restart"),
        pytest.param(1500, "cosine cycle", 1500, 3500, 1, id="restart"),
        pytest.param(6999, "cosine cycle", 3500, 7000, 2, id="last"),
        pytest.param(7000, "after the plan", 7000, None, 2, id="after"),
        pytest.param(10**9, "after the plan", 7000, None, 2, id="far-after"),
    ],
)
def test_phase_at(step: int, name: str, start: int, stop: int | None, cycle: int) -> None:
    span = PERIODIC.phase_at(step)
    assert (span.name, span.start, span.stop, span.cycle) == (name, start, stop, cycle)
    assert PERIODIC.cycle_at(step) == cycle


def test_cycles_of_a_run_that_cuts_the_last() -> None:
    assert list(PERIODIC.cycles()) == [
        Cycle(0, 0, 1500, complete=True),
        Cycle(1, 1500, 3500, complete=True),
        Cycle(2, 3500, 7000, complete=False, planned_stop=7500),
    ]
    assert PERIODIC.boundaries == (0, 500, 1500, 3500, 7000)


@pytest.mark.parametrize("update", ["step", "epoch"])
@pytest.mark.parametrize(
    ("plan", "stops"),
    [
        pytest.param(Plan(SGDR("10ep", 2)), (250, 350), id="growing"),
        pytest.param(Plan(SGDR("20ep")), (250, 300), id="repeated"),
        pytest.param(Plan(SGDR("20ep", cycle_warmup="8ep")), (250, 300), id="a cut fall"),
        pytest.param(Plan(SGDR("20ep", cycle_warmup="12ep")), (250, 300), id="a cut rise"),
        pytest.param(Plan(SGDR("20ep", cycle_warmup="10ep")), (250, 300), id="nothing but a rise"),
        pytest.param(Plan(SGDR("20ep"), cooldown=Cooldown("1ep")), (250, 300), id="cut by a cooldown"),
        pytest.param(Plan(SGDR("25ep")), (250, None), id="complete"),
    ],
)
def test_a_cycle_that_is_cut_says_where_it_would_have_ended(
    plan: Plan, stops: tuple[int, int | None], update: str
) -> None:
    *_, last = plan.resolve(RunLength(250, 5), update).cycles()
    assert (last.stop, last.planned_stop) == stops
    if last.planned_stop is not None:
        assert plan.resolve(RunLength(1000, 5), update).cycle(last.index).stop == last.planned_stop


def test_last_cycle_that_fits_is_complete() -> None:
    for plan in (Plan(SGDR(100)), Plan(SGDR(100, 2)), Plan(SGDR(periods=[100, 200]))):
        assert list(plan.resolve(RunLength(300)).cycles())[-1].complete


@pytest.mark.parametrize("index", [-1, 3, 10**6])
def test_cycle_that_is_not_there(index: int) -> None:
    with pytest.raises(IndexError, match=rf"cycle {index} is not in this timeline, which has 3 cycles"):
        PERIODIC.cycle(index)


@pytest.mark.parametrize(
    ("plan", "cyclic"),
    [
        pytest.param(Plan(SGDR(10)), True, id="sgdr"),
        pytest.param(Plan(SGDR(periods=[10])), True, id="one-period"),
        pytest.param(Plan(Cosine()), False, id="cosine"),
        pytest.param(Plan(Step(10)), False, id="step"),
    ],
)
def test_cyclic(plan: Plan, cyclic: bool) -> None:
    timeline = plan.resolve(RunLength(100))
    assert timeline.cyclic is cyclic
    if not cyclic:
        assert list(timeline.cycles()) == [Cycle(0, 0, 100, complete=True)]


def test_run_without_end() -> None:
    timeline = Plan(SGDR(10, gamma=0.5), warmup=5).resolve(RunLength())
    assert timeline.total is None
    assert list(itertools.islice(timeline.cycles(), 2)) == [Cycle(0, 0, 15, True), Cycle(1, 15, 25, True)]
    assert timeline.cycle(1000).start == 5 + 1000 * 10
    assert timeline.lr(5 + 30, 1.0) == 0.125
    assert [span.start for span in itertools.islice(timeline.spans(), 3)] == [0, 5, 15]
    with pytest.raises(ValueError, match=r"no end.*spans\(\)"):
        _ = timeline.boundaries


@pytest.mark.parametrize(
    ("plan", "starts"),
    [
        pytest.param(Plan(Constant()), [0], id="from the start"),
        pytest.param(Plan(Constant(0.5), warmup=10), [0, 10], id="after a warmup"),
        pytest.param(Plan(Constant(0.5, total_iters=7), warmup=10), [0, 10, 17], id="after something else"),
        pytest.param(Plan(Cosine(T_max=9)), [0, 9], id="after a cosine"),
    ],
)
@pytest.mark.parametrize("stride", [1, 5])
def test_a_level_that_is_held_without_end_is_one_phase(plan: Plan, starts: list[int], stride: int) -> None:
    timeline = replace(plan.resolve(RunLength()), stride=stride)
    spans = list(itertools.islice(timeline.spans(), 9))
    assert [span.start for span in spans] == [stride * start for start in starts]
    assert [span.stop for span in spans] == [*(stride * start for start in starts[1:]), None]
    far = timeline.phase_at(10**9)
    assert (far.start, far.stop, far.cycle) == (spans[-1].start, None, 0)
    assert timeline.lr(10**9, 0.1) == timeline.lr(spans[-1].start, 0.1)
    assert plan_table(timeline, 0.1).splitlines()[-1].split() == [
        far.name, "0", str(far.start), "...", f"{timeline.lr(far.start, 0.1):.4g}"
    ]  # fmt: skip


@pytest.mark.parametrize("main", [Constant(), Step(7, 0.999), SGDR(10), SGDR(10, 2), Cosine(9, periodic=True)])
def test_far_step_costs_no_more_than_a_near_one(main: Constant) -> None:
    timeline = Plan(main, warmup=3).resolve(RunLength())
    assert calls_of(lambda: timeline.lr(10**6, 0.1)) <= calls_of(lambda: timeline.lr(50, 0.1)) + 20
    assert timeline.lr(np.array([10**6]), 0.1).tolist() == [timeline.lr(10**6, 0.1)]


@pytest.mark.parametrize("growth", ["1", "1.1", "1.25", "1.5", "2", "2.7", "3", "4", "5", "6", "7", "8", "9", "10"])
@given(first=st.integers(1, 300), warm=st.integers(0, 50))
def test_restarts_against_exact_sums(growth: str, first: int, warm: int) -> None:
    total = 1_000_000
    plan = Plan(SGDR(first, float(growth)), warmup=warm or None)
    timeline = plan.resolve(RunLength(total))
    begin, exact = warm, Fraction(first)
    restarts: list[int] = []
    while begin < total and len(restarts) < 200:
        restarts.append(begin)
        begin += int(exact + Fraction(1, 2))
        exact *= Fraction(growth)
    for index, restart in enumerate(restarts):
        assert timeline.lr(restart, 0.1) == 0.1
        assert timeline.cycle_at(restart) == index
        assert timeline.cycle(index).start == (restart if index else 0)
        if index:
            assert timeline.cycle_at(restart - 1) == index - 1
            assert timeline.lr(restart - 1, 0.1) < 0.1 or first == 1


@given(first=st.integers(1, 300), hundredths=st.integers(100, 1000), warm=st.integers(0, 50), seen=st.randoms())
def test_restarts_of_any_growth_up_to_a_million_steps(first: int, hundredths: int, warm: int, seen: Any) -> None:
    total, growth = 1_000_000, Fraction(hundredths, 100)
    timeline = Plan(SGDR(first, hundredths / 100), warmup=warm or None).resolve(RunLength(total))
    restarts: range | list[int] = range(warm, total, first)
    if growth > 1:
        begin, exact, restarts = warm, Fraction(first), []
        while begin < total:
            restarts.append(begin)
            begin += int(exact + Fraction(1, 2))
            exact *= growth
    count = len(restarts)
    for index in {0, count - 1, *(seen.randrange(count) for _ in range(20))}:
        assert timeline.cycle(index).start == (restarts[index] if index else 0)
        assert timeline.cycle_at(restarts[index]) == index
        assert timeline.lr(restarts[index], 0.1) == 0.1
        assert not index or timeline.cycle_at(restarts[index] - 1) == index - 1
    assert timeline.cycle_at(total - 1) == count - 1
    with pytest.raises(IndexError, match=f"which has {count} cycles"):
        timeline.cycle(count)


@pytest.mark.parametrize(
    "segments",
    [
        pytest.param((), id="none"),
        pytest.param((Repeat((Phase("a", 1, Level(1.0)),)), Phase("b", 1, Level(1.0))), id="endless-first"),
    ],
)
def test_timeline_refuses(segments: tuple[Phase | Repeat, ...]) -> None:
    with pytest.raises(ValueError, match="at least one segment, and only the last may be without end"):
        Timeline(segments)


def test_step_before_the_run_is_refused() -> None:
    with pytest.raises(ValueError, match=r"step = -1 .*at least 0.*example"):
        PERIODIC.lr(-1, 0.1)
    with pytest.raises(ValueError, match=r"step = -3 .*at least 0.*example"):
        PERIODIC.lr(np.array([4, -3]), 0.1)


def test_arrays_keep_their_form() -> None:
    assert PERIODIC.lr(np.zeros((2, 3), dtype=int), 0.1).shape == (2, 3)
    assert PERIODIC.lr(np.zeros(0, dtype=int), 0.1).shape == (0,)


@pytest.mark.parametrize(
    ("step", "base_lr", "name"),
    [
        pytest.param("3", 0.1, "step = '3'", id="text"),
        pytest.param(3.0, 0.1, "step = 3.0", id="float"),
        pytest.param(None, 0.1, "step = None", id="None"),
        pytest.param(np.arange(3.0), 0.1, "step = dtype", id="array of floats"),
        pytest.param(3, "0.1", "base_lr = '0.1'", id="base lr as text"),
        pytest.param(3, float("nan"), "base_lr = nan", id="base lr that is no number"),
    ],
)
def test_what_is_no_step_or_no_lr_is_refused(step: Any, base_lr: Any, name: str) -> None:
    timeline = Plan(Cosine()).resolve(RunLength(10))
    with pytest.raises(ValueError, match=f"^{re.escape(name)}.* is refused: .* For example: "):
        timeline.lr(step, base_lr)


def test_a_step_of_numpy_is_a_step() -> None:
    timeline = Plan(Cosine()).resolve(RunLength(10))
    step: Any = np.int64(3)
    assert type(timeline.lr(step, 0.1)) is float
    assert timeline.lr(step, 0.1) == timeline.lr(3, 0.1)
