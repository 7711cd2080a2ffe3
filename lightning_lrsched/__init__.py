"""Learning-rate schedules for PyTorch Lightning: stepped right, tracked in MLflow, the best of every cycle kept."""

from lightning_lrsched.callbacks import CycleCheckpoint, LearningRateScheduler, MLflowTracker
from lightning_lrsched.plan import Cooldown, Plan, Schedule, Warmup
from lightning_lrsched.schedules import SGDR, Constant, Cosine, Linear, MultiStep, OneCycle, Step
from lightning_lrsched.timeline import Timeline
from lightning_lrsched.units import Duration, RunLength

__all__ = [
    "SGDR",
    "Constant",
    "Cooldown",
    "Cosine",
    "CycleCheckpoint",
    "Duration",
    "LearningRateScheduler",
    "Linear",
    "MLflowTracker",
    "MultiStep",
    "OneCycle",
    "Plan",
    "RunLength",
    "Schedule",
    "Step",
    "Timeline",
    "Warmup",
]
