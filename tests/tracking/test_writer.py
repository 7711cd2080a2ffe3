"""The writer: in order, in batches, again after a failure, never waiting and never raising."""

import threading
import time
from collections.abc import Iterator

import pytest

from lightning_lrsched.tracking import writer as module
from lightning_lrsched.tracking.sink import Point, Sink
from lightning_lrsched.tracking.writer import Writer
from tests.tracking.sinks import Fails, Hangs, Keeps


def one(record: int) -> Iterator[Point]:
    yield Point("lr", float(record), record, 0)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between two tries that a test can wait for."""
    monkeypatch.setattr(module, "_PATIENCE", (0.01, 0.01))


def make(sink: Sink, told: list[str] | None = None, every: float = 0.01) -> Writer:
    messages: list[str] = [] if told is None else told
    return Writer(sink, one, messages.append, every)


def test_all_arrives_in_order() -> None:
    sink = Keeps()
    writer = make(sink)
    for record in range(2_500):
        writer.record(record)
    assert writer.close(10)
    assert [point.step for point in sink.points] == list(range(2_500))


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_no_batch_is_larger_than_the_sink_takes(size: int) -> None:
    sink = Keeps(batch_size=size)
    writer = make(sink, every=60)
    for record in range(50):
        writer.record(record)
    assert writer.close(10)
    assert [len(batch) for batch in sink.batches] == [size] * (50 // size) + [50 % size] * bool(50 % size)


def test_jobs_run_in_order_in_the_writers_thread_and_the_last_ones_at_the_end() -> None:
    seen: list[tuple[str, str]] = []
    writer = make(Keeps())
    for name in ("first", "second"):
        writer.run(lambda sink, name=name: seen.append((name, threading.current_thread().name)))  # type: ignore[misc]
    writer.record(1)
    assert writer.close(10, [lambda sink: seen.append(("last", threading.current_thread().name))])
    assert seen == [(name, "lrsched-writer") for name in ("first", "second", "last")]


@pytest.mark.usefixtures("patient")
def test_what_failed_is_tried_again_and_told_once() -> None:
    sink, told = Fails(times=2), list[str]()
    writer = make(sink, told)
    for record in range(10):
        writer.record(record)
    assert writer.close(10)
    assert [point.step for point in sink.points] == list(range(10))
    assert told == ["Tracking fails, training goes on: disk full"]
    assert not writer.failing


@pytest.mark.usefixtures("patient")
def test_what_is_given_up_is_counted() -> None:
    sink, told = Fails(), list[str]()
    writer = make(sink, told, every=60)
    for record in range(10):
        writer.record(record)
    assert not writer.close(10)
    assert writer.dropped == 10
    assert writer.failing
    assert len(told) == 1


@pytest.mark.usefixtures("patient")
def test_a_last_job_that_fails_does_not_keep_the_next_from_running() -> None:
    sink = Keeps()

    def broken(sink: Sink) -> None:
        raise RuntimeError("no picture")

    writer = make(sink, [])
    writer.close(10, [broken, lambda sink: sink.finish("FINISHED")])
    assert sink.status == "FINISHED"


def test_only_the_first_line_of_a_reason_is_told() -> None:
    told: list[str] = []
    writer = make(Fails(times=1, reason="first\nsecond"), told)
    writer.record(1)
    writer.close(10)
    assert told == ["Tracking fails, training goes on: first"]


def test_past_the_most_the_oldest_are_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_PENDING", 100)
    sink = Keeps()
    writer = make(sink, every=60)
    for record in range(130):
        writer.record(record)
    assert not writer.close(10)
    assert writer.dropped == 30
    assert [point.step for point in sink.points] == list(range(30, 130))


def test_closing_waits_no_longer_than_it_is_told() -> None:
    sink = Hangs()
    writer = make(sink)
    writer.record(1)
    begin = time.monotonic()
    assert not writer.close(0.3)
    assert 0.25 < time.monotonic() - begin < 5
    sink.released.set()


def test_recording_does_not_wait_for_a_sink_that_hangs() -> None:
    sink = Hangs()
    writer = make(sink)
    writer.record(0)
    time.sleep(0.1)
    begin = time.monotonic()
    for record in range(1_000):
        writer.record(record)
    assert time.monotonic() - begin < 0.5
    sink.released.set()
    writer.close(10)
