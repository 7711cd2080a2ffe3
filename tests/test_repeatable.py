"""In CI, Hypothesis tries the same examples each time; by itself it tries others."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEST = """
from hypothesis import given, settings, strategies as st
drawn = []
@given(st.integers())
def test_it(number):
    drawn.append(number)
def test_told():
    now = settings.get_current_profile_name(), settings.default.print_blob, settings.default.deadline
    open("told", "a").write(repr((now, drawn)) + "\\n")
"""


def twice(folder: Path) -> list[str]:
    """What two runs were: their settings and examples."""
    (folder / "test_it.py").write_text(TEST, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", "-p", "no:cacheprovider"]
    for _ in range(2):
        subprocess.run([*command, "--rootdir", str(folder), str(folder)], cwd=folder, check=True, timeout=120)
    return (folder / "told").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize(
    ("variable", "profile", "alike"),
    [
        pytest.param("true", "('ci', True, None)", True, id="in CI"),
        pytest.param("", "('suite', False, None)", False, id="by itself"),
    ],
)
def test_which_examples_are_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, profile: str, alike: bool
) -> None:
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("CI", variable)
    first, second = twice(tmp_path)
    assert first.startswith(f"({profile}, [")
    assert (first == second) == alike
