"""Hypothesis strategies for plans and runs."""

import math
from itertools import accumulate

from hypothesis import strategies as st

from lightning_lrsched import (
    REX,
    SGDR,
    WSD,
    Constant,
    Cooldown,
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
    Plan,
    Polynomial,
    Power,
    RunLength,
    Schedule,
    Sequence,
    Step,
    Tanh,
    Warmup,
)

LEAST_STEPS = 400
runs = st.builds(RunLength, st.integers(LEAST_STEPS, 3000), st.just(20))
base_lrs = st.floats(1e-6, 10.0)
shares = st.integers(1, 100).map(lambda percent: f"{percent}%")
lengths = st.one_of(st.integers(1, 200), st.integers(1, 10).map(lambda n: f"{n}ep"), shares)
short = st.one_of(st.integers(2, 100), st.integers(1, 5).map(lambda n: f"{n}ep"))
floors = st.floats(0.0, 1e-3, allow_subnormal=False)
ratios = st.floats(0.0, 1.0, allow_subnormal=False)
lows = st.floats(0.0, 0.9, allow_subnormal=False)
gammas = st.floats(0.05, 1.0)
powers = st.sampled_from([0.5, 0.9, 1.0, 2.0, 3.0])


def halving(step: int) -> float:
    """Return a factor that falls smoothly: a function that can be pickled."""
    return math.pow(0.5, step / 100)


def shrinking(step: int) -> float:
    """Return a factor from one step to the next."""
    return 1.0 - 1.0 / (step + 9)


@st.composite
def milestone_lists(draw: st.DrawFn) -> list[int]:
    """Return increasing milestones inside the shortest run."""
    return sorted(draw(st.sets(st.integers(1, 200), min_size=1, max_size=6)))


@st.composite
def explicit_cycles(draw: st.DrawFn) -> SGDR:
    """Return SGDR with a list for everything that may be one."""
    count = draw(st.integers(1, 5))
    periods = draw(st.lists(short, min_size=count, max_size=count))
    peaks = draw(st.lists(st.floats(0.1, 2.0), min_size=count, max_size=count))
    low = draw(st.lists(floors, min_size=count, max_size=count))
    rise = draw(st.none() | st.just(1) | st.lists(st.just(1), min_size=count - 1, max_size=count - 1))
    return SGDR(periods=periods, max_ratios=peaks, eta_min=low, cycle_warmup=rise)


@st.composite
def piecewise(draw: st.DrawFn) -> PiecewiseConstant | PiecewiseLinear:
    """Return a schedule that is given point by point."""
    turns = draw(milestone_lists())
    values = draw(st.lists(st.floats(0.0, 2.0), min_size=len(turns) + 1, max_size=len(turns) + 1))
    return PiecewiseLinear(turns, values) if draw(st.booleans()) else PiecewiseConstant(turns, values)


falling: st.SearchStrategy[Schedule] = st.one_of(
    st.builds(Linear, st.none() | short, end_factor=ratios),
    st.builds(Cosine, st.none() | short, eta_min_ratio=ratios, inclusive=st.booleans()),
    st.builds(Cosine, st.none() | short, eta_min_ratio=ratios, exponent=powers, k_decay=powers),
    st.builds(Polynomial, st.none() | short, powers, eta_min_ratio=ratios),
    st.builds(Exponential, gammas, short, eta_min_ratio=ratios, staircase=st.booleans()),
    st.builds(Power, short, powers, eta_min_ratio=ratios),
    st.builds(InverseSqrt, short),
    st.builds(REX, st.none() | short, eta_min_ratio=ratios),
    st.builds(Tanh, st.none() | short, lb=st.floats(-8.0, -1.0), ub=st.floats(0.0, 4.0), eta_min_ratio=ratios),
    st.builds(FlatCosine, st.floats(0.05, 0.95), eta_min_ratio=ratios),
    st.builds(WSD, short, st.sampled_from(["linear", "cosine", "1-sqrt", "polynomial"]), eta_min_ratio=ratios),
    st.builds(Step, short, gammas),
    st.builds(MultiStep, milestone_lists(), gammas),
    st.just(Lambda(halving)),
    st.just(Multiplicative(shrinking)),
)
"""Schedules that fall from the base lr, or stay, and never rise."""

cyclic: st.SearchStrategy[Schedule] = st.one_of(
    st.builds(SGDR, short, st.sampled_from([1, 1.5, 2, 3]), eta_min=floors, gamma=gammas),
    st.builds(SGDR, st.integers(2, 50), eta_min_ratio=ratios, inclusive=st.just(True)),
    st.builds(SGDR, st.integers(5, 50), st.sampled_from([1, 2]), gamma=gammas, cycle_warmup=st.integers(1, 4)),
    explicit_cycles(),
    st.builds(Cyclic, short, lows, step_size_down=st.none() | short, mode=st.just("triangular2")),
    st.builds(Cyclic, short, lows, mode=st.just("exp_range"), gamma=st.floats(0.9, 1.0)),
)
"""Schedules of cycles."""

single: st.SearchStrategy[Schedule] = st.one_of(
    falling,
    cyclic,
    piecewise(),
    st.builds(Constant, st.floats(0.0, 3.0), st.none() | short),
    st.builds(Linear, st.none() | short, start_factor=ratios, end_factor=ratios),
    st.builds(
        Cosine, st.none() | short, floors, inclusive=st.booleans(), num_cycles=st.sampled_from([0.5, 1.0, 1.5, 0.3])
    ),
    st.builds(Cosine, short, eta_min_ratio=ratios, periodic=st.just(True)),
    st.builds(
        OneCycle,
        st.none() | st.integers(50, 200),
        st.floats(0.1, 0.9),
        anneal_strategy=st.sampled_from(["cos", "linear"]),
        cycle_momentum=st.booleans(),
    ),
    st.builds(OneCycle, pct_start=st.floats(0.1, 0.4), three_phase=st.just(True), final_div_factor=st.floats(1.0, 1e5)),
)

_PARTS: st.SearchStrategy[Schedule] = st.one_of(
    st.builds(Cosine, st.none() | st.integers(2, 20), eta_min_ratio=ratios),
    st.builds(Linear, st.none() | st.integers(2, 20), start_factor=ratios, end_factor=ratios),
    st.builds(Exponential, gammas, st.integers(1, 20)),
    st.builds(Polynomial, power=powers),
    st.builds(Constant, ratios),
    st.builds(SGDR, st.integers(2, 20), gamma=gammas, eta_min_ratio=ratios),
    st.builds(Cyclic, st.integers(2, 20)),
    st.builds(Step, st.integers(1, 15), gammas),
    st.just(Lambda(halving)),
)


@st.composite
def sequences(draw: st.DrawFn) -> Sequence:
    """Return schedules in a row, each with at least 20 steps."""
    parts = draw(st.lists(_PARTS, min_size=2, max_size=4))
    turns = accumulate(draw(st.lists(st.integers(20, 90), min_size=len(parts) - 1, max_size=len(parts) - 1)))
    return Sequence(parts, list(turns), draw(st.sampled_from(["base", "reached"])))


schedules: st.SearchStrategy[Schedule] = st.one_of(single, sequences())
warmups = st.one_of(
    st.builds(Warmup, st.integers(1, 50), st.sampled_from(["linear", "cosine", "exponential"])),
    st.builds(Warmup, shares.filter(lambda text: int(text[:-1]) <= 10), st.just("linear"), st.floats(0.0, 0.9)),
    st.builds(Warmup, st.integers(1, 50), st.sampled_from(["constant", "exponential"]), st.floats(0.01, 0.9)),
    st.builds(Warmup, st.integers(1, 50), st.just("polynomial"), st.none() | st.floats(0.0, 0.9), power=powers),
)
overlaps = st.one_of(
    st.builds(
        Warmup,
        st.integers(1, 80),
        st.sampled_from(["linear", "cosine", "exponential", "polynomial", "saturating"]),
        overlap=st.just(True),
    ),
    st.builds(Warmup, st.integers(3, 300), st.just("radam")),
    st.builds(Warmup.untuned, st.sampled_from([0.9, 0.95, 0.99, 0.999]), st.sampled_from(["linear", "saturating"])),
)
cooldowns = st.builds(Cooldown, st.integers(1, 50), st.sampled_from(["linear", "cosine"]), floors)
plans = st.builds(Plan, schedules, st.none() | warmups | overlaps, st.none() | cooldowns)
