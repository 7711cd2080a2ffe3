"""What the comparison with the peers says of vectors that it cannot compare, and that it can fail."""

from typing import Any

import pytest

import tests.golden.peers  # noqa: F401
from tests.golden.adapters import Case, Differs, NotBuilt, Refused, Unknown, cases_of
from tests.golden.test_golden import check


def _vector(schedule: str, params: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": "x", "schedule": schedule, "params": params, "base_lr": 0.1, "values": [[0, 0.1], [3, 0.01]], **more}


@pytest.mark.parametrize(
    ("vector", "outcome", "words"),
    [
        pytest.param(_vector("FrobLR", {}), Unknown, "FrobLR", id="unknown-schedule"),
        pytest.param(_vector("StepLR", {"step_size": 3, "frob": 1}), Unknown, "frob", id="unknown-parameter"),
        pytest.param(_vector("PolynomialLR", {}), NotBuilt, "Polynomial", id="not-built"),
        pytest.param(_vector("StepLR", {"step_size": 3}, param="momentum"), NotBuilt, "momentum", id="momentum"),
        pytest.param(_vector("CosineLRScheduler", {"t_initial": 5, "warmup_t": 2}), Differs, "own start", id="differs"),
        pytest.param(_vector("MultiStepLR", {"milestones": [3, 3]}), Refused, "milestones", id="refused"),
    ],
)
def test_vector_that_is_not_compared(vector: dict[str, Any], outcome: type[Exception], words: str) -> None:
    with pytest.raises(outcome, match=words):
        cases_of(vector)


def test_right_value_passes_and_wrong_value_fails() -> None:
    (case,) = cases_of(_vector("StepLR", {"step_size": 3}))
    assert check(case, [[0, 0.1], [3, 0.01]], 0.0) == {0, 3}
    with pytest.raises(AssertionError, match="t = 3"):
        check(case, [[0, 0.1], [3, 0.0100001]], 0.0)


def test_t_between_two_steps_fails() -> None:
    (case,) = cases_of(_vector("StepLR", {"step_size": 3}))
    with pytest.raises(AssertionError, match="no whole step"):
        Case(case.plan, case.base_lr).step(0.5)
