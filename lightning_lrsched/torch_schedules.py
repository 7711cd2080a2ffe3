"""Main schedules that a torch scheduler drives: any `LRScheduler`, and the reduction on a plateau."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CyclicLR, LRScheduler, OneCycleLR, ReduceLROnPlateau

from lightning_lrsched.checks import check_choice, check_number, refusal, store_number
from lightning_lrsched.driven import DrivenScheduler, ShadowOptimizer, nested
from lightning_lrsched.factories import call_of, why_not_callable, wrapped_example
from lightning_lrsched.rehearsal import rehearse
from lightning_lrsched.room import Main, short_repr
from lightning_lrsched.timeline import Timeline
from lightning_lrsched.tracks import write_value
from lightning_lrsched.units import Clock, DurationLike, RunLength
from lightning_lrsched.warmup import Warmup, as_warmup

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INTERVALS = ("auto", "step", "epoch")
_BY_STEP = (OneCycleLR, CyclicLR)
_HORIZONS = ("T_max", "total_steps", "total_iters", "step_size", "T_0")
_MOMENTUM = 0.9  # CyclicLR and OneCycleLR refuse an optimizer without; the lr does not depend on it
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

    def attach(
        self, optimizer: Optimizer, run: RunLength, warmup: Warmup | None, description: dict[str, Any]
    ) -> DrivenScheduler:
        """Return the scheduler that writes to an optimizer what this one says, behind a warmup.

        Raises:
            ValueError: if the warmup or the interval does not fit the run.
        """
        updates = warmup_updates(warmup, run)
        shadow = ShadowOptimizer(optimizer)
        for group in shadow.param_groups:  # of an optimizer that was trained before: from its peak again, as a plan
            write_value(group, "lr", float(group.get("initial_lr", group["lr"])))
        scheduler = self.make(shadow)
        return DrivenScheduler(
            optimizer,
            scheduler,
            warmup=warmup,
            warmup_updates=updates,
            interval=self.pick_interval(scheduler, run),
            frequency=1,
            description=description,
            shadow=shadow,
            monitor=self.monitor,
        )

    def resolve(self, run: RunLength, base_lr: float = 0.1, warmup: Warmup | DurationLike | None = None) -> Timeline:
        """Return the lrs that this schedule gives in a run, by running it once, without any training.

        Unlike that of a plan, the timeline holds for this base lr alone, and costs one advance of the scheduler (some
        microseconds) for each that the run will make. It is made for an optimizer with one group, SGD with momentum.

        Args:
            run: total steps, and steps per epoch where the scheduler advances once an epoch.
            base_lr: lr of the optimizer, above 0.
            warmup: growth before it.

        Raises:
            ValueError: if the run has no known end, the warmup or the interval does not fit it, the scheduler itself
                refuses to run, or it needs a metric.

        >>> from functools import partial
        >>> main = TorchScheduler(partial(torch.optim.lr_scheduler.StepLR, step_size=2))
        >>> timeline = main.resolve(RunLength(total_steps=50, steps_per_epoch=10), base_lr=1.0)
        >>> timeline.lr(19, base_lr=1.0), timeline.lr(20, base_lr=1.0)
        (1.0, 0.1)
        """
        if not isinstance(run, RunLength):
            raise refusal("run", run, "a RunLength", "main.resolve(RunLength(total_steps=1000))")
        check_number("base_lr", base_lr, "main.resolve(run, base_lr=0.1)", above=0.0)
        if run.total_steps is None:
            raise ValueError(
                f"{self} is run to be drawn, and the run has no known end. Give it one, for example "
                "RunLength(total_steps=10_000)"
            )
        optimizer = torch.optim.SGD([torch.zeros(1)], lr=base_lr, momentum=_MOMENTUM)
        try:
            scheduler = self.attach(optimizer, run, as_warmup(warmup), {"steps_per_epoch": run.steps_per_epoch})
            return rehearse(scheduler, run.total_steps)
        except Exception as error:  # also what torch raises: a ZeroDivisionError for step_size=0
            said = error if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
            raise ValueError(f"{self} cannot be drawn: {said}") from error

    def plot(
        self,
        run: RunLength,
        base_lr: float = 0.1,
        ax: "Axes | None" = None,
        *,
        warmup: Warmup | DurationLike | None = None,
        marks: bool = True,
    ) -> "Axes":
        """Draw the lr over a run and return the Axes, as `Plan.plot` does; see `resolve`.

        Args:
            run: total steps, and steps per epoch where the scheduler advances once an epoch.
            base_lr: lr of the optimizer, above 0.
            ax: where to draw; axes of a new figure if None.
            warmup: growth before it.
            marks: also draw thin lines where phases begin (dotted) and cycles end (dashed).

        Raises:
            ValueError: as in `resolve`.
            ModuleNotFoundError: if matplotlib is not installed, with what to install.
        """
        from lightning_lrsched.preview import Curve, draw

        timeline = self.resolve(run, base_lr, warmup)
        return draw(Curve(str(self), timeline, base_lr, timeline.total or 1, run.steps_per_epoch), ax, marks=marks)


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
        return f"TorchScheduler({call_of(self.factory)}{interval})"

    def __post_init__(self) -> None:
        """Refuse what makes no scheduler."""
        example = "TorchScheduler(partial(StepLR, step_size=30), interval='epoch')"
        allowed = "a function from optimizer to scheduler"
        told = why_not_callable(self.factory) if callable(self.factory) else None
        if told is not None:
            allowed += f", and called with the optimizer alone this one says: {told}"
        if told is not None or not callable(self.factory):
            raise refusal("TorchScheduler.factory", self.factory, allowed, wrapped_example(self.factory) or example)
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
    """Performance scheduling: reduce the lr when a validation metric has stopped improving.

    It is fed after every validation of the fit, before checkpoints are saved, and not during the warmup. A fit that
    never validates is told before training.

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

    def resolve(self, run: RunLength, base_lr: float = 0.1, warmup: Warmup | DurationLike | None = None) -> Timeline:
        """Refuse: what the metric will do, nobody knows before the run.

        Raises:
            ValueError: always, with a planned schedule that falls as this one does.
        """
        del run, base_lr, warmup
        raise ValueError(
            f"{type(self).__name__} lowers the lr when {self.monitor!r} stops to improve, which only training shows; "
            f"it cannot be drawn. A planned schedule with the same drops is Step('30ep', gamma={self.factor:g})"
        )


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


def warmup_updates(warmup: Warmup | None, run: RunLength) -> int:
    """Return the optimizer steps of a warmup in front of a torch scheduler; 0 without one.

    Raises:
        ValueError: if it leaves nothing of the run.
    """
    if warmup is None:
        return 0
    updates = Clock(run).updates(warmup.duration, "warmup")
    if run.total_steps is not None and updates >= run.total_steps:
        raise ValueError(
            f"warmup = {warmup.duration!r} does not fit the run: {updates} steps of {run.total_steps}. "
            "Give a shorter one, for example warmup='5%'"
        )
    return updates


def check_alone(main: object, cooldown: object, update: object, groups: object) -> None:
    """Refuse what a driven schedule cannot have.

    Raises:
        ValueError: if it is to have a cooldown, groups of its own, or ``update="epoch"``.
    """
    if isinstance(main, Driven) and (cooldown is not None or update == "epoch" or groups):
        example = f"LearningRateScheduler({type(main).__name__}(...), warmup='5%')"
        allowed = "a planned schedule for cooldown, groups or update='epoch'"
        raise refusal("LearningRateScheduler.main", main, allowed, example)


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
