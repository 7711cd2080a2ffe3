"""The steps a second of a fit are the same points wherever the reading of its journal begins."""

from pathlib import Path

import pytest

from lightning_lrsched.tracking.delivery import Delivery
from lightning_lrsched.tracking.journal import Journal
from lightning_lrsched.tracking.sink import Point
from lightning_lrsched.tracking.thinning import Thinning
from tests.tracking.sinks import Keeps
from tests.tracking.spooling import Groups, make_spool, record_steps, recorder

KEY = "throughput/steps_per_second"


def journalled(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Journal:
    """Two steps a second for 200 s, in some ten segments of 19 s."""
    clock = iter(range(7_700_000_000, 10**15, 500_000_000))
    monkeypatch.setattr("lightning_lrsched.tracking.recorder.time.time_ns", lambda: next(clock))
    journal, groups = Journal(folder, pytest.fail, segment_bytes=1400), Groups([{}])
    record_steps(recorder(journal, groups), groups, [0.5] * 400)
    assert journal.segment > 5
    return journal


def of_throughput(points: list[Point]) -> list[Point]:
    return [point for point in points if point.key == KEY]


@pytest.mark.parametrize("pushes", range(1, 8))
def test_a_replay_sends_the_points_that_the_fit_would_have_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pushes: int
) -> None:
    spool, whole = make_spool(tmp_path / "whole"), Keeps(batch_size=50)
    Delivery(whole, spool, journalled(spool.folder, monkeypatch), Thinning(), {}).run()
    spool.release()
    spool, sink = make_spool(tmp_path / "parts"), Keeps(batch_size=50)
    journal = journalled(spool.folder, monkeypatch)
    killed = Delivery(sink, spool, journal, Thinning(), {})
    for _ in range(pushes):
        assert killed.fill()
        killed.push(more=True)
    journal.close()
    Delivery(sink, spool, None, Thinning(), {}).run()
    spool.release()
    assert len(of_throughput(whole.points)) == 19
    assert sorted(set(of_throughput(sink.points))) == of_throughput(whole.points)
