"""What a preview of a million steps costs, ours against stepping torch's schedulers, in one run."""

from typing import Any

import numpy as np
import torch
from torch.optim import SGD
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts, LinearLR, SequentialLR

from lightning_lrsched import SGDR, Plan, RunLength
from lightning_lrsched.preview.curve import steps_to_draw

STEPS, WARMUP, LR = 10**6, 50_000, 0.1
RUN = RunLength(STEPS, 1000)
PLAN = Plan(SGDR(10_000, T_mult=2), warmup=WARMUP)


def preview() -> None:
    timeline = PLAN.resolve(RUN)
    timeline.lr(steps_to_draw(timeline), LR)


def whole_curve() -> None:
    PLAN.resolve(RUN).lr(np.arange(STEPS), LR)


def stepped() -> None:
    optimizer = SGD([torch.zeros(1)], lr=LR)
    parts = [LinearLR(optimizer, 0.01, total_iters=WARMUP), CosineAnnealingWarmRestarts(optimizer, 10_000, 2)]
    scheduler = SequentialLR(optimizer, parts, milestones=[WARMUP])
    optimizer.step()
    for _ in range(STEPS):
        scheduler.step()


def test_preview(benchmark: Any) -> None:
    benchmark.group, benchmark.extra_info["name"] = "a million steps", "ours, what is drawn"
    benchmark.pedantic(preview, rounds=50, warmup_rounds=1)


def test_whole_curve(benchmark: Any) -> None:
    benchmark.group, benchmark.extra_info["name"] = "a million steps", "ours, every value"
    benchmark.pedantic(whole_curve, rounds=5)


def test_stepped(benchmark: Any) -> None:
    benchmark.group, benchmark.extra_info["name"] = "a million steps", "torch Sequential, stepped"
    benchmark.pedantic(stepped, rounds=1)
