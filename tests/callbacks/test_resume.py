"""A resumed run uses the lrs of the uninterrupted one, bit for bit, wherever the checkpoint was saved."""

from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch.optim import SGD, Adam, Optimizer
from torch.optim import lr_scheduler as torch_schedulers
from torch.utils.data import DataLoader

from lightning_lrsched import (
    SGDR,
    Cosine,
    CycleCheckpoint,
    LearningRateScheduler,
    Linear,
    OneCycle,
    Plan,
    Plateau,
    Step,
    TorchScheduler,
)
from tests.callbacks.models import LR, Stranger, Stream, Tiny, loader, make_trainer, two_groups
from tests.callbacks.test_real_steps import Gan

FIT: dict[str, Any] = {"max_epochs": 3, "val_check_interval": 3, "accumulate_grad_batches": 2}
BATCHES = 12
STEPS = 18


class Saves(Callback):
    """Saves a checkpoint after every step, after every validation and after every epoch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.paths: list[tuple[str, int, Path]] = []

    def save(self, trainer: L.Trainer, when: str) -> None:
        path = self.folder / f"{when}-{len(self.paths)}.ckpt"
        self.paths.append((when, trainer.global_step, path))
        trainer.save_checkpoint(path)

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        self.save(trainer, "batch")

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.save(trainer, "validation")

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.save(trainer, "epoch")


def restarts(optimizer: Optimizer) -> torch_schedulers.LRScheduler:
    return torch_schedulers.CosineAnnealingWarmRestarts(optimizer, 3, 2)


def check_resumes(
    folder: Path, make_callback: Any, make_module: Any = Tiny, *, every: int = 5, **settings: Any
) -> None:
    """Fit once, saving everywhere, then go on from the checkpoints: of those after a batch, one of so many."""
    settings = FIT | settings
    whole, saves = Stranger(), Saves(folder)
    make_trainer(folder, make_callback(), whole, saves, **settings).fit(make_module(), loader(BATCHES))
    assert {when for when, _, _ in saves.paths} == {"batch", "validation", "epoch"}
    batches = [saved for saved in saves.paths if saved[0] == "batch"]
    for when, step, path in [saved for saved in saves.paths if saved not in batches] + batches[every - 1 :: every]:
        if step == len(whole.group()):
            continue
        rest = Stranger()
        trainer = make_trainer(folder, make_callback(), rest, **settings)
        trainer.fit(make_module(), loader(BATCHES), ckpt_path=path, weights_only=True)
        assert rest.group() == whole.group()[step:], (when, step)
        assert rest.momenta == whole.momenta[step:], (when, step)


@pytest.mark.parametrize(
    "plan",
    [
        pytest.param({"main": SGDR(3, T_mult=2, eta_min=1e-3), "warmup": 4}, id="restarts"),
        pytest.param({"main": Cosine(), "warmup": "20%", "cooldown": "20%"}, id="three parts"),
        pytest.param({"main": OneCycle(cycle_momentum=True)}, id="one cycle"),
        pytest.param({"main": TorchScheduler(restarts, interval="step"), "warmup": 4}, id="torch, by step"),
        pytest.param({"main": TorchScheduler(restarts, interval="epoch"), "warmup": "1ep"}, id="torch, by epoch"),
        pytest.param({"main": Step("1ep", gamma=0.5), "warmup": "1ep", "update": "epoch"}, id="staircase"),
    ],
)
def test_plans_resume(tmp_path: Path, plan: dict[str, Any]) -> None:
    def configure(module: Tiny) -> Optimizer:
        return SGD(module.parameters(), lr=LR, momentum=0.9)

    check_resumes(tmp_path, lambda: LearningRateScheduler(**plan), lambda: Tiny(configure))


def test_a_plateau_resumes_and_is_not_fed_by_the_sanity_check(tmp_path: Path) -> None:
    plan: dict[str, Any] = {"main": Plateau(patience=0, factor=0.5), "warmup": 4}
    settings: dict[str, Any] = {"max_epochs": 4, "val_check_interval": 12, "num_sanity_val_steps": 2}
    module = partial(Tiny, score=float)
    check_resumes(tmp_path, lambda: LearningRateScheduler(**plan), module, every=3, **settings)


@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")
def test_a_validation_that_was_still_to_come_is_made_up_for_once(tmp_path: Path) -> None:
    class Validations(Callback):
        """Notes the step of each validation, as a callback that stops early would."""

        def __init__(self) -> None:
            self.steps: list[int] = []

        def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            self.steps.append(trainer.global_step)

    def leg(name: str, *more: Callback, path: Path | None = None) -> None:
        kept = CycleCheckpoint("val_loss", dirpath=tmp_path / name, every="1ep")
        trainer = make_trainer(tmp_path, LearningRateScheduler(Plateau(patience=0)), kept, *more, max_epochs=3)
        trainer.fit(Tiny(score=float), ckpt_path=path)

    saves = ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=10, save_top_k=-1)
    whole, first, rest, validations = Stranger(), Validations(), Stranger(), Validations()
    leg("whole", saves, whole, first)
    leg("rest", rest, validations, path=tmp_path / "step=10.ckpt")
    assert rest.group() == whole.group()[10:]
    assert validations.steps == first.steps == [10, 20, 30]


@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")
@pytest.mark.parametrize("ours", ["plateau", "cycles"])
def test_a_stream_trains_on_after_a_validation_that_was_made_up_for(tmp_path: Path, ours: str) -> None:
    def leg(name: str, *more: Callback, path: Path | None = None) -> list[float]:
        stranger = Stranger()
        callbacks: list[Callback] = [LearningRateScheduler(Plateau(patience=0))]
        if ours == "cycles":
            callbacks = [LearningRateScheduler(SGDR(10)), CycleCheckpoint("val_loss", dirpath=tmp_path / name)]
        trainer = make_trainer(tmp_path, *callbacks, *more, stranger, max_epochs=3)
        trainer.fit(Tiny(score=float), DataLoader(Stream(10)), ckpt_path=path)
        return stranger.group()

    saves = ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=10, save_top_k=-1)
    whole = leg("whole", saves)
    assert leg("rest", path=tmp_path / "step=10.ckpt") == whole[10:]
    assert len(whole) == 30


def test_a_weight_decay_resumes(tmp_path: Path) -> None:
    class Decays(Stranger):
        """Also records the weight decay."""

        def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Optimizer) -> None:
            self.decays = [*getattr(self, "decays", []), optimizer.param_groups[0]["weight_decay"]]

    def leg(stranger: Stranger, *more: Callback, path: Path | None = None) -> None:
        callback = LearningRateScheduler(Plan(Cosine(), warmup=4, others={"weight_decay": Linear(end_factor=3.0)}))
        trainer = make_trainer(tmp_path, callback, stranger, *more)
        trainer.fit(Tiny(lambda module: SGD(module.parameters(), lr=LR, weight_decay=0.01)), ckpt_path=path)

    whole, saves = Decays(), Saves(tmp_path)
    leg(whole, saves)
    assert len(set(whole.decays)) == 20
    for when, step, path in saves.paths[3::7]:
        rest = Decays()
        leg(rest, path=path)
        assert rest.decays == whole.decays[step:], (when, step)


def by_numpy(optimizer: Optimizer) -> torch_schedulers.LRScheduler:
    low, high = np.linspace(0.8, 0.9, 2)
    return torch_schedulers.CyclicLR(
        optimizer, np.float64(0.01), np.float64(LR), 3, base_momentum=low, max_momentum=high
    )


def test_numpy_numbers_in_a_torch_scheduler_do_not_lock_the_checkpoint(tmp_path: Path) -> None:
    def configure(module: Tiny) -> Optimizer:
        return SGD(module.parameters(), lr=LR, momentum=0.9)

    main = TorchScheduler(by_numpy, interval="step")
    check_resumes(tmp_path, lambda: LearningRateScheduler(main, warmup=4), lambda: Tiny(configure))


def test_groups_resume_each_at_its_own_lr(tmp_path: Path) -> None:
    check_resumes(tmp_path, lambda: LearningRateScheduler(Cosine(), warmup=3), lambda: Tiny(two_groups))


def driven(name: str, interval: str, **given: Any) -> Any:
    """Return a maker of modules that schedule by themselves."""

    def configure(module: Tiny) -> dict[str, Any]:
        optimizer = SGD(module.parameters(), lr=LR, momentum=0.9)
        scheduler = getattr(torch_schedulers, name)(optimizer, **given)
        config = {"scheduler": scheduler, "interval": interval, "monitor": "val_loss"}
        return {"optimizer": optimizer, "lr_scheduler": config}

    return lambda: Tiny(configure)


@pytest.mark.parametrize(
    "module",
    [
        pytest.param(driven("StepLR", "epoch", step_size=1, gamma=0.5), id="StepLR by epoch"),
        pytest.param(driven("ExponentialLR", "step", gamma=0.9), id="ExponentialLR by step"),
        pytest.param(driven("OneCycleLR", "step", max_lr=LR, total_steps=14), id="OneCycleLR by step"),
        pytest.param(driven("CosineAnnealingWarmRestarts", "step", T_0=3), id="warm restarts by step"),
        pytest.param(driven("CyclicLR", "step", base_lr=0.01, max_lr=LR, step_size_up=3), id="CyclicLR by step"),
    ],
)
def test_schedulers_of_the_module_resume(tmp_path: Path, module: Any) -> None:
    check_resumes(tmp_path, lambda: LearningRateScheduler(warmup=4), module)


def test_a_plateau_of_the_module_loses_no_step_to_a_resume(tmp_path: Path) -> None:
    def module() -> Tiny:
        made: Tiny = driven("ReduceLROnPlateau", "epoch", patience=0, factor=0.5)()
        made.score = float
        return made

    check_resumes(tmp_path, lambda: LearningRateScheduler(warmup=4), module, every=3, max_epochs=5)


def test_a_sequence_of_schedulers_resumes(tmp_path: Path) -> None:
    def configure(module: Tiny) -> dict[str, Any]:
        optimizer = Adam(module.parameters(), lr=LR)
        parts = [
            torch_schedulers.ConstantLR(optimizer, 0.5, 3),
            torch_schedulers.ExponentialLR(optimizer, 0.9),
        ]
        scheduler = torch_schedulers.SequentialLR(optimizer, parts, milestones=[4])
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    check_resumes(tmp_path, lambda: LearningRateScheduler(warmup=4), lambda: Tiny(configure))


def test_a_gan_resumes_each_optimizer_at_its_own_step(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"max_epochs": 2}
    plan: dict[str, Any] = {"main": Cosine(), "warmup": 2, "total_steps": 12}
    whole, saves = Stranger(), Saves(tmp_path)
    make_trainer(tmp_path, LearningRateScheduler(**plan), whole, saves, **settings).fit(Gan(), loader(6))
    path = next(path for when, step, path in saves.paths if when == "batch" and step == 10)
    rest = Stranger()
    callback = LearningRateScheduler(**plan)
    make_trainer(tmp_path, callback, rest, **settings).fit(Gan(), loader(6), ckpt_path=path, weights_only=True)
    assert rest.group(optimizer=0) == whole.group(optimizer=0)[7:]
    assert rest.group(optimizer=1) == whole.group(optimizer=1)[3:]
    assert [scheduler.real_steps for scheduler in callback.schedulers] == [12, 6]


def test_a_resume_of_a_resume_is_still_the_same_run(tmp_path: Path) -> None:
    def leg(epochs: int, ckpt_path: Path | None) -> tuple[list[float], Path]:
        stranger = Stranger()
        plan = LearningRateScheduler(SGDR("1ep"), warmup=2, total_steps=30)
        trainer = make_trainer(tmp_path, plan, stranger, max_epochs=epochs)
        trainer.fit(Tiny(), ckpt_path=ckpt_path, weights_only=True)
        path = tmp_path / f"{epochs}.ckpt"
        trainer.save_checkpoint(path)
        return stranger.group(), path

    whole, _ = leg(3, None)
    first, path = leg(1, None)
    second, path = leg(2, path)
    third, _ = leg(3, path)
    assert first + second + third == whole


def test_the_state_in_a_checkpoint_is_plain(tmp_path: Path) -> None:
    callback = LearningRateScheduler(SGDR("1ep", T_mult=2, eta_min=1e-4), warmup="5%")
    checkpoint = ModelCheckpoint(tmp_path, save_last=True)
    make_trainer(tmp_path, callback, checkpoint).fit(Tiny())
    (state,) = torch.load(checkpoint.last_model_path, weights_only=True)["lr_schedulers"]
    assert state["real_steps"] == 20
    assert state["base_lrs"] == [LR]
    assert state["description"]["plan"]["main"] == {"class": "SGDR", "T_0": "1ep", "T_mult": 2, "eta_min": 1e-4}


class Unfreezes(Callback):
    """Adds the bias as a group in the second epoch, also where a resume restores an optimizer that has it already."""

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.ckpt_path is not None:
            self._add(trainer, pl_module)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.current_epoch == 1 and len(trainer.optimizers[0].param_groups) == 1:
            self._add(trainer, pl_module)

    @staticmethod
    def _add(trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, Tiny)
        trainer.optimizers[0].add_param_group({"params": [pl_module.bias], "lr": 0.03})


def test_an_unfrozen_group_keeps_its_ratio_after_a_resume(tmp_path: Path) -> None:
    def configure(module: Tiny) -> Optimizer:
        return SGD([module.weight], lr=LR)

    whole, saves = Stranger(), Saves(tmp_path)
    plan: dict[str, Any] = {"main": Cosine(), "warmup": 3}
    make_trainer(tmp_path, Unfreezes(), LearningRateScheduler(**plan), whole, saves, max_epochs=3).fit(Tiny(configure))
    path = next(path for when, step, path in saves.paths if when == "batch" and step == 15)
    rest = Stranger()
    trainer = make_trainer(tmp_path, Unfreezes(), LearningRateScheduler(**plan), rest, max_epochs=3)
    trainer.fit(Tiny(configure), ckpt_path=path, weights_only=True)
    assert rest.lrs[0] == whole.lrs[0][15:]
    assert len(rest.lrs[0][0]) == 2
