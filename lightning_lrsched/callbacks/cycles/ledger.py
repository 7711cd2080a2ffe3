"""What to keep of every cycle: pure decisions, made of scores and steps alone."""

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

KEEPS = ("both", "best", "end")


@dataclass(frozen=True)
class Kept:
    """One checkpoint that was kept.

    Args:
        path: the checkpoint.
        step: real steps taken when it was saved (its weights were made by steps 0 .. step-1).
        epoch: epoch in which it was saved.
        score: value of the monitored metric for these weights; None where they were not measured.
        lr: lr of the first parameter group at the last of these steps; None where it is unknown.
        axis: the last of these steps on the axis of the trainer's loggers, where batches count that made no real
            step; None where it is unknown.
        metrics: all that was logged when these weights were validated.
    """

    path: str
    step: int
    epoch: int
    score: float | None = None
    lr: float | None = None
    axis: int | None = None
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class KeptCycle:
    """What was kept of one cycle.

    Args:
        cycle: index of the cycle, from 0.
        best: the best of the cycle's validations; None without one.
        end: the weights after the cycle's last real step; for a cycle that was cut, after the run's last step.
        complete: whether the cycle ran to its end; False while it runs, or when the run ended inside it.
    """

    cycle: int
    best: Kept | None = None
    end: Kept | None = None
    complete: bool = False

    @property
    def files(self) -> dict[str, str]:
        """Each checkpoint with what it is: ``"best"``, ``"end"``, or ``"best+end"`` where both are the same weights."""
        roles: dict[str, str] = {}
        for role, kept in (("best", self.best), ("end", self.end)):
            if kept is not None:
                roles[kept.path] = f"{roles[kept.path]}+{role}" if kept.path in roles else role
        return roles

    @property
    def kept(self) -> tuple[Kept, ...]:
        """The checkpoints, each once, the best first."""
        there = [kept for kept in (self.best, self.end) if kept is not None]
        return tuple({kept.path: kept for kept in there}.values())


class Ledger:
    """Decides what is kept of every cycle. It touches no file: it says what a save would replace.

    A score counts for the cycle that is running when it arrives, so the caller closes a cycle before it hands over a
    score of the next one. NaN never wins, ties keep the earlier.

    Args:
        mode: ``"min"`` or ``"max"``.
        keep: ``"both"``, ``"best"`` or ``"end"``.
        top_k: completed cycles that are kept; -1 for all.
    """

    def __init__(self, mode: str = "min", keep: str = "both", top_k: int = -1) -> None:
        """Begin before the first step."""
        self.mode = mode
        self.keep = keep
        self.top_k = top_k
        self.begin()

    def begin(self) -> None:
        """Forget everything: before the first step."""
        self.begun = False
        self.finished: list[KeptCycle] = []
        self.running = KeptCycle(0)
        self.shift = 0  # from the plan's number of a cycle to the one here
        self.stale = 0
        self._top: float | None = None
        self._before: tuple[int, float | None] = (0, None)  # both, before the latest cycle was closed

    def better(self, score: float | None, than: float | None) -> bool:
        """Return whether a score beats another one; any number beats what was not measured or is NaN."""
        if score is None or math.isnan(score):
            return False
        if than is None or math.isnan(than):
            return True
        return score < than if self.mode == "min" else score > than

    def there(self, step: int) -> Kept | None:
        """Return the checkpoint of the running cycle that holds the weights after so many steps."""
        return next((kept for kept in self.running.kept if kept.step == step), None)

    def wins(self, score: float) -> bool:
        """Return whether the weights with this score are to be kept as the best of the running cycle."""
        best = None if self.running.best is None else self.running.best.score
        return self.keep != "end" and self.better(score, best)

    def wants_end(self, step: int) -> bool:
        """Return whether the weights after so many steps, the last of the running cycle, are still to be kept."""
        return self.keep != "best" and (self.running.end is None or self.running.end.step != step)

    def take(self, kept: Kept, *, best: bool = False, end: bool = False) -> list[str]:
        """Enter a checkpoint of the running cycle, and return the paths that it replaces."""
        self.begun = True
        before = self.running.files
        self.running = replace(
            self.running, best=kept if best else self.running.best, end=kept if end else self.running.end
        )
        self.measure(kept.step, kept.score, kept.metrics)
        return [path for path in before if path not in self.running.files]

    def measure(self, step: int, score: float | None, metrics: dict[str, float]) -> None:
        """Enter what was measured of weights that are kept already."""
        if score is not None:
            self.running = self._each(
                self.running,
                lambda kept: replace(kept, score=score, metrics=metrics) if kept.step == step else kept,
            )

    def close(self, *, complete: bool) -> list[str]:
        """End the running cycle, and return the paths of a cycle that is not among the best `top_k` any more."""
        self.begun = True
        self._before = self.stale, self._top
        if complete:
            self.stale = self.stale_if_closed
            self._top = _score(self.running) if self.stale == 0 else self._top
        if self.running.files:
            self.finished.append(replace(self.running, complete=complete))
        self.running = KeptCycle(self.running.cycle + 1)
        return self._surplus()

    @property
    def stale_if_closed(self) -> int:
        """Completed cycles in a row that were not better than all before, if the running one ended now."""
        return 0 if self.better(_score(self.running), self._top) else self.stale + 1

    def drop(self) -> list[str]:
        """End the running cycle without keeping anything of it, and return its paths."""
        paths = list(self.running.files)
        self.running = KeptCycle(self.running.cycle + 1)
        return paths

    def reopen(self, cycle: int, *, ended: bool = False, before: int | None = None) -> None:
        """Go on with a cycle: one that a fit before has closed, being its last, is taken up again.

        A plan that was changed for a resume may count the cycles before it otherwise. Then the latest one goes on, or
        the next begins if it had its end: numbers and checkpoints of cycles that are over stay as they are.

        Args:
            cycle: its number in the plan.
            ended: whether the present weights are its end.
            before: its number in the plan of the fit before; None where that is unknown, and taken for the same.
        """
        there = bool(self.running.files)
        next_to = (0, 1) if there else (-1, 0, 1)
        if before not in (None, cycle) and cycle + self.shift - self.running.cycle not in next_to:
            latest = self.running.cycle if there else self.running.cycle - 1
            over = self.running.end is not None if there else not self.finished or self.finished[-1].complete
            self.shift = latest + (over and not ended) - cycle
        number = cycle + self.shift
        if self.finished and self.finished[-1].cycle == number:
            self.running = replace(self.finished.pop(), complete=False)
            self.stale, self._top = self._before
        elif number < self.running.cycle:  # nothing of it was kept
            self.running = KeptCycle(number)

    def forget(self, is_gone: Callable[[str], bool]) -> list[tuple[int, Kept]]:
        """Strike out checkpoints that are gone, and return them with their cycles."""
        rows = [*self.finished, self.running]
        gone = [(row.cycle, kept) for row in rows for kept in row.kept if is_gone(kept.path)]
        lost = {kept.path for _, kept in gone}
        rows = [self._each(row, lambda kept: None if kept.path in lost else kept) for row in rows]
        self.finished, self.running = [row for row in rows[:-1] if row.files], rows[-1]
        return gone

    def moved(self, folder: Callable[[str], str]) -> None:
        """Give every checkpoint another path."""
        rows = [
            self._each(row, lambda kept: replace(kept, path=folder(kept.path)))
            for row in (*self.finished, self.running)
        ]
        self.finished, self.running = rows[:-1], rows[-1]

    def all(self) -> Iterator[Kept]:
        """Yield every checkpoint, the finished cycles' first."""
        for row in (*self.finished, self.running):
            yield from row.kept

    @property
    def best(self) -> Kept | None:
        """The best of all by the metric, the earlier of equal ones; without one the latest unmeasured."""
        scored = [kept for kept in self.all() if kept.score is not None and not math.isnan(kept.score)]
        if not scored:
            return max((kept for kept in self.all() if kept.score is None), key=lambda kept: kept.step, default=None)
        sign = 1.0 if self.mode == "min" else -1.0
        return min(scored, key=lambda kept: (sign * (kept.score or 0.0), kept.step))

    @property
    def recommended(self) -> Kept | None:
        """The best end of a completed cycle by the metric, or the latest without one; None before there is any."""
        return recommended(self.finished, self.mode)

    def state(self) -> dict[str, Any]:
        """Return everything as primitives."""
        rows = {"finished": [asdict(row) for row in self.finished], "running": asdict(self.running)}
        return rows | {"shift": self.shift, "stale": self.stale, "top": self._top, "before": list(self._before)}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        self.begun = True
        self.finished = [_row(row) for row in state["finished"]]
        self.running = _row(state["running"])
        self.shift = state.get("shift", 0)  # a checkpoint of an earlier release has none, nor the pair below
        self.stale, self._top = state["stale"], state["top"]
        stale, top = state.get("before", (self.stale, self._top))
        self._before = stale, top

    def _surplus(self) -> list[str]:
        """Take the worst completed cycle out if there are more than `top_k`; without a score the oldest."""
        complete = [row for row in self.finished if row.complete]
        if self.top_k < 0 or len(complete) <= self.top_k:
            return []
        sign = 1.0 if self.mode == "min" else -1.0
        unmeasured = [row for row in complete if _score(row) is None]
        worst = unmeasured[0] if unmeasured else max(complete, key=lambda row: (sign * (_score(row) or 0.0), row.cycle))
        self.finished.remove(worst)
        return list(worst.files)

    @staticmethod
    def _each(row: KeptCycle, change: Callable[[Kept], Kept | None]) -> KeptCycle:
        """Return a cycle with each of its checkpoints changed."""
        return replace(row, best=row.best and change(row.best), end=row.end and change(row.end))


def recommended(cycles: list[KeptCycle], mode: str = "min") -> Kept | None:
    """Return the end of a completed cycle that is best by its own metric; the latest where none was measured.

    Source: Loshchilov & Hutter, arXiv 1608.03983, section 4: the recommended model is the one at the end of the last
    completed cycle, and before the first restart the current one, which is no checkpoint: None.
    """
    ends = [row.end for row in cycles if row.complete and row.end is not None]
    scored = [end for end in ends if end.score is not None and not math.isnan(end.score)]
    if scored:
        sign = 1.0 if mode == "min" else -1.0
        return min(scored, key=lambda end: (sign * (end.score or 0.0), end.step))
    unmeasured = [end for end in ends if end.score is None]
    return unmeasured[-1] if unmeasured else None


def _score(row: KeptCycle) -> float | None:
    """Return the score that a cycle is ranked by."""
    return next((kept.score for kept in row.kept if kept.score is not None and not math.isnan(kept.score)), None)


def _row(row: dict[str, Any]) -> KeptCycle:
    """Return a cycle from its primitives."""
    best, end = (None if row[role] is None else Kept(**row[role]) for role in ("best", "end"))
    return KeptCycle(row["cycle"], best, end, row["complete"])
