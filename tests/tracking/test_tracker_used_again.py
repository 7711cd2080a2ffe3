"""One tracker in several calls of a Trainer, and what a call must not take from the one before."""

from pathlib import Path

import pytest
from mlflow import MlflowClient

from lightning_lrsched import CycleCheckpoint, MLflowTracker
from lightning_lrsched.tracking import pick
from tests.callbacks.interruptions import SavesAt, Stops
from tests.callbacks.models import Tiny, loader, make_trainer, wavy
from tests.tracking.reading import history, only_run, runs
from tests.tracking.test_resumed import LRS, lrs, plan, train

pytestmark = pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")


class Measured(Tiny):
    def test_step(self, batch: object, batch_idx: int) -> None:
        self.log("test_loss", 0.5)


@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")
@pytest.mark.parametrize("call", ["validate", "test"])
def test_a_fit_after_a_look_at_a_checkpoint_is_a_run_of_its_own(uri: str, tmp_path: Path, call: str) -> None:
    """Lightning gives the state of a checkpoint to the callbacks of a test too: that resumes nothing."""
    tracker = MLflowTracker(uri)
    path = train(tmp_path / "first", tracker)
    module, trainer = Measured(score=wavy), make_trainer(tmp_path / "second", plan(), tracker, max_epochs=3)
    getattr(trainer, call)(module, loader(1), ckpt_path=path, weights_only=False)
    trainer.fit(module, loader(10), loader(1))
    found = runs(uri)
    assert [history(uri, run, LRS) for run in found] == [lrs(), lrs()]
    assert [len(history(uri, run, "val_loss")) for run in found] == [3, 3]
    assert not any("lrsched.resumed_from" in run.data.tags for run in found)


def test_what_is_saved_before_the_first_step_is_not_of_the_run_before(uri: str, tmp_path: Path) -> None:
    path, tracker = tmp_path / "early.ckpt", MLflowTracker(uri)

    class Early(Tiny):
        def on_train_start(self) -> None:
            self.trainer.save_checkpoint(path)

    train(tmp_path / "first", tracker)
    train(tmp_path / "second", tracker, module=Early(score=wavy))
    train(tmp_path / "second", MLflowTracker(uri), ckpt_path=path)
    assert [history(uri, run, LRS) for run in runs(uri)] == [lrs(), lrs(), lrs()]


def test_a_validation_before_the_first_step_of_a_resumed_fit_is_recorded(uri: str, tmp_path: Path) -> None:
    """A checkpoint of a cycle's last batch: its validation was still to come, and comes when training starts again."""
    cycles, path = CycleCheckpoint("val_loss", validate_at_end=True), tmp_path / "at-7.ckpt"
    with pytest.raises(RuntimeError, match="power cut"):
        train(tmp_path, MLflowTracker(uri), SavesAt(7, path), Stops(7), cycles)
    assert history(uri, only_run(uri), "val_loss") == []
    train(tmp_path, MLflowTracker(uri), CycleCheckpoint("val_loss", validate_at_end=True), ckpt_path=path)
    assert history(uri, only_run(uri), "val_loss")[0][0] == 6


def test_a_validation_alone_opens_no_run(uri: str, tmp_path: Path) -> None:
    make_trainer(tmp_path, plan(), MLflowTracker(uri)).validate(Tiny(), loader(1))
    assert runs(uri) == []
    assert not (tmp_path / "lrsched_spool").exists()


def test_without_mlflow_the_fit_is_refused_before_it_trains(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pick, "find_spec", lambda name: None)
    module = Tiny()
    with pytest.raises(ModuleNotFoundError, match="pip install 'lightning-lrsched\\[mlflow\\]'"):
        make_trainer(tmp_path, plan(), MLflowTracker(uri)).fit(module, loader(10))
    assert module.weight.item() == Tiny().weight.item()


def test_a_metric_with_a_long_name_keeps_no_other_point_from_the_run(uri: str, tmp_path: Path) -> None:
    """A letter that MLflow refuses becomes five, and MLflow takes 250 at most."""
    name = "потеря/" + "ы" * 60

    class Named(Tiny):
        def validation_step(self, batch: object, batch_idx: int) -> None:
            self.log(name, 0.5)

    make_trainer(tmp_path, plan(), MLflowTracker(uri), max_epochs=3).fit(Named(), loader(10), loader(1))
    run = only_run(uri)
    assert history(uri, run, LRS) == lrs()
    [key] = [key for key in run.data.metrics if 200 < len(key) <= 250]
    assert len(MlflowClient(uri).get_metric_history(run.info.run_id, key)) == 3
