"""The scheduler that counts real steps, on a bare optimizer: what it writes, says and stores."""

from collections.abc import Iterator

import pytest
import torch
from torch.optim import SGD

from lightning_lrsched import Constant, Linear, Plan, RunLength
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


def test_after_it_has_let_go_the_lr_is_somebody_elses_and_steps_count(scheduler: PlannedScheduler) -> None:
    scheduler.arm(0)
    assert scheduler.armed
    scheduler.let_go()
    scheduler.optimizer.param_groups[0]["lr"] = 0.7
    scheduler.optimizer.add_param_group({"params": list(parameters()), "lr": 0.02})
    for step in (1, 2):
        scheduler.optimizer.step()
        assert (scheduler.real_steps, scheduler.get_last_lr()) == (step, [0.7, 0.02])
    assert scheduler.holds([0.7, 0.02])
    assert list(scheduler.strays()) == []
    assert not scheduler.armed


def test_an_lr_that_something_else_sets_strays(scheduler: PlannedScheduler) -> None:
    scheduler.arm(0)
    scheduler.optimizer.step()
    assert scheduler.holds([TIMELINE.lr(1, 1.0)])
    assert list(scheduler.strays()) == []
    scheduler.optimizer.param_groups[0]["lr"] = 0.7
    assert not scheduler.holds([0.7])
    assert list(scheduler.strays()) == [(0, TIMELINE.lr(1, 1.0))]


def test_other_timelines_are_followed_from_the_next_arm_on(scheduler: PlannedScheduler) -> None:
    scheduler.arm(0)
    scheduler.replan([Track(Plan(Constant(0.5)).resolve(RunLength(10)), "lr", Groups())], {})
    scheduler.optimizer.step()
    assert scheduler.get_last_lr() == [TIMELINE.lr(1, 1.0)]
    scheduler.arm(1)
    assert scheduler.get_last_lr() == [0.5]


def test_observers_are_told_until_it_is_disarmed(scheduler: PlannedScheduler) -> None:
    told: list[tuple[int, list[float]]] = []
    scheduler.observers.append(lambda step, used: told.append((step, used)))
    scheduler.arm(4)
    scheduler.optimizer.step()
    scheduler.disarm()
    scheduler.arm(5)
    scheduler.optimizer.step()
    assert told == [(4, [TIMELINE.lr(4, 1.0)])]


@pytest.mark.parametrize("found_inf", [0.0, 1.0])
def test_an_update_that_a_scaler_tells_a_fused_optimizer_to_skip_is_none(found_inf: float) -> None:
    optimizer = SGD(parameters(), lr=1.0, fused=True)
    optimizer.param_groups[0]["params"][0].grad = torch.ones(1)
    scheduler = PlannedScheduler(optimizer, [Track(TIMELINE, "lr", Groups())], {})
    scheduler.arm(0)
    optimizer.grad_scale, optimizer.found_inf = torch.ones(1), torch.tensor([found_inf])  # type: ignore[attr-defined]
    optimizer.step()
    assert scheduler.real_steps == (found_inf == 0.0)


def test_a_state_of_before_the_first_step_says_nothing(scheduler: PlannedScheduler) -> None:
    other = PlannedScheduler(SGD(parameters(), lr=1.0), scheduler.tracks, {})
    other.load_state_dict(scheduler.state_dict())
    assert other.restored is None
    scheduler.arm(3)
    other.load_state_dict(scheduler.state_dict())
    assert other.restored == scheduler.state_dict()
