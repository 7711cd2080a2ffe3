"""What a thread beside the training leaves to it: Python's interpreter, and no garbage collection meanwhile.

A thread that computes keeps the interpreter for a while each time that it gets hold of it, and every operation of torch
in the training lets go of it. So all that such a thread computes without a break can fall into a single step.
"""

import gc
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

_AT_ONCE = 25_000  # a batch in MLflow's SQL store makes some 2,500 objects, one of 1,000 points 12,000
_SOON = 0.0005
_BURST = 0.005
_SHARE = 0.2
_HURRIED_SHARE = 0.5
_LONGEST = 1.0
_CREDIT = 0.05  # seconds of rest that are remembered: a long wait allows no long burst
_GLANCE = 0.02


class Pace:
    """Keeps a thread to a fifth of one processor's time, or to half of it where it falls behind.

    What it waits for somebody else, as for a server's answer, is rest enough.

    Args:
        wait: waits for so many seconds, or until there is no training any more to be considerate of.
        computed: returns for how many seconds the thread has computed.
        clock: returns the seconds that have passed.
    """

    def __init__(
        self,
        wait: Callable[[float], object],
        computed: Callable[[], float] = time.thread_time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin to count what the thread computes."""
        self._wait = wait
        self._computed, self._clock = computed, clock
        self._since, self._began = computed(), clock()

    def rest(self, *, hurried: bool = False) -> None:
        """Wait, for a second at most, once the thread has computed for 5 ms since it last did."""
        spent = self._computed() - self._since
        if spent < _BURST:
            return
        owed = spent / (_HURRIED_SHARE if hurried else _SHARE) - (self._clock() - self._began)
        if owed > 0:
            self._wait(min(_LONGEST, owed))
        self._since, self._began = self._computed(), self._clock() - min(max(0.0, -owed), _CREDIT)


def wait_while_computing(threads: Sequence[threading.Thread], busy: Callable[[], object], longest: float) -> None:
    """Wait for threads that are busy, for as long as they compute: not while they wait for somebody else.

    Args:
        threads: who is busy.
        busy: whether they still are.
        longest: seconds after which it is enough.
    """
    deadline, before = time.monotonic() + longest, -_GLANCE
    while busy() and time.monotonic() < deadline:
        try:
            wanted = sum(map(_wanted, threads))
        except OSError:  # one of them has ended, or the system does not tell: macOS
            return
        if wanted - before < _GLANCE / 10:
            return
        before = wanted
        time.sleep(_GLANCE)


def _wanted(thread: threading.Thread) -> float:
    """Return for how many seconds a thread wanted a processor: it ran, or was queued for one on a busy machine."""
    ran, queued, _ = Path(f"/proc/self/task/{thread.native_id}/schedstat").read_text(encoding="ascii").split()
    return (int(ran) + int(queued)) / 1e9


class _SoonInterrupted:
    """Has threads hand the interpreter over after 0.5 ms and not after 5, for as long as one of them is in here.

    A step of two milliseconds lets go of it some fifty times, and can wait each time until it is handed back. A time
    that is shorter stays.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before = 0.0

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._before = sys.getswitchinterval()
                if self._before > _SOON:
                    sys.setswitchinterval(_SOON)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        with self._lock:
            self._inside -= 1
            ours = self._before > _SOON and sys.getswitchinterval() == _SOON  # nobody else has set it meanwhile
            if ours and not self._inside:
                sys.setswitchinterval(self._before)


soon_interrupted = _SoonInterrupted()


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Have the collector begin after 25,000 new objects and not after some hundreds, for as long as this lasts.

    A batch's objects are gone when it is stored, by their reference counts. A collection in its middle takes them for
    old ones, and soon goes through all that the process has: a third of a second, with torch and MLflow, in which no
    thread can do anything. What the training itself leaves behind is still collected. A threshold that is higher, or
    0 (off), stays as it is.
    """
    before = gc.get_threshold()
    if not 0 < before[0] < _AT_ONCE:
        yield
        return
    gc.set_threshold(_AT_ONCE, *before[1:])
    try:
        yield
    finally:
        if gc.get_threshold() == (_AT_ONCE, *before[1:]):  # nobody else has set it meanwhile
            gc.set_threshold(*before)


def collect_now() -> None:
    """Collect what there is, unless the collector is off.

    Many new modules make Python look through all objects soon after: before the first step, and not in the middle of
    a later one.
    """
    if gc.isenabled() and gc.get_threshold()[0]:
        gc.collect()
