"""Several processes, and signals: what a user of a cluster sees."""

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lightning_lrsched import SGDR, Plan, RunLength
from tests.callbacks.models import expected
from tests.tracking.reading import history, model_files, only_run, repeated

HERE = Path(__file__).parent
ABORTED_AT_EXIT = "terminate called without an active exception"
LAUNCHERS: dict[str, list[str]] = {
    "torchrun": ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"],
    "script": [],
}


def wait(process: subprocess.Popen[str], seconds: float, folder: Path) -> str:
    """Wait for the end of a process and return its log."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        pytest.fail(f"not finished after {seconds} s:\n{(folder / 'log').read_text()[-3000:]}")
    return (folder / "log").read_text()


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_two_processes_share_one_schedule_one_run_and_one_set_of_files(
    tmp_path: Path, store: str, start: Callable[..., subprocess.Popen[str]], launcher: str
) -> None:
    process = start(*LAUNCHERS[launcher], HERE / "two_ranks.py", tmp_path, store)
    log = wait(process, 120, tmp_path)
    files = [tmp_path / "rank0.json", tmp_path / "rank1.json"]
    assert all(file.exists() for file in files), log[-3000:]
    # gloo sometimes aborts at the exit of the interpreter, after all is done (pytorch #190489).
    assert process.returncode == 0 or ABORTED_AT_EXIT in log, log[-3000:]
    seen: list[dict[str, Any]] = [json.loads(file.read_text()) for file in files]

    timeline = Plan(SGDR(5), "10%").resolve(RunLength(20, 10))
    assert seen[0]["lrs"] == seen[1]["lrs"] == expected(timeline, 20)
    assert seen[0]["run"] == seen[1]["run"] == [20, 10]
    assert seen[0]["cycles"] == seen[1]["cycles"]
    paths = [path for _, path, _, _ in seen[0]["cycles"]]
    assert sorted(paths) == sorted(str(path) for path in (tmp_path / "checkpoints").glob("*.ckpt"))
    assert {cycle for cycle, _, _, _ in seen[0]["cycles"]} == {0, 1, 2, 3}

    run = only_run(store)
    assert [one["run_id"] for one in seen] == [run.info.run_id, None]
    assert run.info.status == "FINISHED"
    assert history(store, run, "lr/SGD/0") == list(enumerate(expected(timeline, 20)))
    assert repeated(store) == []
    assert sorted(model_files(store, run)) == sorted(Path(path).name for path in paths)


def test_a_run_that_is_terminated_is_killed_in_mlflow(
    tmp_path: Path, store: str, start: Callable[..., subprocess.Popen[str]]
) -> None:
    (tmp_path / "wait").touch()
    process = start(HERE / "terminated.py", tmp_path, store)
    deadline = time.monotonic() + 60
    while not (tmp_path / "begun").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    (tmp_path / "wait").unlink()
    log = wait(process, 60, tmp_path)
    run = only_run(store)
    assert run.info.status == "KILLED", log[-3000:]
    points = history(store, run, "lr/SGD/0")
    assert [step for step, _ in points] == list(range(5))
