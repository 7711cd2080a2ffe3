"""What a checkpoint needs of the disk is known before training, as far as it can be known."""

import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback
from torch.optim import SGD

from lightning_lrsched import SGDR, CycleCheckpoint, LearningRateScheduler
from lightning_lrsched.callbacks.cycles.size import states_bytes, weights_bytes
from tests.callbacks.models import LR, Tiny, make_trainer


def trouble(folder: Path, count: int, *, weights_only: bool) -> str:
    """What is told of so many parameters under Adam; they are on the meta device, which takes no memory."""
    with torch.device("meta"):
        module = Tiny()
        module.huge = torch.nn.Parameter(torch.zeros(count))
    keeper = CycleCheckpoint("val_loss", save_weights_only=weights_only)._keeper
    keeper.settle(str(folder))
    trainer = make_trainer(folder)
    trainer.strategy.connect(module)
    trainer.strategy.optimizers = [torch.optim.Adam(module.parameters())]
    try:
        keeper.check(trainer, restored=False)
    except MisconfigurationException as refused:
        return str(refused)
    return ""


def test_a_checkpoint_that_does_not_fit_the_disk_is_told_before_training(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    half = free // 8  # parameters of 4 bytes: the weights fit, with Adam's two states they do not
    assert trouble(tmp_path / "a", half, weights_only=True) == ""
    assert re.search(
        r"cannot keep checkpoints in .*: [\d.e+]+ MB are free, and one has [\d.e+]+ MB of weights and [\d.e+]+ MB of "
        r"optimizer states, which save_weights_only=True leaves out\. Make room",
        trouble(tmp_path / "b", half, weights_only=False),
    )
    assert re.search(r"has 4e\+09 MB of weights\. Make room", trouble(tmp_path / "c", 10**15, weights_only=True))


OPTIMIZERS: list[Any] = [
    pytest.param(partial(SGD, lr=LR), id="SGD"),
    pytest.param(partial(SGD, lr=LR, momentum=0.9), id="momentum"),
    pytest.param(torch.optim.Adam, id="Adam"),
    pytest.param(partial(torch.optim.AdamW, amsgrad=True), id="AdamW, amsgrad"),
    pytest.param(torch.optim.NAdam, id="NAdam"),
    pytest.param(partial(torch.optim.RMSprop, centered=True, momentum=0.5), id="RMSprop"),
]


@pytest.mark.parametrize("make", OPTIMIZERS)
def test_the_size_that_is_foretold_is_that_of_the_file(tmp_path: Path, make: Callable[..., Any]) -> None:
    class Large(Tiny):
        def __init__(self) -> None:
            super().__init__(lambda module: make([one for one in module.parameters() if one.requires_grad]))
            self.weight = torch.nn.Parameter(torch.zeros(200_000))
            self.frozen = torch.nn.Parameter(torch.zeros(100_000), requires_grad=False)

    class Foretells(Callback):
        before = after = 0

        def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            self.before = states_bytes(trainer.optimizers) + weights_bytes(pl_module)

        def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            self.after = states_bytes(trainer.optimizers) + weights_bytes(pl_module)

    foretells, checkpoint = Foretells(), CycleCheckpoint()
    callbacks = [LearningRateScheduler(SGDR(5)), foretells, checkpoint]
    make_trainer(tmp_path, *callbacks, max_epochs=1).fit(Large())
    size = Path(checkpoint.best_model_path).stat().st_size
    assert foretells.before == pytest.approx(foretells.after, rel=1e-4)
    assert 0 < size - foretells.before < 100_000
