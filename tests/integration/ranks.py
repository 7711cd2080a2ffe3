"""Fits on several processes; each rank writes what it saw in a scenario to ``<scenario>-<rank>.json``.

Arguments: FOLDER STRATEGY DEVICES NODES SCENARIO...
"""

import json
import math
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import lightning as L
import torch
import torch.distributed as dist
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import Tensor
from torch.optim import SGD, Optimizer

from lightning_lrsched import SGDR, CycleCheckpoint, LearningRateScheduler, MLflowTracker, Plateau
from tests.callbacks.interruptions import SavesAt
from tests.callbacks.models import LR, Stranger, Tiny, loader, make_trainer

COLLECTIVES = (
    *("all_reduce", "all_gather", "all_gather_into_tensor", "all_gather_object", "all_to_all", "barrier", "broadcast"),
    *("broadcast_object_list", "gather", "gather_object", "monitored_barrier", "reduce", "reduce_scatter"),
    *("reduce_scatter_tensor", "scatter", "scatter_object_list", "send", "recv"),
)


class Ranked(Tiny):
    """Logs a validation loss that differs between ranks: their mean rises, rank 1's alone falls."""

    def __init__(self, *, synced: bool = True, nan_rank: int = -1, raising_rank: int = -1) -> None:
        super().__init__()
        self.synced, self.nan_rank, self.raising_rank = synced, nan_rank, raising_rank

    def training_step(self, batch: Tensor, batch_idx: int) -> Any:
        if self.global_rank == self.raising_rank and self.batches == 5:
            raise RuntimeError("broken on purpose")
        return super().training_step(batch, batch_idx)

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        step = self.trainer.global_step
        loss = 3.0 * step if self.global_rank == 0 else -1.0 * step
        self.log("val_loss", math.nan if self.global_rank == self.nan_rank else loss, sync_dist=self.synced)


class Sharded(Ranked):
    """Wraps its layer with FSDP2."""

    def __init__(self) -> None:
        super().__init__()
        del self.weight, self.bias
        self.layer = torch.nn.Linear(4, 4, bias=False)

    def configure_model(self) -> None:
        from torch.distributed.fsdp import fully_shard

        if not isinstance(next(self.layer.parameters()), torch.distributed.tensor.DTensor):
            fully_shard(self.layer, mesh=self.device_mesh["data_parallel"])  # type: ignore[index]

    def training_step(self, batch: Tensor, batch_idx: int) -> Any:
        self.batches += 1
        return self.layer(batch.expand(-1, 4)).sum()

    def configure_optimizers(self) -> Optimizer:
        return SGD(self.layer.parameters(), lr=LR)


class Writes(Stranger):
    """Writes the lrs that this rank used when the fit ends, whatever process it runs in."""

    def __init__(self, folder: Path, scenario: str, **more: Callable[[], Any]) -> None:
        super().__init__()
        self.folder, self.scenario, self.more = folder, scenario, more

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        seen = {"lrs": self.group(), "real_steps": [trainer.global_step]}
        seen |= {name: look() for name, look in self.more.items()}
        (self.folder / f"{self.scenario}-{trainer.global_rank}.json").write_text(json.dumps(seen))


class Counts(Callback):
    """Counts this process's collectives from the start of each training batch to the next."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.steps: list[int] = []

    def on_train_batch_start(self, *_: Any) -> None:
        self.steps.append(self.calls.total())

    def per_step(self) -> list[int]:
        return [after - before for before, after in zip(self.steps, self.steps[1:], strict=False)]

    def install(self) -> None:
        for module in (dist, dist.distributed_c10d):
            for name in COLLECTIVES:
                setattr(module, name, self._counted(name, getattr(module, name)))

    def _counted(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls[name] += 1
            return function(*args, **kwargs)

        return call


def schedule() -> LearningRateScheduler:
    return LearningRateScheduler(SGDR(5), warmup="10%")


class Scenarios:
    """What can be fitted, on whatever processes the script was started with."""

    def __init__(self, folder: Path, strategy: str, devices: int, nodes: int) -> None:
        self.folder = folder
        self.sharded = strategy == "model_parallel"
        self.settings: dict[str, Any] = {"strategy": strategy, "devices": devices, "num_nodes": nodes}

    def fit(self, *callbacks: Callback, module: Tiny | None = None, path: Path | None = None, **more: Any) -> L.Trainer:
        given = self.settings | {"accumulate_grad_batches": 2} | more
        if self.sharded:
            given["strategy"] = ModelParallelStrategy(data_parallel_size=2, tensor_parallel_size=1)
        trainer = make_trainer(self.folder, *callbacks, **given)
        module = module or (Sharded() if self.sharded else Ranked())
        trainer.fit(module, loader(40), loader(2), ckpt_path=path)
        return trainer

    def plain(self) -> None:
        self.fit(schedule(), Writes(self.folder, "plain"), SavesAt(7, self.folder / "half.ckpt"))

    def resumed(self) -> None:
        self.fit(schedule(), Writes(self.folder, "resumed"), path=self.folder / "half.ckpt")

    def tracked(self) -> None:
        tracker, kept = MLflowTracker(f"sqlite:///{self.folder / 'mlflow.db'}", "study"), CycleCheckpoint("val_loss")
        writes = Writes(self.folder, "tracked", paths=lambda: kept.best_model_paths)
        self.fit(tracker, schedule(), kept, writes, val_check_interval=4)

    def brought_back(self) -> None:
        """Write what this process, which has trained itself or started those that did, knows afterwards."""
        kept = CycleCheckpoint("val_loss", dirpath=self.folder / "kept")
        writes = Writes(self.folder, "brought_back", best=lambda: kept.best_model_path)
        self.fit(schedule(), kept, writes, val_check_interval=4)
        (self.folder / "brought_back.txt").write_text(kept.best_model_path)

    def plateau(self) -> None:
        self._plateau("plateau", Ranked())

    def unsynced(self) -> None:
        self._plateau("unsynced", Ranked(synced=False))

    def nan(self) -> None:
        self._plateau("nan", Ranked(nan_rank=1))

    def _plateau(self, name: str, module: Tiny) -> None:
        plan = LearningRateScheduler(Plateau("val_loss", patience=0, factor=0.5))
        self.fit(plan, Writes(self.folder, name), module=module, max_epochs=4)

    def broken_tracker(self) -> None:
        tracker = MLflowTracker(f"sqlite:////proc/nowhere/{'x' * 8}.db", "study", flush_timeout=1.0)
        self.fit(tracker, schedule(), Writes(self.folder, "broken_tracker"))

    def raises_on_0(self) -> None:
        self._raises(0)

    def raises_on_1(self) -> None:
        self._raises(1)

    def _raises(self, rank: int) -> None:
        tracker = MLflowTracker(f"sqlite:///{self.folder / 'mlflow.db'}", "study")
        self.fit(tracker, schedule(), Writes(self.folder, "raises"), module=Ranked(raising_rank=rank))

    def collectives(self) -> None:
        counts = Counts()
        counts.install()
        counted: dict[str, list[int]] = {}
        tracker = MLflowTracker(f"sqlite:///{self.folder / 'counted.db'}", "study")
        for name, ours in (("without", []), ("with", [schedule(), tracker])):
            counts.steps = []
            self.fit(*ours, counts, limit_val_batches=0)
            counted[name] = counts.per_step()
        rank = dist.get_rank()
        (self.folder / f"collectives-{rank}.json").write_text(json.dumps(counted | {"calls": counts.calls}))


def play(made: object, scenarios: Sequence[str]) -> None:
    """Do the scenarios one after the other, and leave the group of processes."""
    for scenario in scenarios:
        getattr(made, scenario)()
    if dist.is_initialized():
        dist.destroy_process_group()
    time.sleep(0.3)


def main(folder: str, strategy: str, devices: str, nodes: str, *scenarios: str) -> None:
    play(Scenarios(Path(folder), strategy, int(devices), int(nodes)), scenarios)


if __name__ == "__main__":
    main(*sys.argv[1:])
