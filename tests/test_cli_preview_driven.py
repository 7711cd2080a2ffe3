"""``lrsched preview`` of torch's schedulers, from text and from YAML, against the fit that runs from the same file."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.cli import LightningCLI

from lightning_lrsched.cli import main
from lightning_lrsched.cli.config import read_config
from lightning_lrsched.torch_schedules import Driven
from lightning_lrsched.units import RunLength
from tests.callbacks.models import LR, Stranger, Tiny
from tests.test_cli_preview import config, folder, phases, plain_terminal, write

__all__ = ["folder", "plain_terminal"]

RUN = ["--epochs", "6", "--steps-per-epoch", "10", "--lr", str(LR)]


def factory(name: str, **arguments: Any) -> dict[str, Any]:
    return {"class_path": f"torch.optim.lr_scheduler.{name}", "init_args": arguments}


def torch_scheduler(made: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"class_path": "lightning_lrsched.TorchScheduler", "init_args": {"factory": made, **more}}


BY_STEP = torch_scheduler(factory("CosineAnnealingWarmRestarts", T_0=20, eta_min=0.01), interval="step")
FILES = [
    pytest.param(torch_scheduler(factory("StepLR", step_size=2)), "1ep", id="by epoch"),
    pytest.param(torch_scheduler(factory("PolynomialLR", total_iters=5)), 15, id="by epoch, warmup within one"),
    pytest.param(BY_STEP, {"duration": "10%", "shape": "cosine"}, id="by step"),
]


@pytest.mark.filterwarnings("ignore:No seed found")
@pytest.mark.filterwarnings("ignore::jsonargparse._deprecated.JsonargparseDeprecationWarning")
@pytest.mark.parametrize(("written", "warmup"), FILES)
def test_the_file_of_a_fit_is_drawn_as_the_fit_runs_it(
    written: dict[str, Any],
    warmup: Any,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    callback = {
        "class_path": "lightning_lrsched.LearningRateScheduler",
        "init_args": {"main": written, "warmup": warmup},
    }
    stranger = Stranger()
    quiet = ["logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"]
    trainer = {"max_epochs": 6, "accelerator": "cpu", "callbacks": [callback], **dict.fromkeys(quiet, False)}
    name = write({"trainer": trainer})
    monkeypatch.setattr("sys.argv", ["main.py", "fit", "--config", name])
    LightningCLI(Tiny, save_config_callback=None, trainer_defaults={"callbacks": stranger})
    used = stranger.group()
    assert len(used) == 60
    capsys.readouterr()

    assert main(["preview", "--config", name, "--steps-per-epoch", "10", "--lr", str(LR)]) == 0
    rows = phases(capsys.readouterr().out)
    assert rows[-1][2].endswith(" - 59")
    for row in rows:
        first, last = (used[int(step)] for step in row[2].split(" - "))
        assert row[3] == f"{first:.4g} -> {last:.4g}"

    read = read_config(Path(name)).callback
    assert isinstance(read["main"], Driven)
    timeline = read["main"].resolve(RunLength(60, 10), LR, read["warmup"])
    assert [timeline.lr(step, LR) for step in range(60)] == used


def test_text_is_drawn_too(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    assert main(["preview", "StepLR(2, gamma=0.5)", *RUN, "--warmup", "15", "-o", "a.png"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "● TorchScheduler(partial(StepLR, step_size=2, gamma=0.5)), warmup=Warmup(duration=15)" in out
    assert phases(out) == [
        ["warmup", "0", "0 - 14", "0.00625 -> 0.09375"],
        ["StepLR", "0", "15 - 59", "0.1 -> 0.025"],
    ]
    assert (folder / "a.png").stat().st_size > 10_000


def test_the_interval_may_be_said(capsys: pytest.CaptureFixture[str]) -> None:
    text = "TorchScheduler(CosineAnnealingWarmRestarts(20, eta_min=0.01), interval='step')"
    assert main(["preview", text, "--total-steps", "50", "--lr", "0.1"]) == 0
    assert phases(capsys.readouterr().out) == [
        ["CosineAnnealingWarmRestarts", "0", "0 - 19", "0.1 -> 0.01055"],
        ["CosineAnnealingWarmRestarts", "1", "20 - 39", "0.1 -> 0.01055"],
        ["CosineAnnealingWarmRestarts (cut short)", "2", "40 - 49", "0.1 -> 0.06204"],
    ]


def test_planned_and_driven_ones_are_laid_over_one_another(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["preview", "Step('2ep')", "StepLR(2)", *RUN, "--warmup", "1ep"]) == 0
    rows = phases(capsys.readouterr().out)
    assert rows[1][3] == "0.1"
    assert rows[-1][3] == "0.1 -> 0.001"


@pytest.mark.parametrize(
    ("init", "message"),
    [
        pytest.param({"main": factory("StepLR", step_size=2)}, "is the factory of a TorchScheduler", id="alone"),
        pytest.param({"main": torch_scheduler({"class_path": "os.system"})}, "class_path = 'os.system'", id="other"),
        pytest.param(
            {"main": BY_STEP, "groups": {"head": None}}, "a planned schedule for cooldown, groups", id="groups"
        ),
    ],
)
def test_what_the_fit_refuses_is_refused(
    capsys: pytest.CaptureFixture[str], init: dict[str, Any], message: str
) -> None:
    assert main(["preview", "--config", config(**init), "--total-steps", "1000"]) == 2
    assert message in capsys.readouterr().err


def test_torch_is_loaded_and_lightning_is_not() -> None:
    code = (
        "import sys\nfrom lightning_lrsched.cli import main\n"
        f"main({['preview', 'StepLR(2)', *RUN]!r})\n"
        "print([name for name in ('torch', 'lightning', 'mlflow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "['torch']"
