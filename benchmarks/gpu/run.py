"""What can only be seen on a GPU: each part trains with LearningRateScheduler and compares every lr with the plan.

``python benchmarks/gpu/run.py [--output FILE] [--dry-run] [--steps N]`` needs torch, lightning and this package, and no
mlflow. Without CUDA it says so and ends with exit code 3; ``--dry-run`` runs on the CPU whatever can run there.
"""

import argparse
import logging
import os
import platform
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins.precision import MixedPrecision
from torch import Tensor
from torch.optim import AdamW, Optimizer
from torch.utils.data import DataLoader, TensorDataset

from lightning_lrsched import SGDR, Cosine, LearningRateScheduler

LR = 1e-3
SKIPPED = 3  # exit code without CUDA


@dataclass
class Bench:
    """What the parts share.

    Args:
        device: ``"cuda"``, or ``"cpu"`` in a dry run.
        steps: training steps of a fit.
        folder: where a fit may write.
        rows: what was found: part, what, value, and whether it is as it must be (None where nothing must be).
    """

    device: str
    steps: int
    folder: Path
    rows: list[tuple[str, str, str, bool | None]] = field(default_factory=list)

    def found(self, part: str, what: str, value: object, *, good: bool | None = None) -> None:
        """Keep a row of the table."""
        self.rows.append((part, what, str(value), good))


class Net(L.LightningModule):
    """A small regression; its optimizer is made by the part.

    Args:
        make: makes the optimizer from the parameters.
        overflow_every: scales the loss beyond float16 at every so many batches, 0 for never.
    """

    def __init__(self, make: Callable[[Any], Optimizer], overflow_every: int = 0) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(32, 64), torch.nn.ReLU(), torch.nn.Linear(64, 1))
        self.make, self.overflow_every = make, overflow_every
        self.used: list[float] = []
        self.starts: list[int] = []

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        loss: Tensor = (self.layers(batch[0]).float() - batch[1]).square().mean()
        if self.overflow_every and batch_idx % self.overflow_every == 1:
            return loss * 1e30  # its gradient is infinite once it is scaled
        return loss

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        self.starts.append(time.perf_counter_ns())

    def configure_optimizers(self) -> Optimizer:
        optimizer = self.make(self.parameters())
        optimizer.register_step_pre_hook(lambda *_: self.used.append(float(optimizer.param_groups[0]["lr"])))
        return optimizer


def fit(bench: Bench, module: Net, *callbacks: Callback, **given: Any) -> L.Trainer:
    """Fit a module for the bench's steps."""
    data = TensorDataset(torch.randn(bench.steps * 8, 32), torch.randn(bench.steps * 8, 1))
    trainer = L.Trainer(
        accelerator=bench.device,
        devices=1,
        max_epochs=1,
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=bench.folder,
        **given,
    )
    trainer.fit(module, DataLoader(data, batch_size=8))
    return trainer


def as_planned(schedule: LearningRateScheduler, used: list[float], base_lr: float) -> bool:
    """Return whether every step used the plan's lr, within the precision of a float32 lr."""
    timeline = schedule.timeline
    planned = [] if timeline is None else [timeline.lr(step, base_lr) for step in range(len(used))]
    return bool(used) and all(abs(lr - right) <= 1e-6 * base_lr for lr, right in zip(used, planned, strict=True))


def amp(bench: Bench) -> None:
    """fp16 with a GradScaler that overflows: skipped updates are no steps, plain and fused."""
    for fused in (False, True):
        part = f"AMP fp16, {'fused' if fused else 'plain'} AdamW"
        scaler = torch.amp.GradScaler(bench.device, init_scale=2.0**16)
        precision = MixedPrecision("16-mixed", bench.device, scaler=scaler)
        schedule = LearningRateScheduler(SGDR("20%"), warmup="5%")
        module = Net(partial(AdamW, lr=LR, fused=fused), overflow_every=7)
        trainer = fit(bench, module, schedule, plugins=[precision])
        steps = schedule.schedulers[0].real_steps
        state = trainer.optimizers[0].state
        updates = int(max(float(values["step"]) for values in state.values()))
        skipped = bench.steps - updates
        bench.found(part, "updates that the scaler skipped", f"{skipped} of {bench.steps}", good=skipped > 0)
        bench.found(part, "real steps counted, updates made", f"{steps}, {updates}", good=steps == updates)
        timeline = schedule.timeline
        held = float(trainer.optimizers[0].param_groups[0]["lr"])
        right = timeline is not None and abs(held - timeline.lr(steps, LR)) <= 1e-6 * LR
        bench.found(part, "lr after the run is the plan's at that step", f"{held:.6g}", good=right)


def tensor_lr(bench: Bench) -> None:
    """A tensor lr on the device keeps its identity: fused, and capturable where the device has graphs."""
    kinds: dict[str, dict[str, Any]] = {"fused": {"fused": True}}
    if bench.device == "cuda":
        kinds["capturable"] = {"capturable": True, "foreach": True}
    for name, given in kinds.items():
        lr = torch.tensor(LR, device=bench.device)
        schedule = LearningRateScheduler(Cosine(), warmup="5%")
        module = Net(partial(AdamW, lr=lr, **given))
        trainer = fit(bench, module, schedule)
        part = f"tensor lr, {name} AdamW"
        bench.found(part, "the lr is still the same tensor", "", good=trainer.optimizers[0].param_groups[0]["lr"] is lr)
        bench.found(part, "every lr is the plan's", len(module.used), good=as_planned(schedule, module.used, LR))


@contextmanager
def counted_compilations() -> Any:
    """Count the graphs that torch.compile makes."""
    from torch._dynamo.utils import counters

    counters.clear()
    counted: dict[str, int] = {}
    yield counted
    counted["graphs"] = int(counters["stats"]["unique_graphs"])


def compiled_step(bench: Bench) -> None:
    """A compiled optimizer step with an lr that changes at every step: compiled once with a tensor lr."""
    for name, lr in (("tensor lr", torch.tensor(LR, device=bench.device)), ("float lr", LR)):
        torch._dynamo.reset()
        weight = torch.nn.Parameter(torch.randn(64, 64, device=bench.device))
        optimizer = AdamW([weight], lr=lr, capturable=bench.device == "cuda" and isinstance(lr, Tensor))
        schedule = LearningRateScheduler(Cosine(), warmup=5, total_steps=100)
        scheduler = schedule.recipe.planned(
            optimizer, schedule.run, schedule.recipe.tracks(type(schedule.run)(total_steps=100))
        )
        scheduler.arm(0)

        @torch.compile(fullgraph=False)
        def step(optimizer: Optimizer = optimizer) -> None:
            optimizer.step()

        used: list[float] = []
        with counted_compilations() as counted:
            for _ in range(20):
                weight.grad = torch.ones_like(weight)
                used.append(float(optimizer.param_groups[0]["lr"]))
                step()
        right = [scheduler.timeline.lr(index, LR) for index in range(20)]
        good = all(abs(lr_used - planned) <= 1e-6 * LR for lr_used, planned in zip(used, right, strict=True))
        part = f"torch.compile(optimizer.step), {name}"
        bench.found(part, "every lr is the plan's", scheduler.real_steps, good=good and scheduler.real_steps == 20)
        must = counted["graphs"] <= 2 if name == "tensor lr" else None
        bench.found(part, "graphs compiled in 20 steps", counted["graphs"], good=must)
        scheduler.disarm()


def cuda_graph(bench: Bench) -> None:
    """A captured step that is replayed follows the lr that is filled into its tensor."""
    weight = torch.nn.Parameter(torch.zeros(4, device="cuda"))
    weight.grad = torch.ones_like(weight)
    lr = torch.tensor(LR, device="cuda")
    optimizer = torch.optim.Adam([weight], lr=lr, capturable=True)
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        optimizer.step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        optimizer.step()
    schedule = LearningRateScheduler(Cosine(), warmup=5, total_steps=50)
    tracks = schedule.recipe.tracks(type(schedule.run)(total_steps=50))
    scheduler = schedule.recipe.planned(optimizer, schedule.run, tracks)
    scheduler.arm(0)
    moves, planned = [], []
    for step in range(30):
        before = weight.detach().clone()
        planned.append(float(lr))
        graph.replay()
        torch.cuda.synchronize()
        moves.append(float((before - weight.detach())[0]))
        scheduler.real_steps = step + 1  # a replay runs no hook: the caller says that a step was made
        scheduler.write()
    scheduler.disarm()
    close = all(abs(move - lr_used) <= 2e-3 * LR for move, lr_used in zip(moves, planned, strict=True))
    bench.found("CUDA graph", "each replayed step moves the weight by the plan's lr", len(moves), good=close)


def one_process(bench: Bench) -> None:
    """DDP with one process: NCCL on a GPU, gloo in a dry run."""
    from lightning.pytorch.strategies import DDPStrategy

    backend = "nccl" if bench.device == "cuda" else "gloo"
    schedule = LearningRateScheduler(SGDR("20%"), warmup="5%")
    module = Net(partial(AdamW, lr=LR))
    fit(bench, module, schedule, strategy=DDPStrategy(process_group_backend=backend))
    bench.found(
        f"DDP, {backend}", "every lr is the plan's", len(module.used), good=as_planned(schedule, module.used, LR)
    )
    torch.distributed.destroy_process_group()


def cost(bench: Bench) -> None:
    """The callback's time per training step, against the same fit without it."""
    times: dict[str, list[float]] = {"bare": [], "with": []}
    for _ in range(3):
        for name, callbacks in (("bare", []), ("with", [LearningRateScheduler(Cosine(), warmup="5%")])):
            module = Net(partial(AdamW, lr=LR))
            fit(bench, module, *callbacks)
            kept = module.starts[len(module.starts) // 10 :]
            times[name] += [(after - before) / 1e3 for before, after in pairwise(kept)]
    bare, ours = median(times["bare"]), median(times["with"])
    bench.found(
        "cost",
        "median us per training step: bare, with the callback, difference",
        f"{bare:.1f}, {ours:.1f}, {ours - bare:.1f}",
    )


PARTS: dict[str, Callable[[Bench], None]] = {
    "amp": amp,
    "tensor_lr": tensor_lr,
    "compiled_step": compiled_step,
    "cuda_graph": cuda_graph,
    "one_process": one_process,
    "cost": cost,
}
ONLY_CUDA = ("cuda_graph",)


def table(bench: Bench) -> str:
    """Return the results as Markdown."""
    where = torch.cuda.get_device_name() if bench.device == "cuda" else f"{platform.machine()} CPU, DRY RUN"
    head = f"{where}, torch {torch.__version__}, lightning {L.__version__}, Python {platform.python_version()}"
    verdict = {True: "yes", False: "NO", None: ""}
    lines = [f"| {part} | {what} | {value} | {verdict[good]} |" for part, what, value, good in bench.rows]
    return "\n".join([head, "", "| part | what | found | as it must be |", "| --- | --- | --- | --- |", *lines, ""])


def main(arguments: list[str]) -> int:
    """Run the parts; return 0, 1 if something is not as it must be, or 3 without CUDA."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--output", type=Path, help="Markdown file for the table")
    parser.add_argument("--dry-run", action="store_true", help="run on the CPU what can run there")
    parser.add_argument("--steps", type=int, default=400, help="training steps of each fit (default: 400)")
    given = parser.parse_args(arguments)
    if not given.dry_run and not torch.cuda.is_available():
        print("SKIPPED: no CUDA device is in reach, nothing was measured. Try --dry-run.", file=sys.stderr)
        return SKIPPED
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench("cpu" if given.dry_run else "cuda", given.steps, Path(folder))
        for name, part in PARTS.items():
            if given.dry_run and name in ONLY_CUDA:
                bench.found(name, "left out: it needs CUDA", "")
                continue
            part(bench)
    text = table(bench)
    print(text)
    if given.output is not None:
        given.output.write_text(text, encoding="utf-8")
    return int(any(good is False for _, _, _, good in bench.rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
