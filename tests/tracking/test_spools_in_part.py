"""Spools of which a part cannot be delivered: the rest is, and what is wrong is told."""

from pathlib import Path

import pytest
from mlflow import MlflowClient

from lightning_lrsched.tracking import journal, tasks
from lightning_lrsched.tracking.replay import replay
from lightning_lrsched.tracking.spool import Spool, SpoolError
from tests.tracking.reading import artifacts, history, only_run
from tests.tracking.spooling import end_note
from tests.tracking.test_replay import LRS, left

STEPS = 200


@pytest.fixture
def damaged(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A spool of several segments; the disk has lost a block in the middle of the second one."""
    init = journal.Journal.__init__.__defaults__
    monkeypatch.setattr(journal.Journal.__init__, "__defaults__", (2000, *init[1:]))  # type: ignore[index]
    folder = left(tmp_path, uri, steps=STEPS)
    segment = folder / "000001.journal"
    content = bytearray(segment.read_bytes())
    content[1000:1512] = bytes(512)
    segment.write_bytes(content)
    assert len(list(folder.glob("*.journal"))) > 3
    return folder


def test_a_damaged_segment_is_told_and_its_spool_kept(uri: str, damaged: Path) -> None:
    for _ in range(2):
        with pytest.raises(SpoolError, match=r"000001\..* is damaged.* rm -r "):
            replay(damaged)
        run = only_run(uri)
        assert run.info.status == "FINISHED"
        steps = [step for step, _ in history(uri, run, LRS)]
        assert steps[0] == 0
        assert steps[-1] == STEPS - 1
        assert STEPS / 2 < len(steps) < STEPS
        assert "schedule/plan.json" in artifacts(uri, run, "schedule")


def test_a_record_in_which_a_crash_has_left_zeros_is_left_out(uri: str, tmp_path: Path) -> None:
    folder = left(tmp_path, uri, steps=10)
    segment = folder / "000000.journal"
    segment.write_bytes(segment.read_bytes()[:-9] + bytes(9))
    done = replay(folder)
    assert (done.status, done.unread) == ("KILLED", len(end_note("FINISHED")))
    assert len(history(uri, only_run(uri), LRS)) == 10
    assert not folder.exists()


def test_a_task_that_is_refused_keeps_nothing_else_waiting(uri: str, tmp_path: Path) -> None:
    folder = left(tmp_path / "My Drive", uri, steps=10)
    refused = Spool.open(folder)
    refused.write("tasks/000000.json", tasks.describe({"not/../a//name": "x"}, {}))
    refused.release()
    for _ in range(2):
        with pytest.raises(SpoolError, match=f"to go on without it: rm '{folder}/tasks/000000.json'"):
            replay(folder)
        run = only_run(uri)
        assert run.info.status == "FINISHED"
        assert len(history(uri, run, LRS)) == 10
        assert run.data.params == {"schedule/main": "SGDR"}
        assert "schedule/plan.json" in artifacts(uri, run, "schedule")
    assert [path.name for path in (folder / "tasks").iterdir()] == ["000000.json"]
    (folder / "tasks" / "000000.json").unlink()
    assert replay(folder).points == 0
    assert not folder.exists()
    assert len(MlflowClient(uri).get_metric_history(run.info.run_id, LRS)) == 10
