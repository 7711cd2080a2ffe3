"""Faults of a server: the training is the untracked one, does not wait, and every point arrives once."""

import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from mlflow import MlflowClient

from lightning_lrsched import MLflowTracker
from tests.callbacks.models import Tiny, loader, make_trainer
from tests.integration.faults import check_replay, check_store, told_of
from tests.integration.tracked_fit import Watch, fit, plan
from tests.integration.tracking_server import Proxy, Server
from tests.tracking.reading import history, only_run, repeated, runs

pytestmark = pytest.mark.usefixtures("no_tracking_variables")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests; each has a store of its own behind it by the experiment's runs being deleted."""
    folder = tmp_path_factory.mktemp("server")
    with Server(folder, f"sqlite:///{folder / 'mlflow.db'}") as made:
        yield made


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    """A proxy before the server, which has no run."""
    with sqlite3.connect(server.store.removeprefix("sqlite:///")) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        for table in ("metrics", "latest_metrics", "params", "tags", "runs"):
            connection.execute(f"DELETE FROM {table}")
    connection.close()
    made = Proxy(server.port)
    made.open()
    yield made
    made.close()


def test_down_from_the_start(tmp_path: Path, server: Server, proxy: Proxy) -> None:
    proxy.mode = "down"
    begin = time.monotonic()
    done, told = told_of(lambda: fit(tmp_path, proxy.uri, flush_timeout=1.0))
    assert time.monotonic() - begin < 20
    done.check()
    assert [text.partition(":")[0] for text in told] == [
        "Tracking fails, training goes on",
        "MLflow has not taken everything in 1 s (flush_timeout)",
    ]
    assert runs(server.store) == []
    proxy.mode = "ok"
    check_replay(tmp_path, told, server.store)


@pytest.mark.parametrize("mode", ["down", 500, 429, 503, "cut", "reply lost"])
def test_ill_in_the_middle_and_well_again(tmp_path: Path, server: Server, proxy: Proxy, mode: str | int) -> None:
    asked: list[int] = []

    def ill() -> None:
        proxy.mode = mode
        asked.append(len(proxy.requests))

    def well() -> None:
        deadline = time.monotonic() + 20
        while mode != "down" and len(proxy.requests) == asked[0] and time.monotonic() < deadline:
            time.sleep(0.05)  # a slow machine has not tried to deliver yet
        time.sleep(1.5)  # long enough for a delivery to fail
        proxy.mode = "ok"

    watch = Watch({80: ill, 200: well})
    done, told = told_of(lambda: fit(tmp_path, proxy.uri, watch))
    done.check()
    assert len(told) == 1
    assert told[0].startswith("Tracking fails, training goes on: ")
    check_store(server.store)
    assert not (tmp_path / "lrsched_spool").exists()


@pytest.mark.parametrize("mode", ["down", 500, 401])
def test_ill_for_good(tmp_path: Path, server: Server, proxy: Proxy, mode: str | int) -> None:
    watch, begin = Watch({80: lambda: setattr(proxy, "mode", mode)}), time.monotonic()
    done, told = told_of(lambda: fit(tmp_path, proxy.uri, watch, flush_timeout=1.0))
    assert time.monotonic() - begin < 20
    done.check()
    assert len(told) == 2
    proxy.mode = "ok"
    check_replay(tmp_path, told, server.store)


def test_a_wrong_password_does_not_keep_the_end_waiting(tmp_path: Path, proxy: Proxy) -> None:
    proxy.mode = 401
    begin = time.monotonic()
    done, told = told_of(lambda: fit(tmp_path, proxy.uri.replace("//", "//ann:s3cret@"), flush_timeout=60.0))
    assert time.monotonic() - begin < 30
    done.check()
    assert "401" in told[0]
    assert "s3cret" not in "".join(told)
    kept = b"".join(path.read_bytes() for path in (tmp_path / "lrsched_spool").rglob("*") if path.is_file())
    assert b"s3cret" not in kept


def test_an_answer_that_takes_ten_seconds(tmp_path: Path, server: Server, proxy: Proxy) -> None:
    watch = Watch({20: lambda: setattr(proxy, "mode", "slow")})
    done, told = told_of(lambda: fit(tmp_path, proxy.uri, watch))
    done.check()
    assert proxy.late >= 1  # points and tasks ask side by side
    assert told == []
    check_store(server.store)


def test_a_server_that_hangs_and_one_that_is_killed(tmp_path: Path, server: Server, proxy: Proxy) -> None:
    for number, folder in ((signal.SIGSTOP, tmp_path / "hangs"), (signal.SIGKILL, tmp_path / "killed")):
        folder.mkdir()
        watch, begin = Watch({80: lambda number=number: server.send(number)}), time.monotonic()  # type: ignore[misc]
        done, told = told_of(lambda: fit(folder, server.uri, watch, flush_timeout=2.0, request_timeout=1.0))  # noqa: B023
        assert time.monotonic() - begin < 25
        done.check()
        if number is signal.SIGSTOP:
            server.send(signal.SIGCONT)
        else:
            server.stop()
            server.start()
        check_replay(folder, told, server.store)
        MlflowClient(server.store).delete_run(only_run(server.store).info.run_id)


def test_a_thousand_points_are_one_request(tmp_path: Path, server: Server, proxy: Proxy) -> None:
    def eight(module: Tiny) -> Any:
        more: list[dict[str, Any]] = [{"params": [torch.nn.Parameter(torch.zeros(1))]} for _ in range(7)]
        return torch.optim.SGD([{"params": module.parameters()}, *more], lr=0.1)

    tracker = MLflowTracker(proxy.uri, "study", deliver_every=60.0)
    make_trainer(tmp_path, plan(), tracker).fit(Tiny(eight), loader(500))
    run = only_run(server.store)
    stored = sum(len(history(server.store, run, key)) for key in run.data.metrics)
    assert sum(proxy.points) == stored > 8000
    assert min(proxy.points[:-1]) > 990
    assert max(proxy.points) <= 1000
    assert len(proxy.points) == 9
    assert repeated(server.store) == []


def test_the_links_at_the_end_show_no_password(
    proxy: Proxy, server: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fit(tmp_path, f"http://ann:s3cret@127.0.0.1:{server.port}", Watch(pause=0))
    check_store(server.store)
    assert "s3cret" not in "".join(capfd.readouterr())
    fit(tmp_path, server.uri, Watch(pause=0))
    assert f"{server.uri}/#/experiments/" in capfd.readouterr().out
