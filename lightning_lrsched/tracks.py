"""A track: one value of some parameter groups (the lr, a momentum, a weight decay), written from a timeline."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import torch

from lightning_lrsched.phases import Repeat
from lightning_lrsched.shapes import HOLD, Shape
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


_Now: TypeAlias = tuple[int, int, Shape, float, float, float, float, float, float, list[tuple[Group, float]] | None]
"""A phase taken apart: its steps, its shape with shift and span, the scales and offsets of its two levels, and the
groups, if nothing but floats is to be written into their ``"lr"``."""

_NOWHERE: _Now = (0, 0, HOLD, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, None)


class Track:
    """Writes one value of some groups at every real step.

    The lr of a step inside one phase costs one call of its shape and one loop over the groups. Where the phase ends,
    where a warmup overlaps, or where the lr changes once an epoch, the timeline is asked.

    Args:
        timeline: what to write.
        key: which value: ``"lr"`` or another key of the groups; ``"momentum"`` is ``betas[0]`` where there are betas.
        chosen: which groups.
    """

    __slots__ = ("_floats", "_now", "_pairs", "chosen", "key", "timeline")

    def __init__(self, timeline: Timeline, key: str, chosen: Groups) -> None:
        """Remember what to write, and where."""
        self.timeline = timeline
        self.key = key
        self.chosen = chosen
        self._pairs: list[tuple[Group, float]] = []
        self._floats = False
        self._now: _Now = _NOWHERE

    @property
    def pairs(self) -> list[tuple[Group, float]]:
        """The groups with the value that the timeline multiplies: the base lr for the lr."""
        return self._pairs

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
        self._now = _NOWHERE

    def write(self, step: int) -> None:
        """Write the value that real step ``step`` uses into every group."""
        begin, stop, shape, shift, span, scale0, scale1, offset0, offset1, pairs = self._now
        if not begin <= step < stop:
            self._now = self._seek(step)
            level = self.timeline.level_at(step)
            self._put(level.scale, level.offset)
            return
        weight = shape((step - begin + shift) / span)
        rest = 1.0 - weight
        scale = scale0 * rest + scale1 * weight
        offset = offset0 * rest + offset1 * weight
        if pairs is None:
            self._put(scale, offset)
        elif offset:
            for group, base in pairs:
                group["lr"] = scale * base + offset
        else:
            for group, base in pairs:
                group["lr"] = scale * base

    def _seek(self, step: int) -> "_Now":
        """Take the phase of a step apart, if the steps after it can be computed from it alone."""
        timeline = self.timeline
        here = timeline.phase_at(step)
        damped = timeline.damping is not None and step < timeline.damping.updates * timeline.stride
        if timeline.stride != 1 or damped or here.stop is None:
            return _NOWHERE
        (scale0, offset0, *_), (scale1, offset1, *_) = here.phase.ends()
        phase, pairs = here.phase, self._pairs if self._floats else None
        return here.start, here.stop, phase.shape, phase.shift, phase.length, scale0, scale1, offset0, offset1, pairs

    def _put(self, scale: float, offset: float) -> None:
        """Write a value into every group; a tensor keeps its identity."""
        for group, base in self._pairs:
            write_value(group, self.key, scale * base + offset)

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
