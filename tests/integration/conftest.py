"""Starts scripts as processes of their own, and ends them with all their children."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.callbacks.noise import silence

ROOT = Path(__file__).parents[2]


def pytest_configure(config: pytest.Config) -> None:
    """Ignore what other packages warn of."""
    silence(config)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start Python with arguments in the folder of the test; the output goes to ``log``."""
    with starting(tmp_path) as begin:
        yield begin


@contextmanager
def starting(folder: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start Python with arguments in a folder, and end what is left of it."""
    started: list[subprocess.Popen[str]] = []

    def begin(*arguments: str | Path) -> subprocess.Popen[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "PYTEST_"))}
        environment = kept | {
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "CUDA_VISIBLE_DEVICES": "",
        }
        with (folder / "log").open("w", encoding="utf-8") as log:
            process = subprocess.Popen(
                # ctrl-C counts also where these tests run in the background of a shell, which ignores it
                ["env", "--default-signal=INT", sys.executable, *map(str, arguments)],
                cwd=folder,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                text=True,
            )
        started.append(process)
        return process

    yield begin
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)  # torchrun ends its workers, which are in groups of their own
        with suppress(subprocess.TimeoutExpired):
            process.wait(45)  # it gives workers that hang 30 s
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)
