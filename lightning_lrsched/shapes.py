"""Easings: how a value travels from one level to the next. No duration, no optimizer, no place in the run."""

import math
import sys
from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from lightning_lrsched.checks import check_number

Array = NDArray[np.float64]
_PI, _cos = math.pi, math.cos
X = TypeVar("X", float, Array)


def each(function: Callable[[float], float], x: X) -> X:
    """Apply a function of one number to a float, or to every element of an array.

    NumPy's own cos and pow may differ from the C library's in the last bit. A curve that is drawn must be the
    curve that is used, so both go through the same function.
    """
    if isinstance(x, np.ndarray):
        return np.fromiter(map(function, x.ravel().tolist()), np.float64, x.size).reshape(x.shape)
    return function(x)


def cos(x: X) -> X:
    """Return the cosine of a float, or of every element with the same bits."""
    return math.cos(x) if type(x) is float else each(math.cos, x)


def power(base: float, exponent: X) -> X:
    """Return ``base ** exponent`` for a float, or for every element of the exponent with the same bits."""
    return each(partial(_pow, base), exponent)


def raised(base: X, exponent: float) -> X:
    """Return ``base ** exponent`` for a float, or for every element of the base with the same bits."""
    return each(lambda value: _pow(value, exponent), base)


def _pow(base: float, exponent: float) -> float:
    """Return the power; the largest float where it is larger than any."""
    try:
        return math.pow(base, exponent)
    except OverflowError:
        return sys.float_info.max


class Shape(ABC):
    """A pure easing: progress x in [0, 1] to a weight in [0, 1], 0 at the start level and 1 at the end level."""

    endless: ClassVar[bool] = False
    """Whether it goes on past progress 1, so that progress 1 is no arrival."""

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
        if type(x) is float:  # the way of every training step: no call but the library's
            return 0.5 - 0.5 * _cos(self.halves * _PI * x)
        return 0.5 - 0.5 * cos(self.halves * _PI * x)


@dataclass(frozen=True)
class WarpedCosine(Shape):
    """Weight 1 - ((1 + cos(pi x^k)) / 2)^p: a cosine whose time or whose height is bent.

    Args:
        exponent: p, above 0; above 1 it falls sooner.
        k: bend of the time, above 0; above 1 it falls later.
    """

    exponent: float = 1.0
    k: float = 1.0

    def __call__(self, x: X) -> X:
        """Return the weight of the bent cosine at ``x``."""
        return 1.0 - raised(0.5 + 0.5 * cos(math.pi * raised(x, self.k)), self.exponent)


@dataclass(frozen=True)
class Geometric(Shape):
    """Weight (r^x - 1) / (r - 1): equal factors in equal times when the levels stand in the ratio 1 : r."""

    ratio: float

    def __call__(self, x: X) -> X:
        """Return the weight of the geometric growth at ``x``."""
        return (power(self.ratio, x) - 1.0) / (self.ratio - 1.0)


@dataclass(frozen=True)
class PowerLaw(Shape):
    """Weight 1 - (1 - x)^p: the value that is left falls as a power of the time that is left.

    Args:
        exponent: p, above 0; 1 is a straight line.
    """

    exponent: float

    def __call__(self, x: X) -> X:
        """Return the weight of the power at ``x``."""
        return 1.0 - raised(1.0 - x, self.exponent)


@dataclass(frozen=True)
class Monomial(Shape):
    """Weight x^p; with p = 1/2 the "1-sqrt" decay of warmup-stable-decay.

    Args:
        exponent: p, above 0.
    """

    exponent: float

    def __call__(self, x: X) -> X:
        """Return the power of ``x``."""
        return raised(x, self.exponent)


@dataclass(frozen=True)
class Saturating(Shape):
    """Weight 1 - e^-x: towards the end level without reaching it."""

    def __call__(self, x: X) -> X:
        """Return the weight of the approach at ``x``."""
        return 1.0 - each(math.exp, -x)


@dataclass(frozen=True)
class Rectified(Shape):
    """RAdam's rectification of the variance of Adam's second moment; the progress is the step itself.

    Args:
        beta2: decay of the second moment, above 0.6.
    """

    beta2: float

    def __call__(self, x: X) -> X:
        """Return the rectification at step ``x``."""
        most = 2.0 / (1.0 - self.beta2) - 1.0
        offset = 1
        while self._length(offset, most) <= 4.0:
            offset += 1
        return each(lambda value: self._factor(self._length(value + offset, most), most), x)

    def _length(self, t: float, most: float) -> float:
        """Return the length of the moving average after ``t`` steps, as an equally weighted one."""
        decayed = _pow(self.beta2, t)
        return most - 2.0 * t * decayed / (1.0 - decayed)

    @staticmethod
    def _factor(length: float, most: float) -> float:
        return math.sqrt((length - 4) * (length - 2) * most / ((most - 4) * (most - 2) * length))


@dataclass(frozen=True)
class Rex(Shape):
    """Weight 1 - (1 - x) / (1 - x/2): slow at first, fast at the end."""

    def __call__(self, x: X) -> X:
        """Return the weight of the reflected exponential at ``x``."""
        return 1.0 - (1.0 - x) / (1.0 - 0.5 * x)


@dataclass(frozen=True)
class HyperbolicTangent(Shape):
    """Weight (1 + tanh(l (1 - x) + u x)) / 2: an S between the two arguments.

    Args:
        lower: argument l at x = 0.
        upper: argument u at x = 1.
    """

    lower: float
    upper: float

    def __call__(self, x: X) -> X:
        """Return the weight of the S at ``x``."""
        return 0.5 + 0.5 * each(math.tanh, self.lower * (1.0 - x) + self.upper * x)


@dataclass(frozen=True)
class Decay(Shape):
    """Weight g^x: it begins at the end level (weight 1) and goes towards the start level without reaching it.

    Args:
        gamma: g, above 0; above 1 it grows.
    """

    endless: ClassVar[bool] = True
    gamma: float

    def __call__(self, x: X) -> X:
        """Return the power at ``x``."""
        return power(self.gamma, x)


@dataclass(frozen=True)
class Hyperbola(Shape):
    """Weight (1 + x)^-c: like `Decay` it begins at the end level; with c = 1/2 it is the inverse square root.

    Args:
        exponent: c, above 0.
    """

    endless: ClassVar[bool] = True
    exponent: float

    def __call__(self, x: X) -> X:
        """Return the inverse power at ``x``."""
        return raised(1.0 + x, -self.exponent)


@dataclass(frozen=True)
class Tilted(Shape):
    """Another shape's weight times g^x, forwards or backwards in time: the sides of a cycle whose height fades.

    Args:
        shape: the shape.
        gamma: g, above 0.
        falling: use the weight of 1 - x, from 1 to 0.
    """

    shape: Shape
    gamma: float = 1.0
    falling: bool = False

    def __call__(self, x: X) -> X:
        """Return the tilted weight at ``x``."""
        weight = self.shape(1.0 - x if self.falling else x)
        return weight if self.gamma == 1.0 else weight * power(self.gamma, x)


def _factor(owner: str, function: Callable[[int], float], step: int) -> float:
    """Return what a user's function says of a step, refused if there is none or it is no factor."""
    example = f"{owner}(my_function) with a function that returns 0.5"
    try:
        factor = function(step)
    except Exception as failure:
        raise ValueError(
            f"{owner}.lr_lambda({step}) raised {type(failure).__name__}: {failure}. It is asked some thousand steps "
            "ahead, up to the end of a run that has one. Have it hold its last value, or say where the run ends, for "
            "example total_steps=10_000"
        ) from failure
    return check_number(f"{owner}.lr_lambda({step})", factor, example, at_least=0.0)


@dataclass(frozen=True)
class Called(Shape):
    """A user's function of the step as the weight; the progress is the step itself.

    Args:
        function: takes the step (from 0) and returns a factor.
    """

    endless: ClassVar[bool] = True
    function: Callable[[int], float]

    def __call__(self, x: X) -> X:
        """Return what the function says at ``x``."""
        return each(lambda value: _factor("Lambda", self.function, round(value)), x)


@dataclass(frozen=True, eq=False)
class Tabled(Shape):
    """Values that were computed before, as the weight; the progress is the step itself.

    Args:
        values: one for every ``stride`` steps, at least one; the last one holds.
        offset: step from which on the strides are counted; the first value holds until ``offset + stride``.
        stride: steps from one value to the next, at least 1.

    >>> [Tabled(np.array([0.5, 0.25]), offset=1, stride=2)(step) for step in (0.0, 2.0, 3.0, 9.0)]
    [0.5, 0.5, 0.25, 0.25]
    """

    endless: ClassVar[bool] = True
    values: Array
    offset: int = 0
    stride: int = 1

    def __call__(self, x: X) -> X:
        """Return the value at step ``x``."""
        if isinstance(x, np.ndarray):
            return self.values[self._places(x)]
        return float(self.values[self._places(np.float64(x))])

    def corners(self, first: int, last: int) -> NDArray[np.int64]:
        """Return the steps from ``first`` to ``last`` between which the values turn, jump or stand still."""
        begin, end = self._places(np.array([first, last], np.float64)).tolist()
        places = np.arange(begin, end + 1)
        if self.stride == 1:
            slopes = np.sign(np.diff(self.values[begin : end + 1]))
            places = places[1:-1][slopes[1:] != slopes[:-1]]
        steps = self.offset + self.stride * places
        steps = np.union1d(steps - 1, steps)
        return steps[(steps >= first) & (steps <= last)]

    def _places(self, x: Array | np.float64) -> NDArray[np.int64]:
        """Return which value each step has."""
        return np.clip((x - self.offset) // self.stride, 0, len(self.values) - 1).astype(np.int64)


class RunningProduct(Shape):
    """The product of a user's function over the steps 1 .. x; the progress is the step itself.

    A product has no closed form: the values so far are kept, 8 bytes for each step.

    Args:
        function: takes the step (from 1) and returns the factor from the step before to this one.
    """

    endless: ClassVar[bool] = True

    def __init__(self, function: Callable[[int], float]) -> None:
        """Begin with the empty product."""
        self.function = function
        self._products = array("d", [1.0])

    def __call__(self, x: X) -> X:
        """Return the product up to ``x``."""
        return each(lambda value: self._up_to(round(value)), x)

    def __eq__(self, other: object) -> bool:
        """Return whether the other is the product of the same function."""
        return isinstance(other, RunningProduct) and self.function == other.function

    def __hash__(self) -> int:
        """Return the hash of the function."""
        return hash(self.function)

    def _up_to(self, step: int) -> float:
        products: array[float] = self._products
        while len(products) <= step:
            products.append(products[-1] * _factor("Multiplicative", self.function, len(products)))
        return products[step]
