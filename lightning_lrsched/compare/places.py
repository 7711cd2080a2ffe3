"""Where the steps of a run lie on the other axes: in epochs, and in time."""

import math

from lightning_lrsched.compare.curves import Curve
from lightning_lrsched.compare.runs import RunRecord


def steps_per_epoch(record: RunRecord) -> float | None:
    """Return the optimizer steps of an epoch, if the run says them."""
    try:
        steps = float((record.params or {}).get("schedule/steps_per_epoch", "unknown"))
    except ValueError:
        return None
    return steps if steps >= 1 and math.isfinite(steps) else None


def epochs_done(record: RunRecord) -> Curve:
    """Return how many epochs are trained after some steps, straight lines between them; empty where nothing says it.

    Step -1 stands for the beginning. Without the length of an epoch, the last step recorded in each one is its end.
    """
    if length := steps_per_epoch(record):
        return Curve((-1, max(1, round(length)) - 1), (0.0, max(1, round(length)) / length))
    epochs = record.epochs.finite()
    last = {epoch: step for step, epoch in zip(epochs.steps, epochs.values, strict=True) if epoch >= 0}
    ends = sorted((step, epoch + 1.0) for epoch, step in last.items())
    return Curve((-1, *(step for step, _ in ends)), (0.0, *(done for _, done in ends))) if ends else Curve()


def began(record: RunRecord) -> int | None:
    """Return when a run began, in milliseconds since 1970; a new store can be ready after the first steps only."""
    known = [time for time in (record.start_time, *record.clock.values[:1]) if time is not None]
    return min(map(int, known), default=None)


def seconds_passed(record: RunRecord) -> Curve:
    """Return when some steps were done, in seconds since the run began; empty where nothing says it."""
    begin = began(record)
    return (
        Curve() if begin is None else Curve(record.clock.steps, tuple((t - begin) / 1000 for t in record.clock.values))
    )
