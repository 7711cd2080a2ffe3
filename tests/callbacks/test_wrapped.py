"""A warmup in front of the scheduler that the module returns: the expected lrs are torch's own, stepped by hand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback
from torch.optim import SGD, Adam, Optimizer
from torch.optim import lr_scheduler as torch_schedulers

from lightning_lrsched import LearningRateScheduler, Warmup
from tests.callbacks.models import LR, Stranger, Tiny, loader, make_trainer

BATCHES = 6
EPOCHS = 5
STEPS = BATCHES * EPOCHS
WARMUP = 4


def halved(step: int) -> float:
    return 0.9**step


def sequence(optimizer: Optimizer) -> Any:
    parts = [torch_schedulers.ConstantLR(optimizer, 0.5, 3), torch_schedulers.ExponentialLR(optimizer, 0.9)]
    return torch_schedulers.SequentialLR(optimizer, parts, milestones=[4])


def chain(optimizer: Optimizer) -> Any:
    parts = [torch_schedulers.LinearLR(optimizer, 0.5, 1.0, 5), torch_schedulers.ExponentialLR(optimizer, 0.9)]
    return torch_schedulers.ChainedScheduler(parts, optimizer=optimizer)


MAKERS: dict[str, Callable[[Optimizer], Any]] = {
    "StepLR": lambda optimizer: torch_schedulers.StepLR(optimizer, 3, 0.5),
    "LambdaLR": lambda optimizer: torch_schedulers.LambdaLR(optimizer, halved),
    "SequentialLR": sequence,
    "ChainedScheduler": chain,
    "CosineAnnealingLR": lambda optimizer: torch_schedulers.CosineAnnealingLR(optimizer, 10),
    "CosineAnnealingWarmRestarts": lambda optimizer: torch_schedulers.CosineAnnealingWarmRestarts(optimizer, 4),
    "PolynomialLR": lambda optimizer: torch_schedulers.PolynomialLR(optimizer, 20),
    "CyclicLR": lambda optimizer: torch_schedulers.CyclicLR(optimizer, 0.01, LR, 3),
    "OneCycleLR": lambda optimizer: torch_schedulers.OneCycleLR(optimizer, LR, total_steps=STEPS - WARMUP),
}


def sgd(parameters: Any) -> Optimizer:
    return SGD(parameters, lr=LR, momentum=0.9)


def adam(parameters: Any) -> Optimizer:
    return Adam(parameters, lr=LR)


def by_hand(make: Callable[[Optimizer], Any], steps: int, optimizer: Any = sgd) -> tuple[list[float], list[float]]:
    """The lr and the momentum of each step of torch's scheduler, in a bare loop."""
    bare = optimizer([torch.nn.Parameter(torch.zeros(1))])
    scheduler = make(bare)
    lrs, momenta = [], []
    for _ in range(steps):
        group = bare.param_groups[0]
        lrs.append(group["lr"])
        momenta.append(group["betas"][0] if "betas" in group else group["momentum"])
        bare.step()
        scheduler.step()
    return lrs, momenta


def ramp(first: float) -> list[float]:
    return [first * (t + 1) / (WARMUP + 1) for t in range(WARMUP)]


@pytest.mark.parametrize("optimizer", [sgd, adam])
@pytest.mark.parametrize("name", MAKERS)
def test_by_step_the_scheduler_begins_after_the_warmup(
    tmp_path: Path, stranger: Stranger, name: str, optimizer: Any
) -> None:
    def configure(module: Tiny) -> Any:
        made = optimizer(module.parameters())
        return {"optimizer": made, "lr_scheduler": {"scheduler": MAKERS[name](made), "interval": "step"}}

    callback = LearningRateScheduler(warmup=WARMUP)
    make_trainer(tmp_path, callback, stranger, max_epochs=EPOCHS).fit(Tiny(configure), loader(BATCHES))
    lrs, momenta = by_hand(MAKERS[name], STEPS - WARMUP, optimizer)
    assert stranger.group()[WARMUP:] == lrs
    assert stranger.momenta[WARMUP:] == momenta
    assert stranger.group()[:WARMUP] == pytest.approx(ramp(lrs[0]), rel=1e-12)


class Ramps(Callback):
    """Sets the momentum at the start of each epoch, and saves a checkpoint inside the third one."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        group, momentum = trainer.optimizers[0].param_groups[0], 0.5 + 0.1 * trainer.current_epoch
        group.update({"betas": (momentum, 0.99)} if "betas" in group else {"momentum": momentum})

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        if trainer.global_step == 15:
            trainer.save_checkpoint(self.path)


@pytest.mark.parametrize("optimizer", [sgd, adam])
@pytest.mark.parametrize("name", ["StepLR", "SequentialLR"])
def test_a_momentum_that_the_scheduler_leaves_alone_is_left_to_a_callback(
    tmp_path: Path, stranger: Stranger, name: str, optimizer: Any
) -> None:
    def configure(module: Tiny) -> Any:
        made = optimizer(module.parameters())
        return {"optimizer": made, "lr_scheduler": {"scheduler": MAKERS[name](made), "interval": "step"}}

    ramps, rest = Ramps(tmp_path / "half.ckpt"), Stranger()
    for path, records in ((None, stranger), (ramps.path, rest)):
        trainer = make_trainer(tmp_path, LearningRateScheduler(warmup=WARMUP), ramps, records, max_epochs=4)
        trainer.fit(Tiny(configure), loader(BATCHES), ckpt_path=path)
    assert stranger.momenta == [0.5 + 0.1 * (step // BATCHES) for step in range(4 * BATCHES)]
    assert rest.momenta == stranger.momenta[15:]


@pytest.mark.parametrize("form", ["list", "dict", "pair"])
@pytest.mark.parametrize("name", ["StepLR", "LambdaLR", "SequentialLR", "ChainedScheduler"])
def test_by_epoch_the_scheduler_begins_at_the_end_of_the_epoch_after_the_warmup(
    tmp_path: Path, stranger: Stranger, name: str, form: str
) -> None:
    def configure(module: Tiny) -> Any:
        made = sgd(module.parameters())
        scheduler = MAKERS[name](made)
        if form == "dict":
            return {"optimizer": made, "lr_scheduler": scheduler}
        return ([made], [scheduler]) if form == "list" else ([made], [{"scheduler": scheduler, "interval": "epoch"}])

    callback = LearningRateScheduler(warmup=WARMUP)
    make_trainer(tmp_path, callback, stranger, max_epochs=EPOCHS).fit(Tiny(configure), loader(BATCHES))
    lrs, _ = by_hand(MAKERS[name], EPOCHS)
    assert stranger.group()[WARMUP:] == [lr for lr in lrs for _ in range(BATCHES)][WARMUP:]
    assert stranger.group()[:WARMUP] == pytest.approx(ramp(lrs[0]), rel=1e-12)


@pytest.mark.parametrize(("interval", "frequency"), [("step", 3), ("epoch", 2)])
def test_a_frequency_is_kept(tmp_path: Path, stranger: Stranger, interval: str, frequency: int) -> None:
    def configure(module: Tiny) -> Any:
        made = sgd(module.parameters())
        scheduler = torch_schedulers.ExponentialLR(made, 0.5)
        config = {"scheduler": scheduler, "interval": interval, "frequency": frequency}
        return {"optimizer": made, "lr_scheduler": config}

    make_trainer(tmp_path, LearningRateScheduler(warmup=WARMUP), stranger, max_epochs=EPOCHS).fit(
        Tiny(configure), loader(BATCHES)
    )
    if interval == "step":
        held = [LR * 0.5 ** (t // 3) for t in range(STEPS - WARMUP)]
    else:
        held = [LR * 0.5 ** (t // (2 * BATCHES)) for t in range(STEPS)][WARMUP:]
    assert stranger.group()[WARMUP:] == pytest.approx(held, rel=1e-12)


def test_a_warmup_of_an_epoch_holds_the_scheduler_for_that_epoch(tmp_path: Path, stranger: Stranger) -> None:
    def configure(module: Tiny) -> Any:
        made = sgd(module.parameters())
        return [made], [torch_schedulers.ExponentialLR(made, 0.5)]

    callback = LearningRateScheduler(warmup=Warmup("1ep", start_factor=0.5))
    make_trainer(tmp_path, callback, stranger, max_epochs=4).fit(Tiny(configure), loader(BATCHES))
    lrs = [*[LR] * BATCHES, *[LR / 2] * BATCHES, *[LR / 4] * BATCHES]
    assert stranger.group()[BATCHES:] == lrs
    assert stranger.group()[0] == LR / 2


def test_a_plateau_follows_the_metric_after_the_warmup(tmp_path: Path, stranger: Stranger) -> None:
    def configure(module: Tiny) -> Any:
        made = sgd(module.parameters())
        scheduler = torch_schedulers.ReduceLROnPlateau(made, factor=0.5, patience=1)
        return {"optimizer": made, "lr_scheduler": {"scheduler": scheduler, "monitor": "val_loss"}}

    module = Tiny(configure, score=float)
    make_trainer(tmp_path, LearningRateScheduler(warmup=WARMUP), stranger, max_epochs=7).fit(module, loader(BATCHES))
    bare = sgd([torch.nn.Parameter(torch.zeros(1))])
    scheduler, lrs = torch_schedulers.ReduceLROnPlateau(bare, factor=0.5, patience=1), []
    for epoch in range(7):
        lrs += [bare.param_groups[0]["lr"]] * BATCHES
        scheduler.step(float((epoch + 1) * BATCHES))
    assert stranger.group()[WARMUP:] == lrs[WARMUP:]
    assert len(set(lrs)) == 3


def test_a_plateau_on_a_metric_of_the_training_is_fed_the_mean_of_the_epoch(tmp_path: Path) -> None:
    class Trains(Tiny):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = [5.0, 4.0, 6.0, 3.0, 7.0, 8.0, 2.0][self.current_epoch] + batch_idx
            self.log("train_loss", loss, on_step=False, on_epoch=True)
            return super().training_step(batch, batch_idx)

    def configure(module: Tiny) -> Any:
        made = sgd(module.parameters())
        scheduler = torch_schedulers.ReduceLROnPlateau(made, factor=0.5, patience=0)
        return {"optimizer": made, "lr_scheduler": {"scheduler": scheduler, "monitor": "train_loss"}}

    ours, without = Stranger(), Stranger()
    make_trainer(tmp_path, without, max_epochs=7).fit(Trains(configure), loader(BATCHES))
    callback = LearningRateScheduler(warmup=WARMUP)
    make_trainer(tmp_path, callback, ours, max_epochs=7).fit(Trains(configure), loader(BATCHES))
    assert ours.group()[WARMUP:] == without.group()[WARMUP:]
    assert len(set(without.group())) == 4


def test_accumulation_counts_real_steps_for_the_scheduler_too(tmp_path: Path, stranger: Stranger) -> None:
    def configure(module: Tiny) -> Any:
        made = sgd(module.parameters())
        return {"optimizer": made, "lr_scheduler": {"scheduler": MAKERS["StepLR"](made), "interval": "step"}}

    settings: dict[str, Any] = {"max_epochs": EPOCHS, "accumulate_grad_batches": 4}
    make_trainer(tmp_path, LearningRateScheduler(warmup=WARMUP), stranger, **settings).fit(
        Tiny(configure), loader(BATCHES)
    )
    assert stranger.group()[WARMUP:] == by_hand(MAKERS["StepLR"], 2 * EPOCHS - WARMUP)[0]


def test_each_optimizer_keeps_its_own_scheduler(tmp_path: Path, stranger: Stranger) -> None:
    from tests.callbacks.test_real_steps import Gan

    class Scheduled(Gan):
        def configure_optimizers(self) -> Any:
            optimizers = super().configure_optimizers()
            scheduler = torch_schedulers.ExponentialLR(optimizers[1], 0.5)
            return optimizers, [{"scheduler": scheduler, "interval": "step"}]

    callback = LearningRateScheduler(warmup=2, total_steps=12)
    make_trainer(tmp_path, callback, stranger).fit(Scheduled(), loader(6))
    assert stranger.group(optimizer=0)[2:] == [LR] * 10
    assert stranger.group(optimizer=1)[2:] == pytest.approx([0.01, 0.005, 0.0025, 0.00125])


def test_the_module_and_its_scheduler_work_again_without_us(tmp_path: Path) -> None:
    def configure(module: Tiny) -> Any:
        made = sgd(module.parameters())
        return [made], [torch_schedulers.ExponentialLR(made, 0.5)]

    module, plain = Tiny(configure), Stranger()
    make_trainer(tmp_path, LearningRateScheduler(warmup=WARMUP)).fit(module, loader(BATCHES))
    make_trainer(tmp_path, plain).fit(module, loader(BATCHES))
    assert plain.group() == [LR] * BATCHES + [LR / 2] * BATCHES


class Foreign:
    """A scheduler as timm's are: not one of torch."""

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer

    def step(self, epoch: int) -> None:
        """Leave the lr alone."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Have nothing to load."""


class StepsForeign(Tiny):
    """A module that steps such a scheduler, as Lightning asks for."""

    def configure_optimizers(self) -> Any:
        optimizer = SGD(self.parameters(), lr=LR)
        return [optimizer], [Foreign(optimizer)]

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        scheduler.step(epoch=self.current_epoch)


def test_a_scheduler_that_is_not_of_torch_gets_no_warmup_and_a_plain_message(tmp_path: Path) -> None:
    module = StepsForeign()
    make_trainer(tmp_path).fit(module)
    module.batches = 0
    message = r"Foreign .* is no torch.*LearningRateScheduler\(Cosine\(\), warmup="
    with pytest.raises(MisconfigurationException, match=message):
        make_trainer(tmp_path, LearningRateScheduler(warmup=3)).fit(module)
    assert module.batches == 0


class Halving(Foreign):
    """A scheduler that is made as torch's are, without their base class."""

    last_epoch = 0

    def step(self, epoch: int | None = None) -> None:
        self.last_epoch += 1
        for group in self.optimizer.param_groups:
            group["lr"] = LR / 2**self.last_epoch

    def get_last_lr(self) -> list[float]:
        return [group["lr"] for group in self.optimizer.param_groups]


def test_a_scheduler_that_is_made_as_those_of_torch_gets_a_warmup(tmp_path: Path) -> None:
    class StepsHalving(StepsForeign):
        def configure_optimizers(self) -> Any:
            optimizer = SGD(self.parameters(), lr=LR)
            return [optimizer], [{"scheduler": Halving(optimizer), "interval": "step"}]

    stranger = Stranger()
    make_trainer(tmp_path, LearningRateScheduler(warmup=2), stranger, max_epochs=1).fit(StepsHalving(), loader(5))
    assert stranger.group() == pytest.approx([LR / 3, LR / 1.5, LR, LR / 2, LR / 4])
