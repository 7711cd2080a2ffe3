"""What MLflow holds of the runs to compare, as plain values."""

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from lightning_lrsched.compare.store import CompareError, Store, told

if TYPE_CHECKING:
    from mlflow.entities import Experiment, Metric, Run

# LearningRateMonitor's keys are read too, but not the momentum and weight_decay that it writes beside them.
_LR_KEY = re.compile(r"lr/[^/]+/.+|lr-(?!.*-(?:momentum|weight_decay)$).+|lr|learning_rate")
_OWN_KEY = re.compile(r"(?:lr|schedule|cycle|best|system)/.*|lr-.+|lr|learning_rate|epoch")
_INFINITY = 1e308  # SQL stores write +-inf as +-1.797e308
_PAGE = 1000
_READERS = 8


@dataclass(frozen=True)
class Curve:
    """The history of one metric.

    Args:
        steps: optimizer steps, from 0, ascending, each once.
        values: one for each step; can be NaN or infinite.
    """

    steps: tuple[int, ...] = ()
    values: tuple[float, ...] = ()

    def finite(self) -> "Curve":
        """Return the curve without NaN and infinite values."""
        points = [point for point in zip(self.steps, self.values, strict=True) if math.isfinite(point[1])]
        return Curve(tuple(step for step, _ in points), tuple(value for _, value in points))

    def at(self, step: int) -> float | None:
        """Return the last value at or before a step; None before the first point."""
        before = [value for at, value in zip(self.steps, self.values, strict=True) if at <= step]
        return before[-1] if before else None


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
        params: all parameters of the run.
        lr: one curve for each parameter group, by its metric key without ``lr/``.
        metric: the metric that is compared.
        epochs: epoch (from 0), by optimizer step.
        cycles: index of the cycle, at its first and last step.
        cycle_best: metric of the checkpoint kept for each finished cycle, at the step of its weights.
    """

    run_id: str
    name: str
    status: str
    start_time: int | None = None
    end_time: int | None = None
    last_time: int | None = None
    params: Mapping[str, str] | None = None
    lr: Mapping[str, Curve] | None = None
    metric: Curve = Curve()
    epochs: Curve = Curve()
    cycles: Curve = Curve()
    cycle_best: Curve = Curve()

    @property
    def cycle_ends(self) -> tuple[int, ...]:
        """The last step of each cycle that was followed by another."""
        points = list(zip(self.cycles.steps, self.cycles.values, strict=True))
        return tuple(after[0] - 1 for before, after in pairwise(points) if after[1] > before[1])


def load_runs(
    store: Store, experiment: str, run_ids: Sequence[str] = (), metric: str | None = None
) -> tuple[str, list[RunRecord]]:
    """Read the runs of an experiment.

    Args:
        store: where they are.
        experiment: its name.
        run_ids: ids, or beginnings that only one run's id has; default all runs, the oldest first.
        metric: key of the metric to compare; default ``val_loss``, else the first that begins with ``val``.

    Returns:
        The key of the metric, and one record for each run.

    Raises:
        CompareError: if the experiment, a run or the metric does not exist, or the store stops answering.
    """
    with told(store.uri):
        runs = _chosen(_all_runs(store, _experiment(store, experiment)), run_ids, experiment)
        key = pick_metric({name for run in runs for name in run.data.metrics}, metric)
        histories = _histories(store, [(run.info.run_id, name) for run in runs for name in _wanted(run, key)])
    return key, [_record(run, key, histories) for run in runs]


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
    raise CompareError(f"{asked}. Pass one of these: {', '.join(f'--metric {key}' for key in found)}")


def _experiment(store: Store, name: str) -> "Experiment":
    """Return an experiment by its name."""
    experiment = store.client.get_experiment_by_name(name)
    if experiment is None:
        names = sorted(known.name for known in store.client.search_experiments())
        raise CompareError(f"there is no experiment {name!r}. These exist: {', '.join(map(repr, names)) or 'none'}")
    if experiment.lifecycle_stage == "deleted":
        raise CompareError(f"experiment {name!r} was deleted; mlflow experiments restore brings it back")
    return experiment


def _all_runs(store: Store, experiment: "Experiment") -> list["Run"]:
    """Return all runs of an experiment, the oldest first."""
    runs: list[Run] = []
    token: str | None = None
    while True:
        page = store.client.search_runs(
            [experiment.experiment_id], order_by=["attributes.start_time ASC"], max_results=_PAGE, page_token=token
        )
        runs.extend(page)
        token = page.token
        if not token:
            return runs


def _chosen(runs: Sequence["Run"], run_ids: Sequence[str], experiment: str) -> list["Run"]:
    """Return the runs that were asked for, in that order."""
    if not runs:
        raise CompareError(f"experiment {experiment!r} has no runs")
    chosen: dict[str, Run] = {}
    for run_id in run_ids:
        matches = [run for run in runs if run.info.run_id.startswith(run_id)]
        if len(matches) != 1:
            told_as = "no run" if not matches else f"{len(matches)} runs"
            listed = "\n".join(f"  {run.info.run_id}  {run.info.run_name}" for run in (matches or runs)[:20])
            raise CompareError(f"experiment {experiment!r} has {told_as} with the id {run_id!r}. There are:\n{listed}")
        chosen[matches[0].info.run_id] = matches[0]
    return list(chosen.values()) or list(runs)


def _wanted(run: "Run", metric: str) -> list[str]:
    """Return the metrics of a run whose whole history is needed."""
    keys = {metric, "epoch", "schedule/cycle", f"cycle/{metric}"}
    return [key for key in run.data.metrics if key in keys or _LR_KEY.fullmatch(key)]


def _histories(store: Store, wanted: Sequence[tuple[str, str]]) -> dict[tuple[str, str], list["Metric"]]:
    """Return whole histories, by run id and key; over a network several are read at a time."""

    def read(at: tuple[str, str]) -> list["Metric"]:
        return list(store.client.get_metric_history(*at))

    if not store.remote:
        return {at: read(at) for at in wanted}
    with ThreadPoolExecutor(_READERS) as pool:
        return dict(zip(wanted, pool.map(read, wanted), strict=True))


def _record(run: "Run", metric: str, histories: Mapping[tuple[str, str], list["Metric"]]) -> RunRecord:
    """Return what was read of one run."""
    info = run.info
    points = {key: found for (run_id, key), found in histories.items() if run_id == info.run_id}
    curves = {key: as_curve((m.step, m.timestamp, m.value) for m in found) for key, found in points.items()}
    return RunRecord(
        run_id=info.run_id,
        name=info.run_name or info.run_id[:8],
        status=str(info.status).lower(),
        start_time=info.start_time,
        end_time=info.end_time,
        last_time=max((point.timestamp for found in points.values() for point in found), default=None),
        params=dict(run.data.params),
        lr={key.removeprefix("lr/"): curve for key, curve in sorted(curves.items()) if _LR_KEY.fullmatch(key)},
        metric=curves.get(metric, Curve()),
        epochs=curves.get("epoch", Curve()),
        cycles=curves.get("schedule/cycle", Curve()).finite(),
        cycle_best=curves.get(f"cycle/{metric}", Curve()).finite(),
    )


def told_apart(records: Sequence[RunRecord]) -> list[str]:
    """Return the runs' names, with the beginning of the id where several have the same.

    MLflow draws names at random, but from a seeded generator: runs after the same ``seed_everything`` share one.
    """
    names = Counter(record.name for record in records)
    return [f"{run.name} [{run.run_id[:6]}]" if names[run.name] > 1 else run.name for run in records]


def as_curve(points: Iterable[tuple[int, int, float]]) -> Curve:
    """Return the curve of (step, timestamp, value) points: of several at one step, the latest counts.

    >>> as_curve([(0, 1, 0.5), (1, 2, 0.4), (0, 3, 0.3)])
    Curve(steps=(0, 1), values=(0.3, 0.4))
    """
    latest = {step: value for step, _, value in sorted(points, key=lambda point: point[1])}
    steps = tuple(sorted(latest))
    return Curve(steps, tuple(_restored(latest[step]) for step in steps))


def _restored(value: float) -> float:
    """Return a stored value, infinite where the store had to write a number for it."""
    return math.copysign(math.inf, value) if abs(value) >= _INFINITY else value
