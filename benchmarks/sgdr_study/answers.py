"""The study's questions, each answered with numbers: differences seed by seed, and when a target is reached."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from benchmarks.sgdr_study.paired import Crossing, Difference, crossing, difference
from benchmarks.sgdr_study.results import WARMED, Members, Result, Runs

RULER = "step"
SHORTEST_CYCLE = 4
"""Cycles of fewer epochs have no middle that is worth a look."""


@dataclass(frozen=True)
class Experiment:
    """What the report must know of an experiment.

    Args:
        key: name of its sweep and of its files of figures.
        metric: of the test data.
        unit: of the metric.
        digits: decimals to show.
        moments: epochs at which tables look; the last is the end of the budget.
        cosine: the schedule that is one cosine over the whole budget.
    """

    key: str
    metric: str
    unit: str
    digits: int
    moments: tuple[int, ...]
    cosine: str = "cosine"

    def shown(self, runs: Runs) -> list[int]:
        """Return the epochs at which tables look, inside what was trained."""
        epochs = next(iter(runs.values()))[0].epochs
        return [*(moment for moment in self.moments if moment < epochs), epochs]


EXPERIMENTS = {
    "A": Experiment("study-a", "test_error", "%", 2, (10, 30, 70)),
    "B": Experiment("study-b", "test_error", "%", 2, (10, 30, 70, 150, 200), "SGDR T_0=200"),
    "C": Experiment("study-c", "test_loss", "nats", 3, (2, 6, 14)),
}


def ruler_of(runs: Mapping[str, Sequence[Result]]) -> str:
    """Return the schedule that the others are measured against."""
    return RULER if RULER in runs else next(iter(runs))


def restarted(runs: Runs) -> list[str]:
    """Return the schedules that restart within the budget."""
    return [name for name, each in runs.items() if any(end < each[0].epochs for end in each[0].ends)]


def against(runs: Runs, name: str, other: str, metric: str, epochs: Sequence[int]) -> list[Difference]:
    """Return one schedule minus another, seed by seed, after some epochs and as the mean over all epochs."""
    found = [
        difference([one.value(metric, epoch) for one in runs[name]], [one.value(metric, epoch) for one in runs[other]])
        for epoch in epochs
    ]
    ours, theirs = ([float(np.mean(one.anytime(metric))) for one in each] for each in (runs[name], runs[other]))
    return [*found, difference(ours, theirs)]


def warmed_pairs(runs: Runs) -> list[tuple[str, str]]:
    """Return the schedules that are there with and without warmup."""
    return [
        (name, name.removesuffix(WARMED)) for name in runs if name.endswith(WARMED) and name[: -len(WARMED)] in runs
    ]


def targets(runs: Runs, metric: str) -> dict[str, Crossing]:
    """Return when each schedule reaches the ruler's final value for good."""
    final = np.array([one.value(metric) for one in runs[ruler_of(runs)]])
    return {name: crossing(np.array([one.anytime(metric) for one in each]), final) for name, each in runs.items()}


@dataclass(frozen=True)
class Restart:
    """A cycle's end against moments of the next cycle: present weights there minus the weights at the end.

    Args:
        schedule: its name.
        end: epochs after which the cycle ended.
        values: of the metric there, by seed.
        soon: difference a tenth into the next cycle.
        middle: difference at the middle of the next cycle; None if the run ends before.
    """

    schedule: str
    end: int
    values: list[float]
    soon: Difference
    middle: Difference | None


def restarts(runs: Runs, metric: str) -> list[Restart]:
    """Return every cycle's end that the run goes on from."""
    found = []
    for name, each in runs.items():
        for end, stop in pairwise(each[0].stops):
            length = stop - end
            if length < SHORTEST_CYCLE or end >= each[0].epochs:
                continue
            values = [one.curves[metric][end - 1] for one in each]
            moments = end + max(1, round(length / 10)), end + length // 2
            soon, middle = (
                difference([one.curves[metric][moment - 1] for one in each], values)
                if moment <= each[0].epochs
                else None
                for moment in moments
            )
            if soon is not None:
                found.append(Restart(name, end, values, soon, middle))
    return found


@dataclass(frozen=True)
class Choice:
    """Another checkpoint than the last complete cycle's end.

    Args:
        schedule: its name.
        what: the checkpoint.
        last: the metric at the last cycle's end, by seed.
        values: the metric of that checkpoint.
    """

    schedule: str
    what: str
    last: list[float]
    values: list[float]

    @property
    def apart(self) -> Difference:
        """That checkpoint minus the last cycle's end."""
        return difference(self.values, self.last)


def choices(runs: Runs, metric: str) -> list[Choice]:
    """Return what one may choose instead of the last cycle's end, where it is another."""
    found = []
    for name, each in runs.items():
        if len(each[0].ends) < 2:
            continue
        last = [one.value(metric) for one in each]
        chosen = {
            "best cycle end by val_loss": [_at(one, metric, best_epoch(one, one.ends)) for one in each],
            "best epoch by val_loss": [_at(one, metric, best_epoch(one, range(1, one.epochs + 1))) for one in each],
            "weights at the end of the run": [_at(one, metric, one.epochs) for one in each],
        }
        found += [Choice(name, what, last, values) for what, values in chosen.items() if values != last]
    return found


def best_epoch(result: Result, epochs: Iterable[int]) -> int:
    """Return the epoch with the lowest validation loss among some; the first of equals."""
    return min(epochs, key=lambda epoch: result.curves["val_loss"][epoch - 1])


@dataclass(frozen=True)
class Gain:
    """What the last cycle ends of a schedule's runs are worth together.

    Args:
        schedule: its name.
        count: how many ends.
        last: test error of the last one alone, by seed.
        ensemble: averaged predictions minus that.
        control: the last end with its batch norm measured anew, minus that.
        average: averaged weights minus that.
        averaging: averaged weights minus the control: what is due to the averaging.
    """

    schedule: str
    count: int
    last: list[float]
    ensemble: Difference
    control: Difference
    average: Difference
    averaging: Difference


def gains(members: Sequence[Members]) -> list[Gain]:
    """Return what ensembles and averages gain, for each schedule and number of ends with at least two runs."""
    groups: dict[tuple[str, int], list[Members]] = defaultdict(list)
    for each in members:
        groups[each.schedule, each.count].append(each)
    found = []
    for (name, count), group in groups.items():
        if len(group) < 2:
            continue
        last, control = [each.last for each in group], [each.control for each in group]
        average = [each.average for each in group]
        found.append(
            Gain(
                name,
                count,
                last,
                difference([each.ensemble for each in group], last),
                difference(control, last),
                difference(average, last),
                difference(average, control),
            )
        )
    return found


def _at(result: Result, metric: str, epoch: int) -> float:
    """Return a metric of the weights after an epoch."""
    return result.curves[metric][epoch - 1]
