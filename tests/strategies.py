"""Hypothesis strategies for plans and runs."""

from hypothesis import strategies as st

from lightning_lrsched import (
    SGDR,
    Constant,
    Cooldown,
    Cosine,
    Linear,
    MultiStep,
    OneCycle,
    Plan,
    RunLength,
    Schedule,
    Step,
    Warmup,
)

LEAST_STEPS = 400
runs = st.builds(RunLength, st.integers(LEAST_STEPS, 3000), st.just(20))
base_lrs = st.floats(1e-6, 10.0)
shares = st.integers(1, 100).map(lambda percent: f"{percent}%")
lengths = st.one_of(st.integers(1, 200), st.integers(1, 10).map(lambda n: f"{n}ep"), shares)
short = st.one_of(st.integers(2, 100), st.integers(1, 5).map(lambda n: f"{n}ep"))
floors = st.floats(0.0, 1e-3)
ratios = st.floats(0.0, 1.0)
gammas = st.floats(0.05, 1.0)


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
    return SGDR(periods=periods, max_ratios=peaks, eta_min=low)


schedules: st.SearchStrategy[Schedule] = st.one_of(
    st.builds(Constant, st.floats(0.01, 3.0), st.none() | short),
    st.builds(Linear, st.none() | short, start_factor=ratios, end_factor=ratios),
    st.builds(
        Cosine, st.none() | short, floors, inclusive=st.booleans(), num_cycles=st.sampled_from([0.5, 1.0, 1.5, 0.3])
    ),
    st.builds(Cosine, short, eta_min_ratio=ratios, periodic=st.just(True)),
    st.builds(SGDR, short, st.sampled_from([1, 1.5, 2, 3]), eta_min=floors, gamma=gammas),
    st.builds(SGDR, st.integers(2, 50), eta_min_ratio=ratios, inclusive=st.just(True)),
    explicit_cycles(),
    st.builds(
        OneCycle,
        st.none() | st.integers(50, 200),
        st.floats(0.1, 0.9),
        anneal_strategy=st.sampled_from(["cos", "linear"]),
    ),
    st.builds(OneCycle, pct_start=st.floats(0.1, 0.4), three_phase=st.just(True), final_div_factor=st.floats(1.0, 1e5)),
    st.builds(Step, short, gammas),
    st.builds(MultiStep, milestone_lists(), gammas),
)
warmups = st.one_of(
    st.builds(Warmup, st.integers(1, 50), st.sampled_from(["linear", "cosine", "exponential"])),
    st.builds(Warmup, shares.filter(lambda text: int(text[:-1]) <= 10), st.just("linear"), st.floats(0.0, 0.9)),
    st.builds(Warmup, st.integers(1, 50), st.sampled_from(["constant", "exponential"]), st.floats(0.01, 0.9)),
)
cooldowns = st.builds(Cooldown, st.integers(1, 50), st.sampled_from(["linear", "cosine"]), floors)
plans = st.builds(Plan, schedules, st.none() | warmups, st.none() | cooldowns)
