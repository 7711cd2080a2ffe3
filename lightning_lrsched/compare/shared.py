"""Curves that follow another one: ``every_n_steps="shared"`` has kept a part of them, which is drawn whole here."""

from collections.abc import Mapping

import numpy as np

from lightning_lrsched.compare.curves import History
from lightning_lrsched.tracking.sharing import LEADERS, PLACE, corners


def leaders_in(tags: Mapping[str, str]) -> list[str]:
    """Return the keys of the lrs that others follow; none for a run of which every curve stands for itself."""
    return tags[LEADERS].split(", ") if LEADERS in tags else []


def whole(histories: Mapping[str, History], leaders: list[str]) -> dict[str, History]:
    """Return the lrs of a run that follow one of its leaders, with the points between which they are straight.

    Args:
        histories: what the store has, by key, with ``schedule/phase``.
        leaders: see `leaders_in`.
    """
    drawn: dict[str, History] = {}
    places = _points(histories.get(PLACE, History.of([])))
    for leader in leaders:
        if leader not in histories:
            continue
        lead, kind = histories[leader], leader.rpartition("/")[0] + "/"
        for key in (key for key in histories if key.startswith(kind) and key != leader):
            steps, values = corners(_points(histories[key]), _points(lead), places)
            times = np.interp(steps, lead.steps, lead.times).round().astype(np.int64)
            there = steps >= histories[key].steps[0]  # a group can join later
            drawn[key] = History(steps[there], times[there], values[there])
    return drawn


def _points(history: History) -> list[tuple[int, float]]:
    """Return steps and values."""
    return list(zip(history.steps.tolist(), history.values.tolist(), strict=True))
