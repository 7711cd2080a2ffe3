"""The writer: takes what training records without waiting, and hands it to a sink from a thread of its own."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any

from lightning_lrsched.tracking.sink import Point, Sink

MOST_PENDING = 200_000
_PATIENCE = (0.5, 1.0, 2.0, 5.0, 10.0)


class Writer:
    """Hands records to a sink in batches, off the training thread.

    Training pays one append to a deque. A sink that fails is tried again, with growing pauses; meanwhile records
    wait, and past `MOST_PENDING` the oldest are dropped and counted. Nothing ever raises into training.

    Args:
        sink: where the points go.
        expand: turns one record into its points, in the writer's thread.
        tell: called once with a message when something is wrong.
        every: seconds between two deliveries.
    """

    def __init__(
        self, sink: Sink, expand: Callable[[Any], Iterable[Point]], tell: Callable[[str], None], every: float = 1.0
    ) -> None:
        """Start the thread."""
        self.dropped = 0
        self.failing = False
        self._sink = sink
        self._expand = expand
        self._tell = tell
        self._every = every
        self._told = False
        self._records: deque[Any] = deque(maxlen=MOST_PENDING)
        self._jobs: deque[Callable[[Sink], None]] = deque()
        self._last: Sequence[Callable[[Sink], None]] = ()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="lrsched-writer", daemon=True)
        self._thread.start()

    def record(self, record: Any) -> None:
        """Take a record; costs the training thread one append."""
        if len(self._records) == MOST_PENDING:
            self.dropped += 1
        self._records.append(record)

    def run(self, job: Callable[[Sink], None]) -> None:
        """Have the thread do something else with the sink: an upload, or what is constant over the run."""
        self._jobs.append(job)

    def close(self, timeout: float, last: Sequence[Callable[[Sink], None]] = ()) -> bool:
        """Deliver what is left and do the last jobs, for at most ``timeout`` seconds. Return whether all arrived."""
        self._last = last
        self._closing.set()
        self._thread.join(timeout)
        return not self._thread.is_alive() and not self._records and not self._jobs and not self.dropped

    def _work(self) -> None:
        """Deliver at every interval, and once more at the end."""
        while not self._closing.wait(self._every):
            self._deliver()
        self._deliver()
        for job in self._last:
            self._attempt(job)

    def _deliver(self) -> None:
        """Hand over everything that is waiting: first the jobs, then the points."""
        while self._jobs:
            self._attempt(self._jobs[0])
            self._jobs.popleft()
        points = self._points()
        while batch := list(islice(points, self._sink.batch_size)):
            if not self._attempt(partial(_write, batch)):
                self.dropped += len(batch)

    def _points(self) -> Iterator[Point]:
        """Yield the points of the waiting records, oldest first."""
        while self._records:
            yield from self._expand(self._records.popleft())

    def _attempt(self, job: Callable[[Sink], None]) -> bool:
        """Do a job, again and again with growing pauses; give it up, told once, when the last pause is over."""
        for pause in (*_PATIENCE, None):
            try:
                job(self._sink)
            except Exception as failure:
                self.failing = True
                if not self._told:
                    self._told = True
                    reason = (str(failure).strip() or type(failure).__name__).splitlines()[0]
                    self._tell(f"Tracking fails, training goes on: {reason}")
                if pause is not None:
                    time.sleep(pause)
            else:
                self.failing = False
                return True
        return False


def _write(batch: list[Point], sink: Sink) -> None:
    """Store one batch."""
    sink.write(batch)
