"""Thinning: a bounded error, restarts and boundaries exactly, and the same points however the steps come in."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_lrsched import SGDR, MultiStep, Plan, RunLength, Schedule
from lightning_lrsched.tracking.thinning import Thinner, Thinning

Floats = "np.ndarray[Any, np.dtype[np.float64]]"
STEPS = 3000


def kept(thinning: Thinning, values: Any, scale: float = 1.0, cuts: list[int] | None = None) -> list[int]:
    """The steps that are kept of one curve, given in pieces."""
    thinner, steps, found, start = Thinner(thinning, [scale]), np.arange(len(values)), list[int](), 0
    for stop in [*sorted(cuts or []), len(values)]:
        if stop > start:
            (rows,) = thinner.kept(steps[start:stop], values[start:stop, None])
            found += [start + int(row) for row in rows]
            start = stop
    return found + [len(values) - 1] * len(thinner.boundary())


def curve(main: Schedule) -> Any:
    return Plan(main, "5%").resolve(RunLength(STEPS, None)).lr(np.arange(STEPS), 0.1)


@pytest.mark.parametrize("tolerance", [0.0, 1e-4, 1e-3, 1e-2])
@pytest.mark.parametrize("main", [SGDR("10%"), SGDR(50, T_mult=2, eta_min=1e-4), MultiStep([100, 2000])])
def test_a_curve_drawn_from_what_is_kept_misses_none_of_its_steps_by_more_than_allowed(
    main: Schedule, tolerance: float
) -> None:
    values = curve(main)
    steps = kept(Thinning("on_change", tolerance), values, scale=0.1)
    drawn = np.interp(np.arange(STEPS), steps, values[steps])
    assert np.abs(drawn - values).max() <= tolerance * 0.1 + 1e-15
    assert (steps[0], steps[-1]) == (0, STEPS - 1)
    if tolerance >= 1e-3:
        assert len(steps) < STEPS / 10


def test_a_restart_is_kept_exactly() -> None:
    values = curve(SGDR("10%"))
    steps = kept(Thinning("on_change", 0.01), values, scale=0.1)
    rises = np.flatnonzero(np.diff(values) > 0.05)
    assert len(rises) == 9
    assert {int(step) for rise in rises for step in (rise, rise + 1)} <= set(steps)


def test_a_step_schedule_costs_a_handful_of_points() -> None:
    values = Plan(MultiStep([1000, 2000])).resolve(RunLength(STEPS, None)).lr(np.arange(STEPS), 0.1)
    assert kept(Thinning("on_change"), values, scale=0.1) == [0, 999, 1000, 1999, 2000, 2999]


@given(st.lists(st.integers(0, 300), max_size=6), st.sampled_from([0.0, 1e-3, 0.1]), st.integers(0, 4))
def test_what_is_kept_does_not_depend_on_how_the_steps_come_in(cuts: list[int], tolerance: float, kind: int) -> None:
    generator = np.random.default_rng(kind)
    steps = np.arange(300)
    values = [np.cos(steps / 40), generator.random(300), steps % 37 / 37, np.repeat([1.0, 2, 3], 100)]
    values.append(np.where(generator.random(300) < 0.1, math.nan, 1.0))
    thinning = Thinning("on_change", tolerance)
    whole = kept(thinning, values[kind])
    assert kept(thinning, values[kind], cuts=cuts) == whole
    assert whole == sorted(set(whole))
    if not np.isnan(values[kind]).any():
        drawn = np.interp(steps, whole, values[kind][whole])
        assert np.abs(drawn - values[kind]).max() <= tolerance + 1e-12


@pytest.mark.parametrize(("every", "steps"), [(1, 10), (3, 4), (4, 4), (100, 2)])
def test_every_nth_step_is_kept_and_the_first_and_the_last(every: int, steps: int) -> None:
    found = kept(Thinning(every), np.arange(10.0))
    assert found == sorted({0, 9, *range(0, 10, every)})
    assert len(found) == steps


def test_the_first_step_after_a_boundary_is_kept() -> None:
    thinner = Thinner(Thinning(10), [1.0])
    assert thinner.kept(np.arange(1, 5), np.ones((4, 1)))[0].tolist() == [0]
    assert thinner.boundary() == [0]
    assert thinner.kept(np.arange(5, 9), np.ones((4, 1)))[0].tolist() == [0]
