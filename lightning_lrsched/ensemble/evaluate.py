"""The members put to use in every way, measured side by side."""

import logging
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import lightning.pytorch as pl

from lightning_lrsched.ensemble.average import average_modules, has_batch_norm, update_batch_norm
from lightning_lrsched.ensemble.members import Member
from lightning_lrsched.ensemble.snapshot import SnapshotEnsemble, load_member


class Measured(NamedTuple):
    """One way to use the members, and its metrics."""

    name: str
    metrics: dict[str, float]


def evaluate(
    members: Sequence[Member],
    module: type[pl.LightningModule] | pl.LightningModule,
    train: Iterable[Any] | None,
    data: Any,
    *,
    on: str = "test",
    average: str = "probabilities",
    dim: int = -1,
    tracking_uri: str | None = None,
) -> list[Measured]:
    """Return each single member, the ensemble, the averaged weights, and the batch norm control, measured.

    The control is the last member with its batch norm statistics measured anew: what of the averaged weights' gain
    comes from that alone.

    Args:
        members: two or more.
        module: the module's class, or a module to copy.
        train: training batches for the statistics of batch norm.
        data: what is measured on: a DataLoader, or several.
        on: ``"test"`` or ``"validate"``: which step of the module measures.
        average: what the ensemble averages: ``"probabilities"`` or ``"logits"``.
        dim: dimension of the classes.
        tracking_uri: where the MLflow run of the members is.

    Raises:
        EnsembleError: if a member does not fit.
    """
    loaded = [load_member(member, module, tracking_uri) for member in members]
    rows = [
        Measured(_name(member, index), _measure(one, data, on))
        for index, (member, one) in enumerate(zip(members, loaded, strict=True))
    ]
    ensemble = SnapshotEnsemble(loaded, average, dim)
    rows.append(Measured(f"ensemble of {len(members)}", _measure(ensemble, data, on)))
    rows.append(Measured("averaged weights", _measure(average_modules(loaded, train), data, on)))
    if has_batch_norm(loaded[-1]):
        control = update_batch_norm(loaded[-1], train)
        rows.append(Measured("last, batch norm anew", _measure(control, data, on)))
    return rows


def _name(member: Member, index: int) -> str:
    """Return what a member is called."""
    return f"member {index}" if member.cycle is None else f"cycle {member.cycle} ({member.role})"


def _measure(module: pl.LightningModule, data: Any, on: str) -> dict[str, float]:
    """Return what a module's step logs."""
    with _quiet():
        trainer = pl.Trainer(
            logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False
        )
        run = trainer.test if on == "test" else trainer.validate
        of_loaders = run(module, data, verbose=False)
    return {key: float(value) for metrics in of_loaders for key, value in metrics.items()}


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning from telling of its devices and workers for every module."""
    names = ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.rank_zero")
    before = {name: logging.getLogger(name).level for name in names}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers|.*LeafSpec")
        for name in names:
            logging.getLogger(name).setLevel(logging.ERROR)
        try:
            yield
        finally:
            for name, level in before.items():
                logging.getLogger(name).setLevel(level)
