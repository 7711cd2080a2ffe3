"""The callbacks in a Trainer of the ``pytorch_lightning`` package, whose classes are others than ``lightning``'s."""

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning
import torch
from pytorch_lightning.callbacks import LearningRateMonitor
from pytorch_lightning.loggers import CSVLogger
from torch import Tensor
from torch.optim import SGD
from torch.optim.lr_scheduler import StepLR

from lightning_lrsched import SGDR, CycleCheckpoint, LearningRateScheduler, MLflowTracker, Plateau
from tests.callbacks.models import LR, expected, loader
from tests.tracking.reading import history, only_run

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pytorch_lightning")


class Module(pytorch_lightning.LightningModule):
    """One weight; notes the lr of every step."""

    def __init__(self, *, own: bool = False) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.own = own
        self.used: list[float] = []

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return self.weight.sum()

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.log("val_loss", float(self.global_step))

    def configure_optimizers(self) -> Any:
        optimizer = SGD(self.parameters(), lr=LR)
        optimizer.register_step_pre_hook(lambda *_: self.used.append(optimizer.param_groups[0]["lr"]))
        return ([optimizer], [StepLR(optimizer, 1, 0.5)]) if self.own else optimizer


def fit(folder: Path, module: Module, *callbacks: Any, path: Path | None = None, **given: Any) -> Any:
    settings: dict[str, Any] = {"max_epochs": 2, "logger": False, "enable_checkpointing": False}
    trainer = pytorch_lightning.Trainer(
        accelerator="cpu",
        devices=1,
        callbacks=list(callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        **settings | given,
    )
    trainer.fit(module, loader(10), loader(1), ckpt_path=path)
    return trainer


def test_a_plan_is_followed_and_resumed(tmp_path: Path) -> None:
    plan: dict[str, Any] = {"main": SGDR(5), "warmup": "10%", "total_steps": 20}
    whole, rest, callback = Module(), Module(), LearningRateScheduler(**plan)
    fit(tmp_path, whole, callback)
    assert whole.used == expected(callback, 20)
    fit(tmp_path, Module(), LearningRateScheduler(**plan), max_epochs=1).save_checkpoint(tmp_path / "half.ckpt")
    fit(tmp_path, rest, LearningRateScheduler(**plan), path=tmp_path / "half.ckpt")
    assert rest.used == whole.used[10:]


def test_the_modules_scheduler_gets_a_warmup(tmp_path: Path) -> None:
    module = Module(own=True)
    fit(tmp_path, module, LearningRateScheduler(warmup=4))
    assert module.used == pytest.approx([0.02, 0.04, 0.06, 0.08, *[LR] * 6, *[LR / 2] * 10])


def test_a_plateau_is_fed(tmp_path: Path) -> None:
    module = Module()
    fit(tmp_path, module, LearningRateScheduler(Plateau(patience=0, factor=0.5)), max_epochs=3)
    assert module.used == [*[LR] * 20, *[LR / 2] * 10]


def test_cycles_are_kept_and_tracked(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    callback, kept = LearningRateScheduler(SGDR(5)), CycleCheckpoint("val_loss")
    fit(tmp_path, Module(), callback, kept, MLflowTracker(store, "study"), val_check_interval=5)
    assert len({path for path in kept.best_model_paths if Path(path).exists()}) == 4
    run = only_run(store)
    assert run.info.status == "FINISHED"
    assert history(store, run, "lr/SGD/0") == list(enumerate(expected(callback, 20)))


def test_its_monitor_shows_the_lr(tmp_path: Path) -> None:
    callback, logger = LearningRateScheduler(SGDR(5)), CSVLogger(tmp_path)
    fit(tmp_path, Module(), callback, LearningRateMonitor("step"), logger=logger, log_every_n_steps=1)
    lines = (Path(logger.log_dir) / "metrics.csv").read_text(encoding="utf-8").splitlines()
    column = lines[0].split(",").index("lr-SGD")
    shown = [float(line.split(",")[column]) for line in lines[1:] if line.split(",")[column]]
    assert shown == expected(callback, 20)
