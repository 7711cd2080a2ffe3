"""Every example runs, on a small budget."""

import ast
import re
import shlex
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.error import URLError

import mlflow
import pytest

from examples.make_pictures import NAMES, PROGRAMS, ray_program
from examples.record import Record, draw
from lightning_lrsched.cli import main as lrsched
from tests.processes import Start, starting

EXAMPLES = Path(__file__).parent.parent / "examples"
QUIET = [  # what Lightning says of such small fits
    "ignore:.*smaller than the logging interval",
    "ignore:.*exists and is not empty",
    "ignore:.*Found .* in eval mode",
    "ignore:.*step-.* has no length",
]


SMALL_SERVER = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start Python in the folder of the test, in a session of its own that is ended with the test."""
    elsewhere = f"sqlite:///{tmp_path}/elsewhere.db"
    with starting(tmp_path, MLFLOW_TRACKING_URI=elsewhere, MPLBACKEND="Agg", **SMALL_SERVER) as begin:
        yield begin


def told_by(process: "subprocess.Popen[str]", folder: Path, seconds: float = 200) -> str:
    """Return what a process has printed when it has ended well."""
    process.wait(seconds)
    told = (folder / "log").read_text(encoding="utf-8")
    assert process.returncode == 0, told[-3000:]
    return told


def test_the_demo_keeps_a_checkpoint_of_each_cycle_and_says_where_everything_is(tmp_path: Path, start: Start) -> None:
    told = told_by(start(EXAMPLES / "demo.py", "--epochs", "15", "--output", "out"), tmp_path)
    files = list((tmp_path / "out" / "checkpoints").glob("cycle=*.ckpt"))
    assert {path.name.partition("-")[0] for path in files} == {"cycle=0"}
    for text in ("constant", "warmup + cosine", "warmup + SGDR", "compare.png", "mlflow ui --backend-store-uri"):
        assert text in told
    assert str(files[0]) in told


def lrs(record: Record, group: str = "group 0") -> list[float]:
    return [lr for _, lr in record.lrs[group]]


def rises(values: list[float]) -> int:
    return sum(later > value for value, later in pairwise(values))


def check_warmup_cosine(records: dict[str, Record], told: str, folder: Path) -> None:
    assert set(lrs(records["constant"])) == {0.3}
    curve = lrs(records["warmup + cosine"])
    assert curve[6] == max(curve) == 0.3
    assert rises(curve) == 6


def check_sgdr_cycles(records: dict[str, Record], told: str, folder: Path) -> None:
    curve = lrs(records["warmup + SGDR"])
    assert [step for step, lr in enumerate(curve) if lr == 0.3] == [20, 40, 80]
    kept = re.findall(r"^cycle (\d): val_loss \S+ +(\S+)$", told, re.MULTILINE)
    assert [number for number, _ in kept] == ["0", "1", "2"]
    assert all(Path(path).exists() for _, path in kept)
    readme = (EXAMPLES.parent / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^\$ lrsched ((?:cycles|ensemble) .*)", readme, re.MULTILINE)
    assert [lrsched(shlex.split(command)) for command in commands] == [0, 0]
    scores = [score for _, score in records["warmup + SGDR"].scores]
    assert f"val_loss {min(scores[4:]):.4f}" in told


def check_compare_schedules(records: dict[str, Record], told: str, folder: Path) -> None:
    assert (folder / "compare.png").stat().st_size > 10_000
    assert (folder / "compare.html").stat().st_size > 10_000
    assert all(re.search(rf"{name} .* finished", told) for name in records), told


def check_own_scheduler(records: dict[str, Record], told: str, folder: Path) -> None:
    alone, warm = lrs(records["StepLR"]), lrs(records["warmup + StepLR"])
    assert set(alone) == {0.3}
    assert rises(warm) == 40
    assert warm[40:] == [0.3] * 40


def check_gan_manual(records: dict[str, Record], told: str, folder: Path) -> None:
    assert "generator: 60 real steps" in told
    assert "discriminator: 60 real steps" in told
    generator, discriminator = lrs(records["GAN"], "optimizer 0"), lrs(records["GAN"], "optimizer 1")
    assert generator == pytest.approx([2 * lr for lr in discriminator], rel=1e-12)


def check_finetune_groups(records: dict[str, Record], told: str, folder: Path) -> None:
    head, backbone = lrs(records["fine-tuning"], "group head"), lrs(records["fine-tuning"], "group backbone")
    assert (len(head), len(backbone)) == (40, 20)
    assert max(backbone) < 0.01 < max(head) == 0.1
    assert rises(backbone) == 0


def check_transformer_warmup(records: dict[str, Record], told: str, folder: Path) -> None:
    assert set(lrs(records["without warmup"])) == {5e-3}
    assert lrs(records["with warmup"])[:2] == [0.0025, 0.005]
    assert "by the frequencies alone: 3.2" in told


def check_plateau_warmup(records: dict[str, Record], told: str, folder: Path) -> None:
    curve = lrs(records["warmup + plateau"])
    assert rises(curve) == 40
    assert curve[40] == max(curve) == 0.3


def check_snapshot_ensemble(records: dict[str, Record], told: str, folder: Path) -> None:
    curve = lrs(records["SGDR"])
    assert [step for step, lr in enumerate(curve) if lr == 0.3] == [0, 12, 24, 36, 48]
    assert sorted(path.name[:7] for path in folder.glob("snapshot_ensemble/*.ckpt")) == [f"cycle={n}" for n in range(5)]
    rows = re.findall(r"^(cycle \d|ensemble of 5|averaged weights) .*?(0\.\d+|\d\.\d+) +\d+\.\d+$", told, re.MULTILINE)
    assert [row[0] for row in rows] == [*(f"cycle {n}" for n in range(5)), "ensemble of 5", "averaged weights"]


CHECKS: dict[str, Callable[[dict[str, Record], str, Path], None]] = {name: globals()[f"check_{name}"] for name in NAMES}


@pytest.mark.filterwarnings(*QUIET)
@pytest.mark.parametrize("name", NAMES)
def test_an_example_does_what_it_says(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/elsewhere.db")
    records = import_module(f"examples.{name}").main(quick=True)
    CHECKS[name](records, capsys.readouterr().out, tmp_path)
    assert not (tmp_path / "elsewhere.db").exists()
    draw(records, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 5_000


def test_an_example_runs_as_a_module(tmp_path: Path, start: Start) -> None:
    told = told_by(start("-m", "examples.warmup_cosine", "--quick"), tmp_path)
    assert "warmup + cosine  validation loss 0." in told


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def test_two_processes_under_torchrun_follow_one_plan(tmp_path: Path, start: Start) -> None:
    two = ("--nnodes", "1", "--nproc-per-node", "2", "--master-addr", "127.0.0.1", "--master-port", free_port())
    told = told_by(
        start("-m", "torch.distributed.run", *map(str, two), "-m", "examples.ddp_torchrun", "--quick"), tmp_path
    )
    said = re.findall(r"rank (\d) of 2: (\d+) steps, last lr (\S+)", told)
    assert sorted(rank for rank, *_ in said) == ["0", "1"]
    assert len({(steps, lr) for _, steps, lr in said}) == 1
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/ddp.db")
    experiment = client.get_experiment_by_name("ddp")
    assert experiment is not None
    [run] = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert {path.name.partition("-")[0] for path in tmp_path.glob("ddp_torchrun/*.ckpt")} == {"cycle=0", "cycle=1"}


def test_the_script_for_slurm_is_valid_and_starts_the_example() -> None:
    script = EXAMPLES / "ddp_slurm.sh"
    subprocess.run(["bash", "-n", script], check=True)
    assert "-m examples.ddp_torchrun" in script.read_text(encoding="utf-8")


def test_a_server_gets_the_run_and_its_checkpoints(tmp_path: Path, start: Start) -> None:
    uri = f"http://127.0.0.1:{(port := free_port())}"
    store = ("--backend-store-uri", f"sqlite:///{tmp_path}/server.db", "--artifacts-destination", tmp_path / "files")
    start("-m", "mlflow", "server", *store, "--port", str(port), "--workers", "1", log="server.log")
    wait_until_up(uri)
    told = told_by(start("-m", "examples.tracking_server", uri, "--quick"), tmp_path)
    found = re.search(r"^run (\w+) in experiment tracking-server", told, re.MULTILINE)
    assert found is not None, told
    client = mlflow.MlflowClient(uri)
    run = client.get_run(found[1])
    assert run.info.status == "FINISHED"
    assert len(client.get_metric_history(found[1], "cycle/val_loss")) == 2
    models = client.search_logged_models([run.info.experiment_id])
    assert len(models) == 2
    assert {model.source_run_id for model in models} == {found[1]}


def wait_until_up(uri: str) -> None:
    end = time.monotonic() + 90
    while time.monotonic() < end:
        with suppress(URLError, ConnectionError):
            urllib.request.urlopen(f"{uri}/health", timeout=5).close()
            return
        time.sleep(0.3)
    raise TimeoutError(f"no server at {uri}")


def test_the_program_for_ray_uses_what_there_is() -> None:
    program = ast.parse(ray_program())
    scope: dict[str, Any] = {"config": {"tracking_uri": "sqlite:///ray.db"}}
    for node in program.body:
        if isinstance(node, ast.ImportFrom) and node.module in {"examples.digits", "lightning_lrsched"}:
            exec(ast.unparse(node), scope)
    calls = {ast.unparse(node.func): node for node in ast.walk(program) if isinstance(node, ast.Call)}
    for name in ("LearningRateScheduler", "MLflowTracker", "Digits", "DigitsData"):
        assert type(eval(ast.unparse(calls[name]), scope)).__name__ == name


def test_every_example_is_short_and_has_its_line_and_picture() -> None:
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    for path in [*EXAMPLES.glob("*.py"), *EXAMPLES.glob("cli/*.py"), EXAMPLES / "ray_train.md"]:
        assert len(path.read_text(encoding="utf-8").splitlines()) < 120, path
        assert f"({path.relative_to(EXAMPLES)})" in readme, path
    for name in (*NAMES, *PROGRAMS, "sgdr_paper"):
        assert f"(images/{name}.png)" in readme
        assert (EXAMPLES / "images" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    for image in (EXAMPLES / "images").glob("*.png"):
        assert image.stat().st_size < 60_000, image
