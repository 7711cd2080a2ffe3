"""A loader that keeps a state goes on at its batch after a resume, with our callbacks as without them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from lightning_lrsched import Cosine, CycleCheckpoint, LearningRateScheduler
from tests.callbacks.models import Tiny, make_trainer

BATCHES = 10


class Numbered:
    """Yields its batches' numbers. Like torchdata's StatefulDataLoader it takes a state for its next iterator."""

    def __init__(self) -> None:
        self.first, self.yielded = 0, 0

    def __iter__(self) -> Iterator[Tensor]:
        first, self.first = self.first, 0
        return self._from(first)

    def _from(self, first: int) -> Iterator[Tensor]:
        for number in range(first, BATCHES):
            self.yielded = number + 1
            yield torch.tensor([float(number)])

    def state_dict(self) -> dict[str, int]:
        return {"yielded": self.yielded}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.first = state["yielded"]


class Sized(Numbered):
    """The same with a length, so that Lightning fetches no batch ahead."""

    def __len__(self) -> int:
        return BATCHES


class Notes(Tiny):
    """Notes which batches it trains."""

    def training_step(self, batch: Tensor, batch_idx: int) -> Any:
        self.numbers = [*getattr(self, "numbers", []), int(batch)]
        return super().training_step(batch, batch_idx)


class SavesAt(Callback):
    """Saves one checkpoint, after a step."""

    def __init__(self, step: int, path: Path) -> None:
        self.step, self.path = step, path

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.path)


def resumed(folder: Path, made: type[Numbered], step: int, ours: Callable[[], list[Callback]]) -> list[int]:
    """The batches that a run trains which goes on after so many steps."""
    path = folder / "half.ckpt"
    make_trainer(folder, *ours(), SavesAt(step, path)).fit(Notes(), made())
    module = Notes()
    make_trainer(folder, *ours()).fit(module, made(), ckpt_path=path)
    return list(module.numbers)


def nothing() -> list[Callback]:
    return []


OURS: list[Any] = [
    pytest.param(lambda: [LearningRateScheduler(Cosine(), warmup=3, total_steps=20)], id="schedule"),
    pytest.param(lambda: [CycleCheckpoint(every=5)], id="cycles"),
    pytest.param(lambda: [CycleCheckpoint(every=5), LearningRateScheduler(Cosine(), total_steps=20)], id="both"),
]


@pytest.mark.parametrize("ours", OURS)
@pytest.mark.parametrize("made", [Sized, Numbered])
@pytest.mark.parametrize("step", [6, 16])
def test_a_resume_trains_the_batches_that_it_trains_without_us(
    tmp_path: Path, made: type[Numbered], step: int, ours: Callable[[], list[Callback]]
) -> None:
    assert resumed(tmp_path, made, step, ours) == resumed(tmp_path, made, step, nothing)


def test_the_batches_of_a_resume_are_those_that_were_still_to_come(tmp_path: Path) -> None:
    assert resumed(tmp_path, Sized, 6, OURS[0].values[0]) == [*range(6, 10), *range(10)]
