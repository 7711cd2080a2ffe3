"""The comparison for machines."""

import csv
import io
import json
import math

from lightning_lrsched.compare import Curve, Goal, RunRecord, as_csv, as_json
from lightning_lrsched.compare.plans import PlannedPhase

GOAL = Goal("val_loss", "min", 0.5, target_given=True)
RECORDS = [
    RunRecord(
        "abc",
        "=HYPERLINK(1)",
        "finished",
        start_time=1000,
        end_time=3500,
        params={"schedule/main": "Cosine()", "schedule/steps_per_epoch": "4"},
        lr={"SGD/0": Curve((0, 1), (0.1, math.nan))},
        metric=Curve((3, 7), (0.75, 0.25)),
        cycles=Curve((0, 3, 4, 7), (0, 0, 1, 1)),
        cycle_best=Curve((3,), (0.75,)),
        phases=(PlannedPhase("cosine", 0, 8, 0),),
        clock=Curve((0, 7), (1500, 3500)),
    ),
    RunRecord("def", "silent", "running"),
]


def test_csv_has_a_line_for_each_run_and_no_formula() -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(RECORDS, GOAL))))
    assert rows[0] == {
        "run_id": "abc", "run": "'=HYPERLINK(1)", "status": "finished", "schedule": "Cosine()", "warmup": "",
        "best": "0.25", "step": "7", "epoch": "1", "cycle": "1", "target_step": "7", "target_epochs": "2.0",
        "seconds": "2.5", "area": "0.5", "steps": "8",
        "recommended": "0.75", "recommended_step": "3", "recommended_cycle": "0",
    }  # fmt: skip
    assert rows[1] == dict.fromkeys(rows[0], "") | {"run_id": "def", "run": "silent", "status": "running"}


def test_json_holds_all_that_was_read_and_is_json() -> None:
    read = json.loads(as_json(RECORDS, GOAL), parse_constant=lambda word: f"no JSON: {word}")
    goal = {"metric": "val_loss", "mode": "min", "target": 0.5, "target_given": True, "mode_from": "name"}
    assert read["goal"] == goal
    first, second = read["runs"]
    assert first["run"] == "=HYPERLINK(1)"
    assert (first["best"], first["area"]) == (0.25, 0.5)
    assert first["lr"] == {"SGD/0": {"steps": [0, 1], "values": [0.1, None]}}
    assert first["metric"] == {"steps": [3, 7], "values": [0.75, 0.25]}
    assert first["kept_best"] == {"steps": [3], "values": [0.75]}
    assert first["phases"] == [{"name": "cosine", "start": 0, "stop": 8, "cycle": 0, "whole": True}]
    assert first["cycle_ends"] == [3]
    assert second["metric"] == {"steps": [], "values": []}
    assert read["means"] == []
