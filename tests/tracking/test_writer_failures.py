"""The writer when something fails: told once, tried again, given up in time, nothing lost and nothing raised."""

import errno
import os
import threading
import time
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lightning_lrsched.tracking import tasks, writer
from lightning_lrsched.tracking.delivery import Delivery
from lightning_lrsched.tracking.recorder import MetricRecord
from lightning_lrsched.tracking.sink import Point, Sink
from lightning_lrsched.tracking.spool import Spool
from lightning_lrsched.tracking.thinning import Thinning
from lightning_lrsched.tracking.writer import Settings, Writer
from tests.tracking.sinks import Fails, Hangs, Keeps
from tests.tracking.spooling import make_spool, make_writer, of, record_steps, record_steps_of, recorder, waited_for

LRS = "lr/SGD/0"
PAUSES = writer.PAUSES

pytestmark = pytest.mark.usefixtures("impatient")


def test_what_failed_is_tried_again_and_told_once(spool: Spool | None) -> None:
    sink, told = Fails(times=4), list[str]()
    made = make_writer(sink, spool, told)
    record_steps_of(made, 10)
    made.task(tasks.describe({"a": "b"}, {}))
    assert made.close(10, "FINISHED")
    assert [point.step for point in sink.points] == list(range(10))
    assert (sink.params, sink.status) == ({"a": "b"}, "FINISHED")
    assert told == ["Tracking fails, training goes on: disk full"]


def test_what_is_not_taken_in_time_stays_in_the_spool(tmp_path: Path) -> None:
    spool, told = make_spool(tmp_path), list[str]()
    made = make_writer(Fails(), spool, told)
    record_steps_of(made, 10)
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

    made = make_writer(sink, spool, [])
    made.add(broken)
    made.task(tasks.text("plan.json", "{}"))
    assert not made.close(10, "FAILED")
    assert sink.status == "FAILED"
    assert sink.files["schedule/plan.json"] == b"{}"


def test_only_the_first_line_of_a_reason_is_told_without_its_password(spool: Spool | None) -> None:
    told: list[str] = []
    made = make_writer(Fails(times=1, reason="no http://ann:s3cret@host/\nsecond"), spool, told)
    record_steps_of(made, 1)
    made.close(10, "FINISHED")
    assert told == ["Tracking fails, training goes on: no http://***@host/"]


def test_the_reason_of_a_database_is_told_and_not_the_remark_before_it(spool: Spool | None) -> None:
    told: list[str] = []
    remark = "(raised as a result of Query-invoked autoflush; consider using a session.no_autoflush block)"
    reason = "(sqlite3.OperationalError) attempt to write a readonly database"
    made = make_writer(Fails(times=1, reason=f"{remark}\n{reason}\n[SQL: INSERT INTO runs]"), spool, told)
    record_steps_of(made, 1)
    made.close(10, "FINISHED")
    assert told == [f"Tracking fails, training goes on: {reason}"]


def test_closing_waits_no_longer_than_it_is_told(spool: Spool | None) -> None:
    sink = Hangs()
    made = make_writer(sink, spool)
    record_steps_of(made, 1)
    begin = time.monotonic()
    assert not made.close(0.3, "FINISHED")
    assert 0.25 < time.monotonic() - begin < 5
    sink.released.set()


def test_ctrl_c_before_the_waiting_begins_leaves_the_spool_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last write may take long on a disk in the network."""

    def pressed(record: bytes) -> None:
        raise KeyboardInterrupt

    spool = make_spool(tmp_path)
    made = make_writer(Keeps(), spool, every=60, thinning=Thinning("on_change"))  # it looks once a minute
    record_steps_of(made, 10)
    assert waited_for(lambda: made._delivery is not None)
    time.sleep(0.2)  # by now it has looked, and waits
    monkeypatch.setattr(made.journal, "append", pressed)
    with pytest.raises(KeyboardInterrupt):
        made.close(10, "FINISHED")
    assert not made.done
    Spool.open(spool.folder, patience=10).release()


def test_recording_does_not_wait_for_a_sink_that_hangs(spool: Spool | None) -> None:
    sink = Hangs()
    made = make_writer(sink, spool)
    record_steps_of(made, 1)
    time.sleep(0.1)
    begin = time.monotonic()
    record_steps_of(made, 1_000, start=1)
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
    record_steps_of(made, 10)
    ready.set()
    deadline = time.monotonic() + 20
    while len(closing.waits) < 8 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert made.close(10, "FINISHED")
    assert closing.waits[:7] == [0.5, 1.0, 2.0, 5.0, 10.0, 10.0, 10.0]
    assert closing.waits[7] == writer._LOOK


def test_what_waits_on_the_disk_for_a_sink_that_hangs_takes_no_memory(tmp_path: Path) -> None:
    spool, sink = make_spool(tmp_path), Hangs()
    made, groups = make_writer(sink, spool), [dict[str, Any]() for _ in range(100)]
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
    made = make_writer(sink, spool, told)
    record_steps_of(made, 10)
    assert made.close(10, "FINISHED")
    assert of(sink.points, LRS) == [(step, 0.5) for step in range(10)]
    assert told == ["Tracking fails, training goes on: [Errno 24] Too many open files"]


def test_what_nobody_foresaw_ends_the_thread_and_is_told(spool: Spool | None, monkeypatch: pytest.MonkeyPatch) -> None:
    def ill(delivery: Delivery) -> None:
        raise MemoryError("no room to pack")

    monkeypatch.setattr(Delivery, "finish", ill)
    told: list[str] = []
    made = make_writer(Keeps(), spool, told)
    record_steps_of(made, 10)
    assert not made.close(10, "FINISHED")
    assert made.reason == "no room to pack"
    assert told == ["Tracking fails, training goes on: no room to pack"]


def test_a_task_whose_file_cannot_be_removed_ends_no_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path, missing_ok: bool = False) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    spool, sink = make_spool(tmp_path), Keeps()
    made = make_writer(sink, spool)
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
    made = make_writer(sink, spool, told)
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
    made = make_writer(sink, spool, [])
    record_steps_of(made, 3)
    assert made.close(10, "FINISHED")
    assert sink.status == "FINISHED"


def test_a_store_that_is_too_slow_for_what_is_left_is_let_go_of_in_time(tmp_path: Path) -> None:
    class Slow(Keeps):
        def write(self, points: Sequence[Point]) -> None:
            time.sleep(0.02)
            super().write(points)

    spool, sink = make_spool(tmp_path), Slow(batch_size=10)
    made = make_writer(sink, spool)
    record_steps_of(made, 2000)
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
