"""Differences between schedules over the same seeds, with their intervals."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

LEVEL = 0.95
RESAMPLES = 2000


@dataclass(frozen=True)
class Difference:
    """A mean difference over paired seeds.

    Args:
        mean: of ours minus theirs.
        half: half the width of the 95% interval (Student's t).
        p: of the paired t-test, two-sided.
        count: pairs.
        same: whether every pair is equal.
    """

    mean: float
    half: float
    p: float
    count: int
    same: bool = False

    @property
    def low(self) -> float:
        """The interval's lower end."""
        return self.mean - self.half

    @property
    def high(self) -> float:
        """The interval's upper end."""
        return self.mean + self.half

    def told(self, digits: int = 2) -> str:
        """Write mean, interval and p."""
        if self.same:
            return "the same"
        p = f"p={self.p:.3f}" if self.p >= 0.0005 else "p<0.001"
        return f"{self.mean:+.{digits}f} [{self.low:+.{digits}f}, {self.high:+.{digits}f}], {p}"


def difference(ours: Sequence[float], theirs: Sequence[float]) -> Difference:
    """Return the mean of ours minus theirs, seed by seed.

    >>> difference([1.0, 2.0, 3.0], [2.0, 4.0, 4.0]).told()
    '-1.33 [-2.77, +0.10], p=0.057'
    """
    if len(ours) != len(theirs) or len(ours) < 2:
        raise ValueError(f"{len(ours)} and {len(theirs)} values are no pairs of at least two seeds")
    apart = np.subtract(ours, theirs)
    error = float(apart.std(ddof=1)) / len(apart) ** 0.5
    mean = float(apart.mean())
    if error == 0.0:
        return Difference(mean, 0.0, 1.0 if mean == 0.0 else 0.0, len(apart), same=mean == 0.0)
    half = float(stats.t.ppf((1 + LEVEL) / 2, len(apart) - 1)) * error
    return Difference(mean, half, float(stats.ttest_rel(ours, theirs).pvalue), len(apart))


def holm(ps: Sequence[float]) -> list[float]:
    """Return p-values adjusted for how many comparisons there are (Holm's method), in the order given.

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    adjusted, highest = [0.0] * len(ps), 0.0
    for rank, index in enumerate(sorted(range(len(ps)), key=lambda index: ps[index])):
        highest = max(highest, min(1.0, (len(ps) - rank) * ps[index]))
        adjusted[index] = highest
    return adjusted


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Write mean and standard deviation.

    >>> spread([3.0, 4.0, 5.0])
    '4.00 ± 1.00'
    """
    deviation = statistics.stdev(values) if len(values) > 1 else float("nan")
    return f"{statistics.fmean(values):.{digits}f} ± {deviation:.{digits}f}"


def crossed(curve: Sequence[float], target: float) -> int | None:
    """Return the epoch (from 1) after which a curve stays at or below a target; None if it ends above.

    A first touch would reward luck.

    >>> crossed([5.0, 3.0, 4.0, 3.0, 2.0], 3.0), crossed([5.0, 4.0], 3.0)
    (4, None)
    """
    above = [epoch for epoch, value in enumerate(curve, start=1) if value > target]
    last = above[-1] if above else 0
    return None if last == len(curve) else last + 1


def mean_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean of some values, and the ends of its 95% interval (Student's t).

    >>> [round(each, 2) for each in mean_interval([3.0, 4.0, 5.0])]
    [4.0, 1.52, 6.48]
    """
    found = difference(values, [0.0] * len(values))
    return found.mean, found.low, found.high


@dataclass(frozen=True)
class Crossing:
    """When a mean curve reaches a target for good.

    Args:
        epoch: from 1; None if it does not within the budget.
        low: lower end of the 95% bootstrap interval, likewise.
        high: upper end.
    """

    epoch: int | None
    low: int | None
    high: int | None


def crossing(ours: np.ndarray, theirs: np.ndarray, seed: int = 0) -> Crossing:
    """Return when the seed-mean of ours crosses the final seed-mean of theirs, with its 95% bootstrap interval.

    Args:
        ours: curves of the recommended model, one row for each seed.
        theirs: final values, one for each of the same seeds.
        seed: of the resampling.
    """
    generator = np.random.default_rng(seed)
    never = ours.shape[1] + 1
    found = []
    for _ in range(RESAMPLES):
        rows = generator.integers(0, len(ours), len(ours))
        found.append(crossed(ours[rows].mean(0).tolist(), float(theirs[rows].mean())) or never)
    ends = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], method="nearest")
    low, high = (None if end == never else int(end) for end in ends)
    return Crossing(crossed(ours.mean(0).tolist(), float(theirs.mean())), low, high)
