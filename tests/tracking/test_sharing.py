"""Groups whose curves have one shape: one is stored, and the others are redrawn from it within the tolerance."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lightning_lrsched import SGDR, Cosine, Linear, Plan, RunLength, Schedule, Step
from lightning_lrsched.tracking.delivery import Delivery
from lightning_lrsched.tracking.journal import Journal
from lightning_lrsched.tracking.recorder import StepRecorder
from lightning_lrsched.tracking.sharing import PLACE, Sharing, corners, redrawn
from lightning_lrsched.tracking.thinning import Thinning
from tests.tracking.sinks import Keeps
from tests.tracking.spooling import Groups, end_note, make_spool

STEPS = 3000
SHARED = Thinning("shared", 0.01)


def curves_of(mains: list[Schedule], bases: list[float], count: int = STEPS) -> tuple[Any, Any]:
    """The lr of each group at each step, and the timeline of the first."""
    timelines = [Plan(main, "5%").resolve(RunLength(count, None)) for main in mains]
    steps = np.arange(count)
    return np.array([line.lr(steps, base) for line, base in zip(timelines, bases, strict=True)]), timelines[0]


def journalled(folder: Path, values: Any, timeline: Any, segment_bytes: int = 1 << 30, *, killed: bool = False) -> Any:
    """Record curves in a spool, in segments; without an end where the fit was killed."""
    groups: Groups = [{"initial_lr": float(row.max())} for row in values]
    spool = make_spool(folder)
    journal = Journal(spool.folder, pytest.fail, segment_bytes)
    axis = iter(range(values.shape[1]))
    record = StepRecorder(journal, 0, "SGD", lambda: groups, others=(), axis=lambda: next(axis))
    record.place = lambda step: Stretch(timeline, step)
    for step, lrs in enumerate(values.T.tolist()):
        record(step, lrs)
    if not killed:
        journal.append(end_note("FINISHED"))
    journal.close()
    return spool


class Stretch:
    """Where a step lies, as a schedule says it."""

    def __init__(self, timeline: Any, step: int) -> None:
        later = [bound for bound in timeline.boundaries if bound > step]
        self.stop = later[0] if len(later) > 1 else None
        self.cycle = 0


def delivered(spool: Any, thinning: Thinning = SHARED, sink: Keeps | None = None) -> dict[str, list[tuple[int, float]]]:
    sink = Keeps() if sink is None else sink
    delivery = Delivery(sink, spool, None, thinning, {})
    delivery.run()
    delivery.finish()
    delivery.push()
    spool.release()
    return history(sink)


def history(sink: Keeps) -> dict[str, list[tuple[int, float]]]:
    found: dict[str, list[tuple[int, float]]] = {}
    for point in dict.fromkeys(sink.points):
        found.setdefault(point.key, []).append((point.step, point.value))
    return found


def leaders(count: int, leader: int = 0) -> dict[str, str]:
    return {f"lr/SGD/{index}": f"lr/SGD/{leader}" for index in range(count)}


def worst(values: Any, found: dict[str, Any], own: tuple[int, ...] = ()) -> float:
    """The largest miss of what is redrawn, as a share of each group's base lr."""
    led = leaders(len(values)) | {f"lr/SGD/{index}": f"lr/SGD/{index}" for index in own}
    drawn = redrawn(found, led)
    misses = [np.abs(drawn[f"lr/SGD/{i}"][1] - row).max() / row.max() for i, row in enumerate(values)]
    return float(max(misses))


@pytest.mark.parametrize("main", [SGDR("10%"), SGDR("10%", eta_min=1e-3), Cosine(eta_min=1e-4), Step("10%")])
def test_groups_that_differ_by_their_base_lr_cost_a_few_points(main: Schedule, tmp_path: Path) -> None:
    bases = [0.1 * 0.9**index for index in range(20)]
    values, timeline = curves_of([main] * 20, bases)
    found = delivered(journalled(tmp_path, values, timeline))
    assert max(len(found[f"lr/SGD/{index}"]) for index in range(1, 20)) <= 6
    assert worst(values, found) <= 0.01 + 1e-9
    drawn = redrawn(found, leaders(20))
    for bound in [*timeline.boundaries[:-1], *(bound - 1 for bound in timeline.boundaries[1:])]:
        for index in range(20):
            assert drawn[f"lr/SGD/{index}"][1][bound] == pytest.approx(values[index, bound], rel=1e-7)


def test_a_group_with_a_curve_of_its_own_keeps_it(tmp_path: Path) -> None:
    values, timeline = curves_of([SGDR("10%"), Linear(end_factor=0.1), SGDR("10%")], [0.1, 0.1, 0.05])
    found = delivered(journalled(tmp_path, values, timeline))
    assert worst(values, found) <= 0.01 + 1e-9
    assert len(found["lr/SGD/1"]) > 20
    assert len(found["lr/SGD/2"]) <= 4


def test_the_leader_is_the_largest_group(tmp_path: Path) -> None:
    values, timeline = curves_of([SGDR("10%", eta_min=1e-3)] * 3, [0.01, 0.1, 0.05])
    found = delivered(journalled(tmp_path, values, timeline))
    drawn = redrawn(found, leaders(3, leader=1))
    for index, row in enumerate(values):
        assert np.abs(drawn[f"lr/SGD/{index}"][1] - row).max() <= 0.01 * row.max() + 1e-12


@pytest.mark.parametrize("main", [SGDR("10%"), SGDR("10%", eta_min=1e-3), Cosine(eta_min=1e-4), Step("10%")])
def test_a_curve_is_straight_between_its_corners(main: Schedule, tmp_path: Path) -> None:
    values, timeline = curves_of([main, main, Linear(end_factor=0.1)], [0.1, 0.05, 0.1])
    found = delivered(journalled(tmp_path, values, timeline))
    drawn = redrawn(found, leaders(3))
    for key in ("lr/SGD/1", "lr/SGD/2"):
        steps, lrs = corners(found[key], found["lr/SGD/0"], found[PLACE])
        assert len(steps) <= len(found["lr/SGD/0"]) + len(found[key])
        np.testing.assert_allclose(np.interp(np.arange(STEPS), steps, lrs), drawn[key][1], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("thinning", [SHARED, Thinning("on_change", 0.01), Thinning(100)])
def test_segments_cost_no_point(thinning: Thinning, tmp_path: Path) -> None:
    """A long fit with many groups has hundreds of segments: none of them is a boundary."""
    values, timeline = curves_of([SGDR("10%")] * 4, [0.1, 0.09, 0.05, 0.01])
    whole = delivered(journalled(tmp_path / "one", values, timeline), thinning)
    cut = delivered(journalled(tmp_path / "many", values, timeline, segment_bytes=5000), thinning)
    assert len(list((tmp_path / "many").rglob("*.npz"))) > 30
    assert {key: points for key, points in cut.items() if key != "throughput/steps_per_second"} == whole


@pytest.mark.parametrize("thinning", [SHARED, Thinning("on_change", 0.01), Thinning(100)])
def test_a_fit_that_was_killed_is_stored_up_to_its_last_step(thinning: Thinning, tmp_path: Path) -> None:
    values, timeline = curves_of([SGDR("10%")] * 3, [0.1, 0.09, 0.05], 777)
    ended = delivered(journalled(tmp_path / "ended", values, timeline), thinning)
    assert delivered(journalled(tmp_path / "killed", values, timeline, killed=True), thinning) == ended
    assert ended["lr/SGD/0"][-1] == (776, values[0, 776])


@pytest.mark.parametrize("batch", [7, 50])
@pytest.mark.parametrize("thinning", [SHARED, Thinning("on_change", 0.01)])
def test_a_delivery_that_is_killed_anywhere_and_begun_again_draws_the_same(
    thinning: Thinning, batch: int, tmp_path: Path
) -> None:
    values, timeline = curves_of([SGDR("10%", eta_min=1e-3), SGDR("10%", eta_min=1e-3), Linear()], [0.1, 0.05, 0.1])
    spool, sink = journalled(tmp_path, values, timeline, segment_bytes=9000), Keeps(batch)
    for stop in range(1, 40):  # as a process that is killed after so many parts
        delivery = Delivery(sink, spool, None, thinning, {})
        for _ in range(stop % 7 + 1):
            delivery._expand() or delivery._load() or delivery._next_segment()
            delivery.push()
    found = delivered(spool, thinning, sink)
    for key, points in found.items():
        assert len({step for step, _ in points}) == len(points), key
    own = (0, 1, 2) if thinning.every == "on_change" else (2,)
    assert worst(values, found, own) <= 0.01 + 1e-9
    assert PLACE in found


@pytest.mark.parametrize("thinning", [SHARED, Thinning("on_change", 0.01)])
@pytest.mark.parametrize("main", [Cosine(eta_min=1e-3), SGDR(60)])
def test_wherever_a_delivery_was_killed_the_next_one_draws_the_same(
    main: Schedule, thinning: Thinning, tmp_path: Path
) -> None:
    """Segments of 50 steps: a stretch is in several of them, or ends where one ends."""
    values, timeline = curves_of([main, main, Linear()], [0.1, 0.05, 0.1], 400)
    own = (0, 1, 2) if thinning.every == "on_change" else (2,)
    parts = 0
    while True:
        spool, sink = journalled(tmp_path / str(parts), values, timeline, segment_bytes=2800), Keeps(7)
        delivery, more = Delivery(sink, spool, None, thinning, {}), True
        for _ in range(parts):
            more = delivery._expand() or delivery._load() or delivery._next_segment()
            delivery.push()
        found = delivered(spool, thinning, sink)
        assert worst(values, found, own) <= 0.01 + 1e-9, parts
        if not more:
            break
        parts += 1


@pytest.mark.parametrize("piece", [1, 2, 7, 90])
def test_what_follows_does_not_depend_on_how_the_steps_come_in(piece: int) -> None:
    values, _ = curves_of([Cosine(), Cosine(), Linear(), SGDR(20)], [0.1, 0.05, 0.1, 0.1], 100)
    rows, steps = values.T[10:], np.arange(10, 100)  # after the warmup
    sharing, gone = Sharing([f"lr/SGD/{index}" for index in range(4)], values.max(axis=1).tolist()), list[int]()
    for start in range(0, 90, piece):
        some = slice(start, start + piece)
        gone += sharing.see(steps[some], steps[some] * 1000, rows[some])
    assert sorted(gone) == [2, 3]
    assert sharing.follows.tolist() == [False, True, False, False]
    for row, step in ((sharing.first, 10), (sharing.second, 11), (sharing.last, 99)):
        assert row is not None
        assert (row.step, row.timestamp, row.values.tolist()) == (step, step * 1000, values[:, step].tolist())
    judged = sharing.judged()
    assert (judged.new, judged.astray) == ([1], [])
    assert judged.slopes[1] == pytest.approx(0.5)
