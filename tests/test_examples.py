"""Every example runs, on a small budget."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BUDGETS = {"demo.py": ["--epochs", "15"]}


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.name)
def test_example(path: Path, tmp_path: Path) -> None:
    code = path.read_text(encoding="utf-8")
    arguments = [*BUDGETS.get(path.name, []), "--output", str(tmp_path / "out")] if "--output" in code else []
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    done = subprocess.run(
        [sys.executable, str(path), *arguments],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.rglob("*.png")), done.stdout


def test_the_demo_keeps_a_checkpoint_of_each_cycle_and_says_where_everything_is(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "examples" / "demo.py"), "--epochs", "15", "--output", "out"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=200, check=True)
    files = list((tmp_path / "out" / "checkpoints").glob("cycle=*.ckpt"))
    assert [path.name.partition("-")[0] for path in files] == ["cycle=0"]
    for name in ("constant", "warmup + cosine", "warmup + SGDR", "compare.png", "mlflow ui --backend-store-uri"):
        assert name in done.stdout
    assert str(files[0]) in done.stdout
