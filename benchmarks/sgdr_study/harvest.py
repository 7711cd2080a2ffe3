"""Reads finished runs back from MLflow, and their cycle ends from the checkpoints that were kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run

from benchmarks.sgdr_study.ensembles import Examiner, cycle_end_files
from benchmarks.sgdr_study.results import DECIMALS, WARMED, Members, Result
from lightning_lrsched import SGDR
from lightning_lrsched.configs import ClassPath
from lightning_lrsched.plan import Plan
from lightning_lrsched.sweep import (
    Combination,
    SweepConfig,
    candidates,
    finished_runs,
    selected,
    selecting,
    shared_fingerprint,
)
from lightning_lrsched.units import RunLength

COUNTS = (2, 3, 4)


@dataclass(frozen=True)
class Found:
    """A finished run, its module, where it left its checkpoints, how long it took, and what it is known by."""

    result: Result
    module: ClassPath
    folder: Path
    seconds: float
    fingerprint: str


def harvest(config: SweepConfig, uri: str) -> list[Found]:
    """Return every finished run that a sweep's rule leaves, in the order of its combinations."""
    client = MlflowClient(uri)
    known = finished_runs(uri, config.experiment, shared_fingerprint(config))
    wanted, _ = selected(config, uri)
    root = Path(config.folder) / (config.name or config.experiment)
    return [
        _found(each, known[each.fingerprint], client, _folder(root, each))
        for each in wanted
        if each.fingerprint in known
    ]


def harvest_candidates(config: SweepConfig, uri: str) -> list[Found]:
    """Return the runs that a sweep's rule chose by."""
    tried = {each.fingerprint for each in candidates(config)}
    return [each for each in harvest(selecting(config), uri) if each.fingerprint in tried] if tried else []


def measured(found: Sequence[Found]) -> list[Members]:
    """Return what the last cycle ends of each run are worth together, for each number of ends that it has."""
    kept = [
        (each, cycle_end_files(each.folder, [end * each.result.epoch_steps for end in each.result.ends]))
        for each in found
    ]
    kept = [(each, files) for each, files in kept if len(files) >= min(COUNTS)]
    if not kept:
        return []
    examiner, rows = Examiner(), []
    for each, files in kept:
        module, one = each.module.build(), each.result
        alone = examiner.last(files, module)
        for count in COUNTS:
            if len(files) >= count:
                errors = alone | examiner.together(files[-count:], module)
                rows.append(Members(one.schedule, one.seed, count, **errors))
    return rows


def _found(combination: Combination, run: Run, client: MlflowClient, folder: Path) -> Found:
    """Return what a run gave and took."""
    seconds = (run.info.end_time - run.info.start_time) / 1000
    return Found(_result(combination, run, client), combination.module, folder, seconds, combination.fingerprint)


def _folder(root: Path, combination: Combination) -> Path:
    """Return where a run left its checkpoints, whatever its schedule was called then: its settings are at the end."""
    own = combination.folder
    return next(root.glob(f"*-{own.rpartition('-')[2]}"), root / own)


def _result(combination: Combination, run: Run, client: MlflowClient) -> Result:
    """Return one run with its curves; a schedule that is there with and without warmup has two names."""
    curves = {}
    for key in DECIMALS:
        if key in run.data.metrics:
            points = client.get_metric_history(run.info.run_id, key)
            curves[key] = tuple(point.value for point in sorted(points, key=lambda point: point.step))
    if "test_error" in curves:
        del curves["test_loss"]
    warmup = "" if combination.warmup is None else str(combination.warmup.duration)
    name = combination.schedule
    if warmup and not name.endswith(WARMED):
        name += WARMED
    per_epoch = int(run.data.params["schedule/steps_per_epoch"])
    stops = _cycle_stops(combination, int(run.data.params["schedule/total_steps"]), per_epoch)
    return Result(name, warmup, combination.lr or 0.0, combination.seed, per_epoch, stops, curves)


def _cycle_stops(combination: Combination, steps: int, per_epoch: int) -> tuple[int, ...]:
    """Return the epochs after which cycles end for a schedule that restarts; a cut one where it would have ended."""
    if not isinstance(combination.main, SGDR):
        return ()
    timeline = Plan(combination.main, warmup=combination.warmup).resolve(RunLength(steps, per_epoch))
    return tuple((cycle.planned_stop or cycle.stop or steps) // per_epoch for cycle in timeline.cycles())
