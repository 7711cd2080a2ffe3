"""CycleCheckpoint beside StochasticWeightAveraging, which puts a scheduler of its own in the schedule's place."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.callbacks import Callback, StochasticWeightAveraging
from torch.optim import SGD
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts

from lightning_lrsched import SGDR, CycleCheckpoint, LearningRateScheduler, TorchScheduler
from tests.callbacks.interruptions import SavesAt, Stops
from tests.callbacks.models import LR, Tiny, loader, make_trainer
from tests.callbacks.test_cycle_checkpoint import files, weight_in
from tests.callbacks.test_cycle_fuzz import rows_of

EPOCHS, BATCHES = 6, 5
RESTARTS = partial(CosineAnnealingWarmRestarts, T_0=4)

pytestmark = pytest.mark.filterwarnings(
    "ignore:SWA is currently only supported every epoch",
    "ignore:Another callback replaced the scheduler of LearningRateScheduler",
    "ignore:The checkpoint lies inside the phase of StochasticWeightAveraging",
    "ignore:You're resuming from a checkpoint that ended before the epoch",
    r"ignore:Cycle \d+ ended without a validation",
)


def restarting(module: Tiny) -> Any:
    optimizer = SGD(module.parameters(), lr=LR)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": RESTARTS(optimizer), "interval": "step"}}


def run(folder: Path, plan: list[Callback], *others: Callback, first: bool, **given: Any) -> CycleCheckpoint:
    checkpoint = CycleCheckpoint("val_loss", dirpath=folder)
    swa = StochasticWeightAveraging(swa_lrs=0.02, swa_epoch_start=3, annealing_epochs=2)
    ordered = [swa, *plan, checkpoint] if first else [*plan, checkpoint, swa]
    module = Tiny(None if plan else restarting)
    trainer = make_trainer(folder.parent, *ordered, *others, max_epochs=EPOCHS, val_check_interval=2)
    trainer.fit(module, loader(BATCHES), **given)
    return checkpoint


PLANS: list[Any] = [
    pytest.param(lambda: [LearningRateScheduler(SGDR(4))], id="SGDR"),
    pytest.param(lambda: [LearningRateScheduler(TorchScheduler(RESTARTS, "step"))], id="torch's, driven"),
    pytest.param(list, id="torch's, of the module"),
]


@pytest.mark.parametrize("first", [True, False], ids=["averaging first", "ours first"])
@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("saved", [12, 23])
def test_a_run_resumed_in_its_phase_ends_with_the_files_of_a_whole_one(
    tmp_path: Path, plan: Any, first: bool, saved: int
) -> None:
    whole = run(tmp_path / "whole", plan(), first=first)
    path = tmp_path / "saved" / "middle.ckpt"
    with pytest.raises(RuntimeError, match="power cut"):
        run(tmp_path / "cut", plan(), SavesAt(saved, path), Stops(saved + 1), first=first)
    resumed = run(tmp_path / "cut", plan(), first=first, ckpt_path=path, weights_only=True)
    assert rows_of(resumed) == rows_of(whole)
    assert [Path(file).name for file in files(tmp_path / "cut")] == [
        Path(file).name for file in files(tmp_path / "whole")
    ]
    listed = [json.loads((tmp_path / name / "cycles.json").read_text())["cycles"] for name in ("cut", "whole")]
    assert [row["end"] and row["end"]["step"] for row in listed[0]] == [
        row["end"] and row["end"]["step"] for row in listed[1]
    ]
    assert all(isinstance(weight_in(file), float) for file in files(tmp_path / "cut"))


def test_the_plans_cycles_go_on_in_its_phase(tmp_path: Path) -> None:
    checkpoint = run(tmp_path / "whole", [LearningRateScheduler(SGDR(4))], first=True)
    ends = [row.end.step for row in checkpoint.finished_cycles if row.end is not None]
    assert ends == [4, 8, 12, 16, 20, 24, 28, 30]
