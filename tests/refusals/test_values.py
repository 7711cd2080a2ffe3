"""Every length and every number of every constructor, against every kind of value that is none."""

import ast
import re
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from lightning_lrsched import (
    REX,
    SGDR,
    WSD,
    Constant,
    Cooldown,
    Cosine,
    Cyclic,
    Duration,
    Exponential,
    FlatCosine,
    InverseSqrt,
    Linear,
    MultiStep,
    OneCycle,
    PiecewiseConstant,
    PiecewiseLinear,
    Plan,
    Polynomial,
    Power,
    Sequence,
    Step,
    Tanh,
    Warmup,
)
from tests.refusals.check import INF, NAN, check_refused, shown

FLOORED: tuple[Callable[..., Any], ...] = (Polynomial, REX, Tanh, FlatCosine, Exponential, Power, WSD)
FLOORS = ("eta_min", "eta_min_ratio")
NEEDED: dict[Callable[..., Any], Any] = {Exponential: 0.9, Power: 5, WSD: 5}


def _floored(owner: Callable[..., Any], floor: str, value: object) -> Any:
    return owner(*([NEEDED[owner]] if owner in NEEDED else []), **{floor: value})


LENGTHS: dict[str, Callable[[Any], Any]] = {
    "duration": Duration,
    "Warmup.duration": Warmup,
    "Cooldown.duration": Cooldown,
    "warmup": lambda value: Plan(Constant(), value),
    "cooldown": lambda value: Plan(Constant(), None, value),
    "Constant.total_iters": lambda value: Constant(0.5, value),
    "Linear.total_iters": Linear,
    "Cosine.T_max": Cosine,
    "SGDR.T_0": SGDR,
    "SGDR.periods[1]": lambda value: SGDR(periods=[5, value]),
    "OneCycle.total_steps": OneCycle,
    "Step.step_size": Step,
    "MultiStep.milestones[0]": lambda value: MultiStep([value]),
    "Polynomial.total_iters": Polynomial,
    "Exponential.decay_period": lambda value: Exponential(0.9, value),
    "Power.s": Power,
    "InverseSqrt.timescale": InverseSqrt,
    "REX.total_iters": REX,
    "Tanh.total_iters": Tanh,
    "Cyclic.step_size_up": Cyclic,
    "Cyclic.step_size_down": lambda value: Cyclic(5, step_size_down=value),
    "WSD.decay": WSD,
    "PiecewiseConstant.boundaries[0]": lambda value: PiecewiseConstant([value], [1, 0.5]),
    "PiecewiseLinear.times[1]": lambda value: PiecewiseLinear([5, value], [1, 0.5, 0]),
    "Sequence.milestones[0]": lambda value: Sequence([Constant(), Cosine()], [value]),
    "SGDR.cycle_warmup": lambda value: SGDR(10, cycle_warmup=value),
    "SGDR.cycle_warmup[0]": lambda value: SGDR(periods=[5, 6], cycle_warmup=[value]),
}
LISTED_LENGTHS = ("SGDR.cycle_warmup",)  # these take lists too
BAD_LENGTHS = {
    "zero": 0,
    "negative": -5,
    "bool": True,
    "zero-share": 0.0,
    "negative-share": -0.1,
    "nan": NAN,
    "inf": INF,
    "huge": 10**400,
    "huge-float": 1e308,
    "tiny-float": 1e-320,
    "empty-text": "",
    "word": "soon",
    "weeks": "5 weeks",
    "text-negative": "-5%",
    "text-zero": "0ep",
    "text-over-100%": "101%",
    "text-nan": "nan",
    "text-inf": "inf",
    "text-parts-of-steps": "1.5 steps",
    "text-1e999": "1e999 steps",
    "text-1e99999999": "1e99999999 steps",
    "text-1e-99999999": "1e-99999999%",
    "text-two-units": "5 steps ep",
    "text-underscores": "1__0",
    "text-other-digits": "٣",
    "text-long": "1." + "0" * 5000,
    "bytes": b"5",
    "list": [5],
    "dict": {"steps": 5},
    "set": {5},
    "decimal": Decimal("0.5"),
    "array": np.array([1, 2]),
    "tensor": torch.tensor(5),
    "complex": 1j,
    "type": Warmup,
}

NUMBERS: dict[str, Callable[[Any], Any]] = {
    "Constant.factor": Constant,
    "Linear.start_factor": lambda value: Linear(start_factor=value),
    "Linear.end_factor": lambda value: Linear(end_factor=value),
    "Cosine.eta_min": lambda value: Cosine(eta_min=value),
    "Cosine.eta_min_ratio": lambda value: Cosine(eta_min_ratio=value),
    "Cosine.num_cycles": lambda value: Cosine(num_cycles=value),
    "SGDR.T_mult": lambda value: SGDR(10, value),
    "SGDR.eta_min": lambda value: SGDR(10, eta_min=value),
    "SGDR.eta_min_ratio": lambda value: SGDR(10, eta_min_ratio=value),
    "SGDR.gamma": lambda value: SGDR(10, gamma=value),
    "SGDR.max_ratios[0]": lambda value: SGDR(periods=[5], max_ratios=[value]),
    "SGDR.eta_min[0]": lambda value: SGDR(periods=[5], eta_min=[value]),
    "SGDR.eta_min_ratio[0]": lambda value: SGDR(periods=[5], eta_min_ratio=[value]),
    "OneCycle.pct_start": lambda value: OneCycle(pct_start=value),
    "OneCycle.div_factor": lambda value: OneCycle(div_factor=value),
    "OneCycle.final_div_factor": lambda value: OneCycle(final_div_factor=value),
    "Step.gamma": lambda value: Step(10, value),
    "MultiStep.gamma": lambda value: MultiStep([10], value),
    "Warmup.start_factor": lambda value: Warmup(5, start_factor=value),
    "Cooldown.eta_min": lambda value: Cooldown(5, eta_min=value),
    "Warmup.power": lambda value: Warmup(5, "polynomial", power=value),
    "Warmup.untuned.beta2": Warmup.untuned,
    "Cosine.exponent": lambda value: Cosine(exponent=value),
    "Cosine.k_decay": lambda value: Cosine(k_decay=value),
    "Polynomial.power": lambda value: Polynomial(power=value),
    "Exponential.gamma": Exponential,
    "Power.c": lambda value: Power(5, value),
    "Tanh.lb": lambda value: Tanh(lb=value, ub=0.5 if type(value) is float else 3),
    "Cyclic.base_ratio": lambda value: Cyclic(5, value),
    "Cyclic.gamma": lambda value: Cyclic(5, mode="exp_range", gamma=value),
    "Cyclic.base_momentum": lambda value: Cyclic(5, base_momentum=value),
    "OneCycle.max_momentum": lambda value: OneCycle(max_momentum=value),
    "WSD.power": lambda value: WSD(5, "polynomial", power=value),
    "FlatCosine.pct_start": FlatCosine,
    "PiecewiseConstant.values[0]": lambda value: PiecewiseConstant([5], [value, 1]),
    "PiecewiseLinear.values[1]": lambda value: PiecewiseLinear([5], [1, value]),
    **{f"{owner.__name__}.{floor}": partial(_floored, owner, floor) for owner in FLOORED for floor in FLOORS},
}
SIGNED = ("Tanh.lb",)  # these may be below zero
LISTED = ("SGDR.eta_min", "SGDR.eta_min_ratio")  # these take lists too
BAD_NUMBERS = {
    "negative": -0.1,
    "nan": NAN,
    "inf": INF,
    "huge": 10**400,
    "bool": True,
    "text": "0.1",
    "dict": {},
    "set": {1},
    "nested-list": [[1]],
    "decimal": Decimal("0.5"),
    "array": np.array([0.1, 0.2]),
    "tensor": torch.tensor(0.5),
    "complex": 1j,
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param(name, value, id=f"{name}-{key}")
        for name in LENGTHS
        for key, value in BAD_LENGTHS.items()
        if not (isinstance(value, list) and name in LISTED_LENGTHS)
    ],
)
def test_lengths(name: str, value: Any) -> None:
    check_refused(name, lambda: LENGTHS[name](value), shown(value))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param(name, value, id=f"{name}-{key}")
        for name in NUMBERS
        for key, value in BAD_NUMBERS.items()
        if not (isinstance(value, list) and name in LISTED) and not (key == "negative" and name in SIGNED)
    ],
)
def test_numbers(name: str, value: Any) -> None:
    check_refused(name, lambda: NUMBERS[name](value), shown(value))


@pytest.mark.parametrize("name", LENGTHS)
@pytest.mark.parametrize(
    ("value", "readings"),
    [
        pytest.param(1.5, ["=1,", "'1.5%'"], id="1.5"),
        pytest.param(5.0, ["=5,", "'5%'", "=0.05"], id="5.0"),
        pytest.param("2.0", ["=2,", "'2%'", "=0.02"], id="text"),
        pytest.param(1.0, ["=1,", "'1%'", "=0.01"], id="1.0"),
        pytest.param(Fraction(3, 2), ["=1,", "'1.5%'"], id="fraction"),
        pytest.param(np.float32(3.0), ["=3,", "'3%'"], id="float32"),
    ],
)
def test_float_of_1_or_more_is_refused_with_both_readings(name: str, value: Any, readings: list[str]) -> None:
    with pytest.raises(ValueError, match=r"can be read in two ways: for steps write") as caught:
        LENGTHS[name](value)
    message = str(caught.value)
    assert message.startswith(name)
    assert repr(value) in message
    assert all(reading in message for reading in readings)


@pytest.mark.parametrize("name", LENGTHS)
@pytest.mark.parametrize(
    ("value", "steps"),
    [
        pytest.param(500.0, 500, id="500.0"),
        pytest.param(250.0, 250, id="250.0"),
        pytest.param(100.5, 100, id="100.5"),
        pytest.param("1e3", 1000, id="text"),
    ],
)
def test_float_above_100_is_steps_and_no_share(name: str, value: Any, steps: int) -> None:
    with pytest.raises(ValueError, match=r"it is too much for a share of the run") as caught:
        LENGTHS[name](value)
    message, short = str(caught.value), name.rpartition(".")[2]
    assert message.startswith(f"{name} = {value!r} is refused")
    assert message.endswith(f"for steps write {short}={steps}, for a share of the run for example {short}='5%'")


@pytest.mark.parametrize("value", [1.0, 1.5, 5.0, 33.3, 99.9, 100.0, 250.0, 500.0, "1e3", "1e2", "1.0"])
def test_every_duration_that_a_refused_float_is_told_to_write_is_taken(value: Any) -> None:
    with pytest.raises(ValueError, match=r"duration = .* is refused") as caught:
        Duration(value)
    offered = re.findall(r"duration=('[^']*'|\d+(?:\.\d+)?)", str(caught.value))
    meant = {Duration(ast.literal_eval(written)) for written in offered}
    shares = {f"{value}%"} if float(value) <= 100 else {"5%"}
    shares |= {"100%"} if float(value) == 1 else set()
    assert meant == {Duration(int(float(value))), *map(Duration, shares)}


@pytest.mark.parametrize(
    ("make", "allowed"),
    [
        pytest.param(SGDR, r"T_0 = None .* given, or periods=\[\.\.\.\] instead of it", id="none"),
        pytest.param(
            lambda: SGDR(["1ep", "2ep"]),  # type: ignore[arg-type]
            r"T_0 = \['1ep', '2ep'\] .* one length, .* are periods=\[",
            id="list",
        ),
        pytest.param(lambda: SGDR("1ep", periods=["1ep"]), r"T_0 = '1ep' .* one of the two is enough", id="both"),
    ],
)
def test_the_cycles_of_sgdr_are_given_once(make: Callable[[], SGDR], allowed: str) -> None:
    with pytest.raises(ValueError, match=rf"SGDR\.{allowed}.*For example: .*SGDR\(periods=\['10ep', '20ep'\]\)"):
        make()


@pytest.mark.parametrize(
    ("make", "allowed"),
    [
        pytest.param(
            lambda: SGDR(5, eta_min=[0.1]), r"eta_min = .*: it must be a number without periods\.", id="floors"
        ),
        pytest.param(
            lambda: SGDR(5, max_ratios=[1.0]), r"max_ratios = .*: it must be left out without periods\.", id="peaks"
        ),
        pytest.param(
            lambda: SGDR(periods=[5, 5], eta_min=[0.1]),
            r"eta_min = .*: it must be a list of 2 numbers, one for each period\.",
            id="too few",
        ),
        pytest.param(
            lambda: Sequence([Constant(), Cosine()], [5, 6]),
            r"milestones = .*: it must be a list of 1 durations, one less than schedules\.",
            id="too many",
        ),
    ],
)
def test_a_list_that_does_not_match_is_told_what_would(make: Callable[[], Any], allowed: str) -> None:
    with pytest.raises(ValueError, match=allowed):
        make()


def test_nothing_is_changed_by_a_refusal() -> None:
    periods: list[Any] = [5, "soon"]
    with pytest.raises(ValueError, match=r"SGDR\.periods\[1\] = 'soon'"):
        SGDR(periods=periods)
    assert periods == [5, "soon"]


def test_value_without_a_repr_is_refused_all_the_same() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError("no repr")

    with pytest.raises(ValueError, match=r"duration = a value of type Broken .*example"):
        Duration(Broken())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"duration = a value of type int .*example"):
        Duration(10**5000)
