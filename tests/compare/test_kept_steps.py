"""Long lr curves of a server come from the files that hold every step, where these are complete."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lightning_lrsched import SGDR, LearningRateScheduler, MLflowTracker
from lightning_lrsched.compare import Curve, Selection, Store, load_runs, open_store
from lightning_lrsched.compare.curves import History
from lightning_lrsched.compare.kept_steps import from_files
from tests.callbacks.models import Tiny, expected, loader, make_trainer
from tests.compare.stores import quiet_mlflow
from tests.integration.browsing import mlflow_server

pytestmark = quiet_mlflow

STEPS = 40


class Asked:
    """A server's store that remembers which histories mlflow's client was asked for."""

    def __init__(self, uri: str) -> None:
        self.store: Store = open_store(uri)
        self.keys: list[str] = []
        whole = self.store.client.get_metric_history

        def history(run_id: str, key: str) -> Any:
            self.keys.append(key)
            return whole(run_id, key)

        self.store.client.get_metric_history = history  # type: ignore[method-assign]

    def lr(self) -> Curve:
        _, [record] = load_runs(self.store, Selection(["kept"]))
        assert record.lr is not None
        assert record.clock.steps[-1] == STEPS - 1
        return record.lr["SGD/0"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def uri(folder: Path) -> Iterator[str]:
    """A server with one real fit."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        with mlflow_server(f"sqlite:///{folder}/mlflow.db", folder / "log") as address:
            yield address


@pytest.fixture(scope="module")
def lrs(uri: str, folder: Path) -> Curve:
    callback = LearningRateScheduler(SGDR(10))
    make_trainer(folder, callback, MLflowTracker(uri, "kept"), max_epochs=4).fit(Tiny(), loader(10))
    return Curve(tuple(range(STEPS)), tuple(expected(callback, STEPS)))


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Histories of ten points are long ones."""
    monkeypatch.setattr("lightning_lrsched.compare.histories._PAGE", 10)


def test_a_long_curve_comes_from_its_file(uri: str, lrs: Curve) -> None:
    asked = Asked(uri)
    assert asked.lr() == lrs
    assert "lr/SGD/0" not in asked.keys


@pytest.mark.parametrize("fault", ["other values", "end cut off", "no archive"])
def test_a_file_that_does_not_hold_what_the_server_has_is_passed_over(
    uri: str, lrs: Curve, folder: Path, fault: str
) -> None:
    [path] = folder.rglob("schedule/steps/*.npz")
    content = path.read_bytes()
    stored = dict(np.load(path))
    if fault == "other values":
        stored["bits0"][0, 0, 3] += 2
    elif fault == "end cut off":
        stored = {key: part[..., :-1] if key in ("steps0", "bits0") else part for key, part in stored.items()}
    try:
        if fault == "no archive":
            path.write_bytes(b"PK")
        else:
            np.savez_compressed(path, **stored)
        asked = Asked(uri)
        assert asked.lr() == lrs
    finally:
        path.write_bytes(content)
    assert asked.keys == ["lr/SGD/0"]


HELD = (np.array([0, 1, 2, 3, 4, 5]), np.array([0.5, 0.4, math.nan, 0.2, 0.1, 0.0]))
POINTS = [(0, 1000, 0.5), (2, 3000, math.nan), (5, 9000, 0.0)]
SEEN = History.of(POINTS)


@pytest.mark.parametrize(
    ("file", "seen", "whole"),
    [
        pytest.param(HELD, SEEN, True, id="all"),
        pytest.param(HELD, History.of(POINTS[:2]), True, id="more than the server has"),
        pytest.param(tuple(part[1:] for part in HELD), SEEN, False, id="no beginning"),
        pytest.param(tuple(part[:-1] for part in HELD), SEEN, False, id="no end"),
        pytest.param(tuple(np.delete(part, 2) for part in HELD), SEEN, False, id="a gap"),
        pytest.param((HELD[0], HELD[1] + 1e-9), SEEN, False, id="other values"),
        pytest.param((np.array([], int), np.array([])), SEEN, False, id="an empty file"),
        pytest.param(HELD, History.of([]), False, id="nothing on the server"),
        pytest.param(None, SEEN, False, id="no file"),
    ],
)
def test_a_file_counts_where_it_has_all_points_of_the_servers_sample(
    file: tuple[Any, Any] | None, seen: History, whole: bool
) -> None:
    found = dict(from_files(lambda run_id, key: file, "lr/SGD/0", {"run": seen}))
    assert list(found) == (["run"] if whole else [])
    if whole:
        points = np.array(found["run"]).reshape(-1, 3)
        np.testing.assert_array_equal(points[:, [0, 2]].T, HELD)
        assert points[:3, 1].tolist() == [1000, 2000, 3000], "times between those of the sample"
