"""Runs that share a plan, as a mean and a band around it."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lightning_lrsched.compare.curves import Curve
from lightning_lrsched.compare.plans import plan_of
from lightning_lrsched.compare.runs import RunRecord


@dataclass(frozen=True)
class Band:
    """The metric of several runs.

    Args:
        mean: mean of the runs at each step.
        spread: their standard deviation (with n - 1) at each step.
        count: how many runs.
    """

    mean: Curve
    spread: tuple[float, ...]
    count: int


def sharing(records: Sequence[RunRecord]) -> list[list[int]]:
    """Return the places of the runs of each plan, in the order of their first runs; a run without a plan is alone."""
    groups: dict[object, list[int]] = defaultdict(list)
    for index, record in enumerate(records):
        groups[plan_of(record.params or {}) or index].append(index)
    return list(groups.values())


def plans(records: Sequence[RunRecord]) -> list[list[int]]:
    """Return the places of the runs of each plan; runs without one are left out."""
    return [group for group in sharing(records) if plan_of(records[group[0]].params or {})]


def counted(records: Sequence[RunRecord]) -> Sequence[RunRecord]:
    """Return the runs that a mean is taken of: those that finished, if two or more did."""
    finished = [record for record in records if record.status == "finished"]
    return finished if len(finished) > 1 else records


def band(records: Sequence[RunRecord]) -> Band | None:
    """Return mean and spread where all runs have values, straight lines between them; None with fewer than two runs.

    Runs that did not finish are left out if two or more did.
    """
    curves = [record.metric.finite() for record in counted(records)]
    curves = [curve for curve in curves if curve.steps]
    if len(curves) < 2:
        return None
    first, last = max(curve.steps[0] for curve in curves), min(curve.steps[-1] for curve in curves)
    steps = np.unique(np.concatenate([np.array(curve.steps) for curve in curves]))
    steps = steps[(first <= steps) & (steps <= last)]
    if not steps.size:
        return None
    values = np.array([np.interp(steps, curve.steps, curve.values) for curve in curves])
    mean = Curve(tuple(steps.tolist()), tuple(values.mean(axis=0).tolist()))
    return Band(mean, tuple(values.std(axis=0, ddof=1).tolist()), len(curves))
