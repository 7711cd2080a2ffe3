"""The comparison in numbers: one row for each run."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from lightning_lrsched.compare.ends import best_end, cycle_at
from lightning_lrsched.compare.goal import Goal
from lightning_lrsched.compare.places import began, steps_per_epoch
from lightning_lrsched.compare.runs import RunRecord, told_apart


@dataclass(frozen=True)
class Row:
    """One run in numbers; None where the run does not say.

    Args:
        run_id: MLflow's id.
        run: the run's name, with the beginning of its id if another has the same.
        schedule: the main schedule, as it was written.
        warmup: the warmup, as it was written.
        best: best value of the metric.
        step: optimizer step of the best value.
        epoch: its epoch, from 0.
        cycle: its cycle, from 0.
        target_step: first optimizer step that reached the target.
        target_epochs: epochs trained until then: 9.25 is a quarter into the tenth.
        seconds: wall time; up to the last recorded point if the run has no end.
        status: ``"finished"``, ``"running"``, ``"failed"``, ``"killed"`` or ``"scheduled"``.
        area: area under the curve of the metric, divided by its length: the mean over the steps from the first to
            the last finite value, straight lines between them.
        steps: optimizer steps done, as far as they were recorded.
        recommended: value at the best end of a completed cycle: what `CycleCheckpoint` recommends when it monitors
            this metric.
        recommended_step: optimizer step of that value.
        recommended_cycle: its cycle, from 0.
    """

    run_id: str
    run: str
    status: str
    schedule: str | None = None
    warmup: str | None = None
    best: float | None = None
    step: int | None = None
    epoch: int | None = None
    cycle: int | None = None
    target_step: int | None = None
    target_epochs: float | None = None
    seconds: float | None = None
    area: float | None = None
    steps: int | None = None
    recommended: float | None = None
    recommended_step: int | None = None
    recommended_cycle: int | None = None


def ranked(records: Sequence[RunRecord], goal: Goal) -> list[RunRecord]:
    """Return the runs, the best first, and last those without a value."""
    sign = 1 if goal.mode == "min" else -1

    def rank(record: RunRecord) -> float:
        best = goal.best(record.metric)
        return math.inf if best is None else sign * best[1]

    return sorted(records, key=rank)


def table_rows(records: Sequence[RunRecord], goal: Goal) -> list[Row]:
    """Return one row for each run, in the order given."""
    return [_row(record, name, goal) for record, name in zip(records, told_apart(records), strict=True)]


def caption(goal: Goal, *, recommended: bool = False) -> str:
    """Return the words that a reader of the table needs: direction, target, where counting begins."""
    direction = "lower" if goal.mode == "min" else "higher"
    other = "max" if goal.mode == "min" else "min"
    told = {
        "runs": f"{direction} is better, as the runs have kept checkpoints by it",
        "nothing": f"{direction} is taken for better, as neither its name nor a run says which is",
    }
    words = [f"{goal.metric}: {told.get(goal.mode_from, f'{direction} is better')} (--mode {other} turns it round)"]
    if goal.target is not None:
        why = "as given" if goal.target_given else "the worst of the runs' best values; --target sets another"
        words.append(f"target: {goal.target:.5g} ({why})")
    words.append("epochs and cycles count from 0; epochs to target is the number of epochs trained to reach it")
    if recommended:
        words.append(
            "recommended: the best end of a completed cycle (its number in brackets), as CycleCheckpoint chooses"
        )
    return "\n".join(words)


def _row(record: RunRecord, name: str, goal: Goal) -> Row:
    """Return the row of one run."""
    best = goal.best(record.metric)
    step = best and best[0]
    reached = goal.reached(record.metric)
    end = best_end(record, goal)
    return Row(
        run_id=record.run_id,
        run=name,
        status=record.status,
        schedule=_param(record, "schedule/main"),
        warmup=_param(record, "schedule/warmup"),
        best=best and best[1],
        step=step,
        epoch=_epoch(record, step),
        cycle=None if step is None else cycle_at(record, step),
        target_step=reached,
        target_epochs=_epochs_trained(record, reached),
        seconds=_seconds(record),
        area=_area(record),
        steps=record.clock.steps[-1] + 1 if record.clock.steps else None,
        recommended=end and end[1],
        recommended_step=end and end[0],
        recommended_cycle=end and cycle_at(record, end[0]),
    )


def _param(record: RunRecord, name: str) -> str | None:
    """Return a parameter of a run, if it has it."""
    return (record.params or {}).get(name)


def _epoch(record: RunRecord, step: int | None) -> int | None:
    """Return the epoch (from 0) of a step: the recorded one, else from the epoch's length."""
    if step is None:
        return None
    if step in record.epochs.steps:
        epoch = record.epochs.values[record.epochs.steps.index(step)]
        return int(epoch) if math.isfinite(epoch) else None
    length = steps_per_epoch(record)
    return None if length is None else int(step // length)


def _epochs_trained(record: RunRecord, step: int | None) -> float | None:
    """Return the epochs trained when a step is done."""
    if step is None:
        return None
    if length := steps_per_epoch(record):
        return (step + 1) / length
    epoch = _epoch(record, step)
    return None if epoch is None else epoch + 1.0


def _seconds(record: RunRecord) -> float | None:
    """Return the wall time, up to the last recorded point where the run has no end."""
    begin, end = began(record), record.end_time or record.last_time
    return None if end is None or begin is None else max(0.0, (end - begin) / 1000)


def _area(record: RunRecord) -> float | None:
    """Return the mean of the metric over its steps; the value itself where there is one only."""
    curve = record.metric.finite()
    if len(curve.steps) < 2:
        return curve.values[0] if curve.values else None
    pieces = zip(pairwise(curve.steps), pairwise(curve.values), strict=True)
    area = math.fsum((after - before) * (low + high) / 2 for (before, after), (low, high) in pieces)
    return area / (curve.steps[-1] - curve.steps[0])
