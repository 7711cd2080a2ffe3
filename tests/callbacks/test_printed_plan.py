"""What is printed before training is what each parameter group will do."""

import re
from pathlib import Path
from typing import Any

import pytest
from torch.optim import SGD, Optimizer

from lightning_lrsched import Cosine, LearningRateScheduler, Linear, Plan, RunLength, Step
from lightning_lrsched.describe import plan_table
from tests.callbacks.models import LR, Tiny, make_trainer

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
