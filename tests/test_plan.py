"""Plans: the laws of warmup and cooldown, what does not fit, and that a plan is a value."""

import copy
import json
import pickle
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import lightning_lrsched
from lightning_lrsched import (
    SGDR,
    Constant,
    Cooldown,
    Cosine,
    Cyclic,
    Duration,
    Lambda,
    Linear,
    MultiStep,
    OneCycle,
    PiecewiseConstant,
    Plan,
    RunLength,
    Sequence,
    Step,
    Warmup,
)
from lightning_lrsched.phases import Level, Phase
from lightning_lrsched.plan import describe_part
from lightning_lrsched.room import Room, Schedule
from lightning_lrsched.shapes import Straight
from tests.strategies import cooldowns, halving, plans, runs, schedules, shrinking, warmups

RUN = RunLength(1000, 100)


@given(steps=st.integers(1, 500))
def test_warmup_uses_each_factor_once_and_the_peak_first_at_step_n(steps: int) -> None:
    timeline = Plan(Cosine(), warmup=steps).resolve(RunLength(1000))
    drawn = timeline.lr(np.arange(steps + 2), 0.1).tolist()
    assert drawn[:steps] == pytest.approx([0.1 * (t + 1) / (steps + 1) for t in range(steps)], rel=1e-14)
    assert drawn[steps] == 0.1
    assert drawn.count(0.1) == 1


@given(steps=st.integers(1, 500), start=st.floats(0.0, 0.99))
def test_warmup_from_a_start_factor(steps: int, start: float) -> None:
    timeline = Plan(Constant(), Warmup(steps, start_factor=start)).resolve(RunLength(1000))
    expected = [start + (1.0 - start) * t / steps for t in range(steps + 1)]
    assert timeline.lr(np.arange(steps + 1), 1.0) == pytest.approx(np.array(expected), rel=1e-12)


@pytest.mark.parametrize(
    ("warmup", "expected"),
    [
        pytest.param(Warmup(3), [0.25, 0.5, 0.75, 1.0], id="linear"),
        pytest.param(Warmup(3, "cosine"), [0.1464466, 0.5, 0.8535534, 1.0], id="cosine"),
        pytest.param(Warmup(3, "exponential"), [0.0316228, 0.1, 0.3162278, 1.0], id="exponential"),
        pytest.param(Warmup(4, start_factor=0.0), [0.0, 0.25, 0.5, 0.75, 1.0], id="linear-from-0"),
        pytest.param(Warmup(2, "cosine", 0.5), [0.5, 0.75, 1.0], id="cosine-from"),
        pytest.param(Warmup(2, "exponential", 0.01), [0.01, 0.1, 1.0], id="exponential-from"),
        pytest.param(Warmup(2, "constant", 0.3), [0.3, 0.3, 1.0], id="constant"),
    ],
)
def test_warmup_shapes(warmup: Warmup, expected: list[float]) -> None:
    timeline = Plan(Constant(), warmup).resolve(RunLength(50))
    assert [timeline.lr(t, 1.0) for t in range(len(expected))] == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize(
    ("warmup", "expected"),
    [
        pytest.param(Warmup(4, overlap=True), [0.25, 0.5, 0.75, 1.0, 1.0], id="linear"),
        pytest.param(Warmup(3, "cosine", overlap=True), [0.25, 0.75, 1.0, 1.0], id="cosine"),
        pytest.param(Warmup(4, "polynomial", power=2, overlap=True), [0.0625, 0.25, 0.5625, 1.0, 1.0], id="polynomial"),
        pytest.param(Warmup(2, "exponential", overlap=True), [0.1, 1.0, 1.0], id="exponential"),
        pytest.param(Warmup(2, "saturating"), [0.3934693, 0.6321206, 0.7768698, 0.8646647], id="saturating"),
    ],
)
def test_factors_of_warmups_that_overlap(warmup: Warmup, expected: list[float]) -> None:
    timeline = Plan(Constant(), warmup).resolve(RunLength(50))
    assert [timeline.lr(t, 1.0) for t in range(len(expected))] == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize(
    ("beta2", "shape", "steps"),
    [
        pytest.param(0.0, "saturating", 1, id="least"),
        pytest.param(0.999, "linear", 2000, id="Adam's"),
        pytest.param(0.999, "radam", 1000, id="once"),
        pytest.param(1 - 2e-15, "linear", 10**15, id="most"),
    ],
)
def test_an_untuned_warmup_has_its_length_from_beta2(beta2: float, shape: str, steps: int) -> None:
    assert Warmup.untuned(beta2, shape) == Warmup(steps, shape, overlap=True)


@given(main=schedules, warmup=warmups)
def test_warmup_leads_to_the_first_value_of_the_main_schedule(main: Schedule, warmup: Warmup) -> None:
    timeline = Plan(main, warmup).resolve(RunLength(2000, 20))
    begin = timeline.boundaries[1]
    drawn = timeline.lr(np.arange(begin + 1), 0.1)
    assert timeline.phase_at(0).name == "warmup"
    assert drawn.max() <= drawn[-1] * (1 + 1e-12)
    assert drawn[-1] == pytest.approx(0.1 * timeline.level_at(begin).scale + timeline.level_at(begin).offset)


@given(main=schedules, cooldown=cooldowns)
def test_cooldown_joins_the_value_reached(main: Schedule, cooldown: Cooldown) -> None:
    run = RunLength(2000, 20)
    alone = Plan(main).resolve(RunLength(2000 - int(str(cooldown.duration)), 20))
    timeline = Plan(main, cooldown=cooldown).resolve(run)
    begin = timeline.boundaries[-2]
    assert timeline.lr(np.arange(begin), 0.1).tolist() == alone.lr(np.arange(begin), 0.1).tolist()
    assert timeline.lr(2000, 0.1) == pytest.approx(cooldown.eta_min, abs=1e-15)
    assert timeline.phase_at(begin).name == "cooldown"


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        pytest.param(Plan(Constant(), cooldown=2), [1, 1, 1, 0.5, 0.0], id="constant"),
        pytest.param(Plan(Linear(end_factor=0.5), cooldown=2), [1, 0.75, 0.5, 0.25, 0.0], id="linear"),
        pytest.param(Plan(Linear(1, end_factor=0.5), cooldown=2), [1, 0.5, 0.5, 0.25, 0.0], id="held"),
        pytest.param(Plan(MultiStep([1], 0.5), cooldown=2), [1, 0.5, 0.5, 0.25, 0.0], id="plateau"),
        pytest.param(Plan(SGDR(periods=[4]), cooldown=2), [1, 0.8535534, 0.5, 0.25, 0.0], id="cut-cycle"),
        pytest.param(Plan(Cosine(2, 0.6, inclusive=True), cooldown=2), [1, 0.6, 0.4, 0.2, 0.0], id="inclusive"),
        pytest.param(Plan(Constant(), 1, Cooldown(2, eta_min=0.5)), [0.5, 1.0, 1.0, 0.75, 0.5], id="floor"),
    ],
)
def test_cooldown_values(plan: Plan, expected: list[float]) -> None:
    timeline = plan.resolve(RunLength(4))
    assert [timeline.lr(t, 1.0) for t in range(5)] == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize(
    "main",
    [
        pytest.param(OneCycle(cycle_momentum=True, base_momentum=0.8, max_momentum=0.9), id="OneCycle"),
        pytest.param(Cyclic(20, cycle_momentum=True, base_momentum=0.8, max_momentum=0.9), id="Cyclic"),
    ],
)
def test_a_momentum_is_held_through_warmup_and_cooldown(main: Schedule) -> None:
    curve = Plan(main, 10, 10).resolve_others(RunLength(100))["momentum"].lr(np.arange(100), 1.0).tolist()
    alone = Plan(main).resolve_others(RunLength(80))["momentum"].lr(np.arange(81), 1.0).tolist()
    assert curve == [0.9] * 10 + alone[:80] + [alone[80]] * 10
    assert alone[80] == pytest.approx(0.9)
    assert min(alone) == pytest.approx(0.8, abs=1e-3)


@pytest.mark.parametrize("duration", [10, "10 steps", "10", "0.1ep", "1%", 0.01, Duration(10), np.int64(10)])
def test_bare_duration_is_a_linear_warmup_and_a_linear_cooldown(duration: Any) -> None:
    plan = Plan(Constant(), duration, duration)
    assert plan == Plan(Constant(), Warmup(duration), Cooldown(duration))
    assert plan.resolve(RUN).boundaries == (0, 10, 990, 1000)


def test_equal_plans_are_equal_however_they_are_written() -> None:
    assert Plan(Cosine(), "500 steps") == Plan(Cosine(), 500)
    assert hash(Plan(Cosine(), "5%")) == hash(Plan(Cosine(), 0.05))
    assert Plan(SGDR(periods=["1ep", 5], eta_min=[1, 2])) == Plan(
        SGDR(periods=("1 epoch", "5 steps"), eta_min=(1.0, 2))
    )
    assert Plan(Cosine()) != Plan(Cosine(inclusive=True))


def test_a_plan_with_other_values_is_a_value_too() -> None:
    others: dict[str, Schedule] = {"weight_decay": Linear(end_factor=2), "momentum": Cosine()}
    plan, turned = Plan(Cosine(), others=others), Plan(Cosine(), others=dict(reversed(others.items())))
    others.clear()
    assert plan == turned == eval(repr(plan), NAMES)
    assert hash(plan) == hash(turned)
    assert set(plan.others or {}) == {"weight_decay", "momentum"}


NAMES = {**vars(lightning_lrsched), "halving": halving, "shrinking": shrinking}


@given(plan=plans, run=runs)
def test_plan_is_a_value(plan: Plan, run: RunLength) -> None:
    for twin in (pickle.loads(pickle.dumps(plan)), copy.deepcopy(plan), eval(repr(plan), NAMES)):
        assert twin == plan
        assert hash(twin) == hash(plan)
        assert repr(twin) == repr(plan)
        assert twin.resolve(run) == plan.resolve(run)
    timeline = plan.resolve(run)
    assert pickle.loads(pickle.dumps(timeline)).lr(123, 0.1) == timeline.lr(123, 0.1)
    assert copy.deepcopy(timeline) == timeline == plan.resolve(run)


@given(main=schedules)
def test_schedule_is_a_value(main: Schedule) -> None:
    assert eval(repr(main), NAMES) == main
    assert pickle.loads(pickle.dumps(main)) == main
    assert copy.deepcopy(main) == main
    assert hash(main) == hash(copy.deepcopy(main))


def _primitive(value: object) -> bool:
    if isinstance(value, dict):
        return all(type(key) is str and _primitive(each) for key, each in value.items())
    if isinstance(value, list):
        return all(_primitive(each) for each in value)
    return value is None or type(value) in (bool, int, float, str)


@given(plan=plans)
def test_to_dict_holds_primitives_only(plan: Plan) -> None:
    found = plan.to_dict()
    assert _primitive(found)
    assert list(found) == ["main", "warmup", "cooldown"]
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert yaml.safe_load(yaml.safe_dump(found)) == found


def test_to_dict() -> None:
    assert Plan(Step("30ep"), "5%").to_dict() == {
        "main": {"class": "Step", "step_size": "30ep"},
        "warmup": {"class": "Warmup", "duration": "5%"},
        "cooldown": None,
    }


def test_to_dict_of_schedules_inside_and_of_functions() -> None:
    plan = Plan(Sequence([Constant(0.5), Lambda(halving)], ["3ep"]), others={"weight_decay": Linear(end_factor=2.0)})
    assert plan.to_dict() == {
        "main": {
            "class": "Sequence",
            "schedules": [
                {"class": "Constant", "factor": 0.5},
                {"class": "Lambda", "lr_lambda": "tests.strategies.halving"},
            ],
            "milestones": ["3ep"],
        },
        "warmup": None,
        "cooldown": None,
        "others": {"weight_decay": {"class": "Linear", "end_factor": 2.0}},
    }
    assert describe_part(Lambda(partial(halving))) == {"class": "Lambda", "lr_lambda": "functools.partial"}


@pytest.mark.parametrize(
    "plan",
    [
        pytest.param(Plan(Cosine(eta_min=np.float32(0.5))), id="float32"),  # type: ignore[arg-type]
        pytest.param(Plan(SGDR(np.int64(10), np.float64(1.5), gamma=np.float64(0.5))), id="float64"),  # type: ignore[arg-type]
        pytest.param(Plan(SGDR(periods=[np.int64(5)], max_ratios=[np.float64(0.5)])), id="list"),  # type: ignore[list-item]
        pytest.param(Plan(PiecewiseConstant([5], list(np.linspace(1, 0.5, 2)))), id="values"),
        pytest.param(Plan(Constant(np.float64(0.5)), Warmup(5, start_factor=np.float64(0.5))), id="warmup"),
        pytest.param(Plan(Constant(), cooldown=Cooldown(5, eta_min=np.float64(0.5))), id="cooldown"),
    ],
)
def test_numpy_numbers_become_plain_ones(plan: Plan) -> None:
    assert _primitive(plan.to_dict())
    assert eval(repr(plan), vars(lightning_lrsched)) == plan


@pytest.mark.parametrize(
    ("plan", "run", "words"),
    [
        pytest.param(Plan(Constant(), 1000), RUN, r"warmup 1000 steps .* nothing of 1000 steps.*example", id="warmup"),
        pytest.param(Plan(Constant(), "60%", "40%"), RUN, r"cooldown 400 steps leave nothing.*example", id="both"),
        pytest.param(Plan(Cosine(1001)), RUN, r"Cosine\.T_max = 1001 .*1000 steps are left.*example", id="T_max"),
        pytest.param(
            Plan(Cosine("10ep"), 1), RUN, r"Cosine\.T_max = '10ep' .*999 steps are left.*example", id="after-warmup"
        ),
        pytest.param(Plan(SGDR("11ep")), RUN, r"SGDR\.T_0 = '11ep' .*1100 steps.*1000 steps.*example", id="T_0"),
        pytest.param(Plan(Linear(2000)), RUN, r"Linear\.total_iters = 2000 .*example", id="linear"),
        pytest.param(Plan(Step(1000)), RUN, r"Step\.step_size = 1000 lies outside the run.*example", id="step"),
        pytest.param(
            Plan(MultiStep([10, "10ep"])),
            RUN,
            r"MultiStep\.milestones\[1\] = '10ep' lies outside.*example",
            id="milestone",
        ),
        pytest.param(Plan(Cosine()), RunLength(), r"Cosine\.T_max = None .*Pass total_steps", id="no-end"),
        pytest.param(Plan(Constant(), cooldown=5), RunLength(), r"cooldown = .*Pass total_steps", id="cooldown-no-end"),
        pytest.param(Plan(Constant(), "5%"), RunLength(), r"Warmup\.duration = '5%' .*Pass total_steps", id="share"),
        pytest.param(
            Plan(Constant(), "5ep"), RunLength(10), r"Warmup\.duration = '5ep' .*Pass steps_per_epoch", id="epochs"
        ),
    ],
)
def test_plan_that_does_not_fit_is_told(plan: Plan, run: RunLength, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        plan.resolve(run)


def test_messages_of_epoch_updates_count_epochs() -> None:
    with pytest.raises(ValueError, match=r"Cosine\.T_max = '11ep' .*it takes 11 epochs, and 10 epochs are left"):
        Plan(Cosine("11ep")).resolve(RUN, update="epoch")


@dataclass(frozen=True, repr=False)
class _Own(Schedule):
    """A schedule of a user's own: a thousand and one steps, whatever its room."""

    def phases(self, room: Room) -> list[Phase]:
        return [Phase("own", 1001, Level(1.0), Level(0.0), Straight())]


@dataclass(frozen=True, repr=False)
class _OwnCycles(_Own):
    @property
    def open_ended(self) -> bool:
        return True


def test_a_schedule_of_ones_own_is_cut_only_if_it_says_so() -> None:
    with pytest.raises(ValueError, match=r"^_Own\(\) does not fit the run: 1000 steps are left for it\. .* example"):
        Plan(_Own()).resolve(RUN)
    cut, whole = (Plan(_OwnCycles()).resolve(RunLength(total)) for total in (1000, 1001))
    assert cut.boundaries == (0, 1000)
    assert cut.lr(999, 1.0) == whole.lr(999, 1.0) == Plan(_Own()).resolve(RunLength(1001)).lr(999, 1.0)


class _Silent(Schedule):
    def phases(self, room: Room) -> list[Phase]:
        return []

    def __repr__(self) -> str:
        return "Silent()"


def test_schedule_without_a_phase_is_told() -> None:
    with pytest.raises(ValueError, match=r"Silent\(\) built no phase"):
        Plan(_Silent()).resolve(RUN)
