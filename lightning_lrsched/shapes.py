"""Easings: how a value travels from one level to the next. No duration, no optimizer, no place in the run."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
X = TypeVar("X", float, Array)


def _each(function: Callable[[float], float], values: Array) -> Array:
    """Apply a function of `math` to every element.

    NumPy's own cos and pow may differ from the C library's in the last bit. A curve that is drawn must be the
    curve that is used, so both go through the same function.
    """
    return np.fromiter(map(function, values.ravel().tolist()), np.float64, values.size).reshape(values.shape)


def cos(x: X) -> X:
    """Return the cosine of a float, or of every element with the same bits."""
    return _each(math.cos, x) if isinstance(x, np.ndarray) else math.cos(x)


def power(base: float, exponent: X) -> X:
    """Return ``base ** exponent`` for a float, or for every element of the exponent with the same bits."""
    if isinstance(exponent, np.ndarray):
        return _each(lambda value: math.pow(base, value), exponent)
    return math.pow(base, exponent)


class Shape(ABC):
    """A pure easing: progress x in [0, 1] to a weight in [0, 1], 0 at the start level and 1 at the end level."""

    @abstractmethod
    def __call__(self, x: X) -> X:
        """Return the weight of the end level at progress ``x``, for a float or for every element of an array."""


@dataclass(frozen=True)
class Hold(Shape):
    """Weight 0 throughout: the start level is kept."""

    def __call__(self, x: X) -> X:
        """Return 0."""
        return 0.0 * x


HOLD = Hold()


@dataclass(frozen=True)
class Straight(Shape):
    """Weight x: a straight line."""

    def __call__(self, x: X) -> X:
        """Return ``x``."""
        return x


@dataclass(frozen=True)
class HalfCosine(Shape):
    """Weight (1 - cos(n pi x)) / 2: flat at both ends. Past x = 1 it swings back, as torch's cosine does.

    Args:
        halves: half waves n from x = 0 to x = 1.
    """

    halves: float = 1.0

    def __call__(self, x: X) -> X:
        """Return the weight of the cosine at ``x``."""
        return 0.5 - 0.5 * cos(math.pi * self.halves * x)


@dataclass(frozen=True)
class Geometric(Shape):
    """Weight (r^x - 1) / (r - 1): equal factors in equal times when the levels stand in the ratio 1 : r."""

    ratio: float

    def __call__(self, x: X) -> X:
        """Return the weight of the geometric growth at ``x``."""
        return (power(self.ratio, x) - 1.0) / (self.ratio - 1.0)
