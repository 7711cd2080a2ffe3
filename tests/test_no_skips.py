"""With ``--no-skips``, as in CI, a test that lacks something fails; by itself it is skipped."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("reason", "options", "outcome"),
    [
        pytest.param("PostgreSQL is not installed", [], "1 skipped", id="by itself"),
        pytest.param("PostgreSQL is not installed", ["--no-skips"], "1 failed", id="in CI"),
        pytest.param("differs on purpose: here", ["--no-skips"], "1 skipped", id="a golden vector"),
    ],
)
def test_what_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: str, options: list[str], outcome: str
) -> None:
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)  # in CI it is there already
    lines = ["import pytest", "def test_it():", f"    pytest.skip({reason!r})"]
    (tmp_path / "test_it.py").write_text("\n".join(lines), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", *options]
    done = subprocess.run(
        [*command, "--rootdir", tmp_path, tmp_path], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert outcome in done.stdout.splitlines()[-1], done.stdout + done.stderr
    assert reason in done.stdout or outcome == "1 skipped"
