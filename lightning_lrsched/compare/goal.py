"""What a comparison asks of each run: which metric, in which direction, how far."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from lightning_lrsched.compare.curves import Curve
from lightning_lrsched.compare.runs import RunRecord

Mode = Literal["min", "max"]

_HIGHER = re.compile(r"acc|f1|auc|auroc|map(?!e)|bleu|score|precision|recall", re.IGNORECASE)
_LOWER = re.compile(r"loss|err", re.IGNORECASE)


@dataclass(frozen=True)
class Goal:
    """The metric that decides, and the value to reach.

    Args:
        metric: its key.
        mode: ``"min"`` if lower is better, ``"max"`` if higher is.
        target: the value to reach; None if no run has a value.
        target_given: whether the user chose the target.
    """

    metric: str
    mode: Mode
    target: float | None = None
    target_given: bool = False

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
    """Return the direction that a metric's name suggests.

    >>> mode_of("val_acc"), mode_of("val_mape"), mode_of("val/f1_loss")
    ('max', 'min', 'min')
    """
    return "max" if _HIGHER.search(metric) and not _LOWER.search(metric) else "min"


def goal_for(records: Sequence[RunRecord], metric: str, mode: Mode | None = None, target: float | None = None) -> Goal:
    """Return the goal of a comparison.

    Args:
        records: the runs.
        metric: key of the metric.
        mode: default the direction that the name suggests.
        target: value to reach; default the worst of the finished runs' best values (of all runs if none has
            finished), which all of them reach.
    """
    goal = Goal(metric, mode or mode_of(metric), target, target is not None)
    if goal.target_given:
        return goal
    best = [(record.status, found[1]) for record in records if (found := goal.best(record.metric))]
    values = [value for status, value in best if status == "finished"] or [value for _, value in best]
    worst = max if goal.mode == "min" else min
    return Goal(goal.metric, goal.mode, worst(values, default=None))
