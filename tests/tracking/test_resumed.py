"""A fit that is resumed goes on in its run, and no stretch of a chart is there twice."""

import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import MLFlowLogger
from mlflow import MlflowClient

from lightning_lrsched import SGDR, LearningRateScheduler, MLflowTracker, RunLength
from lightning_lrsched.tracking.columns import read_columns
from lightning_lrsched.tracking.pick import Earlier, pick_target
from lightning_lrsched.tracking.session import Session
from lightning_lrsched.tracking.spool import Spool, SpoolError
from tests.callbacks.models import Tiny, expected, loader, make_trainer, wavy
from tests.tracking.reading import artifacts, fetched, history, only_run, repeated, runs

pytestmark = pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
LRS = "lr/SGD/0"
STEPS = 30


def plan() -> LearningRateScheduler:
    return LearningRateScheduler(SGDR(5), warmup=2)


def lrs() -> list[tuple[int, float]]:
    return list(enumerate(expected(plan().plan.resolve(RunLength(STEPS, 10)), STEPS)))


class Stops(Callback):
    """Ends a fit with an exception after some steps."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: Any, *_: object) -> None:
        if trainer.global_step == self.step:
            raise RuntimeError("stopped")


def train(folder: Path, tracker: MLflowTracker, *more: Callback, **settings: Any) -> Path:
    """Train to the end, or to where something stops it; return the checkpoint of step 12."""
    keeps = ModelCheckpoint(folder / "kept", "{step}", every_n_train_steps=12, save_top_k=-1)
    path, module = settings.pop("ckpt_path", None), settings.pop("module", None) or Tiny(score=wavy)
    trainer = make_trainer(folder, settings.pop("schedule", plan()), tracker, keeps, *more, max_epochs=3, **settings)
    trainer.fit(module, loader(10), loader(1), ckpt_path=path)
    return folder / "kept" / "step=12.ckpt"


def stopped(folder: Path, tracker: MLflowTracker, step: int = 17, **settings: Any) -> Path:
    """Train until step 17, and return the checkpoint of step 12."""
    with pytest.raises(RuntimeError, match="stopped"):
        train(folder, tracker, Stops(step), val_check_interval=5, **settings)
    return folder / "kept" / "step=12.ckpt"


def opened(folder: Path) -> Spool:
    """Take over a spool as soon as the threads of its fit have let go of it."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return Spool.open(folder)
        except SpoolError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def end_as_killed(session: Session, status: str) -> None:
    """End a session as SIGKILL does: what was not delivered lies in its spool."""
    session.writer._deadline = 0.0
    session.writer.journal.close()
    session.writer._closing.set()
    for thread in session.writer._threads:
        thread.join(10)
    assert session._spool is not None
    session._spool.release()


def no_step_twice(uri: str, run: Any) -> None:
    assert repeated(uri) == []
    for key in run.data.metrics:
        steps = [step for step, _ in history(uri, run, key)]
        assert steps == sorted(set(steps)), key


def test_the_run_goes_on_and_has_every_step_once(uri: str, tmp_path: Path) -> None:
    path = stopped(tmp_path, MLflowTracker(uri, "study"))
    before = only_run(uri)
    assert (before.info.status, len(history(uri, before, LRS))) == ("FAILED", 17)
    seen: list[str] = []

    class Looks(Callback):
        def on_train_epoch_end(self, *_: object) -> None:
            seen.append(only_run(uri).info.status)

    tracker = MLflowTracker(uri, "study", deliver_every=0.01)
    train(tmp_path, tracker, Looks(), val_check_interval=5, ckpt_path=path)
    run = only_run(uri)
    assert run.info.run_id == before.info.run_id == tracker.run_id
    assert seen[-1] == "RUNNING"
    assert run.info.status == "FINISHED"
    assert history(uri, run, LRS) == lrs()
    assert [step for step, _ in history(uri, run, "val_loss")] == [4, 9, 14, 19, 24, 29]
    assert history(uri, run, "schedule/phase")[-1] == (29, 6.0)
    no_step_twice(uri, run)
    assert artifacts(uri, run, "schedule")[:2] == ["schedule/lr-from-step-12.png", "schedule/lr.png"]


def test_what_was_logged_stays_when_other_values_are_trained_again(uri: str, tmp_path: Path) -> None:
    path = stopped(tmp_path, MLflowTracker(uri, "study"))
    before = history(uri, only_run(uri), "val_loss")
    other = {"schedule": LearningRateScheduler(SGDR(5), warmup=2), "module": Tiny(score=lambda step: 7.0 + step)}
    train(tmp_path, MLflowTracker(uri, "study"), val_check_interval=5, ckpt_path=path, **other)
    run = only_run(uri)
    assert history(uri, run, "val_loss")[: len(before)] == before
    assert history(uri, run, "val_loss")[len(before) :] == [(step - 1, 7.0 + step) for step in (20, 25, 30)]
    no_step_twice(uri, run)


def test_the_artifact_has_every_step_as_it_was_trained_last(uri: str, tmp_path: Path) -> None:
    path = stopped(tmp_path, MLflowTracker(uri, "study"))
    train(tmp_path, MLflowTracker(uri, "study"), ckpt_path=path)
    run = only_run(uri)
    files = [fetched(uri, run, name) for name in artifacts(uri, run, "schedule/steps")]
    assert len(files) == 2
    steps, values = read_columns(files)[LRS]
    assert list(zip(steps.tolist(), values.tolist(), strict=True)) == lrs()


@pytest.mark.parametrize("every", [4, "on_change"])
def test_thinned_curves_go_on_where_they_ended(uri: str, tmp_path: Path, every: Any) -> None:
    path = stopped(tmp_path, MLflowTracker(uri, "study", every_n_steps=every))
    train(tmp_path, MLflowTracker(uri, "study", every_n_steps=every), ckpt_path=path)
    run = only_run(uri)
    found = history(uri, run, LRS)
    no_step_twice(uri, run)
    restarts = {0, 1, 2, 6, 7, 11, 12, 16, 17, 21, 22, 26, 27, 29}
    between = {4, 8, 20, 24, 28} if every == 4 else set(range(STEPS))  # a line misses every step of so short cycles
    assert found == [point for point in lrs() if point[0] in restarts | between]


def test_a_checkpoint_has_no_password_and_loads_with_weights_only(uri: str, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Tracking fails|is kept in"):
        path = stopped(tmp_path, MLflowTracker("http://ann:s3cret@127.0.0.1:9", "study", flush_timeout=0.1))
    state = torch.load(path, weights_only=True)["callbacks"]["MLflowTracker"]
    assert (state["uri"], state["experiment"], state["run_id"]) == ("http://***@127.0.0.1:9", "study", None)
    assert b"s3cret" not in path.read_bytes()


def test_a_run_that_was_never_opened_is_opened_by_the_resumed_fit_with_all_steps(uri: str, tmp_path: Path) -> None:
    """The first fit reaches no store; what it left is delivered first."""
    with pytest.warns(UserWarning, match="Tracking fails|is kept in"):
        path = stopped(tmp_path, MLflowTracker("sqlite:////proc/nowhere/mlflow.db", "study", flush_timeout=0.1))
    state = torch.load(path, weights_only=False)
    state["callbacks"]["MLflowTracker"]["uri"] = uri
    torch.save(state, path)
    (folder,) = (tmp_path / "lrsched_spool").iterdir()
    spool = opened(folder)
    spool.note(uri=uri)
    spool.release()
    train(tmp_path, MLflowTracker(uri, "study"), ckpt_path=path)
    assert history(uri, only_run(uri), LRS) == lrs()
    no_step_twice(uri, only_run(uri))
    assert not (tmp_path / "lrsched_spool").exists()


@pytest.mark.parametrize("settings", [{"resume_run": False}, {"experiment": "other"}])
def test_a_new_run_is_linked_to_the_one_it_comes_from(uri: str, tmp_path: Path, settings: dict[str, Any]) -> None:
    path = stopped(tmp_path, MLflowTracker(uri, "study"))
    first = only_run(uri).info.run_id
    tracker = MLflowTracker(uri, **{"experiment": "study", **settings})
    train(tmp_path, tracker, ckpt_path=path)
    child = MlflowClient(uri).get_run(str(tracker.run_id))
    assert child.info.run_id != first
    assert child.data.tags["lrsched.resumed_from"] == child.data.tags["mlflow.parentRunId"] == first
    assert history(uri, child, LRS) == lrs()[12:]
    assert len(history(uri, MlflowClient(uri).get_run(first), LRS)) == 17


def test_a_run_that_was_deleted_is_told_and_a_new_one_begins(uri: str, tmp_path: Path) -> None:
    path = stopped(tmp_path, MLflowTracker(uri, "study"))
    first = only_run(uri).info.run_id
    MlflowClient(uri).delete_run(first)
    with pytest.warns(UserWarning, match=f"The run {first} of the checkpoint is not in sqlite:.* any more: a new one"):
        train(tmp_path, MLflowTracker(uri, "study"), ckpt_path=path)
    assert only_run(uri).data.tags["lrsched.resumed_from"] == first


def test_a_resume_into_another_store_is_told(uri: str, tmp_path: Path) -> None:
    path = stopped(tmp_path, MLflowTracker(uri, "study"))
    other = f"sqlite:///{shutil.copy(uri.removeprefix('sqlite:///'), tmp_path / 'other.db')}"
    first = only_run(uri).info.run_id
    match = f"The run of the checkpoint is in {uri}, and this fit records into {other}: a new run begins there"
    with pytest.warns(UserWarning, match=match) as told:
        train(tmp_path, (tracker := MLflowTracker(other, "study")), ckpt_path=path)
    assert len([one for one in told if "a new run begins" in str(one.message)]) == 1
    assert tracker.run_id != first


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("http://h:1", "http://h:1/"),
        ("http://h:1/", "http://h:1"),
        ("sqlite:////data/mlflow.db", "sqlite:////data//mlflow.db"),
    ],
)
def test_a_store_is_the_same_one_with_a_slash_more(before: str, after: str) -> None:
    earlier = Earlier("0123", "token", before, "study")
    target = pick_target((), after, "study", None, earlier)
    assert (target.run_id, target.resume, target.elsewhere) == ("0123", True, False)


@pytest.mark.filterwarnings("ignore:The plan")
def test_changed_params_become_tags(uri: str, tmp_path: Path) -> None:
    path = stopped(tmp_path, MLflowTracker(uri, "study"))
    changed = LearningRateScheduler(SGDR(5, eta_min=1e-3), warmup=2)
    train(tmp_path, MLflowTracker(uri, "study"), ckpt_path=path, schedule=changed)
    run = only_run(uri)
    assert run.data.params["schedule/main"] == "SGDR(T_0=5)"
    assert run.data.tags["schedule/main"] == "SGDR(T_0=5, eta_min=0.001)"
    no_step_twice(uri, run)
    train(tmp_path, MLflowTracker(uri, "study"), ckpt_path=path)
    assert only_run(uri).data.tags["schedule/main"] == "SGDR(T_0=5)"


def test_a_fresh_fit_with_the_same_tracker_opens_a_run_of_its_own(uri: str, tmp_path: Path) -> None:
    tracker = MLflowTracker(uri, "study")
    train(tmp_path / "one", tracker)
    train(tmp_path / "two", tracker)
    assert len(runs(uri)) == 2
    assert all(history(uri, run, LRS) == lrs() for run in runs(uri))


def test_the_loggers_run_that_is_gone_on_with_has_every_step_once(uri: str, tmp_path: Path) -> None:
    logger = MLFlowLogger("study", tracking_uri=uri)
    path = stopped(tmp_path, MLflowTracker(), logger=logger)
    again = MLFlowLogger("study", tracking_uri=uri, run_id=logger.run_id)
    train(tmp_path, MLflowTracker(), logger=again, ckpt_path=path)
    assert history(uri, only_run(uri), LRS) == lrs()


def test_what_a_killed_fit_has_left_is_delivered_by_the_one_that_goes_on(uri: str, tmp_path: Path) -> None:
    """As after SIGKILL: the checkpoint names the run, the journal has steps that the store has not."""
    tracker = MLflowTracker(uri, "study", deliver_every=1000.0)
    close = Session.close
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Session, "close", end_as_killed)
        path = stopped(tmp_path, tracker)
    assert Session.close is close
    train(tmp_path, MLflowTracker(uri, "study"), ckpt_path=path)
    run = only_run(uri)
    assert history(uri, run, LRS) == lrs()
    no_step_twice(uri, run)
    assert run.info.status == "FINISHED"
    assert not (tmp_path / "lrsched_spool").exists()


def test_a_spool_that_is_replayed_after_its_run_went_on_fills_the_gaps_alone(uri: str, tmp_path: Path) -> None:
    from lightning_lrsched.tracking.replay import replay

    first, second = tmp_path / "first", tmp_path / "second"
    tracker = MLflowTracker(uri, "study", spool_dir=first)
    client = MlflowClient(uri)

    class Deletes(Callback):
        """Has the store refuse everything from the start until the second fit."""

        def on_train_batch_end(self, trainer: Any, *_: object) -> None:
            if trainer.global_step == 12:
                while tracker.run_id is None:
                    pass
                client.delete_run(tracker.run_id)

    with pytest.warns(UserWarning, match="Tracking fails|is kept in"), pytest.raises(RuntimeError, match="stopped"):
        train(tmp_path, tracker, Deletes(), Stops(17), val_check_interval=5)
    client.restore_run(str(tracker.run_id))
    path = tmp_path / "kept" / "step=12.ckpt"
    state = torch.load(path, weights_only=False)
    state["callbacks"]["MLflowTracker"]["run_id"] = tracker.run_id
    torch.save(state, path)
    train(tmp_path, MLflowTracker(uri, "study", spool_dir=second), val_check_interval=5, ckpt_path=path)
    (folder,) = first.iterdir()
    replay(folder)
    run = only_run(uri)
    assert history(uri, run, LRS) == lrs()
    no_step_twice(uri, run)
    assert run.info.status == "FINISHED"
