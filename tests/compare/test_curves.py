"""Histories: what counts of them, and what is left of them when they are thinned."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_lrsched.compare.curves import Curve, History

VALUES = st.floats(-1e6, 1e6) | st.just(math.nan) | st.just(math.inf)


def history(*values: float) -> History:
    return History.of((step, 1000 + step, value) for step, value in enumerate(values))


def test_the_latest_counts_whatever_the_order_of_arrival() -> None:
    assert History.of([(7, 20, 0.5), (7, 10, 0.1), (3, 30, 0.9)]).curve() == Curve((3, 7), (0.9, 0.5))


def test_nothing_is_nothing() -> None:
    assert History.of([]).curve() == Curve() == Curve().thinned(10)


def test_what_the_store_cannot_write_is_infinite_again() -> None:
    assert history(1.797e308, -1.797e308).curve().values == (math.inf, -math.inf)


def test_a_short_history_is_left_as_it_is() -> None:
    points = history(3.0, 1.0, 2.0)
    assert points.thinned(3) is points


@given(st.lists(VALUES, min_size=1, max_size=400), st.lists(st.integers(0, 400), max_size=5), st.integers(4, 60))
def test_thinning_keeps_extremes_ends_and_both_sides_of_boundaries(
    values: list[float], boundaries: list[int], most: int
) -> None:
    whole = history(*values)
    thin = whole.thinned(most, boundaries)
    at = np.searchsorted(whole.steps, thin.steps)
    np.testing.assert_array_equal(whole.steps[at], thin.steps)
    np.testing.assert_array_equal(whole.values[at], thin.values)
    assert np.all(np.diff(thin.steps) > 0)
    assert (thin.steps[0], thin.steps[-1]) == (0, len(values) - 1)
    finite = [value for value in values if math.isfinite(value)]
    kept = thin.values[np.isfinite(thin.values)]
    if finite:
        assert (kept.min(), kept.max()) == (min(finite), max(finite))
    assert {step for at in boundaries for step in (at - 1, at) if 0 <= step < len(values)} <= set(thin.steps.tolist())
    gaps = 2 * (most // 2)
    assert len(thin.steps) <= max(most, 2 + most + 2 * len(boundaries) + gaps)


def test_every_bucket_keeps_its_lowest_and_its_highest() -> None:
    values = [math.sin(step / 3) + (5 if step == 777 else 0) for step in range(1000)]
    thin = history(*values).thinned(100)
    for first in range(0, 1000, 20):
        inside = (first <= thin.steps) & (thin.steps < first + 20)
        bucket = values[first : first + 20]
        assert {min(bucket), max(bucket)} <= set(thin.values[inside].tolist())


def test_restarts_stay_upright() -> None:
    """A cosine with restarts: both sides of each restart are there, so that the fall is drawn at its place."""
    values = [0.05 * (1 + math.cos(math.pi * (step % 2500) / 2500)) for step in range(100_000)]
    thin = history(*values).thinned(2000, range(0, 100_000, 2500))
    assert len(thin.steps) <= 2000 + 2 + 2 * 40
    assert set(range(2500, 100_000, 2500)) | set(range(2499, 100_000, 2500)) <= set(thin.steps.tolist())
    redrawn = np.interp(np.arange(100_000), thin.steps, thin.values)
    assert np.abs(redrawn - values).max() < 0.002 * 0.1


@pytest.mark.parametrize(("step", "value"), [(-1, None), (0, 0.5), (4, 0.5), (5, 0.7), (99, 0.7)])
def test_a_curve_is_asked_for_its_latest_value(step: int, value: float | None) -> None:
    assert Curve((0, 5), (0.5, 0.7)).at(step) == value
