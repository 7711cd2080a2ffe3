"""Constant, Linear and Cosine."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_lrsched import Constant, Cooldown, Cosine, Linear, Plan, RunLength, Schedule, Timeline


def resolved(main: Schedule, total: int | None = None, **parts: Any) -> Timeline:
    """Return the timeline of a schedule in a run."""
    return Plan(main, **parts).resolve(RunLength(total_steps=total))


@pytest.mark.parametrize(
    ("main", "total", "expected"),
    [
        pytest.param(Constant(), 3, [1.0, 1.0, 1.0, 1.0], id="constant"),
        pytest.param(Constant(0.5), 2, [0.5, 0.5, 0.5], id="constant-factor"),
        pytest.param(Constant(0.5, 2), 4, [0.5, 0.5, 1.0, 1.0, 1.0], id="constant-then-base"),
        pytest.param(Constant(0.5, "50%"), 4, [0.5, 0.5, 1.0, 1.0, 1.0], id="constant-for-a-share"),
        pytest.param(Constant(0.5, 2), 2, [0.5, 0.5], id="constant-all-the-run"),
        pytest.param(Constant(2.0), None, [2.0] * 5, id="constant-without-end"),
        pytest.param(Linear(), 4, [1.0, 0.75, 0.5, 0.25, 0.0, 0.0], id="linear"),
        pytest.param(Linear(2, end_factor=0.5), 5, [1.0, 0.75, 0.5, 0.5, 0.5, 0.5], id="linear-holds"),
        pytest.param(Linear(2, start_factor=0.0, end_factor=3.0), None, [0.0, 1.5, 3.0, 3.0], id="linear-up"),
        pytest.param(Cosine(), 2, [1.0, 0.5, 0.0, 0.0], id="cosine"),
        pytest.param(Cosine(2, 0.2), 4, [1.0, 0.6, 0.2, 0.2, 0.2], id="cosine-floor"),
        pytest.param(Cosine(2, eta_min_ratio=0.2), 4, [1.0, 0.6, 0.2, 0.2], id="cosine-ratio"),
        pytest.param(Cosine(inclusive=True), 3, [1.0, 0.5, 0.0, 0.0], id="cosine-inclusive"),
        pytest.param(Cosine(2, periodic=True), 7, [1.0, 0.5, 0.0, 0.5, 1.0, 0.5, 0.0, 0.0], id="cosine-periodic"),
        pytest.param(Cosine(num_cycles=1.0), 4, [1.0, 0.5, 0.0, 0.5, 1.0, 1.0], id="cosine-wave"),
        pytest.param(Cosine(num_cycles=1.5), 6, [1, 0.5, 0, 0.5, 1, 0.5, 0, 0], id="cosine-ends-on-its-floor"),
        pytest.param(Cosine(num_cycles=1.5, inclusive=True), 7, [1, 0.5, 0, 0.5, 1, 0.5, 0, 0], id="waves-inclusive"),
    ],
)
def test_values(main: Schedule, total: int | None, expected: list[float]) -> None:
    timeline = resolved(main, total)
    assert [timeline.lr(t, 1.0) for t in range(len(expected))] == pytest.approx(expected, abs=1e-15)


@given(total=st.integers(2, 400), num_cycles=st.floats(0.1, 5.0), floor=st.floats(0.0, 0.9))
def test_cosine_is_its_formula_and_holds_its_end(total: int, num_cycles: float, floor: float) -> None:
    timeline = resolved(Cosine(eta_min=floor, num_cycles=num_cycles), total)
    weights = [0.5 + 0.5 * math.cos(2 * math.pi * num_cycles * t / total) for t in range(total + 1)]
    expected = [floor + (1.0 - floor) * weight for weight in weights]
    assert timeline.lr(np.arange(total + 1), 1.0) == pytest.approx(np.array(expected), abs=1e-12)
    assert timeline.lr(10 * total, 1.0) == pytest.approx(expected[-1], abs=1e-12)


def test_floor_is_absolute_or_relative() -> None:
    absolute, relative = resolved(Cosine(eta_min=0.01), 10), resolved(Cosine(eta_min_ratio=0.01), 10)
    for base_lr in (0.1, 1.0, 0.001):
        assert absolute.lr(10, base_lr) == pytest.approx(0.01)
        assert relative.lr(10, base_lr) == pytest.approx(0.01 * base_lr)


@pytest.mark.parametrize(
    ("main", "expected"),
    [
        pytest.param(
            Cosine(4, inclusive=True, eta_min=0.5), [1.0, 0.875, 0.625, 0.5, 0.375, 0.25, 0.125, 0.0], id="lands"
        ),
        pytest.param(Cosine(4, eta_min=0.5), [1.0, 0.927, 0.75, 0.573, 0.5, 0.333, 0.167, 0.0], id="k-over-T"),
    ],
)
def test_cooldown_begins_where_the_main_schedule_ends_without_a_doubled_value(
    main: Schedule, expected: list[float]
) -> None:
    timeline = resolved(main, 7, cooldown=Cooldown(3))
    assert [timeline.lr(t, 1.0) for t in range(8)] == pytest.approx(expected, abs=1e-3)
