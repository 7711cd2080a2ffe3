"""A fresh MLflow store for each test, copied from one that has been migrated once."""

from pathlib import Path

import pytest

from tests.callbacks.models import Stranger
from tests.conftest import copied


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
