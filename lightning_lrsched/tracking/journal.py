"""The journal: what training recorded, appended to files before anything else is done with it."""

import errno
import json
import os
import struct
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_MARKER = 0xA5
_NOTE, _STEP = 1, 2
_HEAD = struct.Struct("<BBHI")  # marker, kind, layout, bytes that follow
_STEP_BYTES = 16  # of a step's axis and timestamp, before its values
SUFFIX = ".journal"
SEGMENT_BYTES = 32 << 20
MOST_IN_MEMORY = 64 << 20


class Steps(NamedTuple):
    """Real steps that follow one another in a journal, all of one layout (the keys of their values).

    Args:
        layout: number of the layout.
        axis: where each lies on the axis of the trainer's loggers.
        timestamps: when each was made, in milliseconds since the epoch.
        values: one row for each step, one column for each key.
    """

    layout: int
    axis: "npt.NDArray[np.int64]"
    timestamps: "npt.NDArray[np.int64]"
    values: "npt.NDArray[np.float64]"


def note(**fields: Any) -> bytes:
    """Return the record of anything but a step."""
    content = json.dumps(fields).encode()
    return _HEAD.pack(_MARKER, _NOTE, 0, len(content)) + content


def step_packer(layout: int, columns: int) -> Callable[..., bytes]:
    """Return a function that makes the record of a step from its axis, its timestamp and each of its values."""
    size = _STEP_BYTES + 8 * columns
    return partial(struct.Struct(f"<BBHIqq{columns}d").pack, _MARKER, _STEP, layout, size)


def decode(data: bytes, start: int, most: int) -> Iterator[tuple[Steps | dict[str, Any], int]]:
    """Yield what journal bytes hold from ``start`` on, each part with the offset after it.

    Up to ``most`` like steps come as one part. It ends before a record that is not complete: it is still being
    written, its process was killed, or the machine crashed, which can leave zeros in it.
    """
    while start + _HEAD.size <= len(data):
        marker, kind, layout, size = _HEAD.unpack_from(data, start)
        stop = start + _HEAD.size + size
        if marker != _MARKER or kind not in (_NOTE, _STEP) or stop > len(data):
            return
        if kind == _NOTE:
            try:
                fields = json.loads(data[start + _HEAD.size : stop])
            except ValueError:
                return
            yield fields, stop
        else:
            steps, stop = _like_steps(data, start, size, most)
            yield steps._replace(layout=layout), stop
        start = stop


def _like_steps(data: bytes, start: int, size: int, most: int) -> tuple[Steps, int]:
    """Return the steps from ``start`` on that have the same head, and the offset after them."""
    import numpy as np

    columns = (size - _STEP_BYTES) // 8
    kind = np.dtype([("head", "<u8"), ("axis", "<i8"), ("timestamp", "<i8"), ("values", "<f8", (columns,))])
    rows = np.frombuffer(data, kind, count=min(most, (len(data) - start) // kind.itemsize), offset=start)
    others = np.flatnonzero(rows["head"] != rows["head"][0])
    rows = rows[: others[0]] if len(others) else rows
    return Steps(0, rows["axis"], rows["timestamp"], rows["values"]), start + len(rows) * kind.itemsize


class Journal:
    """Appends records to segment files, in the training thread: one ``os.write`` a record.

    What is written is safe when the process is killed: the kernel has it. When the disk refuses (full, read-only),
    records are kept in memory from there on, up to `MOST_IN_MEMORY`; past that, steps are dropped and counted.

    Args:
        folder: where the segments go; None to keep everything in memory.
        tell: called with a message when the disk refuses, once.
        segment_bytes: size at which the next segment is begun.
        most_in_memory: bytes that are kept in memory at most.
    """

    def __init__(
        self,
        folder: Path | None,
        tell: Callable[[str], None],
        segment_bytes: int = SEGMENT_BYTES,
        most_in_memory: int = MOST_IN_MEMORY,
    ) -> None:
        """Begin with the first segment."""
        self.dropped = 0
        self.segment = -1
        self.refused = False
        self.memory: deque[bytes] = deque()
        self.header: dict[object, bytes] = {}
        self.layouts = 0  # that were written down
        self._in_memory = 0
        self._most_in_memory = most_in_memory
        self._folder = folder
        self.tell = tell
        self._segment_bytes = segment_bytes
        self._size = 0
        self._fd = -1
        if folder is not None:
            self._roll()

    @property
    def on_disk(self) -> bool:
        """Whether records go to the disk."""
        return self._fd >= 0

    def append(self, record: bytes) -> None:
        """Take a record."""
        if self._fd < 0:
            self._keep(record)
            return
        try:
            written = os.write(self._fd, record)
        except OSError as refused:
            self._give_up(refused, 0)
            self._keep(record)
            return
        if written != len(record):  # the disk has become full within the record
            self._give_up(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), written)
            self._keep(record)
            return
        self._size += written
        if self._size >= self._segment_bytes:
            self._roll()

    def close(self) -> None:
        """Take nothing more."""
        if self._fd >= 0:
            _close(self._fd)
            self._fd = -1

    def _roll(self) -> None:
        """Begin a segment, with what makes it readable alone. The next number says that the last one is complete."""
        if self._folder is None:
            return
        path = segment_path(self._folder, self.segment + 1)
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        except OSError as refused:
            if self._fd < 0:
                self._give_up(refused, 0)
            self._size = 0  # the open segment is as good as a new one: no more files may be open just now
            return
        if self._fd >= 0:
            _close(self._fd)
        self._fd, self._size = fd, 0
        self.segment += 1
        for record in tuple(self.header.values()):
            self.append(record)

    def _give_up(self, reason: OSError, torn: int) -> None:
        """Go on in memory, and cut off a record that was written in part."""
        fd, self._fd, self.refused = self._fd, -1, True
        if fd >= 0:
            with suppress(OSError):  # what is torn is not read
                if torn:
                    os.ftruncate(fd, os.fstat(fd).st_size - torn)
            _close(fd)
        self.tell(
            f"The spool cannot be written ({reason.strerror or reason}): tracking goes on in memory, "
            "without schedule/steps, and what the tracking server has not taken when the process ends is lost"
        )

    def _keep(self, record: bytes) -> None:
        """Keep a record in memory; a step only as long as there is room."""
        if self._in_memory + len(record) > self._most_in_memory and record[1] == _STEP:
            self.dropped += 1
            return
        self._in_memory += len(record)
        self.memory.append(record)

    def take_memory(self, most: int) -> bytes:
        """Return up to about ``most`` bytes of what is kept in memory, which is forgotten here."""
        taken, size = [], 0
        while self.memory and size < most:
            taken.append(self.memory.popleft())
            size += len(taken[-1])
        self._in_memory -= size
        return b"".join(taken)


def _close(fd: int) -> None:
    """Close a file. A network's file system can refuse that: what is read back is then what has arrived."""
    with suppress(OSError):
        os.close(fd)


def segment_path(folder: Path, index: int) -> Path:
    """Return the file of a segment."""
    return folder / f"{index:06d}{SUFFIX}"


def segments(folder: Path) -> list[int]:
    """Return the numbers of the segments that are there."""
    return sorted(int(path.stem) for path in folder.glob(f"[0-9]*{SUFFIX}"))
