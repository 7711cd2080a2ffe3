"""The report's page and figure, without a browser."""

import json
import math
import re
from collections.abc import Sequence

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from lightning_lrsched.compare import Curve, Goal, RunRecord, report_page
from lightning_lrsched.compare.report.figure import figure
from tests.compare.stores import quiet_mlflow

pytestmark = quiet_mlflow

GOAL = Goal("val_loss", "min", 0.5)


def test_the_figure_of_real_runs_is_one_that_plotly_knows(records: dict[str, RunRecord]) -> None:
    drawn = figure(list(records.values()), GOAL)
    known = go.Figure(data=drawn["traces"], layout=drawn["layout"])  # refuses what plotly does not know
    assert len(known.data) == len(drawn["traces"])
    assert drawn["titles"] == {
        "step": "optimizer step", "epoch": "epochs trained", "time": "wall time (minutes)",
    }  # fmt: skip


def embedded(page: str) -> str:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, flags=re.DOTALL)
    assert found is not None
    return found[1]


def test_nothing_of_the_store_ends_the_data_or_becomes_markup() -> None:
    name = "</script><script>alert(1)</script><!--&amp;\u2028"
    record = RunRecord("id<b>", name, "finished", params={"schedule/main": name}, metric=Curve((0, 1), (1.0, math.nan)))
    page = report_page([record], Goal(name, "min"), name, name)
    assert not re.search(r"[<>&\u2028]", embedded(page))
    own = page.replace(get_plotlyjs(), "")
    assert own.count("<script") == own.count("</script") == 3  # the data, the library, the page's own
    assert json.loads(embedded(page))["traces"]


def long_run(index: int, count: int) -> RunRecord:
    steps = tuple(range(count))
    lr = Curve(steps, tuple(0.05 * (1 + math.cos(math.pi * (step % 500) / 500)) for step in steps))
    values = tuple(1 / (1 + step) + index for step in steps)
    return RunRecord(str(index), f"run {index}", "finished", lr={"SGD/0": lr}, metric=Curve(steps, values))


def points(records: Sequence[RunRecord]) -> int:
    return max(len(trace["x"]) for trace in figure(records, GOAL)["traces"])


def test_a_long_run_is_drawn_with_no_more_points_than_can_be_seen() -> None:
    assert points([long_run(0, 1500)]) == 1500
    assert points([long_run(0, 20_000)]) <= 2002
