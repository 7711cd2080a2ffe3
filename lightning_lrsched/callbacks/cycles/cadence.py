"""What a fit's length and its validations mean for its cycles, told before the first step: pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from lightning_lrsched.callbacks.stepping import RunFacts
from lightning_lrsched.units import RunLength

_MOST = 1000  # cycles that are looked at
_SHOWN = 4
_NEARLY = 20  # a cycle that lacks no more than one step in so many: a cosine is within 1% of its floor there


@dataclass(frozen=True)
class Cadence:
    """How often a fit validates.

    Args:
        every_batches: batches between two validations; None where they go by time, or by the end of an epoch of
            unknown length.
        every_epochs: epochs between two that are validated; None where batches are counted across epochs.
    """

    every_batches: int | None
    every_epochs: int | None

    def measures(self, step: int, batches: int, accumulate: int) -> bool:
        """Return whether some validation sees the weights after so many real steps.

        Args:
            step: real steps, above 0.
            batches: training batches of an epoch.
            accumulate: batches of a real step.
        """
        if self.every_batches is None:
            return True
        per_epoch = -(-batches // accumulate)
        epoch, within = divmod(step - 1, per_epoch)
        first = epoch * batches + min((within + 1) * accumulate, batches)
        epoch, within = divmod(step, per_epoch)
        next_step = epoch * batches + min((within + 1) * accumulate, batches)
        return any(self._is_validated(batch, batches) for batch in range(first, next_step))

    def _is_validated(self, batch: int, batches: int) -> bool:
        """Return whether a validation follows a batch of the run, counted from 1."""
        every = self.every_batches or 1
        if self.every_epochs is None:
            return batch % every == 0
        epoch, before = divmod(batch - 1, batches)
        return (epoch + 1) % self.every_epochs == 0 and (before + 1) % every == 0


def unmeasured(ends: Iterable[int], facts: RunFacts, cadence: Cadence, total: int | None) -> list[int]:
    """Return the cycle ends within the run (as real steps) whose weights no validation measures.

    Nothing is returned where that cannot be known: manual optimization, loaders without length, an accumulation that
    changes.
    """
    if facts.manual or facts.batches is None or len(set(facts.accumulation.values())) > 1:
        return []
    accumulate = facts.accumulation[0]
    return [step for step in _within(ends, total) if not cadence.measures(step, facts.batches, accumulate)]


def told_unmeasured(missed: Sequence[int], monitor: str) -> str:
    """Say that cycle ends are not measured, and what to do."""
    steps = ", ".join(map(str, missed[:_SHOWN])) + (", ..." if len(missed) > _SHOWN else "")
    ends, after, they = ("cycle ends", "steps", "they have") if len(missed) > 1 else ("cycle end", "step", "it has")
    return (
        f"CycleCheckpoint: no validation measures the weights at {len(missed)} {ends} (after {after} {steps}), so "
        f"{they} no {monitor} of {'their' if len(missed) > 1 else 'its'} own. "
        f"CycleCheckpoint({monitor!r}, validate_at_end=True) validates there"
    )


def told_cut(ends: Iterable[int], run: RunLength, shares: Sequence[str] = ()) -> str | None:
    """Say that the run cuts its last cycle short, with the budgets that fit; None if it does not.

    In a run of another length the cycles end elsewhere if something before their ends is a share of the run.

    >>> print(told_cut([10, 30, 70, 150, 310], RunLength(total_steps=100, steps_per_epoch=1)).partition(". ")[2])
    Budgets that end with a cycle: max_epochs = 10, 30, 70, 150
    """
    total, per_epoch = run.total_steps, run.steps_per_epoch
    if total is None:
        return None
    fits: list[int] = []
    for end in islice(ends, _MOST):
        fits.append(end)
        if end == total:
            return None
        if end > total:
            break
    else:
        return None
    told = f"CycleCheckpoint: the run of {total} steps cuts cycle {len(fits) - 1} short. "
    if shares:
        return (
            f"{told}Where its cycles end depends on how long the run is, because {shares[0]!r} is a share of it. With "
            "steps or epochs instead, this message lists the budgets that end with a cycle"
        )
    short = fits if len(fits) <= _SHOWN + 1 else [*fits[:2], *fits[-3:]]
    by_epoch = per_epoch is not None and all(end % per_epoch == 0 for end in short)
    unit, divisor = ("max_epochs", per_epoch or 1) if by_epoch else ("max_steps", 1)
    shown = [str(end // divisor) for end in short]
    if short is not fits:
        shown.insert(2, "...")
    return f"{told}Budgets that end with a cycle: {unit} = {', '.join(shown)}"


def lacks_only_skipped(ends: Iterable[int], steps: int, skipped: int) -> bool:
    """Return whether the running cycle nearly ended, and would have but for updates that were skipped.

    The Trainer's budget counts what a GradScaler skips. A run that was to end with a cycle comes so many steps short.

    Args:
        ends: where each cycle ends, in real steps.
        steps: real steps made, inside the running cycle.
        skipped: updates that were none.
    """
    start = 0
    for end in ends:
        if end > steps:
            return end - steps <= min(skipped, (end - start) // _NEARLY)
        start = end
    return False


def told_pushed(step: int, facts: RunFacts, cadence: Cadence, skipped: int, monitor: str) -> str | None:
    """Say that skipped updates pushed a cycle's end off its validation; None if it had none, or nobody knows."""
    unknown = facts.batches is None or facts.manual or cadence.every_batches is None
    if unknown or unmeasured([step], facts, cadence, None):
        return None
    return (
        f"CycleCheckpoint: {skipped} updates were skipped, so this cycle ended as much later, after real step {step} "
        f"where no validation follows: its end has no {monitor} of its own. CycleCheckpoint({monitor!r}, "
        "validate_at_end=True) validates there"
    )


def _within(ends: Iterable[int], total: int | None) -> list[int]:
    """Return the ends that a run reaches."""
    within = []
    for end in islice(ends, _MOST):
        if total is not None and end > total:
            break
        within.append(end)
    return within
