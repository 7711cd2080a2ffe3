"""SGDR and OneCycle."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_lrsched import SGDR, OneCycle, Plan, RunLength


def values(plan: Plan, count: int, total: int | None = None, base_lr: float = 1.0) -> list[float]:
    """Return the first lrs of a plan."""
    found: list[float] = plan.resolve(RunLength(total, 10)).lr(np.arange(count), base_lr).tolist()
    return found


HALF = math.sqrt(0.5) / 2 + 0.5


@pytest.mark.parametrize(
    ("main", "expected"),
    [
        pytest.param(SGDR(2), [1, 0.5, 1, 0.5, 1, 0.5], id="equal"),
        pytest.param(SGDR(2, eta_min=0.5), [1, 0.75, 1, 0.75], id="floor"),
        pytest.param(SGDR(2, eta_min_ratio=0.5), [1, 0.75, 1, 0.75], id="floor-ratio"),
        pytest.param(SGDR(2, gamma=0.5), [1, 0.5, 0.5, 0.25, 0.25, 0.125], id="gamma"),
        pytest.param(SGDR(2, gamma=0.5, eta_min=0.1), [1, 0.55, 0.5, 0.3, 0.25, 0.175], id="gamma-floor"),
        pytest.param(SGDR(2, 2), [1, 0.5, 1, HALF, 0.5, 1 - HALF, 1], id="growing"),
        pytest.param(SGDR(2, 2, gamma=0.5), [1, 0.5, 0.5, HALF / 2, 0.25, (1 - HALF) / 2, 0.25], id="growing-gamma"),
        pytest.param(SGDR(3, inclusive=True), [1, 0.5, 0, 1, 0.5, 0, 1], id="inclusive"),
        pytest.param(SGDR(periods=[2, 4]), [1, 0.5, 1, HALF, 0.5, 1 - HALF, 0, 0], id="periods"),
        pytest.param(SGDR(periods=[2, 2], max_ratios=[2, 0.5]), [2, 1, 0.5, 0.25, 0], id="max-ratios"),
        pytest.param(SGDR(periods=[2, 2], eta_min=[0.5, 0.1]), [1, 0.75, 1, 0.55, 0.1, 0.1], id="floors"),
        pytest.param(SGDR(periods=[2, 2], eta_min_ratio=[0.5, 0.1]), [1, 0.75, 1, 0.55, 0.1], id="floor-ratios"),
        pytest.param(SGDR("0.2ep", 1.5), [1, 0.5, 1, 0.75, 0.25, 1], id="fractional-growth"),
    ],
)
def test_sgdr_values(main: SGDR, expected: list[float]) -> None:
    assert values(Plan(main), len(expected)) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize(
    ("growth", "lengths"),
    [
        pytest.param(1.5, [5, 8, 11, 17, 25, 38], id="1.5"),
        pytest.param(1.1, [5, 6, 6, 7, 7, 8, 9, 10, 11], id="1.1"),
        pytest.param(2, [5, 10, 20, 40], id="2"),
    ],
)
def test_growing_cycles_are_rounded_once_each(growth: float, lengths: list[int]) -> None:
    timeline = Plan(SGDR(5, growth)).resolve(RunLength(sum(lengths)))
    assert [(cycle.stop or 0) - cycle.start for cycle in timeline.cycles()] == lengths


@given(gamma=st.floats(0.05, 1.0), floor=st.floats(0.0, 0.5), first=st.integers(1, 30))
def test_sgdr_is_its_formula(gamma: float, floor: float, first: int) -> None:
    drawn = values(Plan(SGDR(first, gamma=gamma, eta_min=floor)), 5 * first)
    for t, lr in enumerate(drawn):
        cycle, k = divmod(t, first)
        peak = gamma**cycle
        assert lr == pytest.approx(floor + (peak - floor) * (1 + math.cos(math.pi * k / first)) / 2, abs=1e-13)


@given(main=st.sampled_from([SGDR(7), SGDR(7, 2), SGDR(7, 1.3, gamma=0.9)]), total=st.integers(7, 300))
def test_a_longer_run_does_not_move_the_cycles(main: SGDR, total: int) -> None:
    assert values(Plan(main), total, total) == values(Plan(main), total, 1000) == values(Plan(main), total)


def test_explicit_cycles_may_be_cut_by_the_end_of_the_run() -> None:
    timeline = Plan(SGDR(periods=[4, 4, 4])).resolve(RunLength(6))
    assert [cycle.complete for cycle in timeline.cycles()] == [True, False]


def test_growth_of_too_many_cycles_is_refused_quickly() -> None:
    with pytest.raises(ValueError, match=r"SGDR\.T_mult = 1\.0000001 .*at most 10000 cycles.*example"):
        Plan(SGDR(1, 1.0000001)).resolve(RunLength(10**9))


@pytest.mark.parametrize(
    ("main", "total", "expected"),
    [
        pytest.param(
            OneCycle(pct_start=0.5, anneal_strategy="linear", div_factor=2, final_div_factor=5),
            6,
            [0.5, 0.75, 1.0, 0.7, 0.4, 0.1, 0.1],
            id="linear",
        ),
        pytest.param(
            OneCycle(pct_start=0.5, div_factor=2, final_div_factor=5),
            6,
            [0.5, 0.75, 1.0, 0.775, 0.325, 0.1, 0.1],
            id="cos",
        ),
        pytest.param(
            OneCycle(6, 0.5, anneal_strategy="linear", div_factor=2, final_div_factor=5),
            8,
            [0.5, 0.75, 1.0, 0.7, 0.4, 0.1, 0.1, 0.1],
            id="held",
        ),
        pytest.param(
            OneCycle(pct_start=0.3, three_phase=True, anneal_strategy="linear", div_factor=4, final_div_factor=2),
            10,
            [0.25, 0.625, 1.0, 0.625, 0.25, 0.225, 0.2, 0.175, 0.15, 0.125, 0.125],
            id="three-phases",
        ),
    ],
)
def test_one_cycle_values(main: OneCycle, total: int, expected: list[float]) -> None:
    assert values(Plan(main), len(expected), total) == pytest.approx(expected, abs=1e-12)


@given(total=st.integers(30, 2000), pct_start=st.floats(0.1, 0.9), strategy=st.sampled_from(["cos", "linear"]))
def test_one_cycle_rises_to_the_base_lr_and_falls_to_its_end(total: int, pct_start: float, strategy: str) -> None:
    drawn = np.array(values(Plan(OneCycle(pct_start=pct_start, anneal_strategy=strategy)), total + 1, total))
    top = int(drawn.argmax())
    assert drawn[0] == pytest.approx(1 / 25)
    assert drawn[-1] == drawn[-2] == pytest.approx(1 / 25 / 1e4)
    assert (np.diff(drawn[: top + 1]) > 0).all()
    assert (np.diff(drawn[top:-1]) < 0).all()
    assert abs(top - (pct_start * total - 1)) <= 1


@pytest.mark.parametrize(
    ("params", "total"),
    [
        pytest.param({"pct_start": 0.01}, 20, id="no-rise"),
        pytest.param({"pct_start": 0.01, "three_phase": True}, 20, id="three-phases"),
        pytest.param({}, 1, id="one-step"),
    ],
)
def test_one_cycle_without_room_for_a_phase_is_told(params: dict[str, Any], total: int) -> None:
    with pytest.raises(ValueError, match=r"OneCycle\.pct_start = .* leaves a phase without a step .*example"):
        Plan(OneCycle(**params)).resolve(RunLength(total))
