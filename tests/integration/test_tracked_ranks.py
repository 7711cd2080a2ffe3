"""Two processes: the other ranks hold nothing of the tracker, and a rank 0 that dies leaves what can be replayed."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning_lrsched import SGDR, Plan, RunLength
from lightning_lrsched.cli import main
from tests.callbacks.models import expected
from tests.integration.ranks_and_files import STEPS
from tests.tracking.reading import history, only_run, repeated

SCRIPT = Path(__file__).with_name("ranks_and_files.py")
Start = Callable[..., "subprocess.Popen[str]"]


def seen(folder: Path, process: "subprocess.Popen[str]") -> list[dict[str, Any]]:
    """Wait until both ranks have written what they hold."""
    files, deadline = [folder / f"rank{rank}.json" for rank in (0, 1)], time.monotonic() + 120
    while not all(file.exists() for file in files):
        assert process.poll() is None or all(file.exists() for file in files), (folder / "log").read_text()[-3000:]
        assert time.monotonic() < deadline, (folder / "log").read_text()[-3000:]
        time.sleep(0.05)
    return [json.loads(file.read_text()) for file in files]


def test_other_ranks_hold_nothing_and_a_rank_0_that_dies_leaves_every_point(
    tmp_path: Path, store: str, start: Start
) -> None:
    (tmp_path / "wait").touch()
    process = start(SCRIPT, tmp_path, store)
    first, second = seen(tmp_path, process)
    assert {"lrsched-points", "lrsched-tasks"} <= set(first["threads"])
    assert any("spool" in file for file in first["files"])
    assert first["mlflow"]
    assert [name for name in second["threads"] if name.startswith("lrsched")] == []
    assert [file for file in second["files"] if "spool" in file or "store" in file] == []
    assert not second["mlflow"]

    for rank in (first, second):
        os.kill(rank["pid"], signal.SIGKILL)
    process.wait(30)
    assert main(["replay", str(tmp_path / "spool")]) == 0
    run, timeline = only_run(store), Plan(SGDR(5), "10%").resolve(RunLength(STEPS, STEPS))
    assert history(store, run, "lr/SGD/0") == list(enumerate(expected(timeline, 30)))
    assert history(store, run, "schedule/cycle")[-1] == (29, 5.0)
    assert repeated(store) == []
    assert run.info.status == "KILLED"
    assert list((tmp_path / "spool").iterdir()) == []
