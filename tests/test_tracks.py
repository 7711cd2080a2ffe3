"""What a track writes into groups, step after step, is the timeline's value, whatever the groups are like."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lightning_lrsched import Cosine, Plan, RunLength, Timeline
from lightning_lrsched.tracks import Group, Groups, Track
from tests.strategies import plans, runs

KINDS: dict[str, Callable[[float], Any]] = {
    "float": float,
    "single": lambda value: torch.tensor(value, dtype=torch.float32),
    "double": lambda value: torch.tensor(value, dtype=torch.float64),
}
KEYS = ["lr", "weight_decay", "momentum", "betas"]
BLOCK = 1024  # more than what is computed at once
groups = st.lists(
    st.fixed_dictionaries({"base": st.sampled_from([0.1, 0.02, 0.5]), "kind": st.sampled_from(sorted(KINDS))}),
    min_size=1,
    max_size=5,
)
many = st.integers(20, 45).map(lambda count: [{"base": 0.1 / (each + 1), "kind": "float"} for each in range(count)])
choices = st.builds(
    Groups,
    st.frozensets(st.one_of(st.integers(0, 5), st.sampled_from(["a", "b", "c", "d", "e"]))),
    st.booleans(),
)


def made(description: list[dict[str, Any]], key: str) -> list[Group]:
    """Groups as an optimizer has them, named in the order of the alphabet."""
    found: list[Group] = []
    for name, each in zip("abcde" * 9, description, strict=False):
        value = KINDS[each["kind"]](each["base"])
        found.append({"name": name, "lr": 0.3, **({key: value} if key != "betas" else {"betas": (value, 0.999)})})
    return found


def track_of(timeline: Timeline, key: str, chosen: Groups) -> Track:
    return Track(timeline, "momentum" if key == "betas" else key, chosen)


def read(group: Group, key: str) -> float:
    return float(group["betas"][0] if key == "betas" else group[key])


def rounded(value: float, like: Any) -> float:
    """The value as a group holds it."""
    return float(torch.tensor(value, dtype=like.dtype)) if isinstance(like, Tensor) else value


@given(
    plan=plans,
    run=runs,
    description=st.one_of(groups, many),
    chosen=choices,
    key=st.sampled_from(KEYS),
    start=st.integers(0, 500),
    count=st.sampled_from([1, 33, BLOCK + 3]),
)
def test_each_chosen_group_gets_the_timelines_value_at_every_step(
    *, plan: Plan, run: RunLength, description: list[dict[str, Any]], chosen: Groups, key: str, start: int, count: int
) -> None:
    timeline, there = plan.resolve(run), made(description, key)
    bases = [read(group, key) for group in there]
    kinds = [group["betas"][0] if key == "betas" else group[key] for group in there]
    mine = [chosen.has(index, group) for index, group in enumerate(there)]
    track = track_of(timeline, key, chosen)
    track.pair(there)
    writes = track.follow(start)
    steps = np.arange(start, start + count)
    curves = [timeline.lr(steps, base).tolist() for base in bases]
    for at in range(count):
        next(writes)
        found = [read(group, key) for group in there]
        wanted = [curve[at] if yes else base for curve, yes, base in zip(curves, mine, bases, strict=True)]
        assert found == [rounded(value, kind) for value, kind in zip(wanted, kinds, strict=True)], f"step {start + at}"
    for group, kind in zip(there, kinds, strict=True):
        held = group["betas"][0] if key == "betas" else group[key]
        assert not isinstance(kind, Tensor) or held is kind


@given(
    plan=plans,
    run=runs,
    description=groups,
    chosen=choices,
    at=st.integers(0, 60),
    which=st.integers(0, 4),
    found=st.sampled_from([0.7, float("nan"), 0.0]),
)
def test_a_group_that_something_else_sets_is_found_and_no_other(
    *,
    plan: Plan,
    run: RunLength,
    description: list[dict[str, Any]],
    chosen: Groups,
    at: int,
    which: int,
    found: float,
) -> None:
    timeline, there = plan.resolve(run), made(description, "lr")
    track = Track(timeline, "lr", chosen)
    track.pair(there)
    writes = track.follow(0)
    for _ in range(at + 1):
        next(writes)
    plain = all(each["kind"] != "single" for each in description)  # a tensor of 24 bits is looked at more closely
    assert list(track.strays(at)) == []
    assert track.holds(at, [float(group["lr"]) for group in there]) or not plain
    index = which % len(there)
    expected = timeline.lr(at, float(there[index].get("initial_lr", 0.1)))
    if abs(found - expected) <= 1e-6 * abs(expected) + 1e-30:
        return
    there[index]["lr"] = found
    strays = [(index, expected)] if chosen.has(index, there[index]) else []
    assert list(track.strays(at)) == strays
    holds = track.holds(at, [float(group["lr"]) for group in there])
    assert holds is (not strays) if plain else not (holds and strays)


@given(
    plan=plans,
    run=runs,
    description=groups,
    changes=st.lists(st.one_of(st.integers(0, 4), st.sampled_from([0.1, 0.03])), min_size=1, max_size=4),
)
def test_groups_that_come_and_go_begin_at_their_own_base(
    plan: Plan, run: RunLength, description: list[dict[str, Any]], changes: list[float]
) -> None:
    timeline, there = plan.resolve(run), made(description, "lr")
    bases = {id(group): float(group["lr"]) for group in there}
    track, step = Track(timeline, "lr", Groups()), 0
    for change in changes:
        if isinstance(change, int):
            del there[change : change + 1]
        else:
            there.append({"lr": change})
            bases[id(there[-1])] = change
        track.pair(there)
        writes = track.follow(step)
        for _ in range(7):
            next(writes)
            for group in there:
                assert float(group["lr"]) == rounded(timeline.lr(step, bases[id(group)]), group["lr"])
            step += 1


def test_it_holds_at_every_step_also_where_the_next_values_are_computed_and_past_the_end() -> None:
    there: list[Group] = [{"lr": 0.1}, {"lr": 0.02}]
    track = Track(Plan(Cosine()).resolve(RunLength(2100)), "lr", Groups())
    track.pair(there)
    writes = track.follow(0)
    for step in range(4500):
        next(writes)
        used = [group["lr"] for group in there]
        assert track.holds(step, used)
        assert not track.holds(step, [used[0], used[1] + 1e-9])


def test_a_track_without_groups_writes_nothing_and_never_ends() -> None:
    track = Track(Plan(Cosine()).resolve(RunLength(5)), "lr", Groups(others=False))
    track.pair([{"lr": 0.1}])
    writes = track.follow(0)
    assert [next(writes) for _ in range(9)] == [None] * 9
    assert track.holds(9, [0.1])
    assert list(track.strays(9)) == []


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many steps of a timeline are computed each time."""
    sizes: list[int] = []
    levels = Timeline.levels

    def counted(self: Timeline, steps: Any) -> Any:
        sizes.append(steps.size)
        return levels(self, steps)

    monkeypatch.setattr(Timeline, "levels", counted)
    return sizes


@pytest.mark.parametrize(("groups", "lanes", "steps"), [(1, 1, 4096), (8, 1, 4096), (8, 8, 512), (1000, 1, 32)])
def test_many_groups_with_one_lr_are_computed_in_small_blocks(
    asked: list[int], groups: int, lanes: int, steps: int
) -> None:
    track = Track(Plan(Cosine()).resolve(RunLength(10_000)), "lr", Groups())
    track.pair([{"lr": 0.1 / (1 + index % lanes)} for index in range(groups)])
    next(track.follow(0))
    assert asked == [steps]


@pytest.mark.parametrize("past", [0, 3])
def test_past_the_end_of_the_plan_values_are_not_computed_step_by_step(asked: list[int], past: int) -> None:
    timeline, group = Plan(Cosine(eta_min=0.01)).resolve(RunLength(50)), {"lr": 0.1}
    track = Track(timeline, "lr", Groups())
    track.pair([group])
    writes = track.follow(50 + past)
    for _ in range(900):
        next(writes)
        assert group["lr"] == 0.01
    assert len(asked) == 1
