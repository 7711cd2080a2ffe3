"""The example with the SGDR paper's figure: seven curves, over a short run."""

from pathlib import Path

import numpy as np
import pytest

from examples.sgdr_paper import figure, main


def test_the_picture_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "paper.png"
    main(["--epochs", "40", "--steps-per-epoch", "10", "--output", str(path)])
    assert path.read_bytes().startswith(b"\x89PNG")
    assert capsys.readouterr().out == f"{path}\n"


def test_the_curves_are_those_of_the_paper() -> None:
    [axes] = figure(epochs=200, steps_per_epoch=5).axes
    lrs = {str(line.get_label()): np.asarray(line.get_ydata()) for line in axes.get_lines()}
    assert [lr[0] for lr in lrs.values()] == [0.1] + 6 * [0.05]
    assert [lr.size for lr in lrs.values()] == 7 * [1000]
    restarts = {name: (np.flatnonzero(np.diff(lr) > 0) + 1).tolist() for name, lr in lrs.items()}
    assert restarts == {
        "default, lr 0.1": [],
        "default, lr 0.05": [],
        "T_0 = 50, T_mult = 1": [250, 500, 750],
        "T_0 = 100, T_mult = 1": [500],
        "T_0 = 200, T_mult = 1": [],
        "T_0 = 1, T_mult = 2": [5, 15, 35, 75, 155, 315, 635],
        "T_0 = 10, T_mult = 2": [50, 150, 350, 750],
    }
    assert np.flatnonzero(np.diff(lrs["default, lr 0.1"])).tolist() == [299, 599, 799]
