"""Replay: what a spool holds arrives once, also after a kill in the middle, and only in the run that it is of."""

import json
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from lightning_lrsched import SGDR, LearningRateScheduler, MLflowTracker
from lightning_lrsched.cli import main
from lightning_lrsched.tracking import tasks
from lightning_lrsched.tracking.journal import Journal
from lightning_lrsched.tracking.pick import Target, open_run
from lightning_lrsched.tracking.recorder import MetricRecord, metrics_note
from lightning_lrsched.tracking.replay import find_spools, replay
from lightning_lrsched.tracking.sink import Point
from lightning_lrsched.tracking.spool import FOLDER, Spool, SpoolError
from tests.callbacks.models import Tiny, make_trainer
from tests.tracking.reading import artifacts, history, only_run, repeated, runs
from tests.tracking.spooling import Groups, end_note, make_spool, record_steps, recorder

STEPS = 2500
LRS = "lr/SGD/0"


def left(parent: Path, uri: str, status: str | None = "FINISHED", steps: int = STEPS, **facts: Any) -> Path:
    """A spool as a fit leaves it that has reached no server."""
    spool = make_spool(parent, **{**Target(uri, None, "study", "first").facts(), "title": "t", **facts})
    journal = Journal(spool.folder, pytest.fail)
    groups: Groups = [{}, {}]
    record_steps(recorder(journal, groups), groups, [1 / (step + 1) for step in range(steps)])
    journal.append(metrics_note(MetricRecord(steps - 1, 5, {"val_loss": 0.25})))
    if status:
        journal.append(end_note(status))
    journal.close()
    spool.write("tasks/000001.json", tasks.describe({"schedule/main": "SGDR"}, {}))
    spool.write("tasks/000002.json", tasks.text("plan.json", "{}"))
    spool.release()
    return spool.folder


def expected(steps: int = STEPS) -> list[tuple[int, float]]:
    return [(step, 1 / (step + 1)) for step in range(steps)]


def test_a_replay_on_a_full_disk_delivers_every_point(
    uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = left(tmp_path / "spools", uri)
    (folder / "steps").rmdir()
    (folder / "steps").touch()
    assert main(["replay", str(folder)]) == 0
    assert "schedule/steps lacks some steps: Not a directory" in capsys.readouterr().out
    run = only_run(uri)
    assert history(uri, run, LRS) == expected()
    assert run.info.status == "FINISHED"


@pytest.mark.parametrize(("status", "found"), [("FINISHED", "FINISHED"), ("FAILED", "FAILED"), (None, "KILLED")])
def test_a_spool_becomes_the_run_that_the_fit_would_have_made(
    uri: str, tmp_path: Path, status: str | None, found: str
) -> None:
    folder = left(tmp_path / FOLDER, uri, status)
    for segment in folder.glob("*.journal"):
        os.utime(segment, (1_750_000_000, 1_750_000_000))
    done = replay(folder)
    run = only_run(uri)
    assert (run.info.run_id, run.info.status, done.status) == (done.run_id, found, found)
    assert run.info.end_time == 1_750_000_000_000
    assert done.points == 2 * STEPS + 1
    assert (run.info.run_name, run.data.params) == ("first", {"schedule/main": "SGDR"})
    assert history(uri, run, LRS) == expected()
    assert history(uri, run, "val_loss") == [(STEPS - 1, 0.25)]
    assert "schedule/plan.json" in artifacts(uri, run, "schedule")
    assert len(artifacts(uri, run, "schedule/steps")) == 1
    assert not (tmp_path / FOLDER).exists()


class Stops(Exception):
    """The replay is stopped."""


@pytest.mark.parametrize("after", [1, 2, 3])
@pytest.mark.parametrize("stored", [True, False], ids=["reply lost", "request lost"])
def test_a_replay_that_was_stopped_is_begun_again(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int, stored: bool
) -> None:
    from lightning_lrsched.tracking.mlflow_sink import MlflowSink

    folder, calls, write = left(tmp_path, uri), 0, MlflowSink.write

    def stopped(sink: MlflowSink, points: list[Point]) -> None:
        nonlocal calls
        calls += 1
        if calls != after or stored:
            write(sink, points)
        if calls == after:
            raise Stops

    monkeypatch.setattr(MlflowSink, "write", stopped)
    with pytest.raises(Stops):
        replay(folder)
    done = replay(folder)
    assert done.points < 2 * STEPS + 1 or after == 1
    assert repeated(uri) == []
    assert history(uri, only_run(uri), LRS) == expected()


KILLED = """
import sys
from pathlib import Path
from lightning_lrsched.tracking.replay import replay
def progress(points):
    print(points, flush=True)
    if points >= 2000:
        sys.stdin.read()  # until it is killed
replay(Path(sys.argv[1]), progress=progress)
"""


def test_a_replay_that_was_killed_is_begun_again(uri: str, tmp_path: Path) -> None:
    folder = left(tmp_path, uri, steps=4000)
    command = [sys.executable, "-c", KILLED, str(folder)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert [process.stdout.readline() for _ in range(2)] == ["1000\n", "2000\n"]
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert folder.exists()
    assert replay(folder).points == 6_001
    assert repeated(uri) == []
    assert history(uri, only_run(uri), LRS) == expected(4000)


def test_a_run_that_was_opened_without_an_answer_is_found_again(uri: str, tmp_path: Path) -> None:
    folder = left(tmp_path, uri)
    token = json.loads((folder / "spool.json").read_text())["run_token"]
    client = MlflowClient(uri)
    run_id = open_run(client, client.create_experiment("study"), "first", {"lrsched.fit": token})
    assert replay(folder).run_id == run_id
    assert len(runs(uri)) == 1


def test_a_run_of_another_experiment_is_refused_unless_it_is_meant(uri: str, tmp_path: Path) -> None:
    client = MlflowClient(uri)
    run_id = client.create_run(client.create_experiment("other")).info.run_id
    folder = left(tmp_path, uri, run_id=run_id, experiment_found="study")
    with pytest.raises(SpoolError, match=f"is of a run in experiment 'study', and {run_id} is in 'other'"):
        replay(folder)
    assert client.get_run(run_id).data.metrics == {}
    assert replay(folder, any_experiment=True).run_id == run_id


def test_a_run_that_is_not_there_is_refused(uri: str, tmp_path: Path) -> None:
    folder = left(tmp_path, uri, run_id="0" * 32)
    with pytest.raises(SpoolError, match=r"the run 0{32} of .* is not in sqlite:.*, or deleted. Restore it"):
        replay(folder)
    assert runs(uri) == []


def test_a_deleted_run_is_delivered_when_it_is_restored(uri: str, tmp_path: Path) -> None:
    client = MlflowClient(uri)
    run_id = client.create_run("0").info.run_id
    client.delete_run(run_id)
    folder = left(tmp_path, uri, run_id=run_id, experiment="Default")
    with pytest.raises(SpoolError, match=f"mlflow runs restore --run-id {run_id}"):
        replay(folder)
    client.restore_run(run_id)
    assert replay(folder).points == 2 * STEPS + 1


def test_a_spool_that_is_in_use_is_refused(uri: str, tmp_path: Path) -> None:
    folder = left(tmp_path, uri)
    open_one = Spool.open(folder)
    with pytest.raises(SpoolError, match="is in use: its training, or another replay, is still running"):
        replay(folder)
    threading.Timer(0.5, open_one.release).start()
    assert replay(folder, patience=20).points


def test_a_spool_is_let_go_of_once(uri: str, tmp_path: Path) -> None:
    spool = Spool.open(left(tmp_path, uri))
    spool.release()
    others = [os.open(tmp_path, os.O_RDONLY) for _ in range(2)]  # take the numbers that are free now
    again = Spool.open(spool.folder)
    spool.release()
    assert all(stat.S_ISDIR(os.fstat(other).st_mode) for other in others)
    with pytest.raises(SpoolError, match="is in use"):
        Spool.open(spool.folder)
    again.release()
    for other in others:
        os.close(other)


def test_a_spool_of_a_living_process_is_refused_and_of_a_dead_one_it_is_not(uri: str, tmp_path: Path) -> None:
    folder = left(tmp_path, uri)
    code = "import sys, time; from pathlib import Path; from lightning_lrsched.tracking.spool import Spool; "
    code += "s = Spool.open(Path(sys.argv[1])); print('open', flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code, folder], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    with pytest.raises(SpoolError, match="is in use"):
        Spool.open(folder)
    process.kill()
    process.wait(10)
    process.stdout.close()
    Spool.open(folder).release()


def test_a_password_is_not_kept_and_must_be_given_again(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "http://ann:s3cret@127.0.0.1:9/path?token=abc"
    folder = left(tmp_path, secret)
    assert "s3cret" not in "".join(path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file())
    with pytest.raises(SpoolError, match=r"http://\*\*\*@127.0.0.1:9/path\?token=\*\*\*, and keeps no password"):
        replay(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", secret)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    with pytest.raises(Exception, match="refused"):
        replay(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert replay(folder, uri).points


def test_nobody_else_can_read_a_spool(uri: str, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        folder = left(tmp_path / "spools", uri)
    finally:
        os.umask(before)
    for path in [folder, *folder.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_nobody_else_can_read_what_a_fit_leaves(uri: str, tmp_path: Path) -> None:
    tracker = MLflowTracker("http://127.0.0.1:9", flush_timeout=0.3)
    trainer = make_trainer(tmp_path, LearningRateScheduler(SGDR(5)), tracker)
    before = os.umask(0)
    try:
        with pytest.warns(UserWarning, match="Tracking fails|is kept in"):
            trainer.fit(Tiny())
    finally:
        os.umask(before)
    left_there = {path: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "lrsched_spool").glob("*/**/*")}
    assert {path.suffix for path in left_there} >= {".journal", ".json", ".npz"}
    assert all(mode == (0o700 if path.is_dir() else 0o600) for path, mode in left_there.items()), left_there


def test_what_is_no_spool_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpoolError, match="is no spool, and there is none in it"):
        find_spools(tmp_path)
    (tmp_path / "spool.json").write_text("[]")
    with pytest.raises(SpoolError, match=r"is no spool: its spool.json has no token"):
        replay(tmp_path)


def test_an_unknown_task_is_refused_and_nothing_is_executed(uri: str, tmp_path: Path) -> None:
    folder = left(tmp_path, uri)
    made = tmp_path / "made"
    task = {"do": "os.system", "command": f"touch {made}"}
    (folder / "tasks" / "000000.json").write_text(json.dumps(task))
    with pytest.raises(ValueError, match="unknown task"):
        replay(folder)
    assert not made.exists()
    assert subprocess.run(task["command"], shell=True, check=True).returncode == 0
    assert made.exists()  # so it would look


def test_the_command_delivers_all_spools_of_a_folder(
    uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parent = tmp_path / "lrsched_spool"
    folders = [left(parent, uri, steps=10, run_name=name) for name in ("first", "second")]
    assert main(["replay", str(parent)]) == 0
    out = capsys.readouterr().out
    assert all(f"{folder}: 21 points to run " in out for folder in folders)
    assert sorted(str(run.info.run_name) for run in runs(uri)) == ["first", "second"]
    assert main(["replay", str(parent)]) == 2
    assert "is no spool, and there is none in it" in capsys.readouterr().err


def test_the_command_says_what_it_could_not_deliver(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    folder = left(tmp_path, "http://127.0.0.1:9", steps=10)
    assert main(["replay", str(folder), "--request-timeout", "1", "--tracking-uri", "http://a:s3cret@127.0.0.1:9"]) == 2
    told = capsys.readouterr().err
    assert "What was delivered stays; run the command again for the rest" in told
    assert "s3cret" not in told
    assert folder.exists()
