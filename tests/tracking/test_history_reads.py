"""Whole histories, which can be millions of points, are read only where they may hold what is about to be written."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric

from lightning_lrsched import MLflowTracker
from lightning_lrsched.tracking import mlflow_sink
from lightning_lrsched.tracking.last_fit import Fit, note_last_fit
from lightning_lrsched.tracking.mlflow_client import store_of
from lightning_lrsched.tracking.mlflow_sink import MlflowSink
from lightning_lrsched.tracking.replay import replay
from lightning_lrsched.tracking.sink import Point
from tests.tracking.reading import history, only_run, repeated
from tests.tracking.test_replay import STEPS, expected, left
from tests.tracking.test_resumed import LRS, lrs, no_step_twice, train
from tests.tracking.test_take_over import killed

pytestmark = pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys whose histories are read from now on."""
    keys, whole = list[str](), MlflowClient.get_metric_history

    def noted(client: MlflowClient, run_id: str, key: str) -> Any:
        keys.append(key)
        return whole(client, run_id, key)

    monkeypatch.setattr(MlflowClient, "get_metric_history", noted)
    return keys


def test_what_a_killed_fit_has_left_is_delivered_without_reading_its_run(
    uri: str, tmp_path: Path, read: list[str]
) -> None:
    path = killed(tmp_path, uri)
    train(tmp_path, MLflowTracker(uri, "study"), ckpt_path=path)
    assert read == []
    run = only_run(uri)
    assert history(uri, run, LRS) == lrs()
    no_step_twice(uri, run)
    assert not (tmp_path / "lrsched_spool").exists()


def test_a_replay_after_a_later_fit_reads_the_curves_that_go_further(uri: str, tmp_path: Path, read: list[str]) -> None:
    client = MlflowClient(uri)
    run_id = client.create_run("0").info.run_id
    later = [Metric(LRS, 0.5, 9, step) for step in (STEPS - 2, STEPS + 5)]
    client.log_batch(run_id, [*later, Metric("lr/SGD/1", 1.0, 9, -5)])
    note_last_fit(client, run_id, Fit("later", 2))
    replay(left(tmp_path, uri, run_id=run_id, experiment="Default", created=1))
    assert read == [LRS]
    run = only_run(uri)
    assert history(uri, run, LRS) == sorted([*expected()[:-2], expected()[-1], *((m.step, m.value) for m in later)])
    assert len(history(uri, run, "lr/SGD/1")) == STEPS + 1
    assert repeated(uri) == []


@pytest.fixture
def files(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file store, which appends whatever it gets."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    return f"file:{tmp_path}/runs"


@pytest.mark.filterwarnings("ignore::FutureWarning")  # MLflow's own, of its file store
def test_a_fit_into_a_file_store_reads_nothing_that_it_has_written(files: str, tmp_path: Path, read: list[str]) -> None:
    tracker = MLflowTracker(files, "study", deliver_every=0.01)
    train(tmp_path, tracker)
    assert read == []
    metrics = MlflowClient(files).get_metric_history(str(tracker.run_id), LRS)
    assert [(metric.step, metric.value) for metric in metrics] == lrs()


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_file_store_has_a_point_once_after_a_write_that_failed_in_the_middle(
    files: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = MlflowClient(files)
    run_id = client.create_run("0").info.run_id
    sink = MlflowSink(client, run_id, owned=True)

    class Half:
        def log_batch(self, run_id: str, metrics: Sequence[Metric], params: Any, tags: Any) -> None:
            store_of(client).log_batch(run_id, metrics[: len(metrics) // 2], params, tags)
            raise OSError("disk full")

    points = [Point("a", step / 2, step, step) for step in range(20)]
    sink.write(points[:4])
    with monkeypatch.context() as failing:
        failing.setattr(mlflow_sink, "store_of", lambda client: Half())
        with pytest.raises(OSError, match="disk full"):
            sink.write(points[4:])
    sink.write(points[4:])
    sink.write(points[10:])
    found = client.get_metric_history(run_id, "a")
    assert [(metric.step, metric.value) for metric in found] == [(point.step, point.value) for point in points]
