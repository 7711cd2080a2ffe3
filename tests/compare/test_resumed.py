"""A run that a later fit went on with otherwise: it counts as what the later fit was."""

from pathlib import Path

import pytest

from lightning_lrsched import Cosine, LearningRateScheduler, MLflowTracker
from lightning_lrsched.compare import Goal, RunRecord, Selection, load_runs, mean_rows, open_store
from lightning_lrsched.compare.report.plans_table import plan_rows
from tests.callbacks.models import Tiny, make_trainer
from tests.compare.stores import quiet_mlflow

pytestmark = quiet_mlflow


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[RunRecord]:
    """Three runs of 20 steps, one of them resumed to 60."""
    folder = tmp_path_factory.mktemp("resumed")
    uri = f"sqlite:///{folder}/mlflow.db"

    def fit(name: str, epochs: int, ckpt_path: Path | None = None) -> None:
        callbacks = [LearningRateScheduler(Cosine(), warmup="10%"), MLflowTracker(uri, "e", run_name=name)]
        trainer = make_trainer(folder, *callbacks, max_epochs=epochs)
        trainer.fit(Tiny(), ckpt_path=ckpt_path)
        trainer.save_checkpoint(folder / f"{name}.ckpt")

    for name in ("short", "twin", "extended"):
        fit(name, 2)
    with pytest.warns(UserWarning, match="planned for 20 steps and now has 60"):
        fit("extended", 6, folder / "extended.ckpt")
    return load_runs(open_store(uri), Selection(["e"]))[1]


def test_a_run_resumed_to_another_length_has_a_plan_of_its_own(runs: list[RunRecord]) -> None:
    rows = sorted(mean_rows(runs, Goal("val_loss", "min")), key=lambda row: row.plan)
    assert [row.runs for row in rows] == [2, 1]
    groups, lines = plan_rows(runs)
    assert groups == [[0, 1], [2]]
    assert {line.name: line.cells for line in lines}["total_steps"] == ("20", "60")


def test_what_a_run_was_made_with_is_that_of_the_latest_fit(runs: list[RunRecord]) -> None:
    assert [(run.params or {})["setup/max_epochs"] for run in runs] == ["2", "2", "6"]
