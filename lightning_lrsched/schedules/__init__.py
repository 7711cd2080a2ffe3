"""The main schedules that users name. Each builds phases; none knows of warmup, of the optimizer or of its place."""

from lightning_lrsched.schedules.annealing import Constant, Cosine, Linear
from lightning_lrsched.schedules.cycles import SGDR, OneCycle
from lightning_lrsched.schedules.steps import MultiStep, Step

__all__ = ["SGDR", "Constant", "Cosine", "Linear", "MultiStep", "OneCycle", "Step"]
