"""The variables by which MLflow is told where to write, and who writes."""

import getpass
import sqlite3
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pytest
import requests
from lightning.pytorch.callbacks import Callback
from mlflow import MlflowClient
from mlflow.entities import Run

from lightning_lrsched import SGDR, CycleCheckpoint, LearningRateScheduler, MLflowTracker
from lightning_lrsched.cli import main
from lightning_lrsched.tracking import writer
from lightning_lrsched.tracking.mlflow_client import open_client, store_of
from lightning_lrsched.tracking.sink import Point
from tests.callbacks.models import Tiny, make_trainer
from tests.conftest import copied
from tests.integration.tracking_server import Proxy
from tests.tracking.reading import history, only_run, runs
from tests.tracking.test_resumed import stopped, train

LRS = "lr/SGD/0"
pytestmark = pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")


def fit(folder: Path, tracker: MLflowTracker | None = None, *others: Callback) -> Tiny:
    module = Tiny()
    make_trainer(folder, LearningRateScheduler(SGDR(5)), tracker or MLflowTracker(), *others).fit(module)
    return module


def experiment_of(uri: str, run: Run) -> str:
    return str(MlflowClient(uri).get_experiment(run.info.experiment_id).name)


@pytest.fixture
def study(uri: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """An experiment that the environment names by its id."""
    made: str = MlflowClient(uri).create_experiment("study")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", made)
    return made


def test_an_experiment_is_named_by_its_id(uri: str, tmp_path: Path, study: str) -> None:
    fit(tmp_path)
    assert only_run(uri).info.experiment_id == study


def test_the_id_comes_before_the_name_and_the_argument_before_both(
    uri: str, tmp_path: Path, study: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "by name")
    fit(tmp_path)
    assert only_run(uri).info.experiment_id == study
    fit(tmp_path, MLflowTracker(experiment="given"))
    assert {experiment_of(uri, run) for run in runs(uri)} == {"study", "given"}


def test_an_id_is_one_of_the_environments_store_alone(uri: str, tmp_path: Path, migrated: Path, study: str) -> None:
    (tmp_path / "other").mkdir()
    other = copied(migrated, tmp_path / "other")
    fit(tmp_path, MLflowTracker(other))
    assert runs(uri) == []
    assert experiment_of(other, only_run(other)) == "Default"


def test_the_experiment_that_was_set_in_mlflow_is_used(uri: str, tmp_path: Path, study: str) -> None:
    mlflow.set_tracking_uri(uri)
    try:
        mlflow.set_experiment("study")
        fit(tmp_path)
    finally:
        mlflow.tracking.fluent._active_experiment_id = None  # MLflow has no word for it
        mlflow.set_tracking_uri(None)  # type: ignore[arg-type]  # unset
    assert only_run(uri).info.experiment_id == study


def test_a_fit_is_resumed_in_the_experiment_of_an_id(uri: str, tmp_path: Path, study: str) -> None:
    kept = stopped(tmp_path, MLflowTracker())
    train(tmp_path, MLflowTracker(), ckpt_path=kept)
    run = only_run(uri)
    assert run.info.experiment_id == study
    assert [step for step, _ in history(uri, run, LRS)] == list(range(30))


@pytest.mark.parametrize("ways", [("study", None), (None, "study")], ids=["by name, then by id", "by id, then by name"])
def test_a_fit_is_resumed_in_its_run_however_its_experiment_is_named(
    uri: str, tmp_path: Path, study: str, ways: tuple[str | None, str | None]
) -> None:
    first, second = (MLflowTracker(experiment=way) for way in ways)
    train(tmp_path, second, ckpt_path=stopped(tmp_path, first))
    assert only_run(uri).info.experiment_id == study


def test_the_experiment_of_an_id_may_have_another_name_by_now(uri: str, tmp_path: Path, study: str) -> None:
    path = stopped(tmp_path, MLflowTracker())
    client = MlflowClient(uri)
    client.delete_run(only_run(uri).info.run_id)
    client.rename_experiment(study, "renamed")
    with pytest.warns(UserWarning, match="is not in sqlite:.* any more: a new one begins"):
        train(tmp_path, MLflowTracker(), ckpt_path=path)
    assert experiment_of(uri, only_run(uri)) == "renamed"
    assert client.get_experiment_by_name("study") is None


def test_a_run_that_was_never_opened_is_opened_by_the_replay(
    uri: str, tmp_path: Path, study: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "PAUSES", (0.01,))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.warns(UserWarning, match="Tracking fails|is kept in"):
        fit(tmp_path, MLflowTracker(flush_timeout=0.3))
    assert main(["replay", str(tmp_path / "lrsched_spool"), "--tracking-uri", uri]) == 0
    run = only_run(uri)
    assert (run.info.experiment_id, run.info.status) == (study, "FINISHED")
    assert run.data.tags["mlflow.source.name"] == sys.argv[0]
    assert len(history(uri, run, LRS)) == 20


def test_an_id_that_is_not_there_is_told_and_does_not_stop_the_fit(
    uri: str, tmp_path: Path, study: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "4711")
    with pytest.warns(UserWarning, match="No Experiment with id=4711|is kept in"):
        module = fit(tmp_path, MLflowTracker(flush_timeout=5.0))
    assert module.batches == 20


def test_a_run_says_who_made_it_and_with_which_script(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_RUN_CONTEXT", '{"team": "blue"}')
    fit(tmp_path, MLflowTracker(uri))
    tags = only_run(uri).data.tags
    assert tags["mlflow.user"] == getpass.getuser()
    assert tags["mlflow.source.name"] == sys.argv[0]
    assert tags["team"] == "blue"


def queues() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if "AsyncLogging" in thread.name}


def test_mlflows_own_asynchronous_logging_is_not_used(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says that a write has been done before it is, and keeps what fails to itself."""
    monkeypatch.setenv("MLFLOW_ENABLE_ASYNC_LOGGING", "true")
    before = queues()
    fit(tmp_path, MLflowTracker(uri), CycleCheckpoint("val_loss", validate_at_end=True))
    assert queues() == before
    run = only_run(uri)
    assert run.data.params["schedule/main"] == "SGDR(T_0=5)"
    assert "lrsched.best" in run.data.tags
    MlflowClient(uri).set_tag(run.info.run_id, "a", "b")
    assert queues() > before  # so it would look


@pytest.mark.parametrize(
    ("variables", "header"),
    [
        ({"MLFLOW_TRACKING_USERNAME": "ann", "MLFLOW_TRACKING_PASSWORD": "s3cret"}, "Basic YW5uOnMzY3JldA=="),
        ({"MLFLOW_TRACKING_TOKEN": "t0ken"}, "Bearer t0ken"),
    ],
)
def test_credentials_of_the_environment_are_sent(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], header: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(writer, "PAUSES", (0.01,))
    proxy = Proxy(9)
    proxy.open()
    proxy.mode = 401
    with pytest.warns(UserWarning, match="401|is kept in"):
        fit(tmp_path, MLflowTracker(proxy.uri, flush_timeout=1.0))
    proxy.close()
    assert set(proxy.authorizations) == {header}


@pytest.mark.parametrize(("variable", "given", "taken"), [("7", 30.0, 7.0), ("60", 5.0, 60.0), (None, 5.0, 5.0)])
def test_the_environment_says_how_long_a_request_may_take(
    monkeypatch: pytest.MonkeyPatch, variable: str | None, given: float, taken: float
) -> None:
    seen: list[float] = []

    def send(session: requests.Session, *request: object, timeout: float, **more: object) -> None:
        seen.append(timeout)
        raise requests.ConnectionError("noted")

    monkeypatch.setattr(requests.Session, "request", send)
    if variable is None:
        monkeypatch.delenv("MLFLOW_HTTP_REQUEST_TIMEOUT", raising=False)
    else:
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", variable)
    store = store_of(open_client("http://127.0.0.1:9", given))
    point = Point("a", 0.5, 1, 1)
    asked: list[Callable[[], Any]] = [lambda: store.get_run("0"), lambda: store.log_batch("0", [point], [], [])]
    for ask in asked:
        with pytest.raises(Exception, match="noted"):
            ask()
    assert set(seen) == {taken}
    assert len(seen) == 2


def test_windows_is_refused_with_what_works_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(OSError, match=r"does not work on Windows.*Use WSL, or.*MLFlowLogger"):
        MLflowTracker()


@pytest.mark.parametrize("given", ["localhost:5000", "127.0.0.1:5000", "htp://ann:s3cret@host"])
def test_a_store_that_mlflow_does_not_know_is_refused_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", given)
    module = Tiny()
    with pytest.raises(ValueError, match=r"MLFLOW_TRACKING_URI = .* is refused: .*'http://localhost:5000'") as refused:
        make_trainer(tmp_path, LearningRateScheduler(SGDR(5)), MLflowTracker()).fit(module)
    assert module.batches == 0
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    "known",
    ["mlruns", "file:mlruns", "C:/runs", "databricks://profile", "mysql+pymysql://u@h/d", "postgresql+psycopg2://h/d"],
)
def test_every_store_of_mlflow_is_known(known: str) -> None:
    assert MLflowTracker(known).tracking_uri == known


def test_the_working_directory_may_have_any_name(
    tmp_path: Path, migrated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLAlchemy reads %20 as a space, and what follows a question mark as options."""
    folder = tmp_path / "50% a%20b?c=d"
    folder.mkdir()
    copied(migrated, folder)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    tracker = MLflowTracker(flush_timeout=10)
    fit(folder, tracker)
    assert tracker.left is None
    monkeypatch.chdir(tmp_path)
    with sqlite3.connect(folder / "mlflow.db") as connection:
        assert connection.execute("SELECT run_uuid, status FROM runs").fetchall() == [(tracker.run_id, "FINISHED")]
    connection.close()


def test_a_working_directory_that_is_gone_ends_no_training(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow needs one, and its refusal is told; what was recorded stays in the spool."""
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.warns(UserWarning, match="No such file or directory"):
        assert fit(tmp_path, MLflowTracker(uri)).batches == 20
    monkeypatch.chdir(tmp_path)
    assert main(["replay", "lrsched_spool"]) == 0
    assert len(history(uri, only_run(uri), LRS)) == 20


def test_a_variable_that_is_not_read_refuses_no_fit(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "localhost:5000")
    fit(tmp_path, MLflowTracker(uri))
    assert len(history(uri, only_run(uri), LRS)) == 20
