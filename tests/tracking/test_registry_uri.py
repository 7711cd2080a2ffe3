"""A registry that is not where the runs are: MLflow's own client reads MLFLOW_REGISTRY_URI, and so does the tracker."""

import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import LoggedModel
from mlflow.exceptions import MlflowException

from lightning_lrsched import SGDR, CycleCheckpoint, LearningRateScheduler, MLflowTracker
from lightning_lrsched.cli import main
from lightning_lrsched.tracking import writer
from lightning_lrsched.tracking.mlflow_client import open_client
from lightning_lrsched.tracking.registered import register
from tests.callbacks.models import Tiny, make_trainer
from tests.conftest import copied
from tests.integration.tracking_server import Server
from tests.tracking.reading import only_run

ALIAS = "best"


@pytest.fixture
def registry(tmp_path: Path, migrated: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The store that the environment names as the registry."""
    (tmp_path / "registry").mkdir()
    other = copied(migrated, tmp_path / "registry")
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", other)
    return other


@pytest.fixture(params=["sqlite", "http"])
def store(request: pytest.FixtureRequest, uri: str, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield uri
        return
    with Server(tmp_path, uri) as server:
        yield server.uri


def fit(folder: Path, uri: str, **settings: float) -> CycleCheckpoint:
    checkpoint = CycleCheckpoint("val_loss", dirpath=folder / "cycles", validate_at_end=True)
    tracker = MLflowTracker(uri, "study", registered_model="tiny", **settings)  # type: ignore[arg-type]
    make_trainer(folder, LearningRateScheduler(SGDR(5)), checkpoint, tracker, val_check_interval=2).fit(Tiny())
    return checkpoint


def check(store: str, registry: str, checkpoint: CycleCheckpoint) -> None:
    """The best is registered there, each model once."""
    there, runs = MlflowClient(store, registry_uri=registry), MlflowClient(store, registry_uri=store)
    version = there.get_model_version_by_alias("tiny", ALIAS)
    registered = [one.tags["lrsched.model"] for one in there.search_model_versions("name = 'tiny'")]
    assert len(registered) == len(set(registered))
    assert version.run_id == only_run(store).info.run_id
    assert runs.search_registered_models() == []
    model = runs.get_logged_model(version.tags["lrsched.model"])
    assert version.source == model.artifact_location
    assert Path(checkpoint.best_model_path).name in [
        file.path for file in runs.list_logged_model_artifacts(model.model_id)
    ]


def test_the_registry_that_the_environment_names_is_used(store: str, registry: str, tmp_path: Path) -> None:
    checkpoint = fit(tmp_path, store)
    check(store, registry, checkpoint)


def test_a_replay_uses_it_too(uri: str, registry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "PAUSES", (0.01,))
    with pytest.warns(UserWarning, match="Tracking fails|is kept in"):
        checkpoint = fit(tmp_path, "http://127.0.0.1:9", flush_timeout=0.3)
    copy = tmp_path / "copy"
    shutil.copytree(tmp_path / "lrsched_spool", copy)
    for spool in (tmp_path / "lrsched_spool", copy):
        assert main(["replay", str(spool), "--tracking-uri", uri]) == 0
    check(uri, registry, checkpoint)


def test_a_registry_that_hangs_is_not_waited_for_longer_than_a_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_REGISTRY_URI", raising=False)
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_TIMEOUT", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = open_client(f"http://127.0.0.1:{silent.getsockname()[1]}", 0.3)
        begin = time.monotonic()
        with pytest.raises(MlflowException, match="timeout"):
            register(client, "0" * 32, LoggedModel("0", "m-0", "m", "nowhere", 0, 0), "tiny", {})
        assert time.monotonic() - begin < 5
