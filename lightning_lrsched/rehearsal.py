"""The timeline of a torch scheduler, by running it once on its shadow, before any training."""

from collections.abc import Iterator

import numpy as np

from lightning_lrsched.driven import DrivenScheduler
from lightning_lrsched.phases import Level, Phase
from lightning_lrsched.shapes import Shape, Tabled
from lightning_lrsched.timeline import Timeline

MOST_ADVANCES = 10_000_000


def rehearse(scheduler: DrivenScheduler, total_steps: int) -> Timeline:
    """Return the lrs that a scheduler gives in a run, as a timeline of absolute values for the first group.

    The scheduler is advanced as often as the run would do it, so that it is used up. Its warmup, and where its cycles
    lie, are the scheduler's own words; no update is assumed to be skipped.

    Args:
        scheduler: one that is not armed, and is told the steps of an epoch if it advances once an epoch.
        total_steps: optimizer steps of the run.

    Raises:
        ValueError: if the steps per epoch are needed and unknown, or if it would advance too often.
    """
    pace, name = scheduler.pace, type(scheduler.driven).__name__
    if pace is None:
        raise ValueError(
            f"{name} advances once an epoch here, so the steps per epoch of the run are needed, and they are unknown. "
            "Pass steps_per_epoch=..., for example RunLength(1000, steps_per_epoch=100)"
        )
    advances = pace.advances(total_steps - 1)
    if advances > MOST_ADVANCES:
        raise ValueError(
            f"{name} has no formula that is known here, so it is run to be drawn, and would advance {advances:,} "
            f"times; at most {MOST_ADVANCES:,} are allowed. Give a shorter run, or a planned schedule such as "
            "Cosine() or Step('30ep'), of which no step is run"
        )
    group = scheduler.shadow.param_groups[0]
    values = np.empty(advances + 1)
    values[0] = group["lr"]
    for advance in range(1, advances + 1):
        scheduler.drive()
        values[advance] = group["lr"]
    table = Tabled(values, pace.offset, pace.stride)
    return Timeline(tuple(_phases(scheduler, table, total_steps)), damping=scheduler.ramp)


def _phases(scheduler: DrivenScheduler, table: Shape, total_steps: int) -> Iterator[Phase]:
    """Yield what the scheduler itself calls the phases and cycles of the run, with the values of a table."""
    step, cyclic = 0, scheduler.restarts is not None
    while step < total_steps:
        place = scheduler.place(step)
        stop = total_steps if place.stop is None else min(place.stop, total_steps)
        yield Phase(
            place.phase,
            stop - step,
            Level(0.0),
            Level(0.0, 1.0),
            table,
            restart=cyclic and step >= scheduler.warmup_updates,
            span=1,
            shift=step,
            whole=place.stop in (None, stop),
        )
        step = stop
