"""What every sink must do; MLflow on sqlite, its file store, and a tracker of a few lines do it alike."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from mlflow import MlflowClient

from lightning_lrsched.tracking.mlflow_sink import MlflowSink
from lightning_lrsched.tracking.sink import Point, Sink
from tests.tracking.sinks import json_lines, lines_of

Rows = list[tuple[str, int, int, float]]
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # MLflow's own, of its file store


class Tried(NamedTuple):
    """A sink, and what is in its store.

    Args:
        sink: it.
        again: makes another one of the same run, as a replay does.
        points: every row of every curve, sorted.
        described: tags, and params where no tag has their name.
        status: of the run.
        file: the content of a file by its path in the run.
        refuse: has the store refuse everything until somebody does something.
    """

    sink: Sink
    again: Callable[[], Sink]
    points: Callable[[], Rows]
    described: Callable[[], dict[str, str]]
    status: Callable[[], str]
    file: Callable[[str], str]
    refuse: Callable[[], object]


def of_mlflow(uri: str) -> Tried:
    client = MlflowClient(uri)
    run_id = client.create_run("0").info.run_id

    def points() -> Rows:
        keys = client.get_run(run_id).data.metrics
        found = [metric for key in keys for metric in client.get_metric_history(run_id, key)]
        return sorted((metric.key, metric.step, metric.timestamp, metric.value) for metric in found)

    def described() -> dict[str, str]:
        data = client.get_run(run_id).data
        return data.params | {key: value for key, value in data.tags.items() if not key.startswith("mlflow.")}

    return Tried(
        MlflowSink(client, run_id, owned=True),
        lambda: MlflowSink(MlflowClient(uri), run_id, owned=True),
        points,
        described,
        lambda: str(client.get_run(run_id).info.status),
        lambda name: Path(client.download_artifacts(run_id, name)).read_text(),
        lambda: client.delete_run(run_id),
    )


def of_lines(path: Path) -> Tried:
    def points() -> Rows:
        rows = [row for row in lines_of(path) if "key" in row]
        return sorted((row["key"], row["step"], row["timestamp"], row["value"]) for row in rows)

    def described() -> dict[str, str]:
        found: dict[str, str] = {}
        for row in lines_of(path):
            found |= row.get("params", {}) | row.get("tags", {})
        return found

    def refuse() -> None:
        path.unlink(missing_ok=True)
        path.mkdir()

    return Tried(
        json_lines(path),
        lambda: json_lines(path),
        points,
        described,
        lambda: str(lines_of(path)[-1]["status"]),
        lambda name: (path.with_suffix("") / name).read_text(),
        refuse,
    )


@pytest.fixture(params=["mlflow", "mlflow in files", "json lines"])
def tried(request: pytest.FixtureRequest, uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tried:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    made: dict[str, Callable[[], Tried]] = {
        "mlflow": lambda: of_mlflow(uri),
        "mlflow in files": lambda: of_mlflow(f"file:{tmp_path}/runs"),
        "json lines": lambda: of_lines(tmp_path / "run.jsonl"),
    }
    return made[request.param]()


def some(count: int, start: int = 0) -> list[Point]:
    return [Point(key, 0.5**step, step, 1000 + step) for step in range(start, start + count) for key in ("lr/a", "b c")]


def rows_of(points: list[Point]) -> Rows:
    return sorted((key, step, timestamp, value) for key, value, step, timestamp in points)


def test_points_are_stored_as_they_are(tried: Tried) -> None:
    tried.sink.write(some(10))
    assert tried.points() == rows_of(some(10))


def test_a_point_that_is_written_again_is_there_once(tried: Tried) -> None:
    tried.sink.write(some(10))
    tried.sink.write(some(10))
    tried.sink.write(some(10, start=5))
    assert tried.points() == rows_of(some(15))


def test_a_point_that_another_process_writes_again_is_there_once(tried: Tried) -> None:
    tried.sink.write(some(10))
    tried.again().write(some(10, start=5))
    assert tried.points() == rows_of(some(15))


def test_nothing_to_write_is_nothing(tried: Tried) -> None:
    tried.sink.write([])
    tried.sink.write([Point("a", math.nan, 0, 0)])
    ((key, step, timestamp, value),) = tried.points()
    assert (key, step, timestamp, math.isnan(value)) == ("a", 0, 0, True)


def test_the_last_step_of_every_curve_is_known(tried: Tried) -> None:
    tried.sink.write([*some(4), Point("b c", 0.1, 2, 99_999)])
    assert tried.sink.last_steps() == tried.again().last_steps() == {"lr/a": 3, "b c": 3}


def test_a_file_that_is_stored_again_is_replaced(tried: Tried, tmp_path: Path) -> None:
    for content in ("one", "two"):
        (tmp_path / "file.txt").write_text(content)
        tried.sink.upload(tmp_path / "file.txt", "folder")
    assert tried.file("folder/file.txt") == "two"


def test_a_folder_is_stored_whole(tried: Tried, tmp_path: Path) -> None:
    (tmp_path / "shards" / "inner").mkdir(parents=True)
    for name in ("one", "inner/two"):
        (tmp_path / "shards" / name).write_text(name)
    for _ in range(2):
        tried.sink.upload(tmp_path / "shards", "folder")
    assert [tried.file(f"folder/shards/{name}") for name in ("one", "inner/two")] == ["one", "inner/two"]


def test_a_description_may_change_and_the_run_ends(tried: Tried) -> None:
    tried.sink.describe({"a": "1"}, {"t": "x"})
    tried.sink.describe({"a": "2", "b": "3"}, {"t": "y"})
    assert tried.described() == {"a": "2", "b": "3", "t": "y"}
    tried.sink.finish("FAILED")
    assert tried.status() == "FAILED"


def test_it_says_whether_a_failure_is_final(tried: Tried) -> None:
    tried.sink.write(some(1))
    tried.refuse()
    with pytest.raises(Exception, match=r"'active' (lifecycle_stage|state)|Is a directory") as caught:
        tried.sink.write(some(2))
    final: Any = caught.value
    assert tried.sink.is_final(final)
    assert not tried.sink.is_final(ConnectionError("refused"))
    assert not tried.sink.is_final(OSError("disk full"))
