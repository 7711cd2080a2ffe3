"""What is printed before training, and recorded, is what each parameter group will do."""

import re
from pathlib import Path
from typing import Any

import pytest
from torch.optim import SGD, Optimizer

from lightning_lrsched import (
    REX,
    SGDR,
    Constant,
    Cosine,
    LearningRateScheduler,
    Linear,
    Plan,
    RunLength,
    Sequence,
    Step,
)
from lightning_lrsched.callbacks.recipe import Recipe
from lightning_lrsched.describe import flat_params, plan_table
from tests.callbacks.interruptions import Stops
from tests.callbacks.models import LR, Tiny, make_trainer, two_groups

RUN = RunLength(20, 10)


def named(module: Tiny) -> Optimizer:
    groups: list[dict[str, Any]] = [
        {"params": [module.weight], "name": "head"},
        {"params": [module.bias], "name": "backbone", "lr": LR / 10},
    ]
    return SGD(groups, lr=LR)


def printed(tmp_path: Path, caplog: pytest.LogCaptureFixture, main: Any, groups: Any, configure: Any = named) -> str:
    """What a fit of two epochs prints of its plan."""
    with caplog.at_level("INFO"):
        callback = LearningRateScheduler(main, warmup="10%", groups=groups)
        make_trainer(tmp_path, callback).fit(Tiny(configure))
    return next(message for message in caplog.messages if "20 steps, 10 per epoch" in message)


def test_a_plan_that_no_group_follows_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    plan = Plan(Linear(), warmup="10%")
    told = printed(tmp_path, caplog, Cosine(), {"head": Linear(), "backbone": None})
    assert told == (
        f"group head: {plan} (SGD, base lr 0.1; 20 steps, 10 per epoch)\n"
        f"{plan_table(plan.resolve(RUN), LR)}\nleft alone: group backbone"
    )


def test_each_plan_has_a_table_with_the_lrs_of_its_groups(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    told = printed(tmp_path, caplog, Cosine(), {"backbone": Step(5)})
    main, own = Plan(Cosine(), warmup="10%"), Plan(Step(5), warmup="10%")
    assert told == (
        f"group head: {main} (SGD, base lr 0.1; 20 steps, 10 per epoch)\n{plan_table(main.resolve(RUN), LR)}\n"
        f"group backbone: {own} (SGD, base lr 0.01; 20 steps, 10 per epoch)\n{plan_table(own.resolve(RUN), LR / 10)}"
    )


def test_groups_with_equal_plans_share_a_table(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    told = printed(tmp_path, caplog, Cosine(), {0: Linear(), "backbone": Linear()})
    assert told.startswith("groups head, backbone: Plan(main=Linear(), ")
    assert "(SGD, base lrs 0.01 to 0.1; 20 steps" in told
    assert len(re.findall("phase +cycle", told)) == 1


def test_groups_that_are_all_left_alone_have_no_table(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    told = printed(tmp_path, caplog, Cosine(), {0: None, 1: None})
    assert told == "left alone: groups head, backbone (SGD, base lrs 0.01 to 0.1; 20 steps, 10 per epoch)"


LISTED = SGDR(periods=["1ep", "1ep"], max_ratios=[1, 0.5])


@pytest.mark.parametrize(
    ("callback", "told"),
    [
        pytest.param(
            LearningRateScheduler(LISTED),
            r"cycles of SGDR\(periods=\('1ep', '1ep'\), .* end at step 20, .*: 40 of 60 steps are held at lr 0 after .*"
            r"Give periods for the whole run, .*SGDR\(T_0='10ep', T_mult=2\), .*\(max_epochs=2\)",
            id="lr 0",
        ),
        pytest.param(
            LearningRateScheduler(SGDR(periods=[5, 7], eta_min=[1e-3, 1e-2]), warmup=3),
            r"end at step 15, .*: 45 of 60 steps are held at lr 0\.01 after them.*\(max_steps=15\)",
            id="floor and warmup",
        ),
        pytest.param(
            LearningRateScheduler(LISTED, cooldown="1ep"),
            r"end at step 20, .*: 30 of 60 steps are held at lr 0 after them.*\(max_epochs=3\)",
            id="cooldown",
        ),
        pytest.param(
            LearningRateScheduler(LISTED, update="epoch"),
            r"end at step 20, .*: 40 of 60 steps are held at lr 0 after them",
            id="staircase",
        ),
        pytest.param(
            LearningRateScheduler(LISTED, warmup="5%"),
            r"end at step 23, .*: 37 of 60 steps are .*for example SGDR\(T_0='10ep', T_mult=2\)$",
            id="a share, which is another number of steps in another run",
        ),
        pytest.param(
            LearningRateScheduler(Cosine(), groups={0: None, 1: LISTED}),
            r"cycles of SGDR\(periods=.* end at step 20, .*: 40 of 60 steps",
            id="a group's",
        ),
    ],
)
def test_cycles_that_end_before_the_run_are_told_once(callback: Any, told: str, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=told) as warned:
        make_trainer(tmp_path, callback, max_epochs=6).fit(Tiny(two_groups))
    assert len([each for each in warned if "The cycles of" in str(each.message)]) == 1


def test_cycles_that_end_before_a_run_without_an_end_are_told(tmp_path: Path) -> None:
    callback = LearningRateScheduler(SGDR(periods=[4, 4]))
    trainer = make_trainer(tmp_path, callback, Stops(12), max_epochs=-1)
    with (
        pytest.warns(UserWarning, match=r"end at step 8, .*: all steps are held at lr 0 after them.*\(max_steps=8\)"),
        pytest.raises(RuntimeError, match="power cut"),
    ):
        trainer.fit(Tiny())


@pytest.mark.parametrize("main", [LISTED, SGDR("1ep"), Cosine("1ep"), REX("1ep")], ids=str)
def test_nothing_is_told_where_cycles_fill_the_run_or_there_are_none(main: Any, tmp_path: Path) -> None:
    make_trainer(tmp_path, LearningRateScheduler(main)).fit(Tiny())


def test_schedules_inside_a_plan_are_calls_in_its_params() -> None:
    main = Sequence([Constant(), Cosine(eta_min=1e-3)], ["50%"])
    groups: dict[str | int, Plan | None] = {
        "head": Plan(Cosine(), warmup="1ep", others={"weight_decay": Linear()}),
        "rest": None,
    }
    recipe = Recipe(Plan(main, others={"weight_decay": Linear(end_factor=3)}), None, None, "step", groups)
    params = flat_params(recipe.describe(RunLength(100, 10)), [0.1])
    assert params["main"] == "Sequence(schedules=[Constant(), Cosine(eta_min=0.001)], milestones=['50%'])"
    assert params["main.schedules"] == "[Constant(), Cosine(eta_min=0.001)]"
    assert params["others.weight_decay"] == "Linear(end_factor=3)"
    assert params["groups.head"] == "Cosine(), warmup=Warmup(duration='1ep'), others={'weight_decay': Linear()}"
    assert params["groups.rest"] == "None"
