"""Main schedules that a torch scheduler drives: any `LRScheduler`, and the reduction on a plateau."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import partial
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CyclicLR, LRScheduler, OneCycleLR, ReduceLROnPlateau

from lightning_lrsched.checks import check_choice, refusal, store_number
from lightning_lrsched.driven import ShadowOptimizer, nested
from lightning_lrsched.room import Main, short_repr
from lightning_lrsched.units import RunLength

_INTERVALS = ("auto", "step", "epoch")
_BY_STEP = (OneCycleLR, CyclicLR)
_HORIZONS = ("T_max", "total_steps", "total_iters", "step_size", "T_0")
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_SLACK = 1.5  # a horizon may be this much longer than the run before it is taken for another unit


class Driven(Main, ABC):
    """A main schedule that a torch scheduler drives, on a shadow of the optimizer."""

    monitor: str | None = None
    """The validation metric that it is fed with; None where it needs none."""

    __repr__ = short_repr

    @abstractmethod
    def make(self, optimizer: Optimizer) -> LRScheduler:
        """Return the torch scheduler for a (shadow) optimizer."""

    @abstractmethod
    def pick_interval(self, scheduler: LRScheduler, run: RunLength) -> str:
        """Return ``"step"``, ``"epoch"`` or ``"validation"``: when the scheduler advances.

        Raises:
            ValueError: if its own horizon says that it was meant for another unit.
        """


@dataclass(frozen=True, repr=False)
class TorchScheduler(Driven):
    """Any torch or third-party scheduler as the main schedule, with a warmup in front.

    Args:
        factory: makes the scheduler for the optimizer it is given: ``lambda optimizer: StepLR(optimizer, 30)``, or a
            ``functools.partial``, which can be pickled.
        interval: ``"step"`` to advance with every real step, ``"epoch"`` to advance once an epoch, ``"auto"`` for
            what its class is made for: OneCycleLR, CyclicLR and transformers' schedules with every step, all others
            once an epoch. ``"auto"`` is refused before training when the scheduler's own horizon (``T_max``,
            ``total_steps``, milestones, ...) fits the other unit and not this one.

    Raises:
        ValueError: if a value is refused, with a valid example.

    Source: ``torch.optim.lr_scheduler``.
    """

    factory: Callable[[Optimizer], LRScheduler]
    interval: str = "auto"

    def __repr__(self) -> str:
        """Return the call, the factory by its name: the same in every process, for a resume compares it."""
        interval = "" if self.interval == "auto" else f", interval={self.interval!r}"
        return f"TorchScheduler({_call(self.factory)}{interval})"

    def __post_init__(self) -> None:
        """Refuse what makes no scheduler."""
        example = "TorchScheduler(lambda optimizer: StepLR(optimizer, 30), interval='epoch')"
        if not callable(self.factory):
            raise refusal("TorchScheduler.factory", self.factory, "a function from optimizer to scheduler", example)
        check_choice("TorchScheduler.interval", self.interval, _INTERVALS, example)

    def make(self, optimizer: Optimizer) -> LRScheduler:
        """Return the factory's scheduler.

        Raises:
            ValueError: if the factory returns something else, or a plateau, which needs a metric.
        """
        scheduler = self.factory(optimizer)
        if not isinstance(scheduler, LRScheduler) or isinstance(scheduler, ReduceLROnPlateau):
            allowed = "a torch LRScheduler (for ReduceLROnPlateau there is Plateau('val_loss'))"
            raise refusal("TorchScheduler.factory(optimizer)", scheduler, allowed, "StepLR(optimizer, 30)")
        return scheduler

    def pick_interval(self, scheduler: LRScheduler, run: RunLength) -> str:
        """Return the interval; see the class."""
        if self.interval != "auto":
            return self.interval
        picked = "step" if _is_made_for_steps(scheduler) else "epoch"
        horizon = max(_horizons(scheduler), default=None)
        if horizon is None or run.total_steps is None or run.steps_per_epoch is None:
            return picked
        epochs = -(-run.total_steps // run.steps_per_epoch)
        lengths = {"step": run.total_steps, "epoch": epochs}
        other = "epoch" if picked == "step" else "step"
        too_long = horizon > _SLACK * lengths[picked]
        too_short = picked == "step" and run.steps_per_epoch > 1 and horizon <= epochs
        if too_short or (too_long and horizon <= _SLACK * lengths[other]):
            raise ValueError(
                f"TorchScheduler.interval = 'auto' would advance {type(scheduler).__name__} once per {picked}, but its "
                f"own horizon is {horizon:g} and the run has {run.total_steps} steps in {epochs} epochs, so it was "
                f"probably written for {other}s. Say which: interval='{other}', or interval='{picked}' to insist"
            )
        return picked


@dataclass(frozen=True, repr=False)
class Plateau(Driven):
    """Performance scheduling: reduce the lr when a validation metric has stopped to improve.

    It is fed after every validation of the fit, before checkpoints are saved, and not during the warmup.

    Args:
        monitor: name of a metric that is logged in validation.
        mode: ``"min"`` or ``"max"``.
        factor: factor of a reduction, in (0, 1).
        patience: validations without improvement that are allowed, at least 0.
        threshold: least change that counts as an improvement, at least 0.
        threshold_mode: ``"rel"`` or ``"abs"``.
        cooldown: validations after a reduction that do not count, at least 0.
        min_lr: floor as an absolute lr, at least 0.
        eps: least change of the lr that is made, at least 0.

    Raises:
        ValueError: if a value is out of its range, with a valid example.

    Source: ``torch.optim.lr_scheduler.ReduceLROnPlateau``.
    """

    monitor: str = "val_loss"
    mode: str = "min"
    _: KW_ONLY
    factor: float = 0.1
    patience: int = 10
    threshold: float = 1e-4
    threshold_mode: str = "rel"
    cooldown: int = 0
    min_lr: float = 0.0
    eps: float = 1e-8

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        example = "Plateau('val_loss', factor=0.1, patience=10)"
        if not isinstance(self.monitor, str) or not self.monitor:
            raise refusal("Plateau.monitor", self.monitor, "a metric's name", example)
        check_choice("Plateau.mode", self.mode, ("min", "max"), example)
        check_choice("Plateau.threshold_mode", self.threshold_mode, ("rel", "abs"), "threshold_mode='rel'")
        store_number(self, "factor", example, above=0.0, below=1.0)
        for name in ("threshold", "min_lr", "eps"):
            store_number(self, name, example, at_least=0.0)
        for name in ("patience", "cooldown"):
            store_number(self, name, example, at_least=0.0)
            if getattr(self, name) != int(getattr(self, name)):
                raise refusal(f"Plateau.{name}", getattr(self, name), "a whole number of validations", example)

    def make(self, optimizer: Optimizer) -> LRScheduler:
        """Return torch's scheduler."""
        given: dict[str, Any] = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "monitor"}
        return ReduceLROnPlateau(optimizer, **given | {"patience": int(self.patience), "cooldown": int(self.cooldown)})

    def pick_interval(self, scheduler: LRScheduler, run: RunLength) -> str:
        """Return ``"validation"``."""
        del scheduler, run
        return "validation"


def simulate(
    main: Driven, updates: int, base_lr: float, *, key: str = "lr", metrics: Sequence[float] = (), **group: Any
) -> list[float]:
    """Return the values that a driven schedule gives, by running it on an optimizer of its own.

    Args:
        main: the schedule.
        updates: how many values; advances between them are one less.
        base_lr: lr of the one parameter group.
        key: value of the group that is wanted; ``"momentum"`` is ``betas[0]`` where there are betas.
        metrics: what a `Plateau` is fed with, one for each advance.
        group: further values of the parameter group, such as ``momentum=0.9``.
    """
    optimizer = ShadowOptimizer(torch.optim.SGD([torch.zeros(1)], lr=base_lr, **group))
    scheduler = main.make(optimizer)
    values = []
    for update in range(updates):
        group = optimizer.param_groups[0]
        values.append(float(group[key] if key in group else group["betas"][0]))
        if update + 1 < updates:
            if isinstance(scheduler, ReduceLROnPlateau):
                scheduler.step(metrics[update])
            else:
                scheduler.step()
    return values


def _call(factory: Callable[..., object]) -> str:
    """Return how a factory is written; of a partial, the class that it makes (LightningCLI wraps that in its own)."""
    if not isinstance(factory, partial):
        return getattr(factory, "__qualname__", type(factory).__qualname__)
    parts = (factory.func, *factory.args)
    made = next((place for place, part in enumerate(parts) if isinstance(part, type)), 0)
    given = [*map(repr, parts[made + 1 :]), *(f"{name}={value!r}" for name, value in factory.keywords.items())]
    return _ADDRESS.sub("", f"partial({', '.join([_call(parts[made]), *given])})")


def _is_made_for_steps(scheduler: LRScheduler) -> bool:
    """Return whether a scheduler, or one inside it, is of a kind that is advanced with every step."""
    functions = getattr(scheduler, "lr_lambdas", ())
    modules = [str(getattr(getattr(function, "func", function), "__module__", "")) for function in functions]
    by_step = isinstance(scheduler, _BY_STEP) or any(module.startswith("transformers") for module in modules)
    return by_step or any(_is_made_for_steps(inner) for inner in nested(scheduler) if inner is not scheduler)


def _horizons(scheduler: LRScheduler) -> Iterator[float]:
    """Yield the lengths that a scheduler, and those inside it, were made with."""
    for inner in nested(scheduler):
        yield from (float(getattr(inner, name)) for name in _HORIZONS if getattr(inner, name, None))
        for name in ("milestones", "_milestones"):
            yield from (float(milestone) for milestone in getattr(inner, name, ()))
