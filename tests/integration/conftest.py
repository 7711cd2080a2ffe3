"""What the tests with whole processes, servers and a browser share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import copied
from tests.processes import Start, starting


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start Python with arguments in the folder of the test; the output goes to ``log``."""
    with starting(tmp_path) as begin:
        yield begin


@pytest.fixture
def store(tmp_path: Path, migrated: Path) -> str:
    """An empty store in a folder of its own."""
    (tmp_path / "store").mkdir()
    return copied(migrated, tmp_path / "store")


@pytest.fixture
def no_tracking_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Name no server or user; a request that fails is not made again by MLflow's own client."""
    for name in [name for name in os.environ if name.startswith("MLFLOW_TRACKING")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
