"""The writer: in order, in batches, beside the training, and never waiting for it."""

import gc
import sys
import threading
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from lightning_lrsched.tracking import writer
from lightning_lrsched.tracking.delivery import Delivery
from lightning_lrsched.tracking.journal import Journal
from lightning_lrsched.tracking.recorder import MetricRecord, metrics_note
from lightning_lrsched.tracking.sink import Point, Sink
from lightning_lrsched.tracking.spool import FOLDER, Spool
from lightning_lrsched.tracking.thinning import Thinning
from tests.tracking.sinks import Keeps
from tests.tracking.spooling import make_spool, make_writer, of, record_steps, record_steps_of, recorder, waited_for

LRS = "lr/SGD/0"

pytestmark = pytest.mark.usefixtures("impatient")


def test_all_arrives_in_order_and_the_spool_is_gone(spool: Spool | None, tmp_path: Path) -> None:
    sink = Keeps()
    made = make_writer(sink, spool)
    record_steps_of(made, 2_500)
    assert made.close(10, "FINISHED")
    assert [point.step for point in sink.points if point.key == LRS] == list(range(2_500))
    assert sink.status == "FINISHED"
    assert not (tmp_path / FOLDER).exists()


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_no_batch_is_larger_than_the_sink_takes(spool: Spool | None, size: int) -> None:
    sink = Keeps(batch_size=size)
    made = make_writer(sink, spool, every=60)
    record_steps_of(made, 50)
    assert made.close(10, "FINISHED")
    assert [len(batch) for batch in sink.batches] == [size] * (50 // size) + [50 % size] * bool(50 % size)


class Place(NamedTuple):
    stop: int
    cycle: int


@pytest.mark.parametrize(("groups", "metrics", "most"), [(1, 0, 6), (8, 0, 41), (8, 7, 43)])
def test_a_boundary_or_a_validation_costs_no_request_of_its_own(
    tmp_path: Path, groups: int, metrics: int, most: int
) -> None:
    """A request for every 1,000 points: 5,000 steps, a new phase every 100, a validation every 500."""
    spool, sink = make_spool(tmp_path), Keeps()
    journal, held = Journal(spool.folder, lambda message: None), [dict[str, Any]() for _ in range(groups)]
    made = recorder(journal, held)
    made.place = lambda step: Place((step // 100 + 1) * 100, step // 100)
    for first in range(0, 5000, 500):
        record_steps(made, held, [0.5] * 500, first)
        for index in range(metrics):
            journal.append(metrics_note(MetricRecord(first, 1, {f"loss{index}": 0.5})))
    Delivery(sink, spool, journal, Thinning(), {}).run()
    spool.release()
    assert len(sink.batches) <= most
    assert len(sink.points) == len(set(sink.points))
    assert of(sink.points, LRS) == [(step, 0.5) for step in range(5000)]
    assert len(of(sink.points, "schedule/phase")) == 99


def overflowing(spool: Spool, steps: int) -> Journal:
    """A validation of 50 metrics at every step: hardly any batch of 100 ends with one of them."""
    journal, groups = Journal(spool.folder, lambda message: None), [dict[str, Any]()]
    made = recorder(journal, groups)
    for step in range(steps):
        record_steps(made, groups, [0.5], step)
        journal.append(metrics_note(MetricRecord(step, 1, {f"m{index}": 0.5 for index in range(50)})))
    return journal


def test_what_overflows_a_batch_holds_up_the_mark_for_some_batches_at_most(tmp_path: Path) -> None:
    spool, sink = make_spool(tmp_path), Keeps(batch_size=100)
    delivery, marks = Delivery(sink, spool, overflowing(spool, 60), Thinning(), {}), list[tuple[int, int]]()
    while delivery.fill():
        delivery.push(more=True)
        marks.append(spool.marked())
    assert len(marks) >= 27
    assert all(later > earlier for earlier, later in zip(marks, marks[9:], strict=False))
    delivery.push()
    spool.release()
    assert len(sink.points) == len(set(sink.points)) == 60 * 51
    assert max(map(len, sink.batches)) <= 100


@pytest.mark.parametrize("pushes", [1, 5, 12])
def test_what_overflows_a_batch_is_delivered_after_a_kill(tmp_path: Path, pushes: int) -> None:
    spool, sink = make_spool(tmp_path), Keeps(batch_size=100)
    journal = overflowing(spool, 60)
    killed = Delivery(sink, spool, journal, Thinning(), {})
    for _ in range(pushes):
        assert killed.fill()
        killed.push(more=True)
    assert killed.waiting
    journal.close()
    Delivery(sink, spool, None, Thinning(), {}).run()
    spool.release()
    assert len(set(sink.points)) == 60 * 51


def test_a_full_batch_does_not_wait_and_a_part_of_one_waits_its_time(spool: Spool | None) -> None:
    sink = Keeps(batch_size=100)
    made = make_writer(sink, spool, every=60)
    record_steps_of(made, 250)
    deadline = time.monotonic() + 5
    while len(sink.points) < 200 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    assert len(sink.points) == 200
    made.close(10, "FINISHED")
    assert len(sink.points) == 250


class Computes(Keeps):
    """A sink that computes for 10 ms for each batch, as a database does, and says when."""

    def __init__(self) -> None:
        super().__init__(batch_size=100)
        self.times: list[tuple[float, float, float]] = []

    def write(self, points: Sequence[Point]) -> None:
        begin, own = time.monotonic(), time.thread_time()
        while time.thread_time() < own + 0.01:
            pass
        super().write(points)
        self.times.append((begin, time.monotonic(), sys.getswitchinterval()))


def test_beside_the_training_a_batch_is_followed_by_a_rest_and_at_the_end_by_the_next_one(spool: Spool | None) -> None:
    sink = Computes()
    made = make_writer(sink, spool, every=60)
    record_steps_of(made, 2_000)
    deadline = time.monotonic() + 20
    while len(sink.times) < 6 and time.monotonic() < deadline:
        time.sleep(0.01)
    beside = len(sink.times)
    assert made.close(30, "FINISHED")
    assert 6 <= beside < 15
    apart = [later[0] - earlier[0] for earlier, later in pairwise(sink.times)]  # with a fifth of a processor: 50 ms
    assert sum(apart[: beside - 2]) > 0.05 * (beside - 3)  # of rests, 50 ms are remembered
    assert sorted(apart[beside + 1 :])[len(apart[beside + 1 :]) // 2] < 0.045
    assert {interval for _, _, interval in sink.times} == {0.0005}
    assert sys.getswitchinterval() > 0.0005
    assert of(sink.points, LRS) == [(step, 0.5) for step in range(2_000)]


def test_a_job_is_begun_at_once_and_waited_for_while_it_computes(
    spool: Spool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_LOOK", 60.0)

    def job(sink: Sink) -> None:
        own = time.thread_time()
        while time.thread_time() < own + 0.3:
            pass
        sink.describe({"computed": "yes"}, {})

    sink = Keeps()
    made = make_writer(sink, spool)
    made.add(job)
    made.settle(60)
    assert sink.params == {"computed": "yes"}
    monkeypatch.setattr(writer, "_LOOK", 0.01)
    assert made.close(10, "FINISHED")


def test_a_job_that_hangs_is_not_waited_for(spool: Spool | None) -> None:
    over, made = threading.Event(), make_writer(Keeps(), spool)

    def job(sink: Sink) -> None:
        over.wait(30)

    made.add(job)
    begin = time.monotonic()
    made.settle(60)
    assert time.monotonic() - begin < 10
    over.set()
    assert made.close(10, "FINISHED")


def test_many_segments_are_delivered_and_removed_while_training_goes_on(tmp_path: Path) -> None:
    spool, sink = make_spool(tmp_path), Keeps()
    made = make_writer(sink, spool, segment_bytes=2000)
    record_steps_of(made, 500)
    deadline = time.monotonic() + 5
    while len(spool.segments()) > 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(spool.segments()) == 2  # the one before the last is what a replay builds on
    assert len(spool.files()) >= 5
    assert made.close(10, "FINISHED")
    assert sorted({point.step for point in sink.points}) == list(range(500))
    assert len(sink.points) == 500
    assert len([name for name in sink.files if name.startswith("schedule/steps/")]) >= 6


def test_steps_that_cannot_be_packed_keep_no_point(tmp_path: Path) -> None:
    """A full disk between two segments: the thread must not end, and the user hears what is missing."""
    spool, sink = make_spool(tmp_path), Keeps()
    (spool.folder / "steps").rmdir()
    (spool.folder / "steps").touch()
    made = make_writer(sink, spool, segment_bytes=2000)
    record_steps_of(made, 500)
    assert made.close(10, "FINISHED")
    assert sorted({point.step for point in sink.points}) == list(range(500))
    assert sink.status == "FINISHED"
    assert made.unpacked == "Not a directory"


def test_jobs_run_in_their_order_beside_the_points(spool: Spool | None) -> None:
    seen: list[tuple[str, str]] = []
    made = make_writer(Keeps(), spool)
    for name in ("first", "second"):
        made.add(lambda sink, name=name: seen.append((name, threading.current_thread().name)))  # type: ignore[misc]
    assert made.close(10, "FINISHED")
    assert seen == [("first", "lrsched-tasks"), ("second", "lrsched-tasks")]


def test_a_job_that_hangs_keeps_no_point_waiting(spool: Spool | None) -> None:
    sink, release = Keeps(), threading.Event()
    made = make_writer(sink, spool)
    made.add(lambda sink: (release.wait(10), None)[1])
    record_steps_of(made, 20)
    deadline = time.monotonic() + 5
    while len(sink.points) < 20 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(sink.points) == 20
    release.set()
    assert made.close(10, "FINISHED")


def test_no_full_garbage_collection_comes_of_the_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One takes 0.26 s with torch and MLflow, in which no step can go on: with 700 it came after some 9,000 points."""
    fill, reading, writing = Delivery.fill, set[int](), set[int]()

    def noted(delivery: Delivery) -> bool:
        reading.add(gc.get_threshold()[0])
        return fill(delivery)

    class Notes(Keeps):
        def write(self, points: Sequence[Point]) -> None:
            writing.add(gc.get_threshold()[0])
            super().write(points)

    monkeypatch.setattr(Delivery, "fill", noted)
    before = gc.get_threshold()
    made = make_writer(Notes(), make_spool(tmp_path), every=60)
    record_steps_of(made, 2_500)
    assert waited_for(lambda: made._delivery is not None and made._delivery.waiting == 500)
    assert made._delivery is not None
    gc.collect(0)
    assert not any(gc.is_tracked(point) for point in made._delivery._waiting)
    assert made.close(10, "FINISHED")
    assert reading == writing == {25_000}
    assert gc.get_threshold() == before
