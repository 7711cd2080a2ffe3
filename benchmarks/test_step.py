"""What one step of a schedule costs, ours against the peers', in one run: ``make bench`` prints the table.

Each function advances a warmed-up schedule by one step and writes the lr into every group. The floor is what no
schedule can be cheaper than in Python: one cosine and a loop that assigns.
"""

import importlib.util
import math
import sys
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

import pytest
import torch
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    LinearLR,
    OneCycleLR,
    SequentialLR,
)

from lightning_lrsched import SGDR, Plan, RunLength
from lightning_lrsched.scheduler import PlannedScheduler
from lightning_lrsched.tracks import Groups, Track

TOTAL, LR = 10**7, 0.1
Step = Callable[[], Any]


def optimizer(groups: int) -> Optimizer:
    return SGD([{"params": [torch.zeros(1)], "lr": LR} for _ in range(groups)], lr=LR)


def floor(groups: int) -> Step:
    pairs = [(group, LR) for group in optimizer(groups).param_groups]
    count = [0]

    def step(cos: Callable[[float], float] = math.cos, scale: float = math.pi / TOTAL) -> None:
        count[0] += 1
        factor = 0.5 + 0.5 * cos(scale * count[0])
        for group, base in pairs:
            group["lr"] = base * factor

    return step


def planned(groups: int) -> PlannedScheduler:
    timeline = Plan(SGDR(10_000, T_mult=2), warmup=100).resolve(RunLength(TOTAL))
    scheduler = PlannedScheduler(optimizer(groups), [Track(timeline, "lr", Groups())], {})
    scheduler.arm(500)
    return scheduler


def ours(groups: int) -> Step:
    made = planned(groups).optimizer
    [after] = made._optimizer_step_post_hooks.values()
    return partial(after, made, (), {})


def ours_with_both_hooks(groups: int) -> Step:
    made = planned(groups).optimizer
    [before], [after] = made._optimizer_step_pre_hooks.values(), made._optimizer_step_post_hooks.values()
    what: tuple[Any, ...] = (made, (), {})

    def step() -> None:
        before(*what)
        after(*what)

    return step


def stepped(make: Callable[[Optimizer], Any]) -> Callable[[int], Step]:
    def build(groups: int) -> Step:
        made = optimizer(groups)
        scheduler = make(made)
        for _ in range(200):
            made.step()
            scheduler.step()
        return scheduler.step  # type: ignore[no-any-return]

    return build


def torch_sequential(made: Optimizer) -> SequentialLR:
    parts = [LinearLR(made, 0.01, total_iters=100), CosineAnnealingWarmRestarts(made, 10_000, 2)]
    return SequentialLR(made, parts, milestones=[100])


def transformers_cosine(groups: int) -> Step:
    transformers = pytest.importorskip("transformers", reason="make bench installs it")
    return stepped(lambda made: transformers.get_cosine_schedule_with_warmup(made, 100, TOTAL))(groups)


def pytorch_warmup(groups: int) -> Step:
    library = pytest.importorskip("pytorch_warmup", reason="make bench installs it")
    made = optimizer(groups)
    scheduler, warmup = CosineAnnealingLR(made, TOTAL), library.LinearWarmup(made, 100)
    made.step()

    def step() -> None:
        with warmup.dampening():
            scheduler.step()

    return step


def timm_cosine(groups: int) -> Step:
    if "timm" not in sys.modules:
        found = importlib.util.find_spec("timm")
        if found is None:
            pytest.skip("make bench installs it")
        package = ModuleType("timm")  # its own would import models, and torchvision with them
        package.__path__ = list(found.submodule_search_locations or ())
        sys.modules["timm"] = package
    module = importlib.import_module("timm.scheduler.cosine_lr")
    scheduler = module.CosineLRScheduler(optimizer(groups), TOTAL, warmup_t=100, t_in_epochs=False)
    count = [200]

    def step() -> None:
        count[0] += 1
        scheduler.step_update(count[0])

    return step


def ignite(warmup: int) -> Callable[[int], Step]:
    def build(groups: int) -> Step:
        handlers = pytest.importorskip("ignite.handlers", reason="make bench installs it")
        engine = pytest.importorskip("ignite.engine").Engine(lambda engine, batch: None)
        made = optimizer(groups)
        schedule = handlers.CosineAnnealingScheduler
        parts = [schedule(made, "lr", LR, 0.0, TOTAL, param_group_index=index) for index in range(groups)]
        if warmup:
            parts = [handlers.create_lr_scheduler_with_warmup(part, 0.001, warmup) for part in parts]
        scheduler = handlers.ParamGroupScheduler(parts) if groups > 1 else parts[0]
        for _ in range(2 * warmup):
            scheduler(engine)
        return partial(scheduler, engine)

    return build


CONTENDERS: dict[str, Callable[[int], Step]] = {
    "floor": floor,
    "ours": ours,
    "ours, both hooks": ours_with_both_hooks,
    "torch CosineAnnealingLR": stepped(lambda made: CosineAnnealingLR(made, TOTAL)),
    "torch Sequential(Linear, WarmRestarts)": stepped(torch_sequential),
    "torch OneCycleLR": stepped(lambda made: OneCycleLR(made, LR, total_steps=TOTAL, cycle_momentum=False)),
    "transformers cosine": transformers_cosine,
    "pytorch_warmup + CosineAnnealingLR": pytorch_warmup,
    "timm CosineLRScheduler": timm_cosine,
    "ignite cosine": ignite(0),
    "ignite warmup + cosine": ignite(100),
}


@pytest.mark.parametrize("groups", [1, 8, 100, 1000])
@pytest.mark.parametrize("name", CONTENDERS)
def test_step(benchmark: Any, name: str, groups: int) -> None:
    benchmark.group = f"one step, {groups} groups"
    benchmark.extra_info["name"] = name
    iterations = 8192 if groups == 1 else max(20, 2000 // groups)  # of one group, ours computes 4,096 steps at once
    benchmark.pedantic(CONTENDERS[name](groups), rounds=100, iterations=iterations, warmup_rounds=2)


@pytest.mark.parametrize("step", [0, 10**6, 10**9])
def test_a_restart_costs_the_same_anywhere(benchmark: Any, step: int) -> None:
    timeline = Plan(SGDR(10)).resolve(RunLength())
    benchmark.group = "lr at a restart, 10^8 cycles before it or none"
    benchmark.extra_info["name"] = f"step {step:.0e}"
    benchmark.pedantic(timeline.lr, (step, LR), rounds=100, iterations=500, warmup_rounds=2)
