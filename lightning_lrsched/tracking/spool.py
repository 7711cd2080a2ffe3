"""The spool: a folder, private to the user, with all of a fit that the tracking server has not taken yet."""

import errno
import json
import os
import shutil
import struct
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from shlex import quote
from typing import Any

from lightning_lrsched.tracking.journal import segment_path, segments
from lightning_lrsched.tracking.last_fit import Fit

FOLDER = "lrsched_spool"
_MANIFEST = "spool.json"
_MARK = struct.Struct("<qq")
_IN_USE: set[Path] = set()
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
_LOOK = 0.05  # seconds between two tries to open a spool that is in use


class SpoolError(Exception):
    """A spool that cannot be used; the message says why."""


class SpoolInUse(SpoolError):
    """A spool that a training, its last request or another replay still uses."""


class Spool:
    """Journal segments, how far they were delivered, tasks that are open, and files that wait for their upload.

    Args:
        folder: where it lies.
        manifest: what it is of.
        lock: the open lock file.
    """

    def __init__(self, folder: Path, manifest: dict[str, Any], lock: int) -> None:
        """Take over a folder; see `create` and `open`."""
        self.folder = folder
        self.manifest = manifest
        self._mark = os.open(folder / "delivered", os.O_RDWR | os.O_CREAT, 0o600)
        self._fds: tuple[int, ...] = (self._mark, lock)

    @classmethod
    def create(cls, parent: Path, facts: Mapping[str, Any]) -> "Spool":
        """Make the spool of a new fit in a folder.

        Raises:
            OSError: if nothing can be written there.
        """
        token = uuid.uuid4().hex
        folder = parent / f"{time.strftime('%Y%m%d-%H%M%S')}-{token[:6]}"
        _make(folder)
        try:
            for name in ("tasks", "steps"):
                (folder / name).mkdir(mode=0o700)
            made = cls(folder, {"token": token, **facts}, _locked(folder))
            made.note()
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return made

    @classmethod
    def open(cls, folder: Path, patience: float = 0.0) -> "Spool":
        """Open a spool that a fit has left.

        Args:
            folder: the spool.
            patience: seconds to wait for one that is in use. A fit that gave up has a last request running, which a
                slow store may hold for as long as it takes requests.

        Raises:
            SpoolInUse: if a process, or a fit of this one, still uses it.
            SpoolError: if it is none.
        """
        deadline = time.monotonic() + patience
        while True:
            try:
                return cls._open_now(folder)
            except SpoolInUse:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(_LOOK)

    @classmethod
    def _open_now(cls, folder: Path) -> "Spool":
        """Open a spool, or say why not."""
        read_manifest(folder)
        try:
            lock = _locked(folder)
            try:
                return cls(folder, read_manifest(folder), lock)  # again: who had it may have removed it meanwhile
            except BaseException:
                _unlock(folder, lock)
                raise
        except BlockingIOError as error:
            raise SpoolInUse(f"{folder} is in use: its training, or another replay, is still running") from error
        except OSError as error:
            raise SpoolError(f"{folder} cannot be used: {error}") from error

    @property
    def fit(self) -> Fit:
        """The fit that it is of."""
        return fit_of(self.manifest)

    def note(self, **facts: Any) -> None:
        """Add facts to the manifest."""
        self.manifest |= facts
        self.write(_MANIFEST, self.manifest)

    def write(self, name: str, content: Any) -> Path:
        """Write a JSON file into the folder; it is there whole, or not at all."""
        path = self.folder / name
        part = path.with_suffix(".part")
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(content, file)
        part.rename(path)
        return path

    def read(self, path: Path) -> Any:
        """Return what a JSON file of the folder holds.

        Raises:
            SpoolError: if it is not whole.
        """
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise SpoolError(
                f"{path} is not whole ({error}), as after a crash of the machine; to go on without it: "
                f"rm {quote(str(path))}"
            ) from error

    def mark(self, segment: int, offset: int) -> None:
        """Remember that everything before an offset of a segment was delivered."""
        with suppress(OSError):  # a full disk: what is delivered again after a kill is stored once all the same
            os.pwrite(self._mark, _MARK.pack(segment, offset), 0)

    def marked(self) -> tuple[int, int]:
        """Return the segment and the offset before which everything was delivered."""
        content = os.pread(self._mark, _MARK.size, 0)
        segment, offset = _MARK.unpack(content) if len(content) == _MARK.size else (0, 0)
        return segment, offset

    def tasks(self) -> list[Path]:
        """Return the files of the tasks that are open, in their order."""
        return sorted((self.folder / "tasks").glob("*.json"))

    def files(self) -> list[Path]:
        """Return the packed steps that wait for their upload."""
        return sorted((self.folder / "steps").glob("*.npz"))

    def release(self) -> None:
        """Let others use the folder; a second call does nothing."""
        fds, self._fds = self._fds, ()
        if fds:
            _unlock(self.folder, *fds)

    def remove(self) -> None:
        """Remove the folder; when that was the last, the one around it too, unless the user has named it."""
        with suppress(OSError):
            (self.folder / _MANIFEST).unlink()  # from here on it is no spool, for whoever waits for it
        self.release()
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.folder.parent.name == FOLDER:
            with suppress(OSError):
                self.folder.parent.rmdir()

    def written(self) -> int:
        """Return when the journal was last written to, in milliseconds since the epoch: when the fit ended."""
        times = (self.segment(index).stat().st_mtime_ns for index in self.segments())
        return max(times, default=time.time_ns()) // 1_000_000

    def segments(self) -> list[int]:
        """Return the numbers of the journal's segments that are left."""
        return segments(self.folder)

    def segment(self, index: int) -> Path:
        """Return the file of a segment."""
        return segment_path(self.folder, index)


def spools(parent: Path) -> Iterator[Path]:
    """Yield the spools in a folder, oldest first."""
    yield from sorted(path.parent for path in parent.glob(f"*/{_MANIFEST}"))


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return what a spool is of; this does not lock it.

    Raises:
        SpoolError: if it is none, or another user's.
    """
    try:
        owner = folder.stat().st_uid
        manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SpoolError(f"{folder} is no spool: {error}") from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("token"), str):
        raise SpoolError(f"{folder} is no spool: its {_MANIFEST} has no token")
    if os.getuid() not in (owner, 0):  # it could send our credentials anywhere, and any file of ours
        raise SpoolError(f"{folder} belongs to another user: only what is your own is delivered")
    return manifest


def fit_of(manifest: Mapping[str, Any]) -> Fit:
    """Return the fit that a spool is of."""
    return Fit(manifest["token"], manifest.get("created", 0))


def _unlock(folder: Path, *fds: int) -> None:
    """Let go of a folder that is locked, by closing files of it, the lock among them."""
    for fd in fds:
        os.close(fd)
    _IN_USE.discard(folder.resolve())  # last: to close any file of it gives up the lock of the process


def _locked(folder: Path) -> int:
    """Return the open lock file of a folder; the kernel lets go of it when the process ends, however it ends.

    It is a lock of the process (``lockf``): workers that are forked from it do not hold it. Some network file systems
    have none: there only the fits of one process know of each other.

    Raises:
        BlockingIOError: if another process, or another fit of this one, has it.
        OSError: if it cannot be locked otherwise.
    """
    import fcntl  # not there on Windows, where `MLflowTracker` refuses and the rest of the package works

    if folder.resolve() in _IN_USE:
        raise BlockingIOError(str(folder))
    fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _NO_LOCKS:  # there, a spool without a lock is better than none
            os.close(fd)
            if error.errno in (errno.EACCES, errno.EAGAIN):
                raise BlockingIOError(str(folder)) from error
            raise
    _IN_USE.add(folder.resolve())
    return fd


def _make(folder: Path) -> None:
    """Make a folder and the one around it, which the end of another fit can remove between the two."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.mkdir(mode=0o700)
    except FileNotFoundError:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700)
