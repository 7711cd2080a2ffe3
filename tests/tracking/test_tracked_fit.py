"""One fit with a run of its own in sqlite: what a user finds in MLflow afterwards."""

import itertools
import json
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import lightning as L
import numpy as np
import pytest
from lightning.pytorch.callbacks import Callback
from mlflow import MlflowClient
from mlflow.entities import Run

from lightning_lrsched import SGDR, Constant, CycleCheckpoint, LearningRateScheduler, MLflowTracker
from lightning_lrsched.tracking.columns import read_columns
from tests.callbacks.models import LR, Stranger, Tiny, expected, loader, make_trainer, two_groups
from tests.conftest import copied
from tests.tracking.reading import artifacts, fetched, history, keys, model_files, only_run, repeated

STEPS = 24


class Tracked(NamedTuple):
    uri: str
    run: Run
    schedule: LearningRateScheduler
    checkpoint: CycleCheckpoint
    stranger: Stranger
    module: Tiny
    tracker: MLflowTracker


@pytest.fixture(scope="module")
def tracked(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tracked]:
    """Three epochs of eight steps over two groups, with accumulation, a warmup and cycles of six steps."""
    folder = tmp_path_factory.mktemp("tracked")
    uri = copied(migrated, folder)
    schedule, checkpoint = LearningRateScheduler(SGDR(6, eta_min=1e-3), warmup=3), CycleCheckpoint("val_loss")
    tracker = MLflowTracker(uri, "study", run_name="first")
    stranger, module = Stranger(), Tiny(two_groups)
    settings: dict[str, Any] = {"max_epochs": 3, "accumulate_grad_batches": 4, "val_check_interval": 8}
    # The tracker stands first: the order of the callbacks must not matter.
    trainer = make_trainer(folder, tracker, schedule, checkpoint, stranger, **settings)
    with chdir(folder):
        trainer.fit(module, loader(31))
        yield Tracked(uri, only_run(uri), schedule, checkpoint, stranger, module, tracker)


def test_the_lr_of_every_group_at_every_real_step_is_exact(tracked: Tracked) -> None:
    for group, base in enumerate((LR, LR / 5)):
        points = history(tracked.uri, tracked.run, f"lr/SGD/{group}")
        assert points == list(enumerate(expected(tracked.schedule, STEPS, base)))
        assert [lr for _, lr in points] == tracked.stranger.group(group)
    assert keys(tracked.run, "lr/") == ["lr/SGD/0", "lr/SGD/1"]


def test_nothing_is_written_twice(tracked: Tracked) -> None:
    assert repeated(tracked.uri) == []


def test_phase_and_cycle_are_written_where_they_change(tracked: Tracked) -> None:
    assert history(tracked.uri, tracked.run, "schedule/cycle") == [
        *[(0, 0), (2, 0), (3, 0), (8, 0), (9, 1), (14, 1), (15, 2), (20, 2), (21, 3), (23, 3)]
    ]
    assert history(tracked.uri, tracked.run, "schedule/phase") == [
        *[(0, 0), (2, 0), (3, 1), (8, 1), (9, 2), (14, 2), (15, 3), (20, 3), (21, 4), (23, 4)]
    ]


def test_a_level_that_is_held_in_a_run_without_end_is_one_phase(uri: str, tmp_path: Path) -> None:
    class Stops(Callback):
        def on_train_batch_end(self, trainer: L.Trainer, *_: object) -> None:
            trainer.should_stop = trainer.global_step == 30

    schedule = LearningRateScheduler(Constant(), warmup=5)
    make_trainer(tmp_path, schedule, MLflowTracker(uri, "study"), Stops(), max_epochs=-1).fit(Tiny())
    run = only_run(uri)
    assert history(uri, run, "schedule/phase") == [(0, 0), (4, 0), (5, 1), (29, 1)]
    phases = json.loads(fetched(uri, run, "schedule/plan.json").read_text())["phases"]
    assert [(phase["start"], phase["stop"]) for phase in phases] == [(0, 5), (5, None)]


def test_the_validation_metrics_lie_on_the_same_axis(tracked: Tracked) -> None:
    points = history(tracked.uri, tracked.run, "val_loss")
    assert [step for step, _ in points] == [step - 1 for step, _ in tracked.module.scores]
    assert [value for _, value in points] == pytest.approx([score for _, score in tracked.module.scores])
    assert history(tracked.uri, tracked.run, "epoch") == [
        (step - 1, (step - 1) // 8) for step, _ in tracked.module.scores
    ]


def test_a_validation_that_measures_nothing_is_no_point(uri: str, tmp_path: Path) -> None:
    class Silent(Tiny):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            """Log nothing."""

    make_trainer(tmp_path, LearningRateScheduler(Constant()), MLflowTracker(uri)).fit(Silent())
    assert {key.partition("/")[0] for key in keys(only_run(uri))} <= {"lr", "schedule", "throughput"}


def test_the_plan_is_in_the_params(tracked: Tracked) -> None:
    params = tracked.run.data.params
    assert params["schedule/main"] == "SGDR(T_0=6, eta_min=0.001)"
    assert params["schedule/warmup"] == "Warmup(duration=3)"
    assert params["schedule/main.eta_min"] == "0.001"
    assert params["schedule/total_steps"] == str(STEPS)
    assert params["schedule/base_lr"] == "0.1, 0.02"


def test_the_plan_is_an_artifact_that_equals_the_timeline(tracked: Tracked) -> None:
    plan = json.loads(fetched(tracked.uri, tracked.run, "schedule/plan.json").read_text())
    timeline = tracked.schedule.timeline
    assert timeline is not None
    assert plan["base_lrs"] == [LR, LR / 5]
    assert [(row["start"], row["stop"], row["cycle"], row["name"]) for row in plan["phases"]] == [
        (span.start, span.stop, span.cycle, span.name) for span in timeline.spans()
    ]


def test_the_curve_is_a_picture(tracked: Tracked) -> None:
    picture = fetched(tracked.uri, tracked.run, "schedule/lr.png").read_bytes()
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    assert len(picture) > 5_000


def test_the_checkpoint_of_each_cycle_is_there_once_with_its_metric(tracked: Tracked) -> None:
    finished = tracked.checkpoint.finished_cycles
    assert [cycle.cycle for cycle in finished] == [0, 1, 2, 3]
    kept = [kept for cycle in finished for kept in cycle.kept]
    files = {Path(one.path).name: Path(one.path).read_bytes() for one in kept}
    assert model_files(tracked.uri, tracked.run) == files
    bests = [cycle.best for cycle in finished if cycle.best is not None]
    assert history(tracked.uri, tracked.run, "cycle/val_loss") == [(best.step - 1, best.score) for best in bests]


def test_the_run_is_named_finished_and_in_its_experiment(tracked: Tracked) -> None:
    assert (tracked.run.info.run_name, tracked.run.info.status) == ("first", "FINISHED")
    assert tracked.run.info.run_id == tracked.tracker.run_id
    experiment = MlflowClient(tracked.uri).get_experiment(tracked.run.info.experiment_id)
    assert experiment.name == "study"
    assert tracked.run.data.tags["lrsched.version"]


def test_the_steps_a_second_are_in_the_run(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every ten seconds: twenty steps of half a second, then five of two."""
    times = itertools.accumulate([0, *[500_000_000] * 20, *[2_000_000_000] * 30])
    clock = SimpleNamespace(time_ns=lambda: 1_750_000_000_000_000_000 + next(times))
    monkeypatch.setattr("lightning_lrsched.tracking.recorder.time", clock)
    make_trainer(tmp_path, LearningRateScheduler(Constant()), MLflowTracker(uri), max_epochs=3).fit(Tiny())
    run = only_run(uri)
    assert history(uri, run, "throughput/steps_per_second") == [(20, 2.0), (25, 0.5)]


@pytest.mark.parametrize(("every", "most"), [(4, 80), ("on_change", 40)])
def test_a_thinned_run_has_few_points_and_its_file_every_step(uri: str, tmp_path: Path, every: Any, most: int) -> None:
    schedule, stranger = LearningRateScheduler(SGDR(100), warmup=30), Stranger()
    tracker = MLflowTracker(uri, every_n_steps=every, tolerance=0.01)
    make_trainer(tmp_path, schedule, tracker, stranger).fit(Tiny(), loader(120))
    run, lrs = only_run(uri), stranger.group()
    found = history(uri, run, "lr/SGD/0")
    assert found == [(step, lrs[step]) for step, _ in found]
    boundaries = {0, 29, 30, 129, 130, 229, 230, 239}
    steps = {step for step, _ in found}
    if every == 4:
        assert steps == boundaries | set(range(0, 240, 4))
    assert boundaries <= steps
    assert len(found) <= most
    if every == "on_change":
        kept, values = zip(*found, strict=True)
        drawn = np.interp(np.arange(240), np.array(kept), np.array(values))
        assert np.abs(drawn - lrs).max() <= 0.01 * LR
    files = [fetched(uri, run, path) for path in artifacts(uri, run, "schedule/steps")]
    ((axis, whole),) = read_columns(files).values()
    assert list(zip(axis.tolist(), whole.tolist(), strict=True)) == list(enumerate(lrs))
