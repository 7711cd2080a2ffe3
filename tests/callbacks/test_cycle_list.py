"""cycles.json, which is for programs: any reader of JSON takes it, and it says what was measured."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from lightning_lrsched import SGDR, CycleCheckpoint, LearningRateScheduler
from lightning_lrsched.ensemble import find_members
from tests.callbacks.models import Tiny, make_trainer
from tests.callbacks.test_cycle_checkpoint import NEVER_KEPT


def strict(path: Path) -> Any:
    """Read JSON as jq and browsers do: NaN and Infinity are no part of it."""

    def refuse(name: str) -> None:
        raise AssertionError(name)

    return json.loads(path.read_text(), parse_constant=refuse)


@pytest.mark.filterwarnings(NEVER_KEPT)
@pytest.mark.parametrize("given", [math.nan, math.inf, -math.inf], ids=str)
def test_a_metric_that_is_no_number_is_null_and_counts_as_measured(tmp_path: Path, given: float) -> None:
    scores = {5: given, 10: 0.5, 15: 0.25, 20: given}
    checkpoint = CycleCheckpoint("val_loss", keep="end", dirpath=tmp_path)
    plan = LearningRateScheduler(SGDR(5))
    module = Tiny(score=scores.__getitem__)
    make_trainer(tmp_path, plan, checkpoint, val_check_interval=5).fit(module)
    rows = [row["end"] for row in strict(tmp_path / "cycles.json")["cycles"]]
    assert [(row["step"], row["score"]) for row in rows] == [(5, None), (10, 0.5), (15, 0.25), (20, None)]
    assert [row["metrics"] for row in rows] == [{"val_loss": row["score"]} for row in rows]
    members = [one.score for one in find_members(tmp_path)]
    assert [score is not None and math.isnan(score) for score in members] == [True, False, False, True]


def test_what_was_not_measured_is_told_from_it(tmp_path: Path) -> None:
    checkpoint = CycleCheckpoint("val_loss", keep="end", dirpath=tmp_path)
    make_trainer(tmp_path, LearningRateScheduler(SGDR(5)), checkpoint).fit(Tiny(score=lambda step: 0.5))
    assert [one.score for one in find_members(tmp_path)] == [None, 0.5, None, 0.5]


def test_a_list_of_an_earlier_release_is_still_read(tmp_path: Path) -> None:
    checkpoint = CycleCheckpoint("val_loss", keep="end", dirpath=tmp_path)
    make_trainer(tmp_path, LearningRateScheduler(SGDR(10)), checkpoint).fit(Tiny(score=lambda step: 0.5))
    content = strict(tmp_path / "cycles.json")
    content["cycles"][0]["end"] |= {"score": math.nan, "metrics": {"val_loss": math.nan}}
    del content["cycles"][1]["end"]["metrics"]
    (tmp_path / "cycles.json").write_text(json.dumps(content))
    first, second = find_members(tmp_path)
    assert math.isnan(first.score or 0.0)
    assert second.score == 0.5
