"""What a recorded and audited step does, counted in calls: as much with many groups as with few, early and late."""

from functools import partial
from pathlib import Path
from statistics import fmean

import pytest
from torch import nn, zeros
from torch.optim import SGD

from lightning_lrsched import SGDR, Plan, RunLength
from lightning_lrsched.callbacks.audit import Auditor
from lightning_lrsched.scheduler import PlannedScheduler
from lightning_lrsched.tracking.journal import Journal
from lightning_lrsched.tracking.recorder import StepRecorder
from lightning_lrsched.tracks import Groups, Track
from tests.counting import calls_of

MOST = 18
"""Calls of a step in the middle of a phase: the hook, writing the next lr, recording and auditing."""
MOST_OTHERS = 2, 3
"""Calls besides where a momentum is recorded: once, and for each group."""
CYCLE = 400
SOME = 60  # steps: with 64 groups, the values of 64 steps are computed at once


def calls_of_steps(folder: Path, groups: int, first: int, count: int, others: tuple[str, ...] = ()) -> list[int]:
    """Return what each of some real steps calls from its hook on: all that the package does in it."""
    parts = [{"params": [nn.Parameter(zeros(1))], "lr": 0.1 / (index + 1)} for index in range(groups)]
    optimizer = SGD(parts, lr=0.1, momentum=0.9)
    timeline = Plan(SGDR(CYCLE), warmup=CYCLE).resolve(RunLength(10**6))
    scheduler = PlannedScheduler(optimizer, [Track(timeline, "lr", Groups())], {})
    scheduler.arm(first)
    journal = Journal(folder, pytest.fail)
    axis = partial(getattr, scheduler, "real_steps")
    recorder = StepRecorder(journal, 0, "SGD", lambda: optimizer.param_groups, others=others, axis=axis)
    recorder.place = scheduler.place
    scheduler.observers += [recorder, Auditor(scheduler, pytest.fail)]
    counting = calls_of(lambda: None)
    # The hook itself: what torch calls around it is not this package's.
    found = [calls_of(lambda: scheduler._after_step(optimizer, (), {})) - counting for _ in range(count)]
    assert scheduler.real_steps == first + count
    journal.close()
    return found


def in_phase(calls: list[int]) -> list[int]:
    """Leave out the first steps, which lay out what the later ones find."""
    return calls[2:]


@pytest.mark.parametrize("first", [0, 2 * CYCLE, 999_600])
@pytest.mark.parametrize("groups", [1, 2, 8, 64])
def test_no_group_and_no_earlier_step_adds_a_call(tmp_path: Path, groups: int, first: int) -> None:
    calls = in_phase(calls_of_steps(tmp_path, groups, first, SOME))
    assert max(calls) <= MOST
    assert min(calls) >= MOST // 2, "nothing was counted"


@pytest.mark.parametrize("groups", [1, 8, 64])
def test_a_recorded_momentum_adds_three_calls_for_each_group(tmp_path: Path, groups: int) -> None:
    once, each = MOST_OTHERS
    calls = in_phase(calls_of_steps(tmp_path, groups, 0, SOME, ("momentum",)))
    assert max(calls) <= MOST + once + each * groups


def test_new_phases_and_the_values_ahead_add_little_on_the_whole(tmp_path: Path) -> None:
    calls = in_phase(calls_of_steps(tmp_path, 8, 0, 5 * CYCLE))
    assert fmean(calls) <= MOST + 2
