"""Plans as the store has them, and side by side."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from lightning_lrsched.compare import Curve, RunRecord, Store, open_store
from lightning_lrsched.compare.plans import PlannedPhase, parsed, read_phases
from lightning_lrsched.compare.report.plans_table import PlanRow, plan_rows
from lightning_lrsched.compare.seeds import band, sharing
from tests.compare.stores import quiet_mlflow

pytestmark = quiet_mlflow

WARMUP = {"name": "warmup", "start": 0, "stop": 10, "cycle": 0, "whole": True}
REST = {"name": "cosine", "start": 10, "stop": None, "cycle": 0}


def document(*phases: Any) -> bytes:
    return json.dumps({"phases": phases, "what else": "there is"}).encode()


def test_phases_are_read() -> None:
    assert parsed(document(WARMUP, REST)) == (PlannedPhase("warmup", 0, 10, 0), PlannedPhase("cosine", 10, None, 0))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\xff\xfe", id="no text"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"{}", id="no phases"),
        pytest.param(b'{"phases": 7}', id="a number of phases"),
        pytest.param(document("warmup"), id="words"),
        pytest.param(document({**WARMUP, "start": "0"}), id="a text for a step"),
        pytest.param(document({**WARMUP, "stop": 1.5}), id="half a step"),
        pytest.param(document({"name": "warmup"}), id="no steps"),
    ],
)
def test_what_is_no_plan_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parsed(content)


def test_plans_are_fetched_from_the_store_and_others_passed_over(tmp_path: Path, capfd: Any) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    client = MlflowClient(uri)
    experiment = client.create_experiment("plans", artifact_location=str(tmp_path / "artifacts"))
    whole, broken, bare = (client.create_run(experiment).info.run_id for _ in range(3))
    for run_id, content in ((whole, document(WARMUP)), (broken, b"{")):
        (tmp_path / "plan.json").write_bytes(content)
        client.log_artifact(run_id, str(tmp_path / "plan.json"), "schedule")
    store: Store = open_store(uri)
    capfd.readouterr()
    assert read_phases(store, [whole, broken, bare]) == {
        whole: (PlannedPhase("warmup", 0, 10, 0),), broken: (), bare: (),
    }  # fmt: skip
    assert capfd.readouterr().err == ""


def run(name: str, values: tuple[float, ...] = (), status: str = "finished", **given: Any) -> RunRecord:
    steps = given.pop("steps", tuple(range(0, 10 * len(values), 10)))
    return RunRecord(name, name, status, metric=Curve(steps, values), **given)


SGDR = {"schedule/main": "SGDR(5)", "schedule/main.T_0": "5", "schedule/warmup": "none", "seed": "1"}
COSINE = {"schedule/main": "Cosine()", "schedule/warmup": "none", "seed": "1"}


def test_plans_stand_side_by_side_and_say_what_differs() -> None:
    lr = {"SGD/0": Curve((0, 4, 5, 9), (0.1, 0.01, 0.1, 0.01))}
    phases = (PlannedPhase("cosine cycle", 0, 5, 0), PlannedPhase("cosine cycle", 5, 10, 1))
    records = [
        run("a", params=SGDR, phases=phases, lr=lr),
        run("b", params={"lr": "1"}),
        run("c", params=COSINE, phases=(PlannedPhase("cosine", 0, None, 0),), lr=lr),
        run("d", params=SGDR | {"seed": "2"}),
    ]
    groups, rows = plan_rows(records)
    assert groups == [[0, 3], [2]]
    assert rows == [
        PlanRow("main", ("SGDR(5)", "Cosine()")),
        PlanRow("main.T_0", ("5", "-")),
        PlanRow("warmup", ("none", "none")),
        PlanRow(
            "phase 1", ("cosine cycle, cycle 0: steps 0 to 4, lr 0.1 → 0.01", "cosine, cycle 0: steps 0 …, lr 0.1")
        ),
        PlanRow("phase 2", ("cosine cycle, cycle 1: steps 5 to 9, lr 0.1 → 0.01", "-")),
    ]
    assert [row.differs for row in rows] == [True, True, False, True, True]
    assert rows[0].marked == (False, True)


def test_a_phase_has_the_lr_of_a_group_that_follows_the_plan() -> None:
    lr = {"SGD/apart": Curve((0, 4), (0.5, 0.5)), "SGD/head": Curve((0, 4), (0.1, 0.01))}
    params = SGDR | {"schedule/groups.apart": "Constant()", "schedule/groups.alone": "None"}
    phase = PlannedPhase("cosine cycle", 0, 5, 0)
    for curves, told in ((lr, "steps 0 to 4, lr 0.1 → 0.01"), ({"SGD/apart": lr["SGD/apart"]}, "steps 0 to 4")):
        _, rows = plan_rows([run("a", params=params, phases=(phase,), lr=curves), run("b", params=COSINE)])
        assert rows[-1] == PlanRow("phase 1", (f"cosine cycle, cycle 0: {told}", "-"))


def test_a_plan_of_many_phases_is_cut() -> None:
    phases = tuple(PlannedPhase("cycle", at, at + 1, at) for at in range(100))
    _, rows = plan_rows([run("a", params=SGDR, phases=phases)])
    assert [row.name for row in rows][-2:] == ["phase 12", "and"]
    assert rows[-1].cells == ("88 more",)


def test_runs_share_a_plan_whatever_else_they_have() -> None:
    records = [
        run("a", params=SGDR),
        run("b"),
        run("c", params=COSINE),
        run("d", params=SGDR | {"seed": "2"}),
        run("e"),
    ]
    assert sharing(records) == [[0, 3], [1], [2], [4]]


def test_mean_and_spread_of_seeds() -> None:
    found = band([run("a", (1.0, 0.5, 0.3)), run("b", (0.8, 0.7, 0.1))])
    assert found is not None
    assert found.mean.steps == (0, 10, 20)
    assert found.mean.values == pytest.approx((0.9, 0.6, 0.2))
    assert found.spread == pytest.approx((0.02**0.5, 0.02**0.5, 0.02**0.5))
    assert found.count == 2


def test_seeds_at_other_steps_are_joined_by_lines_where_all_have_values() -> None:
    found = band([run("a", (1.0, 0.0)), run("b", (0.4, 0.4), steps=(5, 20))])
    assert found is not None
    assert found.mean.steps == (5, 10)
    assert found.mean.values == pytest.approx((0.45, 0.2))


@pytest.mark.parametrize(
    ("records", "count"),
    [
        pytest.param([run("a", (1.0,))], None, id="one run"),
        pytest.param([run("a", (1.0, math.nan)), run("b", (math.nan,))], None, id="one with values"),
        pytest.param([run("a", (1.0,)), run("b", (1.0,), steps=(50,))], None, id="nothing in common"),
        pytest.param([run("a", (1.0,)), run("b", (1.0,)), run("c", (9.0,), "failed")], 2, id="the finished"),
        pytest.param([run("a", (1.0,)), run("b", (1.0,), "running")], 2, id="whatever there is"),
    ],
)
def test_what_a_band_is_made_of(records: list[RunRecord], count: int | None) -> None:
    found = band(records)
    assert (None if found is None else found.count) == count
