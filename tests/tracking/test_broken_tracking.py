"""Tracking that fails, hangs or is elsewhere: the fit finishes, with one warning, in bounded time."""

import os
import shlex
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from lightning_lrsched import SGDR, CycleCheckpoint, LearningRateScheduler, MLflowTracker
from lightning_lrsched.tracking import writer
from lightning_lrsched.tracking.session import Left
from lightning_lrsched.tracking.spool import Spool
from tests.callbacks.models import Stranger, Tiny, expected, make_trainer
from tests.tracking.sinks import Fails, Hangs, Keeps, json_lines, lines_of


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between two tries that a test can wait for."""
    monkeypatch.setattr(writer, "PAUSES", (0.01, 0.05))


def fit(folder: Path, monkeypatch: pytest.MonkeyPatch, sink: Any, **settings: Any) -> tuple[Stranger, float]:
    """Fit with the sink in the place of MLflow; return the lrs and the seconds it took."""
    monkeypatch.setattr("lightning_lrsched.tracking.session.sink_for", lambda *_: sink)
    schedule, stranger = LearningRateScheduler(SGDR(5), warmup=2), Stranger()
    callbacks = [schedule, CycleCheckpoint("val_loss"), MLflowTracker(flush_timeout=0.5), stranger]
    begin = time.monotonic()
    make_trainer(folder, *callbacks, val_check_interval=2, **settings).fit(Tiny())
    assert stranger.group() == expected(schedule, 20)
    return stranger, time.monotonic() - begin


def ours(told: pytest.WarningsRecorder) -> list[str]:
    texts = [str(warning.message) for warning in told]
    return [text for text in texts if "MLflow" in text or "Tracking" in text]


def test_a_sink_that_always_fails_is_told_when_it_begins_and_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.warns(UserWarning, match="Tracking fails, training goes on: disk full|rest is kept") as told:
        _, seconds = fit(tmp_path, monkeypatch, Fails())
    assert len(ours(told)) == 2
    (spool,) = (tmp_path / "lrsched_spool").iterdir()
    assert ours(told)[1].endswith(f"disk full. The rest is kept in {spool}. Deliver it with: lrsched replay {spool}")
    assert seconds < 10


def test_the_command_that_is_told_is_one_for_a_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "My Drive"
    with pytest.warns(UserWarning, match="Tracking fails|rest is kept") as told:
        fit(root, monkeypatch, Fails())
    (spool,) = (root / "lrsched_spool").iterdir()
    assert shlex.split(ours(told)[1].partition("Deliver it with: ")[2]) == ["lrsched", "replay", str(spool)]


def test_a_sink_that_hangs_is_told_once_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = Hangs()
    with pytest.warns(UserWarning, match="has not taken everything in 0.5 s") as told:
        _, seconds = fit(tmp_path, monkeypatch, sink)
    sink.released.set()
    assert len(ours(told)) == 1
    assert seconds < 10


def test_a_sink_that_recovers_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = Fails(times=1)
    with pytest.warns(UserWarning, match="Tracking fails, training goes on") as told:
        fit(tmp_path, monkeypatch, sink)
    assert len(ours(told)) == 1
    assert len([point for point in sink.points if point.key == "lr/SGD/0"]) == 20
    assert sink.status == "FINISHED"
    assert {name.partition("/")[0] for name in sink.files} == {"schedule", "checkpoints"}


def test_a_picture_that_cannot_be_drawn_does_not_leave_the_run_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("no fonts")

    monkeypatch.setattr("lightning_lrsched.tracking.tasks.draw", broken)
    sink = Keeps()
    with pytest.warns(UserWarning, match="Tracking fails, training goes on: no fonts"):
        fit(tmp_path, monkeypatch, sink)
    assert sink.status == "FINISHED"


def test_another_tracker_is_a_class_of_a_few_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = json_lines(tmp_path / "run.jsonl")
    sink.run_id = "lines"
    stranger, _ = fit(tmp_path, monkeypatch, sink)
    rows = lines_of(tmp_path / "run.jsonl")
    lrs = [(row["step"], row["value"]) for row in rows if row.get("key") == "lr/SGD/0"]
    assert lrs == list(enumerate(stranger.group()))
    assert next(row for row in rows if "params" in row)["params"]["schedule/main"] == "SGDR(T_0=5)"
    assert {"plan.json", "lr.png", "steps"} <= {path.name for path in (tmp_path / "run" / "schedule").iterdir()}
    assert list((tmp_path / "run" / "checkpoints").glob("*.ckpt"))
    assert rows[-1] == {"status": "FINISHED"}


def test_a_server_that_is_down_keeps_no_step_waiting_and_is_told_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = MLflowTracker("http://someone:secret@127.0.0.1:9", "study", flush_timeout=2.0)
    module, begin = Tiny(), time.monotonic()
    with pytest.warns(UserWarning, match="Tracking fails, training goes on: .*refused|rest is kept") as told:
        make_trainer(tmp_path, LearningRateScheduler(SGDR(5)), tracker).fit(module)
    assert module.batches == 20
    assert time.monotonic() - begin < 10
    assert tracker.run_id is None
    assert len(ours(told)) == 2
    assert "secret" not in "".join(ours(told))


def test_a_driver_that_is_missing_is_not_waited_for(tmp_path: Path) -> None:
    tracker = MLflowTracker("mysql+pymysql://127.0.0.1:9/mlflow", flush_timeout=30)
    begin = time.monotonic()
    with pytest.warns(UserWarning, match="pymysql") as told:
        make_trainer(tmp_path, LearningRateScheduler(SGDR(5)), tracker).fit(Tiny())
    assert time.monotonic() - begin < 15
    assert "flush_timeout" not in ours(told)[-1]


def test_what_was_in_memory_alone_is_told_to_be_lost(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    tracker = MLflowTracker("http://127.0.0.1:9", flush_timeout=0.3, spool_dir=tmp_path / "file" / "spool")
    with pytest.warns(UserWarning, match="Tracking|MLflow|spool") as told:
        make_trainer(tmp_path, LearningRateScheduler(SGDR(5)), tracker).fit(Tiny())
    assert ours(told)[-1].endswith("What could not be written to the spool was in memory alone, and is lost")
    assert tracker.left is not None
    assert tracker.left.lost


def test_what_ctrl_c_leaves_at_the_end_of_a_fit_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning ignores a second ctrl-C, and exits; a notebook goes on, and the spool must not stay in use there."""
    sink, tracker = Hangs(), MLflowTracker(flush_timeout=30)
    monkeypatch.setattr("lightning_lrsched.tracking.session.sink_for", lambda *_: sink)

    def press() -> None:
        while tracker._session is not None:  # until the end of the fit waits
            time.sleep(0.01)
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGINT)

    pressing = threading.Thread(target=press)
    monkeypatch.setattr(Tiny, "on_train_end", lambda self: pressing.start(), raising=False)
    before, begin = signal.signal(signal.SIGINT, signal.default_int_handler), time.monotonic()
    with pytest.raises(SystemExit), pytest.warns(UserWarning, match="rest is kept") as told:
        make_trainer(tmp_path, LearningRateScheduler(SGDR(5)), tracker).fit(Tiny())
    signal.signal(signal.SIGINT, before)
    assert time.monotonic() - begin < 20
    (spool,) = (tmp_path / "lrsched_spool").iterdir()
    assert tracker.left == Left(spool, lost=False)
    (text,) = ours(told)
    assert text.startswith(f"MLflow has not taken everything: the waiting was interrupted. The rest is kept in {spool}")
    sink.released.set()
    Spool.open(spool, patience=10).release()


def test_a_reason_with_a_password_is_told_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reason = "cannot reach postgresql://someone:p@ss/w:rd@db.example:5432/mlflow"
    with pytest.warns(UserWarning, match=r"cannot reach postgresql://") as told:
        fit(tmp_path, monkeypatch, Fails(reason=reason))
    assert len(ours(told)) == 2
    for text in ours(told):
        assert not any(part in text for part in ("someone", "p@ss", "w:rd"))
        assert "db.example:5432/mlflow" in text


def test_without_mlflow_the_fit_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    module = Tiny()
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'lightning-lrsched\[mlflow\]'"):
        make_trainer(tmp_path, MLflowTracker()).fit(module)
    assert module.batches == 0
