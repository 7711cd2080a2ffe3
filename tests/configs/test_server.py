"""``make server`` for real: PostgreSQL and MLflow on free ports, a fit that tracks to it, and no secret anywhere."""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from mlflow import MlflowClient

from lightning_lrsched import Cosine, LearningRateScheduler, MLflowTracker
from lightning_lrsched.cli import main
from tests.callbacks.models import Tiny, make_trainer
from tests.postgresql import skip_without_postgresql
from tests.sweep.conftest import sweep_file
from tests.tracking.reading import history, runs

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "mlflow_configs" / "server.yaml"
DATABASE_SECRET, SERVER_SECRET = "d4t4b4se-s3cret:\\x", "s3rver-s3cret"


def free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def make(folder: Path, *words: str, password: str = DATABASE_SECRET) -> subprocess.CompletedProcess[str]:
    """Run make; the Python of these tests stands for the one that ``make env`` would install."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    environment = kept | {"PGPASSWORD": password, "PYTHONPATH": str(ROOT)}
    (folder / "ready").touch()
    command = ["make", *words, f"READY={folder / 'ready'}", f"BIN={Path(sys.executable).parent}"]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=150, check=False)


def serve(what: str, config: Path, password: str = DATABASE_SECRET) -> subprocess.CompletedProcess[str]:
    target = {"start": "server", "stop": "server-stop"}[what]
    return make(config.parent, target, f"SERVER={config}", password=password)


@pytest.fixture(scope="module")
def config() -> Iterator[Path]:
    """The shipped file with a place of its own, and its server running."""
    skip_without_postgresql()
    # pytest's own folders are closed to the user that PostgreSQL runs as.
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    port, database_port = free_ports(2)
    document = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
    document |= {"tracking_uri": f"http://127.0.0.1:{port}", "experiment": "on the server"}
    document["server"] |= {
        "port": port,
        "database": f"postgresql+psycopg2://mlflow@127.0.0.1:{database_port}/mlflow",
        "folder": str(folder / ".server"),
    }
    path = folder / "server.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    try:
        done = serve("start", path)
        assert done.returncode == 0, done.stderr
        (folder / "start.log").write_text(done.stdout + done.stderr)
        yield path
    finally:
        serve("stop", path)
        shutil.rmtree(folder)


def runs_still(pid: int) -> bool:
    """Return whether a process exists and is more than an entry that nobody has collected."""
    status = Path(f"/proc/{pid}/status")
    return status.exists() and re.search(r"^State:\s+Z", status.read_text(), re.MULTILINE) is None


def with_children(pid: int) -> set[int]:
    """Return a process and all that have come of it."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/status"):
        with suppress(OSError):  # it has ended meanwhile
            parents[int(status.parent.name)] = int(re.findall(r"^PPid:\s+(\d+)", status.read_text(), re.MULTILINE)[0])
    found: set[int] = set()
    new = {pid}
    while new:
        found |= new
        new = {child for child, parent in parents.items() if parent in new}
    return found


def uri_of(config: Path) -> str:
    return str(yaml.safe_load(config.read_text(encoding="utf-8"))["tracking_uri"])


def test_it_says_what_to_export_and_a_second_start_does_nothing(config: Path) -> None:
    assert f"export MLFLOW_TRACKING_URI={uri_of(config)}" in (config.parent / "start.log").read_text()
    before = (config.parent / ".server" / "mlflow.pid").read_text()
    assert serve("start", config).returncode == 0
    assert (config.parent / ".server" / "mlflow.pid").read_text() == before


def test_a_fit_tracks_to_it(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    tracker = MLflowTracker.from_config(config)
    make_trainer(tmp_path, LearningRateScheduler(Cosine()), tracker).fit(Tiny())
    [run] = runs(uri_of(config))
    assert run.info.run_id == tracker.run_id
    assert run.info.status == "FINISHED"
    assert len(history(uri_of(config), run, "lr/SGD/0")) == 20
    stored = MlflowClient(uri_of(config)).list_artifacts(run.info.run_id, "schedule")
    assert {file.path for file in stored} >= {"schedule/plan.json", "schedule/lr.png"}
    assert list((config.parent / ".server" / "artifacts").rglob("plan.json"))


def test_no_password_is_written_anywhere(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with_password = uri_of(config).replace("http://", f"http://ann:{SERVER_SECRET}@")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", with_password)
    file = str(sweep_file(tmp_path, seeds=[0]))
    assert main(["sweep", file]) == 0
    assert main(["compare", "--experiment", "small"]) == 0
    told = "".join(capfd.readouterr())
    assert "2 runs trained" in told

    [parent] = [run for run in runs(with_password) if run.info.run_name == "small"]
    entries = [str(run.to_dictionary()) for run in runs(with_password)]
    assert parent.info.run_id in "".join(entries)
    kept = config.parent / ".server" / "pgpass"
    written = [path for root in (tmp_path, config.parent) for path in root.rglob("*") if path.is_file()]
    assert kept in written
    for secret in (DATABASE_SECRET, DATABASE_SECRET.partition(":")[0], SERVER_SECRET):
        assert secret not in told + "".join(entries)
        holding = [path for path in written if secret.encode() in path.read_bytes() and path != kept]
        assert not holding
    assert kept.stat().st_mode & 0o777 == 0o600
    commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if os.access(path, os.R_OK)]
    assert not any(DATABASE_SECRET.partition(":")[0].encode() in command for command in commands)


def test_a_port_that_somebody_has_is_told(config: Path, tmp_path: Path) -> None:
    document = yaml.safe_load(config.read_text(encoding="utf-8"))
    document["server"]["folder"] = str(tmp_path / "other")
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    done = serve("start", tmp_path / "other.yaml")
    assert done.returncode == 2
    assert f":{document['server']['port']} is not free" in done.stderr
    assert "Traceback" not in done.stderr


def test_stopping_ends_both_and_what_was_kept_is_there_again(config: Path) -> None:
    count = len(runs(uri_of(config)))
    assert count
    pid = int((config.parent / ".server" / "mlflow.pid").read_text())
    database = int((config.parent / ".server" / "postgres" / "postmaster.pid").read_text().split()[0])
    running = with_children(pid) | with_children(database)
    assert len(running) > 4, "the server has a worker, the database its own processes"
    assert serve("stop", config).stdout == "stopped: mlflow server and PostgreSQL\n"
    assert not [each for each in running if runs_still(each)]
    assert serve("stop", config).stdout == "stopped: nothing was running\n"
    assert serve("start", config).returncode == 0
    assert len(runs(uri_of(config))) == count


def test_without_another_file_it_is_the_shipped_one(tmp_path: Path) -> None:
    command = f"{Path(sys.executable).parent}/python mlflow_configs/serve.py"
    assert make(tmp_path, "--dry-run", "server").stdout == f"{command} start mlflow_configs/server.yaml\n"
    assert make(tmp_path, "--dry-run", "server-stop").stdout == f"{command} stop mlflow_configs/server.yaml\n"


def test_the_password_of_another_database_in_the_shell_is_left_aside(config: Path) -> None:
    count = len(runs(uri_of(config)))
    serve("stop", config)
    done = serve("start", config, password="of-another-database")
    assert done.returncode == 0, done.stderr
    assert len(runs(uri_of(config))) == count
