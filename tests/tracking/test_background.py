"""Writing points into a database leaves the training its time: see `background`."""

import gc
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from lightning_lrsched.tracking.background import (
    Pace,
    collect_now,
    seldom_collected,
    soon_interrupted,
    wait_while_computing,
)
from lightning_lrsched.tracking.late_sink import LateSink
from lightning_lrsched.tracking.mlflow_sink import MlflowSink, batch_beside_training
from lightning_lrsched.tracking.pick import Target
from lightning_lrsched.tracking.recorder import MetricRecord
from lightning_lrsched.tracking.session import Options, Session
from lightning_lrsched.tracking.sink import Point


@pytest.fixture
def collected() -> Iterator[list[int]]:
    """The generations that are collected while the test lasts."""
    seen: list[int] = []

    def note(phase: str, info: dict[str, Any]) -> None:
        if phase == "stop":
            seen.append(info["generation"])

    gc.callbacks.append(note)
    yield seen
    gc.callbacks.remove(note)


@pytest.fixture(autouse=True)
def _settings() -> Iterator[None]:
    before, interval = gc.get_threshold(), sys.getswitchinterval()
    gc.set_threshold(700, 10, 10)
    sys.setswitchinterval(0.005)
    yield
    gc.set_threshold(*before)
    sys.setswitchinterval(interval)


def test_a_full_batch_into_a_database_is_collected_once(uri: str, collected: list[int]) -> None:
    client = MlflowClient(uri)
    sink = MlflowSink(client, client.create_run("0").info.run_id, owned=True)
    points = [Point(f"lr/SGD/{step % 8}", 0.1, step // 8, 1) for step in range(8000)]
    sink.write(points[:1000])
    collected.clear()
    for first in range(1000, 8000, 1000):
        sink.write(points[first : first + 1000])
    assert len(collected) <= 7
    assert gc.get_threshold() == (700, 10, 10)


def test_the_threshold_is_back_after_a_failure() -> None:
    held: list[int] = []

    def fail() -> None:
        with seldom_collected():
            held.append(gc.get_threshold()[0])
            raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        fail()
    assert held == [25_000]
    assert gc.get_threshold() == (700, 10, 10)


@pytest.mark.parametrize("first", [0, 100_000])
def test_a_collector_that_is_off_or_rarer_stays_so(first: int) -> None:
    gc.set_threshold(first, 10, 10)
    with seldom_collected():
        assert gc.get_threshold() == (first, 10, 10)
    assert gc.get_threshold() == (first, 10, 10)


def test_what_the_user_sets_meanwhile_stays() -> None:
    with seldom_collected():
        gc.set_threshold(5_000, 5, 5)
    assert gc.get_threshold() == (5_000, 5, 5)


@pytest.mark.parametrize(("first", "times"), [(0, 0), (700, 1)])
def test_a_collector_that_is_off_does_not_collect_now(collected: list[int], first: int, times: int) -> None:
    gc.set_threshold(first, 10, 10)
    collected.clear()
    collect_now()
    assert collected.count(2) == times


def test_a_store_that_is_imported_is_collected_before_the_first_step() -> None:
    program = (
        "import gc; from lightning_lrsched.tracking.mlflow_client import import_store\n"
        "for _ in range(2):\n"
        "    before = gc.get_stats()[2]['collections']; gc.collect(); import_store('sqlite:///mlflow.db')\n"
        "    print(gc.get_count()[1:], gc.get_stats()[2]['collections'] - before - 1)"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=120)
    first, second = done.stdout.splitlines()
    assert first.startswith("(0, 0) ")
    assert not first.endswith(" 0")
    assert second.endswith(" 0")


def test_garbage_of_the_training_is_collected_all_the_same() -> None:
    class Cycle:
        def __init__(self) -> None:
            self.own = self

    with seldom_collected():
        gc.collect()
        begin = sum(generation["collected"] for generation in gc.get_stats())
        for _ in range(60_000):
            Cycle()
        assert sum(generation["collected"] for generation in gc.get_stats()) > begin + 40_000


def test_the_interpreter_is_handed_over_soon_until_the_last_thread_has_left() -> None:
    inside, leave = threading.Event(), threading.Event()

    def stay() -> None:
        with soon_interrupted:
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=stay)
    with soon_interrupted:
        thread.start()
        assert inside.wait(10)
    assert sys.getswitchinterval() == 0.0005
    leave.set()
    thread.join()
    assert sys.getswitchinterval() == 0.005


def compute(seconds: float) -> float:
    """Compute for some seconds of the thread's own time; return how many it was."""
    begin = time.thread_time()
    while time.thread_time() < begin + seconds:
        pass
    return time.thread_time() - begin


class Thread:
    """A thread with clocks of its own: it computes, waits for others, and rests as `Pace` says."""

    def __init__(self) -> None:
        self.now = self.computed = 0.0
        self.rests: list[float] = []
        self.pace = Pace(self.sleep, lambda: self.computed, lambda: self.now)

    def sleep(self, seconds: float) -> None:
        self.rests.append(round(seconds, 6))
        self.now += seconds

    def compute(self, seconds: float) -> None:
        self.computed += seconds
        self.now += seconds


@pytest.mark.parametrize(("hurried", "times"), [(False, 4), (True, 1)])
def test_a_thread_rests_for_as_long_as_leaves_it_its_share(hurried: bool, times: int) -> None:
    thread = Thread()
    thread.compute(0.05)
    thread.pace.rest(hurried=hurried)
    thread.pace.rest(hurried=hurried)  # it has computed nothing since
    assert thread.rests == [0.05 * times]


def test_what_is_computed_in_small_parts_is_rested_from_together_and_never_for_long() -> None:
    thread = Thread()
    for _ in range(11):
        thread.compute(0.001)
        thread.pace.rest()
    assert thread.rests == [0.02, 0.02]
    thread.compute(0.3)
    thread.pace.rest()
    assert thread.rests[-1] == 1.0


def test_a_server_that_is_waited_for_is_rest_enough_and_allows_no_long_burst() -> None:
    thread = Thread()
    for _ in range(5):
        thread.compute(0.01)
        thread.now += 0.1
        thread.pace.rest()
    assert thread.rests == []
    thread.now += 60.0
    thread.compute(0.006)
    thread.pace.rest()
    thread.compute(0.02)
    thread.pace.rest()
    assert thread.rests == [0.03]


def test_the_clock_of_a_thread_is_its_own() -> None:
    rests: list[float] = []
    pace = Pace(rests.append)
    spent = compute(0.05)
    pace.rest()
    assert 0 < rests[0] <= 4 * spent + 0.001


def test_threads_are_waited_for_while_they_compute() -> None:
    busy = threading.Thread(target=compute, args=(0.3,))
    busy.start()
    wait_while_computing([busy], busy.is_alive, 60.0)
    assert not busy.is_alive()


@pytest.mark.parametrize("longest", [0.05, 60.0])
def test_threads_are_not_waited_for_while_they_wait_themselves(longest: float) -> None:
    over = threading.Event()
    idle = threading.Thread(target=over.wait, args=(30,))
    idle.start()
    begin = time.monotonic()
    wait_while_computing([idle], idle.is_alive, longest)
    assert time.monotonic() - begin < 10
    assert idle.is_alive()
    over.set()
    idle.join()


@pytest.mark.parametrize("seconds", [0.0, 0.1])
def test_a_thread_that_ends_meanwhile_ends_the_wait_and_nothing_else(seconds: float) -> None:
    ends = threading.Thread(target=compute, args=(seconds,))
    ends.start()
    if not seconds:
        ends.join()
    begin = time.monotonic()
    wait_while_computing([ends], lambda: True, 60.0)
    assert time.monotonic() - begin < 10


def test_the_wait_for_threads_that_compute_has_an_end() -> None:
    busy = threading.Thread(target=compute, args=(1.0,))
    busy.start()
    wait_while_computing([busy], busy.is_alive, 0.1)
    assert busy.is_alive()
    busy.join()


@pytest.mark.parametrize(
    ("uri", "size"),
    [
        ("sqlite:///mlflow.db", 100),
        ("postgresql+psycopg2://lab@db/mlflow", 100),
        ("http://127.0.0.1:5000", 1000),
        ("file:///tmp/mlruns", 1000),
    ],
)
def test_a_database_is_given_less_at_a_time_than_a_server(uri: str, size: int) -> None:
    assert batch_beside_training(uri) == size


def test_what_earlier_fits_have_left_is_written_beside_the_training_too(uri: str) -> None:
    client = MlflowClient(uri)
    run_id = client.create_run("0").info.run_id
    assert MlflowSink(client, run_id, owned=True).batch_size == 1000
    assert LateSink(uri, lambda: MlflowSink(client, run_id, owned=True)).opened().batch_size == 100


def test_a_database_is_given_as_much_as_it_takes_once_the_training_has_ended(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    write = MlflowSink.write

    def noted(sink: MlflowSink, points: Sequence[Point]) -> None:
        sizes.append(len(points))
        write(sink, points)

    monkeypatch.setattr(MlflowSink, "write", noted)
    session = Session(Target(uri, experiment="sizes"), Options(tmp_path), pytest.fail)
    for step in range(100):
        session.writer.record(MetricRecord(step, 1, {"loss": 0.1}))
    deadline = time.monotonic() + 30
    while not sizes and time.monotonic() < deadline:
        time.sleep(0.01)
    for step in range(100, 5000):
        session.writer.record(MetricRecord(step, 1, {"loss": 0.1}))
    session.close("FINISHED")
    assert session.left is None
    assert sizes[0] == 100
    assert 100 < max(sizes) <= 1000
    assert sum(sizes) == len(MlflowClient(uri).get_metric_history(str(session.run_id), "loss")) == 5000


def test_the_interval_is_back_after_a_failure() -> None:
    def fail() -> None:
        with soon_interrupted:
            raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        fail()
    assert sys.getswitchinterval() == 0.005


@pytest.mark.parametrize(("before", "meanwhile", "after"), [(0.0001, 0.0001, 0.0001), (0.005, 0.02, 0.02)])
def test_an_interval_that_is_shorter_or_set_by_the_user_stays(before: float, meanwhile: float, after: float) -> None:
    sys.setswitchinterval(before)
    with soon_interrupted:
        assert sys.getswitchinterval() == pytest.approx(min(before, 0.0005))
        sys.setswitchinterval(meanwhile)
    assert sys.getswitchinterval() == pytest.approx(after)
