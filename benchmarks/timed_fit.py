"""The process that trains for `tracking_faults.py`, and times what the tracker does in the training thread.

It imports once, and fits what each line of its input asks for, one job after the other. Its output has a line of JSON
for each event, and one with the result.
"""

import gc
import json
import logging
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).parents[1]))
_RECORD = bytes(100)
HOOKS = ("on_fit_start", "on_train_batch_start", "on_validation_end", "on_train_epoch_end")


def fit(  # noqa: PLR0917
    folder: str, uri: str | None, steps: int, groups: int, work: float, events: list[int], settings: dict[str, Any]
) -> dict[str, Any]:
    """Fit once, with the tracker or without; return the weights and what each step paid.

    After the steps ``events`` it tells the same, and waits until the fault is there: the answer, a process that is
    killed meanwhile, or ``{"raise": message}``, an exception in the module.
    """
    import torch

    gc.collect()  # what the fits before have left: it is not this one's

    from lightning_lrsched import SGDR, LearningRateScheduler, MLflowTracker
    from tests.callbacks.models import Tiny, loader, make_trainer

    def configure(module: Tiny) -> torch.optim.Optimizer:
        more: list[dict[str, Any]] = [
            {"params": [torch.nn.Parameter(torch.zeros(1))], "lr": 0.1 / (index + 2)} for index in range(groups - 1)
        ]
        optimizer = torch.optim.SGD([{"params": module.parameters()}, *more], lr=0.1)
        if not tracker:
            optimizer.register_step_post_hook(times.nothing)
        return optimizer

    times, module = Times(), Tiny(configure)
    schedule = LearningRateScheduler(SGDR("20%"), warmup="5%")
    given = {"deliver_every": 0.5, "request_timeout": 15.0, "flush_timeout": 10.0} | settings
    tracker = [] if uri is None else [MLflowTracker(uri, "faults", **given)]

    def so_far() -> dict[str, Any]:
        run = tracker[0].run_id if tracker else None
        return {"weights": [module.weight.item(), module.bias.item()], "run": run} | times.summary()

    pace = pacer(times, operations(work), Path(folder).parent / "appended", set(events), so_far, alone=not tracker)
    with timed(times):
        make_trainer(Path(folder), schedule, *tracker, pace, max_epochs=2).fit(module, loader(steps // 2))
    return so_far() | {"then": pace.then}


class Times:
    """What each step pays for tracking, in nanoseconds, and how long it was held up."""

    def __init__(self) -> None:
        self.wall: list[int] = []
        self.cpu: list[int] = []
        self.whole: list[int] = []
        self.append: list[int] = []
        self.held: list[int] = []
        self._begin = time.perf_counter_ns()
        self._cpu = time.thread_time_ns()
        self._collecting = 0
        self._step = [0, 0]

    def add(self, wall: int, cpu: int) -> None:
        """Count what was done once, with what the clocks take."""
        self._step[0] += wall
        self._step[1] += cpu

    def nothing(self, *_: object) -> None:
        """Time what does nothing: in a fit without a tracker, in the two places where each step has something of it."""
        clocked(self, int)()

    def begin_step(self) -> None:
        """Open a step."""
        self._collecting = 0
        self._cpu = time.thread_time_ns()
        self._begin = time.perf_counter_ns()

    def collect(self, phase: str, _: dict[str, int]) -> None:
        """Count a garbage collection in the training thread, as a callback of the collector."""
        if threading.current_thread() is threading.main_thread():
            now = time.perf_counter_ns()
            self._collecting += now if phase == "stop" else -now

    def end_step(self) -> None:
        """Close a step."""
        self.whole.append(time.perf_counter_ns() - self._begin)
        self.held.append(self.whole[-1] - (time.thread_time_ns() - self._cpu) + self._collecting)
        self.wall.append(self._step[0])
        self.cpu.append(self._step[1])
        self._step = [0, 0]

    def summary(self) -> dict[str, float]:
        """Return medians in microseconds and the largest in milliseconds, the first step apart."""
        return {
            "opening": self.wall[0] / 1e6,
            "wall": median(self.wall[1:]) / 1e3,
            "cpu": median(self.cpu[1:]) / 1e3,
            "worst": max(self.wall[1:]) / 1e6,
            "worst_cpu": max(self.cpu[1:]) / 1e6,
            "step": median(self.whole[1:]) / 1e6,
            "whole": max(self.whole[1:]) / 1e6,
            "held": max(self.held[1:]) / 1e6,
            "append": median(self.append) / 1e3,
        }


@contextmanager
def timed(times: Times) -> Iterator[None]:
    """Time everything that the tracker does in the training thread."""
    from lightning_lrsched import MLflowTracker
    from lightning_lrsched.scheduler import RealStepScheduler

    own: list[tuple[type, str]] = [*((MLflowTracker, name) for name in HOOKS), (RealStepScheduler, "_show")]
    with ExitStack() as stack:
        for kind, name in own:
            stack.enter_context(patch.object(kind, name, clocked(times, getattr(kind, name))))
        gc.callbacks.append(times.collect)
        stack.callback(gc.callbacks.remove, times.collect)
        yield


def clocked(times: Times, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that is timed."""

    def call(*given: Any, **named: Any) -> Any:
        cpu, wall = time.thread_time_ns(), time.perf_counter_ns()
        try:
            return function(*given, **named)
        finally:
            end = time.perf_counter_ns()
            times.add(end - wall, time.thread_time_ns() - cpu)

    return call


def operations(work: float) -> int:
    """Return how many products of two small matrices take some milliseconds: each one lets go of the interpreter."""
    import torch

    factor = torch.ones(100, 100)
    seen: list[int] = []
    for _ in range(2000):
        begin = time.perf_counter_ns()
        factor @ factor
        seen.append(time.perf_counter_ns() - begin)
    return round(work * 1e6 / median(seen))


def pacer(
    times: Times, count: int, path: Path, events: set[int], so_far: Callable[[], dict[str, Any]], *, alone: bool
) -> Any:
    """Return a callback that does ``count`` operations in each step, closes it, and tells what there is at an event.

    Between two steps it appends 100 bytes to a file, and times that alone: a call of the system that takes as long as
    the machine is slow just then. ``alone`` says that there is no tracker, and the clocks are to be timed in its place.
    """
    import torch
    from lightning.pytorch.callbacks import Callback

    class Pacer(Callback):
        def __init__(self) -> None:
            self.work = torch.ones(100, 100)
            self.then: dict[str, Any] = {}
            self.file = path.open("ab", buffering=0)

        def on_train_batch_start(self, *_: object) -> None:
            if alone:
                times.nothing()

        def on_train_batch_end(self, trainer: Any, *_: object) -> None:
            for _repeat in range(count):
                self.work @ self.work
            times.end_step()
            begin = time.perf_counter_ns()
            os.write(self.file.fileno(), _RECORD)
            times.append.append(time.perf_counter_ns() - begin)
            if trainer.global_step in events:
                self.then = so_far()
                tell({"event": trainer.global_step, "then": self.then})
                answer = json.loads(sys.stdin.readline())  # when the fault is there
                if "raise" in answer:
                    raise RuntimeError(answer["raise"])
            times.begin_step()

        def on_fit_end(self, *_: object) -> None:
            self.file.close()

    return Pacer()


def quiet() -> None:
    """Leave the output to the results."""
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    warnings.filterwarnings("ignore")
    for name in ("lightning.pytorch", "lightning.pytorch.utilities.rank_zero", "mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def tell(line: dict[str, Any]) -> None:
    """Write a line of JSON."""
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what is in the background without it
    quiet()
    for line in sys.stdin:
        tell({"result": fit(**json.loads(line))})
