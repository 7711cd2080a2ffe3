"""What a training step of a real fit costs: Lightning's native pair against this package, in one run.

``python benchmarks/fit_cost.py [STEPS] [ROUNDS]`` fits the same tiny module in turn, ROUNDS times each, with

- nothing: no scheduler and no logger,
- two callbacks that do nothing: what Lightning spends on calling their hooks,
- native: torch's CosineAnnealingLR by step, and LearningRateMonitor("step") with a logger that keeps nothing,
- ours: LearningRateScheduler alone,
- ours, tracked: LearningRateScheduler and MLflowTracker on sqlite,

and prints, as a Markdown table, the median time of a training step, from the start of a batch to the start of the next:
on the clock, and as CPU time of the training thread, which other work on the machine does not reach. The last column is
the own time: the sum, on the clock, of what a step spends inside the scheduler's and the callbacks' own functions,
taken in further fits in which each of these functions is wrapped in two looks at the clock.
"""

import logging
import platform
import sys
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple
from unittest.mock import patch

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, LearningRateMonitor
from lightning.pytorch.loggers.logger import DummyLogger
from torch import Tensor
from torch.optim import SGD
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.utils.data import DataLoader, TensorDataset

from lightning_lrsched import Cosine, LearningRateScheduler, MLflowTracker
from lightning_lrsched.scheduler import PlannedScheduler

LR, LEFT_OUT = 0.1, 200  # steps at the start that are not counted
OWN: tuple[tuple[type, str], ...] = (
    (CosineAnnealingLR, "step"),
    (LearningRateMonitor, "on_train_batch_start"),
    (LearningRateScheduler, "on_train_batch_start"),
    (PlannedScheduler, "_before_step"),
    (PlannedScheduler, "_after_step"),
    (MLflowTracker, "on_train_batch_start"),
)


class Tiny(L.LightningModule):
    """One linear layer of two weights; with a scheduler of torch's if asked."""

    def __init__(self, steps: int, *, native: bool) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)
        self.steps, self.native = steps, native

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Any:
        return self.layer(batch[0]).sum()

    def configure_optimizers(self) -> Any:
        optimizer = SGD(self.parameters(), lr=LR)
        if not self.native:
            return optimizer
        scheduler = CosineAnnealingLR(optimizer, self.steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


class Step(NamedTuple):
    """What one training step took, in microseconds: on the clock, of this thread's CPU, in the functions of `OWN`."""

    wall: float
    cpu: float
    own: float


class Stopwatch(Callback):
    """Notes when each batch starts, and what `meter` has counted until then."""

    def __init__(self, meter: list[int]) -> None:
        self.meter = meter
        self.starts: list[tuple[int, int, int]] = []

    def on_train_batch_start(self, *_: Any) -> None:
        self.starts.append((time.perf_counter_ns(), time.thread_time_ns(), self.meter[0]))

    def steps(self) -> list[Step]:
        """Return what each step took, after the first ones."""
        return [
            Step(*((later - earlier) / 1e3 for earlier, later in zip(before, after, strict=True)))
            for before, after in pairwise(self.starts[LEFT_OUT:])
        ]


@contextmanager
def metered(meter: list[int]) -> Iterator[None]:
    """Have the functions of `OWN` add the nanoseconds that they take to the meter."""

    def timed(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter_ns()
            result = function(*args, **kwargs)
            meter[0] += time.perf_counter_ns() - start
            return result

        return call

    with ExitStack() as stack:
        for owner, name in OWN:
            stack.enter_context(patch.object(owner, name, timed(getattr(owner, name))))
        yield


class Keeps(DummyLogger):
    """A logger that takes metrics and keeps none: what LearningRateMonitor costs, and no file system."""


class First(Callback):
    """Does nothing."""


class Second(Callback):
    """Does nothing either."""


def measure(steps: int, folder: Path, meter: list[int], callbacks: list[Callback], *, native: bool) -> list[Step]:
    """Fit once; return what its steps took."""
    watch = Stopwatch(meter)
    trainer = L.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=1,
        logger=Keeps() if native else False,
        log_every_n_steps=1,
        callbacks=[watch, *callbacks],
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        default_root_dir=folder,
    )
    trainer.fit(Tiny(steps, native=native), DataLoader(TensorDataset(torch.ones(steps, 2)), batch_size=1))
    return watch.steps()


def contenders(folder: Path) -> dict[str, tuple[bool, Callable[[], list[Callback]]]]:
    """Return for each row of the table whether torch's scheduler is used, and the callbacks."""

    def ours() -> list[Callback]:
        return [LearningRateScheduler(Cosine(), warmup="5%")]

    store = f"sqlite:///{folder / 'mlflow.db'}"
    return {
        "nothing": (False, list),
        "two callbacks that do nothing": (False, lambda: [First(), Second()]),
        "native: CosineAnnealingLR + LearningRateMonitor": (True, lambda: [LearningRateMonitor("step")]),
        "ours: LearningRateScheduler": (False, ours),
        "ours, tracked: and MLflowTracker on sqlite": (False, lambda: [*ours(), MLflowTracker(store, "cost")]),
    }


def main(steps: int = 1500, rounds: int = 5) -> dict[str, Step]:
    """Measure in turn, print the table and return the medians of each row."""
    warnings.filterwarnings("ignore")
    for name in ("lightning.pytorch", "mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    plain: dict[str, list[Step]] = defaultdict(list)
    inside: dict[str, list[Step]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        rows = contenders(Path(folder))
        for _ in range(rounds):
            for name, (native, callbacks) in rows.items():
                plain[name] += measure(steps, Path(folder), [0], callbacks(), native=native)
                meter = [0]
                with metered(meter):
                    inside[name] += measure(steps, Path(folder), meter, callbacks(), native=native)
    medians = {
        name: Step(
            median(step.wall for step in plain[name]),
            median(step.cpu for step in plain[name]),
            median(step.own for step in inside[name]),
        )
        for name in rows
    }
    print(f"{rounds} fits of {steps} steps each, Python {platform.python_version()}, torch {torch.__version__}\n")
    print("\n".join(table(medians)))
    return medians


def table(medians: dict[str, Step]) -> Iterator[str]:
    """Yield the lines of the table; shares are of the native pair's."""
    nothing, native = (medians[name] for name in list(medians)[:3:2])
    yield "| what | us a step | over nothing | CPU us | over nothing | share | own time, us | share |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for name, (wall, cpu, own) in medians.items():
        more = cpu - nothing.cpu
        share, own_share = more / (native.cpu - nothing.cpu), own / native.own
        yield (
            f"| {name} | {wall:.1f} | {wall - nothing.wall:.1f} | {cpu:.1f} | {more:.1f} | {share:.2f} "
            f"| {own:.1f} | {own_share:.2f} |"
        )


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
