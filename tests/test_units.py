"""Durations: what is read, how it is resolved, and that the arithmetic is exact."""

import copy
import pickle
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_lrsched import Duration, RunLength
from lightning_lrsched.units import Clock, round_half_up

RUN = RunLength(total_steps=2000, steps_per_epoch=100)


@pytest.mark.parametrize(
    ("value", "plain", "steps"),
    [
        pytest.param(500, 500, 500, id="int"),
        pytest.param("500", 500, 500, id="text-int"),
        pytest.param("500 steps", 500, 500, id="steps"),
        pytest.param("1 step", 1, 1, id="step"),
        pytest.param("500steps", 500, 500, id="no-space"),
        pytest.param(" 500  Steps ", 500, 500, id="spaces-and-case"),
        pytest.param("1_000", 1000, 1000, id="underscore"),
        pytest.param("1e3 steps", 1000, 1000, id="exponent"),
        pytest.param(np.int64(500), 500, 500, id="numpy-int"),
        pytest.param(np.uint8(5), 5, 5, id="numpy-uint8"),
        pytest.param("10ep", "10ep", 1000, id="epochs"),
        pytest.param("10 epochs", "10ep", 1000, id="epochs-long"),
        pytest.param("1 epoch", "1ep", 100, id="epoch"),
        pytest.param("0.5ep", "0.5ep", 50, id="half-epoch"),
        pytest.param("2.50ep", "2.5ep", 250, id="trailing-zero"),
        pytest.param(0.05, "5%", 100, id="share"),
        pytest.param("0.05", "5%", 100, id="text-share"),
        pytest.param("5%", "5%", 100, id="percent"),
        pytest.param("5 %", "5%", 100, id="percent-space"),
        pytest.param("100%", "100%", 2000, id="all"),
        pytest.param("12.5%", "12.5%", 250, id="fractional-percent"),
        pytest.param(np.float64(0.05), "5%", 100, id="numpy-float"),
        pytest.param(Fraction(1, 20), "5%", 100, id="fraction"),
        pytest.param(Duration("5%"), "5%", 100, id="duration"),
    ],
)
def test_duration_forms(value: Any, plain: int | str, steps: int) -> None:
    duration = Duration(value)
    assert duration.plain == plain
    assert duration.resolve(RUN) == steps
    assert duration == Duration(plain)
    assert hash(duration) == hash(Duration(plain))


@pytest.mark.parametrize(
    ("value", "total", "steps"),
    [
        pytest.param(0.29, 100, 29, id="0.29-of-100"),
        pytest.param("29%", 100, 29, id="29%-of-100"),
        pytest.param("7%", 100, 7, id="7%-of-100"),
        pytest.param(0.07, 100, 7, id="0.07-of-100"),
        pytest.param(0.57, 100, 57, id="0.57-of-100"),
        pytest.param("0.5%", 100, 1, id="half-of-a-step-up"),
        pytest.param("2.5%", 100, 3, id="2.5-up"),
        pytest.param("1.4%", 100, 1, id="1.4-down"),
        pytest.param("50%", 3, 2, id="1.5-up"),
        pytest.param(1e-9, 10**9, 1, id="billionth"),
    ],
)
def test_share_is_exact_and_rounds_half_up(value: Any, total: int, steps: int) -> None:
    assert Duration(value).resolve(RunLength(total_steps=total)) == steps


@given(hundredths=st.integers(1, 10_000), total=st.integers(1, 10**9))
def test_percent_against_fractions(hundredths: int, total: int) -> None:
    text = f"{Decimal(hundredths) / 100}%"
    exact = Fraction(hundredths, 10_000) * total
    expected = (2 * exact.numerator + exact.denominator) // (2 * exact.denominator)
    if expected < 1:
        with pytest.raises(ValueError, match="less than one optimizer step"):
            Duration(text).resolve(RunLength(total_steps=total))
    else:
        assert Duration(text).resolve(RunLength(total_steps=total)) == expected


@given(digits=st.integers(1, 10**6 - 1), total=st.integers(10**6, 10**8))
def test_float_share_is_read_as_written(digits: int, total: int) -> None:
    share = float(f"0.{digits:06d}")
    exact = Fraction(digits, 10**6) * total
    assert Duration(share).resolve(RunLength(total_steps=total)) == int(exact + Fraction(1, 2))


@given(tenths=st.integers(1, 10_000), steps_per_epoch=st.integers(10, 10**6))
def test_epochs_against_fractions(tenths: int, steps_per_epoch: int) -> None:
    run = RunLength(steps_per_epoch=steps_per_epoch)
    assert Duration(f"{Decimal(tenths) / 10}ep").resolve(run) == round_half_up(Fraction(tenths, 10) * steps_per_epoch)


@pytest.mark.parametrize(
    ("value", "rounded"),
    [
        pytest.param(Fraction(1, 2), 1, id="half"),
        pytest.param(Fraction(5, 2), 3, id="five-halves"),
        pytest.param(Fraction(49, 100), 0, id="below"),
        pytest.param(Fraction(7), 7, id="whole"),
    ],
)
def test_round_half_up(value: Fraction, rounded: int) -> None:
    assert round_half_up(value) == rounded


@given(
    value=st.one_of(
        st.integers(1, 10**12),
        st.integers(1, 10**6).map(lambda n: f"{n / 100}ep"),
        st.integers(1, 10_000).map(lambda n: f"{Decimal(n) / 100}%"),
    )
)
def test_duration_survives_repr_pickle_and_copy(value: int | str) -> None:
    duration = Duration(value)
    assert eval(repr(duration)) == duration
    assert Duration(str(duration)) == duration
    assert pickle.loads(pickle.dumps(duration)) == duration
    assert copy.deepcopy(duration) == duration


@pytest.mark.parametrize(
    ("value", "run", "needed"),
    [
        pytest.param("10ep", RunLength(total_steps=100), "steps_per_epoch", id="epochs"),
        pytest.param("5%", RunLength(steps_per_epoch=100), "total_steps", id="share"),
    ],
)
def test_unknown_length_is_told(value: str, run: RunLength, needed: str) -> None:
    with pytest.raises(
        ValueError, match=rf"Warmup\.duration = '{value}' needs .* Pass {needed}=.*duration='500 steps'"
    ):
        Duration(value).resolve(run, "Warmup.duration")


@pytest.mark.parametrize("name", ["total_steps", "steps_per_epoch"])
@pytest.mark.parametrize("value", [0, -1, 1.5, 100.0, True, "100", float("nan")])
def test_run_length_refuses(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"{name} = .*at least 1.*{name}=1000"):
        RunLength(**{name: value})


def test_run_length_takes_numpy_ints_and_none() -> None:
    assert RunLength(np.int64(5), None) == RunLength(5)  # type: ignore[arg-type]
    assert RunLength() == RunLength(None, None)


@pytest.mark.parametrize(
    ("duration", "updates"),
    [
        pytest.param("3ep", 3, id="epochs"),
        pytest.param(300, 3, id="steps"),
        pytest.param("50%", 4, id="share-of-whole-epochs-half-up"),
        pytest.param("100%", 7, id="all"),
    ],
)
def test_clock_of_epochs_counts_epochs(duration: Any, updates: int) -> None:
    clock = Clock.of(RunLength(total_steps=650, steps_per_epoch=100), "epoch")
    assert clock.total == 7
    assert clock.updates(duration, "T_max") == updates


@pytest.mark.parametrize("duration", ["0.5ep", 150, "1 steps"])
def test_clock_of_epochs_refuses_parts_of_epochs(duration: Any) -> None:
    clock = Clock.of(RunLength(total_steps=650, steps_per_epoch=100), "epoch")
    with pytest.raises(ValueError, match=r"SGDR\.T_0 = .* does not end with an epoch \(100 steps\).*T_0='[12]ep'"):
        clock.updates(duration, "SGDR.T_0")


def test_clock_of_epochs_refuses_less_than_one_with_what_it_takes() -> None:
    clock = Clock.of(RunLength(total_steps=1000, steps_per_epoch=100), "epoch")
    with pytest.raises(ValueError, match=r"warmup = '4%' is less than one epoch here: 4% of 10 epochs.*warmup='1ep'"):
        clock.updates("4%", "warmup")


def test_clock_of_epochs_needs_their_length() -> None:
    with pytest.raises(ValueError, match="update = 'epoch' needs the steps per epoch"):
        Clock.of(RunLength(total_steps=650), "epoch")


@pytest.mark.parametrize("value", [10**15, "1e15ep", "1e-15ep", "1e-13%", 1e-15, "100%"])
def test_the_longest_and_the_shortest_durations_are_taken(value: Any) -> None:
    assert Duration(value) == Duration(Duration(value).plain)


@pytest.mark.parametrize("value", [10**15 + 1, "1.1e15ep", "0.9e-15ep", "0.9e-13%", 0.9e-15, "100.1%"])
def test_longer_and_shorter_ones_are_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^duration = .* is refused"):
        Duration(value)


def test_a_fraction_beyond_all_floats_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^duration = Fraction\(1000.* is refused"):
        Duration(Fraction(10**400))  # type: ignore[arg-type]
