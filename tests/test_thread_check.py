"""A test after which a thread of the tracker still runs fails."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEST = """
import threading, time

def test_it():
    threading.Thread(target=time.sleep, args=({seconds},), name="{name}", daemon=True).start()
"""


@pytest.mark.parametrize(
    ("thread", "outcome"),
    [
        pytest.param(("lrsched-points", 60), "1 passed, 1 error", id="left"),
        pytest.param(("lrsched-points", 1), "1 passed", id="soon over"),
        pytest.param(("another", 60), "1 passed", id="not the tracker's"),
    ],
)
def test_a_thread_that_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, thread: tuple[str, int], outcome: str
) -> None:
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    name, seconds = thread
    (tmp_path / "test_it.py").write_text(TEST.format(name=name, seconds=seconds), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider"]
    command += ["--rootdir", str(tmp_path), str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert f" {outcome} in " in done.stdout.splitlines()[-1], done.stdout
    assert ("still running 5 s after the test: ['lrsched-points']" in done.stdout) == ("error" in outcome)
