"""Kept cycles put to use: snapshot ensembles and averaged weights."""

from lightning_lrsched.ensemble.average import average_weights, update_batch_norm
from lightning_lrsched.ensemble.choice import last_measured, much_worse, worse_members
from lightning_lrsched.ensemble.evaluate import Measured, evaluate
from lightning_lrsched.ensemble.members import EnsembleError, Member, find_members
from lightning_lrsched.ensemble.snapshot import SnapshotEnsemble, load_member

__all__ = [
    "EnsembleError",
    "Measured",
    "Member",
    "SnapshotEnsemble",
    "average_weights",
    "evaluate",
    "find_members",
    "last_measured",
    "load_member",
    "much_worse",
    "update_batch_norm",
    "worse_members",
]
