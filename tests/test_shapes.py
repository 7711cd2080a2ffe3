"""Easings: their ends, their range, and the same bits for one value and for an array."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_lrsched.shapes import (
    HOLD,
    Called,
    Decay,
    Geometric,
    HalfCosine,
    Hyperbola,
    HyperbolicTangent,
    Monomial,
    PowerLaw,
    Rectified,
    Rex,
    RunningProduct,
    Saturating,
    Shape,
    Straight,
    Tilted,
    WarpedCosine,
    cos,
    power,
)

SHAPES = [
    pytest.param(Straight(), id="straight"),
    pytest.param(HalfCosine(), id="half-cosine"),
    pytest.param(HalfCosine(3.0), id="three-halves"),
    pytest.param(Geometric(100.0), id="growth"),
    pytest.param(Geometric(0.01), id="decay"),
    pytest.param(WarpedCosine(3.0, 1.0), id="power-of-cosine"),
    pytest.param(WarpedCosine(1.0, 0.5), id="bent-time"),
    pytest.param(PowerLaw(2.0), id="power-law"),
    pytest.param(Monomial(0.5), id="square-root"),
    pytest.param(Rex(), id="rex"),
    pytest.param(Tilted(Straight(), 1.0), id="tilted"),
]
TOWARDS = [
    pytest.param(Decay(0.5), id="decay"),
    pytest.param(Hyperbola(2.0), id="hyperbola"),
    pytest.param(Called(lambda step: 1.0 / (1 + step)), id="called"),
    pytest.param(RunningProduct(lambda step: 0.9), id="product"),
]
"""Shapes that begin at weight 1 and go towards 0, past progress 1."""
OTHERS = [
    pytest.param(HOLD, id="hold"),
    pytest.param(Saturating(), id="saturating"),
    pytest.param(Rectified(0.99), id="rectified"),
    pytest.param(HyperbolicTangent(-7.0, 3.0), id="tanh"),
    pytest.param(Tilted(Straight(), 0.5), id="tilted-half"),
    pytest.param(Tilted(Straight(), 0.5, falling=True), id="tilted-falling"),
]


@pytest.mark.parametrize("shape", SHAPES)
def test_shape_goes_from_0_to_1(shape: Shape) -> None:
    assert shape(0.0) == 0.0
    assert shape(1.0) == pytest.approx(1.0, abs=1e-15)


@pytest.mark.parametrize("shape", [*SHAPES, *TOWARDS, *OTHERS])
@given(x=st.floats(0.0, 1.0))
def test_shape_stays_in_its_range(shape: Shape, x: float) -> None:
    assert -1e-15 <= shape(x) <= 1.0 + 1e-15


@pytest.mark.parametrize("shape", TOWARDS)
@given(x=st.integers(0, 60))
def test_endless_shapes_fall_from_1(shape: Shape, x: int) -> None:
    assert shape(0.0) == 1.0
    assert shape.endless
    assert 0.0 < shape(x + 1.0) < shape(float(x))


@pytest.mark.parametrize("shape", [*SHAPES, *TOWARDS, *OTHERS])
@given(xs=st.lists(st.floats(0.0, 1.0), min_size=1, max_size=20))
def test_shape_gives_the_same_bits_for_arrays(shape: Shape, xs: list[float]) -> None:
    assert shape(np.array(xs)).tolist() == [shape(x) for x in xs]


@pytest.mark.parametrize(
    "shape", [Straight(), HalfCosine(), Geometric(100.0), Geometric(0.01), Rex(), PowerLaw(2.0), Monomial(2.0)]
)
@given(x=st.floats(0.0, 0.99), step=st.floats(1e-3, 1e-2))
def test_single_easings_grow(shape: Shape, x: float, step: float) -> None:
    assert shape(x + step) > shape(x)


def test_hold_never_leaves_the_start() -> None:
    assert HOLD(0.7) == 0.0
    assert HOLD(np.array([0.0, 0.5, 2.0])).tolist() == [0.0, 0.0, 0.0]


def test_half_cosine_swings_back() -> None:
    assert HalfCosine()(2.0) == pytest.approx(0.0, abs=1e-15)
    assert HalfCosine()(0.25) == pytest.approx((1 - math.sqrt(0.5)) / 2, rel=1e-14)
    assert HalfCosine(2.0)(0.5) == pytest.approx(1.0)


def test_geometric_multiplies_equally_in_equal_times() -> None:
    levels = [1.0 + 99.0 * Geometric(100.0)(x) for x in (0.0, 0.25, 0.5, 0.75, 1.0)]
    factors = [after / before for before, after in pairwise(levels)]
    assert factors == pytest.approx([math.sqrt(10.0)] * 4)


@given(xs=st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=20))
def test_cos_and_power_give_the_bits_of_math(xs: list[float]) -> None:
    assert cos(np.array(xs)).tolist() == [math.cos(x) for x in xs]
    assert power(0.9, np.array(xs)).tolist() == [math.pow(0.9, x) for x in xs]


def test_arrays_keep_their_form() -> None:
    assert HalfCosine()(np.zeros((2, 3))).shape == (2, 3)
    assert HalfCosine()(np.zeros(0)).shape == (0,)
