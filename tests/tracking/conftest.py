"""A fresh MLflow store for each test, copied from one that has been migrated once; spools, and soon tries."""

from pathlib import Path

import pytest

from lightning_lrsched.tracking import writer
from lightning_lrsched.tracking.spool import FOLDER, Spool
from tests.callbacks.models import Stranger
from tests.conftest import copied
from tests.tracking.spooling import make_spool


@pytest.fixture
def uri(tmp_path: Path, migrated: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty store in the working directory of the test; no variable of MLflow says otherwise."""
    monkeypatch.chdir(tmp_path)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    return copied(migrated, tmp_path)


@pytest.fixture
def stranger() -> Stranger:
    """A callback that records the lr of every step without knowing the package."""
    return Stranger()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between two tries of a writer that a test can wait for."""
    monkeypatch.setattr(writer, "PAUSES", (0.01, 0.02))
    monkeypatch.setattr(writer, "_LOOK", 0.01)


@pytest.fixture(params=["on disk", "in memory"])
def spool(request: pytest.FixtureRequest, tmp_path: Path) -> Spool | None:
    """The spool of a writer, or none."""
    return make_spool(tmp_path / FOLDER) if request.param == "on disk" else None
