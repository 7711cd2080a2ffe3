"""One model built of several checkpoints: their weights averaged, batch norm measured anew."""

import copy
from collections.abc import Iterable, Sequence
from typing import Any

import lightning.pytorch as pl
import torch
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import AveragedModel, update_bn

from lightning_lrsched.ensemble.choice import choose_members
from lightning_lrsched.ensemble.members import EnsembleError
from lightning_lrsched.ensemble.snapshot import load_member


def average_weights(
    source: Any,
    module: type[pl.LightningModule] | pl.LightningModule,
    data: Iterable[Any] | None = None,
    *,
    last: int | None = None,
    worse: str = "warn",
    tracking_uri: str | None = None,
    **arguments: Any,
) -> pl.LightningModule:
    """Return one module with the mean of the members' weights.

    Members must lie in one basin of the loss for this to help: the ends of long cycles often do, those of short ones
    do not. Compare it with `update_batch_norm` of the last member, which is a part of its gain.

    Args:
        source: paths, a folder of a CycleCheckpoint, an MLflow run's id, or a CycleCheckpoint.
        module: the module's class, or a module to copy.
        data: training batches (inputs, or inputs first) for the statistics of batch norm; needed where there is one.
        last: take the last so many; None for all.
        worse: what to do with a member that is much worse than the last one: ``"warn"``, ``"refuse"`` to leave it out,
            or ``"allow"``.
        tracking_uri: where the MLflow run is.
        arguments: what the class is constructed with, beside the hyper-parameters that it saved.

    Raises:
        EnsembleError: if there are no members, one does not fit, or data are missing.

    Source: Izmailov et al., arXiv 1803.05407; ``torch.optim.swa_utils``.
    """
    members = choose_members(source, tracking_uri, last=last, worse=worse, caller="average_weights")
    return average_modules([load_member(member, module, tracking_uri, **arguments) for member in members], data)


def average_modules(members: Sequence[pl.LightningModule], data: Iterable[Any] | None = None) -> pl.LightningModule:
    """Return one module with the mean of the weights of modules; see `average_weights`.

    Raises:
        EnsembleError: if there are no members, or data are missing.
    """
    if not members:
        raise EnsembleError("average_weights needs at least one member")
    averaged = AveragedModel(members[0])
    for member in members:
        averaged.update_parameters(member)
    result = averaged.module
    assert isinstance(result, pl.LightningModule)  # what AveragedModel copied
    return update_batch_norm(result, data) if has_batch_norm(result) else result.eval()


def update_batch_norm(module: pl.LightningModule, data: Iterable[Any] | None) -> pl.LightningModule:
    """Return a copy of a module with the batch norm statistics of given data.

    Raises:
        EnsembleError: if data are missing.
    """
    if data is None:
        raise EnsembleError(
            f"{type(module).__name__} has batch norm, whose statistics belong to other weights. Pass training batches, "
            "for example average_weights(paths, Module, train_loader)"
        )
    measured = copy.deepcopy(module)
    with torch.no_grad():
        update_bn(data, measured, device=measured.device)
    return measured.eval()


def has_batch_norm(module: torch.nn.Module) -> bool:
    """Return whether a module has statistics of batch norm."""
    return any(isinstance(part, _BatchNorm) for part in module.modules())
