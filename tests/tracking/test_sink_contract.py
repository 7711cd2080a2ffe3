"""What every sink must do; MLflow on sqlite and a tracker of a few lines do it alike."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from mlflow import MlflowClient

from lightning_lrsched.tracking.mlflow_sink import MlflowSink
from lightning_lrsched.tracking.sink import Point, Sink
from tests.tracking.sinks import JsonLines

Rows = list[tuple[str, int, int, float]]


class Tried(NamedTuple):
    sink: Sink
    points: Callable[[], Rows]
    status: Callable[[], str]
    files: Callable[[], list[str]]


def of_mlflow(uri: str) -> Tried:
    client = MlflowClient(uri)
    run_id = client.create_run("0").info.run_id

    def points() -> Rows:
        keys = client.get_run(run_id).data.metrics
        found = [metric for key in keys for metric in client.get_metric_history(run_id, key)]
        return sorted((metric.key, metric.step, metric.timestamp, metric.value) for metric in found)

    return Tried(
        MlflowSink(client, run_id, owned=True),
        points,
        lambda: str(client.get_run(run_id).info.status),
        lambda: [file.path for file in client.list_artifacts(run_id, "folder")],
    )


def of_lines(path: Path) -> Tried:
    sink = JsonLines(path)
    return Tried(
        sink,
        lambda: sorted(
            (row["key"], row["step"], row["timestamp"], row["value"]) for row in sink.rows() if "key" in row
        ),
        lambda: str(sink.rows()[-1]["status"]),
        lambda: sorted({row["file"] for row in sink.rows() if "file" in row}),
    )


@pytest.fixture(params=["mlflow", "json lines"])
def tried(request: pytest.FixtureRequest, uri: str, tmp_path: Path) -> Tried:
    return of_mlflow(uri) if request.param == "mlflow" else of_lines(tmp_path / "run.jsonl")


def some(count: int, start: int = 0) -> list[Point]:
    return [Point(key, 0.5**step, step, 1000 + step) for step in range(start, start + count) for key in ("lr/a", "b c")]


def test_points_are_stored_as_they_are(tried: Tried) -> None:
    tried.sink.write(some(10))
    assert tried.points() == sorted((key, step, timestamp, value) for key, value, step, timestamp in some(10))


def test_a_point_that_is_written_again_is_there_once(tried: Tried) -> None:
    tried.sink.write(some(10))
    tried.sink.write(some(10, start=5))
    assert len(tried.points()) == 30
    assert len({row[:2] for row in tried.points()}) == 30


def test_nothing_to_write_is_nothing(tried: Tried) -> None:
    tried.sink.write([])
    tried.sink.write([Point("a", math.nan, 0, 0)])
    assert len(tried.points()) == 1


def test_the_last_step_of_every_curve_is_known(tried: Tried) -> None:
    tried.sink.write([*some(4), Point("b c", 0.1, 2, 99_999)])
    assert tried.sink.last_steps() == {"lr/a": 3, "b c": 3}


def test_a_file_that_is_stored_again_is_there_once(tried: Tried, tmp_path: Path) -> None:
    for content in ("one", "two"):
        (tmp_path / "file.txt").write_text(content)
        tried.sink.upload(tmp_path / "file.txt", "folder")
    assert tried.files() == ["folder/file.txt"]


def test_a_description_may_change_and_the_run_ends(tried: Tried) -> None:
    tried.sink.describe({"a": "1"}, {"t": "x"})
    tried.sink.describe({"a": "2", "b": "3"}, {"t": "y"})
    tried.sink.finish("FAILED")
    assert tried.status() == "FAILED"


def test_it_says_whether_a_failure_is_final(tried: Tried, tmp_path: Path) -> None:
    assert not tried.sink.is_final(ConnectionError("refused"))
