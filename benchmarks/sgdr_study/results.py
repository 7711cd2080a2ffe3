"""What the study reads back from MLflow: for each run its settings, its curves, and where its cycles end."""

from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run

from lightning_lrsched import SGDR
from lightning_lrsched.plan import Plan
from lightning_lrsched.sweep import Combination, SweepConfig, combinations
from lightning_lrsched.units import RunLength

CURVES = ("val_loss", "val_error", "test_loss", "test_error")


@dataclass(frozen=True)
class Result:
    """A finished run of a sweep.

    Args:
        combination: its settings.
        curves: values after each epoch, by metric.
        ends: epochs after which a cycle was complete, from 1; empty for a schedule without restarts.
        epoch_steps: optimizer steps of an epoch.
        folder: where its checkpoints are.
    """

    combination: Combination
    curves: dict[str, list[float]]
    ends: tuple[int, ...]
    epoch_steps: int
    folder: Path

    @property
    def epochs(self) -> int:
        """Epochs that were trained."""
        return len(self.curves["val_loss"])

    def recommended(self, epoch: int) -> int:
        """Return the epoch whose weights the SGDR paper recommends after ``epoch`` epochs.

        Before the first restart the present ones, afterwards those at the end of the last complete cycle.
        """
        return max((end for end in self.ends if end <= epoch), default=epoch)

    def anytime(self, metric: str) -> list[float]:
        """Return the metric of the recommended model after each epoch."""
        return [self.value(metric, epoch) for epoch in range(1, self.epochs + 1)]

    def value(self, metric: str, epoch: int | None = None) -> float:
        """Return a metric of the recommended model after some epochs, at the end by default."""
        return self.curves[metric][self.recommended(epoch or self.epochs) - 1]


def results(config: SweepConfig, uri: str) -> list[Result]:
    """Return every finished run of a sweep, in the order of its combinations."""
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(config.experiment)
    if experiment is None:
        return []
    runs = client.search_runs([experiment.experiment_id], "attributes.status = 'FINISHED'", max_results=5000)
    known = {run.data.tags.get("lrsched.sweep.settings"): run for run in runs}
    found = [(each, known[each.fingerprint]) for each in combinations(config) if each.fingerprint in known]
    return [_result(config, each, run, client) for each, run in found]


def _result(config: SweepConfig, combination: Combination, run: Run, client: MlflowClient) -> Result:
    """Return one run with its curves."""
    curves = {}
    for key in CURVES:
        if key in run.data.metrics:
            points = client.get_metric_history(run.info.run_id, key)
            curves[key] = [point.value for point in sorted(points, key=lambda point: point.step)]
    folder = Path(config.folder) / (config.name or config.experiment) / combination.folder
    per_epoch = int(run.data.params["schedule/steps_per_epoch"])
    return Result(combination, curves, _cycle_ends(combination, run, per_epoch), per_epoch, folder)


def _cycle_ends(combination: Combination, run: Run, per_epoch: int) -> tuple[int, ...]:
    """Return the epochs after which a cycle was complete, for schedules that restart."""
    main = combination.main
    if not isinstance(main, SGDR):
        return ()
    steps = int(run.data.params["schedule/total_steps"])
    timeline = Plan(main, warmup=combination.warmup).resolve(RunLength(steps, per_epoch))
    cycles = [timeline.cycle(index) for index in range(timeline.cycle_at(steps - 1) + 1)]
    return tuple(cycle.stop // per_epoch for cycle in cycles if cycle.complete and cycle.stop is not None)
