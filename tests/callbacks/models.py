"""Modules, loaders and callbacks that the tests of real fits share."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint
from torch import Tensor
from torch.optim import SGD, Optimizer
from torch.utils.data import DataLoader, Dataset, IterableDataset

from lightning_lrsched import LearningRateScheduler, Timeline

LR = 0.1


class Rows(Dataset[Tensor]):
    """Rows of ones, and their number."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Tensor:
        if index >= self.count:
            raise IndexError(index)
        return torch.ones(1)


class Stream(IterableDataset[Tensor]):
    """The same rows without a length."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __iter__(self) -> Iterator[Tensor]:
        return iter(torch.ones(self.count, 1))


class SizedStream(Stream):
    """A stream that knows its length."""

    def __len__(self) -> int:
        return self.count


def loader(batches: int, batch_size: int = 1) -> DataLoader[Tensor]:
    return DataLoader(Rows(batches * batch_size), batch_size=batch_size)


def wavy(step: int) -> float:
    """A validation loss that goes up and down, a different one at every step."""
    return ((step * 7919 + 13) % 101) / 101


class Tiny(L.LightningModule):
    """One weight and one bias with gradient 1 each, so that SGD moves them by exactly the lr of each real step.

    Args:
        configure: what ``configure_optimizers`` returns, made from the module; SGD at `LR` if None.
        score: the validation loss, by the optimizer steps taken so far.
    """

    def __init__(
        self, configure: "Callable[[Tiny], Any] | None" = None, score: Callable[[int], float] = wavy, lr: float = LR
    ) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.bias = torch.nn.Parameter(torch.zeros(1))
        self.configure = configure
        self.score = score
        self.lr = lr
        self.scores: list[tuple[int, float]] = []
        self.batches = 0

    def training_step(self, batch: Tensor, batch_idx: int) -> Any:
        self.batches += 1
        return (self.weight + self.bias).sum()

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        score = self.score(self.trainer.global_step)
        if not self.trainer.sanity_checking:
            self.scores.append((self.trainer.global_step, score))
        self.log("val_loss", score)

    def configure_optimizers(self) -> Any:
        return SGD(self.parameters(), lr=self.lr) if self.configure is None else self.configure(self)

    def train_dataloader(self) -> Any:
        return loader(10)

    def val_dataloader(self) -> Any:
        return loader(1)


def two_groups(module: Tiny) -> Optimizer:
    """One group for each parameter, the second at a fifth of the lr."""
    groups: list[dict[str, Any]] = [{"params": [module.weight]}, {"params": [module.bias], "lr": LR / 5}]
    return SGD(groups, lr=LR)


class Stranger(Callback):
    """Records what every optimizer's groups held at each call of its ``step``; it knows nothing of the package."""

    def __init__(self) -> None:
        self.lrs: dict[int, list[list[float]]] = {}
        self.momenta: list[float] = []
        self._handles: list[Any] = []

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        for index, optimizer in enumerate(trainer.optimizers):
            self._handles.append(optimizer.register_step_pre_hook(self._recorder(self.lrs.setdefault(index, []))))

    def _recorder(self, lrs: list[list[float]]) -> Callable[[Optimizer, Any, Any], None]:
        def record(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
            lrs.append([float(group["lr"]) for group in optimizer.param_groups])
            group = optimizer.param_groups[0]
            self.momenta.append(float(group["betas"][0] if "betas" in group else group.get("momentum", 0.0)))

        return record

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self.let_go()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        self.let_go()

    def let_go(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def group(self, index: int = 0, optimizer: int = 0) -> list[float]:
        """The lr of one group at every step."""
        return [lrs[index] for lrs in self.lrs.get(optimizer, [])]


def make_trainer(folder: Path, *callbacks: Callback, **given: Any) -> L.Trainer:
    """A quiet Trainer on one CPU."""
    settings: dict[str, Any] = {
        "accelerator": "cpu",
        "devices": 1,
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": any(isinstance(callback, Checkpoint) for callback in callbacks),
        "num_sanity_val_steps": 0,
        "default_root_dir": folder,
        "max_epochs": 2,
        "callbacks": list(callbacks),
    }
    return L.Trainer(**(settings | given))


def expected(timeline: Timeline | LearningRateScheduler | None, count: int, base_lr: float = LR) -> list[float]:
    """The lr of the first steps of a timeline."""
    timeline = timeline.timeline if isinstance(timeline, LearningRateScheduler) else timeline
    assert timeline is not None
    return [timeline.lr(step, base_lr) for step in range(count)]
