"""Replay: brings to MLflow what a fit has left in its spool. It can be stopped and begun again at any moment."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from lightning_lrsched.masking import masked
from lightning_lrsched.tracking import tasks
from lightning_lrsched.tracking.background import Pace
from lightning_lrsched.tracking.delivery import Delivery
from lightning_lrsched.tracking.last_fit import Fit, last_fit, note_last_fit
from lightning_lrsched.tracking.mlflow_client import open_client
from lightning_lrsched.tracking.mlflow_sink import MlflowSink
from lightning_lrsched.tracking.pick import TOKEN, Earlier, come_from, find_experiment, find_run, is_active, open_run
from lightning_lrsched.tracking.sink import Point, PointSink, Sink
from lightning_lrsched.tracking.spool import Spool, SpoolError, spools
from lightning_lrsched.tracking.thinning import Thinning

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class Replayed:
    """What a replay has delivered.

    Args:
        run_id: the run.
        points: points that were written now.
        unread: bytes at the end of the journal that are no complete record.
        status: what the run was set to; None if it was left as it is.
        unpacked: why the packed steps lack some; empty where they are whole.
    """

    run_id: str
    points: int
    unread: int
    status: str | None
    unpacked: str = ""


def find_spools(path: Path) -> list[Path]:
    """Return the spools that a path means: itself, or those in it.

    Raises:
        SpoolError: if there is none.
    """
    if (path / "spool.json").is_file():
        return [path]
    found = list(spools(path))
    if not found:
        raise SpoolError(f"{path} is no spool, and there is none in it")
    return found


def replay(
    folder: Path,
    tracking_uri: str | None = None,
    *,
    request_timeout: float = 30.0,
    any_experiment: bool = False,
    patience: float = 0.0,
    progress: Callable[[int], None] = lambda points: None,
) -> Replayed:
    """Deliver a spool to its run, and remove it.

    Args:
        folder: the spool.
        tracking_uri: the store; None for the one that the spool names, which must then need no password in its URI.
        request_timeout: seconds a request may take.
        any_experiment: deliver also if the run is in another experiment than the spool says.
        patience: seconds to wait for a spool that is in use.
        progress: called with the number of points that were written so far.

    Raises:
        SpoolError: if it is no spool, is in use, names no store that can be used, or the run is not the spool's.
    """
    spool = Spool.open(folder, patience)
    try:
        uri = _uri(spool, tracking_uri)
        client = open_client(uri, request_timeout, retries=3)
        sink = MlflowSink(client, _run(client, spool, any_experiment=any_experiment), owned=True)
        known = last_fit(client.get_run(sink.run_id))
        last = spool.fit.is_last(known)
        if last:  # before its points: an earlier fit that is delivered later must leave them as they are
            note_last_fit(client, sink.run_id, spool.fit)
        delivery = deliver_points(spool, sink, progress, last=last)
        status = _finish(spool, sink, delivery.status, known) if last else None
        deliver_rest(spool, sink, delivery)
    except BaseException:
        spool.release()
        raise
    spool.remove()
    return Replayed(sink.run_id, delivery.written, delivery.unread, status, delivery.unpacked)


def deliver_points(
    spool: Spool,
    sink: MlflowSink,
    progress: Callable[[int], None] = lambda points: None,
    pace: Pace | None = None,
    *,
    last: bool,
) -> Delivery:
    """Bring every point in a spool to a sink.

    Args:
        spool: the spool.
        sink: its run.
        progress: called with the number of points that were written so far.
        pace: how fast to go beside a training; None for as fast as possible.
        last: whether no later fit has written to the run.
    """
    points: PointSink = sink if last else Gaps(sink)
    delivery = Delivery(points, spool, None, thinning_of(spool), known_steps(spool, sink), pace=pace)
    while delivery.fill():
        delivery.push(more=True)
        progress(delivery.written)
    delivery.finish()
    delivery.push()
    progress(delivery.written)
    return delivery


def deliver_rest(spool: Spool, sink: MlflowSink, delivery: Delivery) -> None:
    """Do what a fit has left besides its points: tasks, picture, packed steps. The spool is left as a shell.

    Args:
        spool: the spool.
        sink: its run.
        delivery: what has brought its points there.

    Raises:
        SpoolError: when all else is done, if a task is refused for good or its checkpoint is gone, or if a part of the
            journal cannot be read.
    """
    refused = []
    for path in spool.tasks():
        try:
            tasks.perform(spool.read(path), sink)
        except Exception as failure:
            gone = isinstance(failure, FileNotFoundError)
            if not (gone or sink.is_final(failure)):
                raise
            why = f"{getattr(failure, 'filename', None) or failure} is not there any more" if gone else failure
            refused.append(f"{why}; to go on without it: rm {quote(str(path))}")
        else:
            path.unlink()
    title, picture = spool.manifest.get("title", "learning rate"), spool.manifest.get("picture", "lr.png")
    if delivery.curves:
        tasks.upload_curve(sink, delivery.curves, title, picture)
    for path in spool.files():
        sink.upload(path, tasks.STEPS_FOLDER)
    if delivery.damaged:
        names = ", ".join(sorted(map(str, delivery.damaged)))
        refused.append(f"{names} is damaged, and lacks steps; to go on without them: rm -r {quote(str(spool.folder))}")
    if refused:
        raise SpoolError("\n".join(refused))


def thinning_of(spool: Spool) -> Thinning:
    """Return how the points of a spool are thinned."""
    every, tolerance = spool.manifest.get("thinning", (1, 0.0))
    return Thinning(every, tolerance)


def known_steps(spool: Spool, sink: Sink) -> Mapping[str, int]:
    """Return the last step of every curve that the run had before the spool's fit went on with it.

    It is asked for once and kept in the spool: the fit's own points must not count.
    """
    if not spool.manifest.get("resumed"):
        return {}
    if "known_steps" not in spool.manifest:
        spool.note(known_steps=dict(sink.last_steps()))
    known: Mapping[str, int] = spool.manifest["known_steps"]
    return known


def _uri(spool: Spool, given: str | None) -> str:
    """Return the tracking URI to use: the given one, or the spool's, with the credentials of the environment."""
    import os

    named = str(spool.manifest.get("uri", ""))
    if given is not None:
        return given
    around = os.environ.get("MLFLOW_TRACKING_URI", "")
    if around and masked(around) == named:
        return around
    if not named or named != named.replace("***", ""):
        raise SpoolError(
            f"{spool.folder} is of a run in {named or 'an unnamed store'}, and keeps no password. Pass the URI with "
            "--tracking-uri, or set MLFLOW_TRACKING_URI"
        )
    return named


def _run(client: "MlflowClient", spool: Spool, *, any_experiment: bool) -> str:
    """Return the spool's run in a store; a run of our own that was never opened is opened now.

    Raises:
        SpoolError: if the run is not there, or in another experiment than the spool says.
    """
    facts: Mapping[str, Any] = spool.manifest
    run_id, name = facts.get("run_id"), facts.get("experiment")
    experiment_id = find_experiment(client, name, facts.get("experiment_id"))
    found = find_run(client, run_id, experiment_id, str(facts.get("run_token")))
    if found is None or not is_active(found):
        if found is not None or run_id is not None or not _owned(spool):
            which = run_id or (found.info.run_id if found is not None else "that is named")
            raise SpoolError(
                f"the run {which} of {spool.folder} is not in {masked(client.tracking_uri)}, or deleted. Restore it "
                f"(mlflow runs restore --run-id {which}), or pass another --tracking-uri"
            )
        tags = {TOKEN: str(facts.get("run_token")), **facts.get("context", {})}
        if facts.get("comes_from"):
            tags |= come_from(client, Earlier(**facts["comes_from"]))[1]
        return open_run(client, experiment_id or client.create_experiment(str(name)), str(facts.get("run_name")), tags)
    experiment = client.get_experiment(found.info.experiment_id).name
    expected = facts.get("experiment_found", name)
    if expected is not None and experiment != expected and not any_experiment:
        raise SpoolError(
            f"{spool.folder} is of a run in experiment {expected!r}, and {found.info.run_id} is in {experiment!r}. "
            "If that is meant, pass --any-experiment"
        )
    if run_id is None:
        spool.note(run_id=found.info.run_id)
    return str(found.info.run_id)


def _finish(spool: Spool, sink: MlflowSink, status: str | None, known: Fit | None) -> str | None:
    """Set the run's status to what its last fit has ended with, and when; a fit that left no end was killed.

    What it was set to for an earlier fit (the last one that it knew of, or one that ended before this one began) does
    not hold any more. What it was set to since, and a run that is not ours, are left as they are.
    """
    if not _owned(spool):
        return None
    info = sink.client.get_run(sink.run_id).info
    before = known is not None and known.token != spool.fit.token
    if not before and info.status != "RUNNING" and (info.end_time or 0) >= spool.fit.began:
        return None
    status = status or "KILLED"
    sink.finish(status, spool.written())
    return status


def _owned(spool: Spool) -> bool:
    """Return whether the run of a spool is ours."""
    return spool.manifest.get("experiment") is not None or spool.manifest.get("experiment_id") is not None


class Gaps:
    """Writes only the steps that a run does not have: a fit that went on with it may have made some of them again.

    Args:
        sink: the run.
    """

    def __init__(self, sink: MlflowSink) -> None:
        """Know where every curve ends, and nothing of what is before."""
        self.batch_size = sink.batch_size
        self._sink = sink
        self._last: Mapping[str, int] = sink.last_steps()
        self._there: dict[str, set[int]] = {}

    def write(self, points: Sequence[Point]) -> None:
        """Store those points whose step is not there."""
        self._sink.write([point for point in points if not self._has(point)])

    def _has(self, point: Point) -> bool:
        """Return whether the run has the step of a point. A curve is read if it has a later one: that may be long."""
        if point.step > self._last.get(point.key, -1):
            return False
        if point.key not in self._there:
            history = self._sink.client.get_metric_history(self._sink.run_id, point.key)
            self._there[point.key] = {metric.step for metric in history}
        return point.step in self._there[point.key]
