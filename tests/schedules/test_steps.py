"""Step and MultiStep."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_lrsched import MultiStep, Plan, RunLength, Schedule, Step
from tests.strategies import milestone_lists


@pytest.mark.parametrize(
    ("main", "expected"),
    [
        pytest.param(Step(2, 0.5), [1, 1, 0.5, 0.5, 0.25, 0.25, 0.125], id="step"),
        pytest.param(Step(1, 0.5), [1, 0.5, 0.25, 0.125], id="every-step"),
        pytest.param(Step("0.3ep"), [1, 1, 1, 0.1, 0.1, 0.1, 0.01], id="epochs"),
        pytest.param(Step("20%", 2.0), [1] * 4 + [2] * 4 + [4] * 4, id="share-and-growth"),
        pytest.param(MultiStep([1, 3], 0.5), [1, 0.5, 0.5, 0.25, 0.25], id="milestones"),
        pytest.param(MultiStep(["0.1ep", "50%"]), [1, *[0.1] * 9, 0.01, 0.01], id="units"),
    ],
)
def test_values(main: Schedule, expected: list[float]) -> None:
    drawn = Plan(main).resolve(RunLength(20, 10)).lr(np.arange(len(expected)), 1.0)
    assert drawn.tolist() == pytest.approx(expected)


@given(size=st.integers(1, 50), gamma=st.floats(0.1, 1.2), t=st.integers(0, 2000))
def test_step_is_its_formula(size: int, gamma: float, t: int) -> None:
    assert Plan(Step(size, gamma)).resolve(RunLength()).lr(t, 1.0) == pytest.approx(gamma ** (t // size), rel=1e-12)


@given(milestones=milestone_lists(), gamma=st.floats(0.1, 1.5), warm=st.integers(0, 20))
def test_milestones_count_from_the_end_of_the_warmup(milestones: list[int], gamma: float, warm: int) -> None:
    timeline = Plan(MultiStep(milestones, gamma), warm or None).resolve(RunLength(300))
    for t in range(280):
        passed = sum(milestone <= t for milestone in milestones)
        assert timeline.lr(t + warm, 1.0) == pytest.approx(gamma**passed, rel=1e-12)


def test_plateaus_are_phases_and_no_cycles() -> None:
    timeline = Plan(MultiStep([10, 30])).resolve(RunLength(50))
    assert timeline.boundaries == (0, 10, 30, 50)
    assert not timeline.cyclic


@pytest.mark.parametrize("main", [Step(1, 1e300), MultiStep([1, 2, 3], 1e300)], ids=["step", "milestones"])
def test_growth_beyond_all_numbers_stays_finite(main: Schedule) -> None:
    timeline = Plan(main).resolve(RunLength(10))
    assert np.isfinite(timeline.lr(np.arange(10), 0.1)).all()
    assert timeline.lr(np.arange(10), 0.1).tolist() == [timeline.lr(t, 0.1) for t in range(10)]
