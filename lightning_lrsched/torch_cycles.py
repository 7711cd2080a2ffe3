"""The cycles of torch's own cyclic schedulers, by integers: how often they have advanced, never which lr they gave."""

from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Any

from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts, CyclicLR, SequentialLR


@dataclass(frozen=True)
class Restarts:
    """Where a torch scheduler restarts, counted in its own advances.

    Cycle i begins at advance ``offset + first * (1 + growth + ... + growth^(i-1))``, rounded up. What comes before the
    first restart belongs to cycle 0.

    Args:
        first: advances of the first cycle, above 0; a fraction where the scheduler was given one.
        growth: factor from cycle to cycle, at least 1.
        offset: advances before the first cycle begins.

    >>> [Restarts(10, growth=2).start(index) for index in range(4)]
    [0, 10, 30, 70]
    >>> Restarts(10, growth=2).cycle_at(29)
    1
    """

    first: int | Fraction
    growth: int = 1
    offset: int = 0

    def start(self, index: int) -> int:
        """Return the advance at which cycle ``index`` begins."""
        whole = index if self.growth == 1 else (self.growth**index - 1) // (self.growth - 1)
        return self.offset + ceil(self.first * whole) if index else 0

    def cycle_at(self, advances: int) -> int:
        """Return the cycle that a scheduler is in after so many advances. Integers only, no logarithm."""
        position = advances - self.offset
        if position < 0:
            return 0
        if self.growth == 1:
            return int(position // self.first)
        index, length = 0, self.first
        while position >= length:
            position, length, index = int(position - length), length * self.growth, index + 1
        return index


@dataclass(frozen=True)
class Pace:
    """When a torch scheduler advances, in real steps, if no update is skipped.

    Args:
        offset: real steps before its first advance is counted; below 0 where updates were skipped since.
        stride: real steps from one advance to the next, at least 1.

    >>> Pace(5, 2).step(3), Pace(5, 2).advances(10), Pace(5, 2).advances(4)
    (11, 2, 0)
    """

    offset: int
    stride: int

    def step(self, advances: int) -> int:
        """Return the first real step after so many advances, at least 1."""
        return self.offset + advances * self.stride

    def advances(self, step: int) -> int:
        """Return how often the scheduler has advanced before a real step."""
        return max(0, step - self.offset) // self.stride


def pace_of(interval: str, frequency: int, warmup: int, steps_per_epoch: int | None) -> Pace | None:
    """Return when a torch scheduler advances; None where that cannot be foretold.

    Args:
        interval: ``"step"`` or ``"epoch"``; nothing else can be foretold.
        frequency: real steps, or epochs, from one advance to the next.
        warmup: real steps of a warmup that it waits for; an epoch that ends inside it, or with it, advances nothing.
        steps_per_epoch: real steps of an epoch; None where that is unknown.
    """
    if interval == "step":
        return Pace(warmup, frequency)
    if interval != "epoch" or steps_per_epoch is None:
        return None
    stride = steps_per_epoch * frequency
    return Pace(warmup // stride * stride, stride)


def restarts_of(scheduler: Any) -> Restarts | None:
    """Return where a torch scheduler restarts; None for one without cycles.

    Known are CosineAnnealingWarmRestarts and CyclicLR, alone, as the last part of a SequentialLR, or inside a
    ChainedScheduler.
    """
    if isinstance(scheduler, CosineAnnealingWarmRestarts):
        return Restarts(int(scheduler.T_0), int(scheduler.T_mult))
    if isinstance(scheduler, CyclicLR):
        size = Fraction(float(scheduler.total_size))
        return Restarts(int(size) if size.denominator == 1 else size)
    inner = list(getattr(scheduler, "_schedulers", ()))
    if isinstance(scheduler, SequentialLR):
        last = restarts_of(inner[-1])
        milestone = int(scheduler._milestones[-1])
        return None if last is None else Restarts(last.first, last.growth, last.offset + milestone)
    return next((found for found in map(restarts_of, inner) if found is not None), None)


def advances_of(scheduler: Any) -> int:
    """Return how often a torch scheduler has advanced; a ChainedScheduler keeps no count, but those inside it do."""
    while not hasattr(scheduler, "last_epoch"):
        scheduler = scheduler._schedulers[0]
    return int(scheduler.last_epoch)
