"""What an earlier fit has left never keeps the points of the one that goes on from being written."""

import time
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import Callback
from mlflow import MlflowClient

from lightning_lrsched import CycleCheckpoint, MLflowTracker
from lightning_lrsched.cli import main
from lightning_lrsched.tracking import models, writer
from lightning_lrsched.tracking.delivery import Delivery
from lightning_lrsched.tracking.mlflow_sink import MlflowSink
from lightning_lrsched.tracking.replay import deliver_points
from lightning_lrsched.tracking.session import Session
from lightning_lrsched.tracking.spool import Spool
from tests.tracking.reading import history, only_run
from tests.tracking.reading import models as stored
from tests.tracking.test_resumed import LRS, Stops, end_as_killed, lrs, no_step_twice, stopped, train

pytestmark = pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "PAUSES", (0.01, 0.02))


def killed(folder: Path, uri: str) -> Path:
    """Leave a spool as SIGKILL does, with no point in the store; return the checkpoint of step 12."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Session, "close", end_as_killed)
        patched.setattr(Delivery, "push", lambda *_, **__: None)
        return stopped(folder, MLflowTracker(uri, "study", deliver_every=1000.0))


def only_spool(folder: Path) -> Path:
    (found,) = (folder / "lrsched_spool").iterdir()
    return found


@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")  # the later fit keeps no cycles
@pytest.mark.parametrize("what", ["refused for good", "not reached"])
def test_a_task_of_an_earlier_fit_that_cannot_be_done_keeps_no_point_waiting(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """The artifact store refuses, and tracking works: the fit before has left its checkpoints alone."""

    def refuse(client: MlflowClient, run_id: str, task: Any) -> None:
        raise PermissionError("the bucket is read-only") if what == "refused for good" else ConnectionError("no bucket")

    store = models.store
    monkeypatch.setattr(models, "store", refuse)
    checkpoint = CycleCheckpoint("val_loss", dirpath=tmp_path / "cycles", validate_at_end=True)
    with (
        pytest.warns(UserWarning, match="Tracking fails|is kept in"),
        pytest.raises(RuntimeError, match="stopped"),
    ):
        train(tmp_path, MLflowTracker(uri, "study"), checkpoint, Stops(17), val_check_interval=5)
    spool = only_spool(tmp_path)
    told = f"An earlier fit of this run has left something in {spool}: .* bucket.*lrsched replay {spool}"
    with pytest.warns(UserWarning, match=told):
        train(tmp_path, MLflowTracker(uri, "study"), ckpt_path=tmp_path / "kept" / "step=12.ckpt", val_check_interval=5)
    run = only_run(uri)
    assert history(uri, run, LRS) == lrs()
    no_step_twice(uri, run)
    assert (run.info.status, stored(uri, run)) == ("FINISHED", [])
    monkeypatch.setattr(models, "store", store)
    assert main(["replay", str(spool)]) == 0
    run = only_run(uri)
    assert [int(model.params["step"]) for model in stored(uri, run)]
    assert (history(uri, run, LRS), run.info.status) == (lrs(), "FINISHED")
    assert not (tmp_path / "lrsched_spool").exists()


def test_an_empty_task_is_told_with_its_name(uri: str, tmp_path: Path) -> None:
    """As a crash of the machine can leave it."""
    path = killed(tmp_path, uri)
    task = only_spool(tmp_path) / "tasks" / "000099.json"
    task.touch()
    with pytest.warns(UserWarning, match=f"{task} is not whole .*; to go on without it: rm {task}. Deliver it with"):
        train(tmp_path, MLflowTracker(uri, "study"), ckpt_path=path)
    run = only_run(uri)
    assert history(uri, run, LRS) == lrs()
    no_step_twice(uri, run)
    task.unlink()
    assert main(["replay", str(tmp_path / "lrsched_spool")]) == 0
    assert (history(uri, only_run(uri), LRS), only_run(uri).info.status) == (lrs(), "FINISHED")


def test_points_that_cannot_be_read_are_left_for_a_replay(uri: str, tmp_path: Path) -> None:
    path = killed(tmp_path, uri)
    held = only_spool(tmp_path) / "held.json"
    held.touch()
    with pytest.warns(UserWarning, match=f"{held} is not whole"):
        train(tmp_path, MLflowTracker(uri, "study"), ckpt_path=path)
    run = only_run(uri)
    assert history(uri, run, LRS) == lrs()[12:]
    assert main(["replay", str(tmp_path / "lrsched_spool")]) == 2
    held.unlink()
    assert main(["replay", str(tmp_path / "lrsched_spool")]) == 0
    assert history(uri, only_run(uri), LRS) == lrs()
    no_step_twice(uri, run)


class Releases(Callback):
    """Delivers an earlier fit's spool from another thread, as its own process does, while this fit trains.

    Args:
        spool: the spool, which is in use until then.
        sink: its run.
    """

    def __init__(self, spool: Spool, sink: MlflowSink) -> None:
        self._spool, self._sink = spool, sink
        self._thread = Thread(target=self._deliver)

    def on_train_start(self, *_: object) -> None:
        self._thread.start()

    def on_train_end(self, *_: object) -> None:
        self._thread.join()

    def _deliver(self) -> None:
        time.sleep(1.0)
        deliver_points(self._spool, self._sink, last=True)
        self._spool.remove()


def test_a_fit_that_goes_on_waits_for_the_one_that_still_delivers(uri: str, tmp_path: Path) -> None:
    """As when a job is requeued while the process before is in its `flush_timeout`."""
    path = killed(tmp_path, uri)
    used = Spool.open(only_spool(tmp_path))
    releases = Releases(used, MlflowSink(MlflowClient(uri), only_run(uri).info.run_id, owned=True))
    with pytest.warns(UserWarning, match=f"an earlier fit of this run still delivers.*{used.folder} is in use"):
        train(tmp_path, MLflowTracker(uri, "study", deliver_every=0.01), releases, ckpt_path=path)
    run = only_run(uri)
    assert history(uri, run, LRS) == lrs()
    no_step_twice(uri, run)
    assert run.info.status == "FINISHED"
    assert not (tmp_path / "lrsched_spool").exists()


def test_what_an_earlier_fit_does_not_let_go_of_keeps_the_points_in_the_spool(uri: str, tmp_path: Path) -> None:
    path = killed(tmp_path, uri)
    used = Spool.open(only_spool(tmp_path))
    tracker = MLflowTracker(uri, "study", flush_timeout=0.3)
    with pytest.warns(UserWarning, match=f"{used.folder} is in use"):
        train(tmp_path, tracker, ckpt_path=path)
    assert history(uri, only_run(uri), LRS) == []
    assert tracker.left is not None
    assert not tracker.left.lost
    used.release()
    assert main(["replay", str(tmp_path / "lrsched_spool")]) == 0
    run = only_run(uri)
    assert (history(uri, run, LRS), run.info.status) == (lrs(), "FINISHED")
    no_step_twice(uri, run)


def test_a_spool_that_is_in_use_by_a_later_fit_keeps_no_point_waiting(uri: str, tmp_path: Path) -> None:
    """Two fits that go on from one checkpoint: the later one waits, and not both of them for each other."""
    path = stopped(tmp_path, MLflowTracker(uri, "study"))
    state = torch.load(path)["callbacks"]["MLflowTracker"]
    later = Spool.create(tmp_path / "lrsched_spool", {"run_token": state["token"], "created": time.time_ns()})
    train(tmp_path, MLflowTracker(uri, "study"), ckpt_path=path)
    assert history(uri, only_run(uri), LRS) == lrs()
    later.release()
