"""The arithmetic of docs/scale.md, against simulations at sizes that fit here."""

import re
import sqlite3
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from lightning_lrsched import SGDR, Cosine, Plan, RunLength, Schedule, Step
from lightning_lrsched.tracking.columns import pack_segment
from lightning_lrsched.tracking.delivery import Delivery
from lightning_lrsched.tracking.journal import Journal, segment_path
from lightning_lrsched.tracking.mlflow_sink import MlflowSink
from lightning_lrsched.tracking.sharing import redrawn
from lightning_lrsched.tracking.thinning import Thinner, Thinning
from tests.tracking.sinks import Keeps
from tests.tracking.spooling import Groups, make_spool, record_steps, recorder
from tests.tracking.test_sharing import curves_of, delivered, journalled, leaders

PAGE = (Path(__file__).parents[2] / "docs" / "scale.md").read_text(encoding="utf-8")
MILLION = 1_000_000


def told(name: str) -> float:
    """A number of the page's table."""
    found = re.search(rf"\| {re.escape(name)} \| ([\d,.]+)", PAGE)
    assert found, name
    return float(found[1].replace(",", ""))


def journal_of(folder: Path, groups: int, steps: int) -> Path:
    journal, made = Journal(folder, pytest.fail, segment_bytes=1 << 40), Groups([{} for _ in range(groups)])
    timeline = Plan(SGDR("10%"), "5%").resolve(RunLength(steps, None))
    steps_of = recorder(journal, made)
    lrs = np.array([timeline.lr(np.arange(steps), 0.1 * 0.99**index) for index in range(groups)]).T.tolist()
    for step, values in enumerate(lrs):
        steps_of(step, values)
    journal.close()
    return segment_path(folder, 0)


@pytest.mark.parametrize(("groups", "steps"), [(1, 5000), (8, 5000), (1000, 500)])
def test_the_journal_takes_24_bytes_a_step_and_8_a_value(tmp_path: Path, groups: int, steps: int) -> None:
    size = journal_of(tmp_path, groups, steps).stat().st_size
    header = size - steps * (24 + 8 * groups)
    assert 0 < header < 200 + 60 * groups
    assert told("journal, 1,000 groups, 1e6 steps, GB") == pytest.approx((24 + 8 * 1000) * MILLION / 1e9, rel=0.01)
    assert told("journal, 8 groups, 1e6 steps, MB") == pytest.approx((24 + 8 * 8) * MILLION / 1e6, rel=0.01)


def test_the_packed_steps_take_a_fraction_of_a_byte_a_value(tmp_path: Path) -> None:
    source = journal_of(tmp_path, 1000, 2000)
    pack_segment(source.read_bytes(), tmp_path / "0.npz")
    per_value = (tmp_path / "0.npz").stat().st_size / (1000 * 2000)
    assert per_value == pytest.approx(told("packed, bytes a value"), rel=0.3)


@pytest.mark.parametrize(
    ("name", "main", "tolerance"),
    [
        ("cosine, 0.1%", Cosine(), 0.001),
        ("cosine, 1%", Cosine(), 0.01),
        ("SGDR of 10 cycles, 0.1%", SGDR("10%"), 0.001),
        ("SGDR of 10 cycles, 1%", SGDR("10%"), 0.01),
        ("step schedule of 10 drops, 0.1%", Step("10%"), 0.001),
    ],
)
def test_a_group_of_a_run_of_a_million_steps_keeps_as_many_points_as_told(
    name: str, main: Schedule, tolerance: float
) -> None:
    steps = np.arange(MILLION)
    timeline = Plan(main).resolve(RunLength(MILLION, None))
    values = timeline.lr(steps, 0.1)
    thinner, kept = Thinner(Thinning("on_change", tolerance), [0.1]), list[int]()
    bounds = [*timeline.boundaries[:-1], MILLION]
    for start, stop in pairwise(bounds):
        (rows,) = thinner.kept(steps[start:stop], values[start:stop, None])
        kept += [start + int(row) for row in rows]
        kept += [stop - 1] * len(thinner.boundary())
    assert len(kept) == told(f"points a group: {name}")
    assert set(bounds[:-1]) <= set(kept)
    drawn = np.interp(steps, kept, values[kept])
    assert np.abs(drawn - values).max() <= tolerance * 0.1 + 1e-15


def test_a_thousand_groups_that_share_a_shape_cost_a_few_thousand_points(tmp_path: Path) -> None:
    """The number of points does not depend on the steps, so a hundredth of a million shows it, in several segments."""
    steps, groups = MILLION // 200, 1000
    values, timeline = curves_of(
        [SGDR("10%", eta_min=1e-4)] * groups, [0.1 * 0.999**index for index in range(groups)], steps
    )
    spool = journalled(tmp_path, values, timeline, segment_bytes=8 << 20)
    assert len(spool.segments()) > 4
    found = delivered(spool, Thinning("shared", 0.01))
    stored = sum(map(len, found.values()))
    assert stored == pytest.approx(told("points of 1,000 groups: SGDR of 10 cycles, shared, 1%"), rel=0.05)
    drawn = redrawn(found, leaders(groups))
    for index, row in enumerate(values):
        assert np.abs(drawn[f"lr/SGD/{index}"][1] - row).max() <= 0.01 * row.max() + 1e-12
    bounds = [*timeline.boundaries[:-1], *(bound - 1 for bound in timeline.boundaries[1:])]
    assert drawn["lr/SGD/999"][1][bounds] == pytest.approx(values[999, bounds], rel=1e-7)


def test_rows_requests_and_the_growth_of_a_database(uri: str, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    client, path = MlflowClient(uri), Path(uri.removeprefix("sqlite:///"))
    spool = make_spool(tmp_path / "spools")
    journal, groups = Journal(spool.folder, pytest.fail), Groups([{} for _ in range(8)])
    record_steps(recorder(journal, groups), groups, [0.1] * 2000)
    journal.close()
    before = path.stat().st_size
    sink = MlflowSink(client, client.create_run("0").info.run_id, owned=True)
    delivery = Delivery(sink, spool, None, Thinning(), {})
    delivery.run()
    with sqlite3.connect(path) as connection:
        (rows,) = connection.execute("SELECT count(*) FROM metrics").fetchone()
    connection.close()
    spool.release()
    assert rows == delivery.written == 16_000
    assert (path.stat().st_size - before) / rows == pytest.approx(told("bytes a row, sqlite"), rel=0.25)


def test_a_thousand_points_are_one_request(tmp_path: Path) -> None:
    sink, spool = Keeps(), make_spool(tmp_path)
    journal, groups = Journal(spool.folder, pytest.fail), Groups([{} for _ in range(8)])
    record_steps(recorder(journal, groups), groups, [0.1] * 5000)
    journal.close()
    Delivery(sink, spool, None, Thinning(), {}).run()
    spool.release()
    assert len(sink.batches) <= 40_000 / 1000 + 1
