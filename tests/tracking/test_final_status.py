"""The status that a run ends with is that of its last fit, in whatever order its spools are delivered."""

from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient

from lightning_lrsched import MLflowTracker
from lightning_lrsched.cli import main
from lightning_lrsched.tracking import pick, writer
from lightning_lrsched.tracking.last_fit import Fit
from lightning_lrsched.tracking.pick import Earlier, Target, sink_for
from lightning_lrsched.tracking.replay import replay
from tests.tracking.reading import history, only_run
from tests.tracking.test_replay import left
from tests.tracking.test_resumed import LRS, lrs, no_step_twice, train
from tests.tracking.test_take_over import killed

pytestmark = pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")


def down(*_: object) -> MlflowClient:
    raise ConnectionError("the server is down")


@pytest.fixture
def spools(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> list[Path]:
    """The spool of a fit that was killed, and that of the one that went on from it while the server was down."""
    monkeypatch.setattr(writer, "PAUSES", (0.01,))
    parent = tmp_path / "lrsched_spool"
    with monkeypatch.context() as offline:
        if not request.param:
            offline.setattr(pick, "open_client", down)
        path = killed(tmp_path, uri)
        (first,) = parent.iterdir()
    with monkeypatch.context() as offline:
        offline.setattr(pick, "open_client", down)
        with pytest.warns(UserWarning, match="server is down"):
            train(tmp_path, MLflowTracker(uri, "study", flush_timeout=0.1), ckpt_path=path)
    (second,) = set(parent.iterdir()) - {first}
    return [first, second]


reached = pytest.mark.parametrize("spools", [True, False], indirect=True, ids=["run was opened", "run was not opened"])


@reached
def test_the_fit_that_went_on_while_the_server_was_down_has_the_last_word(
    uri: str, tmp_path: Path, spools: list[Path]
) -> None:
    assert main(["replay", str(tmp_path / "lrsched_spool")]) == 0
    run = only_run(uri)
    assert run.info.status == "FINISHED"
    assert history(uri, run, LRS) == lrs()
    no_step_twice(uri, run)


@reached
def test_it_has_it_also_when_it_is_delivered_first(uri: str, spools: list[Path]) -> None:
    first, second = spools
    assert replay(second).status == "FINISHED"
    assert replay(first).status is None
    run = only_run(uri)
    assert run.info.status == "FINISHED"
    assert history(uri, run, LRS) == lrs()
    no_step_twice(uri, run)


def test_a_replay_that_is_begun_again_sets_what_it_would_have_set(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was stopped after the run had been told of it, before the status was set."""
    client = MlflowClient(uri)
    run_id = client.create_run("0").info.run_id
    client.set_terminated(run_id, "KILLED", 1_000)
    folder = left(tmp_path, uri, run_id=run_id, experiment="Default", created=2_000)
    with monkeypatch.context() as stopping:
        stopping.setattr("lightning_lrsched.tracking.replay._finish", interrupted)
        with pytest.raises(KeyboardInterrupt):
            replay(folder)
    assert client.get_run(run_id).info.status == "KILLED"
    assert replay(folder).status == "FINISHED"
    assert client.get_run(run_id).info.status == "FINISHED"


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def test_what_somebody_has_set_since_stays(uri: str, tmp_path: Path) -> None:
    client = MlflowClient(uri)
    run_id = client.create_run("0").info.run_id
    client.set_terminated(run_id, "FAILED", 3_000)
    folder = left(tmp_path, uri, run_id=run_id, experiment="Default", created=2_000)
    assert replay(folder).status is None
    assert client.get_run(run_id).info.status == "FAILED"


@pytest.mark.parametrize("first", ["the earlier", "the later"])
def test_a_fit_that_ends_late_leaves_the_status_to_the_one_that_went_on(uri: str, first: str) -> None:
    """A job is requeued while the process before still waits for the store; either may reach it first."""
    earlier = Target(uri, experiment="study")
    resumed = replace(earlier, resume=True, earlier=Earlier(None, earlier.token, uri, "study"))
    sinks = [sink_for(earlier, 30.0, Fit("a", 1_000), print), sink_for(resumed, 30.0, Fit("b", 2_000), print)]
    for sink in sinks if first == "the earlier" else reversed(sinks):
        sink.opened()
    before, after = sinks
    assert before.run_id == after.run_id == only_run(uri).info.run_id
    before.finish("FINISHED")
    assert only_run(uri).info.status == "RUNNING"
    after.finish("FAILED")
    before.finish("FINISHED")
    assert only_run(uri).info.status == "FAILED"
