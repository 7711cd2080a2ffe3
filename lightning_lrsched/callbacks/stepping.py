"""Pure decisions: how long a run is, and where in it a fit begins."""

from dataclasses import dataclass, field

from lightning_lrsched.units import RunLength


@dataclass(frozen=True)
class RunFacts:
    """What a Trainer says of its run.

    Args:
        batches: training batches of an epoch, or None where the loader has no length.
        accumulation: batches per optimizer step, by the epoch from which it applies; it starts at epoch 0.
        max_epochs: epochs of the run, or None without a limit.
        max_steps: optimizer steps of the run, or None without a limit.
        manual: whether the module steps its optimizers itself.
        optimizers: how many optimizers there are.
        ends_early: whether the loader ends before the batches that the Trainer counts on. Then it makes no step of a
            last accumulation window that is not full.
    """

    batches: int | None
    max_epochs: int | None
    max_steps: int | None
    accumulation: dict[int, int] = field(default_factory=lambda: {0: 1})
    manual: bool = False
    optimizers: int = 1
    ends_early: bool = False

    @property
    def accumulation_changes(self) -> bool:
        """Whether some epochs have more optimizer steps than others."""
        return len(set(self.accumulation.values())) > 1


def measure(facts: RunFacts, total_steps: int | None = None, steps_per_epoch: int | None = None) -> RunLength:
    """Return what is known of the length of a run, in optimizer steps.

    What the user gives wins. What cannot be known is None, so that a plan that needs it says what to pass: an epoch's
    steps under manual optimization, for a loader without length, or when the accumulation changes between epochs. Then
    the steps of an epoch that the user gives are a unit of durations, and say nothing of the total.

    Args:
        facts: what the Trainer says.
        total_steps: optimizer steps of the run, as the user knows it.
        steps_per_epoch: optimizer steps of an epoch, as the user knows it.
    """
    epochs = None if facts.manual or facts.batches is None else _steps_of_epochs(facts, facts.batches)
    per_epoch = steps_per_epoch
    if per_epoch is None and epochs is not None and not facts.accumulation_changes:
        per_epoch = epochs[0]
    total = total_steps
    if total is None:
        by_epochs = None
        if facts.max_epochs is not None:
            if steps_per_epoch is not None and (facts.manual or not facts.accumulation_changes):
                by_epochs = steps_per_epoch * facts.max_epochs
            elif epochs is not None:
                by_epochs = sum(epochs) + epochs[-1] * (facts.max_epochs - len(epochs))
        by_steps = None if facts.manual and facts.optimizers > 1 else facts.max_steps
        known = [steps for steps in (by_epochs, by_steps) if steps is not None]
        total = min(known, default=None)
    return RunLength(total, per_epoch)


def _steps_of_epochs(facts: RunFacts, batches: int) -> list[int]:
    """Return the optimizer steps of each epoch up to the one from which the accumulation stays the same."""
    last = max(facts.accumulation)
    if facts.max_epochs is not None:
        last = min(last, max(facts.max_epochs - 1, 0))
    steps, factor = [], 1
    for epoch in range(last + 1):
        factor = facts.accumulation.get(epoch, factor)
        steps.append(batches // factor if facts.ends_early else -(-batches // factor))
    return steps
