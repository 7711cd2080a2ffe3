"""A sweep whose tracking server goes away: it says what to do, and a second call trains nothing again."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run, ViewType

from lightning_lrsched.cli import main
from tests.integration.conftest import no_tracking_variables
from tests.integration.tracking_server import Proxy, Server
from tests.sweep.conftest import sweep_file
from tests.sweep.modules import Calls
from tests.tracking.reading import history, repeated, runs

__all__ = ["no_tracking_variables"]
pytestmark = [
    pytest.mark.usefixtures("no_tracking_variables"),
    pytest.mark.filterwarnings("ignore:Tracking fails|MLflow has not taken everything"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests."""
    folder = tmp_path_factory.mktemp("server")
    with Server(folder, f"sqlite:///{folder / 'mlflow.db'}") as made:
        yield made


@pytest.fixture
def proxy(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A proxy before the server; modules are made and called in the folder of the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Calls, "at", {})
    monkeypatch.setattr(Calls, "fits", 0)
    made = Proxy(server.port)
    made.open()
    yield made
    made.close()


def write_sweep(folder: Path, request: pytest.FixtureRequest, **changed: Any) -> str:
    """Write a sweep of two runs into an experiment of its own."""
    own = {"experiment": request.node.name, "module": {"class_path": "tests.sweep.modules.Calls"}}
    short = {"schedules": {"constant": "Constant"}, "tracker": {"flush_timeout": 1.0}}
    return str(sweep_file(folder, **{**own, **short, **changed}))


def children(server: Server, request: pytest.FixtureRequest) -> list[Run]:
    found = MlflowClient(server.store).get_experiment_by_name(request.node.name)
    assert found is not None
    mine = [run for run in runs(server.store) if run.info.experiment_id == found.experiment_id]
    return sorted((run for run in mine if "mlflow.parentRunId" in run.data.tags), key=lambda run: run.info.start_time)


def check_whole(server: Server, request: pytest.FixtureRequest, folder: Path) -> None:
    """Hold against what two runs that were trained once have."""
    found = children(server, request)
    assert [(run.info.run_name, run.info.status) for run in found] == [
        ("constant, seed 0", "FINISHED"),
        ("constant, seed 1", "FINISHED"),
    ]
    for run in found:
        assert [step for step, _ in history(server.store, run, "lr/SGD/0")] == list(range(10))
        assert len(history(server.store, run, "val_loss")) == 2
    assert repeated(server.store) == []
    deleted = MlflowClient(server.store).search_runs([found[0].info.experiment_id], "", ViewType.DELETED_ONLY)
    assert list(deleted) == []
    assert Calls.fits == 2
    assert not [*folder.rglob("spool.json"), *folder.rglob("trained.json")]


@pytest.mark.parametrize("elsewhere", [False, True], ids=["spool beside the checkpoints", "spool elsewhere"])
def test_what_a_fit_has_left_is_delivered_and_not_trained_again(  # noqa: PLR0917
    elsewhere: bool,
    server: Server,
    proxy: Proxy,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    tracker = {"flush_timeout": 1.0} | ({"spool_dir": str(tmp_path / "spools")} if elsewhere else {})
    file = write_sweep(tmp_path, request, tracker=tracker)
    Calls.at["on_validation_epoch_start"] = lambda: setattr(proxy, "mode", "down")
    assert main(["sweep", file, "--tracking-uri", proxy.uri]) == 2
    told = capsys.readouterr().err
    assert f"MLflow at {proxy.uri} does not answer, and the sweep has ended. 'constant, seed 0': it was trained" in told
    assert "give the same command again: it delivers what was trained and trains what is missing" in told
    assert "Traceback" not in told
    assert mlflow.active_run() is None
    [spool] = tmp_path.rglob("spool.json")
    assert str(spool.parent) in told
    [first] = [run.info.run_id for run in children(server, request)]

    Calls.at.clear()
    proxy.mode = "ok"
    assert main(["sweep", file, "--tracking-uri", proxy.uri]) == 0
    assert "1 runs trained, 1 had finished before, 0 failed" in capsys.readouterr().out
    assert children(server, request)[0].info.run_id == first
    assert children(server, request)[0].info.end_time <= children(server, request)[1].info.start_time
    check_whole(server, request, tmp_path)


def test_a_run_of_which_nothing_is_left_but_its_end_is_not_trained_again(
    server: Server, proxy: Proxy, tmp_path: Path, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    file = write_sweep(tmp_path, request, tracker={"flush_timeout": 30.0})
    Calls.at["teardown"] = lambda: setattr(proxy, "mode", "down")
    assert main(["sweep", file, "--tracking-uri", proxy.uri]) == 2
    assert "does not answer, and the sweep has ended. 'constant, seed 0' was trained." in capsys.readouterr().err
    assert not list(tmp_path.rglob("spool.json"))

    Calls.at.clear()
    proxy.mode = "ok"
    assert main(["sweep", file, "--tracking-uri", proxy.uri]) == 0
    assert "1 runs trained, 1 had finished before, 0 failed" in capsys.readouterr().out
    check_whole(server, request, tmp_path)


def test_a_server_that_goes_away_again_before_the_rest_is_delivered_costs_nothing(
    server: Server, proxy: Proxy, tmp_path: Path, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    file = write_sweep(tmp_path, request)
    Calls.at["on_validation_epoch_start"] = lambda: setattr(proxy, "mode", "down")
    assert main(["sweep", file, "--tracking-uri", proxy.uri]) == 2
    Calls.at["on_validation_epoch_start"] = lambda: setattr(proxy, "mode", 503)
    proxy.mode = "ok"
    assert main(["sweep", file, "--tracking-uri", proxy.uri]) == 2
    assert "'constant, seed 1': it was trained" in capsys.readouterr().err
    Calls.at.clear()
    proxy.mode = "ok"
    assert main(["sweep", file, "--tracking-uri", proxy.uri]) == 0
    assert "0 runs trained, 2 had finished before, 0 failed" in capsys.readouterr().out
    check_whole(server, request, tmp_path)


def test_ctrl_c_stays_one_where_the_server_is_away(
    server: Server, proxy: Proxy, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    def interrupt() -> None:
        proxy.mode = "down"
        raise KeyboardInterrupt

    file = write_sweep(tmp_path, request)
    Calls.at["on_validation_epoch_start"] = interrupt
    assert main(["sweep", file, "--tracking-uri", proxy.uri]) == 130
    Calls.at.clear()
    proxy.mode = "ok"
    assert main(["sweep", file, "--tracking-uri", proxy.uri]) == 0
    assert [run.info.status for run in children(server, request)] == ["FINISHED"] * 2
    assert Calls.fits == 3
