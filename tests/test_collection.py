"""How the tests are collected: what takes longest begins first, and to import a file of the tests runs nothing."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import SLOW

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "tests").rglob("*.py"))


def test_what_is_slow_is_there() -> None:
    assert [name for name in SLOW if not (ROOT / name).exists()] == []


@pytest.mark.parametrize(
    ("options", "order"),
    [
        pytest.param(["-n", "1"], ["quick", "integration", "integration", "many", "many", "many"], id="beside others"),
        pytest.param([], ["integration", "integration", "many", "many", "many", "quick"], id="alone"),
    ],
)
def test_the_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], order: list[str]) -> None:
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    for name, count in {"study/test_quick": 1, "many/test_many": 3, "integration/test_integration": 2}.items():
        path = tmp_path / "tests" / f"{name}.py"
        path.parent.mkdir(parents=True)
        path.write_text("\n".join(f"def test_{number}(): pass" for number in range(count)), encoding="utf-8")
    [line] = [line for line in (ROOT / "Makefile").read_text(encoding="utf-8").splitlines() if "--durations" in line]
    command = [sys.executable, "-m", "pytest", "-v", "-p", "tests.conftest", "-p", "no:cacheprovider", *options]
    command += line.partition("-n 2")[2].split() if options else []
    command += ["--rootdir", str(tmp_path), str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
    ran = [line for line in done.stdout.splitlines() if "PASSED" in line]
    assert re.findall(r"/test_(\w+)\.py", "\n".join(ran)) == order


def test_no_file_takes_the_command_line_of_pytest_for_its_own() -> None:
    reading = []
    for path in FILES:
        body = ast.parse(path.read_text(encoding="utf-8")).body
        at_import = [node for node in body if not isinstance(node, ast.FunctionDef | ast.ClassDef)]
        names = {ast.unparse(part) for node in at_import if not guarded(node) for part in ast.walk(node)}
        reading += [path] if "sys.argv" in names else []
    assert reading == []


def guarded(node: ast.stmt) -> bool:
    """Return whether a statement is what a file does as a script only."""
    return isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"
