"""The GPU benchmark: its dry run on a CPU, and what it says where there is no GPU."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(*arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run it where mlflow cannot be imported."""
    (folder / "mlflow").mkdir()
    (folder / "mlflow" / "__init__.py").write_text("raise ImportError('no mlflow here')", encoding="utf-8")
    environment = os.environ | {
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}",
    }
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu" / "run.py"), *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=240, cwd=folder, check=False
    )


@pytest.mark.timeout(300)
def test_the_dry_run_finds_everything_as_it_must_be(tmp_path: Path) -> None:
    done = run("--dry-run", "--steps", "40", "--output", tmp_path / "table.md", folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    table = (tmp_path / "table.md").read_text(encoding="utf-8")
    assert "DRY RUN" in table
    rows = [line for line in table.splitlines() if line.startswith("| ") and "---" not in line][1:]
    parts = {row.split(" | ")[0].strip("| ").partition(",")[0] for row in rows}
    assert parts == {"AMP fp16", "tensor lr", "torch.compile(optimizer.step)", "cuda_graph", "DDP", "cost"}
    assert sum(row.endswith("| yes |") for row in rows) == 12
    assert not [row for row in rows if row.endswith("| NO |")]


def test_without_a_gpu_it_is_skipped_loudly(tmp_path: Path) -> None:
    done = run(folder=tmp_path)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("SKIPPED: no CUDA device")
