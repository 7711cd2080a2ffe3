"""The URI of a sqlite file: whole, and one for a file whoever names it."""

from pathlib import Path

import pytest
from sqlalchemy import make_url

from lightning_lrsched.compare import default_uri
from lightning_lrsched.sqlite_uri import absolute_sqlite
from lightning_lrsched.sweep.store import tracking_uri
from lightning_lrsched.tracking.pick import pick_target

HERE = Path("/here")


@pytest.mark.parametrize(
    ("given", "whole"),
    [
        ("sqlite:///mlflow.db", "sqlite:////here/mlflow.db"),
        ("sqlite:///./runs/mlflow.db?timeout=5", "sqlite:////here/runs/mlflow.db?timeout=5"),
        ("sqlite+pysqlite:///mlflow.db", "sqlite+pysqlite:////here/mlflow.db"),
        ("sqlite:////data/mlflow.db", "sqlite:////data/mlflow.db"),
        ("sqlite:////data//mlflow.db", "sqlite:////data/mlflow.db"),
        ("sqlite:////a%20b/mlflow.db", "sqlite:////a%20b/mlflow.db"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("sqlite:///file:x?mode=memory&uri=true", "sqlite:///file:x?mode=memory&uri=true"),
        ("sqlite://", "sqlite://"),
        ("file:///runs", "file:///runs"),
        ("http://host:5000", "http://host:5000"),
    ],
)
def test_a_relative_path_becomes_a_whole_one(given: str, whole: str) -> None:
    assert absolute_sqlite(given, HERE) == whole


def test_a_fit_a_sweep_and_a_comparison_mean_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "50% a%20b?c=d"
    folder.mkdir()
    (folder / "mlflow.db").touch()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    uris = {pick_target([], None, None, None).uri, tracking_uri(None), default_uri()}
    assert [make_url(uri).database for uri in uris] == [str(folder / "mlflow.db")]
