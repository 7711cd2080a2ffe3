"""What the cycle ends of one run are worth together: their averaged predictions, and their averaged weights."""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import lightning as L
import torch

from benchmarks.sgdr_study.mnist import Mnist
from lightning_lrsched.ensemble import SnapshotEnsemble, average_weights, load_member, update_batch_norm

PASSES = 5


def cycle_end_files(folder: Path, stops: Sequence[int]) -> list[str]:
    """Return the checkpoint of each cycle's end in a run's folder, known by the optimizer steps that it says."""
    by_step = {}
    for path in folder.rglob("*.ckpt"):
        by_step[torch.load(path, map_location="cpu", weights_only=True)["global_step"]] = str(path)
    return [by_step[stop] for stop in stops if stop in by_step]


class Examiner:
    """Measures cycle ends on the test images, alone and together."""

    def __init__(self) -> None:
        """Draw the batches from which batch-norm statistics are measured: the same for all."""
        data = Mnist()
        torch.manual_seed(0)
        passes = chain.from_iterable(data.train_dataloader() for _ in range(PASSES))
        self.batches = [images for images, _ in passes]
        images, labels, split = data.rest
        self.images, self.labels = images[split:], labels[split:]

    def error(self, model: L.LightningModule) -> float:
        """Return a model's test error in percent."""
        with torch.no_grad():
            wrong = model.eval()(self.images).argmax(1) != self.labels
        return 100 * float(wrong.float().mean())

    def last(self, files: Sequence[str], module: L.LightningModule) -> dict[str, float]:
        """Return the error of the last cycle's end, and of the same with its batch-norm statistics measured anew.

        The second is the control of averaged weights, which need that: what they gain over it is due to the averaging.
        """
        control = update_batch_norm(load_member(files[-1], module), self.batches)
        return {"last": self.error(load_member(files[-1], module)), "control": self.error(control)}

    def together(self, files: Sequence[str], module: L.LightningModule) -> dict[str, float]:
        """Return the error of the averaged predictions, and of the averaged weights."""
        ensemble = SnapshotEnsemble.from_checkpoints(list(files), module, worse="allow")
        average = average_weights(list(files), module, self.batches)
        return {"ensemble": self.error(ensemble), "average": self.error(average)}
