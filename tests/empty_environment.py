"""What must hold where only the package and its declared dependencies are installed: ``make release-test`` runs it."""

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


def main() -> None:
    """Train with a schedule, call the command, and ask for what is not installed."""
    assert "site-packages" in str(lightning_lrsched.__file__), "the package of the wheel, not that of the clone"
    schedule, checkpoints = SGDR(T_0="2ep", T_mult=2), CycleCheckpoint(None)
    with tempfile.TemporaryDirectory() as folder:
        fit(LearningRateScheduler(schedule, warmup=5), checkpoints, folder=folder)
        assert [cycle.cycle for cycle in checkpoints.finished_cycles] == [0, 1]
        lrsched = str(Path(sys.executable).parent / "lrsched")
        told = subprocess.run([lrsched, "--help"], check=True, capture_output=True, text=True).stdout
        assert "preview" in told
        if find_spec("mlflow") is None:
            said = refused(lambda: fit(LearningRateScheduler(schedule), MLflowTracker(), folder=folder))
            assert "pip install 'lightning-lrsched[mlflow]'" in said
        if find_spec("matplotlib") is None:
            assert "pip install 'lightning-lrsched[plot]'" in refused(lambda: Plan(schedule).plot(RunLength(100, 10)))
        if find_spec("rich") is None:
            preview = [lrsched, "preview", "Cosine()", "--total-steps", "100"]
            done = subprocess.run(preview, check=False, capture_output=True, text=True)
            assert done.returncode == 0 or "lightning-lrsched[cli]" in done.stderr, done.stderr
    there = [name for name in EXTRAS if find_spec(name) is not None]
    sys.stdout.write(f"the wheel works without its extras (here all the same: {', '.join(there) or 'none'})\n")


if __name__ == "__main__":
    main()
