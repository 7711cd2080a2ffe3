"""Sweeps: schedules x warmups x learning rates x seeds, each combination a run of MLflow under one parent."""

from lightning_lrsched.sweep.combinations import Combination, combinations
from lightning_lrsched.sweep.config import SweepConfig, load_sweep
from lightning_lrsched.sweep.running import Progress, SweepResult, run_sweep

__all__ = ["Combination", "Progress", "SweepConfig", "SweepResult", "combinations", "load_sweep", "run_sweep"]
