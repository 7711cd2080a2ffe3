"""A track: one value of some parameter groups (the lr, a momentum, a weight decay), written from a timeline."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

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


_AHEAD = 4096  # values that are computed at once
_ROWS = 8 * _AHEAD  # values that `Track.holds` lays out at once, one for each group and step


class Lane(NamedTuple):
    """Groups that have the same base value, and so the same value at every step."""

    base: float
    indices: list[int]
    groups: list[Group]


class Track:
    """Writes one value of some groups at every real step.

    The values of the next steps are computed at once, as for a drawing and with the same bits. A step then takes the
    next ones and assigns them, in a generator: nothing in Python does as little between two steps.

    Args:
        timeline: what to write.
        key: which value: ``"lr"`` or another key of the groups; ``"momentum"`` is ``betas[0]`` where there are betas.
        chosen: which groups.
    """

    __slots__ = ("_ahead", "_first", "_floats", "_indices", "_lanes", "_rows", "chosen", "floor", "key", "timeline")

    def __init__(self, timeline: Timeline, key: str, chosen: Groups) -> None:
        """Remember what to write, and where."""
        self.timeline = timeline
        self.key = key
        self.chosen = chosen
        self.floor = highest_floor(timeline) if key == "lr" else 0.0  # a base lr below it is held, and not raised
        self._floats = False
        self._lanes: list[Lane] = []
        self._first = 0
        self._ahead: list[list[float]] = []  # of each lane, the values from step `_first` on
        self._indices: list[int] = []  # of the chosen groups
        self._rows: list[list[float]] = []  # of each step from `_first` on, the values of these, once asked for

    def has(self, index: int, group: Group) -> bool:
        """Return whether a group is chosen and has the value."""
        there = self.key in group or (self.key == "momentum" and "betas" in group)
        return there and self.chosen.has(index, group)

    def pair(self, groups: list[Group]) -> None:
        """Choose among the groups, and read the base values of those that have none yet."""
        lanes: dict[float, Lane] = {}
        for index, group in enumerate(groups):
            if self.has(index, group):
                base = float(group.setdefault(f"initial_{self.key}", float(self._read(group))))
                lane = lanes.setdefault(base, Lane(base, [], []))
                lane.indices.append(index)
                lane.groups.append(group)
        self._lanes = list(lanes.values())
        self._indices = sorted(index for lane in self._lanes for index in lane.indices)
        self._floats = self.key == "lr" and all(
            type(group["lr"]) is float for lane in self._lanes for group in lane.groups
        )

    def follow(self, step: int) -> Iterator[None]:
        """Write the value that real step ``step`` uses into every group; asked again, that of the step after it."""
        groups = [lane.groups for lane in self._lanes]
        while not groups:
            yield
        alone = groups[0][0] if len(groups) == len(groups[0]) == 1 else None
        while True:
            self._look_ahead(step)
            step += len(self._ahead[0])
            if self._floats and alone is not None:
                for alone["lr"] in self._ahead[0]:
                    yield
            elif self._floats and len(groups) == 1:
                for value in self._ahead[0]:
                    for group in groups[0]:
                        group["lr"] = value
                    yield
            else:
                for values in zip(*self._ahead, strict=True):
                    self._assign(values, groups)
                    yield

    def _assign(self, values: tuple[float, ...], groups: list[list[Group]]) -> None:
        """Write one value for each lane into its groups."""
        for value, members in zip(values, groups, strict=True):
            if self._floats:
                for group in members:
                    group["lr"] = value
            else:
                for group in members:
                    write_value(group, self.key, value)

    def holds(self, step: int, found: list[float]) -> bool:
        """Return whether the chosen among all groups have just the values of real step ``step``, those written last."""
        if len(self._indices) != len(found):
            found = [found[index] for index in self._indices]
        if not self._rows:
            of = {index: ahead for lane, ahead in zip(self._lanes, self._ahead, strict=True) for index in lane.indices}
            self._rows = list(map(list, zip(*(of[index] for index in self._indices), strict=True)))
        return not found or found == self._rows[step - self._first]

    def strays(self, step: int) -> Iterator[tuple[int, float]]:
        """Yield each chosen group that does not hold the value of real step ``step``, the one written last."""
        for lane, values in zip(self._lanes, self._ahead, strict=True):
            expected = values[step - self._first]
            for index, group in zip(lane.indices, lane.groups, strict=True):
                if group[self.key] != expected and is_other(group[self.key], expected):
                    yield index, expected

    def _look_ahead(self, step: int) -> None:
        """Compute the values of the next steps: up to the end of the plan, and past it as many again of the last."""
        total = self.timeline.total
        count = max(32, min(_AHEAD // max(1, len(self._lanes)), _ROWS // max(1, len(self._indices))))
        if total is not None and step < total:
            count = min(count, total - step)
        scales, offsets = self.timeline.levels(np.arange(step, step + count))
        self._first = step
        curves = ((lane, scales * lane.base + offsets) for lane in self._lanes)
        self._ahead = [
            (np.minimum(curve, lane.base) if lane.base < self.floor else curve).tolist() for lane, curve in curves
        ]
        self._rows = []

    def _read(self, group: Group) -> Any:
        """Return the value of a group."""
        return group[self.key] if self.key in group else group["betas"][0]


def is_other(found: Any, expected: float) -> bool:
    """Return whether a value differs by more than its own precision (a tensor's lr has 24 bits)."""
    return not math.isclose(float(found), expected, rel_tol=1e-6, abs_tol=1e-30)


def write_value(group: Group, key: str, value: float) -> None:
    """Write a value into a group: into the first of the betas for a momentum, into the tensor that is there."""
    there = group[key] if key in group else group["betas"][0]
    if isinstance(there, torch.Tensor):
        there.fill_(value)
    elif key in group:
        group[key] = value
    else:
        group["betas"] = (value, *group["betas"][1:])


def give_back(groups: list[Group], scheduled: set[str], own: set[str]) -> None:
    """Give values that another plan has scheduled, and none does now, back what the groups were given.

    Args:
        groups: the groups, with what a checkpoint brought.
        scheduled: the values that have a schedule now.
        own: what the groups held before: an ``initial_...`` among it is somebody else's.
    """
    for group in groups:
        for name in [name for name in group if name.startswith("initial_") and name not in own]:
            key = name.removeprefix("initial_")
            if key not in scheduled and (key in group or (key == "momentum" and "betas" in group)):
                write_value(group, key, group.pop(name))


def separate_tensors(groups: list[Group]) -> None:
    """Give each group tensors of its own: torch hands the same one, its default, to every group without a value."""
    seen: set[int] = set()

    def own(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(own(each) for each in value)
        if not isinstance(value, torch.Tensor) or id(value) not in seen:
            seen.add(id(value))
            return value
        return value.detach().clone()

    for group in groups:
        group.update({key: own(value) for key, value in group.items() if key != "params"})


def highest_floor(timeline: Timeline) -> float:
    """Return the highest absolute level that the timeline travels to; 0 where there is none."""
    blocks = [segment.block if isinstance(segment, Repeat) else (segment,) for segment in timeline.segments]
    levels = [level for block in blocks for phase in block for level in phase.ends()]
    return max((level.offset for level in levels if level.scale == level.fading_scale == 0.0), default=0.0)
