"""The pure parts: what is kept, where torch restarts, what a cadence measures."""

import math
from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest
import torch
from torch.optim import SGD
from torch.optim.lr_scheduler import ChainedScheduler, ConstantLR, CosineAnnealingWarmRestarts, CyclicLR, SequentialLR

from lightning_lrsched.callbacks.cycles.cadence import (
    Cadence,
    lacks_only_skipped,
    told_cut,
    told_unmeasured,
    unmeasured,
)
from lightning_lrsched.callbacks.cycles.ledger import Kept, Ledger
from lightning_lrsched.callbacks.stepping import RunFacts
from lightning_lrsched.torch_cycles import Restarts, restarts_of
from lightning_lrsched.units import RunLength


def kept(step: int, score: float | None = None) -> Kept:
    return Kept(f"{step}.ckpt", step, 0, score)


def test_the_best_and_the_end_are_one_file_where_they_are_the_same_weights() -> None:
    ledger = Ledger()
    assert ledger.take(kept(2, 0.5), best=True) == []
    assert ledger.take(kept(4, 0.3), best=True, end=True) == ["2.ckpt"]
    ledger.close(complete=True)
    assert ledger.finished[0].files == {"4.ckpt": "best+end"}
    assert [one.step for one in ledger.finished[0].kept] == [4]


def test_a_score_that_comes_later_counts_for_the_kept_weights() -> None:
    ledger = Ledger()
    ledger.take(kept(4), end=True)
    ledger.measure(4, 0.7, {"val_loss": 0.7})
    ledger.measure(5, 0.1, {})
    assert ledger.running.end == replace(kept(4, 0.7), metrics={"val_loss": 0.7})


@pytest.mark.parametrize("mode", ["min", "max"])
def test_nan_never_wins_ties_keep_the_earlier_and_infinity_is_a_number(mode: str) -> None:
    ledger = Ledger(mode)
    assert not ledger.wins(math.nan)
    assert ledger.wins(math.inf)
    ledger.take(kept(1, 0.5), best=True)
    assert not ledger.wins(0.5)
    assert not ledger.wins(math.nan)
    assert ledger.better(0.4, 0.5) is (mode == "min")


def test_a_diverged_end_is_never_recommended() -> None:
    ledger = Ledger()
    ledger.take(kept(4, 0.5), best=True, end=True)
    ledger.close(complete=True)
    ledger.take(kept(8, math.nan), end=True)
    ledger.close(complete=True)
    assert ledger.recommended == ledger.best == kept(4, 0.5)
    ledger.begin()
    ledger.take(kept(4, math.nan), end=True)
    ledger.close(complete=True)
    assert ledger.recommended is None
    assert ledger.best is None
    ledger.take(kept(6), end=True)
    ledger.close(complete=True)
    assert ledger.best == kept(6)


def test_the_state_brings_everything_back() -> None:
    ledger, other = Ledger(top_k=2), Ledger(top_k=2)
    for step, score in ((4, 0.3), (8, 0.1), (12, 0.2)):
        ledger.take(kept(step, score), best=True, end=True)
        ledger.close(complete=True)
    ended = ledger.state()
    ledger.take(kept(14, 0.15), best=True)
    other.restore(ledger.state())
    assert (other.finished, other.running, other.stale) == (ledger.finished, ledger.running, 1)
    assert [row.cycle for row in other.finished] == [1, 2]
    assert other.stale_if_closed == ledger.stale_if_closed == 2, "0.1 was better"
    other.restore(ended)  # a fit that ended before its plan
    other.reopen(2)
    assert (other.running.cycle, other.stale, other.stale_if_closed) == (2, 0, 1)


@pytest.mark.parametrize(("mode", "step"), [("min", 8), ("max", 4)])
def test_the_best_end_of_a_completed_cycle_is_recommended_the_earlier_of_equals(mode: str, step: int) -> None:
    ledger = Ledger(mode)
    for end, score in ((4, 0.5), (8, 0.3), (12, 0.3), (16, 0.5)):
        ledger.take(kept(end - 1, 0.9 if mode == "max" else 0.1), best=True)
        ledger.take(kept(end, score), end=True)
        ledger.close(complete=True)
    ledger.take(kept(18, 0.9 if mode == "max" else 0.1), end=True)
    ledger.close(complete=False)
    assert ledger.recommended is not None
    assert ledger.recommended.step == step
    assert ledger.best is not None
    assert ledger.best.step == 3


@pytest.mark.parametrize(
    ("mode", "scores", "gone"),
    [
        pytest.param("min", (0.3, 0.5, 0.4), 1, id="the highest loss"),
        pytest.param("max", (0.5, 0.3, 0.4), 1, id="the lowest accuracy"),
        pytest.param("max", (0.3, 0.5, 0.4), 0, id="the lowest accuracy, first"),
        pytest.param("min", (0.5, 0.5, 0.3), 1, id="the later of equals"),
        pytest.param("min", (0.3, None, 0.9), 1, id="one that was not measured"),
        pytest.param("max", (0.3, math.nan, 0.9), 1, id="one that diverged"),
        pytest.param("min", (None, None, None), 0, id="the oldest without a score"),
    ],
)
def test_beyond_the_best_few_the_worst_cycle_goes(mode: str, scores: tuple[float | None, ...], gone: int) -> None:
    ledger = Ledger(mode, top_k=2)
    removed = []
    for cycle, score in enumerate(scores):
        ledger.take(kept(cycle, score), end=True)
        removed.append(ledger.close(complete=True))
    assert removed == [[], [], [f"{gone}.ckpt"]]
    assert [row.cycle for row in ledger.finished] == [cycle for cycle in range(3) if cycle != gone]


def test_without_scores_the_latest_end_is_recommended() -> None:
    ledger = Ledger()
    for step in (4, 8):
        ledger.take(kept(step), end=True)
        ledger.close(complete=True)
    assert ledger.recommended == ledger.best == kept(8)


def test_the_end_of_a_cycle_is_wanted_until_it_is_kept() -> None:
    ledger = Ledger()
    assert ledger.wants_end(4)
    ledger.take(kept(4), end=True)
    assert [ledger.wants_end(step) for step in (4, 5)] == [False, True]
    assert not Ledger(keep="best").wants_end(4)


def test_a_cycle_of_which_nothing_was_kept_is_no_row_and_one_that_was_cut_is_not_stale() -> None:
    ledger = Ledger()
    ledger.take(kept(4, 0.5), end=True)
    ledger.close(complete=True)
    ledger.take(kept(6, 0.9), end=True)
    ledger.close(complete=False)
    assert ledger.stale == 0
    ledger.close(complete=True)
    assert [(row.cycle, row.complete) for row in ledger.finished] == [(0, True), (1, False)]
    assert (ledger.running.cycle, ledger.stale) == (3, 1)


def test_a_cycle_that_is_dropped_leaves_nothing_to_choose() -> None:
    ledger = Ledger()
    ledger.take(kept(4, 0.5), best=True, end=True)
    ledger.close(complete=True)
    ledger.take(kept(6, 0.1), best=True)
    assert ledger.drop() == ["6.ckpt"]
    assert list(ledger.all()) == [ledger.best] == [kept(4, 0.5)]


def test_checkpoints_that_are_gone_are_struck_out() -> None:
    ledger = Ledger()
    ledger.take(kept(2, 0.5), best=True)
    ledger.take(kept(4, 0.6), end=True)
    ledger.close(complete=True)
    ledger.take(kept(8, 0.4), best=True, end=True)
    ledger.close(complete=True)
    ledger.take(kept(10, 0.3), best=True)
    assert ledger.forget(("4.ckpt", "8.ckpt").__contains__) == [(0, kept(4, 0.6)), (1, kept(8, 0.4))]
    assert [(row.cycle, row.best, row.end) for row in ledger.finished] == [(0, kept(2, 0.5), None)]
    assert ledger.running.best == kept(10, 0.3)


@pytest.mark.parametrize(("first", "growth"), [(1, 1), (3, 1), (1, 2), (1, 3), (4, 3), (2, 10), (7, 2)])
def test_torchs_warm_restarts_are_where_torch_has_them(first: int, growth: int) -> None:
    optimizer = SGD([torch.zeros(1)], lr=1.0)
    scheduler, cycle = CosineAnnealingWarmRestarts(optimizer, first, growth), 0
    restarts = restarts_of(scheduler)
    assert restarts == Restarts(first, growth)
    for advance in range(1, 1500):
        scheduler.step()
        cycle += scheduler.T_cur == 0
        assert restarts.cycle_at(advance) == cycle
        assert (restarts.start(cycle) == advance) is (scheduler.T_cur == 0)


def test_huge_counts_are_exact() -> None:
    restarts = Restarts(1, 3)
    for index in range(1, 60):
        assert restarts.cycle_at(restarts.start(index)) == index
        assert restarts.cycle_at(restarts.start(index) - 1) == index - 1


def test_a_cyclic_scheduler_inside_others_is_found() -> None:
    optimizer = SGD([torch.zeros(1)], lr=0.1)
    cyclic = CyclicLR(optimizer, 0.01, 0.1, step_size_up=3, step_size_down=2, cycle_momentum=False)
    assert restarts_of(cyclic) == Restarts(5)
    constant = ConstantLR(optimizer, 1.0, 4)
    assert restarts_of(constant) is None
    assert restarts_of(ChainedScheduler([constant, cyclic])) == Restarts(5)
    last = CosineAnnealingWarmRestarts(optimizer, 6, 2)
    behind = restarts_of(SequentialLR(optimizer, [ConstantLR(optimizer, 1.0, 4), last], [4]))
    assert behind == Restarts(6, 2, offset=4)
    assert [behind.cycle_at(step) for step in (0, 4, 9, 10, 21, 22)] == [0, 0, 0, 1, 1, 2]


def brute(every: int, every_epochs: int | None, batches: int, accumulate: int, epochs: int) -> set[int]:
    """The real steps whose weights some validation sees, by going through all batches."""
    steps, seen, total = 0, set(), 0
    for epoch in range(epochs):
        for batch in range(1, batches + 1):
            total += 1
            steps += batch % accumulate == 0 or batch == batches
            if every_epochs is None:
                seen |= {steps} if total % every == 0 else set()
            elif (epoch + 1) % every_epochs == 0 and batch % every == 0:
                seen.add(steps)
    return seen


@pytest.mark.parametrize("seed", range(60))
def test_a_cadence_measures_what_going_through_all_batches_finds(seed: int) -> None:
    draw = Random(seed)
    batches, accumulate, epochs = draw.randint(1, 9), draw.randint(1, 4), draw.randint(1, 5)
    every_epochs = draw.choice([None, 1, 2])
    every = draw.randint(1, batches if every_epochs else 12)
    seen = brute(every, every_epochs, batches, accumulate, epochs + 1)
    cadence = Cadence(every, every_epochs)
    for step in range(1, -(-batches // accumulate) * epochs + 1):
        assert cadence.measures(step, batches, accumulate) is (step in seen), step


@pytest.mark.parametrize(
    ("total", "per_epoch", "told"),
    [
        (70, 1, None),
        (100, 1, "cuts cycle 3 short. Budgets that end with a cycle: max_epochs = 10, 30, 70, 150"),
        (100, 10, "cuts cycle 3 short. Budgets that end with a cycle: max_epochs = 1, 3, 7, 15"),
        (100, 7, "cuts cycle 3 short. Budgets that end with a cycle: max_steps = 10, 30, 70, 150"),
        (4, 1, "cuts cycle 0 short. Budgets that end with a cycle: max_epochs = 10"),
        (5000, 1, "cuts cycle 8 short. Budgets that end with a cycle: max_epochs = 10, 30, ..., 1270, 2550, 5110"),
    ],
)
def test_the_budgets_that_fit_are_told(total: int, per_epoch: int, told: str | None) -> None:
    ends = (Restarts(10, 2).start(index) for index in range(1, 60))
    found = told_cut(ends, RunLength(total, per_epoch))
    assert (found is None) if told is None else (found is not None and told in found)


@pytest.mark.parametrize(
    ("steps", "skipped", "nearly"),
    [
        pytest.param(99, 1, True, id="first cycle"),
        pytest.param(295, 5, True, id="as many as were skipped"),
        pytest.param(295, 4, False, id="more than were skipped"),
        pytest.param(290, 10, True, id="a twentieth of its cycle"),
        pytest.param(289, 11, False, id="more than a twentieth"),
        pytest.param(100, 200, False, id="a cycle that has just begun"),
        pytest.param(300, 5, False, id="past the last"),
    ],
)
def test_a_cycle_has_nearly_ended_where_it_lacks_no_more_than_was_skipped(
    steps: int, skipped: int, nearly: bool
) -> None:
    assert lacks_only_skipped([100, 300], steps, skipped) is nearly


@pytest.mark.parametrize(
    ("facts", "missed"),
    [
        pytest.param(RunFacts(5, 4, None), [4, 12], id="inside epochs"),
        pytest.param(RunFacts(4, 5, None), [], id="where epochs end"),
        pytest.param(RunFacts(8, 5, None, {0: 2}), [], id="accumulated"),
        pytest.param(RunFacts(5, 4, None, manual=True), [], id="manual, nobody knows"),
        pytest.param(RunFacts(None, 4, None), [], id="no length, nobody knows"),
        pytest.param(RunFacts(5, 4, None, {0: 1, 2: 2}), [], id="accumulation changes, nobody knows"),
    ],
)
def test_the_ends_within_the_run_that_no_validation_sees(facts: RunFacts, missed: list[int]) -> None:
    assert unmeasured([4, 12, 20, 22], facts, Cadence(facts.batches, 1), 20) == missed


@pytest.mark.parametrize(
    ("missed", "told"),
    [([4], "1 cycle end (after step 4)"), (range(9), "9 cycle ends (after steps 0, 1, 2, 3, ...)")],
)
def test_a_few_of_the_unmeasured_ends_are_named(missed: Sequence[int], told: str) -> None:
    assert told in told_unmeasured(missed, "val_loss")
