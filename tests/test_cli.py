"""The command line, called as a function and as a program."""

import csv
import io
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from lightning_lrsched.cli import main
from lightning_lrsched.compare import CompareError
from tests.compare.stores import EXPERIMENT, make_store, quiet_mlflow
from tests.terminal import terminal

pytestmark = quiet_mlflow

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="session")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The tracking URI of a store with the experiment ``study``."""
    return make_store(tmp_path_factory.mktemp("cli-store"))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and no tracking URI in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


@pytest.fixture
def server(uri: str, folder: Path) -> Iterator[str]:
    """The address of an MLflow server over the store."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--backend-store-uri",
        uri,
        "--port",
        str(port),
        "--workers",
        "1",
    ]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        _await_health(f"http://127.0.0.1:{port}")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def _await_health(address: str) -> None:
    """Wait until a server answers."""
    deadline = time.monotonic() + 90
    while True:
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5):
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.3)


def rows_of(out: str) -> list[list[str]]:
    """Return the cells of the table in an output."""
    return [re.split(r"\s{2,}", line.strip(" ●\u00a0")) for line in out.splitlines() if "●" in line]


STUDY_ROWS = [
    ["cosine", "Cosine()", "none", "0.3", "5", "0", "-", "5", "2h 01m", "finished"],
    ["sgdr", "SGDR(T_0='2ep', T_mult=2)", "5%", "0.4", "4", "1", "0.5 (0)", "2", "1m 15s", "finished"],
    ["resumed", "SGDR(T_0='2ep', T_mult=2)", "5%", "0.54", "1", "-", "-", "2", "3m 20s", "finished"],
    ["foreign", "-", "-", "0.55", "step 10", "-", "-", "step 10", "12.0s", "finished"],
    ["diverged", "SGDR(T_0='2ep', T_mult=2)", "5%", "0.8", "1", "-", "-", "not reached", "4.0s", "failed"],
    ["going", "SGDR(T_0='2ep', T_mult=2)", "5%", "0.85", "0", "-", "-", "not reached", "30.0s", "running"],
    ["silent", "-", "-", "-", "-", "-", "-", "-", "1.0s", "finished"],
]


@pytest.mark.parametrize("which", [[EXPERIMENT], ["--experiment", EXPERIMENT]])
def test_compare_prints_the_table_and_writes_nothing_unasked(
    uri: str, folder: Path, capsys: pytest.CaptureFixture[str], which: list[str]
) -> None:
    assert main(["compare", *which, "--tracking-uri", uri]) == 0
    out, err = capsys.readouterr()
    assert rows_of(out) == STUDY_ROWS
    assert "target: 0.55 (the worst of the runs' best values" in out
    assert err.startswith("reading study from sqlite:///")
    assert not list(folder.iterdir())


@pytest.mark.parametrize("width", [40, 60, 80, 100, 110, 120, 200])
def test_a_table_on_a_terminal_of_any_width_has_every_column(
    uri: str, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    with terminal(width) as screen, monkeypatch.context() as patch:
        patch.setattr("sys.stdout", screen.file)
        patch.setenv("COLUMNS", str(width))
        patch.setenv("TERM", "xterm")
        assert main(["compare", EXPERIMENT, "--tracking-uri", uri]) == 0
    plain = re.sub(r"\x1b\[[0-9;]*m", "", screen.raw)
    first = [line for line in plain.splitlines() if "●" in line]
    assert [line.split()[1] for line in first] == [row[0] for row in STUDY_ROWS]
    for line, row in zip(first, STUDY_ROWS, strict=True):
        assert line.split()[-1] == row[-1]
        assert all(cell in line for cell in row[3:])
    if width >= 80:
        assert max(map(len, plain.splitlines())) <= width


def test_compare_writes_every_file_that_is_asked_for(
    uri: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ["--html", "a.html", "--png", "a.png", "--csv", "a.csv", "--json", "a.json", "--means", "means.csv"]
    assert main(["compare", "--experiment", EXPERIMENT, "--tracking-uri", uri, *files]) == 0
    written = ["a.csv", "means.csv", "a.json", "a.html", "a.png"]
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert lines[-5:] == [str(folder / name) for name in written]
    assert lines[lines.index("Means over the runs of each plan") - 1] == "", "a table stands apart from the one above"
    assert len((folder / "means.csv").read_text().splitlines()) == 3
    assert (folder / "a.png").read_bytes().startswith(PNG)
    assert (folder / "a.html").read_text().startswith("<!DOCTYPE html>")
    assert [row["run"] for row in csv.DictReader(io.StringIO((folder / "a.csv").read_text()))] == [
        row[0] for row in STUDY_ROWS
    ]
    assert [run["run"] for run in json.loads((folder / "a.json").read_text())["runs"]] == [r[0] for r in STUDY_ROWS]


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_a_dash_is_the_terminal_and_nothing_else_is_there(
    uri: str, folder: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    page = ["--html", "a.html"]
    assert main(["compare", "--experiment", EXPERIMENT, "--tracking-uri", uri, f"--{kind}", "-", *page]) == 0
    out, err = capsys.readouterr()
    read = list(csv.DictReader(io.StringIO(out))) if kind == "csv" else json.loads(out)["runs"]
    assert [row["run"] for row in read] == [row[0] for row in STUDY_ROWS]
    assert err.endswith(f"{folder / 'a.html'}\n")
    assert [path.name for path in folder.iterdir()] == ["a.html"]


def test_runs_are_chosen_by_a_filter_over_all_experiments(uri: str, capsys: pytest.CaptureFixture[str]) -> None:
    condition = "metrics.`val_loss` < 0.42 and attributes.status = 'FINISHED'"
    assert main(["compare", "--filter", condition, "--tracking-uri", uri]) == 0
    assert sorted(row[0] for row in rows_of(capsys.readouterr().out)) == ["cosine"]


def test_a_server_tells_the_same_as_its_database(
    uri: str, server: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {}
    asked = ["compare", "--experiment", EXPERIMENT, "--json", "-", "--tracking-uri"]
    for page in (25_000, 10):  # the server cuts its answer at a page, so that the rest is read run by run
        monkeypatch.setattr("lightning_lrsched.compare.histories._PAGE", page)
        assert main([*asked, server]) == 0
        told[page] = capsys.readouterr().out
    assert main([*asked, uri]) == 0
    assert told[10] == told[25_000] == capsys.readouterr().out
    assert main(["compare", "--experiment", EXPERIMENT, "--tracking-uri", server]) == 0
    assert rows_of(capsys.readouterr().out) == STUDY_ROWS
    assert main(["compare", "--experiment", "typo", "--tracking-uri", server]) == 2
    assert "These exist: 'Default', 'nothing here', 'study'" in capsys.readouterr().err


def test_options_choose_metric_mode_target_and_picture(
    uri: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    options = ["--metric", "val_acc", "--mode", "min", "--target", "0.3", "--png", "two.svg"]
    assert main(["compare", "--experiment", EXPERIMENT, *options]) == 0
    out = capsys.readouterr().out
    assert rows_of(out)[0][3:8] == ["0.1", "0", "0", "0.5 (0)", "1"]
    assert "val_acc: lower is better (--mode max turns it round)" in out
    assert "target: 0.3 (as given)" in out
    assert "<svg" in (folder / "two.svg").read_text()


def test_the_store_of_the_folder_is_read_by_default(uri: str, capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    (folder / "mlflow.db").symlink_to(uri.removeprefix("sqlite:///"))
    assert main(["compare", "--experiment", EXPERIMENT]) == 0
    assert f"from sqlite:///{folder / 'mlflow.db'} ..." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["--experiment", "typo"], "no experiment 'typo'. These exist: 'Default'", id="experiment"),
        pytest.param(["--experiment", "nothing here"], "has no runs", id="no runs"),
        pytest.param(["--experiment", "study", "--run", "zzz"], "no run with the id 'zzz'", id="run"),
        pytest.param(["--experiment", "study", "--metric", "loss"], "--metric val_acc, --metric val_loss", id="metric"),
        pytest.param(["--filter", "params.x = 'none'"], "the store has no runs for which \"params.x = 'none'\" holds"),
        pytest.param(["--filter", "params.x ="], "Invalid clause(s) in filter string", id="filter"),
        pytest.param(
            ["--filter", "params.a/b = '0'"],
            "is no condition in MLflow's search syntax: Invalid",
            id="slash in a filter",
        ),
        pytest.param([], "which runs shall be compared? Pass the name of an experiment", id="nothing chosen"),
        pytest.param(["--experiment", "study", "--html", "a.png"], "must end in .html", id="kind of page"),
        pytest.param(["--experiment", "study", "--csv", "no/a"], "there is no folder no for no/a", id="folder of csv"),
        pytest.param(["--experiment", "study", "--csv", "a", "--json", "a"], "name one file twice", id="one file"),
        pytest.param(["--experiment", "study", "--png", "a.gif"], "must end in .png, .svg, .pdf", id="kind of picture"),
        pytest.param(["--experiment", "study", "--png", "no/a.png"], "there is no folder no", id="folder"),
    ],
)
def test_a_mistake_is_told_in_a_line_with_exit_code_2(
    uri: str, folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["compare", "--tracking-uri", uri, *arguments]) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert "Traceback" not in err
    assert out == ""
    assert not list(folder.iterdir())


def test_a_message_with_a_runs_name_cannot_steer_the_terminal(
    uri: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from lightning_lrsched.cli import compare

    def refuse(*_: object, **__: object) -> None:
        raise CompareError("There are:\n  0123  a\x1b]0;owned\x07")

    monkeypatch.setattr(compare, "load_runs", refuse)
    assert main(["compare", EXPERIMENT, "--tracking-uri", uri]) == 2
    assert capsys.readouterr().err.endswith("There are:\n  0123  a\ufffd]0;owned\ufffd\n")


def test_an_unreachable_server_is_told_without_its_password(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--experiment", "study", "--tracking-uri", "http://ann:s3cret@127.0.0.1:9"]) == 2
    err = capsys.readouterr().err
    assert "lrsched: cannot read http://***@127.0.0.1:9: " in err
    assert "Connection refused" in err
    assert "s3cret" not in err


def test_without_any_store_the_message_says_what_to_pass(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--experiment", "study"]) == 2
    assert "Pass, for example, --tracking-uri sqlite:" in capsys.readouterr().err


def test_several_missing_packages_are_told_in_one_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("mlflow", "rich", "scipy"):
        monkeypatch.setitem(sys.modules, package, None)
    assert main(["compare", "--experiment", "study"]) == 2
    assert "lrsched: mlflow, rich and scipy are missing; install with: pip install" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("package", "extra", "options"),
    [
        ("mlflow", "all", []),
        ("rich", "all", []),
        ("matplotlib", "plot", ["--png", "a.png"]),
        ("plotly", "report", ["--html", "a.html"]),
    ],
)
def test_a_missing_extra_is_told(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    package: str,
    extra: str,
    options: list[str],
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    assert main(["compare", "--experiment", "study", *options]) == 2
    assert f"{package} is missing; install with: pip install 'lightning-lrsched[{extra}]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param([], "required: COMMAND", id="no command"),
        pytest.param(["compare", "--experiment", "a", "--target", "nan"], "'nan' is not a finite number", id="target"),
        pytest.param(["compare", "--experiment", "a", "--mode", "best"], "invalid choice: 'best'", id="mode"),
    ],
)
def test_wrong_arguments_are_told(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert re.fullmatch(r"lrsched \d+\.\d+\.\d+\S*\n", capsys.readouterr().out)


@pytest.mark.parametrize("arguments", [["--help"], ["compare", "--help"]])
def test_help_loads_nothing_that_is_slow(arguments: list[str]) -> None:
    slow = ("mlflow", "matplotlib", "rich", "torch", "lightning")
    code = (
        "import sys\nfrom lightning_lrsched.cli import main\n"
        f"try:\n    main({arguments!r})\nfinally:\n    print([name for name in {slow!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.startswith("usage: lrsched")
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_program_is_installed() -> None:
    program = Path(sys.executable).with_name("lrsched")
    done = subprocess.run([program, "--help"], capture_output=True, text=True, check=True, timeout=60)
    assert "compare" in done.stdout
