"""Trains what a sweep lacks, one run after the other."""

import gc
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import lightning as L

from lightning_lrsched.callbacks import LearningRateScheduler, MLflowTracker
from lightning_lrsched.configs import ConfigError, build, check_keys
from lightning_lrsched.sweep.combinations import Combination, combinations, shared_fingerprint
from lightning_lrsched.sweep.config import SweepConfig
from lightning_lrsched.sweep.selection import Choice, candidates, selected, selecting
from lightning_lrsched.sweep.store import SweepRuns, answering, impatient, tracking_uri
from lightning_lrsched.sweep.trained import Trained, forget

if TYPE_CHECKING:
    from mlflow.entities import Run

_URI = "MLFLOW_TRACKING_URI"
_DEFAULTS = {
    "devices": 1,
    "num_sanity_val_steps": 0,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "enable_checkpointing": False,
}


class Undelivered(Exception):
    """A run was trained to its end, and MLflow does not have all of it; the message says what comes next."""


class Progress(Protocol):
    """Who is told how far a sweep is."""

    def begin(self, total: int, finished: int) -> None:
        """Hear how many runs there are, and how many had finished before."""

    def running(self, name: str) -> None:
        """Hear which run is trained now."""

    def ended(self, name: str, error: Exception | None) -> None:
        """Hear that a run has finished, or why it failed."""


@dataclass
class SweepResult:
    """What a sweep did.

    Args:
        experiment: of the parent run; that of the candidates if one of them failed.
        parent_id: MLflow's id of the parent run.
        kept: names of the runs that had finished before.
        trained: names of the runs that finished now.
        failed: why runs failed, by name.
        choices: what the sweep's rule chose.
    """

    experiment: str
    parent_id: str
    kept: list[str] = field(default_factory=list)
    trained: list[str] = field(default_factory=list)
    failed: dict[str, Exception] = field(default_factory=dict)
    choices: list[Choice] = field(default_factory=list)


def run_sweep(config: SweepConfig, progress: Progress, uri: str | None = None) -> SweepResult:
    """Train every combination of a sweep that has no finished run yet, each with its own seed and the same budget.

    A run that failed does not stop the others. One that an earlier call left unfinished is put into MLflow's trash and
    trained anew; one that was trained to its end, but not taken by MLflow as a whole, is delivered from its spool. Only
    one process at a time may train a sweep.

    Args:
        config: the sweep.
        progress: told how far it is.
        uri: where the runs are kept; None for what the file or the environment says.

    Raises:
        ConfigError: before anything is trained, if a class cannot be imported or does not take its arguments.
        StoreAway: if MLflow does not answer any more. A second call delivers what was trained, and goes on.
    """
    for each in (*(tried := candidates(config)), *combinations(config)):
        _check(config, each)
    check_keys(config.trainer, signature(L.Trainer).parameters, "trainer")
    uri = tracking_uri(uri or config.tracking_uri)
    before = _train_missing(selecting(config), tried, progress, uri) if tried else None
    if before is not None and before.failed:
        return before  # a choice among what is left would favour its schedule
    with answering(uri):
        wanted, choices = selected(config, uri)
    result = _train_missing(config, wanted, progress, uri)
    result.choices = choices
    if before is not None:
        result.kept, result.trained = before.kept + result.kept, before.trained + result.trained
    return result


def _train_missing(config: SweepConfig, wanted: Sequence[Combination], progress: Progress, uri: str) -> SweepResult:
    """Train those of some runs that have not finished, as children of one parent."""
    with answering(uri):
        runs = SweepRuns.open(uri, config.experiment, config.name or config.experiment, shared_fingerprint(config))
    result = SweepResult(config.experiment, runs.parent_id)
    try:
        with answering(uri):
            children = runs.children()
            done = {each.fingerprint for each in wanted if _completed(config, each, children, runs)}
        result.kept = [each.name for each in wanted if each.fingerprint in done]
        progress.begin(len(wanted), len(result.kept))
        for each in wanted:
            if each.fingerprint in done:
                continue
            with answering(uri):
                for run in children.get(each.fingerprint, ()):
                    runs.discard(run)
            progress.running(each.name)
            error = _train(config, each, runs, uri)
            gc.collect()  # a Trainer refers to itself: else the weights and data of many runs wait side by side
            if error is None:
                result.trained.append(each.name)
            else:
                result.failed[each.name] = error
            progress.ended(each.name, error)
    except BaseException:
        with impatient(), suppress(Exception):  # what has ended the sweep is to be told
            runs.end("KILLED")
        raise
    with answering(uri):
        runs.end("FAILED" if result.failed else "FINISHED")
    return result


def _completed(
    config: SweepConfig, combination: Combination, children: Mapping[str, Sequence["Run"]], runs: SweepRuns
) -> bool:
    """Return whether a combination has a run that is finished and whole."""
    folder = _folder(config, combination)
    return any(runs.completed(run, folder) for run in children.get(combination.fingerprint, ()))


def _folder(config: SweepConfig, combination: Combination) -> Path:
    """Return where the checkpoints of a run go."""
    return Path(config.folder) / (config.name or config.experiment) / combination.folder


def _check(config: SweepConfig, combination: Combination) -> None:
    """Import what a run names, hold its arguments against the signatures, and make our own callbacks once."""
    try:
        for path in (combination.module, config.data, *combination.callbacks):
            if path is not None:
                path.check()
        _own_callbacks(config, combination)
    except ValueError as error:
        raise ConfigError(f"{combination.name}: {error}") from error


def _own_callbacks(config: SweepConfig, combination: Combination) -> tuple[LearningRateScheduler, MLflowTracker]:
    """Return the scheduler and the tracker of a run."""
    tracker = build(MLflowTracker, dict(config.tracker or {}), "tracker")
    return LearningRateScheduler(combination.main, warmup=combination.warmup), tracker


def _train(config: SweepConfig, combination: Combination, runs: SweepRuns, uri: str) -> Exception | None:
    """Train one run, and return why it failed if it did."""
    folder = _folder(config, combination)
    forget(folder)
    with answering(uri):
        run_id = runs.begin(combination)
    failure: Exception | None = None
    try:
        with _active(uri, run_id):
            tracker = _fit(config, combination, folder)
            _check_delivered(tracker, folder, run_id)
    except Exception as error:
        failure = error
    except BaseException as stopped:
        with impatient(), suppress(Exception):
            runs.end_run(run_id, "KILLED")
        if isinstance(stopped, SystemExit):  # what Lightning makes of ctrl-C
            raise KeyboardInterrupt from stopped
        raise
    return _ended(combination, folder, runs, run_id, failure)


def _fit(config: SweepConfig, combination: Combination, folder: Path) -> MLflowTracker:
    """Train one run into the active one of MLflow, and return its tracker."""
    L.seed_everything(combination.seed, workers=True, verbose=False)
    module, data = combination.module.build(), None if config.data is None else config.data.build()
    callbacks = [each.build() for each in combination.callbacks]
    checkpoints = any(isinstance(each, L.pytorch.callbacks.Checkpoint) for each in callbacks)
    given = {**_DEFAULTS, "enable_checkpointing": checkpoints, **config.trainer}
    scheduler, tracker = _own_callbacks(config, combination)
    callbacks += [scheduler, tracker]
    trainer = L.Trainer(**given, logger=False, default_root_dir=folder, callbacks=callbacks)
    trainer.fit(module, datamodule=data)
    return tracker


def _check_delivered(tracker: MLflowTracker, folder: Path, run_id: str) -> None:
    """Note that a run was trained, and refuse to call it finished where MLflow does not have every point."""
    left = tracker.left
    lost = left is not None and (left.lost or left.spool is None)
    noted = not lost and Trained.now(folder, run_id, None if left is None else left.spool).write(folder)
    if left is None:
        return
    if not noted:
        raise Undelivered("it was trained, and some of it never reached MLflow. The same command trains it again")
    raise Undelivered(f"it was trained, and the rest is in {left.spool}. The same command delivers it")


def _ended(
    combination: Combination, folder: Path, runs: SweepRuns, run_id: str, failure: Exception | None
) -> Exception | None:
    """End a run in MLflow, and return why it failed if it did.

    Raises:
        StoreAway: if MLflow does not answer. What was trained is noted in the run's folder.
    """
    uri = runs.client.tracking_uri
    if failure is None:
        with answering(uri, f"{combination.name!r} was trained"):
            runs.end_run(run_id, "FINISHED")
        forget(folder)
        return None
    why = next(iter(str(failure).splitlines()), "") or type(failure).__name__
    with answering(uri, f"{combination.name!r}: {why}"), impatient():
        runs.end_run(run_id, "FAILED")
    return failure


@contextmanager
def _active(uri: str, run_id: str) -> Iterator[None]:
    """Make a run the active one of MLflow, which the tracker writes to, and leave MLflow as it was afterwards."""
    import mlflow

    before = os.environ.get(_URI)
    mlflow.set_tracking_uri(uri)
    try:
        mlflow.start_run(run_id=run_id)
        status = "FAILED"
        try:
            yield
            status = "FINISHED"
        finally:
            with impatient(), suppress(Exception):  # it is active no more, also where the server does not hear of it
                mlflow.end_run(status)
    finally:
        mlflow.set_tracking_uri(None)  # type: ignore[arg-type]  # unset, and the variable with it
        if before is not None:
            os.environ[_URI] = before
