"""The ends of cycles: which cycles ran to their end, and the best of these ends."""

from bisect import bisect_left

from lightning_lrsched.compare.curves import Curve
from lightning_lrsched.compare.goal import Goal
from lightning_lrsched.compare.runs import RunRecord


def completed_ends(record: RunRecord) -> tuple[int, ...]:
    """Return the last step of each cycle that ran to its end; none for a run without cycles.

    One that was followed by another did. Of the last one the plan says where it ends, and whether the run cuts it
    short. Where the plan has no restarts, cycles are those of a `CycleCheckpoint`, all of one length.
    """
    last = max((phase.cycle for phase in record.phases), default=0)
    mine = [phase for phase in record.phases if phase.cycle == last]
    if not all(phase.whole for phase in mine):
        return record.cycle_ends
    if last == 0:
        kept = record.cycle_last.steps
        return record.cycle_ends or tuple(step for step in kept if (step + 1) % (kept[0] + 1) == 0)
    stop = mine[-1].stop
    done = stop is not None and stop - 1 in record.cycles.steps[-1:]
    return (*record.cycle_ends, *((stop - 1,) if stop is not None and done else ()))


def cycle_at(record: RunRecord, step: int) -> int | None:
    """Return the cycle of a step; None if the run does not say it. See `completed_ends` for whose cycles they are."""
    recorded = record.cycles.at(step)
    if recorded is None or recorded > 0:
        return None if recorded is None else int(recorded)
    return bisect_left(completed_ends(record), step)


def best_end(record: RunRecord, goal: Goal) -> tuple[int, float] | None:
    """Return step and value of the best end of a completed cycle, the earlier of equals; None where none has a value.

    It is what `CycleCheckpoint` recommends when it monitors this metric. Its value is that of the checkpoint kept
    there, else that of the validation right after the cycle's last step.
    """
    found = {}
    kept = dict(zip(record.cycle_last.steps, record.cycle_last.values, strict=True))
    measured = dict(zip(record.metric.steps, record.metric.values, strict=True))
    for step in completed_ends(record):
        value = kept.get(step, measured.get(step))
        if value is not None:
            found[step] = value
    return goal.best(Curve(tuple(found), tuple(found.values())))
