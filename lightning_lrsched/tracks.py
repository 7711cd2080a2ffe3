"""A track: one value of some parameter groups (the lr, a momentum, a weight decay), written from a timeline."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch

from lightning_lrsched.phases import Repeat
from lightning_lrsched.timeline import Timeline

Group: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Groups:
    """A choice of parameter groups, by name or index.

    Args:
        named: names and indices.
        others: choose the groups that are not named instead.
    """

    named: frozenset[str | int] = frozenset()
    others: bool = True

    def has(self, index: int, group: Group) -> bool:
        """Return whether a group is chosen."""
        return (index in self.named or group.get("name") in self.named) != self.others


_AHEAD = 512  # steps whose values are computed at once


class Track:
    """Writes one value of some groups at every real step.

    The values of the next few hundred steps are computed at once, as for a drawing and with the same bits. A step then
    costs one look into a list and one loop over the groups.

    Args:
        timeline: what to write.
        key: which value: ``"lr"`` or another key of the groups; ``"momentum"`` is ``betas[0]`` where there are betas.
        chosen: which groups.
    """

    __slots__ = ("_first", "_floats", "_offsets", "_pairs", "_scales", "chosen", "key", "timeline")

    def __init__(self, timeline: Timeline, key: str, chosen: Groups) -> None:
        """Remember what to write, and where."""
        self.timeline = timeline
        self.key = key
        self.chosen = chosen
        self._pairs: list[tuple[Group, float]] = []
        self._floats = False
        self._first = 0
        self._scales: list[float] = []
        self._offsets: list[float] = []

    def has(self, index: int, group: Group) -> bool:
        """Return whether a group is chosen and has the value."""
        there = self.key in group or (self.key == "momentum" and "betas" in group)
        return there and self.chosen.has(index, group)

    def pair(self, groups: list[Group]) -> None:
        """Choose among the groups, and read the base values of those that have none yet."""
        chosen = [group for index, group in enumerate(groups) if self.has(index, group)]
        initial = f"initial_{self.key}"
        for group in chosen:
            group.setdefault(initial, float(self._read(group)))
        self._pairs = [(group, float(group[initial])) for group in chosen]
        self._floats = self.key == "lr" and all(type(group["lr"]) is float for group in chosen)

    def write(self, step: int) -> None:
        """Write the value that real step ``step`` uses into every group."""
        ahead = step - self._first
        if not 0 <= ahead < len(self._scales):
            self._look_ahead(step)
            ahead = 0
        scale, offset = self._scales[ahead], self._offsets[ahead]
        if not self._floats:
            for group, base in self._pairs:
                write_value(group, self.key, scale * base + offset)
        elif offset:
            for group, base in self._pairs:
                group["lr"] = scale * base + offset
        else:
            for group, base in self._pairs:
                group["lr"] = scale * base

    def _look_ahead(self, step: int) -> None:
        """Compute the values of the next steps, up to the end of the plan and not past it."""
        total = self.timeline.total
        count = _AHEAD if total is None else max(1, min(_AHEAD, total - step))
        scales, offsets = self.timeline.levels(np.arange(step, step + count))
        self._first, self._scales, self._offsets = step, scales.tolist(), offsets.tolist()

    def _read(self, group: Group) -> Any:
        """Return the value of a group."""
        return group[self.key] if self.key in group else group["betas"][0]


def write_value(group: Group, key: str, value: float) -> None:
    """Write a value into a group: into the first of the betas for a momentum, into the tensor that is there."""
    if key not in group:
        group["betas"] = (value, *group["betas"][1:])
    elif isinstance(group[key], torch.Tensor):
        group[key].fill_(value)
    else:
        group[key] = value


def highest_floor(timeline: Timeline) -> float:
    """Return the highest absolute level that the timeline travels to; 0 where there is none."""
    blocks = [segment.block if isinstance(segment, Repeat) else (segment,) for segment in timeline.segments]
    levels = [level for block in blocks for phase in block for level in phase.ends()]
    return max((level.offset for level in levels if level.scale == level.fading_scale == 0.0), default=0.0)
