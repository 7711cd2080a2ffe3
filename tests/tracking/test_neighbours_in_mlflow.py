"""Beside others: autolog, runs that are open, several loggers, environment variables, other stores."""

import json
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import LearningRateMonitor
from lightning.pytorch.loggers import CSVLogger, MLFlowLogger
from mlflow import MlflowClient
from torch import Tensor
from torch.optim import SGD, Adam

from lightning_lrsched import SGDR, Cosine, LearningRateScheduler, Linear, MLflowTracker, OneCycle, Plan, RunLength
from lightning_lrsched.tracking.replay import replay
from lightning_lrsched.tracking.sharing import redrawn
from tests.callbacks.models import LR, Stranger, Tiny, expected, loader, make_trainer, two_groups
from tests.callbacks.test_monitors import named
from tests.tracking.reading import history, only_run, repeated, runs

LRS = "lr/SGD/0"


def plan() -> LearningRateScheduler:
    return LearningRateScheduler(Cosine(), warmup=2)


def lrs() -> list[tuple[int, float]]:
    return list(enumerate(expected(plan().plan.resolve(RunLength(20, 10)), 20)))


@pytest.fixture
def global_uri(uri: str) -> Any:
    mlflow.set_tracking_uri(uri)
    yield uri
    while mlflow.active_run():
        mlflow.end_run()
    mlflow.set_tracking_uri(None)  # type: ignore[arg-type]  # unset


def test_an_active_nested_run_is_used_and_left_open(global_uri: str, tmp_path: Path) -> None:
    with mlflow.start_run() as outer, mlflow.start_run(nested=True) as inner:
        make_trainer(tmp_path, plan(), MLflowTracker()).fit(Tiny())
    client = MlflowClient(global_uri)
    assert history(global_uri, client.get_run(inner.info.run_id), LRS) == lrs()
    assert client.get_run(outer.info.run_id).data.metrics == {}


@pytest.fixture
def autologged(global_uri: str) -> Any:
    mlflow.pytorch.autolog(log_models=False, checkpoint=False)
    yield global_uri
    mlflow.pytorch.autolog(disable=True)


@pytest.mark.filterwarnings("ignore")
def test_autolog_and_the_tracker_share_one_run(autologged: str, tmp_path: Path) -> None:
    """autolog's curve is by epochs, the tracker's by steps: each has a key of its own, and its values once."""
    module = Tiny()
    trainer = make_trainer(tmp_path, plan(), MLflowTracker(), logger=CSVLogger(tmp_path), val_check_interval=5)
    with pytest.warns(UserWarning, match=r"autolog writes .* to the same run, by epochs.* as step/<metric>") as told:
        trainer.fit(module)
    assert len([one for one in told if "autolog writes" in str(one.message)]) == 1
    run = only_run(autologged)
    assert history(autologged, run, LRS) == lrs()
    scores = [float(torch.tensor(score)) for _, score in module.scores]
    assert history(autologged, run, "step/val_loss") == list(zip([4, 9, 14, 19], scores, strict=True))
    assert history(autologged, run, "val_loss") == [(0, scores[1]), (1, scores[3])]
    assert history(autologged, run, "epoch") == [(4, 0), (9, 0), (14, 1), (19, 1)]
    assert repeated(autologged) == []
    assert run.info.status == "FINISHED"


@pytest.mark.filterwarnings("ignore")
def test_metrics_keep_their_names_where_autolog_writes_to_another_run(autologged: str, tmp_path: Path) -> None:
    tracker = MLflowTracker(autologged, "study")
    make_trainer(tmp_path, plan(), tracker).fit(Tiny())
    run = MlflowClient(autologged).get_run(str(tracker.run_id))
    assert [step for step, _ in history(autologged, run, "val_loss")] == [9, 19]


class Forked(Tiny):
    """Logs its validation loss at every batch and for the whole validation."""

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.log("val_loss", self.score(self.trainer.global_step), on_step=True, on_epoch=True)


def test_the_loggers_epoch_is_written_once(uri: str, tmp_path: Path) -> None:
    logger = MLFlowLogger("beside", tracking_uri=uri)
    make_trainer(tmp_path, plan(), MLflowTracker(), logger=logger, log_every_n_steps=1000).fit(Forked())
    run = only_run(uri)
    assert history(uri, run, "epoch") == [(9, 0), (19, 1)]
    assert [step for step, _ in history(uri, run, "val_loss")] == [9, 19]  # the name that Lightning does not write
    assert repeated(uri) == []


class WithoutRun(CSVLogger):
    """A logger of another kind, with no run to name."""

    run_id = None


def test_a_logger_without_a_run_takes_no_metrics_from_a_run_that_is_not_open_yet(uri: str, tmp_path: Path) -> None:
    tracker = MLflowTracker("http://127.0.0.1:9", flush_timeout=0.1)
    with pytest.warns(UserWarning, match="Tracking fails|is kept in"):
        make_trainer(tmp_path, plan(), tracker, logger=WithoutRun(tmp_path)).fit(Tiny())
    assert tracker.left is not None
    assert tracker.left.spool is not None
    replay(tracker.left.spool, uri, patience=10.0)
    assert [step for step, _ in history(uri, only_run(uri), "val_loss")] == [9, 19]


def test_of_several_loggers_the_first_mlflow_one_is_used(uri: str, tmp_path: Path) -> None:
    loggers = [CSVLogger(tmp_path), *(MLFlowLogger(name, tracking_uri=uri) for name in ("one", "two"))]
    make_trainer(tmp_path, plan(), MLflowTracker(), logger=loggers, log_every_n_steps=1).fit(Tiny())
    found = {run.info.run_id: history(uri, run, LRS) for run in runs(uri)}
    assert found == {loggers[1].run_id: lrs(), loggers[2].run_id: []}  # type: ignore[attr-defined]
    assert repeated(uri) == []


def test_the_run_of_the_environment_is_used_and_left_open(global_uri: str, tmp_path: Path, monkeypatch: Any) -> None:
    run_id = MlflowClient(global_uri).create_run("0").info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    make_trainer(tmp_path, plan(), MLflowTracker()).fit(Tiny())
    run = only_run(global_uri)
    assert (run.info.run_id, run.info.status) == (run_id, "RUNNING")
    assert history(global_uri, run, LRS) == lrs()


@pytest.mark.filterwarnings("ignore::FutureWarning")  # MLflow's own, of its file store
def test_the_file_store_has_every_point_once_where_it_is_allowed(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    files = f"file:{tmp_path}/runs"
    tracker = MLflowTracker(files, "study")
    make_trainer(tmp_path, plan(), tracker).fit(Tiny())
    metrics = MlflowClient(files).get_metric_history(str(tracker.run_id), LRS)
    assert [(metric.step, metric.value) for metric in metrics] == lrs()


def test_the_users_environment_is_left_as_it_is(uri: str, tmp_path: Path) -> None:
    import os

    before = dict(os.environ)
    make_trainer(tmp_path, plan(), MLflowTracker(uri)).fit(Tiny())
    assert {k: v for k, v in os.environ.items() if k.startswith("MLFLOW")} == {
        k: v for k, v in before.items() if k.startswith("MLFLOW")
    }


def test_a_fit_whose_groups_share_a_shape_is_redrawn(uri: str, tmp_path: Path) -> None:
    schedule, stranger = LearningRateScheduler(SGDR(20, eta_min=1e-3), warmup=10), Stranger()
    tracker = MLflowTracker(uri, every_n_steps="shared", tolerance=0.01)
    make_trainer(tmp_path, schedule, tracker, stranger).fit(Tiny(two_groups), loader(60))
    run, keys = only_run(uri), ["lr/SGD/0", "lr/SGD/1"]
    found = {key: history(uri, run, key) for key in [*keys, "schedule/phase"]}
    assert len(found["lr/SGD/1"]) <= 6
    drawn = redrawn(found, dict.fromkeys(keys, keys[0]))
    for index, base in enumerate((LR, LR / 5)):
        misses = np.abs(drawn[keys[index]][1] - stranger.group(index))
        assert misses.max() <= 0.01 * base + 1e-12


@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
def test_a_scheduled_momentum_and_weight_decay_are_recorded(uri: str, tmp_path: Path, optimizer: str) -> None:
    def configure(module: Tiny) -> Any:
        kind = {"SGD": SGD, "Adam": Adam}[optimizer]
        return kind(module.parameters(), lr=LR, weight_decay=0.01, **({"momentum": 0.9} if kind is SGD else {}))

    seen: list[tuple[float, float]] = []

    class Keeps(Tiny):
        def on_before_optimizer_step(self, optimizer: Any) -> None:
            group = optimizer.param_groups[0]
            seen.append((group["betas"][0] if "betas" in group else group["momentum"], group["weight_decay"]))

    schedule = LearningRateScheduler(Plan(OneCycle(cycle_momentum=True), others={"weight_decay": Linear(end_factor=3)}))
    make_trainer(tmp_path, schedule, MLflowTracker(uri)).fit(Keeps(configure))
    run = only_run(uri)
    assert history(uri, run, f"momentum/{optimizer}/0") == [(step, pair[0]) for step, pair in enumerate(seen)]
    assert history(uri, run, f"weight_decay/{optimizer}/0") == [(step, pair[1]) for step, pair in enumerate(seen)]
    assert len({pair[0] for pair in seen}) > 10


@pytest.mark.parametrize(("configure", "names"), [(two_groups, {"0", "1"}), (named, {"head", "body"})])
def test_keys_of_the_same_groups_are_the_same_in_every_run(
    uri: str, tmp_path: Path, configure: Any, names: set[str]
) -> None:
    for _ in range(2):
        make_trainer(tmp_path, plan(), MLflowTracker(uri)).fit(Tiny(configure))
    one, two = runs(uri)
    assert set(one.data.metrics) == set(two.data.metrics)
    assert {key for key in one.data.metrics if key.startswith("lr/")} == {f"lr/SGD/{name}" for name in names}


def test_a_group_by_its_name_is_one_curve_wherever_it_stands(uri: str, tmp_path: Path) -> None:
    def turned(module: Tiny) -> Any:
        optimizer = named(module)
        optimizer.param_groups.reverse()
        return optimizer

    for configure in (named, turned):
        make_trainer(tmp_path, plan(), MLflowTracker(uri)).fit(Tiny(configure))
    one, two = runs(uri)
    for name in ("head", "body"):
        assert history(uri, one, f"lr/SGD/{name}") == history(uri, two, f"lr/SGD/{name}")
    assert history(uri, one, "lr/SGD/head") != history(uri, one, "lr/SGD/body")


def test_no_password_is_written_anywhere(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages, checkpoint, spool, repr: of a server that is away, whose URI has a password twice."""
    secret = "s3cretw0rd"
    tracker = MLflowTracker(f"http://ann:{secret}@127.0.0.1:9/x?token={secret}", flush_timeout=0.3)
    trainer = make_trainer(tmp_path, plan(), tracker)
    with pytest.warns(UserWarning, match="Tracking fails|is kept in") as told:
        trainer.fit(Tiny())
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    assert secret not in "".join(str(warning.message) for warning in told)
    assert secret not in json.dumps(tracker.state_dict()) + repr(tracker)
    assert list((tmp_path / "lrsched_spool").iterdir())
    found = [path for path in tmp_path.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
    assert found == []


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"tracking_uri": "sqlit:///x.db"}, r"MLflowTracker.tracking_uri = 'sqlit:///x.db' is refused: .*sqlite:///"),
        ({"tracking_uri": "localhost:5000"}, r"MLflowTracker.tracking_uri = 'localhost:5000' is refused: .*'http://lo"),
        ({"registered_model": "team/digits"}, r"MLflowTracker.registered_model = 'team/digits' is refused: .*'digits'"),
        ({"every_n_steps": 0}, r"MLflowTracker.every_n_steps = 0 is refused: .*'on_change'"),
        ({"every_n_steps": "sometimes"}, r"MLflowTracker.every_n_steps = 'sometimes' is refused"),
        ({"tolerance": 2.0}, r"MLflowTracker.tolerance = 2.0 is refused"),
        ({"resume_run": "yes"}, r"MLflowTracker.resume_run = 'yes' is refused"),
        ({"spool_dir": 3}, r"MLflowTracker.spool_dir = 3 is refused"),
        ({"deliver_every": 0}, r"MLflowTracker.deliver_every = 0 is refused"),
        ({"request_timeout": -1}, r"MLflowTracker.request_timeout = -1 is refused"),
    ],
)
def test_bad_values_are_refused_before_training(settings: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        MLflowTracker(**settings)


def test_lightnings_monitor_and_the_tracker_show_the_same_lrs(uri: str, tmp_path: Path) -> None:
    callbacks = [LearningRateMonitor("step"), plan(), MLflowTracker()]
    logger = MLFlowLogger("beside", tracking_uri=uri)
    make_trainer(tmp_path, *callbacks, logger=logger, log_every_n_steps=1).fit(Tiny(named))
    run = only_run(uri)
    for name in ("head", "body"):
        shown = history(uri, run, f"lr/SGD/{name}")
        assert len(shown) == 20
        assert history(uri, run, f"lr-SGD/{name}") == shown
