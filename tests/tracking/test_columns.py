"""Packed steps: not a bit is lost, and they are small."""

import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lightning_lrsched import SGDR, Plan, RunLength
from lightning_lrsched.tracking.columns import pack_segment, read_columns
from lightning_lrsched.tracking.journal import note, step_packer

COUNT = 20_000
ODD = [np.inf, -np.inf, 0.0, -0.0, 5e-324, 1e308, -1e308, 1.0, np.nan]


def packed(path: Path, values: Any, start: int = 0, layout: int = 0) -> int:
    """Pack a journal of these curves (one row each); return its size."""
    keys = [f"lr/SGD/{index}" for index in range(len(values))]
    header = note(**{"is": "layout", "number": layout, "optimizer": 0, "keys": keys, "scales": [1.0] * len(keys)})
    pack = step_packer(layout, len(keys))
    rows = b"".join(pack(start + step, 7 * step, *row) for step, row in enumerate(np.array(values).T.tolist()))
    assert pack_segment(header + rows, path)
    return len(header + rows)


def curves(ratio: float, eta_min: float, groups: int = 8) -> Any:
    timeline = Plan(SGDR("10%", eta_min=eta_min), "5%").resolve(RunLength(COUNT, None))
    return [timeline.lr(np.arange(COUNT), 0.1 * ratio**index) for index in range(groups)]


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(curves(1.0, 0.0), id="equal groups"),
        pytest.param(curves(0.8, 0.0), id="multiples"),
        pytest.param(curves(0.8, 1e-5), id="multiples above a floor"),
        pytest.param(
            [[0.1] * 9, [np.nan] * 9, [np.inf, -np.inf, 0.0, -0.0, 5e-324, 1e308, -1e308, 1.0, np.nan]], id="odd"
        ),
        pytest.param(np.random.default_rng(1).random((3, 500)) - 0.5, id="random"),
        pytest.param([[1.5]], id="one step"),
    ],
)
def test_no_bit_is_lost(tmp_path: Path, values: Any) -> None:
    packed(tmp_path / "0.npz", values)
    found = read_columns([tmp_path / "0.npz"])
    assert list(found) == [f"lr/SGD/{index}" for index in range(len(values))]
    for (steps, column), expected in zip(found.values(), values, strict=True):
        assert steps.tolist() == list(range(len(expected)))
        assert column.tobytes() == np.array(expected).tobytes()


def test_a_fit_that_was_resumed_and_ended_early_leaves_the_steps_after_it(tmp_path: Path) -> None:
    packed(tmp_path / "0.npz", [[0.1] * 100])
    packed(tmp_path / "1.npz", [[0.2] * 10], start=20)
    ((steps, values),) = read_columns([tmp_path / "0.npz", tmp_path / "1.npz"]).values()
    assert steps.tolist() == list(range(100))
    assert values.tolist() == [0.1] * 20 + [0.2] * 10 + [0.1] * 70


@pytest.mark.parametrize(("ratio", "most"), [(1.0, 0.1), (0.8, 0.4)])
def test_a_value_takes_less_than_half_a_byte(tmp_path: Path, ratio: float, most: float) -> None:
    size = packed(tmp_path / "0.npz", curves(ratio, 0.0))
    assert (tmp_path / "0.npz").stat().st_size < most * 8 * COUNT
    assert size > 8 * 8 * COUNT


def test_of_steps_that_were_trained_again_the_later_fit_holds(tmp_path: Path) -> None:
    packed(tmp_path / "1.npz", [[0.1, 0.2, 0.3, 0.4]])
    packed(tmp_path / "2.npz", [[0.7, 0.8]], start=2)
    ((steps, values),) = read_columns([tmp_path / "2.npz", tmp_path / "1.npz"]).values()
    assert steps.tolist() == [0, 1, 2, 3]
    assert values.tolist() == [0.1, 0.2, 0.7, 0.8]


def test_a_file_is_private_to_the_user(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        packed(tmp_path / "0.npz", [[0.1, 0.2]])
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "0.npz").stat().st_mode) == 0o600


def test_a_journal_without_steps_makes_no_file(tmp_path: Path) -> None:
    assert not pack_segment(note(**{"is": "end"}), tmp_path / "0.npz")
    assert list(tmp_path.iterdir()) == []


def test_nothing_in_a_file_is_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "0.npz", keys0=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        read_columns([tmp_path / "0.npz"])
