"""Two real processes under every launcher: the same lr on every rank at every step, and no launch that hangs."""

import json
import socket
import subprocess
import time
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from lightning_lrsched import SGDR, Plan, RunLength
from tests.callbacks.models import LR, expected, make_trainer
from tests.conftest import copied
from tests.integration.test_processes import ABORTED_AT_EXIT
from tests.tracking.reading import history, only_run, repeated

Start: TypeAlias = Callable[..., subprocess.Popen[str]]

RANKS = Path(__file__).parent / "ranks.py"
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
SECONDS = 240  # two ranks take about 15 on an idle machine with two cores
STEPS = 20
pytestmark = pytest.mark.timeout(SECONDS + 60)


def curve() -> list[float]:
    """The lrs of the plan that the ranks follow."""
    return expected(Plan(SGDR(5), "10%").resolve(RunLength(STEPS, 10)), STEPS)


def finish(processes: list[subprocess.Popen[str]], folder: Path) -> str:
    """Wait for the processes, and return the log."""
    deadline = time.monotonic() + SECONDS
    for process in processes:
        try:
            process.wait(max(1.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            pytest.fail(f"not finished after {SECONDS} s:\n{(folder / 'log').read_text()[-3000:]}")
    return (folder / "log").read_text()


def seen(folder: Path, log: str, *scenarios: str) -> dict[str, list[dict[str, Any]]]:
    """What both ranks wrote in every scenario; complete, or the test fails with the log."""
    files = {name: [folder / f"{name}-{rank}.json" for rank in (0, 1)] for name in scenarios}
    assert all(file.exists() for pair in files.values() for file in pair), log[-5000:]
    return {name: [json.loads(file.read_text()) for file in pair] for name, pair in files.items()}


def check_ended(processes: list[subprocess.Popen[str]], log: str) -> None:
    """All ended well. gloo sometimes aborts at the exit of the interpreter, after all is done (pytorch #190489)."""
    assert all(process.returncode == 0 for process in processes) or ABORTED_AT_EXIT in log, log[-5000:]


def check_followed(found: dict[str, list[dict[str, Any]]]) -> None:
    """Both ranks used the plan's lr at every step, and went on from step 7 on the same curve."""
    for name, first in (("plain", 0), ("resumed", 7)):
        for rank in found.get(name, []):
            assert rank["lrs"] == curve()[first:], name


def test_under_torchrun_every_rank_does_the_same(tmp_path: Path, start: Start) -> None:
    names = ("plain", "resumed", "plateau", "unsynced", "nan", "broken_tracker")
    process = start(*TORCHRUN, RANKS, tmp_path, "ddp", 2, 1, *names, "collectives")
    log = finish([process], tmp_path)
    found = seen(tmp_path, log, *names, "collectives")
    check_ended([process], log)
    check_followed(found)
    assert [rank["lrs"] for rank in found["broken_tracker"]] == [curve()] * 2
    assert log.count("Tracking fails, training goes on") == 1

    # The mean of the ranks' losses rises: reduced, or unsynced with rank 0's loss, each epoch but the first halves.
    halved = [(LR, 20), (LR / 2, 10), (LR / 4, 10)]
    for name in ("plateau", "unsynced"):
        assert [runs(rank["lrs"]) for rank in found[name]] == [halved] * 2, name
    # A mean that is NaN is no improvement, from the first epoch on.
    assert [runs(rank["lrs"]) for rank in found["nan"]] == [[(LR / 2**epoch, 10) for epoch in range(4)]] * 2

    for rank in found["collectives"]:
        assert rank["with"] == rank["without"]
        assert len(rank["with"]) == 39
        assert sum(rank["calls"].values()) > 80  # Lightning's own were counted


def runs(lrs: list[float]) -> list[tuple[float, int]]:
    """Equal lrs in a row, with their number."""
    return [(lr, len(list(same))) for lr, same in groupby(lrs)]


LAUNCHED: list[Any] = [
    pytest.param([], "ddp", ("plain", "resumed"), id="the Trainer's own processes"),
    pytest.param([], "ddp_spawn", ("plain",), id="ddp_spawn"),
    pytest.param([], "ddp_fork", ("plain",), id="ddp_fork"),
    pytest.param(TORCHRUN, "model_parallel", ("plain", "resumed"), id="FSDP2"),
]


@pytest.mark.parametrize(("launcher", "strategy", "scenarios"), LAUNCHED)
def test_every_rank_follows_the_plan(
    tmp_path: Path, start: Start, launcher: list[str], strategy: str, scenarios: tuple[str, ...]
) -> None:
    process = start(*launcher, RANKS, tmp_path, strategy, 2, 1, *scenarios)
    log = finish([process], tmp_path)
    found = seen(tmp_path, log, *scenarios)
    check_ended([process], log)
    check_followed(found)


def test_the_process_that_started_the_others_knows_the_best_checkpoint(tmp_path: Path, start: Start) -> None:
    """Lightning sets the path that the worker found, and raised where it could not."""
    process = start(RANKS, tmp_path, "ddp_fork", 2, 1, "brought_back")
    log = finish([process], tmp_path)
    found = seen(tmp_path, log, "brought_back")["brought_back"]
    check_ended([process], log)
    best = (tmp_path / "brought_back.txt").read_text()
    assert Path(best).is_file()
    assert [rank["best"] for rank in found] == [best] * 2


def test_ddp_notebook_is_ddp_fork(tmp_path: Path) -> None:
    """One launch less: Lightning knows both by the same name."""
    found = [make_trainer(tmp_path, strategy=name, devices=2).strategy for name in ("ddp_fork", "ddp_notebook")]
    assert [(type(one).__name__, one._start_method) for one in found] == [("DDPStrategy", "fork")] * 2  # type: ignore[attr-defined]


def test_two_nodes_share_one_curve_one_run_and_one_set_of_files(tmp_path: Path, start: Start) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    names = ("plain", "resumed", "tracked")
    nodes = ["-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1"]
    address = ["--master-addr", "127.0.0.1", "--master-port", port]
    processes = [start(*nodes, *address, "--node-rank", rank, RANKS, tmp_path, "ddp", 1, 2, *names) for rank in (0, 1)]
    log = finish(processes, tmp_path)
    found = seen(tmp_path, log, *names)
    check_ended(processes, log)
    check_followed(found)
    tracked = found["tracked"]
    assert [rank["lrs"] for rank in tracked] == [curve()] * 2
    assert tracked[0]["paths"] == tracked[1]["paths"]
    assert len(set(tracked[0]["paths"])) == 4
    store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    run = only_run(store)
    assert history(store, run, "lr/SGD/0") == list(enumerate(curve()))
    # Rank 0 has measured three times the step, rank 1 its negative: Lightning's mean of both is the step.
    assert history(store, run, "val_loss") == [(step - 1, float(step)) for step in range(2, STEPS + 1, 2)]
    assert repeated(store) == []


@pytest.mark.parametrize(
    ("launcher", "scenario"),
    [
        pytest.param([], "raises_on_1", id="rank 1, the Trainer's own processes"),
        pytest.param(TORCHRUN, "raises_on_0", id="rank 0, torchrun"),
    ],
)
def test_a_rank_that_raises_ends_all_of_them(
    tmp_path: Path, migrated: Path, start: Start, launcher: list[str], scenario: str
) -> None:
    store = copied(migrated, tmp_path)
    process = start(*launcher, RANKS, tmp_path, "ddp", 2, 1, scenario)
    log = finish([process], tmp_path)
    assert process.returncode != 0
    assert "broken on purpose" in log
    assert not list(tmp_path.glob("raises-*.json"))
    assert only_run(store).info.status in {"FAILED", "KILLED"}
