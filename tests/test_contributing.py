"""The guides in CONTRIBUTING.md work as they stand there: a schedule and a tracker are made from their code alone."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import lightning_lrsched.schedules.steps
from lightning_lrsched import LearningRateScheduler, Plan, RunLength
from lightning_lrsched.tracking.sink import Point
from tests.callbacks.models import Tiny, expected, loader, make_trainer
from tests.guides import CALLBACK, HALVING, SINK


@pytest.fixture
def made() -> Iterator[dict[str, Any]]:
    """What the code makes, in modules with the names that the guide gives them."""
    names = ("lightning_lrsched.tracking.json_lines", "lightning_lrsched.callbacks.json_lines_tracker")
    halving = dict(vars(lightning_lrsched.schedules.steps))
    exec(HALVING, halving)
    found = {"Halving": halving["Halving"]}
    for name, code in zip(names, (SINK, CALLBACK), strict=True):
        sys.modules[name] = module = ModuleType(name)
        exec(compile(code, name, "exec"), module.__dict__)
        found |= module.__dict__
    yield found
    for name in names:
        del sys.modules[name]


def test_the_schedule_does_what_its_doctest_says(made: dict[str, Any]) -> None:
    timeline = Plan(made["Halving"](3)).resolve(RunLength(total_steps=8))
    assert timeline.boundaries == (0, 2, 4, 6, 8)
    assert [timeline.lr(step, 0.8) for step in (0, 2, 4, 7)] == [0.8, 0.4, 0.2, 0.1]
    with pytest.raises(ValueError, match=r"Halving\.halvings = 0 is refused.*Halving\(halvings=3\)"):
        made["Halving"](0)


def test_the_tracker_records_a_fit(made: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    callback = LearningRateScheduler(made["Halving"](3))
    make_trainer(tmp_path, callback, made["JsonLinesTracker"](path), max_epochs=2).fit(Tiny(), loader(6))
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["value"] for row in rows if row.get("key") == "lr/SGD/0"] == expected(callback, 12)
    assert rows[-1] == {"status": "FINISHED"}


def test_the_sink_stores_a_point_once(made: dict[str, Any], tmp_path: Path) -> None:
    sink = made["JsonLinesSink"](tmp_path / "run.jsonl")
    for _ in range(2):
        sink.write([Point("a", 0.5, 1, 10), Point("a", 0.4, 2, 11)])
    assert len((tmp_path / "run.jsonl").read_text().splitlines()) == 2
    assert sink.last_steps() == {"a": 2}
