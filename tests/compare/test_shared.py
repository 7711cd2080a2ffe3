"""Runs tracked with ``every_n_steps="shared"``: curves of which the store has a part are read back whole."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch.optim import SGD, Optimizer

from lightning_lrsched import SGDR, LearningRateScheduler, Linear, MLflowTracker
from lightning_lrsched.compare import Goal, RunRecord, Selection, as_json, load_runs, open_store
from lightning_lrsched.compare.curves import History
from lightning_lrsched.compare.report.plans_table import plan_rows
from lightning_lrsched.compare.shared import whole
from tests.callbacks.models import Stranger, Tiny, make_trainer
from tests.compare.stores import quiet_mlflow

pytestmark = quiet_mlflow

STEPS = 200
BASES = {"w": 0.1, "b": 0.05}


def named(module: Tiny) -> Optimizer:
    """The group that comes first by name follows the other one."""
    groups: list[dict[str, Any]] = [
        {"params": [module.weight], "lr": BASES["w"], "name": "w"},
        {"params": [module.bias], "lr": BASES["b"], "name": "b"},
    ]
    return SGD(groups, lr=0.1)


def fitted(folder: Path, schedule: LearningRateScheduler) -> tuple[RunRecord, dict[str, list[float]]]:
    """Return a fit as it is read back, and the lrs that its steps really used."""
    uri, stranger = f"sqlite:///{folder}/mlflow.db", Stranger()
    tracker = MLflowTracker(uri, "e", every_n_steps="shared")
    make_trainer(folder, schedule, tracker, stranger, max_epochs=20).fit(Tiny(named))
    _, [record] = load_runs(open_store(uri), Selection(["e"]))
    return record, {name: stranger.group(index) for index, name in enumerate(BASES)}


def assert_same(record: RunRecord, true: dict[str, list[float]]) -> None:
    assert record.lr is not None
    assert list(record.lr) == ["SGD/b", "SGD/w"]
    for name, lrs in true.items():
        curve = record.lr[f"SGD/{name}"]
        drawn = np.interp(np.arange(STEPS), curve.steps, curve.values)
        assert np.abs(drawn - lrs).max() <= 0.001 * BASES[name] + 1e-12, name


def test_a_group_that_follows_another_has_its_own_curve_in_everything_that_is_told(tmp_path: Path) -> None:
    record, true = fitted(tmp_path, LearningRateScheduler(SGDR("10ep"), warmup="1ep"))
    assert_same(record, true)
    assert len(record.metric.steps) == 20
    assert record.clock.steps[-1] == STEPS - 1
    told = {row.name: row.cells[0] for row in plan_rows([record])[1]}
    last = f"{true['b'][109]:.3g}"
    assert told["phase 2"] == f"cosine cycle, cycle 0: steps 10 to 109, lr 0.05 → {last}"
    points = json.loads(as_json([record], Goal("val_loss", "min")))["runs"][0]["lr"]["SGD/b"]
    assert dict(zip(points["steps"], points["values"], strict=True))[109] == pytest.approx(true["b"][109], rel=1e-6)


def test_a_group_with_a_schedule_of_its_own_keeps_it(tmp_path: Path) -> None:
    schedule = LearningRateScheduler(SGDR("10ep"), warmup="1ep", groups={"b": Linear(end_factor=0.1)})
    assert_same(*fitted(tmp_path, schedule))


def test_a_group_that_joins_later_has_no_curve_before() -> None:
    def history(*points: tuple[int, float]) -> History:
        return History.of((step, 1000 + step, value) for step, value in points)

    histories = {
        "schedule/phase": history((0, 0.0), (9, 0.0), (10, 0.0), (19, 0.0)),
        "lr/SGD/0": history((0, 0.1), (9, 0.1), (10, 0.1), (12, 0.02), (19, 0.01)),
        "lr/SGD/late": history((10, 0.05), (19, 0.005)),
        "lr/Adam/0": history((0, 1.0)),
    }
    drawn = whole(histories, ["lr/SGD/0", "lr/gone/0"])
    assert list(drawn) == ["lr/SGD/late"]
    assert drawn["lr/SGD/late"].steps.tolist() == [10, 12, 19]
    assert drawn["lr/SGD/late"].times.tolist() == [1010, 1012, 1019]
    assert drawn["lr/SGD/late"].values.tolist() == pytest.approx([0.05, 0.01, 0.005])
