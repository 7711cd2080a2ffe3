"""Every example runs, on a small budget."""

import os
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(name: str, folder: Path, *arguments: str) -> str:
    """Run an example in a folder and return what it printed."""
    elsewhere = {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/elsewhere.db"}
    environment = (
        os.environ | elsewhere | {"OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg", "MLFLOW_DISABLE_TELEMETRY": "true"}
    )
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_demo_keeps_a_checkpoint_of_each_cycle_and_says_where_everything_is(tmp_path: Path) -> None:
    told = run("demo.py", tmp_path, "--epochs", "15", "--output", "out")
    files = list((tmp_path / "out" / "checkpoints").glob("cycle=*.ckpt"))
    assert {path.name.partition("-")[0] for path in files} == {"cycle=0"}
    for text in ("constant", "warmup + cosine", "warmup + SGDR", "compare.png", "mlflow ui --backend-store-uri"):
        assert text in told
    assert str(files[0]) in told
