"""What a thread beside the training leaves to it: Python's interpreter soon, and no garbage collection meanwhile."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_AT_ONCE = 25_000  # objects of one batch of 1,000 points in MLflow's SQL store: about 12,000
_SOON = 0.0005


@contextmanager
def considerate() -> Iterator[None]:
    """Hold the collector back and hand the interpreter over soon, while a batch is written into a database."""
    with seldom_collected(), soon_interrupted():
        yield


@contextmanager
def soon_interrupted() -> Iterator[None]:
    """Have threads hand the interpreter over after 0.5 ms and not after 5, for as long as this lasts.

    A training step lets go of it some ten times, in operations of torch, and can wait each time until it is handed
    back: with 5 ms a step of one millisecond takes 50 where it falls into a batch. A time that is shorter stays.
    """
    before = sys.getswitchinterval()
    if before <= _SOON:
        yield
        return
    sys.setswitchinterval(_SOON)
    try:
        yield
    finally:
        if sys.getswitchinterval() == _SOON:  # nobody else has set it meanwhile
            sys.setswitchinterval(before)


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
