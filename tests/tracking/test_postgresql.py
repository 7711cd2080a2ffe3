"""The store that a team has: PostgreSQL from Debian's packages."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.tracking_cost import postgresql
from lightning_lrsched import SGDR, LearningRateScheduler, MLflowTracker, RunLength
from tests.callbacks.models import Tiny, expected, make_trainer
from tests.postgresql import skip_without_postgresql
from tests.tracking.reading import history, only_run
from tests.tracking.test_replay import left

LRS = "lr/SGD/0"


@pytest.fixture
def database() -> Iterator[str]:
    skip_without_postgresql()
    with postgresql() as uri:
        yield uri


def test_a_fit_and_a_replay_reach_postgresql_once(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lightning_lrsched.tracking.replay import replay

    monkeypatch.chdir(tmp_path)
    schedule = LearningRateScheduler(SGDR(5), warmup=2)
    make_trainer(tmp_path, schedule, MLflowTracker(database, "fit", flush_timeout=120.0)).fit(Tiny())
    run = only_run(database)
    timeline = schedule.plan.resolve(RunLength(20, 10))
    assert history(database, run, LRS) == list(enumerate(expected(timeline, 20)))
    assert run.info.status == "FINISHED"

    folder = left(tmp_path / "spools", database, steps=700)
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    first = replay(folder, database)
    again = replay(copy, database)
    assert (first.points, again.points, first.run_id) == (1401, 1401, again.run_id)
    from mlflow import MlflowClient

    assert len(MlflowClient(database).get_metric_history(first.run_id, LRS)) == 700
