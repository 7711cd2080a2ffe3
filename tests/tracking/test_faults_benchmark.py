"""The benchmark of the faults works: its figures are for an idle machine."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.tracking_faults import COLUMNS, together

FAULTS = ("read-only", "experiment", "two", "sigkill", "sigterm", "ctrl-c", "exception")
SCRIPT = Path(__file__).parents[2] / "benchmarks" / "tracking_faults.py"


@pytest.mark.parametrize(
    ("calm", "median", "counted"), [(8.0, 15.0, "1 of 2"), (5.0, 30.0, "0 of 2"), (float("inf"), 30.0, "2 of 2")]
)
def test_medians_are_those_of_calm_fits_and_the_largest_is_that_of_all(
    calm: float, median: float, counted: str
) -> None:
    common = {"same": True, "arrived": 60, "steps": 60}
    slow, fast = (dict.fromkeys(COLUMNS, figure) | common for figure in (45.0, 15.0))
    row = together("none", 1, [slow | {"append": 20.0}, fast | {"append": 7.0}], calm)
    assert (row["wall"], row["held"], row["calm"]) == (median, 45.0, counted)


def test_a_row_for_each_fault_says_that_the_fit_is_the_untracked_one_and_that_all_arrived() -> None:
    command = [sys.executable, str(SCRIPT), "--quick", "--groups", "2", "--fault", *FAULTS]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    rows = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")][2:]
    assert [row[0] for row in rows] == [
        "| spool that cannot be written",
        "| experiment deleted in the middle",
        "| another training that writes to the same sqlite file",
        "| process killed by SIGKILL",
        "| process killed by SIGTERM",
        "| ctrl-C",
        "| exception in the module",
    ]
    for row, steps in zip(rows, (60, 60, 60, 45, 45, 45, 45), strict=True):
        assert row[-3:] == ["1 of 1", "yes", f"{steps} of {steps} |"]
        assert all(re.fullmatch(r"-?[\d,.]+", figure) for figure in row[1:-3])
        assert float(row[2]) > 0
