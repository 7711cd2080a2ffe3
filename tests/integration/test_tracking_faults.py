"""Faults, each with the real thing: the training is the untracked one, does not wait, and every point arrives once."""

import json
import os
import signal
import sqlite3
import subprocess
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from mlflow import MlflowClient

from lightning_lrsched import RunLength
from lightning_lrsched.cli import main
from lightning_lrsched.tracking.spool import Spool, SpoolError
from tests.callbacks.models import expected
from tests.integration.tracked_fit import STEPS, Done, Watch, fit, plan, untracked
from tests.integration.tracking_server import Proxy, Server
from tests.tracking.reading import history, only_run, repeated, runs

HERE = Path(__file__).parent
LRS = "lr/SGD/0"
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(autouse=True)
def _no_tracking_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("MLFLOW_TRACKING")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests; each has a store of its own behind it by the experiment's runs being deleted."""
    folder = tmp_path_factory.mktemp("server")
    made = Server(folder, f"sqlite:///{folder / 'mlflow.db'}")
    try:
        made.start()
        yield made
    finally:
        made.stop()


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


@pytest.fixture
def local(tmp_path: Path) -> str:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    MlflowClient(uri).search_experiments()
    return uri


def lrs() -> list[tuple[int, float]]:
    return list(enumerate(expected(plan().plan.resolve(RunLength(STEPS, STEPS // 3)), STEPS)))


def told_of(call: Callable[[], Done]) -> tuple[Done, list[str]]:
    """Run a fit; return what it told of tracking."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        done = call()
    texts = [str(warning.message) for warning in caught]
    return done, [text for text in texts if text.startswith(("Tracking", "MLflow", "The spool"))]


def check_store(uri: str, status: str = "FINISHED") -> None:
    """Every point of the fit is in the store exactly once."""
    run = only_run(uri)
    assert history(uri, run, LRS) == lrs()
    assert len(history(uri, run, "val_loss")) == 3
    assert history(uri, run, "schedule/cycle")[-1] == (STEPS - 1, 4.0)
    assert repeated(uri) == []
    assert run.info.status == status


def check_replay(folder: Path, told: list[str], uri: str, status: str = "FINISHED") -> None:
    """The message has the command that delivers the rest, and it does."""
    command = told[-1].partition("Deliver it with: lrsched ")[2].partition(" There")[0]
    assert command.startswith(f"replay {folder / 'lrsched_spool'}")
    deadline = time.monotonic() + 20
    while _in_use(Path(command.split()[-1])) and time.monotonic() < deadline:
        time.sleep(0.1)  # this process has not ended: an upload that hung comes back when its server does
    assert main(command.split()) == 0
    check_store(uri, status)
    assert not (folder / "lrsched_spool").exists()


def _in_use(folder: Path) -> bool:
    try:
        Spool.open(folder).release()
    except SpoolError:
        return True
    return False


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


@pytest.mark.parametrize("what", ["run", "experiment"])
def test_what_was_deleted_is_delivered_when_it_is_restored(tmp_path: Path, local: str, what: str) -> None:
    client = MlflowClient(local)

    def delete() -> None:
        run = only_run(local)
        client.delete_run(run.info.run_id) if what == "run" else client.delete_experiment(run.info.experiment_id)

    begin = time.monotonic()
    done, told = told_of(lambda: fit(tmp_path, local, Watch({150: delete})))
    assert time.monotonic() - begin < 20
    done.check()
    assert "deleted" in told[0]
    assert main(["replay", str(tmp_path / "lrsched_spool")]) == 2
    assert done.tracker.run_id is not None
    if what == "run":
        client.restore_run(done.tracker.run_id)
    else:
        client.restore_experiment(client.get_run(done.tracker.run_id).info.experiment_id)
    check_replay(tmp_path, told, local)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB, where root may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip(
            f"no small disk, {mounted.stderr.decode().strip()}: test_journal has a file that may not grow instead"
        )
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def test_a_disk_that_becomes_full(tmp_path: Path, local: str, small_disk: Path) -> None:
    def fill() -> None:  # again and again: what is delivered leaves room
        file = os.open(small_disk / "filler", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        with suppress(OSError):
            while os.write(file, bytes(512)):
                pass
        os.close(file)

    done, told = told_of(
        lambda: fit(tmp_path, local, Watch(dict.fromkeys(range(80, 300), fill)), spool_dir=small_disk / "spool")
    )
    done.check()
    assert len(told) == 1
    assert told[0].startswith("The spool cannot be written (No space left on device): tracking goes on in memory")
    check_store(local)


def test_a_spool_that_cannot_be_made(tmp_path: Path, local: str) -> None:
    done, told = told_of(lambda: fit(tmp_path, local, spool_dir="/proc/lrsched"))
    done.check()
    assert len(told) == 1
    assert told[0].startswith("The spool cannot be written in /proc/lrsched (")
    check_store(local)


def test_without_disk_and_server_it_is_told_that_steps_are_lost(tmp_path: Path) -> None:
    done, told = told_of(lambda: fit(tmp_path, "http://127.0.0.1:9", spool_dir="/proc/lrsched", flush_timeout=0.5))
    done.check()
    assert "steps are lost" in told[-1]
    assert "lrsched replay" not in told[-1]


def test_a_database_that_another_writer_has_locked(tmp_path: Path, local: str) -> None:
    other = sqlite3.connect(local.removeprefix("sqlite:///"), isolation_level=None, check_same_thread=False)
    timer = threading.Timer(7.0, lambda: other.execute("ROLLBACK"))

    def lock() -> None:
        other.execute("BEGIN EXCLUSIVE")
        timer.start()

    done, told = told_of(lambda: fit(tmp_path, local, Watch({80: lock})))
    timer.join()
    other.close()
    done.check()
    assert told in ([], [text for text in told if "locked" in text][:1])
    check_store(local)


def begun(folder: Path, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 90
    while not (folder / "begun").exists():
        assert process.poll() is None, (folder / "log").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, "KILLED"), (signal.SIGINT, "KILLED")])
def test_a_fit_that_is_stopped_by_a_signal_ends_its_run(
    tmp_path: Path, local: str, start: Start, number: signal.Signals, status: str
) -> None:
    process = start(HERE / "tracked_fit.py", tmp_path, local)
    begun(tmp_path, process)
    process.send_signal(number)
    process.wait(60)
    run = only_run(local)
    assert run.info.status == status, (tmp_path / "log").read_text()[-2000:]
    points = history(local, run, LRS)
    assert points == lrs()[: len(points)]
    assert 50 <= len(points) < STEPS
    assert not (tmp_path / "lrsched_spool").exists()


def test_a_fit_that_is_killed_leaves_every_step_in_its_spool(tmp_path: Path, local: str, start: Start) -> None:
    process = start(HERE / "tracked_fit.py", tmp_path, local)
    begun(tmp_path, process)
    process.kill()
    process.wait(10)
    assert main(["replay", str(tmp_path / "lrsched_spool")]) == 0
    run = only_run(local)
    points = history(local, run, LRS)
    assert points == lrs()[: len(points)]
    assert len(points) >= 50
    assert repeated(local) == []
    assert run.info.status == "KILLED"


def test_two_trainings_at_once_on_one_new_sqlite_file(tmp_path: Path, start: Start) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    processes = [start(HERE / "tracked_fit.py", folder, uri, 60) for folder in folders]
    for process in processes:
        assert process.wait(120) == 0, (tmp_path / "log").read_text()[-3000:]
    for folder in folders:
        assert tuple(json.loads((folder / "weights.json").read_text())) == untracked()
        assert not (folder / "lrsched_spool").exists(), (tmp_path / "log").read_text()[-3000:]
    found = runs(uri)
    assert [run.info.status for run in found] == ["FINISHED", "FINISHED"]
    assert all(history(uri, run, LRS) == lrs() for run in found)
    assert repeated(uri) == []


def test_the_links_at_the_end_show_no_password(
    proxy: Proxy, server: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fit(tmp_path, f"http://ann:s3cret@127.0.0.1:{server.port}", Watch(pause=0))
    check_store(server.store)
    assert "s3cret" not in "".join(capfd.readouterr())
    fit(tmp_path, server.uri, Watch(pause=0))
    assert f"{server.uri}/#/experiments/" in capfd.readouterr().out
