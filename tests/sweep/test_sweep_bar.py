"""The bar of ``lrsched sweep`` on a real terminal of 80 columns: one over all runs."""

import sys
from pathlib import Path

import pytest

from lightning_lrsched.cli import main
from tests.sweep.conftest import sweep_file
from tests.terminal import terminal

LONG = "a schedule with a name that is longer than what is left of eighty columns beside a bar"


def test_one_bar_over_all_runs(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    path = sweep_file(tmp_path, schedules={"constant": "Constant", LONG: "Cosine"}, seeds=[0])
    with terminal(80) as screen, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", screen.file)
        assert main(["sweep", str(path), "--tracking-uri", uri]) == 0
    screens = list(screen.screens())
    shown = [[row for row in rows if "━" in row] for rows in screens]
    assert {len(rows) for rows in shown} <= {0, 1}
    assert any("0/? " in row and "opening the store" in row for rows in shown for row in rows)
    assert any("0/2" in row and LONG[:12] in row for rows in shown for row in rows)
    assert any("1/2" in row and "constant, seed 0" in row for rows in shown for row in rows)
    assert any("2/2" in row for row in shown[-1])
    assert "2 runs trained, 0 failed" in screens[-1]
    assert not [row for rows in screens for row in rows if "Epoch" in row], "a bar of a single fit"
