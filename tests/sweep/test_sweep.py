"""``lrsched sweep``: real fits into a real store, stopped, failed, and taken up again."""

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.entities import Run, ViewType

from lightning_lrsched.cli import main
from tests.sweep.conftest import sweep_file
from tests.tracking.reading import history, keys, models, repeated, runs

ROOT = Path(__file__).parents[2]
NAMES = ["constant, seed 0", "constant, seed 1", "sgdr, seed 0", "sgdr, seed 1"]


def children(uri: str) -> list[Run]:
    found = [run for run in runs(uri) if "mlflow.parentRunId" in run.data.tags]
    return sorted(found, key=lambda run: str(run.info.run_name))


def parents(uri: str) -> list[Run]:
    return [run for run in runs(uri) if "mlflow.parentRunId" not in run.data.tags]


def mlflow_variables() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("MLFLOW_")}


def losses(uri: str) -> dict[str, Any]:
    """Every validation loss and every lr of each finished run, by its name."""
    finished = [run for run in children(uri) if run.info.status == "FINISHED"]
    return {
        str(run.info.run_name): [history(uri, run, key) for key in ("val_loss", *keys(run, "lr/"))] for run in finished
    }


def test_every_combination_is_a_finished_child_of_one_parent(
    uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mlflow.set_tracking_uri(None)  # type: ignore[arg-type]  # its default is that of the folder where it was first asked
    before = mlflow.get_tracking_uri(), mlflow_variables()
    assert main(["sweep", str(sweep_file(tmp_path)), "--tracking-uri", uri]) == 0
    assert (mlflow.get_tracking_uri(), mlflow_variables()) == before
    assert mlflow.active_run() is None

    [parent] = parents(uri)
    assert (parent.info.run_name, parent.info.status) == ("small", "FINISHED")
    assert [run.info.run_name for run in children(uri)] == NAMES
    for run in children(uri):
        assert run.info.status == "FINISHED"
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.data.params["sweep/schedule"] in ("constant", "sgdr")
        assert len(history(uri, run, "lr/SGD/0")) == 10
        assert len(history(uri, run, "val_loss")) == 2
    told = capsys.readouterr().out
    assert "4 runs trained, 0 failed" in told
    assert f"lrsched compare --experiment small --run {parent.info.run_id[:8]} --tracking-uri {uri}" in told

    found = losses(uri)
    assert found[NAMES[0]] != found[NAMES[1]]
    assert found[NAMES[0]][0] != found[NAMES[2]][0]


def test_a_second_call_trains_only_what_is_missing(
    uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sweep", str(sweep_file(tmp_path, seeds=[0]))]) == 0
    first = {run.info.run_id for run in children(uri)}
    assert main(["sweep", str(sweep_file(tmp_path))]) == 0
    assert "2 runs trained, 2 had finished before, 0 failed" in capsys.readouterr().out
    assert [run.info.run_name for run in children(uri)] == NAMES
    assert first < {run.info.run_id for run in children(uri)}
    assert len(parents(uri)) == 1
    assert main(["sweep", str(sweep_file(tmp_path))]) == 0
    assert "0 runs trained, 4 had finished before" in capsys.readouterr().out
    assert len(children(uri)) == 4


def test_another_budget_is_another_sweep(uri: str, tmp_path: Path) -> None:
    assert main(["sweep", str(sweep_file(tmp_path, seeds=[0]))]) == 0
    assert main(["sweep", str(sweep_file(tmp_path, seeds=[0], trainer={"max_epochs": 1, "accelerator": "cpu"}))]) == 0
    assert len(parents(uri)) == 2
    counts = Counter(run.data.tags["mlflow.parentRunId"] for run in children(uri))
    assert list(counts.values()) == [2, 2]


@pytest.mark.parametrize(
    ("number", "status", "code"),
    [(signal.SIGINT, "KILLED", 130), (signal.SIGKILL, "RUNNING", -signal.SIGKILL)],
    ids=["ctrl-C", "SIGKILL"],
)
def test_a_stopped_sweep_goes_on_and_ends_with_the_same_numbers(  # noqa: PLR0917
    number: signal.Signals,
    status: str,
    code: int,
    uri: str,
    tmp_path: Path,
    start: Callable[..., "subprocess.Popen[str]"],
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = str(sweep_file(tmp_path))
    (tmp_path / "signal").write_text(str(int(number)))
    (tmp_path / "stop").write_text("1")
    process = start("-m", "lightning_lrsched.cli", "sweep", file)
    assert process.wait(120) == code, (tmp_path / "log").read_text()
    assert [run.info.status for run in children(uri)] == ["FINISHED", status]
    stopped = next(run for run in children(uri) if run.info.status == status)

    (tmp_path / "stop").unlink()
    assert main(["sweep", file]) == 0
    assert "3 runs trained, 1 had finished before" in capsys.readouterr().out
    assert [(run.info.run_name, run.info.status) for run in children(uri)] == [(name, "FINISHED") for name in NAMES]
    assert [run.info.status for run in parents(uri)] == ["FINISHED"]
    client = mlflow.MlflowClient(uri)
    deleted = client.search_runs([stopped.info.experiment_id], run_view_type=ViewType.DELETED_ONLY)
    assert [run.info.run_id for run in deleted] == [stopped.info.run_id]

    interrupted = losses(uri)
    assert main(["sweep", str(sweep_file(tmp_path, name="whole", experiment="whole"))]) == 0
    whole = [run for run in children(uri) if run.info.experiment_id != stopped.info.experiment_id]
    for run in whole:
        name = str(run.info.run_name)
        assert interrupted[name] == [history(uri, run, key) for key in ("val_loss", *keys(run, "lr/"))]


def test_a_run_that_fails_stops_no_other_and_is_trained_again(
    uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(sweep_file(tmp_path, lrs={"constant": [0.1, 0.5]}, seeds=[0]))
    (tmp_path / "fail").touch()
    assert main(["sweep", file]) == 1
    told = capsys.readouterr().out
    assert "failed: constant, lr 0.5, seed 0: RuntimeError: this one fails" in told
    assert "2 runs trained, 1 failed" in told
    assert [run.info.status for run in children(uri)] == ["FINISHED", "FAILED", "FINISHED"]
    assert [run.info.status for run in parents(uri)] == ["FAILED"]

    (tmp_path / "fail").unlink()
    assert main(["sweep", file]) == 0
    assert "1 runs trained, 2 had finished before, 0 failed" in capsys.readouterr().out
    assert [run.info.status for run in children(uri)] == ["FINISHED"] * 3
    assert [run.info.status for run in parents(uri)] == ["FINISHED"]


def test_a_run_that_lacks_points_is_not_finished_until_they_are_delivered(
    uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module, quick = {"class_path": "tests.sweep.modules.Locks"}, {"flush_timeout": 1.0, "deliver_every": 60}
    file = str(sweep_file(tmp_path, module=module, tracker=quick, schedules={"constant": "Constant"}, seeds=[0]))
    (tmp_path / "lock").touch()
    with pytest.warns(UserWarning, match="MLflow has not taken everything in 1 s|Tracking fails"):
        assert main(["sweep", file]) == 1
    told = capsys.readouterr().out
    assert "failed: constant, seed 0: Undelivered: it was trained, and the rest is in " in told
    assert [run.info.status for run in children(uri)] == ["FAILED"]
    first, ended = children(uri)[0].info.run_id, children(uri)[0].info.end_time

    assert main(["sweep", file]) == 0
    assert "0 runs trained, 1 had finished before, 0 failed" in capsys.readouterr().out
    assert [run.info.status for run in children(uri)] == ["FINISHED"]
    assert (children(uri)[0].info.run_id, children(uri)[0].info.end_time) == (first, ended)
    assert [step for step, _ in history(uri, children(uri)[0], "lr/SGD/0")] == list(range(10))
    assert repeated(uri) == []
    assert not list(tmp_path.rglob("lrsched_spool"))


def test_a_second_process_is_refused_while_the_first_trains(
    uri: str, tmp_path: Path, start: Callable[..., "subprocess.Popen[str]"], capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(sweep_file(tmp_path))
    (tmp_path / "signal").write_text(str(int(signal.SIGSTOP)))
    (tmp_path / "stop").write_text("1")
    first = start("-m", "lightning_lrsched.cli", "sweep", file)
    deadline = time.monotonic() + 100
    while Path(f"/proc/{first.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        assert time.monotonic() < deadline, (tmp_path / "log").read_text()
        time.sleep(0.1)
    assert main(["sweep", file]) == 2
    assert f"process {first.pid} trains this sweep now" in capsys.readouterr().err
    first.send_signal(signal.SIGCONT)
    assert first.wait(60) == 0, (tmp_path / "log").read_text()
    assert [(run.info.run_name, run.info.status) for run in children(uri)] == [(name, "FINISHED") for name in NAMES]


def test_callbacks_and_the_tracker_are_as_the_file_says(uri: str, tmp_path: Path) -> None:
    checkpoint = {
        "class_path": "lightning_lrsched.CycleCheckpoint",
        "init_args": {"monitor": "val_loss", "save_weights_only": True},
    }
    changed = {"callbacks": {"sgdr": [checkpoint]}, "tracker": {"log_checkpoints": False}, "folder": "kept"}
    assert main(["sweep", str(sweep_file(tmp_path, **changed))]) == 0
    folders = sorted({path.parent.parent.name[:11] for path in (tmp_path / "kept" / "small").rglob("cycle=*.ckpt")})
    assert folders == ["sgdr-seed-0", "sgdr-seed-1"]
    assert [models(uri, run) for run in children(uri)] == [[]] * 4


def test_the_list_names_the_runs_and_trains_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["sweep", str(sweep_file(tmp_path)), "--list"]) == 0
    assert sorted(capsys.readouterr().out.splitlines()) == NAMES
    assert not (tmp_path / "mlflow.db").exists()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"module": {"class_path": "tests.sweep.modules.Nosy"}}, "in tests.sweep.modules, which has no Nosy"),
        ({"module": {"class_path": "tests.sweep.modules.Noisy", "init_args": {"deep": 1}}}, "'deep'. It takes lr"),
        ({"data": {"class_path": "no_such_package.Data"}}, "importable, and No module named 'no_such_package'"),
        ({"callbacks": ["lightning_lrsched.Nothing"]}, "which has no Nothing"),
        ({"tracker": {"wholly": 1}}, "tracker: unknown key 'wholly'"),
        ({"trainer": {"max_epochs": 2, "max_epoch": 2}}, "unknown key 'max_epoch'. Did you mean 'max_epochs'?"),
        ({"tracking_uri": "http://127.0.0.1:9"}, "cannot read http://127.0.0.1:9: "),
    ],
)
def test_a_mistake_is_told_before_anything_is_trained(
    changed: dict[str, Any], message: str, uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sweep", str(sweep_file(tmp_path, **changed))]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err
    assert runs(uri) == []


def test_the_comparison_shows_the_children_and_not_the_parent(
    uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sweep", str(sweep_file(tmp_path))]) == 0
    [command] = re.findall(r"^  lrsched (compare .+)$", capsys.readouterr().out, flags=re.MULTILINE)
    assert main(command.split()) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in NAMES)
    assert "small: 4 runs" in out


@pytest.mark.parametrize(
    ("name", "count"), [("sweep-digits.yaml", 8), ("sweep-sgdr.yaml", 6), ("sweep-rates.yaml", 12 + 4)]
)
def test_the_sweeps_of_the_folder_train(
    name: str, count: int, uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    text = (ROOT / "mlflow_configs" / name).read_text(encoding="utf-8")
    short = re.sub(r"max_epochs: \d+", "max_epochs: 4", re.sub(r"(?m)^seeds: .*", "seeds: [0]", text))
    (tmp_path / "short.yaml").write_text(re.sub(r"T_0: \d+ep", "T_0: 1ep", short), encoding="utf-8")
    assert main(["sweep", "short.yaml"]) == 0
    assert {run.info.status for run in children(uri)} == {"FINISHED"}
    assert len(children(uri)) == count


def test_every_sweep_of_the_folder_is_tried_and_told() -> None:
    folder = ROOT / "mlflow_configs"
    names = {path.name for path in folder.glob("sweep-*.yaml")}
    assert names == {"sweep-digits.yaml", "sweep-rates.yaml", "sweep-sgdr.yaml"}
    page = (folder / "README.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in page for name in names)


def test_the_program_finds_classes_of_the_folder_it_is_called_in(uri: str, tmp_path: Path) -> None:
    (tmp_path / "my_module.py").write_text("from tests.sweep.modules import Noisy\n", encoding="utf-8")
    file = sweep_file(tmp_path, module={"class_path": "my_module.Noisy"}, seeds=[0])
    environment = os.environ | {"PYTHONPATH": str(ROOT), "MLFLOW_DISABLE_TELEMETRY": "true", "OMP_NUM_THREADS": "1"}
    command = [str(Path(sys.executable).with_name("lrsched")), "sweep", str(file)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert len(children(uri)) == 2
