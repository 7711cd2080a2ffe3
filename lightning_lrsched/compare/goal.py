"""What a comparison asks of each run: which metric, in which direction, how far."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from lightning_lrsched.compare.curves import Curve
from lightning_lrsched.compare.runs import RunRecord
from lightning_lrsched.compare.words import Mode, known_mode


@dataclass(frozen=True)
class Goal:
    """The metric that decides, and the value to reach.

    Args:
        metric: its key.
        mode: ``"min"`` if lower is better, ``"max"`` if higher is.
        target: the value to reach; None if no run has a value.
        target_given: whether the user chose the target.
        mode_from: what the mode was taken from: ``"given"`` by the user, the metric's ``"name"``, the ``"runs"``, which
            have kept checkpoints by it, or ``"nothing"``, so that lower is taken for better.
    """

    metric: str
    mode: Mode
    target: float | None = None
    target_given: bool = False
    mode_from: Literal["given", "name", "runs", "nothing"] = "name"

    def best(self, curve: Curve) -> tuple[int, float] | None:
        """Return step and value of the best point, the first of equals; None if no value is finite."""
        finite = curve.finite()
        if not finite.steps:
            return None
        value = min(finite.values) if self.mode == "min" else max(finite.values)
        return finite.steps[finite.values.index(value)], value

    def reached(self, curve: Curve) -> int | None:
        """Return the first step that reaches the target, or None."""
        for step, value in zip(curve.steps, curve.values, strict=True):
            if self.target is not None and (value <= self.target if self.mode == "min" else value >= self.target):
                return step
        return None


def mode_of(metric: str) -> Mode:
    """Return the direction that a metric's name suggests; ``"min"`` if it says nothing.

    >>> mode_of("val_acc"), mode_of("val_mape"), mode_of("val/f1_loss")
    ('max', 'min', 'min')
    """
    return known_mode(metric) or "min"


def goal_for(records: Sequence[RunRecord], metric: str, mode: Mode | None = None, target: float | None = None) -> Goal:
    """Return the goal of a comparison.

    Args:
        records: the runs.
        metric: key of the metric.
        mode: default the direction that the name says; if it says nothing, that by which the runs have kept
            checkpoints; else ``"min"``.
        target: value to reach; default the worst of the finished runs' best values (of all runs if none has
            finished), which all of them reach.
    """
    goal = _aimed(records, metric, mode, target)
    if goal.target_given:
        return goal
    best = [(record.status, found[1]) for record in records if (found := goal.best(record.metric))]
    values = [value for status, value in best if status == "finished"] or [value for _, value in best]
    worst = max if goal.mode == "min" else min
    return replace(goal, target=worst(values, default=None))


def _aimed(records: Sequence[RunRecord], metric: str, mode: Mode | None, target: float | None) -> Goal:
    """Return a goal with its mode, and with the target that was given."""
    given = target is not None
    if mode is not None:
        return Goal(metric, mode, target, given, "given")
    if named := known_mode(metric):
        return Goal(metric, named, target, given, "name")
    kept = {record.mode for record in records if record.mode is not None}
    return (
        Goal(metric, kept.pop(), target, given, "runs")
        if len(kept) == 1
        else Goal(metric, "min", target, given, "nothing")
    )
