"""The writer: in order, in batches, again after a failure, never waiting, never raising, nothing lost."""

import errno
import gc
import os
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from lightning_lrsched.tracking import tasks, writer
from lightning_lrsched.tracking.delivery import Delivery
from lightning_lrsched.tracking.journal import Journal
from lightning_lrsched.tracking.recorder import MetricRecord, metrics_note
from lightning_lrsched.tracking.sink import Point, Sink
from lightning_lrsched.tracking.spool import FOLDER, Spool
from lightning_lrsched.tracking.thinning import Thinning
from lightning_lrsched.tracking.writer import Settings, Writer
from tests.tracking.sinks import Fails, Hangs, Keeps
from tests.tracking.spooling import Groups, make_spool, of, record_steps, recorder

Make = Callable[..., Writer]
LRS = "lr/SGD/0"
PAUSES = writer.PAUSES


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between two tries that a test can wait for."""
    monkeypatch.setattr(writer, "PAUSES", (0.01, 0.02))
    monkeypatch.setattr(writer, "_LOOK", 0.01)


@pytest.fixture(params=["on disk", "in memory"])
def spool(request: pytest.FixtureRequest, tmp_path: Path) -> Spool | None:
    return make_spool(tmp_path / FOLDER) if request.param == "on disk" else None


def make(sink: Sink, spool: Spool | None, told: list[str] | None = None, every: float = 0.01, **more: Any) -> Writer:
    messages: list[str] = [] if told is None else told
    return Writer(sink, spool, messages.append, Settings(deliver_every=every, **more))


def record(made: Writer, count: int, start: int = 0) -> None:
    groups: Groups = [{}]
    steps = recorder(made.journal, groups)
    for _ in range(start):
        steps._axis()
    record_steps(steps, groups, [0.5] * count, start)


def test_all_arrives_in_order_and_the_spool_is_gone(spool: Spool | None, tmp_path: Path) -> None:
    sink = Keeps()
    made = make(sink, spool)
    record(made, 2_500)
    assert made.close(10, "FINISHED")
    assert [point.step for point in sink.points if point.key == LRS] == list(range(2_500))
    assert sink.status == "FINISHED"
    assert not (tmp_path / FOLDER).exists()


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_no_batch_is_larger_than_the_sink_takes(spool: Spool | None, size: int) -> None:
    sink = Keeps(batch_size=size)
    made = make(sink, spool, every=60)
    record(made, 50)
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
    made = make(sink, spool, every=60)
    record(made, 250)
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
    made = make(sink, spool, every=60)
    record(made, 2_000)
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
    made = make(sink, spool)
    made.add(job)
    made.settle(60)
    assert sink.params == {"computed": "yes"}
    monkeypatch.setattr(writer, "_LOOK", 0.01)
    assert made.close(10, "FINISHED")


def test_a_job_that_hangs_is_not_waited_for(spool: Spool | None) -> None:
    over, made = threading.Event(), make(Keeps(), spool)

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
    made = make(sink, spool, segment_bytes=2000)
    record(made, 500)
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
    made = make(sink, spool, segment_bytes=2000)
    record(made, 500)
    assert made.close(10, "FINISHED")
    assert sorted({point.step for point in sink.points}) == list(range(500))
    assert sink.status == "FINISHED"
    assert made.unpacked == "Not a directory"


def test_jobs_run_in_their_order_beside_the_points(spool: Spool | None) -> None:
    seen: list[tuple[str, str]] = []
    made = make(Keeps(), spool)
    for name in ("first", "second"):
        made.add(lambda sink, name=name: seen.append((name, threading.current_thread().name)))  # type: ignore[misc]
    assert made.close(10, "FINISHED")
    assert seen == [("first", "lrsched-tasks"), ("second", "lrsched-tasks")]


def test_a_job_that_hangs_keeps_no_point_waiting(spool: Spool | None) -> None:
    sink, release = Keeps(), threading.Event()
    made = make(sink, spool)
    made.add(lambda sink: (release.wait(10), None)[1])
    record(made, 20)
    deadline = time.monotonic() + 5
    while len(sink.points) < 20 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(sink.points) == 20
    release.set()
    assert made.close(10, "FINISHED")


def test_what_failed_is_tried_again_and_told_once(spool: Spool | None) -> None:
    sink, told = Fails(times=4), list[str]()
    made = make(sink, spool, told)
    record(made, 10)
    made.task(tasks.describe({"a": "b"}, {}))
    assert made.close(10, "FINISHED")
    assert [point.step for point in sink.points] == list(range(10))
    assert (sink.params, sink.status) == ({"a": "b"}, "FINISHED")
    assert told == ["Tracking fails, training goes on: disk full"]


def test_what_is_not_taken_in_time_stays_in_the_spool(tmp_path: Path) -> None:
    spool, told = make_spool(tmp_path), list[str]()
    made = make(Fails(), spool, told)
    record(made, 10)
    made.task(tasks.describe({"a": "b"}, {}))
    made.record(MetricRecord(9, 1, {"val_loss": 0.5}))
    begin = time.monotonic()
    assert not made.close(0.3, "FINISHED")
    assert time.monotonic() - begin < 5
    assert len(told) == 1
    again = Spool.open(spool.folder)
    assert again.segments() == [0]
    assert len(again.tasks()) == 1
    assert again.marked() == (0, 0)


def test_a_job_that_always_fails_keeps_neither_the_next_nor_the_status_from_being_stored(spool: Spool | None) -> None:
    sink = Keeps()

    def broken(sink: Sink) -> None:
        raise RuntimeError("no picture")

    made = make(sink, spool, [])
    made.add(broken)
    made.task(tasks.text("plan.json", "{}"))
    assert not made.close(10, "FAILED")
    assert sink.status == "FAILED"
    assert sink.files["schedule/plan.json"] == b"{}"


def test_only_the_first_line_of_a_reason_is_told_without_its_password(spool: Spool | None) -> None:
    told: list[str] = []
    made = make(Fails(times=1, reason="no http://ann:s3cret@host/\nsecond"), spool, told)
    record(made, 1)
    made.close(10, "FINISHED")
    assert told == ["Tracking fails, training goes on: no http://***@host/"]


def test_the_reason_of_a_database_is_told_and_not_the_remark_before_it(spool: Spool | None) -> None:
    told: list[str] = []
    remark = "(raised as a result of Query-invoked autoflush; consider using a session.no_autoflush block)"
    reason = "(sqlite3.OperationalError) attempt to write a readonly database"
    made = make(Fails(times=1, reason=f"{remark}\n{reason}\n[SQL: INSERT INTO runs]"), spool, told)
    record(made, 1)
    made.close(10, "FINISHED")
    assert told == [f"Tracking fails, training goes on: {reason}"]


def test_closing_waits_no_longer_than_it_is_told(spool: Spool | None) -> None:
    sink = Hangs()
    made = make(sink, spool)
    record(made, 1)
    begin = time.monotonic()
    assert not made.close(0.3, "FINISHED")
    assert 0.25 < time.monotonic() - begin < 5
    sink.released.set()


def test_recording_does_not_wait_for_a_sink_that_hangs(spool: Spool | None) -> None:
    sink = Hangs()
    made = make(sink, spool)
    record(made, 1)
    time.sleep(0.1)
    begin = time.monotonic()
    record(made, 1_000, start=1)
    assert time.monotonic() - begin < 0.5
    sink.released.set()
    made.close(10, "FINISHED")


class Noted(threading.Event):
    """Notes how long it is waited for, and does not wait."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout)
        return super().wait(0)


def test_the_pauses_between_two_tries_grow_up_to_ten_seconds(
    spool: Spool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "PAUSES", PAUSES)
    ready, closing = threading.Event(), Noted()
    begun: Any = lambda pace: (ready.wait(10), {})[1]  # noqa: E731
    made = Writer(Fails(times=7), spool, lambda message: None, Settings(deliver_every=0.0), begun)
    made._closing = closing
    record(made, 10)
    ready.set()
    deadline = time.monotonic() + 20
    while len(closing.waits) < 8 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert made.close(10, "FINISHED")
    assert closing.waits[:7] == [0.5, 1.0, 2.0, 5.0, 10.0, 10.0, 10.0]
    assert closing.waits[7] == writer._LOOK


def test_what_waits_on_the_disk_for_a_sink_that_hangs_takes_no_memory(tmp_path: Path) -> None:
    spool, sink = make_spool(tmp_path), Hangs()
    made, groups = make(sink, spool), [dict[str, Any]() for _ in range(100)]
    steps = recorder(made.journal, groups)
    record_steps(steps, groups, [0.5] * 1_000)
    time.sleep(0.1)
    tracemalloc.start()
    try:
        record_steps(steps, groups, [0.5] * 20_000, 1_000)
        time.sleep(0.1)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert spool.segment(0).stat().st_size > 16_000_000
    assert taken < 1_000_000
    assert not made.journal.memory
    sink.released.set()
    made.close(0.0, "FINISHED")


def waited_for(done: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 10
    while not done() and time.monotonic() < deadline:
        time.sleep(0.01)
    return done()


def test_a_journal_that_cannot_be_read_for_a_while_ends_no_thread(
    spool: Spool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too many open files, or a network's file system that has lost sight of one: it is told, and tried again."""
    fill, left = Delivery.fill, [OSError(errno.EMFILE, os.strerror(errno.EMFILE)), OSError(errno.ESTALE, "stale")]

    def ill(delivery: Delivery) -> bool:
        if left:
            raise left.pop(0)
        return fill(delivery)

    monkeypatch.setattr(Delivery, "fill", ill)
    sink, told = Keeps(), list[str]()
    made = make(sink, spool, told)
    record(made, 10)
    assert made.close(10, "FINISHED")
    assert of(sink.points, LRS) == [(step, 0.5) for step in range(10)]
    assert told == ["Tracking fails, training goes on: [Errno 24] Too many open files"]


def test_what_nobody_foresaw_ends_the_thread_and_is_told(spool: Spool | None, monkeypatch: pytest.MonkeyPatch) -> None:
    def ill(delivery: Delivery) -> None:
        raise MemoryError("no room to pack")

    monkeypatch.setattr(Delivery, "finish", ill)
    told: list[str] = []
    made = make(Keeps(), spool, told)
    record(made, 10)
    assert not made.close(10, "FINISHED")
    assert made.reason == "no room to pack"
    assert told == ["Tracking fails, training goes on: no room to pack"]


def test_a_task_whose_file_cannot_be_removed_ends_no_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path, missing_ok: bool = False) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    spool, sink = make_spool(tmp_path), Keeps()
    made = make(sink, spool)
    monkeypatch.setattr(Path, "unlink", refused)
    made.task(tasks.text("plan.json", "{}"))
    made.task(tasks.text("setup.json", "{}"))
    assert waited_for(lambda: len(sink.files) == 2)
    monkeypatch.undo()
    monkeypatch.setattr(writer, "_LOOK", 0.01)
    assert made.close(10, "FINISHED")


class NoFiles(Keeps):
    """An artifact store that is away for some calls, while the run takes everything else."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.left = times

    def upload(self, path: Path, folder: str) -> None:
        if self.left:
            self.left -= 1
            raise OSError("no artifacts")
        super().upload(path, folder)


def test_a_task_that_fails_for_a_long_time_is_tried_again_as_long_as_the_fit_runs(spool: Spool | None) -> None:
    sink, told = NoFiles(times=10 * (len(writer.PAUSES) + 1)), list[str]()
    made = make(sink, spool, told)
    made.task(tasks.text("plan.json", "{}"))
    made.task(tasks.describe({"a": "b"}, {}))
    assert waited_for(lambda: sink.params == {"a": "b"})
    assert sink.files == {}
    assert waited_for(lambda: sink.files == {"schedule/plan.json": b"{}"})
    assert made.close(10, "FINISHED")
    assert told == ["Tracking fails, training goes on: no artifacts"]


def test_a_short_failure_at_the_very_end_leaves_nothing_undone(spool: Spool | None) -> None:
    class Ends(Keeps):
        left = len(writer.PAUSES)

        def finish(self, status: str) -> None:
            if self.left:
                self.left -= 1
                raise OSError("busy")
            super().finish(status)

    sink = Ends()
    made = make(sink, spool, [])
    record(made, 3)
    assert made.close(10, "FINISHED")
    assert sink.status == "FINISHED"


def test_a_store_that_is_too_slow_for_what_is_left_is_let_go_of_in_time(tmp_path: Path) -> None:
    class Slow(Keeps):
        def write(self, points: Sequence[Point]) -> None:
            time.sleep(0.02)
            super().write(points)

    spool, sink = make_spool(tmp_path), Slow(batch_size=10)
    made = make(sink, spool)
    record(made, 2000)
    assert not made.close(0.5, "FINISHED")
    assert made.reason == "it takes points, but more of them were left than it takes in that time"
    for thread in made._threads:
        thread.join(5)
    taken = len(sink.points)
    assert 0 < taken < 2000
    again = Spool.open(spool.folder)  # nobody uses it any more: a replay can begin
    Delivery(sink, again, None, Thinning(), {}).run()
    again.release()
    assert of(dict.fromkeys(sink.points), LRS) == [(step, 0.5) for step in range(2000)]


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
    made = make(Notes(), make_spool(tmp_path), every=60)
    record(made, 2_500)
    assert waited_for(lambda: made._delivery is not None and made._delivery.waiting == 500)
    assert made._delivery is not None
    gc.collect(0)
    assert not any(gc.is_tracked(point) for point in made._delivery._waiting)
    assert made.close(10, "FINISHED")
    assert reading == writing == {25_000}
    assert gc.get_threshold() == before
