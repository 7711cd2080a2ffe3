"""LearningRateMonitor beside us: our lrs, under the names that users know."""

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import LearningRateMonitor
from lightning.pytorch.loggers import CSVLogger
from torch.optim import SGD, Adam, Optimizer
from torch.optim.lr_scheduler import StepLR

from lightning_lrsched import SGDR, Cosine, LearningRateScheduler, Linear, OneCycle, Plan, RunLength
from tests.callbacks.models import LR, Stranger, Tiny, expected, loader, make_trainer, two_groups
from tests.callbacks.test_real_steps import Gan


def monitored(folder: Path, module: Tiny, callback: LearningRateScheduler, **given: Any) -> dict[str, list[float]]:
    """Fit over two epochs of six batches; return what the monitor logged, by name."""
    logger = CSVLogger(folder)
    monitor = LearningRateMonitor("step", log_momentum=given.pop("log_momentum", False))
    trainer = make_trainer(folder, monitor, callback, logger=logger, log_every_n_steps=1, **given)
    trainer.fit(module, loader(6))
    rows = list(csv.DictReader((Path(logger.log_dir) / "metrics.csv").read_text(encoding="utf-8").splitlines()))
    names = [name for name in rows[0] if name.startswith("lr-") or name == "mine"]
    return {name: [float(row[name]) for row in rows if row[name]] for name in names}


def named(module: Tiny) -> Optimizer:
    groups: list[dict[str, Any]] = [
        {"params": [module.weight], "name": "head"},
        {"params": [module.bias], "name": "body", "lr": LR / 5},
    ]
    return SGD(groups, lr=LR)


@pytest.mark.parametrize(
    ("configure", "names"),
    [
        pytest.param(None, ["lr-SGD"], id="one group"),
        pytest.param(two_groups, ["lr-SGD/pg1", "lr-SGD/pg2"], id="two groups"),
        pytest.param(named, ["lr-SGD/head", "lr-SGD/body"], id="two named groups"),
    ],
)
def test_the_monitor_shows_the_lr_of_every_group(tmp_path: Path, configure: Any, names: list[str]) -> None:
    callback = LearningRateScheduler(SGDR(5, T_mult=2), warmup=2)
    logged = monitored(tmp_path, Tiny(configure), callback)
    bases = [LR, LR / 5][: len(names)]
    assert logged == {name: expected(callback, 12, base) for name, base in zip(names, bases, strict=True)}


def test_the_monitor_shows_a_group_that_follows_a_schedule_of_its_own(tmp_path: Path) -> None:
    callback = LearningRateScheduler(Cosine(), groups={"body": Linear()})
    logged = monitored(tmp_path, Tiny(named), callback)
    body = expected(Plan(Linear()).resolve(RunLength(12)), 12, LR / 5)
    assert logged == {"lr-SGD/head": expected(callback, 12), "lr-SGD/body": body}


def test_the_monitor_shows_both_optimizers_of_a_gan(tmp_path: Path) -> None:
    class Twins(Gan):
        def configure_optimizers(self) -> list[Optimizer]:
            return [SGD([self.weight], lr=LR), SGD([self.bias], lr=LR / 5)]

    logged = monitored(tmp_path, Twins(), LearningRateScheduler(Cosine(), warmup=2, total_steps=12))
    assert logged.keys() == {"lr-SGD", "lr-SGD-1"}
    timeline = Plan(Cosine(), warmup=2).resolve(RunLength(12))
    assert set(logged["lr-SGD"]) <= set(expected(timeline, 12))
    assert set(logged["lr-SGD-1"]) <= set(expected(timeline, 12, LR / 5))


def test_a_wrapped_scheduler_keeps_the_name_that_its_config_has(tmp_path: Path) -> None:
    def configure(module: Tiny) -> Any:
        optimizer = SGD(module.parameters(), lr=LR)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": StepLR(optimizer, 1, 0.5), "name": "mine"}}

    stranger = Stranger()
    logged = monitored(tmp_path, Tiny(configure), LearningRateScheduler(warmup=3))
    make_trainer(tmp_path, LearningRateScheduler(warmup=3), stranger).fit(Tiny(configure), loader(6))
    assert logged == {"mine": stranger.group()}


def test_the_monitor_shows_the_momentum_that_moves_against_the_lr(tmp_path: Path) -> None:
    callback, stranger = LearningRateScheduler(OneCycle(cycle_momentum=True)), Stranger()
    module = Tiny(lambda module: Adam(module.parameters(), lr=LR))
    logged = monitored(tmp_path, module, callback, log_momentum=True)
    make_trainer(tmp_path, LearningRateScheduler(OneCycle(cycle_momentum=True)), stranger).fit(
        Tiny(lambda module: Adam(module.parameters(), lr=LR)), loader(6)
    )
    assert logged == {"lr-Adam": stranger.group(), "lr-Adam-momentum": stranger.momenta}


def test_a_monitor_by_epoch_shows_the_lr_of_each_epochs_first_step(tmp_path: Path) -> None:
    callback, logger = LearningRateScheduler(Cosine(), warmup=2), CSVLogger(tmp_path)
    monitor = LearningRateMonitor("epoch")
    make_trainer(tmp_path, monitor, callback, logger=logger, log_every_n_steps=1, max_epochs=3).fit(Tiny(), loader(6))
    rows = csv.DictReader((Path(logger.log_dir) / "metrics.csv").read_text(encoding="utf-8").splitlines())
    assert [float(row["lr-SGD"]) for row in rows if row["lr-SGD"]] == expected(callback, 18)[::6]


@pytest.mark.filterwarnings("ignore:To copy construct from a tensor")  # the monitor's, with any tensor lr
def test_a_tensor_lr_is_shown_as_a_number(tmp_path: Path) -> None:
    callback = LearningRateScheduler(Cosine(), warmup=2)
    lr = torch.tensor(LR, dtype=torch.float64)
    logged = monitored(tmp_path, Tiny(lambda module: SGD(module.parameters(), lr=lr)), callback)
    assert logged == {"lr-SGD": expected(callback, 12)}
