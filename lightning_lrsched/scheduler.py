"""The one torch scheduler that is installed: it counts real steps and writes the lr that the next one uses."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.hooks import RemovableHandle

from lightning_lrsched.checks import refusal
from lightning_lrsched.phases import Level, Phase, Repeat
from lightning_lrsched.timeline import Timeline
from lightning_lrsched.warmup import Warmup

Observer: TypeAlias = Callable[[int, list[float]], None]
"""Called after each real step with its index (from 0) and the lr that it used in every parameter group."""

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
        self.configured = [float(group.get("initial_lr", group["lr"])) for group in optimizer.param_groups]
        self.real_steps = 0
        self.restored: dict[str, Any] | None = None
        self.observers: list[Observer] = []
        self._started = False
        self._writes = True
        self._hooks: list[RemovableHandle] = []
        self._groups: list[dict[str, Any]] = []
        self._pairs: list[tuple[dict[str, Any], float]] = []

    @property
    def last_epoch(self) -> int:  # type: ignore[override]
        """Real steps so far, under the name torch has for it."""
        return self.real_steps

    @property
    def base_lrs(self) -> list[float]:  # type: ignore[override]
        """Peak lr of every parameter group, in the order of the groups."""
        return [base for _, base in self._paired()]

    @property
    def armed(self) -> bool:
        """Whether the lr of this optimizer is written here."""
        return bool(self._hooks) and self._writes

    def arm(self, real_steps: int) -> None:
        """Start to count at ``real_steps`` and write the lr that the next step uses."""
        self._remove_hooks()
        self._started = True
        self.real_steps = real_steps
        self._groups = []
        self.write()
        self._hooks = [
            self.optimizer.register_step_pre_hook(self._before_step),
            self.optimizer.register_step_post_hook(self._after_step),
        ]

    def let_go(self) -> None:
        """Leave the lr to somebody else, and go on counting."""
        self._writes = False

    def disarm(self) -> None:
        """Stop counting and let go of the observers; the lr stays as it is."""
        self._remove_hooks()
        self.observers = []

    def step(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the lr of the next step is written as soon as the optimizer has stepped."""

    def get_last_lr(self) -> list[float | torch.Tensor]:
        """Return the lr in every parameter group."""
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Return counters, base lrs and the plan as primitives, so that a ``weights_only`` load accepts them."""
        return {
            MARK: 1,
            "started": self._started,
            "real_steps": self.real_steps,
            "base_lrs": self.base_lrs if self._started else [],
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

    def _remove_hooks(self) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def _before_step(self, optimizer: Optimizer, args: object, kwargs: object) -> None:
        """Write the lr once more if a group was added since: its first step follows the plan already."""
        if self._stale and self._writes:
            self.write()

    def _after_step(self, optimizer: Optimizer, args: object, kwargs: object) -> None:
        """Count the step that the optimizer just made, unless a scaler told a fused optimizer to skip it."""
        found_inf = getattr(optimizer, "found_inf", None)
        if found_inf is not None and bool(found_inf):
            return
        if self.observers:
            used = [float(group["lr"]) for group in optimizer.param_groups]
            for observer in self.observers:
                observer(self.real_steps, used)
        self.real_steps += 1
        if self._writes:
            self.write()

    def _paired(self) -> list[tuple[dict[str, Any], float]]:
        """Return every group with its base lr, read anew when groups were added or loaded."""
        if self._stale:
            groups = self._groups = self.optimizer.param_groups
            for group in groups:
                group.setdefault("initial_lr", float(group["lr"]))
            self._pairs = [(group, float(group["initial_lr"])) for group in groups]
        return self._pairs

    @property
    def _stale(self) -> bool:
        """Whether groups were added or loaded since the base lrs were read."""
        groups = self.optimizer.param_groups
        return groups is not self._groups or len(groups) != len(self._pairs)


class PlannedScheduler(RealStepScheduler):
    """Writes the lr of a timeline.

    Args:
        optimizer: the optimizer to write to.
        timeline: what to write.
        description: the plan as primitives.
    """

    def __init__(self, optimizer: Optimizer, timeline: Timeline, description: dict[str, Any]) -> None:
        """Remember the timeline."""
        super().__init__(optimizer, description)
        self.timeline = timeline
        self._span = timeline.phase_at(0)

    def replan(self, timeline: Timeline, description: dict[str, Any]) -> None:
        """Follow another timeline from the next `arm` on."""
        self.timeline = timeline
        self.description = description
        self._span = timeline.phase_at(0)

    def check_floors(self) -> None:
        """Refuse an absolute floor above the base lr of a group: the schedule would rise to it.

        Raises:
            ValueError: naming the floor, the base lr and the group.
        """
        floors = [level.offset for level in _levels(self.timeline) if level.scale == level.fading_scale == 0.0]
        for index, group in enumerate(self.optimizer.param_groups):
            base = float(group.get("initial_lr", group["lr"]))
            if max(floors, default=0.0) > base:
                allowed = f"at most the base lr {base:g} of parameter group {group.get('name', index)!r}"
                raise refusal("eta_min", max(floors), allowed, f"eta_min={base / 100:g} or eta_min_ratio=0.01")

    def arm(self, real_steps: int) -> None:
        """Check the floors against the base lrs, then start to count."""
        self.check_floors()
        super().arm(real_steps)

    def write(self) -> None:
        """Write the lr of the next real step into every group."""
        step, span, stride = self.real_steps, self._span, self.timeline.stride
        if step < span.start or (span.stop is not None and step >= span.stop):
            span = self._span = self.timeline.phase_at(step)
        level = self.timeline.damped(span.phase.level((step - span.start) // stride), step)
        for group, base in self._paired():
            write_lr(group, level.scale * base + level.offset)

    def place(self, step: int) -> Place:
        """Return the phase and the cycle of a real step."""
        span = self.timeline.phase_at(step)
        return Place(span.name, span.start, span.stop, span.cycle)


def write_lr(group: dict[str, Any], lr: float) -> None:
    """Write an lr into a group; a tensor (capturable and compiled optimizers) keeps its identity."""
    if isinstance(group["lr"], torch.Tensor):
        group["lr"].fill_(lr)
    else:
        group["lr"] = lr


def warmup_factor(warmup: Warmup, updates: int, step: int) -> float:
    """Return the factor of a warmup of ``updates`` steps at real step ``step``; 1 after it."""
    return warmup.phases(Level(1.0), updates)[0].level(step).scale if step < updates else 1.0


def _levels(timeline: Timeline) -> list[Level]:
    """Return every level that the timeline travels between."""
    phases: list[Phase] = []
    for segment in timeline.segments:
        phases += segment.block if isinstance(segment, Repeat) else (segment,)
    return [level for phase in phases for level in (phase.start, phase.end) if level is not None]
