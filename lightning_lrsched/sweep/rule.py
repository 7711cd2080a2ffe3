"""The rule by which a sweep chooses a value, such as each schedule's lr, before it trains the seeds that count."""

from collections.abc import Sequence
from dataclasses import dataclass

from lightning_lrsched.checks import check_choice, refusal

_AXES = ("lrs", "warmups")
_AT = ("last", "best", "cycle_end")
_EXAMPLE = "select: {metric: val_loss, seeds: [100]}"


@dataclass(frozen=True)
class Rule:
    """Which of several lrs, or warmups, is trained with the sweep's seeds: for each schedule the best, by one rule.

    Args:
        metric: key of the metric that decides.
        seeds: each candidate is trained once with each, and the mean counts. None of them may be one of the sweep's:
            what chose a value says too much good of it.
        over: what is chosen: ``lrs`` (for each schedule and warmup of its own), ``warmups``, or a list of both.
        mode: ``min`` if lower is better, ``max`` if higher is.
        at: which value of a run counts: its ``last``, its ``best``, or that at the ``cycle_end``: the last cycle that
            ran to its end; the last value where no cycle did.

    Raises:
        ValueError: if a value is refused, with a valid example.

    >>> Rule("val_loss", [100]).over
    ('lrs',)
    """

    metric: str
    seeds: Sequence[int]
    over: str | Sequence[str] = "lrs"
    mode: str = "min"
    at: str = "last"

    def __post_init__(self) -> None:
        """Refuse what cannot be meant, and take one axis as a list of one."""
        if not isinstance(self.metric, str) or not self.metric:
            raise refusal("metric", self.metric, "the key of a metric", _EXAMPLE)
        check_seeds(self.seeds)
        check_choice("mode", self.mode, ("min", "max"), "mode: min")
        check_choice("at", self.at, _AT, "at: last")
        axes = (self.over,) if isinstance(self.over, str) else self.over
        if not isinstance(axes, Sequence) or not axes or len({*map(str, axes)}) < len(axes):
            raise refusal("over", self.over, "lrs, warmups, or a list of both", "over: lrs")
        for axis in axes:
            check_choice("over", axis, _AXES, "over: lrs")
        object.__setattr__(self, "over", tuple(axes))


def check_seeds(seeds: object) -> None:
    """Refuse what are no distinct seeds."""
    example = "seeds: [0, 1, 2]"
    if isinstance(seeds, str) or not isinstance(seeds, Sequence) or not seeds:
        raise refusal("seeds", seeds, "a list of whole numbers", example)
    for seed in seeds:
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
            raise refusal("seeds", seed, "whole numbers from 0 to 4294967295", example)
