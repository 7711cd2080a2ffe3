"""A compiled ``optimizer.step`` uses the lr of the plan, and is not compiled again for each."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch._dynamo.utils import counters
from torch.optim import AdamW, Optimizer

from lightning_lrsched import Cosine, CycleCheckpoint, LearningRateScheduler, Plan, RunLength
from tests.callbacks.models import LR, Stranger, Tiny, expected, make_trainer

pytestmark = [  # torch's own, of its compiler
    pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated"),
    pytest.mark.filterwarnings("ignore:.*Profiler record function"),
]
STEPS = 12


def forget() -> None:
    """Begin again with nothing compiled."""
    torch._dynamo.reset()
    counters.clear()


@pytest.fixture(autouse=True)
def afresh() -> None:
    """Nothing is compiled yet."""
    forget()


class Compiled(Tiny):
    """Steps its optimizer in a compiled function; the backend runs graphs as they are."""

    def __init__(self, lr: Any) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.given = lr

    def configure_optimizers(self) -> Optimizer:
        optimizer = AdamW(self.parameters(), lr=self.given)
        self.step = torch.compile(optimizer.step, backend="eager")
        return optimizer

    def training_step(self, batch: Any, batch_idx: int) -> None:
        for parameter in (self.weight, self.bias):
            parameter.grad = torch.ones_like(parameter)
        self.step()


def fit(folder: Path, lr: Any) -> list[float]:
    stranger, callback = Stranger(), LearningRateScheduler(Cosine(), warmup=3, total_steps=STEPS)
    module = Compiled(lr)
    make_trainer(folder, callback, stranger, max_epochs=1, limit_train_batches=10).fit(module)
    assert callback.schedulers[0].real_steps == 10
    moved = -module.weight.item()
    assert moved == pytest.approx(sum(planned()[:10]), rel=0.05)  # each step of Adam with gradient 1 moves by its lr
    return stranger.group()


def planned() -> list[float]:
    return expected(Plan(Cosine(), warmup=3).resolve(RunLength(STEPS)), STEPS)


def test_a_tensor_lr_needs_no_second_compilation(tmp_path: Path) -> None:
    assert fit(tmp_path, torch.tensor(LR)) == pytest.approx(planned()[:10], rel=1e-6)
    assert counters["stats"]["unique_graphs"] <= 2  # the first step also makes the optimizer's state


def test_a_float_lr_follows_the_plan_too(tmp_path: Path) -> None:
    assert fit(tmp_path, LR) == planned()[:10]


@pytest.mark.parametrize("lr", [LR, torch.tensor(LR)], ids=["float", "tensor"])
def test_what_counts_without_a_plan_stays_out_of_the_compiled_step(tmp_path: Path, lr: Any) -> None:
    def frames(*callbacks: Callback) -> int:
        forget()
        make_trainer(tmp_path, *callbacks, max_epochs=1, limit_train_batches=10).fit(Compiled(lr))
        return int(counters["frames"]["total"])

    checkpoint = CycleCheckpoint(every=4)
    alone = frames()
    assert frames(checkpoint) <= alone + 2  # the hook, and the step after it
    assert [row.end.step for row in checkpoint.finished_cycles if row.end] == [4, 8, 10]
