"""Records become points; keys are one to one; curves are bounded."""

import math
import re
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_lrsched.tracking import curve as module
from lightning_lrsched.tracking.curve import Curve, draw
from lightning_lrsched.tracking.recorder import MetricRecord, Recorder, StepRecord
from lightning_lrsched.tracking.sink import Point, key_part

TAKEN = re.compile(r"[A-Za-z0-9_\-. :]+\Z")


class Here(NamedTuple):
    start: int
    stop: int | None
    cycle: int


@given(st.lists(st.text(max_size=12), unique=True, max_size=6))
def test_two_names_never_share_a_key(names: list[str]) -> None:
    assert len({key_part(name) for name in names}) == len(names)


@given(st.text(max_size=12))
def test_every_key_is_one_that_mlflow_takes(name: str) -> None:
    assert TAKEN.match(key_part(name))


@pytest.mark.parametrize(
    ("name", "key"),
    [("lr(0)", "lr:28:0:29:"), ("a/b", "a:2f:b"), ("a:b", "a:3a:b"), ("", "::"), (3, "3"), ("β", ":3b2:")],
)
def test_what_a_name_becomes(name: object, key: str) -> None:
    assert key_part(name) == key


def recorder() -> Recorder:
    made = Recorder()
    made.keys[0] = ["lr/SGD/0"]
    made.place = lambda step: Here(step // 3 * 3, step // 3 * 3 + 3, step // 6)
    return made


def points(made: Recorder, steps: int) -> list[Point]:
    found = [point for step in range(steps) for point in made.points(StepRecord(0, step, step, step, [0.5**step]))]
    return [*found, *made.last_place()]


def test_a_step_is_a_point_for_each_group() -> None:
    made = recorder()
    lrs = [point for point in points(made, 8) if point.key == "lr/SGD/0"]
    assert lrs == [Point("lr/SGD/0", 0.5**step, step, step) for step in range(8)]


def test_phase_and_cycle_are_flat_between_their_changes() -> None:
    made = recorder()
    found = points(made, 8)
    assert [(p.step, p.value) for p in found if p.key == "schedule/phase"] == [
        *[(0, 0.0), (2, 0.0), (3, 1.0), (5, 1.0), (6, 2.0), (7, 2.0)]
    ]
    assert [(p.step, p.value) for p in found if p.key == "schedule/cycle"] == [
        *[(0, 0.0), (2, 0.0), (3, 0.0), (5, 0.0), (6, 1.0), (7, 1.0)]
    ]


def test_a_group_that_joins_later_gets_a_key_of_its_own() -> None:
    made = recorder()
    list(made.points(StepRecord(0, 0, 0, 0, [0.1])))
    keys = [point.key for point in made.points(StepRecord(0, 1, 1, 0, [0.1, 0.2, 0.3]))]
    assert keys == ["lr/SGD/0", "lr/SGD/1", "lr/SGD/2"]


def test_infinite_values_are_left_out_and_remembered_nan_is_kept() -> None:
    made = recorder()
    found = list(made.points(MetricRecord(3, 9, {"a": math.inf, "b": math.nan, "c": 1.0, "d": -math.inf})))
    assert [point.key for point in found] == ["b", "c"]
    assert made.infinite == ["a", "d"]


@pytest.mark.parametrize("count", [0, 1, 8192, 8193, 100_000])
def test_a_curve_stays_bounded_and_keeps_its_ends_near(count: int) -> None:
    curve = Curve()
    for step in range(count):
        curve.add(step, step / 2)
    assert len(curve.steps) == len(curve.values) <= module._MOST
    assert curve.values == [step / 2 for step in curve.steps]
    assert curve.steps == sorted(set(curve.steps))
    assert len(curve.steps) >= min(count, module._MOST // 2)
    assert not count or (curve.steps[0] == 0 and count - curve.steps[-1] <= count / len(curve.steps) * 2)


@pytest.mark.parametrize("curves", [1, 3, 20])
def test_a_picture_is_drawn_for_any_number_of_curves(tmp_path: Path, curves: int) -> None:
    made = {f"lr/SGD/{index}": Curve() for index in range(curves)}
    for curve in made.values():
        curve.add(0, 0.1)
        curve.add(1, 0.2)
    assert draw(made, "a $title_ with {odd} signs", tmp_path / "lr.png")
    assert (tmp_path / "lr.png").read_bytes().startswith(b"\x89PNG")
