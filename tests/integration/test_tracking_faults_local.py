"""Faults on one machine, each with the real thing: deleted runs, full disks, locked files, signals."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mlflow import MlflowClient

from lightning_lrsched import MLflowTracker
from lightning_lrsched.cli import main
from lightning_lrsched.tracking.recorder import StepRecorder
from tests.integration.faults import LRS, check_replay, check_store, lrs, told_of
from tests.integration.tracked_fit import HELD_AT, Watch, fit, untracked
from tests.processes import Start
from tests.tracking.reading import history, only_run, repeated, runs

SCRIPT = Path(__file__).with_name("tracked_fit.py")
pytestmark = pytest.mark.usefixtures("no_tracking_variables")


@pytest.mark.parametrize("what", ["run", "experiment"])
def test_what_was_deleted_is_delivered_when_it_is_restored(tmp_path: Path, store: str, what: str) -> None:
    client = MlflowClient(store)

    def delete() -> None:
        run = only_run(store)
        client.delete_run(run.info.run_id) if what == "run" else client.delete_experiment(run.info.experiment_id)

    begin = time.monotonic()
    done, told = told_of(lambda: fit(tmp_path, store, Watch({150: delete})))
    assert time.monotonic() - begin < 20
    done.check()
    assert "deleted" in told[0]
    assert main(["replay", str(tmp_path / "lrsched_spool")]) == 2
    assert done.tracker.run_id is not None
    if what == "run":
        client.restore_run(done.tracker.run_id)
    else:
        client.restore_experiment(client.get_run(done.tracker.run_id).info.experiment_id)
    check_replay(tmp_path, told, store)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB, where root may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip(
            f"no small disk, {mounted.stderr.decode().strip()}: test_journal has a file that may not grow instead"
        )
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def test_a_disk_that_becomes_full(tmp_path: Path, store: str, small_disk: Path) -> None:
    def fill() -> None:  # again and again: what is delivered leaves room
        file = os.open(small_disk / "filler", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        with suppress(OSError):
            while os.write(file, bytes(512)):
                pass
        os.close(file)

    done, told = told_of(
        lambda: fit(tmp_path, store, Watch(dict.fromkeys(range(80, 300), fill)), spool_dir=small_disk / "spool")
    )
    done.check()
    assert len(told) == 1
    assert told[0].startswith("The spool cannot be written (No space left on device): tracking goes on in memory")
    check_store(store)


def test_a_spool_that_cannot_be_made(tmp_path: Path, store: str) -> None:
    done, told = told_of(lambda: fit(tmp_path, store, spool_dir="/proc/lrsched"))
    done.check()
    assert len(told) == 1
    assert told[0].startswith("The spool cannot be written in /proc/lrsched (")
    check_store(store)


def test_without_disk_and_server_it_is_told_that_steps_are_lost(tmp_path: Path) -> None:
    done, told = told_of(lambda: fit(tmp_path, "http://127.0.0.1:9", spool_dir="/proc/lrsched", flush_timeout=0.5))
    done.check()
    assert "in memory alone, and is lost" in told[-1]
    assert "lrsched replay" not in told[-1]


def test_a_database_that_another_writer_has_locked(tmp_path: Path, store: str) -> None:
    other = sqlite3.connect(store.removeprefix("sqlite:///"), isolation_level=None, check_same_thread=False)
    seen: list[int] = []

    def unlock() -> None:
        seen.append(other.execute("SELECT COUNT(*) FROM metrics WHERE key = ?", [LRS]).fetchone()[0])
        other.execute("ROLLBACK")

    timer = threading.Timer(4.0, unlock)

    def lock() -> None:
        other.execute("BEGIN EXCLUSIVE")
        timer.start()

    watch = Watch({80: lock})
    done, told = told_of(lambda: fit(tmp_path, store, watch))
    assert len(seen) == 1  # so the fit's end has waited for the lock, and nothing was written meanwhile
    assert seen[0] <= 80
    other.close()
    done.check()
    assert told in ([], [text for text in told if "locked" in text][:1])
    check_store(store)


def begun(folder: Path, process: "subprocess.Popen[str]", log: str = "log") -> None:
    """Wait until a fit has come to the step where it waits."""
    deadline = time.monotonic() + 90
    while not (folder / "begun").exists():
        assert process.poll() is None, (folder / log).read_text()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def held(folder: Path, store: str, start: Start) -> "subprocess.Popen[str]":
    """Start a fit, and wait until it waits."""
    (folder / "wait").touch()
    process = start(SCRIPT, folder, store)
    begun(folder, process)
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_fit_that_is_stopped_by_a_signal_ends_its_run(
    tmp_path: Path, store: str, start: Start, number: signal.Signals
) -> None:
    process = held(tmp_path, store, start)
    process.send_signal(number)
    (tmp_path / "wait").unlink()
    process.wait(60)
    run = only_run(store)
    assert run.info.status == "KILLED", (tmp_path / "log").read_text()[-2000:]
    assert history(store, run, LRS) == lrs()[:HELD_AT]
    assert repeated(store) == []
    assert not (tmp_path / "lrsched_spool").exists()


def test_a_fit_that_is_killed_leaves_every_step_in_its_spool(tmp_path: Path, store: str, start: Start) -> None:
    process = held(tmp_path, store, start)
    process.kill()
    process.wait(10)
    assert main(["replay", str(tmp_path / "lrsched_spool")]) == 0
    run = only_run(store)
    assert history(store, run, LRS) == lrs()[:HELD_AT]
    assert repeated(store) == []
    assert run.info.status == "KILLED"


def test_two_trainings_at_once_on_one_new_sqlite_file(tmp_path: Path, start: Start) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
        (folder / "wait").touch()
    processes = [start(SCRIPT, folder, uri, 60, log=f"{folder.name}/log") for folder in folders]
    for folder, process in zip(folders, processes, strict=True):
        begun(folder, process)
    for folder in folders:  # both are in the middle now
        (folder / "wait").unlink()
    for folder, process in zip(folders, processes, strict=True):
        assert process.wait(120) == 0, (folder / "log").read_text()[-3000:]
        assert tuple(json.loads((folder / "trained.json").read_text())) == untracked()
        assert not (folder / "lrsched_spool").exists(), (folder / "log").read_text()[-3000:]
    found = runs(uri)
    assert [run.info.status for run in found] == ["FINISHED", "FINISHED"]
    assert all(history(uri, run, LRS) == lrs() for run in found)
    assert repeated(uri) == []


def test_whatever_holds_up_a_step_is_seen(tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check of all these tests: a tracker that waits, computes, or keeps the interpreter to itself, fails it."""
    record, look = StepRecorder.__call__, MLflowTracker.on_validation_end

    def slow(recorder: StepRecorder, step: int, lrs: list[float]) -> None:
        record(recorder, step, lrs)
        if step == 60:
            time.sleep(0.2)
        if step == 80:
            end = time.thread_time() + 0.2
            while time.thread_time() < end:
                pass

    def waits(tracker: MLflowTracker, *given: Any) -> None:
        look(tracker, *given)
        time.sleep(0.2)

    def keep_interpreter() -> None:
        sum(range(30_000_000))  # one call of C

    monkeypatch.setattr(StepRecorder, "__call__", slow)
    monkeypatch.setattr(MLflowTracker, "on_validation_end", waits)
    done = fit(tmp_path, store, Watch({150: threading.Timer(0.02, keep_interpreter).start}))
    late = [step for step, held in enumerate(done.watch.held) if held > 0.15]
    assert {60, 80, 99, 199, 299} <= set(late)
    assert any(150 <= step < 199 for step in late)
    with pytest.raises(AssertionError, match=r"steps were held up: \{.*60: '\d{3} ms', .*80: '\d{3} ms'"):
        done.check()


def test_whoever_draws_from_a_generator_of_the_training_is_seen(
    tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = StepRecorder.__call__
    for draw in (lambda: torch.rand(1), np.random.random, random.random):

        def draws(recorder: StepRecorder, step: int, lrs: list[float]) -> None:
            record(recorder, step, lrs)
            if step == 150:
                draw()  # noqa: B023

        monkeypatch.setattr(StepRecorder, "__call__", draws)
        done = fit(tmp_path, store, Watch(pause=0))
        assert done.trained.generators != untracked().generators
        assert done.trained[:2] != untracked()[:2]
