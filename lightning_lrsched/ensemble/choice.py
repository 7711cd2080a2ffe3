"""Which members are put to use: all, the last ones, or those that are not much worse than the last."""

import math
import warnings
from collections.abc import Sequence
from typing import Any

from lightning_lrsched.checks import check_choice, refusal
from lightning_lrsched.ensemble.members import EnsembleError, Member, find_members

_FACTOR = 1.5


def much_worse(score: float, than: float, mode: str = "min", factor: float = _FACTOR) -> bool:
    """Return whether a member's score is so much worse than the last one's that it is likely to harm an ensemble.

    Losses are compared by their ratio, shares such as an accuracy (mode ``"max"``, both in [0, 1]) by the ratio of what
    is missing to 1, and all else by their distance.

    >>> much_worse(1.694, 1.0), much_worse(0.95, 0.97, "max"), much_worse(0.9, 0.97, "max")
    (True, True, True)
    >>> much_worse(0.96, 0.97, "max")
    False
    """
    if math.isnan(score) or math.isnan(than):
        return True
    if mode == "max" and 0 <= score <= 1 and 0 <= than <= 1:
        return 1 - score > factor * (1 - than)
    if mode == "min" and score >= 0 and than > 0:
        return score > factor * than
    worse = score - than if mode == "min" else than - score
    return worse > (factor - 1) * abs(than)


def last_measured(members: Sequence[Member]) -> Member | None:
    """Return what other members are compared with: the last one whose score is a number; None if there is none."""
    measured = (one for one in reversed(members) if one.score is not None and not math.isnan(one.score))
    return next(measured, None)


def worse_members(members: Sequence[Member], factor: float = _FACTOR) -> list[Member]:
    """Return the members that are much worse than the last one, where both were measured; a diverged one always is."""
    last = last_measured(members)
    than = math.nan if last is None or last.score is None else last.score
    return [
        one
        for one in members
        if one.score is not None and one is not last and much_worse(one.score, than, one.mode, factor)
    ]


def choose_members(source: Any, tracking_uri: str | None, *, last: int | None, worse: str, caller: str) -> list[Member]:
    """Return the members to put to use, and tell those that are much worse than the last one.

    Args:
        source: see `find_members`.
        tracking_uri: where the MLflow run is.
        last: take the last so many; None for all.
        worse: ``"warn"``, ``"refuse"`` to leave them out, or ``"allow"``.
        caller: who asks, for the messages.

    Raises:
        EnsembleError: if there are none.
        ValueError: if ``last`` or ``worse`` is something else.
    """
    check_choice(f"{caller}.worse", worse, ("warn", "refuse", "allow"), "worse='refuse'")
    if last is not None and (isinstance(last, bool) or not isinstance(last, int) or last < 1):
        raise refusal(f"{caller}.last", last, "a number of members of at least 1, or None for all", "last=3")
    members = find_members(source, tracking_uri)
    members = members if last is None else members[-last:]
    bad = [] if worse == "allow" else worse_members(members)
    if not bad:
        return members
    than = last_measured(members)
    told = ", ".join(f"cycle {one.cycle} ({one.score:.4g})" for one in bad)
    warnings.warn(
        f"{caller}: much worse than the last member{'' if than is None else f' ({than.score:.4g})'} are {told}. "
        + ("Left out" if worse == "refuse" else "Leave them out with worse='refuse' or last=..."),
        stacklevel=3,
    )
    kept = [one for one in members if worse != "refuse" or one not in bad]
    if not kept:
        raise EnsembleError(f"{caller}: no member is left, the scores of all are NaN. Pass worse='allow' to take them")
    return kept
