"""Records become points; keys are one to one; curves are bounded."""

import math
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from lightning_lrsched.tracking import curve as module
from lightning_lrsched.tracking.curve import Curve, draw
from lightning_lrsched.tracking.journal import Journal
from lightning_lrsched.tracking.recorder import MetricRecord, metrics_note
from lightning_lrsched.tracking.sink import key_of, key_part
from lightning_lrsched.tracking.thinning import Thinning
from tests.tracking.spooling import Groups, of, points_of, record_steps, recorder

TAKEN = re.compile(r"[A-Za-z0-9_\-. :]+\Z")


class Here(NamedTuple):
    stop: int | None
    cycle: int


def phases_of_three(step: int) -> Here:
    return Here(step // 3 * 3 + 3, step // 6)


@given(st.lists(st.text(max_size=12), unique=True, max_size=6))
def test_two_names_never_share_a_key(names: list[str]) -> None:
    assert len({key_part(name) for name in names}) == len(names)


def test_two_groups_never_share_a_curve() -> None:
    journal, groups = Journal(None, pytest.fail), [{"name": "x#2"}, {"name": "x"}, {"name": "x"}]
    record_steps(recorder(journal, groups), groups, [0.4])
    points = points_of(journal.take_memory(1 << 20))
    assert sorted(point.value for point in points) == [0.1, 0.2, 0.4]
    assert len({point.key for point in points}) == 3


@given(st.text(max_size=12))
def test_every_key_is_one_that_mlflow_takes(name: str) -> None:
    assert TAKEN.match(key_part(name))
    assert key_part(name) not in (".", "..")


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("lr(0)", "lr:28:0:29:"),
        ("a/b", "a:2f:b"),
        ("a:b", "a:3a:b"),
        ("", "::"),
        (3, "3"),
        ("β", ":3b2:"),
        ("..", ":2e::2e:"),
    ],
)
def test_what_a_name_becomes(name: object, key: str) -> None:
    assert key_part(name) == key


def test_a_key_that_is_too_long_is_cut_and_stays_unique() -> None:
    keys = {key_of("lr", "SGD", "layer." * 60 + str(index)) for index in range(20)}
    assert len(keys) == 20
    assert max(map(len, keys)) == 250


def recorded(lrs: list[float], groups: Groups | None = None, places: bool = True) -> bytes:
    """The journal of some steps, in memory."""
    journal = Journal(None, pytest.fail)
    groups = [{}] if groups is None else groups
    made = recorder(journal, groups)
    made.place = phases_of_three if places else None
    record_steps(made, groups, lrs)
    return journal.take_memory(1 << 20)


def test_a_step_is_a_point_for_each_group() -> None:
    lrs = [0.5**step for step in range(8)]
    points = points_of(recorded(lrs, [{}, {"name": "head/out"}]))
    assert of(points, "lr/SGD/0") == list(enumerate(lrs))
    assert of(points, "lr/SGD/head:2f:out") == list(enumerate(lr / 2 for lr in lrs))


def test_groups_of_the_same_name_have_keys_of_their_own() -> None:
    groups: Groups = [{"name": "1"}, {}, {"name": "a"}, {"name": "a"}]
    keys = {point.key for point in points_of(recorded([0.1], groups)) if point.key.startswith("lr/")}
    assert keys == {"lr/SGD/1", "lr/SGD/1:23:1", "lr/SGD/a", "lr/SGD/a:23:3"}


@pytest.mark.parametrize("thinning", [Thinning(), Thinning(100), Thinning("on_change")])
def test_phase_and_cycle_are_flat_between_their_changes(thinning: Thinning) -> None:
    found = points_of(recorded([0.1 * step for step in range(8)]), thinning)
    assert of(found, "schedule/phase") == [(0, 0.0), (2, 0.0), (3, 1.0), (5, 1.0), (6, 2.0), (7, 2.0)]
    assert of(found, "schedule/cycle") == [(0, 0.0), (2, 0.0), (3, 0.0), (5, 0.0), (6, 1.0), (7, 1.0)]


@pytest.mark.parametrize("thinning", [Thinning(100), Thinning("on_change", 1.0)])
def test_the_first_and_the_last_step_of_every_phase_are_kept(thinning: Thinning) -> None:
    found = points_of(recorded([0.1 * step for step in range(8)]), thinning)
    assert [step for step, _ in of(found, "lr/SGD/0")] == [0, 2, 3, 5, 6, 7]


def test_a_fit_that_begins_later_knows_how_many_phases_came_before() -> None:
    journal, groups = Journal(None, pytest.fail), Groups([{}])
    made = recorder(journal, groups)
    made.place = phases_of_three
    record_steps(made, groups, [0.1] * 3, start=7)
    found = points_of(journal.take_memory(1 << 20))
    assert [value for _, value in of(found, "schedule/phase")] == [2.0, 2.0, 3.0, 3.0]


def test_a_group_that_joins_later_gets_a_key_of_its_own() -> None:
    journal, groups = Journal(None, pytest.fail), Groups([{"name": "base"}])
    made = recorder(journal, groups)
    record_steps(made, groups, [0.1, 0.2])
    groups.append({"name": "head"})
    record_steps(made, groups, [0.3, 0.4], start=2)
    points = points_of(journal.take_memory(1 << 20))
    assert of(points, "lr/SGD/base") == [(0, 0.1), (1, 0.2), (2, 0.3), (3, 0.4)]
    assert of(points, "lr/SGD/head") == [(2, 0.15), (3, 0.2)]


def test_what_else_is_scheduled_is_recorded_where_a_group_has_it() -> None:
    journal = Journal(None, pytest.fail)
    groups: Groups = [{"weight_decay": 0.5, "betas": (0.9, 0.99)}, {"momentum": 0.8}]
    made = recorder(journal, groups, others=("momentum", "weight_decay"))
    record_steps(made, groups, [0.1])
    groups[0]["betas"], groups[0]["weight_decay"], groups[1]["momentum"] = (0.7, 0.99), 0.25, 0.6
    record_steps(made, groups, [0.2], start=1)
    points = points_of(journal.take_memory(1 << 20))
    assert of(points, "momentum/SGD/0") == [(0, 0.9), (1, 0.7)]
    assert of(points, "momentum/SGD/1") == [(0, 0.8), (1, 0.6)]
    assert of(points, "weight_decay/SGD/0") == [(0, 0.5), (1, 0.25)]
    assert of(points, "weight_decay/SGD/1") == []


def test_what_the_run_has_already_becomes_no_point() -> None:
    lrs = [0.1 * step for step in range(8)]
    points = points_of(recorded(lrs, [{}, {}]), after={"lr/SGD/0": 4, "schedule/cycle": 3})
    assert of(points, "lr/SGD/0") == list(enumerate(lrs))[5:]
    assert len(of(points, "lr/SGD/1")) == 8
    assert [step for step, _ in of(points, "schedule/cycle")] == [5, 6, 7]


def test_infinite_values_are_left_out_and_remembered_nan_is_kept() -> None:
    values = {"a": math.inf, "b": math.nan, "c": 1.0, "d": -math.inf}
    points = points_of(metrics_note(MetricRecord(3, 9, values)))
    assert [(point.key, point.step, point.timestamp) for point in points] == [("b", 3, 9), ("c", 3, 9)]


def test_the_steps_a_second_are_those_of_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10**15, 500_000_000))
    monkeypatch.setattr("lightning_lrsched.tracking.recorder.time.time_ns", lambda: next(clock))
    points = points_of(recorded([0.1] * 50, places=False))
    assert [(point.step, point.value) for point in points if point.key == "throughput/steps_per_second"] == [
        (20, 2.0),
        (40, 2.0),
    ]


@pytest.mark.parametrize("count", [0, 1, 8192, 8193, 100_000])
@pytest.mark.parametrize("piece", [1000, 99_999])
def test_a_curve_stays_bounded_and_keeps_its_ends_near(count: int, piece: int) -> None:
    curve = Curve()
    for start in range(0, count, piece):
        steps = np.arange(start, min(count, start + piece))
        curve.extend(steps, steps / 2)
    assert len(curve.steps) == len(curve.values) <= module._MOST
    assert curve.values == [step / 2 for step in curve.steps]
    assert curve.steps == sorted(set(curve.steps))
    assert len(curve.steps) >= min(count, module._MOST // 4)
    assert not count or (curve.steps[0] == 0 and count - curve.steps[-1] <= count / len(curve.steps) * 2)


def test_a_curve_is_drawn_into_a_picture(tmp_path: Path) -> None:
    curve = Curve()
    curve.extend(np.arange(10), np.linspace(0, 1, 10))
    assert draw({"lr/SGD/0": curve}, "a title", tmp_path / "lr.png")
    assert (tmp_path / "lr.png").read_bytes().startswith(b"\x89PNG")


def test_a_long_title_stays_in_the_picture_and_off_the_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = []

    def look(figure: Figure, path: Path, dpi: int) -> None:
        figure.draw_without_rendering()
        texts = [text for text in (*figure.texts, *(axes.title for axes in figure.axes)) if text.get_text()]
        boxes.append((figure.bbox, [text.get_window_extent() for text in texts], figure.legends[0].get_window_extent()))

    monkeypatch.setattr(Figure, "savefig", look)
    title = f"SGDR(eta_min=1e-06, periods={['10ep'] * 9}, max_ratios={[1.0] * 9})"
    draw(dict.fromkeys(["lr/AdamW/backbone", "lr/AdamW/head"], Curve()), title, tmp_path / "lr.png")
    [(whole, texts, names)] = boxes
    assert texts
    assert all(whole.x0 <= text.x0 and text.x1 <= whole.x1 and not text.overlaps(names) for text in texts)


def test_groups_that_are_added_three_hundred_times_are_all_recorded() -> None:
    journal, groups = Journal(None, pytest.fail), Groups()
    made = recorder(journal, groups, index=1)
    for step in range(300):
        groups.append({})
        record_steps(made, groups, [0.5], step)
    points = points_of(journal.take_memory(1 << 24))
    assert of(points, "lr/SGD/0") == [(step, 0.5) for step in range(300)]
    assert len(of(points, "lr/SGD/299")) == 1


def test_a_step_that_cannot_be_recorded_is_told_once_and_raises_nothing_into_training() -> None:
    told: list[str] = []
    journal, groups = Journal(None, told.append), Groups([{"momentum": 0.9}])
    made = recorder(journal, groups, ["momentum"])
    record_steps(made, groups, [0.5])
    groups[0]["momentum"] = "nine tenths"
    record_steps(made, groups, [0.5] * 3, 1)
    groups[0]["momentum"] = 0.8
    record_steps(made, groups, [0.25], 4)
    assert len(told) == 1
    assert told[0].startswith("Tracking fails, training goes on: step 1 of SGD cannot be recorded (ValueError: ")
    assert [value for _, value in of(points_of(journal.take_memory(1 << 24)), "lr/SGD/0")] == [0.5, 0.25]
