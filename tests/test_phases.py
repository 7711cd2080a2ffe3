"""Phases, repeated blocks and levels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_lrsched.phases import Level, Phase, Repeat, blend
from lightning_lrsched.shapes import Called, Decay, HalfCosine, Hyperbola, RunningProduct, Shape, Straight

FALL = Phase("fall", 10, Level(1.0), Level(0.0, 1e-3), Straight())


def test_level_multiplies_all_parts() -> None:
    assert Level(1.0, 2.0, 3.0, 4.0).times(0.5) == Level(0.5, 1.0, 1.5, 2.0)


def test_level_fades_only_its_fading_part() -> None:
    assert Level(1.0, 2.0, 4.0, 8.0).faded(0.25) == Level(2.0, 4.0)


@given(start=st.floats(-1e3, 1e3), end=st.floats(-1e3, 1e3))
def test_blend_is_exact_at_both_ends(start: float, end: float) -> None:
    assert blend(start, end, 0.0) == start
    assert blend(start, end, 1.0) == end


@pytest.mark.parametrize(
    ("phase", "first", "final", "held", "joined"),
    [
        pytest.param(FALL, Level(1.0), Level(0.1, 9e-4), Level(0.0, 1e-3), Level(0.0, 1e-3), id="k-over-T"),
        pytest.param(
            Phase("f", 11, Level(1.0), Level(0.0), Straight(), span=10),
            Level(1.0),
            Level(0.0),
            Level(0.0),
            Level(0.0),
            id="lands",
        ),
        pytest.param(FALL.cut(4), Level(1.0), Level(0.7, 3e-4), Level(0.7, 3e-4), Level(0.6, 4e-4), id="cut"),
        pytest.param(Phase("flat", 3, Level(0.5)), Level(0.5), Level(0.5), Level(0.5), Level(0.5), id="flat"),
        pytest.param(
            Phase("up", 4, Level(0.0), Level(1.0), Straight(), span=5, shift=1),
            Level(0.2),
            Level(0.8),
            Level(1.0),
            Level(1.0),
            id="warmup",
        ),
    ],
)
def test_levels_of_a_phase(phase: Phase, first: Level, final: Level, held: Level, joined: Level) -> None:
    assert phase.level(0) == pytest.approx(first)
    assert phase.level(phase.updates - 1) == pytest.approx(final)
    assert phase.last() == pytest.approx(held)
    assert phase.reached() == pytest.approx(joined)


@pytest.mark.parametrize(("span", "lands"), [(None, False), (10, False), (9, True), (11, False), (5, False)])
def test_phase_lands_where_its_last_update_is_the_end(span: float | None, lands: bool) -> None:
    assert Phase("x", 10, Level(1.0), Level(0.0), HalfCosine(), span=span).lands is lands


def test_cut_swing_lands_nowhere() -> None:
    swing = Phase("x", 8, Level(1.0), Level(0.0), HalfCosine(), span=4)
    assert [swing.cut(k).reached() for k in range(1, 8)] == [swing.level(k) for k in range(1, 8)]


@pytest.mark.parametrize("shape", [Decay(0.5), Hyperbola(1.0), Called(float), RunningProduct(float)])
@pytest.mark.parametrize("span", [1, 4, 9, 10])
def test_phase_that_goes_on_past_its_end_lands_nowhere(shape: Shape, span: float) -> None:
    phase = Phase("x", 10, Level(0.0), Level(1.0), shape, span=span)
    assert not phase.lands
    assert phase.reached() == phase.level(10)


@given(updates=st.integers(1, 50), cut=st.integers(1, 50))
def test_cut_keeps_the_values(updates: int, cut: int) -> None:
    phase = Phase("x", updates, Level(1.0), Level(0.1), HalfCosine())
    short = phase.cut(min(cut, updates))
    assert [short.level(k) for k in range(short.updates)] == [phase.level(k) for k in range(short.updates)]
    assert not short.whole


@given(gamma=st.floats(0.1, 1.0), index=st.integers(0, 50))
def test_faded_phase_is_the_phase_of_that_repetition(gamma: float, index: int) -> None:
    repeat = Repeat((Phase("x", 4, Level(0.0, fading_scale=1.0), Level(0.0, 1e-3), HalfCosine()),), None, gamma)
    (phase,) = repeat.phases(index)
    assert phase.level(0) == Level(gamma**index)
    scales, offsets = repeat.block[0].levels(np.arange(4.0), np.full(4, gamma**index))
    assert list(zip(scales.tolist(), offsets.tolist(), strict=True)) == [phase.level(k)[:2] for k in range(4)]


def test_repeat_counts_its_updates() -> None:
    block = (Phase("up", 2, Level(0.0)), Phase("down", 3, Level(1.0)))
    assert Repeat(block).period == 5
    assert Repeat(block).updates is None
    assert Repeat(block, 4).updates == 20


@pytest.mark.parametrize(
    ("left", "parts"),
    [
        pytest.param(10, [("repeat", 10)], id="whole"),
        pytest.param(5, [("repeat", 5)], id="one"),
        pytest.param(7, [("repeat", 5), ("up", 2)], id="one-and-a-phase"),
        pytest.param(8, [("repeat", 5), ("up", 2), ("down", 1)], id="cut-inside"),
        pytest.param(1, [("up", 1)], id="less-than-a-phase"),
    ],
)
def test_repeat_cut(left: int, parts: list[tuple[str, int]]) -> None:
    block = (Phase("up", 2, Level(0.0)), Phase("down", 3, Level(1.0)))
    found = [("repeat" if isinstance(x, Repeat) else x.name, x.updates) for x in Repeat(block).cut(left)]
    assert found == parts
