"""A browser without a window, and an MLflow server for it to look at."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
_OPTIONS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
_SERVER_SECONDS = 120


@contextmanager
def browser_page(width: int = 1400, height: int = 1000) -> Iterator[Page]:
    """Open an empty page; what it asks for, and what goes wrong in its scripts, can be listened to."""
    if not Path(CHROMIUM).exists():
        raise FileNotFoundError(
            f"no browser at {CHROMIUM}. On Debian: apt-get install chromium fonts-dejavu-core; or name one in CHROMIUM"
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_OPTIONS)
        try:
            yield browser.new_page(viewport={"width": width, "height": height})
        finally:
            browser.close()


@contextmanager
def mlflow_server(store: str, log: Path) -> Iterator[str]:
    """Start MLflow's server over a store and yield its address once it answers; end it with all its processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["-m", "mlflow", "server", "--backend-store-uri", store, "--workers", "1", "--port", str(port)]
    switches = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")} | switches
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command], stdout=output, stderr=output, env=environment, start_new_session=True
        )
    try:
        _await(f"http://127.0.0.1:{port}/health", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)


def _await(address: str, process: "subprocess.Popen[bytes]") -> None:
    """Wait until a server answers."""
    deadline = time.monotonic() + _SERVER_SECONDS
    while True:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            if time.monotonic() > deadline or process.poll() is not None:
                raise
            time.sleep(0.3)
