"""What the cycle ends of one run are worth together: their averaged predictions, and their averaged weights."""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import lightning as L
import torch

from benchmarks.sgdr_study.mnist import Mlp, Mnist
from lightning_lrsched.ensemble import SnapshotEnsemble, average_weights, load_member, update_batch_norm

PASSES = 5


def cycle_end_files(folder: Path, stops: Sequence[int]) -> list[str]:
    """Return the checkpoint of each cycle's end in a run's folder, known by the optimizer steps that it says."""
    by_step = {}
    for path in folder.rglob("*.ckpt"):
        by_step[torch.load(path, map_location="cpu", weights_only=True)["global_step"]] = str(path)
    return [by_step[stop] for stop in stops if stop in by_step]


def ensemble_errors(files: Sequence[str], data: Mnist) -> dict[str, float]:
    """Return the test errors (%) of the last cycle's end, of the snapshot ensemble, and of averaged weights.

    The control is the last cycle's end with its batch-norm statistics measured anew, as averaged weights need them:
    what the average gains over it is due to the averaging.
    """
    module = Mlp(pixels=data.train[0][0].numel())
    torch.manual_seed(0)
    batches = [images for images, _ in chain.from_iterable(data.train_dataloader() for _ in range(PASSES))]
    last = load_member(files[-1], module)
    models: dict[str, L.LightningModule] = {
        "last end": last,
        "ensemble": SnapshotEnsemble.from_checkpoints(list(files), module, worse="allow"),
        "control": update_batch_norm(load_member(files[-1], module), batches),
        "average": average_weights(list(files), module, batches),
    }
    images, labels, split = data.rest
    with torch.no_grad():
        wrong = {name: model.eval()(images[split:]).argmax(1) != labels[split:] for name, model in models.items()}
    return {name: 100 * float(each.float().mean()) for name, each in wrong.items()}
