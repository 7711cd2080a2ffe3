"""A torch scheduler as the main schedule: it runs on a shadow optimizer, and its values are copied after the warmup."""

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

import numpy as np
import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CyclicLR, LRScheduler, OneCycleLR, ReduceLROnPlateau

from lightning_lrsched.phases import Level, Phase
from lightning_lrsched.scheduler import MARK, Place, RealStepScheduler
from lightning_lrsched.torch_cycles import Pace, advances_of, pace_of, restarts_of
from lightning_lrsched.tracks import is_other, write_value
from lightning_lrsched.warmup import Warmup

_FOLLOWED = ("momentum", "betas")  # what CyclicLR and OneCycleLR write besides the lr
_SEEN = ("best", "num_bad_epochs", "cooldown_counter", "last_epoch", "_last_lr")
"""What a plateau has seen; all else of its state is how it was made."""


class ShadowOptimizer(Optimizer):
    """An optimizer with the groups and values of another one, and no parameters that matter."""

    def __init__(self, optimizer: Optimizer) -> None:
        """Copy the values of every group."""
        groups = [
            {"params": [torch.zeros(1)], **{key: _copied(value) for key, value in group.items() if key != "params"}}
            for group in optimizer.param_groups
        ]
        super().__init__(groups, dict(optimizer.defaults))

    def step(self, closure: object = None) -> None:  # type: ignore[override]
        """Do nothing. It counts as stepped, so torch never warns of a wrong order."""

    step._wrapped_by_lr_sched = True  # type: ignore[attr-defined]
    _opt_called = True


class DrivenScheduler(RealStepScheduler):
    """Puts a warmup in front of a torch scheduler that was made for the same optimizer.

    The scheduler is moved onto a shadow of the optimizer. It stands still during the warmup, which grows to its first
    value, and begins with its own start afterwards.

    Args:
        optimizer: the optimizer to write to.
        driven: a torch scheduler on that optimizer, nested ones too.
        warmup: growth before it, if any.
        warmup_updates: its length in steps; 0 without one.
        interval: ``"step"`` to advance with every real step, ``"epoch"`` to advance whenever `step` is called. A
            plateau advances when `step` is called with a metric.
        frequency: advance at every so many real steps.
        description: the plan as primitives.
        shadow: the shadow that the scheduler was made for; None for one that was made for the optimizer itself.
        monitor: the metric that a plateau is to be fed with by the callback.
        strict: whether it is an error when that metric is not logged.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        driven: LRScheduler,
        *,
        warmup: Warmup | None,
        warmup_updates: int,
        interval: str,
        frequency: int,
        description: dict[str, Any],
        shadow: ShadowOptimizer | None = None,
        monitor: str | None = None,
        strict: bool = True,
    ) -> None:
        """Move the scheduler onto a shadow, and give the optimizer its base lrs back."""
        super().__init__(optimizer, description)
        self.driven = driven
        overlap = warmup is not None and warmup.overlap
        self.warmup_updates = 0 if overlap else warmup_updates
        self.ramp: Phase | None = None
        if warmup is not None:
            self.ramp = warmup.damping(warmup_updates) if overlap else warmup.phases(Level(1.0), warmup_updates)[0]
        self.advances = "validation" if isinstance(driven, ReduceLROnPlateau) else interval
        self.frequency = frequency
        self.monitor = monitor
        self.strict = strict
        self.fed_batch = -1  # batches of the run, from 0, when a plateau was fed
        self.latest: tuple[int, int] | None = None  # real steps and advances when it advanced with an epoch
        self.by_callback = False  # set where the callback advances it: then a call of step does nothing
        self.shadow = shadow or ShadowOptimizer(optimizer)
        self._given = [_followed(group) for group in optimizer.param_groups]  # what each group has got of the shadow
        self._move_to(self.shadow)
        self.restarts = restarts_of(driven)

    @property
    def pace(self) -> Pace | None:
        """When the scheduler advances; None where that cannot be foretold.

        Where it advances with the epochs, those to come are counted from the latest: updates that a scaler skipped
        have made it come earlier than planned.
        """
        per_epoch = self.description.get("steps_per_epoch")
        pace = pace_of(self.advances, self.frequency, self.warmup_updates, per_epoch)
        if pace is None or self.latest is None:
            return pace
        step, advances = self.latest
        return Pace(step - advances * pace.stride, pace.stride)

    def take_over(self, real_steps: int, epochs: int, steps_per_epoch: int | None) -> None:
        """Take the state over that a resume brought, or advance as often as the run before would have done.

        Args:
            real_steps: real steps of the run so far.
            epochs: its finished epochs.
            steps_per_epoch: real steps of an epoch, if that is known.
        """
        restored = self.restored or {}
        state = self._state_in(restored)
        if state is not None:
            self.driven.load_state_dict(state)
            self.fed_batch = restored.get("fed_batch", -1)
            latest = restored.get("latest")
            self.latest = None if latest is None else (latest[0], latest[1])
            self._take_values(restored.get("shadow") or [{"lr": lr} for lr in state.get("_last_lr", [])])
            return
        if restored:  # what the resume brought is the peak, and perhaps the momentum, of another scheduler
            self._given = [_followed(group) for group in self.optimizer.param_groups]
            for group, base in zip(self.optimizer.param_groups, self.configured, strict=False):
                group["initial_lr"] = base
        if self.advances == "step":
            for _ in range(max(0, real_steps - self.warmup_updates) // self.frequency):
                self.drive()
        elif self.advances == "epoch":
            warmup_epochs = self.warmup_updates // steps_per_epoch if steps_per_epoch else 0
            for _ in range(epochs // self.frequency - warmup_epochs // self.frequency):
                self.drive()

    def go_on_from(self, state: dict[str, Any]) -> None:
        """Take over the state of the fit before, if as many advances do not bring it about.

        That is so for a plateau, and for the very scheduler of that fit, which a module may keep. Of the shadow, only
        the lr is taken over: nobody restored the optimizer.
        """
        if "driven" not in state:
            return
        kept = repr(_plain(self.driven.state_dict())) == repr(state["driven"])  # what == says of arrays is no bool
        if kept or self.advances == "validation":
            self.restored = state | {"shadow": [{"lr": each["lr"]} for each in state["shadow"]]}

    def step(self, *args: Any, **kwargs: Any) -> None:
        """Advance the scheduler if Lightning (or the user) is who advances it; a call beside the callback's is none."""
        if not self.by_callback:
            self.advance(*args, **kwargs)

    def advance(self, *args: Any, **kwargs: Any) -> None:
        """Advance the scheduler at the end of an epoch, or with a metric; not before the warmup is over."""
        asked = self.advances == "epoch" or (self.advances == "validation" and (args or kwargs))
        if asked and self.armed and self.real_steps > self.warmup_updates:
            self.drive(*args, **kwargs)
            self.write()
            if self.advances == "epoch" and self.restarts is not None:
                self.latest = (self.real_steps, advances_of(self.driven))

    def drive(self, *args: Any, **kwargs: Any) -> None:
        """Advance the scheduler itself, on the shadow; one that has reached its own end (OneCycleLR) holds."""
        total_steps = getattr(self.driven, "total_steps", None)
        if total_steps is None or self.driven.last_epoch < total_steps - 1:
            self.driven.step(*args, **kwargs)

    def arm(self, real_steps: int) -> None:
        """Take the scheduler onto the shadow again, if it was given back, and start to count."""
        self._move_to(self.shadow)
        super().arm(real_steps)

    def disarm(self) -> None:
        """Stop counting, and give the optimizer back to its scheduler, as they would be without a warmup."""
        super().disarm()
        self._move_to(self.optimizer)
        if self._writes and (self.started or self.restored is not None):
            for group, shadow in zip(self.optimizer.param_groups, self.shadow.param_groups, strict=False):
                write_value(group, "lr", float(shadow["lr"]))

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the counter and of the scheduler."""
        values = [
            {"lr": float(group["lr"])} | {key: _plain(group[key]) for key in _FOLLOWED if key in group}
            for group in self.shadow.param_groups
        ]
        return super().state_dict() | {
            "driven": _plain(self.driven.state_dict()),
            "shadow": values,
            "fed_batch": self.fed_batch,
            "latest": None if self.latest is None else list(self.latest),
        }

    def write(self) -> None:
        """Copy the shadow's values, times the factor of the warmup. A group that was added later keeps its base lr."""
        factor = self._warmup_factor()
        if self._stale:
            self._pair()
        for group, shadow, given in zip_longest(self._groups, self.shadow.param_groups, self._given):
            write_value(group, "lr", factor * float(group["initial_lr"] if shadow is None else shadow["lr"]))
            for key in _FOLLOWED:  # what the scheduler leaves alone may be somebody else's
                if shadow is not None and key in shadow and shadow[key] != given.get(key):
                    shadow[key] = group[key] = given[key] = _plain(shadow[key])

    def strays(self) -> Iterator[tuple[int, float]]:
        """Yield each group whose lr is not the shadow's times the warmup's factor; none after `let_go`."""
        factor = self._warmup_factor()
        for index, (group, shadow) in enumerate(zip(self._groups, self.shadow.param_groups, strict=False)):
            expected = factor * float(shadow["lr"])
            if self._writes and is_other(group["lr"], expected):
                yield index, expected

    def place(self, step: int) -> Place:
        """Return the phase of a real step: the warmup, or the scheduler's name and the cycle that it is in.

        Where it advances once an epoch, cycles to come begin where the epochs are expected to end; see `pace`.
        """
        first, name, pace, restarts = self.warmup_updates, type(self.driven).__name__, self.pace, self.restarts
        if step < first:
            return Place("warmup", 0, first, 0)
        if pace is None or restarts is None:
            return Place(name, first, None, 0)
        cycle = restarts.cycle_at(pace.advances(step))
        start = pace.step(restarts.start(cycle)) if cycle else first
        return Place(name, start, pace.step(restarts.start(cycle + 1)), cycle)

    def _after_step(self, optimizer: Optimizer, args: object, kwargs: dict[str, Any]) -> None:
        before = self.real_steps
        super()._after_step(optimizer, args, kwargs)
        done = self.real_steps - self.warmup_updates
        due = self.real_steps > before and done > 0 and done % self.frequency == 0
        if self.advances == "step" and due and self.armed:
            self.drive()
            self.write()

    def _move_to(self, optimizer: Optimizer) -> None:
        """Have the scheduler, and those inside it, write to an optimizer."""
        for scheduler in nested(self.driven):
            scheduler.optimizer = optimizer

    def _warmup_factor(self) -> float:
        """Return the factor of the warmup at the next real step; 1 after it."""
        if self.ramp is None or self.real_steps >= self.ramp.updates:
            return 1.0
        return self.ramp.level(self.real_steps).scale

    def _state_in(self, restored: dict[str, Any]) -> dict[str, Any] | None:
        """Return what is restored of a scheduler like this one; None if it is of another one, or made otherwise."""
        ours = MARK in restored
        state: dict[str, Any] = restored.get("driven", {}) if ours else restored
        if state.keys() != self.driven.state_dict().keys():
            return None
        if not ours or restored["description"]["plan"]["main"] == self.description["plan"]["main"]:
            return state
        if isinstance(self.driven, ReduceLROnPlateau) and state["mode"] == self.driven.mode:
            return {key: state[key] for key in _SEEN}
        return None

    def _take_values(self, values: list[dict[str, Any]]) -> None:
        """Give the shadow's groups the values that they had."""
        for group, saved, given in zip(self.shadow.param_groups, values, self._given, strict=False):
            write_value(group, "lr", float(saved["lr"]))
            group.update(_followed(saved))
            given.update(_followed(saved))  # the optimizer was restored, too


def _followed(group: dict[str, Any]) -> dict[str, Any]:
    """Return what a group has of the values that a scheduler may write besides the lr."""
    return {key: group[key] for key in _FOLLOWED if key in group}


def _copied(value: object) -> object:
    """Return a value that later changes of the original do not reach."""
    return value.clone() if isinstance(value, torch.Tensor) else value


def rebase(scheduler: Any, optimizer: Optimizer) -> None:
    """Have a scheduler start from the lrs that its optimizer has now, if a finder has changed them since it was made.

    OneCycleLR and CyclicLR, which are given their lrs, keep those.
    """
    for index, (group, last) in enumerate(zip(optimizer.param_groups, scheduler.get_last_lr(), strict=False)):
        found, base = float(group["lr"]), float(group.get("initial_lr", last))
        if found == float(last):
            continue
        if any(isinstance(each, OneCycleLR | CyclicLR) for each in nested(scheduler)):
            found = base
        group["initial_lr"] = found
        write_value(group, "lr", found * float(last) / base if base else found)
        for each in nested(scheduler):
            if index < len(getattr(each, "base_lrs", ())):
                each.base_lrs[index] = found


def _plain(value: Any) -> Any:
    """Return a value with Python's numbers for NumPy's, which a ``weights_only`` load does not accept."""
    if isinstance(value, np.generic):
        return value.item()
    if type(value) in (list, tuple):
        return type(value)(_plain(each) for each in value)
    if type(value) is dict:
        return {key: _plain(each) for key, each in value.items()}
    return value


def nested(scheduler: Any) -> Iterator[Any]:
    """Yield a scheduler and every scheduler inside it (SequentialLR, ChainedScheduler)."""
    yield scheduler
    for inner in getattr(scheduler, "_schedulers", ()):
        yield from nested(inner)
