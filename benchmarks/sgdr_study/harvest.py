"""Reads finished runs back from MLflow, and their cycle ends from the checkpoints that were kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run

from benchmarks.sgdr_study.ensembles import Examiner, cycle_end_files
from benchmarks.sgdr_study.results import DECIMALS, Members, Result
from lightning_lrsched import SGDR
from lightning_lrsched.configs import ClassPath
from lightning_lrsched.plan import Plan
from lightning_lrsched.sweep import Combination, SweepConfig, combinations
from lightning_lrsched.units import RunLength

COUNTS = (2, 3, 4)


@dataclass(frozen=True)
class Found:
    """A finished run, its module, and where it left its checkpoints."""

    result: Result
    module: ClassPath
    folder: Path


def harvest(config: SweepConfig, uri: str) -> list[Found]:
    """Return every finished run of a sweep, in the order of its combinations."""
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(config.experiment)
    if experiment is None:
        return []
    runs = client.search_runs([experiment.experiment_id], "attributes.status = 'FINISHED'", max_results=5000)
    known = {run.data.tags.get("lrsched.sweep.settings"): run for run in runs}
    found = [(each, known[each.fingerprint]) for each in combinations(config) if each.fingerprint in known]
    root = Path(config.folder) / (config.name or config.experiment)
    return [Found(_result(each, run, client), each.module, root / each.folder) for each, run in found]


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


def _result(combination: Combination, run: Run, client: MlflowClient) -> Result:
    """Return one run with its curves."""
    curves = {}
    for key in DECIMALS:
        if key in run.data.metrics:
            points = client.get_metric_history(run.info.run_id, key)
            curves[key] = tuple(point.value for point in sorted(points, key=lambda point: point.step))
    if "test_error" in curves:
        del curves["test_loss"]
    warmup = "" if combination.warmup is None else str(combination.warmup.duration)
    per_epoch = int(run.data.params["schedule/steps_per_epoch"])
    stops = _cycle_stops(combination, int(run.data.params["schedule/total_steps"]), per_epoch)
    lr = combination.lr or 0.0
    return Result(combination.schedule, warmup, lr, combination.seed, per_epoch, stops, curves)


def _cycle_stops(combination: Combination, steps: int, per_epoch: int) -> tuple[int, ...]:
    """Return the epochs after which cycles end, to the first end beyond the run, for schedules that restart.

    The study gives cycles in epochs, so they are the same in a longer run: it shows where a cut one would have ended.
    """
    if not isinstance(combination.main, SGDR):
        return ()
    timeline = Plan(combination.main, warmup=combination.warmup).resolve(RunLength(4 * steps, per_epoch))
    last = timeline.cycle_at(steps)
    stops = [timeline.cycle(index).stop or 0 for index in range(last + 1)]
    return tuple(stop // per_epoch for stop in stops)
