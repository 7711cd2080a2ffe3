"""A track: one value of some parameter groups (the lr, a momentum, a weight decay), written from a timeline."""

from dataclasses import dataclass
from typing import Any, TypeAlias

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


class Track:
    """Writes one value of some groups at every real step.

    The lr of a step inside one phase costs one call of its shape and one loop over the groups. Where the phase ends,
    where a warmup overlaps, or where the lr changes once an epoch, the timeline is asked.

    Args:
        timeline: what to write.
        key: which value: ``"lr"`` or another key of the groups; ``"momentum"`` is ``betas[0]`` where there are betas.
        chosen: which groups.
    """

    __slots__ = (
        "_begin", "_end", "_floats", "_offsets", "_pairs", "_scales", "_shape", "_shift", "_span", "_stop", "chosen",
        "key", "timeline",
    )  # fmt: skip

    def __init__(self, timeline: Timeline, key: str, chosen: Groups) -> None:
        """Remember what to write, and where."""
        self.timeline = timeline
        self.key = key
        self.chosen = chosen
        self._pairs: list[tuple[Group, float]] = []
        self._floats = False
        self._begin, self._stop = 0, 0

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
        self._floats = all(type(group.get(self.key)) is float for group in chosen)

    def write(self, step: int) -> None:
        """Write the value that real step ``step`` uses into every group."""
        if not self._begin <= step < self._stop:
            level = self.timeline.level_at(step)
            self._seek(step)
            self._put(level.scale, level.offset)
            return
        weight = self._shape((step - self._begin + self._shift) / self._span)
        rest = 1.0 - weight
        scale = self._scales[0] * rest + self._scales[1] * weight
        offset = self._offsets[0] * rest + self._offsets[1] * weight
        if self._floats:
            key = self.key
            for group, base in self._pairs:
                group[key] = scale * base + offset
        else:
            self._put(scale, offset)

    def _seek(self, step: int) -> None:
        """Take the phase of a step apart, if the steps after it can be computed from it alone."""
        timeline = self.timeline
        here = timeline.phase_at(step)
        damped = timeline.damping is not None and step < timeline.damping.updates * timeline.stride
        self._begin, self._stop = here.start, 0
        if timeline.stride == 1 and not damped and here.stop is not None:
            start, end = here.phase.ends()
            self._scales, self._offsets = (start.scale, end.scale), (start.offset, end.offset)
            self._shape, self._shift, self._span = here.phase.shape, here.phase.shift, here.phase.length
            self._stop = here.stop

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
