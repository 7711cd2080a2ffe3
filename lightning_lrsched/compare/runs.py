"""What MLflow holds of the runs to compare, as plain values."""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from shlex import quote
from typing import TYPE_CHECKING

import numpy as np

from lightning_lrsched.compare.curves import EMPTY, Curve, History
from lightning_lrsched.compare.histories import read_histories
from lightning_lrsched.compare.plans import PlannedPhase, plan_of, read_phases
from lightning_lrsched.compare.shared import leaders_in, whole
from lightning_lrsched.compare.store import CompareError, Store, told
from lightning_lrsched.compare.stored_mode import stored_modes
from lightning_lrsched.compare.words import Mode, known_mode

if TYPE_CHECKING:
    from mlflow.entities import Run

# LearningRateMonitor's keys are read too, but not the momentum and weight_decay that it writes beside them.
_LR_KEY = re.compile(r"lr/[^/]+/.+|lr-(?!.*-(?:momentum|weight_decay)$).+|lr|learning_rate")
_OWN_KEY = re.compile(r"(?:lr|schedule|cycle|checkpoint|best|system)/.*|lr-.+|lr|learning_rate|epoch")
_WHOLE_ID = re.compile(r"[0-9a-f]{32}")
_CYCLE = "schedule/cycle"
_PHASE = "schedule/phase"
_CHANGED = ("schedule/", "setup/")  # what the tracker writes as params, and as tags where a later fit changed them
_PAGE = 1000
_DRAWN = 2000  # points of a curve that is only drawn
_TICKS = 256
_PAUSES = 16


@dataclass(frozen=True)
class RunRecord:
    """One run, as far as it was recorded: what is missing is None or empty.

    Args:
        run_id: MLflow's id.
        name: the run's name.
        status: ``"finished"``, ``"running"``, ``"failed"``, ``"killed"`` or ``"scheduled"``.
        start_time: milliseconds since 1970.
        end_time: milliseconds since 1970; None while it runs.
        last_time: when the last of the points read here was recorded, in milliseconds since 1970.
        params: all parameters of the run, as its latest fit had them.
        lr: one curve for each parameter group, by its metric key without ``lr/``; a long one as it is drawn.
        metric: the metric that is compared.
        epochs: epoch (from 0), by optimizer step.
        cycles: index of the cycle, at its first and last step.
        cycle_best: metric of the checkpoint kept for each finished cycle as its best, at the step of its weights.
        cycle_last: the same of those kept at the cycles' ends.
        phases: the plan as it was resolved for this run; empty if it was not stored.
        clock: when each step was done, in milliseconds since 1970.
        mode: ``"min"`` or ``"max"``, as the run has kept checkpoints by the metric; read only if its name does not say.
    """

    run_id: str
    name: str
    status: str
    start_time: int | None = None
    end_time: int | None = None
    last_time: int | None = None
    params: Mapping[str, str] | None = None
    lr: Mapping[str, Curve] | None = None
    metric: Curve = EMPTY
    epochs: Curve = EMPTY
    cycles: Curve = EMPTY
    cycle_best: Curve = EMPTY
    cycle_last: Curve = EMPTY
    phases: tuple[PlannedPhase, ...] = ()
    clock: Curve = EMPTY
    mode: Mode | None = None

    @property
    def cycle_ends(self) -> tuple[int, ...]:
        """The last step of each cycle that was followed by another."""
        points = list(zip(self.cycles.steps, self.cycles.values, strict=True))
        return tuple(after[0] - 1 for before, after in pairwise(points) if after[1] > before[1])


@dataclass(frozen=True)
class Selection:
    """Which runs of a store: all of these conditions hold.

    Args:
        experiments: names of experiments; all of the store if empty.
        filter: condition in MLflow's words, such as ``params.seed = '0' and metrics.val_loss < 0.5``.
        run_ids: ids, or beginnings that only one run's id has.
    """

    experiments: Sequence[str] = ()
    filter: str = ""
    run_ids: Sequence[str] = ()

    def __str__(self) -> str:
        """Return the selection as a heading."""
        names = ", ".join(self.experiments) or ("chosen runs" if self.run_ids else "all experiments")
        return f"{names} where {self.filter}" if self.filter else names


def load_runs(
    store: Store, selection: Selection, metric: str | None = None, *, lrs: bool = True
) -> tuple[str, list[RunRecord]]:
    """Read runs.

    Args:
        store: where they are.
        selection: which ones; the oldest first, or in the order of the ids.
        metric: key of the metric to compare; default ``val_loss``, else the first that begins with ``val``.
        lrs: whether the curves of the lr are read too, which are by far the longest.

    Returns:
        The key of the metric, and one record for each run.

    Raises:
        CompareError: if an experiment, a run or the metric does not exist, or the store stops answering.
    """
    with told(store.uri):
        runs = _chosen(_asked_for(store, selection) or _all_runs(store, selection), selection)
        key = pick_metric({name for run in runs for name in run.data.metrics}, metric)
        planned = [run.info.run_id for run in runs if plan_of(run.data.params)]
        phases = read_phases(store, planned)
        modes = {} if known_mode(key) else stored_modes(store, runs, key)
        histories = _histories(store, runs, key, phases, lrs=lrs)
    records = [_record(run, key, histories[run.info.run_id], phases.get(run.info.run_id, ())) for run in runs]
    return key, [replace(record, mode=modes.get(record.run_id)) for record in records]


def _histories(
    store: Store, runs: Sequence["Run"], metric: str, phases: Mapping[str, Sequence[PlannedPhase]], *, lrs: bool
) -> dict[str, dict[str, History]]:
    """Return whatever is needed of the runs' metrics, by run and key; lrs are whole, but thinned to what is seen."""
    wanted: dict[str, list[str]] = defaultdict(list)
    for run in runs:
        for name in _wanted(run, metric, lrs=lrs):
            wanted[name].append(run.info.run_id)
    leaders = {run.info.run_id: keys for run in runs if (keys := leaders_in(run.data.tags))}
    histories: dict[str, dict[str, History]] = defaultdict(dict)

    def seen(run_id: str, name: str, history: History) -> History:
        # Only the curve of the lr is for the eye alone; everything else is also counted with.
        if not _LR_KEY.fullmatch(name) or name == metric:
            return history
        return history.thinned(_DRAWN, _boundaries(phases.get(run_id, ()), histories[run_id].get(_CYCLE)))

    cycles_first = {name: wanted[name] for name in sorted(wanted, key=lambda name: name != _CYCLE)}
    for run_id, name, history in read_histories(store, cycles_first):
        histories[run_id][name] = history if run_id in leaders else seen(run_id, name, history)
    for run_id, keys in leaders.items():
        found = histories[run_id] | whole(histories[run_id], keys)
        histories[run_id] = {name: seen(run_id, name, history) for name, history in found.items()}
    return histories


def _boundaries(phases: Sequence[PlannedPhase], cycles: History | None) -> list[int]:
    """Return the steps at which something begins: what was planned, and the restarts that were recorded."""
    starts = [] if cycles is None else cycles.steps.tolist()
    return starts + [phase.start for phase in phases] + [phase.stop for phase in phases if phase.stop is not None]


def pick_metric(keys: Collection[str], metric: str | None = None) -> str:
    """Return the metric to compare.

    >>> pick_metric({"epoch", "lr/SGD/0", "val_acc", "train_loss"})
    'val_acc'

    Args:
        keys: the metrics that at least one run has.
        metric: the one asked for; default ``val_loss``, else the first (by name) that begins with ``val``.

    Raises:
        CompareError: if there is none; the message lists those that exist.
    """
    if metric in keys or (metric is None and "val_loss" in keys):
        return metric or "val_loss"
    found = sorted(key for key in keys if not _OWN_KEY.fullmatch(key))
    if metric is None and (validated := [key for key in found if key.startswith("val")]):
        return validated[0]
    if not found:
        raise CompareError("none of these runs has recorded a metric to compare, such as val_loss")
    asked = f"no run has a metric {metric!r}" if metric else "no run has a metric that begins with 'val'"
    raise CompareError(f"{asked}. Pass one of these: {', '.join(f'--metric {quote(key)}' for key in found)}")


def _experiments(store: Store, names: Sequence[str]) -> list[str]:
    """Return the ids of experiments by their names, of all if none is named."""
    if not names:
        return [experiment.experiment_id for experiment in store.client.search_experiments()]
    found = {name: store.client.get_experiment_by_name(name) for name in names}
    for name, experiment in found.items():
        if experiment is None:
            known = sorted(known.name for known in store.client.search_experiments())
            raise CompareError(f"there is no experiment {name!r}. These exist: {', '.join(map(repr, known)) or 'none'}")
        if experiment.lifecycle_stage == "deleted":
            raise CompareError(f"experiment {name!r} was deleted; mlflow experiments restore brings it back")
    return [experiment.experiment_id for experiment in found.values() if experiment is not None]


def _asked_for(store: Store, selection: Selection) -> list["Run"] | None:
    """Return runs that are named by whole ids alone, without a search through the store; None if one is not there."""
    from mlflow.exceptions import MlflowException

    ids = selection.run_ids
    if selection.experiments or selection.filter or not ids or not all(map(_WHOLE_ID.fullmatch, ids)):
        return None
    try:
        runs = [store.client.get_run(run_id) for run_id in ids]
    except MlflowException:
        return None
    return runs if all(run.info.lifecycle_stage == "active" for run in runs) else None


def _all_runs(store: Store, selection: Selection) -> list["Run"]:
    """Return all runs of the experiments for which the filter holds, the oldest first."""
    from mlflow.exceptions import MlflowException

    experiments = _experiments(store, selection.experiments)
    runs: list[Run] = []
    token: str | None = None
    while True:
        try:
            page = store.client.search_runs(
                experiments,
                filter_string=selection.filter,
                order_by=["attributes.start_time ASC"],
                max_results=_PAGE,
                page_token=token,
            )
        except MlflowException as error:
            if not selection.filter or error.error_code != "INVALID_PARAMETER_VALUE":
                raise
            raise CompareError(
                f"the filter {selection.filter!r} is no condition in MLflow's search syntax: {error.message}. A key "
                "with a slash is quoted: params.\"setup/seed\" = '0'"
            ) from error
        runs.extend(page)
        token = page.token
        if not token:
            return runs


def _chosen(runs: Sequence["Run"], selection: Selection) -> list["Run"]:
    """Return the runs that were asked for, in that order; a parent without metrics stands for its children."""
    quoted = ", ".join(map(repr, selection.experiments))
    where = f"experiment {quoted}" if selection.experiments else "the store"
    if not runs and selection.filter:
        raise CompareError(f"{where} has no runs for which {selection.filter!r} holds")
    if not runs:
        raise CompareError(f"{where} has no runs")
    chosen: dict[str, Run] = {}
    for run_id in selection.run_ids:
        matches = [run for run in runs if run.info.run_id.startswith(run_id)]
        if len(matches) != 1:
            told_as = "no run" if not matches else f"{len(matches)} runs"
            listed = "\n".join(f"  {run.info.run_id}  {run.info.run_name}" for run in (matches or runs)[:20])
            raise CompareError(f"{where} has {told_as} with the id {run_id!r}. There are:\n{listed}")
        found = [matches[0]] if matches[0].data.metrics else _children(runs, matches[0]) or [matches[0]]
        chosen |= {run.info.run_id: run for run in found}
    return list(chosen.values()) or [run for run in runs if run.data.metrics or not _children(runs, run)]


def _children(runs: Sequence["Run"], parent: "Run") -> list["Run"]:
    """Return the runs that name a run as their parent, as those of a sweep do."""
    return [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]


def _wanted(run: "Run", metric: str, *, lrs: bool) -> list[str]:
    """Return the metrics of a run whose whole history is needed."""
    keys = {_CYCLE, "epoch", metric, f"cycle/{metric}", f"cycle/end/{metric}"}
    keys |= {_PHASE} if leaders_in(run.data.tags) else set()
    return [key for key in run.data.metrics if key in keys or (lrs and _LR_KEY.fullmatch(key))]


def _record(run: "Run", metric: str, histories: Mapping[str, History], phases: tuple[PlannedPhase, ...]) -> RunRecord:
    """Return what was read of one run."""
    info = run.info
    curves = {key: history.curve() for key, history in histories.items()}
    return RunRecord(
        run_id=info.run_id,
        name=info.run_name or info.run_id[:8],
        status=str(info.status).lower(),
        start_time=info.start_time,
        end_time=info.end_time,
        last_time=max((int(history.times.max()) for history in histories.values()), default=None),
        params=_params(run),
        lr={key.removeprefix("lr/"): curve for key, curve in sorted(curves.items()) if _LR_KEY.fullmatch(key)},
        metric=curves.get(metric, EMPTY),
        epochs=curves.get("epoch", EMPTY),
        cycles=curves.get(_CYCLE, EMPTY).finite(),
        cycle_best=curves.get(f"cycle/{metric}", EMPTY).finite(),
        cycle_last=curves.get(f"cycle/end/{metric}", EMPTY).finite(),
        phases=phases,
        clock=_clock(histories.values()),
    )


def _params(run: "Run") -> dict[str, str]:
    """Return the params as the latest fit of the run had them: MLflow changes no param, so a new value is a tag."""
    later = {key: value for key, value in run.data.tags.items() if key.startswith(_CHANGED)}
    return {**run.data.params, **later}


def _clock(histories: Iterable[History]) -> Curve:
    """Return when each recorded step was done, in milliseconds since 1970; thinned, with its long pauses kept."""
    points = np.concatenate([np.stack([h.steps, h.times]) for h in histories] or [np.empty((2, 0), np.int64)], axis=1)
    steps, at = np.unique(points[0], return_inverse=True)
    times = np.zeros(len(steps), np.int64)
    np.maximum.at(times, at, points[1])
    times = np.maximum.accumulate(times)
    even = np.linspace(0, max(len(steps) - 1, 0), min(len(steps), _TICKS)).astype(np.int64)
    pauses = np.argsort(np.diff(times))[-_PAUSES:]
    kept = np.union1d(even, np.concatenate([pauses, pauses + 1]).astype(np.int64))
    return Curve(tuple(steps[kept].tolist()), tuple(times[kept].tolist()))


def told_apart(records: Sequence[RunRecord]) -> list[str]:
    """Return the runs' names, with the beginning of the id where several have the same.

    MLflow draws names at random, but from a seeded generator: runs after the same ``seed_everything`` share one.
    """
    names = Counter(record.name for record in records)
    return [f"{run.name} [{run.run_id[:6]}]" if names[run.name] > 1 else run.name for run in records]
