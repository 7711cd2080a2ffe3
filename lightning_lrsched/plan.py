"""Plans: what a user writes (warmup -> main -> cooldown), and how it is resolved against a run into a timeline."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lightning_lrsched.checks import check_choice, check_number, refusal
from lightning_lrsched.phases import Phase, Repeat
from lightning_lrsched.room import Room, Schedule, fill, final_phase, fitted, given, short_repr
from lightning_lrsched.timeline import Timeline
from lightning_lrsched.units import Clock, RunLength, plain_duration
from lightning_lrsched.warmup import Cooldown, Warmup, as_warmup

if TYPE_CHECKING:
    from matplotlib.axes import Axes

UPDATES = ("step", "epoch")


@dataclass(frozen=True, repr=False)
class Plan:
    """Warmup, main schedule and cooldown: what a user asks for, before anything is known of the run.

    Args:
        main: the main schedule.
        warmup: growth before it, as a `Warmup` or just its duration.
        cooldown: fall after it, as a `Cooldown` or just its duration.
        others: schedules of other values of the parameter groups, by key: ``"momentum"`` (which is ``betas[0]`` where
            there are betas), ``"weight_decay"``, or any other number. Each runs over the whole run, from step 0, and
            multiplies the value that the group was given; warmup and cooldown are not theirs.

    Raises:
        ValueError: if ``main`` is no schedule, or a duration or a key is refused.
    """

    main: Schedule
    warmup: Warmup | int | float | str | None = None
    cooldown: Cooldown | int | float | str | None = None
    others: Mapping[str, Schedule] | None = None

    __repr__ = short_repr

    def __post_init__(self) -> None:
        """Turn bare durations into the warmup or cooldown that they mean."""
        if not isinstance(self.main, Schedule):
            raise refusal("main", self.main, "a schedule of this package", "main=Cosine(eta_min=1e-6)")
        object.__setattr__(self, "warmup", as_warmup(self.warmup))
        if self.cooldown is not None and not isinstance(self.cooldown, Cooldown):
            plain_duration(self.cooldown, "cooldown")
            object.__setattr__(self, "cooldown", Cooldown(self.cooldown))
        example = "others={'weight_decay': Linear(end_factor=2)}"
        if self.others is not None and not (isinstance(self.others, Mapping) and self.others):
            raise refusal("Plan.others", self.others, "schedules by the key of a parameter group", example)
        for key, schedule in (self.others or {}).items():
            if not isinstance(key, str) or key in ("lr", "params", "betas") or key.startswith("initial_"):
                raise refusal("Plan.others", key, "a key of a parameter group other than lr, params, betas", example)
            if not isinstance(schedule, Schedule):
                raise refusal(f"Plan.others[{key!r}]", schedule, "a schedule of this package", example)
        object.__setattr__(self, "others", self.others and dict(self.others))

    def __hash__(self) -> int:
        """Return the same for equal plans: the other schedules have no order."""
        return hash((self.main, self.warmup, self.cooldown, frozenset((self.others or {}).items())))

    def resolve(self, run: RunLength, update: str = "step") -> Timeline:
        """Return the timeline of this plan in a run.

        Args:
            run: total steps and steps per epoch, as far as they are known.
            update: ``"step"``, or ``"epoch"`` for an lr that changes only between epochs.

        Raises:
            ValueError: if the plan does not fit the run, or needs a length that is unknown.
        """
        return self._timeline(run, update, momentum=False)

    def resolve_others(self, run: RunLength, update: str = "step") -> dict[str, Timeline]:
        """Return the timelines of all values besides the lr: those of ``others``, and the main schedule's momentum.

        Args:
            run: total steps and steps per epoch, as far as they are known.
            update: as in `resolve`.

        Raises:
            ValueError: if one does not fit the run, or needs a length that is unknown.
        """
        timelines = {key: Plan(schedule).resolve(run, update) for key, schedule in (self.others or {}).items()}
        if self.main.cycle_momentum:
            if "momentum" in timelines:
                example = "OneCycle(cycle_momentum=False)"
                raise refusal("Plan.others", "momentum", f"left out, as {self.main} schedules it", example)
            timelines["momentum"] = self._timeline(run, update, momentum=True)
        return timelines

    def plot(
        self,
        run: RunLength,
        base_lr: float = 0.1,
        ax: "Axes | None" = None,
        *,
        update: str = "step",
        marks: bool = True,
    ) -> "Axes":
        """Draw the lr over a run and return the Axes.

        Args:
            run: total steps and steps per epoch, as far as they are known; without a known end, the first few phases
                are drawn.
            base_lr: peak lr, above 0.
            ax: where to draw, so that several plans can be laid over one another; axes of a new figure if None.
            update: as in `resolve`.
            marks: also draw thin lines where phases begin (dotted) and cycles end (dashed).

        Raises:
            ValueError: if the plan does not fit the run, or needs a length that is unknown.
            ModuleNotFoundError: if matplotlib is not installed, with what to install.
        """
        from lightning_lrsched.preview import Curve, draw, shown_steps

        check_number("base_lr", base_lr, "plan.plot(run, base_lr=0.1)", above=0.0)
        timeline = self.resolve(run, update)
        stop = run.total_steps or shown_steps(timeline)
        return draw(Curve(str(self), timeline, base_lr, stop, run.steps_per_epoch), ax, marks=marks)

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as primitives, for a checkpoint, a YAML file or a comparison."""
        parts = {"main": self.main, "warmup": self.warmup, "cooldown": self.cooldown}
        described: dict[str, Any] = {name: describe_part(part) for name, part in parts.items()}
        if self.others:
            described["others"] = {key: describe_part(schedule) for key, schedule in self.others.items()}
        return described

    def _timeline(self, run: RunLength, update: str, *, momentum: bool) -> Timeline:
        """Return the timeline of the lr, or of the momentum that the main schedule brings."""
        if not isinstance(run, RunLength):
            raise refusal("run", run, "a RunLength", "plan.resolve(RunLength(total_steps=1000))")
        check_choice("update", update, UPDATES, "update='step'")
        clock = Clock.of(run, update)
        ramp = self._updates(self.warmup, clock, "Warmup.duration")
        overlap = isinstance(self.warmup, Warmup) and self.warmup.overlap
        warm = 0 if overlap else ramp
        cool = self._updates(self.cooldown, clock, "Cooldown.duration")
        room = self._room(clock, warm, cool)
        if momentum:
            main = tuple(fill(self.main.momentum(room), self.main, room))
            return Timeline(_held(main, warm, cool), clock.stride)
        main = tuple(fitted(self.main, room))
        segments = (*self._warmup_phases(main[0], warm), *main)
        if isinstance(self.cooldown, Cooldown):
            segments += self.cooldown.phases(final_phase(main[-1]), cool)
        damping = self.warmup.damping(ramp) if isinstance(self.warmup, Warmup) and overlap else None
        return Timeline(segments, clock.stride, damping)

    def _room(self, clock: Clock, warm: int, cool: int) -> Room:
        """Return what warmup and cooldown leave of the run."""
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
        return room

    @staticmethod
    def _updates(part: object, clock: Clock, name: str) -> int:
        return clock.updates(part.duration, name) if isinstance(part, Warmup | Cooldown) else 0

    def _warmup_phases(self, first: Phase | Repeat, updates: int) -> tuple[Phase, ...]:
        """Return the warmup up to the first level of the main schedule."""
        if not isinstance(self.warmup, Warmup) or self.warmup.overlap:
            return ()
        phase = first.phases(0)[0] if isinstance(first, Repeat) else first
        return self.warmup.phases(phase.level(0), updates)


def _held(main: tuple[Phase | Repeat, ...], before: int, after: int) -> tuple[Phase | Repeat, ...]:
    """Return segments with their first level held before them, and their last level after them."""
    first = main[0].phases(0)[0] if isinstance(main[0], Repeat) else main[0]
    head = (Phase("warmup", before, first.level(0)),) if before else ()
    tail = (Phase("cooldown", after, final_phase(main[-1]).reached()),) if after else ()
    return (*head, *main, *tail)


def describe_part(part: object) -> dict[str, Any] | None:
    """Return a schedule, warmup or cooldown as primitives: its class name and the parameters not at their defaults."""
    if part is None:
        return None
    return {"class": type(part).__name__, **{name: _primitive(value) for name, value in given(part).items()}}


def _primitive(value: object) -> object:
    """Return a parameter as what any file can hold: schedules inside as dicts, functions by their name."""
    if isinstance(value, tuple | list):
        return [_primitive(each) for each in value]
    if isinstance(value, Schedule):
        return describe_part(value)
    if callable(value):
        named = value if hasattr(value, "__qualname__") else type(value)
        return f"{named.__module__}.{named.__qualname__}"
    return value
