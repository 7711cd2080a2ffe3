"""The benchmark of the costs works: its figures are for an idle machine, and how many points arrive is exact."""

import re
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "tracking_cost.py"
STEPS = 60


def test_a_row_for_each_way_has_its_figures_and_all_points(tmp_path: Path) -> None:
    few = ["--steps", str(STEPS), "--store", "sqlite", "--groups", "1", "--rounds", "1", "--ways", "tracker", "logger"]
    command = [sys.executable, str(SCRIPT), *few]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=240, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    first, *told = done.stdout.splitlines()
    assert re.fullmatch(rf"{STEPS} steps; one without tracking took \d+\.\d ms; servers with 4 workers", first)
    heading, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in told if line[:1] == "|"]
    columns = dict(zip(heading, zip(*rows, strict=True), strict=True))
    assert columns["store"] == ("sqlite", "sqlite")
    assert columns["groups"] == ("1", "1")
    assert columns["way"] == ("MLflowTracker", "MLFlowLogger + LearningRateMonitor(step)")
    assert columns["lr points"] == (str(STEPS), str(STEPS))
    assert columns["requests"] == ("", ""), "there is no server to ask"
    for name in ("worst step, ms", "whole fit, s more", "of it after the last step", "process CPU, s more"):
        assert all(re.fullmatch(r"-?\d[\d,.]*", figure) for figure in columns[name]), name
    assert all(re.fullmatch(r"-?[\d,]+", figure) for figure in columns["us a step (median)"])
    assert re.search(r"^sqlite, 1, MLflowTracker: .*\d times less \(CPU .*\d\)$", done.stdout, re.MULTILINE)
    assert list(tmp_path.iterdir()) == [], "all it makes goes into a folder of its own"
