"""Plans: what a user writes (warmup -> main -> cooldown), and how it is resolved against a run into a timeline."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Any

from lightning_lrsched.checks import check_choice, refusal, store_number
from lightning_lrsched.phases import Level, Phase, Repeat
from lightning_lrsched.shapes import HOLD, Geometric, HalfCosine, Shape, Straight
from lightning_lrsched.timeline import Timeline
from lightning_lrsched.units import Clock, DurationLike, RunLength, plain_duration

UPDATES = ("step", "epoch")
_RAMPS: dict[str, Shape] = {"linear": Straight(), "cosine": HalfCosine(), "constant": HOLD}
_EXPONENTIAL_START = 0.01
_EXPONENTIAL_LEAST = 1e-12


def _given(part: Any) -> dict[str, Any]:
    """Return the parameters of a dataclass value that are not at their defaults."""
    values = {field.name: getattr(part, field.name) for field in fields(part)}
    return {field.name: values[field.name] for field in fields(part) if values[field.name] != field.default}


def _short_repr(part: object) -> str:
    """Return the call that makes an equal dataclass value, without the parameters left at their defaults."""
    return f"{type(part).__name__}({', '.join(f'{name}={value!r}' for name, value in _given(part).items())})"


@dataclass(frozen=True)
class Room:
    """The place a main schedule gets: the updates left between warmup and cooldown, and the clock to measure in.

    Args:
        updates: updates left, or None where the run has no known end.
        clock: turns durations into updates.
    """

    updates: int | None
    clock: Clock

    def length(self, duration: DurationLike | None, name: str) -> int:
        """Return a duration in updates, or all of the room when it is None.

        Raises:
            ValueError: if the duration does not fit the room, or if the room is needed and unknown.
        """
        if duration is None:
            if self.updates is None:
                raise ValueError(
                    f"{name} = None fills the run, but the run has no known end. "
                    f"Pass total_steps=..., for example LearningRateScheduler(..., total_steps=10_000), "
                    f"or give {name}, for example {name.rpartition('.')[2]}='5000 steps'"
                )
            return self.updates
        updates = self.clock.updates(duration, name)
        if self.updates is not None and updates > self.updates:
            raise ValueError(
                f"{name} = {duration!r} does not fit the run: it takes {self.amount(updates)}, and "
                f"{self.amount(self.updates)} are left for it. Give at most {name.rpartition('.')[2]}='100%' of a "
                f"longer run (total_steps={updates * self.clock.stride}), or a shorter one, for example "
                f"{name.rpartition('.')[2]}='{self.updates * self.clock.stride} steps'"
            )
        return updates

    def rest(self, used: int, name: str, level: Level) -> Iterator[Phase | Repeat]:
        """Yield one level for all of the room after ``used`` updates; nothing if none are left."""
        if self.updates is None:
            yield Repeat((Phase(name, 1, level),))
        elif used < self.updates:
            yield Phase(name, self.updates - used, level)

    def amount(self, updates: int) -> str:
        """Write a number of updates with its unit, for messages."""
        return f"{updates} steps" if self.clock.stride == 1 else f"{updates} epochs"


class Schedule(ABC):
    """A main schedule: a frozen dataclass that builds phases for the room it is given.

    It never knows its place: warmup and cooldown belong to the `Plan`. All its durations count from its own start.
    A new schedule is a frozen dataclass with the parameters, their checks in ``__post_init__`` and `phases`.
    """

    @property
    def open_ended(self) -> bool:
        """Whether the end of the run may cut the last phase (a schedule of cycles) instead of being refused."""
        return False

    __repr__ = _short_repr

    @abstractmethod
    def phases(self, room: Room) -> Iterable[Phase | Repeat]:
        """Yield the phases from the schedule's own start. What is left of the room holds the last value.

        Raises:
            ValueError: if a duration needs the length of the run and it is unknown, or does not fit the room.
        """


@dataclass(frozen=True, repr=False)
class Warmup:
    r"""Growth of the lr from (near) zero to the start of the main schedule.

    With n warmup steps and shape s, step t = 0 .. n-1 uses the factor $s((t+1)/(n+1))$ of the main schedule's first
    value: the first update is not wasted, and the peak is reached once, by the main schedule at step n. With
    ``start_factor=f`` it uses $f + (1-f) s(t/n)$ instead, as torch and transformers do.

    Args:
        duration: length; ``500`` or ``"500 steps"``, ``"5ep"``, ``0.05`` or ``"5%"`` (of the run).
        shape: ``"linear"``, ``"cosine"``, ``"exponential"`` (equal factors in equal times, from ``start_factor`` or
            0.01) or ``"constant"`` (``start_factor`` throughout).
        start_factor: first factor, in [0, 1); at least 1e-12 for exponential, needed for constant.

    Raises:
        ValueError: if a value is out of its range, with a valid example.

    >>> Warmup("5%").phases(Level(1.0), updates=4)[0].level(0).scale
    0.2

    Source: Goyal et al., arXiv 1706.02677 (gradual and constant warmup).
    """

    duration: DurationLike
    shape: str = "linear"
    start_factor: float | None = None

    __repr__ = _short_repr

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        object.__setattr__(self, "duration", plain_duration(self.duration, "Warmup.duration"))
        check_choice("Warmup.shape", self.shape, (*_RAMPS, "exponential"), "Warmup('5%', shape='cosine')")
        if self.start_factor is None:
            if self.shape == "constant":
                raise refusal("Warmup.start_factor", None, "given for shape='constant'", "start_factor=0.1")
            return
        example = f"Warmup('5%', shape={self.shape!r}, start_factor=0.1)"
        store_number(self, "start_factor", example, at_least=0.0, below=1.0)
        if self.shape == "exponential":
            store_number(self, "start_factor", example, at_least=_EXPONENTIAL_LEAST, below=1.0)

    def phases(self, target: Level, updates: int) -> tuple[Phase, ...]:
        """Return the warmup of ``updates`` updates up to ``target``, the main schedule's first level."""
        exponential = self.shape == "exponential"
        factor = self.start_factor or (_EXPONENTIAL_START if exponential else 0.0)
        start = target.times(factor)
        shape = Geometric(1.0 / factor) if exponential else _RAMPS[self.shape]
        if self.start_factor is not None:
            return (Phase("warmup", updates, start, target, shape),)
        return (Phase("warmup", updates, start, target, shape, span=updates + 1, shift=1),)


@dataclass(frozen=True, repr=False)
class Cooldown:
    """A last fall from the value that the main schedule has reached.

    Args:
        duration: length; ``500`` or ``"500 steps"``, ``"5ep"``, ``0.05`` or ``"5%"`` (of the run).
        shape: ``"linear"`` or ``"cosine"``.
        eta_min: lr at the end, absolute, at least 0.

    Raises:
        ValueError: if a value is out of its range, with a valid example.
    """

    duration: DurationLike
    shape: str = "linear"
    eta_min: float = 0.0

    __repr__ = _short_repr

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        object.__setattr__(self, "duration", plain_duration(self.duration, "Cooldown.duration"))
        check_choice("Cooldown.shape", self.shape, ("linear", "cosine"), "Cooldown('10%', shape='cosine')")
        store_number(self, "eta_min", "Cooldown('10%', eta_min=1e-6)", at_least=0.0)

    def phases(self, before: Phase, updates: int) -> tuple[Phase, ...]:
        """Return the cooldown of ``updates`` updates from where the phase before it ends, used there already or not."""
        start, end, used = before.reached(), Level(0.0, float(self.eta_min)), int(before.lands)
        return (Phase("cooldown", updates, start, end, _RAMPS[self.shape], span=updates + used, shift=used),)


@dataclass(frozen=True, repr=False)
class Plan:
    """Warmup, main schedule and cooldown: what a user asks for, before anything is known of the run.

    Args:
        main: the main schedule.
        warmup: growth before it, as a `Warmup` or just its duration.
        cooldown: fall after it, as a `Cooldown` or just its duration.

    Raises:
        ValueError: if ``main`` is no schedule, or a duration is refused.
    """

    main: Schedule
    warmup: Warmup | int | float | str | None = None
    cooldown: Cooldown | int | float | str | None = None

    __repr__ = _short_repr

    def __post_init__(self) -> None:
        """Turn bare durations into the warmup or cooldown that they mean."""
        if not isinstance(self.main, Schedule):
            raise refusal("main", self.main, "a schedule of this package", "main=Cosine(eta_min=1e-6)")
        object.__setattr__(self, "warmup", as_warmup(self.warmup))
        if self.cooldown is not None and not isinstance(self.cooldown, Cooldown):
            plain_duration(self.cooldown, "cooldown")
            object.__setattr__(self, "cooldown", Cooldown(self.cooldown))

    def resolve(self, run: RunLength, update: str = "step") -> Timeline:
        """Return the timeline of this plan in a run.

        Args:
            run: total steps and steps per epoch, as far as they are known.
            update: ``"step"``, or ``"epoch"`` for an lr that changes only between epochs.

        Raises:
            ValueError: if the plan does not fit the run, or needs a length that is unknown.
        """
        if not isinstance(run, RunLength):
            raise refusal("run", run, "a RunLength", "plan.resolve(RunLength(total_steps=1000))")
        check_choice("update", update, UPDATES, "update='step'")
        clock = Clock.of(run, update)
        warm = self._updates(self.warmup, clock, "Warmup.duration")
        cool = self._updates(self.cooldown, clock, "Cooldown.duration")
        room = Room(None if clock.total is None else clock.total - warm - cool, clock)
        if room.updates is not None and room.updates < 1:
            raise ValueError(
                f"the plan does not fit the run: warmup {room.amount(warm)} + cooldown {room.amount(cool)} leave "
                f"nothing of {room.amount(clock.total or 0)} for {self.main}. Give shorter ones, for example "
                f"warmup='5%', or train longer"
            )
        if room.updates is None and cool:
            raise ValueError(
                f"cooldown = {self.cooldown} comes at the end of the run, but the run has no known end. "
                "Pass total_steps=..., for example LearningRateScheduler(..., total_steps=10_000)"
            )
        main = tuple(self._fitted(room))
        segments = (*self._warmup_phases(main[0], warm), *main)
        if isinstance(self.cooldown, Cooldown):
            segments += self.cooldown.phases(_final(main[-1]), cool)
        return Timeline(segments, clock.stride)

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as primitives, for a checkpoint, a YAML file or a comparison."""
        parts = {"main": self.main, "warmup": self.warmup, "cooldown": self.cooldown}
        return {name: describe_part(part) for name, part in parts.items()}

    @staticmethod
    def _updates(part: object, clock: Clock, name: str) -> int:
        return clock.updates(part.duration, name) if isinstance(part, Warmup | Cooldown) else 0

    def _warmup_phases(self, first: Phase | Repeat, updates: int) -> tuple[Phase, ...]:
        """Return the warmup up to the first level of the main schedule."""
        if not isinstance(self.warmup, Warmup):
            return ()
        phase = first.phases(0)[0] if isinstance(first, Repeat) else first
        return self.warmup.phases(phase.level(0), updates)

    def _fitted(self, room: Room) -> Iterator[Phase | Repeat]:
        """Yield the main schedule's phases, cut or held so that they fill the room."""
        used, last = 0, None
        for last in self.main.phases(room):
            left = None if room.updates is None else room.updates - used
            if left is not None and (last.updates is None or last.updates > left):
                if not self.main.open_ended:
                    raise ValueError(
                        f"{self.main} does not fit the run: {room.amount(room.updates or 0)} are left for it. "
                        f"Give a shorter one, for example '50%', or train longer"
                    )
                yield from last.cut(left) if isinstance(last, Repeat) else (last.cut(left),)
                return
            yield last
            if last.updates is None or last.updates == left:
                return
            used += last.updates
        if last is None:
            raise ValueError(f"{self.main} built no phase; phases() must yield at least one")
        yield from room.rest(used, "hold", _final(last).reached())


def as_warmup(value: "Warmup | DurationLike | None") -> Warmup | None:
    """Return a warmup from what a user may write for one: a `Warmup`, its duration, or None."""
    if value is None or isinstance(value, Warmup):
        return value
    plain_duration(value, "warmup")
    return Warmup(value)


def describe_part(part: object) -> dict[str, Any] | None:
    """Return a schedule, warmup or cooldown as primitives: its class name and the parameters not at their defaults."""
    return None if part is None else {"class": type(part).__name__, **_given(part)}


def _final(segment: Phase | Repeat) -> Phase:
    """Return the last phase of a segment, with the levels it has there."""
    return segment.phases((segment.count or 1) - 1)[-1] if isinstance(segment, Repeat) else segment
