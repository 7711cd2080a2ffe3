"""A session: the recording of one fit into one run, from its first step to its end."""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from lightning_lrsched.masking import masked, reason_of
from lightning_lrsched.tracking.background import Pace
from lightning_lrsched.tracking.last_fit import Fit
from lightning_lrsched.tracking.mlflow_client import import_store
from lightning_lrsched.tracking.mlflow_sink import MOST_POINTS, MlflowSink
from lightning_lrsched.tracking.pick import Earlier, Target, sink_for
from lightning_lrsched.tracking.replay import deliver_points, deliver_rest, known_steps
from lightning_lrsched.tracking.spool import FOLDER, Spool, SpoolError, SpoolInUse, fit_of, read_manifest, spools
from lightning_lrsched.tracking.writer import Settings, Writer

if TYPE_CHECKING:
    from mlflow.entities import Experiment

_MOST_TOLD = 3  # keys that a message names


@dataclass(frozen=True)
class Options:
    """How a session records and delivers.

    Args:
        spool_dir: where its spool goes, in a folder of its own.
        request_timeout: seconds a request to a tracking server may take.
        flush_timeout: seconds that the end waits for the last points.
        settings: how the writer works.
    """

    spool_dir: Path
    request_timeout: float = 30.0
    flush_timeout: float = 60.0
    settings: Settings = field(default_factory=Settings)


@dataclass(frozen=True)
class Left:
    """What the store has not taken when a fit ended.

    Args:
        spool: where it is kept, for a replay; None where nothing could be kept.
        lost: whether some of it is not there either.
    """

    spool: Path | None
    lost: bool


class Session:
    """Opens the spool and the writer of a fit, and closes them.

    Args:
        target: the run.
        options: how to record.
        tell: called with each message to the user.
    """

    def __init__(self, target: Target, options: Options, tell: Callable[[str], None]) -> None:
        """Begin to deliver; the run itself is opened in the writer's thread."""
        import_store(target.uri)
        self.target = target
        self.left: Left | None = None
        self._options = options
        self._tell = tell
        self._before: Fit | None = None
        self._experiment: Experiment | None = None  # of the run, once that is open
        self._left_alone: set[Path] = set()  # spools of earlier fits that were tried, and told
        self._spool = self._make_spool()
        fit = Fit(target.token, _now()) if self._spool is None else self._spool.fit
        self.sink = sink_for(target, options.request_timeout, fit, tell, self._note_run)
        self.writer = Writer(self.sink, self._spool, tell, options.settings, self._prepare)

    @property
    def run_id(self) -> str | None:
        """The run; None before it is known."""
        return self.sink.run_id

    @property
    def earlier(self) -> Earlier:
        """What a checkpoint keeps of this session."""
        target, known = self.target, self._experiment if self.target.owned else None
        name = target.experiment if known is None else str(known.name)
        number = target.experiment_id if known is None else str(known.experiment_id)
        return Earlier(self.run_id, target.token, masked(target.uri), name, number)

    def close(self, status: str) -> None:
        """Deliver the rest and end the run; what is not taken in time, or before ctrl-C, is told and `left`."""
        begin = time.monotonic()
        self.sink.batch_size = MOST_POINTS  # no step waits any more
        try:
            self.writer.close(self._options.flush_timeout, status)
        finally:
            self._account(time.monotonic() - begin)

    def _account(self, waited: float) -> None:
        """Tell what the store has not taken in so many seconds, with the command that delivers it."""
        writer, timeout = self.writer, self._options.flush_timeout
        if writer.done:
            if writer.infinite_values:
                self._tell(f"MLflow takes no infinite values: {_counted(writer.infinite_values)} were left out")
            if writer.unpacked:
                self._tell(f"schedule/steps lacks some steps ({writer.unpacked}); MLflow has every point")
            return
        late = waited >= timeout
        reason = (writer.reason or ("it does not answer" if late else "the waiting was interrupted")).rstrip(".")
        within = f" in {timeout:g} s (flush_timeout)" if late else ""
        message = f"MLflow has not taken everything{within}: {reason}."
        folder = None if self._spool is None else self._spool.folder
        removed = folder is not None and _is_removed(folder)
        if removed:
            message += " Somebody has removed the spool: what MLflow has not taken is lost"
            folder = None
        elif folder is not None:
            message += f" The rest is kept in {folder}. Deliver it with: lrsched replay {quote(str(folder))}"
        lost = bool(writer.journal.dropped) or folder is None or writer.journal.refused
        if lost and not removed:
            message += " What could not be written to the spool was in memory alone, and is lost"
        if writer.journal.dropped:
            message += f"; for {writer.journal.dropped} steps there was no room in memory either"
        self.left = Left(folder, lost)
        self._tell(message)

    def _make_spool(self) -> Spool | None:
        """Return a spool, or None, told, where none can be written."""
        target, settings = self.target, self._options.settings
        facts = target.facts() | {
            "created": _now(),
            "title": settings.title,
            "picture": settings.picture,
            "thinning": [settings.thinning.every, settings.thinning.tolerance],
            "resumed": self._goes_on,
        }
        try:
            return Spool.create(self._options.spool_dir, facts)
        except OSError as refused:
            self._tell(
                f"The spool cannot be written in {self._options.spool_dir} ({refused.strerror or refused}): tracking "
                "goes on in memory, without schedule/steps, and what the tracking server has not taken when the "
                "process ends is lost"
            )
            return None

    @property
    def _goes_on(self) -> bool:
        """Whether the run has steps of the fit from whose checkpoint this one was resumed."""
        earlier = self.target.earlier
        return earlier is not None and (self.target.resume or earlier.run_id == self.target.run_id)

    def _note_run(self, run_id: str, experiment: "Experiment", before: Fit | None) -> None:
        """Have the spool say which run it is of, and keep which fit wrote to it before."""
        self._before, self._experiment = before, experiment
        if self._spool is not None:
            with suppress(OSError):  # a full disk has been told by the journal
                self._spool.note(run_id=run_id, experiment_found=experiment.name)

    def _prepare(self, pace: Pace) -> Mapping[str, int]:
        """Deliver what the fits before have left of the same run, and return what the run has then."""
        if not self._goes_on:
            return {}
        sink = self.sink.opened()
        own = None if self._spool is None else self._spool.folder
        for folder in spools(self._options.spool_dir):
            if folder != own and folder not in self._left_alone:
                self._take_over(folder, sink, pace)
        return sink.last_steps() if self._spool is None else known_steps(self._spool, sink)

    def _take_over(self, folder: Path, sink: MlflowSink, pace: Pace) -> None:
        """Deliver the spool of an earlier fit of this run.

        Its points must be there before this fit goes on with them. What else it has may be refused for good, and
        keeps nothing waiting: that is told, and left for a replay.

        Raises:
            SpoolInUse: while somebody else delivers it, as the process of a job that was requeued may still do.
        """
        try:
            spool = self._open_earlier(folder, sink)
        except SpoolInUse:
            raise
        except SpoolError:
            return
        if spool is None:
            return
        try:
            last = spool.fit.is_last(self._before)  # this fit has written nothing yet
            delivery = deliver_points(spool, sink, pace=pace, last=last)
            try:
                deliver_rest(spool, sink, delivery)
            except Exception as refused:  # whatever a store, a disk or a network can raise
                raise SpoolError(reason_of(refused)) from refused
            spool.remove()
        except SpoolError as left:
            self._left_alone.add(folder)
            why = f"An earlier fit of this run has left something in {folder}: {reason_of(left)}."
            self._tell(f"{why} Deliver it with: lrsched replay {quote(str(folder))}")
        finally:
            spool.release()

    def _open_earlier(self, folder: Path, sink: MlflowSink) -> Spool | None:
        """Open a spool if it is of this run; None if it is not, or of a later fit that waits for this one.

        Raises:
            SpoolInUse: if an earlier fit of the run, or a replay of it, still uses it.
            SpoolError: if it cannot be opened otherwise.
        """
        manifest = read_manifest(folder)
        same_token = manifest.get("run_token") == self.target.token
        if manifest.get("run_id") != sink.run_id and not same_token:
            return None
        try:
            return Spool.open(folder)
        except SpoolInUse as used:
            if self._spool is not None and _order(fit_of(manifest)) > _order(self._spool.fit):
                return None
            raise SpoolInUse(
                f"an earlier fit of this run still delivers, and the points of this one wait for it: {used}"
            ) from used


def spool_parent(root: str | Path) -> Path:
    """Return the folder of the spools in a training's folder; in the working directory where that is remote."""
    return (Path.cwd() if "://" in str(root) else Path(root).absolute()) / FOLDER


def _is_removed(folder: Path) -> bool:
    """Return whether a folder is not there any more. Of a disk that does not answer nobody knows that."""
    try:
        folder.stat()
    except FileNotFoundError:
        return True
    except OSError:
        pass
    return False


def _order(fit: Fit) -> tuple[int, str]:
    """Return what says which of two fits waits for the other: one of them does, not both."""
    return fit.began, fit.token


def _counted(values: Mapping[str, int]) -> str:
    """Return how many values there are of each key, of the first ones where there are many."""
    shown = ", ".join(f"{count} of {key!r}" for key, count in islice(values.items(), _MOST_TOLD))
    more = len(values) - _MOST_TOLD
    return f"{shown} and those of {more} more" if more > 0 else shown


def _now() -> int:
    """Return the time in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000
