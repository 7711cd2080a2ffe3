"""A fresh MLflow store for each test, copied from one that has been migrated once."""

import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.callbacks.models import Stranger


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty sqlite store with all its tables."""
    path = tmp_path_factory.mktemp("migrated") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def uri(tmp_path: Path, migrated: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty store in the working directory of the test; no variable of MLflow says otherwise."""
    monkeypatch.chdir(tmp_path)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    return copied(migrated, tmp_path)


def copied(migrated: Path, folder: Path) -> str:
    """Copy the empty store into a folder and return its URI."""
    shutil.copy(migrated, folder / "mlflow.db")
    return f"sqlite:///{folder / 'mlflow.db'}"


@pytest.fixture
def stranger() -> Stranger:
    """A callback that records the lr of every step without knowing the package."""
    return Stranger()
