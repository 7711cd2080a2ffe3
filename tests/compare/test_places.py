"""Steps on the other axes."""

import math
from typing import Any

import pytest

from lightning_lrsched.compare import Curve, RunRecord
from lightning_lrsched.compare.places import began, epochs_done, seconds_passed


def run(**given: Any) -> RunRecord:
    return RunRecord("a", "a", "finished", **given)


@pytest.mark.parametrize(
    ("record", "done"),
    [
        pytest.param(run(params={"schedule/steps_per_epoch": "4"}), Curve((-1, 3), (0.0, 1.0)), id="length known"),
        pytest.param(run(params={"schedule/steps_per_epoch": "2.5"}), Curve((-1, 1), (0.0, 0.8)), id="no whole number"),
        pytest.param(
            run(epochs=Curve((1, 3, 5, 7), (0, 0, 1, 1))), Curve((-1, 3, 7), (0.0, 1.0, 2.0)), id="told by the epochs"
        ),
        pytest.param(run(epochs=Curve((3,), (math.nan,))), Curve(), id="no epoch"),
        pytest.param(run(), Curve(), id="nothing"),
    ],
)
def test_epochs_trained(record: RunRecord, done: Curve) -> None:
    assert epochs_done(record) == done


def test_seconds_count_from_the_beginning_of_the_run() -> None:
    record = run(start_time=1000, clock=Curve((0, 9), (1500, 6000)))
    assert seconds_passed(record) == Curve((0, 9), (0.5, 5.0))


def test_a_run_whose_store_was_ready_late_began_with_its_first_step() -> None:
    record = run(start_time=9000, end_time=9100, clock=Curve((0, 9), (1500, 6000)))
    assert began(record) == 1500
    assert seconds_passed(record).values == (0.0, 4.5)


def test_without_times_there_is_no_axis() -> None:
    assert seconds_passed(run()) == Curve()
    assert seconds_passed(run(start_time=5)) == Curve()
