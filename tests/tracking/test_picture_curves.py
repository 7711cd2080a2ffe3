"""What is kept in memory for the picture has a bound, whatever the number of groups."""

from pathlib import Path

import pytest

from lightning_lrsched.tracking.delivery import Delivery
from lightning_lrsched.tracking.journal import Journal
from lightning_lrsched.tracking.thinning import Thinning
from tests.tracking.sinks import Keeps
from tests.tracking.spooling import Groups, make_spool, record_steps, recorder


@pytest.mark.parametrize(("groups", "kept"), [(1, 1), (8, 8), (20, 20), (21, 20), (1000, 20)])
def test_the_lrs_of_some_groups_are_kept_and_nothing_else(tmp_path: Path, groups: int, kept: int) -> None:
    spool = make_spool(tmp_path)
    journal, made = Journal(spool.folder, pytest.fail), Groups([{"momentum": 0.9} for _ in range(groups)])
    record_steps(recorder(journal, made, ["momentum"]), made, [0.5, 0.25, 0.125])
    delivery = Delivery(Keeps(), spool, journal, Thinning(), {})
    delivery.run()
    spool.release()
    assert len(delivery.curves) == kept
    assert {key.partition("/")[0] for key in delivery.curves} == {"lr"}
    assert {"lr/SGD/0", f"lr/SGD/{groups - 1}"} <= set(delivery.curves)
    assert delivery.curves["lr/SGD/0"].values == [0.5, 0.25, 0.125]
