"""Runs that share a plan in numbers: means over their seeds, with intervals, and differences seed by seed."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import TypeAlias

from lightning_lrsched.compare.ends import best_end
from lightning_lrsched.compare.goal import Goal
from lightning_lrsched.compare.plans import plan_of
from lightning_lrsched.compare.runs import RunRecord
from lightning_lrsched.compare.seeds import counted, plans
from lightning_lrsched.compare.store import CompareError

Values: TypeAlias = Mapping[str, float]
"""One value for each run, by its id."""

LEVEL = 0.95
_SEED_PARAMS = ("sweep/seed", "setup/seed", "seed")
_SEED = re.compile(r"(?:,\s*|\s+|[-_/])?seed[ =_-]?\d+$", re.IGNORECASE)


@dataclass(frozen=True)
class Estimate:
    """A mean over runs.

    Args:
        mean: of their values.
        count: how many values.
        std: standard deviation (with n - 1); None for a single value.
        low: lower end of the mean's 95% interval, Student's t; None for a single value.
        high: its upper end.
    """

    mean: float
    count: int
    std: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class MeanRow:
    """The runs of one plan; None where no run has a value.

    Args:
        plan: number of the plan, from 1, as the report has it.
        name: what the runs' names have in common, else schedule, warmup and lr.
        schedule: the main schedule, as it was written.
        warmup: the warmup, as it was written.
        lr: peak lr of the parameter groups, as it was written.
        runs: how many runs are counted: those that have finished, if two or more did.
        best: of each run's best value of the metric.
        last: of each run's last value.
        recommended: of each run's best end of a completed cycle.
        best_apart: best values minus those of the baseline, seed by seed.
        last_apart: last values likewise.
        recommended_apart: recommended ones minus the baseline's; its last values where it has no cycles.
    """

    plan: int
    name: str
    schedule: str | None
    warmup: str | None
    lr: str | None
    runs: int
    best: Estimate | None
    last: Estimate | None
    recommended: Estimate | None
    best_apart: Estimate | None = None
    last_apart: Estimate | None = None
    recommended_apart: Estimate | None = None


def mean_rows(records: Sequence[RunRecord], goal: Goal, baseline: str | None = None) -> list[MeanRow]:
    """Return a row for each plan, the best mean first; nothing where no plan has two runs.

    Args:
        records: the runs.
        goal: what they are compared by.
        baseline: beginning of the names or of the id of the runs that the others are held against.

    Raises:
        CompareError: if the baseline names no plan, or several.
    """
    groups = [[records[at] for at in group] for group in plans(records)]
    base = None if baseline is None else _baseline(groups, baseline)
    if all(len(group) < 2 for group in groups):
        return []
    named = zip(plan_names(groups), groups, strict=True)
    rows = [_row(number, name, group, base, goal) for number, (name, group) in enumerate(named, start=1)]
    sign = 1 if goal.mode == "min" else -1
    return sorted(rows, key=lambda row: math.inf if row.best is None else sign * row.best.mean)


def estimate(values: Sequence[float]) -> Estimate | None:
    """Return mean, deviation and interval of some values; None if there is none.

    >>> found = estimate([3.0, 4.0, 5.0])
    >>> round(found.low, 2), round(found.high, 2)
    (1.52, 6.48)
    """
    if not values:
        return None
    mean, count = fmean(values), len(values)
    if count < 2:
        return Estimate(mean, count)
    from scipy import stats

    std = stdev(values)
    half = float(stats.t.ppf((1 + LEVEL) / 2, count - 1)) * std / count**0.5
    return Estimate(mean, count, std, mean - half, mean + half)


def _row(number: int, name: str, group: Sequence[RunRecord], base: Sequence[RunRecord] | None, goal: Goal) -> MeanRow:
    """Return the row of one plan."""
    used = counted(group)
    mine = _measures(used, goal)
    params = group[0].params or {}
    schedule, warmup, lr = (params.get(f"schedule/{key}") for key in ("main", "warmup", "base_lr"))
    apart: list[Estimate | None] = [None, None, None]
    if base is not None and base is not group:
        theirs = _measures(counted(base), goal)
        theirs[2] = theirs[2] or theirs[1]
        apart = [_apart(used, ours, base, other) for ours, other in zip(mine, theirs, strict=True)]
    means = [estimate(list(values.values())) for values in mine]
    return MeanRow(number, name, schedule, warmup, lr, len(used), *means, *apart)


def _measures(runs: Sequence[RunRecord], goal: Goal) -> list[Values]:
    """Return the best, the last and the recommended values of some runs, where they are finite."""
    pick: tuple[Callable[[RunRecord], float | None], ...] = (
        lambda record: (goal.best(record.metric) or (0, None))[1],
        lambda record: record.metric.values[-1] if record.metric.values else None,
        lambda record: (best_end(record, goal) or (0, None))[1],
    )
    found = [{record.run_id: take(record) for record in runs} for take in pick]
    return [{key: value for key, value in each.items() if value is not None and math.isfinite(value)} for each in found]


def _apart(ours: Sequence[RunRecord], values: Values, theirs: Sequence[RunRecord], others: Values) -> Estimate | None:
    """Return the mean difference over the seeds that both have; None with fewer than two."""
    mine, base = _by_seed(ours, values), _by_seed(theirs, others)
    pairs = [mine[seed] - base[seed] for seed in sorted(mine.keys() & base.keys())]
    return estimate(pairs) if len(pairs) > 1 else None


def _by_seed(runs: Sequence[RunRecord], values: Values) -> dict[str, float]:
    """Return values by seed; a seed that several runs have is left out."""
    seeds: dict[str, list[float]] = {}
    for record in runs:
        seed = next(
            (seed for key in _SEED_PARAMS if (seed := (record.params or {}).get(key)) not in (None, "None")), None
        )
        if seed is not None and record.run_id in values:
            seeds.setdefault(seed, []).append(values[record.run_id])
    return {seed: each[0] for seed, each in seeds.items() if len(each) == 1}


def plan_names(groups: Sequence[Sequence[RunRecord]]) -> list[str]:
    """Return a name for each plan: what the names of its runs have in common, else the plan in words.

    Plans whose runs have the same names are told apart by their words, and those of the same words by what else they
    have.
    """
    shared = [_shared_name(group) for group in groups]
    names = [
        name if name and shared.count(name) == 1 else _in_words(group)
        for name, group in zip(shared, groups, strict=True)
    ]
    for name in {name for name in names if names.count(name) > 1}:
        alike = [at for at, other in enumerate(names) if other == name]
        for at, more in zip(alike, _differences([groups[at][0] for at in alike]), strict=True):
            names[at] = ", ".join([name, *more])
    return names


def _differences(records: Sequence[RunRecord]) -> list[list[str]]:
    """Return what the plan of each run has that is not the same in all of them."""
    plans_of = [dict(plan_of(record.params or {})) for record in records]
    keys = [key for key in sorted(set().union(*plans_of)) if len({plan.get(key) for plan in plans_of}) > 1]
    return [[f"{key} {plan[key]}" for key in keys if key in plan] for plan in plans_of]


def _shared_name(group: Sequence[RunRecord]) -> str:
    """Return what the names of a plan's runs have in common but their seeds; nothing where that is not all of them."""
    names = {_SEED.sub("", record.name) for record in group}
    alone = len(group) == 1 or names != {record.name for record in group}
    return names.pop() if len(names) == 1 and alone else ""


def _in_words(group: Sequence[RunRecord]) -> str:
    """Return schedule, warmup and lr of a plan."""
    params = group[0].params or {}
    warmup = params.get("schedule/warmup", "none")
    words = [params.get("schedule/main", "plan"), *([] if warmup == "none" else [warmup])]
    return ", ".join([*words, *(f"lr {params[key]}" for key in ("schedule/base_lr",) if key in params)])


def _baseline(groups: Sequence[Sequence[RunRecord]], baseline: str) -> Sequence[RunRecord]:
    """Return the plan that a name or an id begins with those words."""
    names = plan_names(groups)
    exact = [group for name, group in zip(names, groups, strict=True) if name == baseline]
    found = exact or [group for group in groups if any(_begins(record, baseline) for record in group)]
    if len(found) != 1:
        told = "no plan" if not found else f"{len(found)} plans"
        there = ", ".join(map(repr, names)) or "none"
        raise CompareError(f"{told} with runs that begin with {baseline!r} to compare with. There are: {there}")
    return found[0]


def _begins(record: RunRecord, text: str) -> bool:
    """Return whether a run's name or id begins with a text."""
    return record.name.startswith(text) or record.run_id.startswith(text)
