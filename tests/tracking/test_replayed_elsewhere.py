"""A replay has of a spool what the fit would have had: the store's full path, and the run that it comes from."""

import json
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.loggers import MLFlowLogger
from mlflow import MlflowClient

from lightning_lrsched import MLflowTracker
from lightning_lrsched.cli import main
from lightning_lrsched.tracking import pick, writer
from lightning_lrsched.tracking.pick import pick_target
from tests.tracking.reading import history, only_run
from tests.tracking.test_final_status import down
from tests.tracking.test_resumed import LRS, lrs, stopped, train

pytestmark = pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "PAUSES", (0.01,))


def train_offline(*given: Any, **settings: Any) -> None:
    """A fit that reaches no store, and leaves its spool."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pick, "open_client", down)
        with pytest.warns(UserWarning, match="server is down"):
            train(*given, **settings)


def test_the_store_of_a_logger_is_found_from_another_folder(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = MLFlowLogger("study", tracking_uri="sqlite:///mlflow.db")
    train_offline(tmp_path, MLflowTracker(flush_timeout=0.1), logger=logger)
    (spool,) = (tmp_path / "lrsched_spool").iterdir()
    assert json.loads((spool / "spool.json").read_text())["uri"] == uri, "MLflow keeps the file open in this process"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert main(["replay", str(tmp_path / "lrsched_spool")]) == 0
    assert history(uri, only_run(uri), LRS) == lrs()
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("mlruns", "{here}/mlruns"),
        ("./mlruns", "{here}/mlruns"),
        ("file:./mlruns", "file:{here}/mlruns"),
        ("file:/srv/mlruns", "file:/srv/mlruns"),
        ("file:///srv/mlruns", "file:///srv/mlruns"),
        ("sqlite:///mlflow.db", "sqlite:///{here}/mlflow.db"),
        ("sqlite:////srv/mlflow.db", "sqlite:////srv/mlflow.db"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("databricks", "databricks"),
        ("databricks://profile", "databricks://profile"),
    ],
)
def test_a_store_of_files_has_its_full_path(
    given: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert pick_target((), given, None, None).uri == expected.format(here=tmp_path)


@pytest.mark.parametrize("settings", [{"resume_run": False}, {"experiment": "other"}])
def test_a_run_that_a_replay_opens_says_where_it_comes_from(uri: str, tmp_path: Path, settings: dict[str, Any]) -> None:
    path = stopped(tmp_path, MLflowTracker(uri, "study"))
    first = only_run(uri).info.run_id
    tracker = MLflowTracker(uri, **{"experiment": "study", "flush_timeout": 0.1, **settings})
    train_offline(tmp_path, tracker, ckpt_path=path)
    assert main(["replay", str(tmp_path / "lrsched_spool")]) == 0
    client = MlflowClient(uri)
    found = client.search_runs([one.experiment_id for one in client.search_experiments()])
    (child,) = (run for run in found if run.info.run_id != first)
    assert child.data.tags["lrsched.resumed_from"] == child.data.tags["mlflow.parentRunId"] == first
    assert history(uri, child, LRS) == lrs()[12:]
