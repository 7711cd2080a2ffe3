"""Sweeps: schedules x warmups x learning rates x seeds, each combination a run of MLflow under one parent."""

from lightning_lrsched.sweep.combinations import Combination, combinations, shared_fingerprint
from lightning_lrsched.sweep.config import SweepConfig, load_sweep
from lightning_lrsched.sweep.rule import Rule
from lightning_lrsched.sweep.running import Progress, SweepResult, run_sweep
from lightning_lrsched.sweep.selection import Choice, candidates, selected, selecting
from lightning_lrsched.sweep.store import StoreAway, finished_runs

__all__ = [
    "Choice",
    "Combination",
    "Progress",
    "Rule",
    "StoreAway",
    "SweepConfig",
    "SweepResult",
    "candidates",
    "combinations",
    "finished_runs",
    "load_sweep",
    "run_sweep",
    "selected",
    "selecting",
    "shared_fingerprint",
]
