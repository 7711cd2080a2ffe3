"""A second fit with the same Trainer goes on where the first ended, whatever kind of schedule it is."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import pytest
from lightning.pytorch.callbacks import Callback
from torch.optim import SGD
from torch.optim.lr_scheduler import CyclicLR, ExponentialLR, LRScheduler, OneCycleLR, ReduceLROnPlateau, StepLR

from lightning_lrsched import SGDR, Cosine, LearningRateScheduler, Plateau, TorchScheduler
from tests.callbacks.models import LR, Stranger, Tiny, loader, make_trainer


def cyclic(optimizer: Any) -> CyclicLR:
    return CyclicLR(optimizer, LR / 10, LR, step_size_up=3, cycle_momentum=False)


def one_cycle(optimizer: Any) -> OneCycleLR:
    return OneCycleLR(optimizer, LR, total_steps=24)


def own_plateau(module: Tiny) -> dict[str, Any]:
    optimizer = SGD(module.parameters(), lr=LR)
    plateau = ReduceLROnPlateau(optimizer, factor=0.5, patience=0)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": plateau, "monitor": "val_loss"}}


def kept(configure: Callable[[Tiny], Any]) -> Callable[[Tiny], Any]:
    """Have a module return the very same optimizer and scheduler in every fit."""

    def again(module: Tiny) -> Any:
        if not hasattr(module, "kept"):
            module.kept = configure(module)
        return module.kept

    return again


def sgd(module: Tiny) -> SGD:
    return SGD(module.parameters(), lr=LR)


def own(scheduler: type[LRScheduler], interval: str, **given: Any) -> Callable[[Tiny], Any]:
    def configure(module: Tiny) -> dict[str, Any]:
        optimizer = SGD(module.parameters(), lr=LR, momentum=0.9)
        config = {"scheduler": scheduler(optimizer, **given), "interval": interval}
        return {"optimizer": optimizer, "lr_scheduler": config}

    return configure


def behind(warmup: int) -> Callable[[], LearningRateScheduler]:
    return lambda: LearningRateScheduler(warmup=warmup, total_steps=24)


KINDS: list[Any] = [
    pytest.param(lambda: LearningRateScheduler(SGDR(4, T_mult=2), warmup=3), None, id="planned"),
    pytest.param(lambda: LearningRateScheduler(TorchScheduler(cyclic), warmup=3), None, id="torch, by step"),
    pytest.param(
        lambda: LearningRateScheduler(TorchScheduler(lambda optimizer: StepLR(optimizer, 2, 0.5)), warmup=3),
        None,
        id="torch, by epoch",
    ),
    pytest.param(lambda: LearningRateScheduler(Plateau(patience=0, factor=0.5), warmup=3), None, id="plateau"),
    pytest.param(lambda: LearningRateScheduler(warmup=3), own_plateau, id="the module's plateau"),
    pytest.param(behind(3), kept(own_plateau), id="the module's plateau, kept"),
    pytest.param(behind(3), kept(own(ExponentialLR, "step", gamma=0.9)), id="the module's, by step, kept"),
    pytest.param(behind(3), kept(own(StepLR, "epoch", step_size=2, gamma=0.5)), id="the module's, by epoch, kept"),
    pytest.param(
        behind(3), kept(own(OneCycleLR, "step", max_lr=LR, total_steps=20)), id="the module's one cycle, kept"
    ),
    pytest.param(
        lambda: LearningRateScheduler(TorchScheduler(one_cycle, interval="step"), warmup=15, total_steps=24),
        lambda module: SGD(module.parameters(), lr=LR, momentum=0.9),
        id="torch, with a momentum, inside a warmup",
    ),
    pytest.param(behind(15), kept(own(ExponentialLR, "step", gamma=0.9)), id="kept, inside a warmup"),
    pytest.param(lambda: LearningRateScheduler(SGDR(4, T_mult=2), warmup=3), kept(sgd), id="planned, kept optimizer"),
    pytest.param(
        lambda: LearningRateScheduler(TorchScheduler(cyclic), warmup=3), kept(sgd), id="torch, kept optimizer"
    ),
]


@pytest.mark.parametrize(("make", "configure"), KINDS)
def test_two_fits_use_the_lrs_of_one(
    tmp_path: Path, make: Callable[[], LearningRateScheduler], configure: Callable[[Tiny], Any] | None
) -> None:
    whole, halves = Stranger(), Stranger()
    make_trainer(tmp_path, make(), whole, max_epochs=6).fit(Tiny(configure, score=float), loader(4))
    trainer, module = make_trainer(tmp_path, make(), halves, max_epochs=3), Tiny(configure, score=float)
    trainer.fit(module, loader(4))
    trainer.fit_loop.max_epochs = 6
    trainer.fit(module, loader(4))
    assert halves.group() == whole.group()
    assert halves.momenta == whole.momenta
    assert len(set(whole.group()[12:])) > 1


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: LearningRateScheduler(Cosine(), warmup=3), id="planned"),
        pytest.param(
            lambda: LearningRateScheduler(TorchScheduler(partial(StepLR, step_size=1, gamma=0.5)), warmup=3), id="torch"
        ),
        pytest.param(lambda: LearningRateScheduler(Plateau(patience=0, factor=0.5), warmup=3), id="plateau"),
    ],
)
def test_another_trainer_begins_at_the_peak_of_an_optimizer_that_the_module_keeps(
    tmp_path: Path, make: Callable[[], LearningRateScheduler]
) -> None:
    module, first, second = Tiny(kept(sgd), score=float), Stranger(), Stranger()
    make_trainer(tmp_path, make(), first, max_epochs=3).fit(module, loader(4))
    assert first.group()[-1] < LR
    make_trainer(tmp_path, make(), second, max_epochs=3).fit(module, loader(4))
    assert second.group() == first.group()


class Fails(Callback):
    """Fails when the fit has begun, as often as it is asked to, before anything is trained."""

    wanted = False

    def on_sanity_check_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self.wanted:
            raise RuntimeError("before training")


@pytest.mark.parametrize("how", ["nothing to train", "a failure before training"])
@pytest.mark.parametrize(("make", "configure"), KINDS)
def test_a_fit_that_trains_nothing_changes_nothing_for_the_next(
    tmp_path: Path, make: Callable[[], LearningRateScheduler], configure: Callable[[Tiny], Any] | None, how: str
) -> None:
    whole, halves, fails = Stranger(), Stranger(), Fails()
    make_trainer(tmp_path, make(), whole, max_epochs=6).fit(Tiny(configure, score=float), loader(4))
    trainer = make_trainer(tmp_path, make(), halves, fails, max_epochs=3, num_sanity_val_steps=1)
    module = Tiny(configure, score=float)
    trainer.fit(module, loader(4))
    if how == "nothing to train":
        trainer.fit(module, loader(4))
    else:
        fails.wanted = True
        with pytest.raises(RuntimeError, match="before training"):
            trainer.fit(module, loader(4))
    fails.wanted, trainer.fit_loop.max_epochs = False, 6
    trainer.fit(module, loader(4))
    assert halves.group() == whole.group()


@pytest.mark.parametrize(("make", "configure"), KINDS)
def test_a_finished_run_that_is_loaded_can_be_made_longer(
    tmp_path: Path, make: Callable[[], LearningRateScheduler], configure: Callable[[Tiny], Any] | None
) -> None:
    whole, rest, path = Stranger(), Stranger(), tmp_path / "finished.ckpt"
    make_trainer(tmp_path, make(), whole, max_epochs=6).fit(Tiny(configure, score=float), loader(4))
    first = make_trainer(tmp_path, make(), max_epochs=3)
    first.fit(Tiny(configure, score=float), loader(4))
    first.save_checkpoint(path)
    trainer, module = make_trainer(tmp_path, make(), rest, max_epochs=3), Tiny(configure, score=float)
    trainer.fit(module, loader(4), ckpt_path=path)
    trainer.fit_loop.max_epochs = 6
    trainer.fit(module, loader(4))
    assert rest.group() == whole.group()[12:]
