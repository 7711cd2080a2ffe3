"""What must hold where nothing but the wheel is installed: ``make release-test`` runs it.

``python empty_environment.py bare`` is for the declared dependencies alone, ``all`` for what README installs.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.demos.boring_classes import BoringModel

import lightning_lrsched
from lightning_lrsched import SGDR, CycleCheckpoint, LearningRateScheduler, MLflowTracker, Plan, RunLength

EXTRAS = ("mlflow", "matplotlib", "rich", "plotext", "plotly", "jsonargparse")
TESTS = Path(__file__).resolve().parent
LRSCHED = str(Path(sys.executable).parent / "lrsched")
MODEL = "from modules import SmallModule\nmodel = SmallModule(rows=160)\n"


class Plain(BoringModel):
    """Lightning's own example, with an optimizer alone."""

    def configure_optimizers(self) -> Any:
        """Return it."""
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(*callbacks: L.Callback, folder: str) -> None:
    """Train six epochs of a module that knows nothing of schedules."""
    trainer = L.Trainer(
        max_epochs=6,
        limit_train_batches=10,
        limit_val_batches=2,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        default_root_dir=folder,
        callbacks=list(callbacks),
    )
    trainer.fit(Plain())


def refused(use: Callable[[], object]) -> str:
    """Return what a call says of the module that it lacks."""
    try:
        use()
    except ModuleNotFoundError as missing:
        return str(missing)
    raise SystemExit("a library is not installed, and nothing says so")


def ran(*command: str, folder: str, code: int = 0) -> str:
    """Return what a command printed that ended as it should."""
    quiet = {"PYTHONPATH": str(TESTS), "MLFLOW_DISABLE_TELEMETRY": "true"}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    done = subprocess.run(command, cwd=folder, env=kept | quiet, check=False, capture_output=True, text=True)
    if done.returncode != code:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout + done.stderr


def readme_example(folder: str) -> list[str]:
    """Write the example of README into a file, with a model before it, and return the command that runs it."""
    readme = (TESTS.parent / "README.md").read_text(encoding="utf-8")
    [code] = [code for code in re.findall(r"^```python\n(.*?)^```", readme, re.M | re.S) if "trainer.fit" in code]
    path = Path(folder, "example.py")
    path.write_text(MODEL + code, encoding="utf-8")
    return [sys.executable, str(path)]


def bare(folder: str) -> None:
    """Train with a schedule, and ask for what is not installed."""
    present = [name for name in EXTRAS if find_spec(name) is not None]
    assert not present, f"not a bare environment: {present}"
    schedule, checkpoints = SGDR(T_0="2ep", T_mult=2), CycleCheckpoint(None)
    fit(LearningRateScheduler(schedule, warmup=5), checkpoints, folder=folder)
    assert [cycle.cycle for cycle in checkpoints.finished_cycles] == [0, 1]
    said = refused(lambda: fit(LearningRateScheduler(schedule), MLflowTracker(), folder=folder))
    assert "pip install 'lightning-lrsched[mlflow]'" in said
    assert "pip install 'lightning-lrsched[plot]'" in refused(lambda: Plan(schedule).plot(RunLength(100, 10)))
    preview = ran(LRSCHED, "preview", "Cosine()", "--total-steps", "100", folder=folder, code=2)
    assert "pip install 'lightning-lrsched[cli]'" in preview
    last = ran(*readme_example(folder), folder=folder, code=1).strip().splitlines()[-1]
    assert "pip install 'lightning-lrsched[mlflow]'" in last, last


def with_extras(folder: str) -> None:
    """Run README's example, and look at what it made."""
    ran(*readme_example(folder), folder=folder)
    kept = Path(folder).glob("lightning_logs/version_0/checkpoints/*.ckpt")
    assert {path.name.partition("-")[0] for path in kept} == {"cycle=0", "cycle=1", "cycle=2"}
    compared = ran(LRSCHED, "compare", "--experiment", "Default", "--html", "report.html", folder=folder)
    assert "finished" in compared
    assert Path(folder, "report.html").stat().st_size > 10_000
    assert "cosine cycle" in ran(LRSCHED, "preview", "SGDR(10)", "--total-steps", "100", "-o", "c.png", folder=folder)


def main(stage: str) -> None:
    """Do what a stage asks for, and the help of the command in both."""
    assert "site-packages" in str(lightning_lrsched.__file__), "the package of the wheel, not that of the clone"
    with tempfile.TemporaryDirectory() as folder:
        assert "preview" in ran(LRSCHED, "--help", folder=folder)
        {"bare": bare, "all": with_extras}[stage](folder)
    sys.stdout.write(f"the wheel works: {stage}\n")


if __name__ == "__main__":
    main(sys.argv[1])
