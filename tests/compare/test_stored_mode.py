"""The direction of a metric whose name says nothing, from the checkpoints that a run has kept by it."""

from pathlib import Path
from typing import Any

import pytest

from lightning_lrsched import SGDR, CycleCheckpoint, LearningRateScheduler, MLflowTracker
from lightning_lrsched.cli import main
from lightning_lrsched.compare import Selection, goal_for, load_runs, open_store
from tests.callbacks.models import Tiny, make_trainer
from tests.compare.stores import quiet_mlflow

pytestmark = quiet_mlflow


class Quux(Tiny):
    """A metric of which only the fit knows that higher is better."""

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_quux", 0.01 * self.trainer.global_step)
        self.log("val_plugh", 1.0)


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("quux")
    uri = f"sqlite:///{folder}/mlflow.db"
    for index, keeps in enumerate((CycleCheckpoint(monitor="val_quux", mode="max"), None)):
        schedule, tracker = LearningRateScheduler(SGDR("1ep")), MLflowTracker(uri, "e", run_name=f"run-{index}")
        callbacks = [schedule, tracker, *([] if keeps is None else [keeps])]
        make_trainer(Path(folder) / str(index), *callbacks).fit(Quux())
    return uri


def test_the_mode_of_kept_checkpoints_counts(uri: str) -> None:
    metric, records = load_runs(open_store(uri), Selection(["e"]), "val_quux")
    assert [record.mode for record in records] == ["max", None]
    assert (goal_for(records, metric).mode, goal_for(records, metric).mode_from) == ("max", "runs")
    metric, records = load_runs(open_store(uri), Selection(["e"]), "val_plugh")
    assert [record.mode for record in records] == [None, None], "they were kept by another metric"
    assert goal_for(records, metric).mode_from == "nothing"


def test_the_table_says_what_it_went_by(uri: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "e", "--tracking-uri", uri, "--metric", "val_quux"]) == 0
    assert "val_quux: higher is better, as the runs have kept" in capsys.readouterr().out
    assert main(["compare", "e", "--tracking-uri", uri, "--metric", "val_plugh"]) == 0
    assert "val_plugh: lower is taken for better, as neither" in capsys.readouterr().out
