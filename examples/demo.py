"""Train the same network on real digits with three schedules, tracked in MLflow, and compare the runs.

Run it with ``make demo``, or ``python examples/demo.py`` in an environment that has ``lightning-lrsched[demo]``.
"""

import argparse
import logging
import os
import warnings
from pathlib import Path

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import lightning as L
import torch
from lightning.pytorch.callbacks import LambdaCallback
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_lrsched import SGDR, Constant, Cosine, CycleCheckpoint, LearningRateScheduler, MLflowTracker
from lightning_lrsched.cli import main as lrsched

STORE = "sqlite:///mlflow.db"
RUNS = {
    "constant": LearningRateScheduler(Constant()),
    "warmup + cosine": LearningRateScheduler(Cosine(eta_min=1e-4), warmup="5ep"),
    "warmup + SGDR": LearningRateScheduler(SGDR(T_0="10ep", T_mult=2, eta_min=1e-4), warmup="5ep"),
}


class Digits(L.LightningModule):
    """A small network; nothing in it knows of any schedule."""

    def __init__(self) -> None:
        super().__init__()
        first = (nn.Linear(64, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Dropout(0.3))
        self.net = nn.Sequential(*first, nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the loss, with a little noise on the images against overfitting."""
        images, labels = batch
        return nn.functional.cross_entropy(self.net(images + 0.2 * torch.randn_like(images)), labels)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Log loss and accuracy."""
        scores = self.net(batch[0])
        self.log("val_loss", nn.functional.cross_entropy(scores, batch[1]))
        self.log("val_acc", (scores.argmax(1) == batch[1]).float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimizer alone: its lr is the peak of the schedule."""
        return torch.optim.SGD(self.parameters(), lr=0.3, momentum=0.9, weight_decay=5e-4)


def data() -> tuple[DataLoader[tuple[Tensor, ...]], DataLoader[tuple[Tensor, ...]]]:
    """Return the loaders of scikit-learn's 1,797 digits: 1,280 to train, 517 to validate."""
    digits = load_digits()
    order = torch.randperm(len(digits.target), generator=torch.Generator().manual_seed(0))
    images = torch.tensor(digits.data, dtype=torch.float32)[order] / 16
    labels = torch.tensor(digits.target)[order]
    train = TensorDataset(images[:1280], labels[:1280])
    return (
        DataLoader(train, batch_size=64, shuffle=True),
        DataLoader(TensorDataset(images[1280:], labels[1280:]), batch_size=517),
    )


def main() -> None:
    """Train, compare, and say where everything is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--output", type=Path, default=Path("demo_output"), help="folder for everything that is written"
    )
    parser.add_argument("--epochs", type=int, default=75, help="15, 35 and 75 end with a complete SGDR cycle")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    os.chdir(options.output)
    warnings.filterwarnings("ignore", message=".*does not have many workers|.*LeafSpec|.*exists and is not empty")
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.rank_zero"):
        logging.getLogger(name).addFilter(lambda record: record.getMessage().startswith("Plan"))

    console = Console()
    checkpoints = CycleCheckpoint(monitor="val_loss")
    columns = (TextColumn("{task.description:<16}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=len(RUNS) * options.epochs)
        advance = LambdaCallback(on_train_epoch_end=lambda *_: progress.advance(task))
        for name, scheduler in RUNS.items():
            progress.update(task, description=name)
            L.seed_everything(0, verbose=False)
            callbacks = [scheduler, MLflowTracker(STORE, "demo", run_name=name), advance]
            if isinstance(scheduler.plan.main, SGDR):
                callbacks.append(checkpoints)
            trainer = L.Trainer(
                max_epochs=options.epochs,
                accelerator="cpu",
                logger=False,
                callbacks=callbacks,
                enable_progress_bar=False,
                enable_model_summary=False,
                enable_checkpointing=isinstance(scheduler.plan.main, SGDR),
            )
            trainer.fit(Digits(), *data())
    if lrsched(["compare", "--experiment", "demo", "--tracking-uri", STORE, "--png", "compare.png"]):
        raise SystemExit("the comparison failed; the lines above say why")
    console.print("\n[bold]Best checkpoint of each SGDR cycle[/]")
    for cycle in checkpoints.finished_cycles:
        for kept in cycle.kept:
            what = f"cycle {cycle.cycle}, {cycle.files[kept.path]}: val_loss {kept.score:.4f}"
            console.print(f"  {what}  {kept.path}", soft_wrap=True)
    store = f"sqlite:///{Path('mlflow.db').resolve()}"
    console.print(f"\nOpen the runs in MLflow:\n  mlflow ui --backend-store-uri {store}", soft_wrap=True)


if __name__ == "__main__":
    main()
