"""A job that is requeued: two processes with one folder, the first of which still delivers."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lightning_lrsched import RunLength
from tests.callbacks.models import expected
from tests.integration.requeued import plan
from tests.integration.tracking_server import Proxy, Server
from tests.tracking.reading import history, only_run, repeated, runs

pytestmark = pytest.mark.usefixtures("no_tracking_variables")
LRS = "lr/SGD/0"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path, f"sqlite:///{tmp_path / 'mlflow.db'}") as made:
        yield made


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    made = Proxy(server.port)
    made.open()
    yield made
    made.close()


@contextmanager
def process(root: Path, uri: str, name: str) -> "Iterator[subprocess.Popen[bytes]]":
    """Start a fit that waits at its step until its file `wait` is gone."""
    (root / name).mkdir()
    (root / name / "wait").touch()
    with (root / name / "log").open("wb") as log:
        begun = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.requeued", str(root), uri, name], stdout=log, stderr=log
        )
    try:
        yield begun
    finally:
        begun.kill()
        begun.wait()


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_resumed_fit_waits_for_the_first_which_leaves_it_its_run(
    tmp_path: Path, server: Server, proxy: Proxy
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    with process(tmp_path, proxy.uri, "first") as before:
        until(lambda: any(LRS in run.data.metrics for run in runs(server.store)))
        proxy.mode = 503
        (first / "wait").unlink()
        until((first / "ended").exists)
        with process(tmp_path, proxy.uri, "second") as after:
            until((second / "begun").exists)  # it trains, whatever it has to wait for
            proxy.mode = "ok"
            assert before.wait(60) == 0, (first / "log").read_text()
            assert only_run(server.store).info.status == "RUNNING"
            (second / "wait").unlink()
            assert after.wait(60) == 0, (second / "log").read_text()
    run = only_run(server.store)
    lrs = expected(plan().plan.resolve(RunLength(40, 10)), 40)
    assert history(server.store, run, LRS) == list(enumerate(lrs))
    assert [step for step, _ in history(server.store, run, "val_loss")] == [9, 19, 29, 39]
    assert repeated(server.store) == []
    assert run.info.status == "FINISHED"
    assert not (tmp_path / "lrsched_spool").exists()
