"""Spools, journals and writers as the tests make them."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lightning_lrsched.tracking.curve import Curve
from lightning_lrsched.tracking.journal import Journal, decode, note
from lightning_lrsched.tracking.points import Expander
from lightning_lrsched.tracking.recorder import StepRecorder
from lightning_lrsched.tracking.sink import Point, Sink
from lightning_lrsched.tracking.spool import Spool
from lightning_lrsched.tracking.thinning import Thinning
from lightning_lrsched.tracking.writer import Settings, Writer

Groups = list[dict[str, Any]]


def make_spool(parent: Path, **facts: Any) -> Spool:
    """The spool of a fit that writes to the sink of the test."""
    return Spool.create(parent, {"uri": "", "created": 1, **facts})


def make_writer(
    sink: Sink, spool: Spool | None, told: list[str] | None = None, every: float = 0.01, **more: Any
) -> Writer:
    """A writer that delivers soon, and what it tells."""
    messages: list[str] = [] if told is None else told
    return Writer(sink, spool, messages.append, Settings(deliver_every=every, **more))


def recorder(journal: Journal, groups: Groups, others: Sequence[str] = (), index: int = 0) -> StepRecorder:
    """A recorder whose axis counts its own steps."""
    axis = iter(range(10**9))
    return StepRecorder(journal, index, "SGD", lambda: groups, others=others, axis=lambda: next(axis))


def record_steps(made: StepRecorder, groups: Groups, lrs: Iterable[float], start: int = 0) -> None:
    """Record steps whose lr in the first group is given; the others have half of the one before."""
    for step, lr in enumerate(lrs, start):
        for index, group in enumerate(groups):
            group["lr"] = lr / 2**index
        made(step, [group["lr"] for group in groups])


def record_steps_of(made: Writer, count: int, start: int = 0) -> None:
    """Have a writer's journal hold steps of one group."""
    groups: Groups = [{}]
    steps = recorder(made.journal, groups)
    for _ in range(start):
        steps._axis()
    record_steps(steps, groups, [0.5] * count, start)


def waited_for(done: Callable[[], bool]) -> bool:
    """Whether something is so within ten seconds."""
    deadline = time.monotonic() + 10
    while not done() and time.monotonic() < deadline:
        time.sleep(0.01)
    return done()


ALL = Thinning()


def points_of(data: bytes, thinning: Thinning = ALL, after: Mapping[str, int] | None = None) -> list[Point]:
    """The points that a whole journal becomes."""
    expander = Expander(thinning, after or {}, dict[str, Curve](), Counter())
    found = [point for part, _ in decode(data, 0, 7) for point in expander.add(part)]
    return [*found, *expander.end()]


def of(points: Iterable[Point], key: str) -> list[tuple[int, float]]:
    """Steps and values of one curve."""
    return [(point.step, point.value) for point in points if point.key == key]


def end_note(status: str) -> bytes:
    return note(**{"is": "end", "status": status})


def array(*values: float) -> "np.ndarray[Any, np.dtype[np.float64]]":
    return np.array(values, dtype=np.float64)
