"""What CycleCheckpoint keeps over random runs, against a brute-force replay; and cut runs against whole ones."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts, CyclicLR

from lightning_lrsched import SGDR, CycleCheckpoint, Cyclic, LearningRateScheduler, TorchScheduler
from tests.callbacks.interruptions import SavesAt, Stops
from tests.callbacks.models import LR, Tiny, loader, make_trainer
from tests.callbacks.test_cycle_checkpoint import NEVER_KEPT, files, weight_in

Row = tuple[int, int | None, int | None, bool]


class Case(NamedTuple):
    """A random run: its plan, its checkpoint, and the cycle of every step (one more than the run has)."""

    plan: Callable[[], Callback] | None
    checkpoint: dict[str, Any]
    settings: dict[str, Any]
    labels: list[int]
    batches: int


def torch_labels(make: Callable[[Optimizer], Any], advances: int) -> list[int]:
    """The cycle at each advance of a torch scheduler, by running it: a new one begins where its own count wraps."""
    optimizer = SGD([torch.zeros(1)], lr=LR)
    scheduler, labels = make(optimizer), [0]
    for advance in range(1, advances):
        optimizer.step()
        scheduler.step()
        wrapped = scheduler.T_cur == 0 if hasattr(scheduler, "T_cur") else advance % int(scheduler.total_size) == 0
        labels.append(labels[-1] + wrapped)
    return labels


def draw_case(seed: int) -> Case:
    draw = Random(seed)
    batches, accumulate = draw.randint(4, 9), draw.choice([1, 1, 2, 3])
    per_epoch, epochs = -(-batches // accumulate), draw.randint(2, 4)
    total = per_epoch * epochs
    settings: dict[str, Any] = {"max_epochs": epochs, "accumulate_grad_batches": accumulate}
    if draw.random() < 0.3:
        settings["check_val_every_n_epoch"] = draw.randint(1, 2)
    elif draw.random() < 0.6:
        settings["val_check_interval"] = draw.randint(1, min(5, batches))
    else:
        settings |= {"val_check_interval": draw.randint(3, 11), "check_val_every_n_epoch": None}
    kind, length, warmup = draw.randint(0, 5), draw.randint(1, 5), draw.randint(0, 3)
    length = min(length, max(1, (total - warmup) // 2))
    before = warmup or None
    every: dict[str, Any] = {}
    plan: Callable[[], Callback] | None = None
    if kind == 0:
        mult = draw.choice([1, 2])
        plan = partial(LearningRateScheduler, SGDR(length, mult), warmup=before)
        labels = [0] * warmup + torch_labels(partial(CosineAnnealingWarmRestarts, T_0=length, T_mult=mult), total + 1)
    elif kind == 1:
        plan = partial(LearningRateScheduler, Cyclic(length), warmup=before)
        labels = [0] * warmup + [step // (2 * length) for step in range(total + 1)]
    elif kind == 2:
        every, labels = {"every": length}, [step // length for step in range(total + 1)]
    else:
        make: Callable[[Optimizer], Any] = (
            partial(CosineAnnealingWarmRestarts, T_0=length, T_mult=2)
            if kind < 5
            else partial(CyclicLR, base_lr=0.01, max_lr=LR, step_size_up=length, cycle_momentum=False)
        )
        interval = "epoch" if kind == 3 else "step"
        before = before if warmup < total else None
        plan = partial(LearningRateScheduler, TorchScheduler(make, interval), warmup=before)
        labels = [0] * warmup + torch_labels(make, total + 1)
        if interval == "epoch":
            by_advance, advances, labels = torch_labels(make, epochs + 1), 0, []
            for step in range(total + 1):
                advances += step > 0 and step % per_epoch == 0 and step > warmup
                labels.append(by_advance[advances])
    checkpoint = every | {
        "mode": draw.choice(["min", "max"]),
        "keep": draw.choice(["both", "both", "best", "end"]),
        "validate_at_end": draw.random() < 0.5,
        "save_weights_only": draw.random() < 0.3,
    }
    return Case(plan, checkpoint, settings, labels[: total + 1], batches)


def replay(case: Case, scores: list[tuple[int, float]]) -> list[Row]:
    """The choice of every cycle, by going through all steps and all validations for each of them."""
    keep, sign = case.checkpoint["keep"], 1 if case.checkpoint["mode"] == "min" else -1
    total, rows = len(case.labels) - 1, []
    for cycle in sorted(set(case.labels[:total])):
        steps = [step for step in range(total) if case.labels[step] == cycle]
        last = steps[-1] + 1
        mine = [(sign * score, step) for step, score in scores if steps[0] < step <= last]
        best = min(mine)[1] if mine and keep != "end" else None
        end = last if keep != "best" else None
        if best is not None or end is not None:
            rows.append((cycle, best, end, case.labels[last] > cycle))
    return rows


class Weights(Callback):
    """Records the weight after every step."""

    def __init__(self) -> None:
        self.after: dict[int, float] = {}

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        assert isinstance(pl_module, Tiny)
        self.after[trainer.global_step] = pl_module.weight.item()


def rows_of(checkpoint: CycleCheckpoint) -> list[Row]:
    return [
        (row.cycle, row.best.step if row.best else None, row.end.step if row.end else None, row.complete)
        for row in checkpoint.finished_cycles
    ]


def run(case: Case, folder: Path, *others: Callback, **fit: Any) -> tuple[CycleCheckpoint, Tiny, Weights]:
    checkpoint = CycleCheckpoint("val_loss", dirpath=folder, **case.checkpoint)
    module, weights, plan = Tiny(), Weights(), [case.plan()] if case.plan else []
    trainer = make_trainer(folder.parent, *plan, weights, checkpoint, *others, **case.settings)
    trainer.fit(module, loader(case.batches), **fit)
    return checkpoint, module, weights


@pytest.mark.filterwarnings(NEVER_KEPT)
@pytest.mark.parametrize("seed", range(30))
def test_what_is_kept_is_what_a_replay_chooses(tmp_path: Path, seed: int) -> None:
    case = draw_case(seed)
    checkpoint, module, weights = run(case, tmp_path / "kept")
    scores = {step: float(torch.tensor(score)) for step, score in module.scores}  # as Lightning stores them
    assert rows_of(checkpoint) == replay(case, module.scores)
    kept = [one for row in checkpoint.finished_cycles for one in row.kept]
    assert files(tmp_path / "kept") == sorted(one.path for one in kept)
    assert [weight_in(one.path) for one in kept] == [weights.after[one.step] for one in kept]
    assert [one.score for one in kept] == [scores.get(one.step) for one in kept]

    sign = 1 if checkpoint.mode == "min" else -1
    measured = [one for one in kept if one.score is not None]
    ends = [row.end for row in checkpoint.finished_cycles if row.complete and row.end is not None]
    chosen = min((e for e in ends if e.score is not None), key=lambda e: (sign * (e.score or 0), e.step), default=None)
    assert checkpoint.recommended == (chosen or (ends[-1] if ends else None))
    if measured:
        assert checkpoint.best_model_score == sign * min(sign * (one.score or 0) for one in measured)
    if checkpoint.validate_at_end:
        assert all(end.score is not None for end in ends)
        steps = [step for step, _ in module.scores]
        assert all(steps.count(end.step) >= 1 for end in ends)


@pytest.mark.filterwarnings(NEVER_KEPT, "ignore:You're resuming from a checkpoint that ended before the epoch")
@pytest.mark.parametrize("seed", range(100, 140))
def test_a_cut_run_ends_with_the_files_of_a_whole_one(tmp_path: Path, seed: int) -> None:
    case, draw = draw_case(seed), Random(-seed)
    total = len(case.labels) - 1
    saved = draw.randint(1, total - 1)
    stopped = min(total, saved + draw.choice([0, 0, 1, 2, 4, 7]))
    whole, _, weights = run(case, tmp_path / "whole")
    path = tmp_path / "saved" / "middle.ckpt"
    with pytest.raises(RuntimeError, match="power cut"):
        run(case, tmp_path / "cut", SavesAt(saved, path), Stops(stopped))
    resumed, _, _ = run(case, tmp_path / "cut", ckpt_path=path, weights_only=True)
    assert rows_of(resumed) == rows_of(whole)
    kept = [one for row in resumed.finished_cycles for one in row.kept]
    assert [(one.score, one.step) for one in kept] == [
        (one.score, one.step) for row in whole.finished_cycles for one in row.kept
    ]
    assert [weight_in(one.path) for one in kept] == [weights.after[one.step] for one in kept]
    assert [Path(file).name for file in files(tmp_path / "cut")] == [
        Path(file).name for file in files(tmp_path / "whole")
    ]
