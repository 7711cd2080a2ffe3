"""Learning-rate schedules for PyTorch Lightning: stepped right, tracked in MLflow, the best of every cycle kept."""

from typing import TYPE_CHECKING

from lightning_lrsched.plan import Plan
from lightning_lrsched.room import Schedule
from lightning_lrsched.schedules import (
    REX,
    SGDR,
    WSD,
    Constant,
    Cosine,
    Cyclic,
    Exponential,
    FlatCosine,
    InverseSqrt,
    Lambda,
    Linear,
    Multiplicative,
    MultiStep,
    OneCycle,
    PiecewiseConstant,
    PiecewiseLinear,
    Polynomial,
    Power,
    Sequence,
    Step,
    Tanh,
)
from lightning_lrsched.timeline import Timeline
from lightning_lrsched.units import Duration, RunLength
from lightning_lrsched.warmup import Cooldown, Warmup

if TYPE_CHECKING:
    from lightning_lrsched.callbacks import CycleCheckpoint, LearningRateScheduler, MLflowTracker, ScheduleProgress
    from lightning_lrsched.torch_schedules import Plateau, TorchScheduler

__all__ = [
    "REX",
    "SGDR",
    "WSD",
    "Constant",
    "Cooldown",
    "Cosine",
    "CycleCheckpoint",
    "Cyclic",
    "Duration",
    "Exponential",
    "FlatCosine",
    "InverseSqrt",
    "Lambda",
    "LearningRateScheduler",
    "Linear",
    "MLflowTracker",
    "MultiStep",
    "Multiplicative",
    "OneCycle",
    "PiecewiseConstant",
    "PiecewiseLinear",
    "Plan",
    "Plateau",
    "Polynomial",
    "Power",
    "RunLength",
    "Schedule",
    "ScheduleProgress",
    "Sequence",
    "Step",
    "Tanh",
    "Timeline",
    "TorchScheduler",
    "Warmup",
]


def __getattr__(name: str) -> object:
    """Import what needs torch or lightning when it is first asked for (PEP 562)."""
    if name in ("Plateau", "TorchScheduler"):
        from lightning_lrsched import torch_schedules

        return getattr(torch_schedules, name)
    if name in __all__:
        from lightning_lrsched import callbacks

        return getattr(callbacks, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
