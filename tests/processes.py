"""Starts scripts as processes of their own, and ends them with all their children."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeAlias

ROOT = Path(__file__).parents[1]

Start: TypeAlias = Callable[..., "subprocess.Popen[str]"]


@contextmanager
def starting(folder: Path, **more: str) -> Iterator[Start]:
    """Yield what starts Python with arguments in a folder.

    Args:
        folder: where; the output goes to ``log`` in it, or to another name that is given as ``log=``.
        more: variables of the environment besides those that all of them have.
    """
    started: list[subprocess.Popen[str]] = []

    def begin(*arguments: str | Path, log: str = "log") -> "subprocess.Popen[str]":
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "PYTEST_"))}
        environment = kept | {
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "CUDA_VISIBLE_DEVICES": "",
        }
        with (folder / log).open("w", encoding="utf-8") as output:
            process = subprocess.Popen(
                # ctrl-C counts also where these tests run in the background of a shell, which ignores it
                ["env", "--default-signal=INT", sys.executable, *map(str, arguments)],
                cwd=folder,
                env=environment | more,
                stdout=output,
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
