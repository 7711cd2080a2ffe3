"""What the cycle ends of one run are worth together: their averaged predictions, and their averaged weights."""

import copy
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.sgdr_study.mnist import Mlp, Mnist


def cycle_end_files(folder: Path, stops: Sequence[int]) -> list[Path]:
    """Return the checkpoint of each cycle's end in a run's folder, known by the optimizer steps that it says."""
    by_step = {}
    for path in folder.rglob("*.ckpt"):
        by_step[torch.load(path, map_location="cpu", weights_only=True)["global_step"]] = path
    return [by_step[stop] for stop in stops if stop in by_step]


def ensemble_errors(files: Sequence[Path], data: Mnist) -> dict[str, float]:
    """Return the test errors (%) of the last cycle's end, of the snapshot ensemble, and of averaged weights.

    The control is the last cycle's end with its batch-norm statistics estimated anew, as averaged weights need them:
    what the average gains over it is due to the averaging.
    """
    images, labels, split = data.rest
    members = [_loaded(path) for path in files]
    average = copy.deepcopy(members[-1])
    with torch.no_grad():
        for name, weight in average.named_parameters():
            weight.copy_(torch.stack([dict(member.named_parameters())[name] for member in members]).mean(0))
    control = copy.deepcopy(members[-1])
    with torch.no_grad():
        probabilities = [member(images[split:]).softmax(1) for member in members]
        errors = {
            "last end": _error(probabilities[-1], labels[split:]),
            "ensemble": _error(torch.stack(probabilities).mean(0), labels[split:]),
        }
        for name, model in (("control", control), ("average", average)):
            _estimate_batch_norm(model, data)
            errors[name] = _error(model(images[split:]), labels[split:])
    return errors


def _loaded(path: Path) -> Mlp:
    """Return the network of a checkpoint, ready to predict."""
    weights = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    model = Mlp(pixels=weights["net.0.weight"].shape[1])
    model.load_state_dict(weights)
    return model.eval()


def _estimate_batch_norm(model: Mlp, data: Mnist) -> None:
    """Set the batch-norm statistics to the means over five passes of the training, with its augmentation."""
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm1d):
            layer.reset_running_stats()
            layer.momentum = None  # torch's cumulative average
    model.train()
    torch.manual_seed(0)
    for _ in range(5):
        for images, _ in data.train_dataloader():
            model(images)
    model.eval()


def _error(scores: Tensor, labels: Tensor) -> float:
    """Return the share of wrong answers, in percent."""
    return 100 * float((scores.argmax(1) != labels).float().mean())
