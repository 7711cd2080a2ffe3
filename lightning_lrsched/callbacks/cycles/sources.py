"""Where cycles come from: a timeline, equal lengths, or one of torch's schedulers. Real steps decide, never the lr."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import dropwhile, islice
from typing import Any, NamedTuple, Protocol

from torch import Tensor
from torch.nn import Module
from torch.optim import Optimizer

from lightning_lrsched.real_steps import Observer, StepCounter
from lightning_lrsched.timeline import Cycle, Timeline
from lightning_lrsched.torch_cycles import Pace, Restarts, advances_of

_MOST = 1000  # cycles to come that a checkpoint keeps the ends of


class Place(NamedTuple):
    """Where training was: real steps, the cycle and the lr of the latest one, and the epoch.

    Where another callback had taken the schedule out, ``rest`` holds the real steps after which the cycles to come end.
    """

    steps: int
    cycle: int
    epoch: int
    lr: float | None
    rest: list[int] | None = None


class Counter(Protocol):
    """Who counts the real steps."""

    optimizer: Optimizer
    """Whose updates count."""
    real_steps: int
    """Updates that really happened."""
    observers: list[Observer]
    """Called after each of them, before the lr moves on."""


class CycleSource(Protocol):
    """Tells in which cycle the weights are."""

    counter: Counter
    """Who counts the real steps."""
    schedule: object
    """The scheduler that they come from; None where there is none."""
    shares: list[str]
    """Lengths that are shares of the run, as they are written: where cycles end then depends on how long the run is."""

    @property
    def last(self) -> int:
        """Cycle of the latest real step, which made the present weights; 0 before the first one."""

    @property
    def ended(self) -> bool:
        """Whether that step was the last one of its cycle."""

    def at(self, step: int) -> int:
        """Return the cycle of a real step, asked for right after it."""

    def ends_with(self, step: int) -> bool:
        """Return whether a real step, asked for right after it, is the last one of its cycle."""

    def ends(self) -> Iterator[int]:
        """Yield the number of real steps after which each cycle ends, in order, as far as it can be foretold."""

    def rest(self) -> list[int]:
        """Return where the cycles to come end, if the scheduler is taken out: asked for after that."""

    def release(self) -> None:
        """Stop to look."""


class LengthCycles:
    """Cycles whose steps are known: those of a timeline, or of equal length.

    Args:
        counter: who counts the real steps.
        timeline: the schedule, or None for cycles of equal length.
        length: real steps of a cycle where there is no timeline.
        shares: what of that is a share of the run.
    """

    def __init__(
        self, counter: Counter, timeline: Timeline | None, length: int = 1, shares: Sequence[str] = ()
    ) -> None:
        """Remember them."""
        self.counter = counter
        self.shares = list(shares)
        self.schedule: object = None if timeline is None else counter
        self._timeline = timeline
        self._length = length
        self._here = Cycle(0, 0, 0, complete=False)  # the cycle that was asked for last: it is asked for at every step
        self._stop_here: int | None = None

    @property
    def last(self) -> int:
        """Cycle of the latest real step."""
        return self.at(max(self.counter.real_steps - 1, 0))

    @property
    def ended(self) -> bool:
        """Whether that step was the last one of its cycle."""
        last = self.last
        known = self._timeline is not None and last == self._here.index
        return self.counter.real_steps == (self._stop_here if known else self._stop(last))

    def at(self, step: int) -> int:
        """Return the cycle of a real step; what comes after a plan's last cycle is one more."""
        if self._timeline is None:
            return step // self._length
        here = self._here
        if here.start <= step and (here.stop is None or step < here.stop):
            return here.index
        cycle, total = self._timeline.cycle_at(step), self._timeline.total
        here = self._timeline.cycle(cycle)
        if total is not None and step >= total and here.complete:
            return cycle + 1
        self._here, self._stop_here = here, self._stop(cycle)
        return cycle

    def ends_with(self, step: int) -> bool:
        """Return whether a real step is the last one of its cycle."""
        return self._stop(self.at(step)) == step + 1

    def ends(self) -> Iterator[int]:
        """Yield where each cycle ends, one that the run cuts short too."""
        index, stop = 0, self._stop(0)
        while stop is not None:
            yield stop
            index += 1
            stop = self._stop(index)
        timeline = self._timeline
        if timeline is not None and timeline.total is not None:
            span = timeline.phase_at(timeline.total - 1)
            if span.phase.planned is not None:
                yield span.start + span.phase.planned * timeline.stride

    def rest(self) -> list[int]:
        """Return where the cycles to come end: the plan goes on to count."""
        steps = self.counter.real_steps
        return list(islice(dropwhile(lambda end: end < steps, self.ends()), _MOST))

    def release(self) -> None:
        """Stop to count, if that was done for these cycles alone."""
        if isinstance(self.counter, StepCounter):
            self.counter.disarm()

    def _stop(self, index: int) -> int | None:
        """Return the real steps after which a cycle ends; None if the plan does not hold all of it."""
        if self._timeline is None:
            return (index + 1) * self._length
        try:
            cycle: Cycle = self._timeline.cycle(index)
        except IndexError:
            return None
        return cycle.stop if cycle.complete else None


class ListedCycles:
    """Cycles whose ends a checkpoint has kept, for a schedule that is not there any more.

    Args:
        counter: counts the real steps.
        place: where training was, with the ends of the cycles to come.
    """

    def __init__(self, counter: StepCounter, place: Place) -> None:
        """Remember them."""
        self.counter: Counter = counter
        self.schedule: object = self
        self.shares: list[str] = []
        self._first = place.cycle
        self._ends = place.rest or []

    @property
    def last(self) -> int:
        """Cycle of the latest real step."""
        return self.at(max(self.counter.real_steps - 1, 0))

    @property
    def ended(self) -> bool:
        """Whether that step was the last one of its cycle."""
        return self.counter.real_steps in self._ends

    def at(self, step: int) -> int:
        """Return the cycle of a real step; one that is past counts for the first of these."""
        return self._first + bisect_right(self._ends, step)

    def ends_with(self, step: int) -> bool:
        """Return whether a real step is the last one of its cycle."""
        return step + 1 in self._ends

    def ends(self) -> Iterator[int]:
        """Yield where each cycle to come ends."""
        yield from self._ends

    def rest(self) -> list[int]:
        """Return where the cycles to come end."""
        return [end for end in self._ends if end >= self.counter.real_steps]

    def release(self) -> None:
        """Stop to count."""
        if isinstance(self.counter, StepCounter):
            self.counter.disarm()


class DrivenCycles:
    """Cycles of one of torch's schedulers, by how often it has advanced.

    It is looked at after every real step. That is exact whoever advances it, with every step or once an epoch, and
    whatever updates were skipped.

    Args:
        counter: who counts the real steps, and tells of each.
        scheduler: the torch scheduler.
        restarts: where it restarts.
        pace: when it advances; None where that cannot be foretold.
        last: the cycle of the latest real step, where a resume knows it.
        shares: what of the warmup is a share of the run.
    """

    def __init__(
        self,
        counter: Counter,
        scheduler: Any,
        restarts: Restarts,
        pace: Pace | None,
        last: int | None = None,
        *,
        shares: Sequence[str] = (),
    ) -> None:
        """Begin to look."""
        self.counter = counter
        self.shares = list(shares)
        self.schedule: object = scheduler if isinstance(counter, StepCounter) else counter
        self._scheduler = scheduler
        self._restarts = restarts
        self._pace = pace
        self.last = self._next if last is None else last
        counter.observers.append(self._after_step)

    @property
    def ended(self) -> bool:
        """Whether the next step belongs to another cycle."""
        return self.counter.real_steps > 0 and self._next > self.last

    def at(self, step: int) -> int:
        """Return the cycle of the step that was just made."""
        return self.last

    def ends_with(self, step: int) -> bool:
        """Return whether a real step is the last one of its cycle."""
        return self._pace is not None and self._pace.step(self._restarts.start(self.last + 1)) == step + 1

    def ends(self) -> Iterator[int]:
        """Yield where each cycle is to end, if advances can be turned into steps."""
        index = 1
        while self._pace is not None:
            yield self._pace.step(self._restarts.start(index))
            index += 1

    def rest(self) -> list[int]:
        """Return nothing: a scheduler that is taken out stands still."""
        return []

    def release(self) -> None:
        """Stop to look, and to count if that was done for these cycles alone."""
        if self._after_step in self.counter.observers:
            self.counter.observers.remove(self._after_step)
        if isinstance(self.counter, StepCounter):
            self.counter.disarm()

    @property
    def _next(self) -> int:
        """Cycle that the next real step belongs to."""
        return self._restarts.cycle_at(advances_of(self._scheduler))

    def _after_step(self, step: int, lrs: list[float]) -> None:
        """Note the cycle of the step that was just made: the scheduler has not advanced since."""
        self.last = self._next


class PassedEnd(NamedTuple):
    """The weights at a cycle's end, inside a batch that went on to step."""

    cycle: int
    step: int
    lr: float
    weights: dict[str, Tensor]


class PassedEnds:
    """Holds on to the weights at cycle ends: a module that steps by hand can go past one inside a batch."""

    def __init__(self) -> None:
        """Begin with none."""
        self._ends: list[PassedEnd] = []

    def watch(self, source: CycleSource, module: Module) -> None:
        """Look at every real step from now on."""

        def after_step(step: int, lrs: list[float]) -> None:
            if source.ends_with(step):
                weights = {name: value.detach().clone() for name, value in module.state_dict().items()}
                self._ends.append(PassedEnd(source.at(step), step + 1, lrs[0], weights))

        source.counter.observers.append(after_step)

    def take(self, real_steps: int) -> list[PassedEnd]:
        """Return the ends that the batch went past; the one at its last step is the module itself."""
        passed = [end for end in self._ends if end.step < real_steps]
        self._ends.clear()
        return passed
