"""Fits with sharded checkpoints on two processes; each rank writes what it saw to ``<scenario>-<rank>.json``.

Arguments: FOLDER SCENARIO...
"""

import json
import os
import resource
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import Tensor
from torch.distributed.fsdp import fully_shard

from lightning_lrsched import SGDR, CycleCheckpoint, LearningRateScheduler
from tests.callbacks.interruptions import SavesAt, Stops
from tests.callbacks.models import loader, make_trainer, wavy
from tests.integration.ranks import Sharded, play


class Wavy(Sharded):
    """Has a validation loss that goes up and down, and knows its weight after every step."""

    def __init__(self, score: Callable[[int], float] = wavy) -> None:
        super().__init__()
        self.score = score
        self.block = torch.nn.Linear(512, 512, bias=False)  # 0.5 MB on each rank
        self.after: dict[int, float] = {}

    def configure_model(self) -> None:
        fresh = not isinstance(self.block.weight, torch.distributed.tensor.DTensor)
        super().configure_model()
        if fresh:
            fully_shard(self.block, mesh=self.device_mesh["data_parallel"])  # type: ignore[index]

    def on_train_batch_end(self, outputs: Any, batch: Tensor, batch_idx: int) -> None:
        self.after[self.trainer.global_step] = self.here()

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.log("val_loss", self.score(self.trainer.global_step), sync_dist=True)

    def test_step(self, batch: Tensor, batch_idx: int) -> None:
        self.tested = self.here()

    def here(self) -> float:
        weight: Any = self.layer.weight
        return float(weight.full_tensor()[0, 0])


class FillsUp(Callback):
    """Lets no file of rank 1 grow beyond a size for a while: the system refuses the write, as a full disk does."""

    def on_train_batch_start(self, trainer: L.Trainer, *_: Any) -> None:
        if trainer.global_rank == 1:
            most = 300_000 if 6 <= trainer.global_step + 1 < 14 else resource.RLIM_INFINITY
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))


class Scenarios:
    """What can be fitted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.removed: list[str] = []
        sys.addaudithook(self.note)

    def note(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Note every folder of a checkpoint that this process removes or renames."""
        if event in ("os.rmdir", "shutil.rmtree") and str(arguments[0]).endswith(".ckpt"):
            self.removed.append(Path(str(arguments[0])).name)

    def fit(
        self, name: str, *callbacks: Callback, path: Path | None = None, score: Callable[[int], float] = wavy
    ) -> tuple[L.Trainer, CycleCheckpoint, Wavy]:
        checkpoint, module = CycleCheckpoint("val_loss", dirpath=self.folder / name), Wavy(score)
        plan = LearningRateScheduler(SGDR(5), warmup="10%")
        trainer = make_trainer(
            self.folder,
            *(plan, checkpoint, *callbacks),
            strategy=ModelParallelStrategy(data_parallel_size=2, tensor_parallel_size=1),
            devices=2,
            accumulate_grad_batches=2,
            val_check_interval=4,
        )
        trainer.fit(module, loader(40), loader(2), ckpt_path=path, weights_only=None if path is None else True)
        return trainer, checkpoint, module

    def whole(self) -> None:
        trainer, checkpoint, module = self.fit("whole", SavesAt(7, self.folder / "half.ckpt"))
        best = checkpoint.best_model_path
        trainer.test(module, loader(2), ckpt_path="best", verbose=False, weights_only=True)
        self.write("whole", checkpoint, module, tested=module.tested, best=best)

    def resumed(self) -> None:
        with suppress(RuntimeError):
            self.fit("resumed", SavesAt(7, self.folder / "cut.ckpt"), Stops(9))
        _, checkpoint, module = self.fit("resumed", path=self.folder / "cut.ckpt")
        self.write("resumed", checkpoint, module)

    def full(self) -> None:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            _, checkpoint, module = self.fit("full", FillsUp(), score=lambda step: -step)
        texts = [str(one.message) for one in told if "could not save" in str(one.message)]
        self.write("full", checkpoint, module, told=texts)

    def write(self, name: str, checkpoint: CycleCheckpoint, module: Wavy, **more: Any) -> None:
        seen = {
            "rows": [
                [row.cycle, one.path, row.files[one.path], one.step, one.score]
                for row in checkpoint.finished_cycles
                for one in row.kept
            ],
            "after": module.after,
            "removed": self.removed,
        }
        (self.folder / f"{name}-{os.environ['RANK']}.json").write_text(json.dumps(seen | more))


if __name__ == "__main__":
    play(Scenarios(Path(sys.argv[1])), sys.argv[2:])
