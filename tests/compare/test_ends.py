"""Which cycles ran to their end, and which end is recommended."""

import math

import pytest

from lightning_lrsched.compare import Curve, Goal, RunRecord, best_end, completed_ends, table_rows
from lightning_lrsched.compare.plans import PlannedPhase
from lightning_lrsched.compare.rendering import any_end, end_cell
from lightning_lrsched.compare.report import report_page

GOAL = Goal("val_loss", "min")
CYCLES = Curve((0, 3, 4, 11, 12, 15), (0.0, 0.0, 1.0, 1.0, 2.0, 2.0))
LOSSES = Curve((1, 3, 7, 11, 15), (0.9, 0.5, 0.2, 0.6, 0.1))


def phases(*stops: int, whole: bool = True) -> tuple[PlannedPhase, ...]:
    """One phase for each cycle; ``whole`` speaks of the last."""
    starts = (0, *stops)
    return tuple(
        PlannedPhase("cosine cycle", start, stop, cycle, whole or cycle + 1 < len(stops))
        for cycle, (start, stop) in enumerate(zip(starts, stops, strict=False))
    )


def run(plan: tuple[PlannedPhase, ...], cycles: Curve = CYCLES, kept: Curve | None = None) -> RunRecord:
    return RunRecord("id", "run", "finished", metric=LOSSES, cycles=cycles, phases=plan, cycle_last=kept or Curve())


@pytest.mark.parametrize(
    ("record", "ends"),
    [
        pytest.param(run(phases(4, 12, 16)), (3, 11, 15), id="complete"),
        pytest.param(run(phases(4, 12, 16, whole=False)), (3, 11), id="cut by the run"),
        pytest.param(run(phases(4, 12, 20)), (3, 11), id="stopped early"),
        pytest.param(
            run((*phases(4, 12, whole=False), PlannedPhase("cosine cycle", 12, 16, 2, True))),
            (3, 11, 15),
            id="after one that a milestone cut",
        ),
        pytest.param(
            run((*phases(4, 12), PlannedPhase("rise", 12, 13, 2, True), PlannedPhase("cosine cycle", 13, 16, 2, True))),
            (3, 11, 15),
            id="of two phases",
        ),
        pytest.param(run(()), (3, 11), id="no plan stored"),
        pytest.param(run(phases(16), Curve((0, 15), (0.0, 0.0))), (), id="no cycles"),
        pytest.param(run(phases(16), Curve(), Curve((4, 9, 14), (0.5,) * 3)), (4, 9, 14), id="a checkpoint's own"),
        pytest.param(run(phases(16), Curve(), Curve((4, 9, 12), (0.5,) * 3)), (4, 9), id="whose last was cut"),
    ],
)
def test_a_cycle_is_complete_if_another_followed_or_the_plan_says_so(record: RunRecord, ends: tuple[int, ...]) -> None:
    assert completed_ends(record) == ends


def test_the_best_end_of_a_completed_cycle_is_recommended_and_not_the_best_of_all() -> None:
    cut = run(phases(4, 12, 16, whole=False))
    assert best_end(cut, GOAL) == (3, 0.5)
    assert best_end(run(phases(4, 12, 16)), GOAL) == (15, 0.1)
    assert best_end(cut, Goal("val_acc", "max")) == (11, 0.6)
    [row] = table_rows([cut], GOAL)
    assert (row.best, row.recommended, row.recommended_step, row.recommended_cycle) == (0.1, 0.5, 3, 0)
    assert end_cell(row) == "0.5 (0)"


def test_the_kept_checkpoints_own_value_counts_before_the_curves() -> None:
    assert best_end(run(phases(4, 12, 16, whole=False), kept=Curve((11,), (0.3,))), GOAL) == (11, 0.3)


def test_an_end_that_was_not_measured_is_not_recommended() -> None:
    record = RunRecord("id", "run", "finished", metric=Curve((2, 11), (0.1, math.nan)), cycles=CYCLES)
    assert best_end(record, GOAL) is None
    [row] = table_rows([record], GOAL)
    assert end_cell(row) == "-"
    assert not any_end([row])


def test_cycles_of_a_checkpoints_own_are_counted_by_their_ends() -> None:
    record = run(phases(16), Curve((0, 15), (0.0, 0.0)), Curve((4, 9, 14), (0.6, 0.4, 0.5)))
    [row] = table_rows([record], GOAL)
    assert (row.best, row.step, row.cycle) == (0.1, 15, 3)
    assert end_cell(row) == "0.4 (1)"
    page = report_page([record], GOAL, "title", "source")
    assert all(f"kept: end of cycle {cycle}" in page for cycle in range(3))
