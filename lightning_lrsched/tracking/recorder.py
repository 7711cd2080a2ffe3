"""What training records: one append to the journal for each real step, in the training thread."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from lightning_lrsched.tracking.journal import Journal, note, step_packer
from lightning_lrsched.tracking.sink import key_of


class PlaceLike(Protocol):
    """Where in a schedule a step lies."""

    @property
    def stop(self) -> int | None:
        """Step after the phase; None without end."""

    @property
    def cycle(self) -> int:
        """Index of the cycle."""


class MetricRecord(NamedTuple):
    """Values measured after a step: keys as they go to the tracker."""

    axis: int
    timestamp: int
    values: dict[str, float]


class StepRecorder:
    """Records the real steps of one optimizer: the lr that each group used, and what else is scheduled.

    Args:
        journal: where the records go.
        index: index of the optimizer.
        label: its name in the keys.
        groups: its parameter groups, as they are now.
        others: keys of the groups that are recorded besides; ``"momentum"`` is ``betas[0]`` where there are betas.
        axis: returns where on the loggers' axis the step lies.
    """

    def __init__(
        self,
        journal: Journal,
        index: int,
        label: str,
        groups: Callable[[], Sequence[Mapping[str, Any]]],
        *,
        others: Iterable[str],
        axis: Callable[[], int],
    ) -> None:
        """Begin with no step."""
        self.place: Callable[[int], PlaceLike] | None = None
        self._journal = journal
        self._index = index
        self._label = label
        self._groups = groups
        self._others = tuple(others)
        self._axis = axis
        self._failed = False
        self._count = -1
        self._read: list[tuple[int, str]] = []
        self._pack: Callable[..., bytes]
        self._phase = self._start = 0
        self._stop: float = -1

    def __call__(self, step: int, lrs: Sequence[float]) -> None:
        """Record a real step that was just made. What fails is told once, and never reaches the optimizer's step."""
        try:
            if len(lrs) != self._count:
                self._lay_out(lrs)
            if step >= self._stop:
                self._move(step)
            values = lrs
            if self._read:
                groups = self._groups()
                values = [*lrs, *(float(_value(groups[index], key)) for index, key in self._read)]
            self._journal.append(self._pack(self._axis(), time.time_ns() // 1_000_000, *values))
        except Exception as failure:
            if not self._failed:
                self._failed = True
                self._journal.tell(
                    f"Tracking fails, training goes on: step {step} of {self._label} cannot be recorded "
                    f"({type(failure).__name__}: {failure}), nor may later ones"
                )

    def look_again(self) -> None:
        """Ask for the place anew at the next step: a phase may have ended before it was expected to."""
        self._stop = -1

    def _lay_out(self, lrs: Sequence[float]) -> None:
        """Write down the keys of the values that follow."""
        groups = self._groups()
        names = _names(groups)
        self._read = [
            (index, key) for key in self._others for index, group in enumerate(groups) if _value(group, key) is not None
        ]
        keys = [key_of("lr", self._label, name) for name in names]
        keys += [key_of(key, self._label, names[index]) for index, key in self._read]
        scales = [float(group.get("initial_lr", lr)) for group, lr in zip(groups, lrs, strict=True)]
        scales += [float(_value(groups[index], key)) for index, key in self._read]
        number = self._journal.layouts
        self._journal.layouts, self._count = number + 1, len(lrs)
        self._pack = step_packer(number, len(keys))
        fields = {"is": "layout", "number": number, "optimizer": self._index, "keys": keys, "scales": scales}
        self._write(("layout", self._index), note(**fields))

    def _move(self, step: int) -> None:
        """Write down the phase and the cycle that begin here."""
        if self.place is None:
            self._stop = float("inf")
            return
        place = self.place(self._start)
        while place.stop is not None and place.stop <= step:  # the phases that a fit which is resumed has behind it
            self._phase, self._start = self._phase + 1, place.stop
            place = self.place(self._start)
        self._stop = float("inf") if place.stop is None else place.stop
        record = note(**{"is": "place", "phase": self._phase, "cycle": place.cycle})
        if self._journal.header.get("place") != record:
            self._write("place", record)

    def _write(self, name: object, record: bytes) -> None:
        """Append what later records build on, and have every segment of the journal begin with it."""
        self._journal.header[name] = record
        self._journal.append(record)


def metrics_note(record: MetricRecord) -> bytes:
    """Return the journal's record of some measured values."""
    return note(**{"is": "metrics"}, **record._asdict())


def labels_of(optimizers: Sequence[object]) -> list[str]:
    """Return a name for each optimizer: its class, with a number from the second of a class on."""
    names = [type(optimizer).__name__ for optimizer in optimizers]
    before = [names[:index].count(name) for index, name in enumerate(names)]
    return [f"{name}-{count}" if count else name for name, count in zip(names, before, strict=True)]


def leaders_of(optimizers: Sequence[Any]) -> str:
    """Return the keys of the lrs that the others of each optimizer follow: those of the largest groups."""
    leaders = []
    for label, optimizer in zip(labels_of(optimizers), optimizers, strict=True):
        groups = optimizer.param_groups
        sizes = [abs(float(group.get("initial_lr", group.get("lr", 0.0)))) for group in groups]
        leaders.append(key_of("lr", label, _names(groups)[sizes.index(max(sizes))]))
    return ", ".join(leaders)


def _names(groups: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a name for each group: its own, or its index. Of two with the same name, the later one adds its index."""
    names: list[str] = []
    for index, group in enumerate(groups):
        name = str(group.get("name", index))
        while name in names:
            name = f"{name}#{index}"
        names.append(name)
    return names


def _value(group: Mapping[str, Any], key: str) -> Any:
    """Return a value of a group, or None."""
    if key == "momentum" and key not in group and "betas" in group:
        return group["betas"][0]
    return group.get(key)
