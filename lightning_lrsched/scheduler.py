"""The one torch scheduler that is installed: it counts real steps and writes the lr that the next one uses."""

from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import Any, NamedTuple

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.hooks import RemovableHandle

from lightning_lrsched.checks import refusal
from lightning_lrsched.real_steps import Observer, hook_steps, moves_nothing
from lightning_lrsched.timeline import Timeline
from lightning_lrsched.tracks import Track, give_back, separate_tensors

MARK = "lightning_lrsched"


class Place(NamedTuple):
    """Where in the schedule a real step lies: in a phase from step ``start`` to ``stop`` (exclusive), in a cycle."""

    phase: str
    start: int
    stop: int | None
    cycle: int


class RealStepScheduler(LRScheduler):
    """A scheduler that counts the updates an optimizer really made.

    It counts in the optimizer's post-step hook, where accumulation, an update that a GradScaler skipped and manual
    optimization all look alike, and writes the next lr there. `step` is therefore free to be called by Lightning, by
    a `lr_scheduler_step` override or by nobody. Nothing happens to the optimizer before `arm`.

    Args:
        optimizer: the optimizer to write to.
        description: the plan as primitives, stored in the state to tell a changed plan on resume.
    """

    def __init__(self, optimizer: Optimizer, description: dict[str, Any]) -> None:
        """Remember the optimizer. torch's own constructor would patch ``optimizer.step`` and write an lr."""
        self.optimizer = optimizer
        self.description = description
        self.configured = self.base_lrs
        self._own = {name for group in optimizer.param_groups for name in group}  # before any state was restored
        self.real_steps = 0
        self.restored: dict[str, Any] | None = None
        self.observers: list[Observer] = []
        self.started = False
        self._writes = True
        self._hooks: list[RemovableHandle] = []
        self._groups: list[dict[str, Any]] = []
        self._known = -1
        self._may_skip = False
        self._follower: Iterator[object] = repeat(None)

    @property
    def last_epoch(self) -> int:  # type: ignore[override]
        """Real steps so far, under the name torch has for it."""
        return self.real_steps

    @property
    def base_lrs(self) -> list[float]:  # type: ignore[override]
        """Peak lr of every parameter group, in the order of the groups."""
        return [float(group.get("initial_lr", group["lr"])) for group in self.optimizer.param_groups]

    @property
    def scheduled(self) -> set[str]:
        """What is written besides the lr, from base values of its own."""
        return set()

    @property
    def armed(self) -> bool:
        """Whether the lr of this optimizer is written here."""
        return bool(self._hooks) and self._writes

    def arm(self, real_steps: int) -> None:
        """Start to count at ``real_steps`` and write the lr that the next step uses.

        Raises:
            ValueError: if the optimizer tells nobody of its steps.
        """
        self._remove_hooks()
        self._hooks = hook_steps(self.optimizer, self._before_step, self._after_step)
        give_back(self.optimizer.param_groups, {"lr", *self.scheduled}, self._own)
        self.started = True
        self.real_steps = real_steps
        self._known = -1
        self._may_skip = getattr(self.optimizer, "_step_supports_amp_scaling", False)
        self._follower = iter(self.write, self)  # calls it each time
        self.write()

    def let_go(self) -> None:
        """Leave the lr to somebody else, and go on counting."""
        self._writes = False
        self._follower = repeat(None)

    def disarm(self) -> None:
        """Stop counting and let go of the observers; the lr stays as it is."""
        self._remove_hooks()
        self.observers = []

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy takes over: not the generator that is about to write, for a copy is armed anew."""
        return {**self.__dict__, "_follower": repeat(None)}

    def step(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the lr of the next step is written as soon as the optimizer has stepped."""

    def get_last_lr(self) -> list[float | torch.Tensor]:
        """Return the lr in every parameter group."""
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Return counters, base lrs and the plan as primitives, so that a ``weights_only`` load accepts them."""
        return {
            MARK: 1,
            "started": self.started,
            "real_steps": self.real_steps,
            "base_lrs": self.base_lrs if self.started else [],
            "description": self.description,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the state for `arm`; a state saved before the first step of its run says nothing."""
        if state_dict.get("started", True):
            self.restored = state_dict

    def write(self) -> None:
        """Write the lr that real step number ``real_steps`` uses into every group."""
        raise NotImplementedError

    def place(self, step: int) -> Place:
        """Return where in the schedule a real step lies."""
        raise NotImplementedError

    def holds(self, used: list[float]) -> bool:
        """Return whether it is plain at a glance that no group strays from the plan; False calls for `strays`.

        Args:
            used: the lr that the step just made used in every group.
        """
        return False

    def strays(self) -> Iterator[tuple[int, float]]:
        """Yield each group whose lr is not the one that the next real step should use: its index, and that lr."""
        raise NotImplementedError

    def _remove_hooks(self) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def _before_step(self, optimizer: Optimizer, args: object, kwargs: object) -> None:
        """Write the lr once more if a group was added since: its first step follows the plan already."""
        groups = optimizer.param_groups
        if (groups is not self._groups or len(groups) != self._known) and self._writes:
            self._write_outside()

    def _after_step(self, optimizer: Optimizer, args: object, kwargs: dict[str, Any]) -> None:
        """Count the step that the optimizer just made, unless a scaler told a fused optimizer to skip it."""
        if torch.compiler.is_dynamo_compiling():
            self._after_step_outside(optimizer, args, kwargs)
            return
        if self._may_skip and bool(getattr(optimizer, "found_inf", False)):
            return
        if kwargs and kwargs.get("closure", self) is None and moves_nothing(optimizer):
            return
        if self.observers:
            self._show()
        self.real_steps += 1
        next(self._follower)

    def _show(self) -> None:
        """Call the observers."""
        used = [float(group["lr"]) for group in self.optimizer.param_groups]
        for observer in self.observers:
            observer(self.real_steps, used)

    # Out of the graph of a compiled optimizer.step, which would hold the lr as a constant.
    _after_step_outside = torch.compiler.disable(_after_step)  # type: ignore[no-untyped-call]
    _write_outside = torch.compiler.disable(lambda self: self.write())  # type: ignore[no-untyped-call]

    def _pair(self) -> None:
        """Read the base lrs of groups that have none yet: at the start, and when groups were added or loaded."""
        self._groups = self.optimizer.param_groups
        self._known = len(self._groups)
        separate_tensors(self._groups)
        for group in self._groups:
            group.setdefault("initial_lr", float(group["lr"]))

    @property
    def _stale(self) -> bool:
        """Whether groups were added or loaded since the base lrs were read."""
        groups = self.optimizer.param_groups
        return groups is not self._groups or len(groups) != self._known


class PlannedScheduler(RealStepScheduler):
    """Writes timelines: the lr of the groups, and whatever else is scheduled.

    Args:
        optimizer: the optimizer to write to.
        tracks: what to write; the first one is the main schedule's lr.
        description: the plan as primitives.
    """

    def __init__(self, optimizer: Optimizer, tracks: Sequence[Track], description: dict[str, Any]) -> None:
        """Remember the timelines."""
        super().__init__(optimizer, description)
        self.tracks = tuple(tracks)
        self.began_with = len(optimizer.param_groups)

    @property
    def timeline(self) -> Timeline:
        """The main schedule's timeline."""
        return self.tracks[0].timeline

    @property
    def scheduled(self) -> set[str]:
        """What the tracks write."""
        return {track.key for track in self.tracks}

    def replan(self, tracks: Sequence[Track], description: dict[str, Any]) -> None:
        """Follow other timelines from the next `arm` on."""
        self.tracks = tuple(tracks)
        self.description = description

    def floors_above(self) -> Iterator[tuple[float, int, float]]:
        """Yield each absolute floor above the base lr of a group that it is for, the group's index, and that lr."""
        for track in self.tracks:
            for index, group in enumerate(self.optimizer.param_groups):
                base = float(group.get("initial_lr", group["lr"]))
                if track.floor > base and track.chosen.has(index, group):
                    yield track.floor, index, base

    def arm(self, real_steps: int) -> None:
        """Check the floors against the base lrs that the run began with, then start to count.

        Raises:
            ValueError: if the schedule would rise to a floor. A group that joins later holds its base lr instead.
        """
        groups = self.optimizer.param_groups
        self.began_with = (self.restored or {}).get("began_with", len(groups))
        for floor, index, base in self.floors_above():
            if index < self.began_with:
                allowed = f"at most the base lr {base:g} of parameter group {groups[index].get('name', index)!r}"
                raise refusal("eta_min", floor, allowed, f"eta_min={base / 100:g} or eta_min_ratio=0.01")
        super().arm(real_steps)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the counter, and how many groups the run began with."""
        return super().state_dict() | {"began_with": self.began_with}

    def write(self) -> None:
        """Write what the next real step uses into every group, and have ready what the steps after it use."""
        groups, step = self.optimizer.param_groups, self.real_steps
        if groups is not self._groups or len(groups) != self._known:
            self._pair()
        followers = [track.follow(step) for track in self.tracks]
        self._follower = zip(*followers, strict=True) if len(followers) > 1 else followers[0]
        next(self._follower)

    def place(self, step: int) -> Place:
        """Return the phase and the cycle of a real step."""
        span = self.timeline.phase_at(step)
        return Place(span.name, span.start, span.stop, span.cycle)

    def holds(self, used: list[float]) -> bool:
        """Return whether every group used just the lr that was written; also after `let_go`."""
        for track in self.tracks if self._writes else ():
            if track.key == "lr" and not track.holds(self.real_steps, used):
                return False
        return True

    def strays(self) -> Iterator[tuple[int, float]]:
        """Yield each group whose lr is not the timeline's; none after `let_go`."""
        if self._writes:
            for track in self.tracks:
                if track.key == "lr":
                    yield from track.strays(self.real_steps)

    def _pair(self) -> None:
        """Read base values, and give every track its groups."""
        super()._pair()
        for track in self.tracks:
            track.pair(self._groups)
