"""Which run is written to, and how it ends."""

import copy
import pickle
from pathlib import Path
from typing import Any

import mlflow
import pytest
from lightning.pytorch.callbacks import StochasticWeightAveraging
from lightning.pytorch.loggers import MLFlowLogger
from mlflow import MlflowClient
from torch import Tensor
from torch.optim import SGD

from lightning_lrsched import SGDR, Cosine, CycleCheckpoint, LearningRateScheduler, MLflowTracker, RunLength
from tests.callbacks.models import LR, Stranger, Tiny, expected, loader, make_trainer
from tests.callbacks.test_real_steps import Gan
from tests.tracking.reading import artifacts, history, keys, models, only_run, repeated, runs

LRS = "lr/SGD/0"


def plan() -> LearningRateScheduler:
    return LearningRateScheduler(SGDR(5), warmup=2)


def test_the_environment_is_read_when_the_run_opens(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracker = MLflowTracker()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "set late")
    make_trainer(tmp_path, plan(), tracker).fit(Tiny())
    run = only_run(uri)
    assert MlflowClient(uri).get_experiment(run.info.experiment_id).name == "set late"
    assert history(uri, run, LRS) == list(enumerate(expected_lrs()))


def expected_lrs(count: int = 20) -> list[float]:
    timeline = plan().plan.resolve(RunLength(20, 10))
    return expected(timeline, count)


def test_a_run_of_its_own_goes_to_a_file_in_the_working_directory(uri: str, tmp_path: Path) -> None:
    make_trainer(tmp_path, plan(), MLflowTracker()).fit(Tiny())
    assert uri == f"sqlite:///{tmp_path}/mlflow.db"
    assert len(history(uri, only_run(uri), LRS)) == 20


@pytest.mark.parametrize("first", [True, False])
def test_the_loggers_run_is_used_and_nothing_is_written_twice(uri: str, tmp_path: Path, first: bool) -> None:
    logger = MLFlowLogger("study", tracking_uri=uri)
    schedule, checkpoint = plan(), CycleCheckpoint("val_loss")
    order = [MLflowTracker(), schedule] if first else [schedule, MLflowTracker()]
    module = Tiny()
    settings: dict[str, Any] = {"logger": logger, "log_every_n_steps": 1, "val_check_interval": 2}
    make_trainer(tmp_path, *order, checkpoint, **settings).fit(module)
    run = only_run(uri)
    assert run.info.run_id == logger.run_id
    assert run.info.status == "FINISHED"
    assert repeated(uri) == []
    assert history(uri, run, LRS) == list(enumerate(expected(schedule, 20)))
    assert [step for step, _ in history(uri, run, "val_loss")] == [step - 1 for step, _ in module.scores]
    assert [step for step, _ in history(uri, run, "cycle/val_loss")] == [
        cycle.best.step - 1 for cycle in checkpoint.finished_cycles if cycle.best is not None
    ]


class SkipsBatches(Tiny):
    """Every third batch makes no step: real steps fall behind the axis of the trainer's loggers."""

    automatic_optimization = False

    def training_step(self, batch: Tensor, batch_idx: int) -> None:
        optimizer: Any = self.optimizers()
        self.manual_backward(super().training_step(batch, batch_idx))
        if batch_idx % 3 < 2:
            optimizer.step()


def test_the_metric_of_a_cycle_lies_on_the_curve_that_it_was_taken_from(uri: str, tmp_path: Path) -> None:
    checkpoint = CycleCheckpoint("val_loss")
    schedule = LearningRateScheduler(SGDR(5), warmup=2, total_steps=14)
    make_trainer(tmp_path, schedule, checkpoint, MLflowTracker(uri), val_check_interval=2).fit(SkipsBatches())
    run = only_run(uri)
    bests = [cycle.best for cycle in checkpoint.finished_cycles if cycle.best is not None]
    points = history(uri, run, "cycle/val_loss")
    assert [value for _, value in points] == [best.score for best in bests]
    assert points[-1][0] > bests[-1].step
    curve = history(uri, run, "val_loss")
    assert set(points) <= set(curve)
    assert [step for step, _ in curve] == [1, 3, 5, 7, 9, 11, 13, 15, 17, 19]


def test_a_run_that_the_user_opened_is_used_and_left_open(uri: str, tmp_path: Path) -> None:
    mlflow.set_tracking_uri(uri)
    try:
        with mlflow.start_run() as active:
            make_trainer(tmp_path, plan(), MLflowTracker()).fit(Tiny())
            assert MlflowClient(uri).get_run(active.info.run_id).info.status == "RUNNING"
    finally:
        mlflow.set_tracking_uri(None)  # type: ignore[arg-type]  # unset
    run = only_run(uri)
    assert (run.info.run_id, run.info.status) == (active.info.run_id, "FINISHED")
    assert len(history(uri, run, LRS)) == 20


def test_the_tracker_alone_records_the_lr_of_any_module(uri: str, tmp_path: Path) -> None:
    stranger = Stranger()
    make_trainer(tmp_path, MLflowTracker(uri), stranger).fit(Tiny())
    assert history(uri, only_run(uri), LRS) == list(enumerate(stranger.group()))
    assert keys(only_run(uri), "schedule/") == []


def test_accumulation_with_eight_groups_writes_a_point_for_each_real_step(uri: str, tmp_path: Path) -> None:
    def configure(module: Tiny) -> Any:
        frozen: list[dict[str, Any]] = [{"params": [Tiny().weight], "lr": LR / (i + 2)} for i in range(7)]
        groups: list[dict[str, Any]] = [{"params": [module.weight], "name": "head/out"}, *frozen]
        return SGD(groups, lr=LR)

    schedule = LearningRateScheduler(Cosine(), warmup=1)
    make_trainer(tmp_path, schedule, MLflowTracker(uri), accumulate_grad_batches=4).fit(Tiny(configure), loader(22))
    run = only_run(uri)
    names = ["head:2f:out", *map(str, range(1, 8))]
    assert keys(run, "lr/") == sorted(f"lr/SGD/{name}" for name in names)
    for index, name in enumerate(names):
        base = LR / (index + 1)
        assert history(uri, run, f"lr/SGD/{name}") == list(enumerate(expected(schedule, 12, base)))


def test_two_optimizers_have_curves_of_their_own(uri: str, tmp_path: Path) -> None:
    schedule = LearningRateScheduler(Cosine(), warmup=2, total_steps=12)
    make_trainer(tmp_path, schedule, MLflowTracker(uri)).fit(Gan(), loader(6))
    run = only_run(uri)
    assert [lr for _, lr in history(uri, run, "lr/SGD/0")] == expected(schedule, 12)
    assert [lr for _, lr in history(uri, run, "lr/Adam/0")] == expected(schedule, 6, LR / 10)
    steps = [step for step, _ in history(uri, run, "lr/SGD/0")]
    assert steps == list(range(12)), "the axis is that of the loggers, and not trainer.global_step, which counts both"
    assert [step for step, _ in history(uri, run, "lr/Adam/0")] in (steps[::2], steps[1::2])


def test_names_that_mlflow_refuses_do_not_stop_the_others(uri: str, tmp_path: Path) -> None:
    class Odd(Tiny):
        def validation_step(self, batch: Tensor, batch_idx: int) -> None:
            self.log_dict({"val/acc@5": 0.5, "val loss (mean)": 0.25, "inf": float("inf"), "nan": float("nan")})

    with pytest.warns(UserWarning, match="takes no infinite values: 2 of 'inf' were left out"):
        make_trainer(tmp_path, plan(), MLflowTracker(uri)).fit(Odd())
    run = only_run(uri)
    assert history(uri, run, "val/acc:40:5") == [(9, 0.5), (19, 0.5)]
    assert history(uri, run, "val loss :28:mean:29:") == [(9, 0.25), (19, 0.25)]
    assert len(history(uri, run, "nan")) == 2
    assert len(history(uri, run, LRS)) == 20


def test_a_second_fit_writes_to_the_loggers_run_again(uri: str, tmp_path: Path) -> None:
    logger, module = MLFlowLogger("study", tracking_uri=uri), Tiny()
    trainer = make_trainer(tmp_path, plan(), MLflowTracker(), logger=logger, log_every_n_steps=1)
    trainer.fit(module)
    trainer.fit_loop.max_epochs = 4
    trainer.fit(module)
    run = only_run(uri)
    assert len(history(uri, run, LRS)) == 40
    assert run.data.params["schedule/total_steps"] == "20"
    assert run.data.tags["schedule/total_steps"] == "40"


@pytest.mark.filterwarnings("ignore:SWA is currently only supported", "ignore:Another callback replaced")
def test_the_lr_is_recorded_also_after_another_callback_took_over(uri: str, tmp_path: Path, stranger: Stranger) -> None:
    averaging = StochasticWeightAveraging(swa_lrs=0.02, swa_epoch_start=2, annealing_epochs=1)
    make_trainer(tmp_path, plan(), averaging, MLflowTracker(uri), stranger, max_epochs=3).fit(Tiny(), loader(6))
    assert history(uri, only_run(uri), LRS) == list(enumerate(stranger.group()))


def test_a_smoke_test_opens_no_run(uri: str, tmp_path: Path) -> None:
    make_trainer(tmp_path, plan(), MLflowTracker(uri), fast_dev_run=True).fit(Tiny())
    assert runs(uri) == []


def test_the_tracker_can_be_copied_before_and_after_a_fit(uri: str, tmp_path: Path) -> None:
    tracker, schedule = MLflowTracker(uri, "study"), plan()

    def check_copies() -> None:
        pickled = pickle.loads(pickle.dumps((tracker, schedule)))
        for copied, planned in (pickled, copy.deepcopy((tracker, schedule))):
            assert (copied.tracking_uri, copied.experiment, copied.run_id) == (uri, "study", tracker.run_id)
            assert planned.plan == schedule.plan
            assert planned.timeline == schedule.timeline

    check_copies()
    make_trainer(tmp_path, tracker, schedule).fit(Tiny())
    assert tracker.run_id is not None
    check_copies()


@pytest.mark.parametrize("logged", [True, False])
def test_checkpoints_can_be_left_out(uri: str, tmp_path: Path, logged: bool) -> None:
    tracker, checkpoint = MLflowTracker(uri, log_checkpoints=logged), CycleCheckpoint("val_loss")
    make_trainer(tmp_path, plan(), checkpoint, tracker, val_check_interval=2).fit(Tiny())
    run, kept = only_run(uri), [kept for cycle in checkpoint.finished_cycles for kept in cycle.kept]
    assert [int(model.params["step"]) for model in models(uri, run)] == (
        sorted(one.step for one in kept) if logged else []
    )
    assert artifacts(uri, run) == ["schedule"]
    assert ("lrsched.best" in run.data.tags) == logged
    assert len(history(uri, run, "cycle/val_loss")) == len(checkpoint.finished_cycles) > 0


class Fails(Tiny):
    """Raises what it is told to at its eighth batch."""

    failure: BaseException

    def training_step(self, batch: Tensor, batch_idx: int) -> Any:
        if self.batches == 7:
            raise self.failure
        return super().training_step(batch, batch_idx)


@pytest.mark.parametrize(
    ("failure", "seen", "status"),
    [(RuntimeError("on purpose"), RuntimeError, "FAILED"), (KeyboardInterrupt(), SystemExit, "KILLED")],
)
def test_a_run_that_ends_early_says_how(
    uri: str, tmp_path: Path, failure: BaseException, seen: type[BaseException], status: str
) -> None:
    module = Fails()
    module.failure = failure
    with pytest.raises(seen, match=r"on purpose|1"):
        make_trainer(tmp_path, plan(), MLflowTracker(uri)).fit(module)
    run = only_run(uri)
    assert run.info.status == status
    assert history(uri, run, LRS) == list(enumerate(expected_lrs(7)))
    kept = ["schedule/lr.png", "schedule/plan.json", "schedule/setup.json", "schedule/steps"]
    assert artifacts(uri, run, "schedule") == kept


@pytest.mark.parametrize(
    ("fault", "raised", "status"),
    [(RuntimeError("on purpose"), RuntimeError, "FAILED"), (KeyboardInterrupt(), SystemExit, "KILLED")],
)
def test_the_loggers_run_ends_as_the_fit_did(
    uri: str, tmp_path: Path, fault: BaseException, raised: type[BaseException], status: str
) -> None:
    module = Fails()
    module.failure = fault
    logger = MLFlowLogger("study", tracking_uri=uri)
    with pytest.raises(raised, match=r"on purpose|1"):
        make_trainer(tmp_path, plan(), MLflowTracker(), logger=logger, log_every_n_steps=1).fit(module)
    assert only_run(uri).info.status == status
    assert "finalize" not in vars(logger)
