"""Learning-rate schedules for PyTorch Lightning: stepped right, tracked in MLflow, the best of every cycle kept."""

from typing import TYPE_CHECKING

from lightning_lrsched.plan import Cooldown, Plan, Schedule, Warmup
from lightning_lrsched.schedules import SGDR, Constant, Cosine, Linear, MultiStep, OneCycle, Step
from lightning_lrsched.timeline import Timeline
from lightning_lrsched.units import Duration, RunLength

if TYPE_CHECKING:
    from lightning_lrsched.callbacks import CycleCheckpoint, LearningRateScheduler, MLflowTracker

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


def __getattr__(name: str) -> object:
    """Import the callbacks, and lightning with them, when they are first asked for (PEP 562)."""
    if name in __all__:
        from lightning_lrsched import callbacks

        return getattr(callbacks, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
