"""Delivery: what a journal holds, brought to a sink in order, from where the last delivery stopped."""

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from lightning_lrsched.tracking.background import Pace
from lightning_lrsched.tracking.columns import pack_segment
from lightning_lrsched.tracking.curve import Curve
from lightning_lrsched.tracking.journal import Journal, decode
from lightning_lrsched.tracking.points import Expander
from lightning_lrsched.tracking.sink import Point, PointSink
from lightning_lrsched.tracking.spool import Spool
from lightning_lrsched.tracking.thinning import Thinning

_READ = 1 << 20
_MOST_UNMARKED = 8  # batches after which the mark is set, even if that takes a small request
_DAMAGED = ".damaged"  # segments of which a part cannot be read, when all else of them was delivered
_WILL = "held.json"  # points that are held back, and the mark at which they are


class Delivery:
    """Reads the journal of a fit, as it grows or as it was left, and writes its points to a sink.

    How far it came is marked in the spool after every write. A replay begins there: it reads from the start of the
    segment before, for what the steps after build on, and at the mark keeps the steps on both its sides.

    Args:
        sink: where the points go.
        spool: where the journal lies; None for one that is in memory alone.
        journal: the journal of a fit that is running; None for one that was left.
        thinning: which steps are kept.
        after: by key, the last step that the run has already.
        pace: how fast to go beside a training; None for as fast as possible.
    """

    def __init__(
        self,
        sink: PointSink,
        spool: Spool | None,
        journal: Journal | None,
        thinning: Thinning,
        after: Mapping[str, int],
        *,
        pace: Pace | None = None,
    ) -> None:
        """Begin at the mark."""
        self.curves: dict[str, Curve] = {}
        self.infinite: Counter[str] = Counter()
        self.written = 0
        self.unread = 0
        self.damaged: set[Path] = set() if spool is None else set(spool.folder.glob(f"*{_DAMAGED}"))
        self.status: str | None = None
        self.unpacked = ""  # why the packed steps lack a segment
        self._sink = sink
        self._spool = spool
        self._journal = journal
        self._pace = pace
        self._mark, self._will = ((0, 0), None) if spool is None else _left(spool)
        self._behind = self._mark > (0, 0)
        # Plain tuples: unlike named ones, the garbage collector soon looks at them no more.
        self._waiting: list[tuple[str, float, int, int]] = []
        self._unmarked = 0
        self._expander = Expander(thinning, after, self.curves, self.infinite)
        before = self._mark[0] - 1
        self._begin(before if spool is not None and spool.segment(before).exists() else self._mark[0])

    @property
    def waiting(self) -> int:
        """Points that have been read and not written."""
        return len(self._waiting)

    def fill(self) -> bool:
        """Read until no further step fits into the batch that is waiting; return whether there is one."""
        while not self._waiting or len(self._waiting) + self._expander.width <= self._sink.batch_size:
            if not (self._expand() or self._load() or self._next_segment() or self._load_memory()):
                return False
            self._rest()
        return True

    def push(self, *, more: bool = False) -> None:
        """Write what is waiting, and mark it as delivered; an exception leaves the rest for the next call.

        Args:
            more: whether more will follow: what a boundary has added beyond a batch goes with the next one then. The
                mark has to wait for it, so that is done a few times only, and not again before the mark was set.
        """
        size = self._sink.batch_size
        while self._waiting:
            points = [Point(*point) for point in self._waiting[:size]]
            self._sink.write(points)
            self.written += len(points)
            del self._waiting[:size]
            self._rest()
            if more and self._unmarked < _MOST_UNMARKED and len(self._waiting) < size:
                break
        self._unmarked = self._unmarked + 1 if self._waiting else 0
        if self._waiting:
            return
        if self._spool is not None and not self._behind:
            self._leave(self._spool)
            for index in self._spool.segments():
                if index < self._segment - 1:  # the one before is what a replay builds on
                    self._let_go(self._spool.segment(index))

    def _let_go(self, path: Path) -> None:
        """Remove a segment that was delivered; one that cannot be read whole is kept, for who can mend it."""
        if path in self.damaged:
            self.damaged.remove(path)
            self.damaged.add(path.rename(path.with_suffix(_DAMAGED)))
        else:
            path.unlink(missing_ok=True)

    def _leave(self, spool: Spool) -> None:
        """Mark how far it came, and write down what is held back: first that, so that neither is without the other."""
        mark, will = (self._segment, self._base + self._at), self._expander.will()
        if will is not None:
            try:
                spool.write(_WILL, {"mark": mark, "points": will})
            except OSError:  # a full disk: a replay sends again what was sent since the last mark
                return
        spool.mark(*mark)

    def _rest(self) -> None:
        """Leave the training its time, and less of it while a good deal of the journal waits."""
        if self._pace is not None:
            self._pace.rest(hurried=len(self._data) - self._at > _READ // 2)

    def run(self) -> None:
        """Deliver everything that is there."""
        while self.fill():
            self.push(more=True)
        self.push()

    def _wait(self, points: Iterable[Point]) -> None:
        """Have points wait for their batch."""
        self._waiting += ((point.key, point.value, point.step, point.timestamp) for point in points)

    def _begin(self, segment: int) -> None:
        """Read a segment from its start."""
        self._segment = segment
        self._data, self._at, self._base = b"", 0, 0

    def _expand(self) -> bool:
        """Make points of the next part of what was read; return whether there was one."""
        if self._behind and (self._segment, self._base + self._at) >= self._mark:
            self._behind = False
            renewed = list(self._expander.renew())
            self._wait(renewed if self._will is None else self._will)
            self._expander.forget()
        here = self._mark[1] - self._base if self._behind and self._segment == self._mark[0] else len(self._data)
        room = self._sink.batch_size - len(self._waiting)
        for part, stop in decode(self._data[:here], self._at, self._expander.most(room)):
            points = list(self._expander.add(part))
            if isinstance(part, dict) and part["is"] == "end":
                points += self._expander.end()
                self.status = part["status"]
            if not self._behind:
                self._wait(points)
            self._at = stop
            return True
        return False

    def _load(self) -> bool:
        """Read on in the segment; return whether there was more.

        Raises:
            FileNotFoundError: if somebody has removed what the journal writes.
        """
        if self._spool is None:
            return False
        try:
            with self._spool.segment(self._segment).open("rb") as file:
                file.seek(self._base + len(self._data))
                more = file.read(_READ)
        except FileNotFoundError:
            if self._journal is not None and self._segment <= self._journal.segment:
                raise
            return False
        self._base += self._at
        self._data, self._at = self._data[self._at :] + more, 0
        return bool(more)

    def _next_segment(self) -> bool:
        """Go over to the next segment if this one is complete; return whether it did."""
        if self._spool is None or not self._spool.segment(self._segment + 1).exists():
            return False
        if self._load() or self._expand():  # written between the last look and the beginning of the next one
            return True
        if self._at < len(self._data):
            self.damaged.add(self._spool.segment(self._segment))
        self._end_segment()
        self._begin(self._segment + 1)
        return True

    def _load_memory(self) -> bool:
        """Take what the journal keeps in memory since the disk refused it; return whether there was some."""
        if self._journal is None or self._journal.on_disk or not self._journal.memory:
            return False
        if self._load():  # written between the last look and the refusal
            return True
        self._base += self._at
        self._data, self._at = self._journal.take_memory(_READ), 0
        return True

    def finish(self) -> None:
        """Bring the last segment to its end: nothing comes after it."""
        self.unread += len(self._data) - self._at
        self._wait(self._expander.end() if self.status is None else ())
        self._end_segment()

    def _end_segment(self) -> None:
        """Pack the segment's steps into a file that waits for its upload."""
        if self._spool is None or (self._journal is not None and self._journal.refused):
            return
        source = self._spool.segment(self._segment)
        target = packed_path(self._spool, self._segment)
        if not source.exists() or target.exists():
            return
        try:
            pack_segment(source.read_bytes(), target)
        except OSError as refused:  # a full disk keeps no point from being delivered
            self.unpacked = refused.strerror or str(refused)
            with suppress(OSError):
                target.with_suffix(".part").unlink(missing_ok=True)


def _left(spool: Spool) -> tuple[tuple[int, int], list[Point] | None]:
    """Return the mark, and what was held back there, of the delivery before."""
    mark = spool.marked()
    try:
        will = spool.read(spool.folder / _WILL)
    except FileNotFoundError:
        return mark, None
    return max(mark, (will["mark"][0], will["mark"][1])), [Point(*point) for point in will["points"]]


def packed_path(spool: Spool, segment: int) -> Path:
    """Return the file with the packed steps of a segment; the names sort as the steps were made."""
    created: Any = spool.manifest.get("created", 0)
    return spool.folder / "steps" / f"{created:013d}-{segment:06d}.npz"
