"""Plans: what a user writes (warmup -> main -> cooldown), and how it is resolved against a run into a timeline."""

from dataclasses import dataclass
from typing import Any

from lightning_lrsched.checks import check_choice, refusal
from lightning_lrsched.phases import Phase, Repeat
from lightning_lrsched.room import Room, Schedule, final_phase, fitted, given, short_repr
from lightning_lrsched.timeline import Timeline
from lightning_lrsched.units import Clock, RunLength, plain_duration
from lightning_lrsched.warmup import Cooldown, Warmup, as_warmup

UPDATES = ("step", "epoch")


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

    __repr__ = short_repr

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
        ramp = self._updates(self.warmup, clock, "Warmup.duration")
        overlap = isinstance(self.warmup, Warmup) and self.warmup.overlap
        warm = 0 if overlap else ramp
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
        main = tuple(fitted(self.main, room))
        segments = (*self._warmup_phases(main[0], warm), *main)
        if isinstance(self.cooldown, Cooldown):
            segments += self.cooldown.phases(final_phase(main[-1]), cool)
        damping = self.warmup.damping(ramp) if isinstance(self.warmup, Warmup) and overlap else None
        return Timeline(segments, clock.stride, damping)

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as primitives, for a checkpoint, a YAML file or a comparison."""
        parts = {"main": self.main, "warmup": self.warmup, "cooldown": self.cooldown}
        return {name: describe_part(part) for name, part in parts.items()}

    @staticmethod
    def _updates(part: object, clock: Clock, name: str) -> int:
        return clock.updates(part.duration, name) if isinstance(part, Warmup | Cooldown) else 0

    def _warmup_phases(self, first: Phase | Repeat, updates: int) -> tuple[Phase, ...]:
        """Return the warmup up to the first level of the main schedule."""
        if not isinstance(self.warmup, Warmup) or self.warmup.overlap:
            return ()
        phase = first.phases(0)[0] if isinstance(first, Repeat) else first
        return self.warmup.phases(phase.level(0), updates)


def describe_part(part: object) -> dict[str, Any] | None:
    """Return a schedule, warmup or cooldown as primitives: its class name and the parameters not at their defaults."""
    return None if part is None else {"class": type(part).__name__, **given(part)}
