"""What a sweep holds while it goes on: the run that it trains, and none of those before."""

import gc
from pathlib import Path

import lightning as L

from lightning_lrsched.sweep import load_sweep, run_sweep
from tests.sweep.conftest import sweep_file


class Counting:
    """Counts the Trainers that are still there whenever a run begins."""

    def __init__(self) -> None:
        self.alive: list[int] = []

    def begin(self, total: int, finished: int) -> None:
        """Nothing to do."""

    def running(self, name: str) -> None:
        self.alive.append(sum(type(each) is L.Trainer for each in gc.get_objects()))

    def ended(self, name: str, error: Exception | None) -> None:
        assert error is None, (name, error)


def test_a_finished_run_is_let_go_before_the_next_begins(tmp_path: Path, uri: str) -> None:
    gc.collect()
    progress = Counting()
    path = sweep_file(tmp_path, seeds=[0, 1], schedules={"constant": "Constant"}, folder=str(tmp_path / "runs"))
    run_sweep(load_sweep(path), progress, uri)
    assert progress.alive[1] <= progress.alive[0]
    assert len(progress.alive) == 2
