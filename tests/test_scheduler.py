"""The scheduler that counts real steps, on a bare optimizer: what it writes, says and stores."""

from collections.abc import Iterator

import pytest
import torch
from torch.optim import SGD

from lightning_lrsched import Linear, Plan, RunLength
from lightning_lrsched.scheduler import PlannedScheduler
from lightning_lrsched.tracks import Groups, Track

TIMELINE = Plan(Linear()).resolve(RunLength(10))


def parameters() -> Iterator[torch.nn.Parameter]:
    yield torch.nn.Parameter(torch.zeros(1))


@pytest.fixture
def scheduler() -> PlannedScheduler:
    return PlannedScheduler(SGD(parameters(), lr=1.0), [Track(TIMELINE, "lr", Groups())], {})


def test_nothing_is_written_before_it_is_armed_or_after_it_is_disarmed(scheduler: PlannedScheduler) -> None:
    scheduler.optimizer.step()
    assert (scheduler.real_steps, scheduler.get_last_lr()) == (0, [1.0])
    scheduler.arm(3)
    assert scheduler.get_last_lr() == [TIMELINE.lr(3, 1.0)]
    scheduler.optimizer.step()
    scheduler.disarm()
    scheduler.optimizer.step()
    assert (scheduler.real_steps, scheduler.get_last_lr()) == (4, [TIMELINE.lr(4, 1.0)])


def test_armed_twice_it_counts_each_step_once(scheduler: PlannedScheduler) -> None:
    scheduler.arm(0)
    scheduler.arm(5)
    scheduler.optimizer.step()
    assert (scheduler.real_steps, scheduler.get_last_lr()) == (6, [TIMELINE.lr(6, 1.0)])


def test_a_group_that_was_added_after_the_latest_step_is_in_the_state(scheduler: PlannedScheduler) -> None:
    scheduler.arm(0)
    scheduler.optimizer.step()
    scheduler.optimizer.add_param_group({"params": list(parameters()), "lr": 0.02})
    assert scheduler.state_dict()["base_lrs"] == [1.0, 0.02]
    scheduler.optimizer.step()
    assert scheduler.get_last_lr() == [TIMELINE.lr(2, 1.0), TIMELINE.lr(2, 0.02)]
