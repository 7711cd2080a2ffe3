"""How long a run is, from what the Trainer says of it."""

from typing import Any

import pytest

from lightning_lrsched.callbacks.stepping import RunFacts, measure
from lightning_lrsched.units import RunLength


@pytest.mark.parametrize(
    ("facts", "given", "length"),
    [
        pytest.param((10, 3, None), {}, (30, 10), id="epochs"),
        pytest.param((10, 3, 25), {}, (25, 10), id="steps end first"),
        pytest.param((10, 3, 99), {}, (30, 10), id="epochs end first"),
        pytest.param((10, None, 25), {}, (25, 10), id="steps alone"),
        pytest.param((10, None, None), {}, (None, 10), id="no end"),
        pytest.param((6, 3, None, {0: 4}), {}, (6, 2), id="uneven accumulation"),
        pytest.param((6, 3, None, {0: 1, 1: 4}), {}, (10, None), id="accumulation that changes"),
        pytest.param((6, 2, None, {0: 1, 5: 4}), {}, (12, None), id="a change after the run"),
        pytest.param((6, 9, None, {0: 2, 3: 4, 5: 1}), {}, (3 * 3 + 2 * 2 + 4 * 6, None), id="two changes"),
        pytest.param((10, 3, None, {0: 4}), {}, (9, 3), id="a last window that is not full"),
        pytest.param((10, 3, None, {0: 4}, False, 1, True), {}, (6, 2), id="a loader that ends early has none"),
        pytest.param((None, 3, None), {}, (None, None), id="a loader without length"),
        pytest.param((None, 3, 25), {}, (25, None), id="a loader without length, in steps"),
        pytest.param((None, 3, None), {"steps_per_epoch": 7}, (21, 7), id="told an epoch's steps"),
        pytest.param((10, 3, None), {"total_steps": 99}, (99, 10), id="told the total"),
        pytest.param((10, 3, None), {"steps_per_epoch": 5}, (15, 5), id="what is told wins"),
        pytest.param((6, 3, None, {0: 1, 1: 4}), {"steps_per_epoch": 6}, (10, 6), id="told while it changes"),
        pytest.param((None, 3, None, {0: 1, 1: 4}), {"steps_per_epoch": 6}, (None, 6), id="told, but not the length"),
        pytest.param((10, 3, None, {0: 1}, True, 1), {}, (None, None), id="manual"),
        pytest.param((10, 3, 25, {0: 1}, True, 1), {}, (25, None), id="manual, in steps"),
        pytest.param((10, 3, 25, {0: 1}, True, 2), {}, (None, None), id="manual, two optimizers share the steps"),
        pytest.param((10, 3, 25, {0: 1}, True, 2), {"steps_per_epoch": 5}, (15, 5), id="manual, told"),
    ],
)
def test_the_length_of_a_run(facts: tuple[Any, ...], given: dict[str, int], length: tuple[Any, Any]) -> None:
    assert measure(RunFacts(*facts), **given) == RunLength(*length)
