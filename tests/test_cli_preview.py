"""``lrsched preview``, called as a function and as a program."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from lightning_lrsched import schedules
from lightning_lrsched.cli import main
from tests.test_readme import README, blocks

ROOT = Path(__file__).parent.parent
PNG = b"\x89PNG\r\n\x1a\n"
RUN = ["--epochs", "70", "--steps-per-epoch", "391"]
ISSUE = ["SGDR(T_0='10ep', T_mult=2)", "--warmup", "5%", *RUN, "--lr", "0.1"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal of 80 columns, whatever the tests run in."""
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")


def write(document: object) -> str:
    """Write a LightningCLI file and return its name."""
    Path("config.yaml").write_text(document if isinstance(document, str) else yaml.safe_dump(document))
    return "config.yaml"


def config(trainer: dict[str, object] | None = None, **init: object) -> str:
    """Write a LightningCLI file with a LearningRateScheduler and return its name."""
    callback = {"class_path": "lightning_lrsched.LearningRateScheduler", "init_args": init}
    return write({"trainer": {"callbacks": ["ModelSummary", callback], **(trainer or {})}})


def phases(out: str) -> list[list[str]]:
    """Return the cells of the tables of phases."""
    lines = [line.split("   ") for line in out.splitlines() if " - " in line]
    return [[cell.strip() for cell in line if cell.strip()] for line in lines]


def test_the_chart_and_the_phases_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["preview", *ISSUE]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "\x1b" not in out
    chart = out.splitlines()[:18]
    assert {len(line) for line in chart} == {80}
    assert chart[1].startswith("0.100┤")
    assert chart[-1].strip() == "epoch"
    assert "● SGDR(T_0='10ep', T_mult=2), warmup=Warmup(duration='5%')" in out
    assert phases(out) == [
        ["warmup", "0", "0 - 1368", "7.299e-05 -> 0.09993"],
        ["cosine cycle", "0", "1369 - 5278", "0.1 -> 1.614e-08"],
        ["cosine cycle", "1", "5279 - 13098", "0.1 -> 4.035e-09"],
        ["cosine cycle (cut short)", "2", "13099 - 27369", "0.1 -> 0.001881"],
    ]


@pytest.mark.parametrize(("name", "begin"), [("a.png", PNG), ("a.svg", b"<?xml"), ("a.pdf", b"%PDF")])
def test_a_picture_is_written_where_it_is_asked_for(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str, begin: bytes
) -> None:
    assert main(["preview", *ISSUE, "-o", name]) == 0
    assert (folder / name).read_bytes().startswith(begin)
    assert capsys.readouterr().out.splitlines()[-1] == str(folder / name)


def test_several_schedules_are_laid_over_one_another(capsys: pytest.CaptureFixture[str]) -> None:
    run = ["--epochs", "70", "--steps-per-epoch", "100"]
    assert main(["preview", "Cosine()", "SGDR('10ep', T_mult=2)", *run, "-o", "two.svg"]) == 0
    out = capsys.readouterr().out
    assert "1 Cosine()" in out
    assert "2 SGDR(T_0='10ep', T_mult=2)" in out
    assert [row[0] for row in phases(out)] == ["cosine", *["cosine cycle"] * 3]
    assert "1111" in out


def test_a_terminal_shows_colours(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    assert main(["preview", "Cosine()", "Constant()", *RUN]) == 0
    out = capsys.readouterr().out
    assert "\x1b[38;5;25m" in out
    assert "●" in out
    assert "111" not in out


def test_the_chart_is_as_wide_as_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert Console().width == 120
    assert main(["preview", "Cosine()", *RUN]) == 0
    assert len(capsys.readouterr().out.splitlines()[0]) == 120


def test_a_chart_is_never_narrower_than_its_labels(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "5")
    assert main(["preview", "Cosine()", *RUN]) == 0
    assert len(capsys.readouterr().out.splitlines()[0]) == 60


@pytest.mark.parametrize(
    ("arguments", "rows"),
    [
        pytest.param(
            ["Constant()", "--total-steps", "1000", "--cooldown", "20%"],
            [["constant", "0", "0 - 799", "0.1"], ["cooldown", "0", "800 - 999", "0.1 -> 0.0005"]],
            id="cooldown",
        ),
        pytest.param(
            ["Constant", "--total-steps", "1000", "--warmup", "Warmup(10, shape='constant', start_factor=0.1)"],
            [["warmup", "0", "0 - 9", "0.01"], ["constant", "0", "10 - 999", "0.1"]],
            id="warmup as a call",
        ),
        pytest.param(
            ["Linear()", "--epochs", "4", "--steps-per-epoch", "10", "--update", "epoch", "--lr", "4"],
            [["linear", "0", "0 - 39", "4 -> 1"]],
            id="staircase",
        ),
    ],
)
def test_options_shape_the_plan(
    capsys: pytest.CaptureFixture[str], arguments: list[str], rows: list[list[str]]
) -> None:
    assert main(["preview", *arguments]) == 0
    assert phases(capsys.readouterr().out) == rows


@pytest.mark.parametrize("name", sorted(set(schedules.__all__) - {"Lambda", "Multiplicative"}))
def test_every_schedule_can_be_previewed(capsys: pytest.CaptureFixture[str], name: str) -> None:
    arguments = {
        "SGDR": "'10ep'",
        "WSD": "'20%'",
        "Cyclic": "'5ep'",
        "Exponential": "0.9, '1ep'",
        "InverseSqrt": "'1ep'",
        "MultiStep": "['30ep', '60ep']",
        "PiecewiseConstant": "['30ep'], [1, 0.1]",
        "PiecewiseLinear": "['30ep'], [0, 1]",
        "Power": "'5ep'",
        "Sequence": "[Constant(), Cosine()], ['30ep']",
        "Step": "'30ep'",
    }
    assert main(["preview", f"{name}({arguments.get(name, '')})", *RUN]) == 0
    assert " 27369" in capsys.readouterr().out.rstrip().splitlines()[-1]


def test_a_run_without_end_shows_its_first_phases_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["preview", "SGDR(100)"]) == 0
    out, err = capsys.readouterr()
    assert "the run has no known end: its first 500 steps are shown. On this command line: --total-steps 10000" in err
    assert "optimizer step" in out
    assert "... and so on" in out


def test_a_billion_steps_are_previewed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["preview", "SGDR(10)", "--total-steps", "1000000000"]) == 0
    assert "... and so on, until step 999999999" in capsys.readouterr().out


@pytest.mark.parametrize("command", re.findall(r"^\$ lrsched (preview .*)", README, flags=re.MULTILINE))
def test_the_readme_commands_run(folder: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    (folder / "examples").symlink_to(ROOT / "examples")
    assert main(shlex.split(command)) == 0
    assert "cosine cycle" in capsys.readouterr().out


SGDR_IN_YAML = {"class_path": "lightning_lrsched.SGDR", "init_args": {"T_0": "10ep", "T_mult": 2}}


def test_the_readme_yaml_is_previewed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["preview", "--config", write(blocks("yaml")[0]), "--steps-per-epoch", "10"]) == 0
    out = capsys.readouterr().out
    assert "● SGDR(T_0='10ep', T_mult=2, eta_min=1e-05), warmup=Warmup(duration='5ep')" in out
    assert phases(out)[-1][2] == "350 - 749"


@pytest.mark.parametrize(
    ("name", "options", "last", "lr"),
    [
        pytest.param("epochs", ["--steps-per-epoch", "10"], 699, 0.1, id="epochs of the file"),
        pytest.param("epochs", ["--steps-per-epoch", "10", "--epochs", "50"], 499, 0.1, id="epochs overridden"),
        pytest.param("epochs", ["--total-steps", "350", "--steps-per-epoch", "5"], 349, 0.1, id="steps overridden"),
        pytest.param("steps", ["--steps-per-epoch", "10"], 599, 0.1, id="max_steps"),
        pytest.param("steps", ["--steps-per-epoch", "10", "--epochs", "80"], 799, 0.1, id="max_steps overridden"),
        pytest.param("told", [], 419, 0.1, id="lengths of the callback"),
        pytest.param("told", ["--lr", "0.2"], 419, 0.2, id="lr overridden"),
    ],
)
def test_the_command_line_overrides_the_file(
    capsys: pytest.CaptureFixture[str], name: str, options: list[str], last: int, lr: float
) -> None:
    files = {
        "epochs": lambda: config({"max_epochs": 70, "max_steps": -1}, main=SGDR_IN_YAML),
        "steps": lambda: config({"max_epochs": 70, "max_steps": 600}, main=SGDR_IN_YAML),
        "told": lambda: config({"max_epochs": 70}, main=SGDR_IN_YAML, total_steps=420, steps_per_epoch=6),
    }
    assert main(["preview", "--config", files[name](), *options]) == 0
    rows = phases(capsys.readouterr().out)
    assert rows[-1][2].endswith(f" - {last}")
    assert rows[0][3].startswith(f"{lr} -> ")


NO_LR = "config.yaml has no optimizer.init_args.lr: drawn with a peak lr of 0.1. Pass another with --lr\n"


@pytest.mark.parametrize(
    ("more", "options", "note", "lr"),
    [
        pytest.param({}, [], NO_LR, "0.1", id="nobody says it"),
        pytest.param({}, ["--lr", "0.3"], "", "0.3", id="the command line says it"),
        pytest.param({"optimizer": {"init_args": {"lr": 0.2}}}, [], "", "0.2", id="the file says it"),
    ],
)
def test_a_peak_that_is_assumed_is_told(
    capsys: pytest.CaptureFixture[str], more: dict[str, object], options: list[str], note: str, lr: str
) -> None:
    callbacks = [{"class_path": "LearningRateScheduler", "init_args": {"main": "Cosine"}}]
    name = write({"trainer": {"max_steps": 100, "callbacks": callbacks}, "model": {"lr": 0.5}, **more})
    assert main(["preview", "--config", name, *options]) == 0
    out, err = capsys.readouterr()
    assert err == note
    assert phases(out)[0][3].startswith(f"{lr} -> ")


def test_the_file_may_hold_numbers_as_lightning_reads_them(capsys: pytest.CaptureFixture[str]) -> None:
    text = (
        "fit:\n  optimizer: {class_path: torch.optim.SGD, init_args: {lr: 5e-1}}\n  trainer:\n    max_steps: 100\n"
        "    callbacks:\n      class_path: LearningRateScheduler\n      init_args:\n        warmup: {duration: 10}\n"
        "        main: {class_path: Cosine, init_args: {eta_min: 1e-3}}\n"
    )
    assert main(["preview", "--config", write(text)]) == 0
    out = capsys.readouterr().out
    assert "● Cosine(eta_min=0.001), warmup=Warmup(duration=10)" in out
    assert phases(out)[1] == ["cosine", "0", "10 - 99", "0.5 -> 0.001152"]


def test_the_file_may_hold_a_plan_and_schedules_in_schedules(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"class_path": "Sequence", "init_args": {"schedules": ["Constant", "Cosine"], "milestones": ["50%"]}}
    plan = {"class_path": "lightning_lrsched.Plan", "init_args": {"main": row, "warmup": "10%"}}
    groups = {"head": None, "backbone": "Linear", 2: row}
    name = config({"max_steps": 100}, main=plan, groups=groups)
    assert main(["preview", "--config", name, "--lr", "0.1"]) == 0
    out, err = capsys.readouterr()
    assert err == "config.yaml has schedules for single groups (backbone, 2), which are not drawn\n"
    assert [row[:3] for row in phases(out)] == [
        ["warmup", "0", "0 - 9"],
        ["constant", "0", "10 - 59"],
        ["cosine", "0", "60 - 99"],
    ]


def test_schedules_are_laid_over_that_of_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    name = config({"max_steps": 1000}, main="Cosine", warmup="10%")
    assert main(["preview", "--config", name, "Linear()"]) == 0
    out = capsys.readouterr().out
    assert "1 Cosine(), warmup=Warmup(duration='10%')" in out
    assert "2 Linear(), warmup=Warmup(duration='10%')" in out


@pytest.mark.parametrize(
    ("document", "message"),
    [
        pytest.param("a: [", "config.yaml is no YAML: expected", id="no YAML"),
        pytest.param("just text", "config.yaml is no LightningCLI file", id="text"),
        pytest.param(
            "trainer: {callbacks: [&a {class_path: LearningRateScheduler, init_args: {main: *a}}]}",
            "nested without end",
            id="a file in itself",
        ),
        pytest.param(
            "optimizer: {init_args: {lr: .inf}}\n"
            "trainer: {callbacks: [{class_path: LearningRateScheduler, init_args: {main: Cosine}}]}",
            "optimizer's lr = inf is refused",
            id="lr",
        ),
        pytest.param({"trainer": {"max_epochs": 3}}, "has no LearningRateScheduler under trainer.callbacks", id="none"),
        pytest.param(
            {"trainer": {"callbacks": 2 * [{"class_path": "LearningRateScheduler"}]}},
            "has 2 LearningRateScheduler",
            id="two",
        ),
        pytest.param(
            {"trainer": {"callbacks": [{"class_path": "LearningRateScheduler", "init_args": {"warmup": "5%"}}]}},
            "has no main schedule: it follows the scheduler that the module returns",
            id="a scheduler of the module",
        ),
        pytest.param(
            {"trainer": {"callbacks": [{"class_path": "LearningRateScheduler", "init_args": {"main": "Plateau"}}]}},
            "Plateau lowers the lr when 'val_loss' stops to improve, which only training shows",
            id="plateau",
        ),
        pytest.param(
            {"trainer": {"callbacks": [{"class_path": "LearningRateScheduler", "init_args": {"main": "Cosin"}}]}},
            "main = 'Cosin' is refused",
            id="misspelt",
        ),
        pytest.param(
            {
                "trainer": {
                    "callbacks": [{"class_path": "LearningRateScheduler", "init_args": {"main": "Cosine", "update": 5}}]
                }
            },
            "update = 5 is refused",
            id="update",
        ),
    ],
)
def test_a_file_that_says_too_little_is_told(
    capsys: pytest.CaptureFixture[str], document: object, message: str
) -> None:
    assert main(["preview", "--config", write(document), "--total-steps", "1000"]) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert out == ""


@pytest.mark.parametrize(
    ("package", "options", "extra"),
    [("plotext", [], "cli"), ("rich", [], "cli"), ("matplotlib", ["-o", "a.png"], "plot")],
)
def test_a_missing_extra_is_told(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    package: str,
    options: list[str],
    extra: str,
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    assert main(["preview", *ISSUE, *options]) == 2
    assert f"{package} is missing; install with: pip install 'lightning-lrsched[{extra}]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--epochs", "0", "'0' is not a whole number of at least 1"),
        ("--steps-per-epoch", "ten", "'ten' is not a whole number"),
        ("--lr", "-1", "'-1' is not above 0"),
        ("--lr", "nan", "'nan' is not a finite number"),
        ("--update", "batch", "invalid choice: 'batch'"),
    ],
)
def test_wrong_arguments_are_told(capsys: pytest.CaptureFixture[str], option: str, value: str, message: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["preview", "Cosine()", option, value])
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_help_loads_nothing_that_is_slow() -> None:
    slow = ("mlflow", "matplotlib", "rich", "plotext", "torch", "lightning", "yaml")
    code = (
        "import sys\nfrom lightning_lrsched.cli import main\n"
        "try:\n    main(['preview', '--help'])\n"
        f"finally:\n    print([name for name in {slow!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert "lrsched preview --config config.yaml" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


def test_drawing_loads_no_torch(folder: Path) -> None:
    code = (
        "import sys\nfrom lightning_lrsched.cli import main\n"
        f"main({['preview', *ISSUE]!r})\n"
        "print([name for name in ('torch', 'lightning', 'mlflow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_terminal_without_unicode_is_no_error() -> None:
    program = [sys.executable, "-m", "lightning_lrsched.cli", "preview", *ISSUE]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "COLUMNS": "80"}
    done = subprocess.run(program, capture_output=True, env=environment, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"     +----")
    assert b"\n1 SGDR(T_0='10ep', T_mult=2)" in done.stdout
    assert b"cosine cycle" in done.stdout
