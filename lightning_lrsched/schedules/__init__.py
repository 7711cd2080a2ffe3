"""The main schedules that users name. Each builds phases; none knows of warmup, of the optimizer or of its place."""

from lightning_lrsched.schedules.annealing import Constant, Cosine, Linear
from lightning_lrsched.schedules.cycles import SGDR, OneCycle
from lightning_lrsched.schedules.cyclic import Cyclic
from lightning_lrsched.schedules.decays import REX, Exponential, InverseSqrt, Polynomial, Power, Tanh
from lightning_lrsched.schedules.functions import Lambda, Multiplicative
from lightning_lrsched.schedules.piecewise import PiecewiseConstant, PiecewiseLinear
from lightning_lrsched.schedules.sequence import Sequence
from lightning_lrsched.schedules.stable import WSD, FlatCosine
from lightning_lrsched.schedules.steps import MultiStep, Step

__all__ = [
    "REX",
    "SGDR",
    "WSD",
    "Constant",
    "Cosine",
    "Cyclic",
    "Exponential",
    "FlatCosine",
    "InverseSqrt",
    "Lambda",
    "Linear",
    "MultiStep",
    "Multiplicative",
    "OneCycle",
    "PiecewiseConstant",
    "PiecewiseLinear",
    "Polynomial",
    "Power",
    "Sequence",
    "Step",
    "Tanh",
]
