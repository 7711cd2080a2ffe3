"""The README's code runs as it stands there."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lightning_lrsched import SGDR, LearningRateScheduler, Linear, Plan, RunLength, schedules
from lightning_lrsched.describe import plan_table
from tests.modules import SmallModule

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def block_with(text: str) -> str:
    """Return the one Python block that has a text."""
    [block] = [block for block in blocks("python") if text in block]
    return block


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


def example_plan() -> Plan:
    """Return the plan of the example."""
    [call] = re.findall(r"LearningRateScheduler\(.*\)(?=,$)", block_with("trainer.fit"), flags=re.MULTILINE)
    plan = eval(call, {"SGDR": SGDR, "LearningRateScheduler": LearningRateScheduler}).plan
    assert isinstance(plan, Plan)
    return plan


def test_the_example_trains_and_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    scope: dict[str, object] = {"model": SmallModule(rows=160)}
    exec(block_with("trainer.fit"), scope)
    files = [path.name for path in tmp_path.glob("lightning_logs/version_0/checkpoints/*.ckpt")]
    assert {name.partition("-")[0] for name in files} == {"cycle=0", "cycle=1", "cycle=2"}
    assert (tmp_path / "mlflow.db").exists()


def test_the_other_examples_run() -> None:
    made: list[LearningRateScheduler] = []

    def noted(*given: Any, **named: Any) -> LearningRateScheduler:
        made.append(LearningRateScheduler(*given, **named))
        return made[-1]

    code = block_with("others=").replace("LearningRateScheduler(", "noted(")
    exec(code, {"noted": noted})
    groups, others = made
    assert groups.recipe.groups == {"head": Plan(Linear(), warmup="5%"), "embeddings": None}
    assert others.plan.others == {"weight_decay": Linear(end_factor=3)}


def test_every_schedule_is_in_the_table() -> None:
    for name in (*schedules.__all__, "TorchScheduler", "Plateau"):
        assert re.search(rf"`{name}\b", README), name


def test_the_timeline_example_says_what_its_comments_say() -> None:
    scope: dict[str, object] = {}
    exec(block_with("timeline.boundaries"), scope)
    assert eval("timeline.lr(50, base_lr=0.1)", scope) == 0.1
    assert eval("timeline.boundaries", scope) == (0, 50, 1000)
    curve = eval("timeline.lr(np.arange(1000), base_lr=0.1)", scope)
    assert isinstance(curve, np.ndarray)
    assert curve.max() == 0.1


def test_the_printed_plan_is_that_of_the_example() -> None:
    plan = example_plan()
    head, table = blocks("text")[0].split("\n", 1)
    assert head.startswith(f"{plan} (SGD, base lr 0.3; 1500 steps, 20 per epoch)")
    assert table.rstrip("\n") == plan_table(plan.resolve(RunLength(total_steps=1500, steps_per_epoch=20)), 0.3)
