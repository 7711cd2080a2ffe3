"""The writer: brings what training recorded to a sink, from threads of its own."""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from lightning_lrsched.masking import reason_of
from lightning_lrsched.tracking import tasks
from lightning_lrsched.tracking.background import Pace, seldom_collected, soon_interrupted, wait_while_computing
from lightning_lrsched.tracking.delivery import Delivery
from lightning_lrsched.tracking.journal import SEGMENT_BYTES, Journal, note
from lightning_lrsched.tracking.recorder import MetricRecord, metrics_note
from lightning_lrsched.tracking.sink import Sink
from lightning_lrsched.tracking.spool import Spool
from lightning_lrsched.tracking.thinning import Thinning

Job = Callable[[Sink], None]
PAUSES = (0.5, 1.0, 2.0, 5.0, 10.0)
"""Seconds between two tries of what fails; the last one again and again."""

_LOOK = 0.25  # seconds between two looks at the journal


class Settings(NamedTuple):
    """How a writer works.

    Args:
        thinning: which steps are kept.
        deliver_every: seconds after which points are delivered that do not make a full batch.
        segment_bytes: size of the journal's segments.
        title: heading of the picture.
        picture: name of the picture's file.
    """

    thinning: Thinning = Thinning()
    deliver_every: float = 5.0
    segment_bytes: int = SEGMENT_BYTES
    title: str = "learning rate"
    picture: str = "lr.png"


class Writer:
    """Delivers the journal of a fit while it grows, and does tasks beside it.

    Training appends to the `journal` and does not wait for anything. One thread delivers points, another one does
    tasks, so that an upload keeps no point waiting. What fails is tried again; nothing is ever raised into training.

    Args:
        sink: where everything goes.
        spool: the folder of the journal; None where none can be written.
        tell: called once with a message when something is wrong.
        settings: how to work.
        prepare: called in the thread before the first delivery, with the pace to keep; returns by key the last step
            that the run has.
    """

    def __init__(
        self,
        sink: Sink,
        spool: Spool | None,
        tell: Callable[[str], None],
        settings: Settings = Settings(),  # noqa: B008 - a frozen value
        prepare: Callable[[Pace], Mapping[str, int]] = lambda pace: {},
    ) -> None:
        """Start the threads."""
        self.journal = Journal(None if spool is None else spool.folder, tell, settings.segment_bytes)
        self.reason = ""
        self.done = False  # all arrived, and the run has ended
        self._sink = sink
        self._spool = spool
        self._tell = tell
        self._settings = settings
        self._prepare = prepare
        self._delivery: Delivery | None = None
        self._delivered = False
        self._failing = False
        self._stuck = False  # points do not arrive
        self._leaving = threading.Lock()  # who of `close` and the tasks' thread comes last lets go of the spool
        self._abandoned = self._over = False
        self._jobs: deque[tuple[Job, Path | None]] = deque()
        self._lost_jobs = 0
        self._tasks = 0
        self._awake = threading.Event()  # there is a job
        self._closing = threading.Event()
        self._deadline = float("inf")
        self._status = "FINISHED"
        self._concluded = False
        self._threads = [
            threading.Thread(target=self._survive, args=(work,), name=f"lrsched-{name}", daemon=True)
            for name, work in (("points", self._deliver), ("tasks", self._work))
        ]
        for thread in self._threads:
            thread.start()

    def record(self, record: MetricRecord) -> None:
        """Record measured values."""
        self.journal.append(metrics_note(record))

    def task(self, task: Mapping[str, Any]) -> None:
        """Have the tasks' thread do one of `tracking.tasks`, or a replay if this process cannot."""
        path = None
        if self._spool is not None:
            self._tasks += 1
            with suppress(OSError):  # a full disk has been told by the journal
                path = self._spool.write(f"tasks/{self._tasks:06d}.json", task)
        self.add(partial(tasks.perform, task), path)

    def settle(self, longest: float) -> None:
        """Wait for the jobs so far, as long as they compute: a step would have to share the interpreter with them."""
        wait_while_computing(self._threads, lambda: self._jobs, longest)

    def add(self, job: Job, path: Path | None = None) -> None:
        """Have the tasks' thread do something with the sink, and remove the file by which a replay would know of it."""
        self._jobs.append((job, path))
        self._awake.set()

    def close(self, timeout: float, status: str) -> bool:
        """Deliver what is left and end the run, for at most ``timeout`` seconds. Return whether all arrived.

        An exception that comes meanwhile, such as that of ctrl-C, ends the waiting.
        """
        self._status = status
        try:
            self.journal.append(note(**{"is": "end", "status": status}))
            self.journal.close()
            self._deadline = time.monotonic() + timeout
            self._closing.set()
            self._awake.set()
            for thread in self._threads:
                thread.join(max(0.0, self._deadline - time.monotonic()) + 0.1)
        finally:
            self._deadline = time.monotonic()
            self._closing.set()
            self._leave()
        return self.done

    def _leave(self) -> None:
        """Remove the spool if all arrived; else leave it to a replay as soon as no thread uses it."""
        over = self._delivered and self._concluded  # from here on no thread adds a job
        self.done = over and not (self._jobs or self._lost_jobs or self.journal.dropped)
        if self._spool is not None and self.done:
            self._spool.remove()
        elif self._spool is not None:
            with self._leaving:
                self._abandoned = True
                if self._over:
                    self._spool.release()

    @property
    def infinite_values(self) -> Mapping[str, int]:
        """How many values no tracker takes, by key."""
        return {} if self._delivery is None else self._delivery.infinite

    @property
    def unpacked(self) -> str:
        """Why the packed steps are not whole; empty where they are."""
        return "" if self._delivery is None else self._delivery.unpacked

    def _survive(self, work: Callable[[], None]) -> None:
        """Do a thread's work; what nobody foresaw ends the thread, and is told."""
        try:
            work()
        except Exception as failure:
            self._note_failure(failure)

    def _deliver(self) -> None:
        """Deliver the points: a batch as soon as it is full, and what there is after a while or at the end."""
        delivery = self._attempt(partial(self._begin, Pace(self._closing.wait)))
        if delivery is None:
            return
        self._delivery = delivery
        by_step = isinstance(self._settings.thinning.every, int)
        look = _LOOK if by_step else self._settings.deliver_every  # what is thinned hardly ever fills a batch
        pushed = time.monotonic()
        while time.monotonic() < self._deadline:
            closing = self._closing.is_set()  # before the look: what is found then is all there is
            full = self._attempt(delivery.fill)
            if full is None:
                return
            if closing and not full:
                delivery.finish()
            if (full or closing or time.monotonic() >= pushed + self._settings.deliver_every) and delivery.waiting:
                if self._attempt(partial(self._push, delivery, more=full)) is None:
                    return
                pushed = time.monotonic()
            if full:
                continue
            if closing:
                self._delivered = True
                return
            self._closing.wait(look)
        self.reason = self.reason or "it takes points, but more of them were left than it takes in that time"

    def _push(self, delivery: Delivery, *, more: bool) -> bool:
        """Write what is waiting, and say so."""
        self._stuck = True  # until it has arrived
        delivery.push(more=more)
        self._stuck = False
        return True

    def _begin(self, pace: Pace) -> Delivery:
        self._stuck = True  # until the store has answered
        after = self._prepare(pace)
        self._stuck = False
        return Delivery(self._sink, self._spool, self.journal, self._settings.thinning, after, pace=pace)

    def _work(self) -> None:
        """Do the jobs in their order; one that fails is tried again after the others."""
        try:
            self._do_jobs(Pace(self._closing.wait))
            if time.monotonic() < self._deadline:
                self._conclude()
        finally:
            with self._leaving:
                self._over = True
                if self._abandoned and self._spool is not None:
                    self._spool.release()

    def _do_jobs(self, pace: Pace) -> None:
        """Do jobs until the fit is over and all points were delivered or given up."""
        points = self._threads[0]
        while time.monotonic() < self._deadline:
            if self._closing.is_set() and not self._jobs and not points.is_alive():
                return
            if not self._jobs:
                points.join(_LOOK) if self._closing.is_set() else self._awake.wait(_LOOK)
                self._awake.clear()
                continue
            job, path = self._jobs[0]
            closing = self._closing.is_set()
            done = self._attempt(partial(_done, job, self._sink), patience=len(PAUSES)) is not None
            self._jobs.popleft()
            if not done and not closing:
                self._jobs.append((job, path))  # it has until the end of the fit
            elif not done:
                self._lost_jobs += 1
            elif path is not None:
                with suppress(OSError):  # a disk that fails: to do it again changes nothing
                    path.unlink(missing_ok=True)
            pace.rest()
        points.join()  # it may have a last request running, and uses the spool

    def _conclude(self) -> None:
        """Store the files of the whole fit, and end the run."""
        delivery, settings = self._delivery, self._settings
        last: list[Job] = [lambda sink: sink.finish(self._status)]
        if delivery is not None and self._delivered:
            last = [*map(_uploads, () if self._spool is None else self._spool.files()), *last]
            picture = partial(tasks.upload_curve, curves=delivery.curves, title=settings.title, name=settings.picture)
            self._attempt(partial(_done, picture, self._sink), patience=1)  # if it cannot be drawn, nothing is lost
        results = [self._attempt(partial(_done, job, self._sink), patience=len(PAUSES)) is not None for job in last]
        self._concluded = all(results)

    def _attempt(self, action: Callable[[], Any], patience: float = float("inf")) -> Any:
        """Do something, again and again with growing pauses. Return its result, or None when it is given up.

        It is given up when the time is over, at the end of the fit also when no time would help, and after
        ``patience`` failures in a row while points arrive.
        """
        failures = 0
        while True:
            try:
                with soon_interrupted, seldom_collected():
                    result = action()
            except Exception as failure:
                failures += 1
                self._note_failure(failure)
                final = self._sink.is_final(failure) or isinstance(failure, FileNotFoundError | ImportError)
                closing = self._closing.is_set()
                tired = failures > patience and not self._stuck
                if (final and closing) or tired or time.monotonic() >= self._deadline:
                    return None
                pause = PAUSES[min(failures, len(PAUSES)) - 1]
                if closing:
                    time.sleep(min(pause, max(0.0, self._deadline - time.monotonic())))
                else:
                    self._closing.wait(pause)
            else:
                return result

    def _note_failure(self, failure: Exception) -> None:
        """Tell the first failure, and remember why."""
        self.reason = reason_of(failure)
        if not self._failing:
            self._failing = True
            with suppress(Warning):  # where warnings are errors: this thread must go on
                self._tell(f"Tracking fails, training goes on: {self.reason}")


def _done(action: Callable[..., None], *given: Any) -> bool:
    """Do something, and say so."""
    action(*given)
    return True


def _uploads(path: Path) -> Job:
    """Return the job to upload packed steps."""
    return lambda sink: sink.upload(path, tasks.STEPS_FOLDER)
