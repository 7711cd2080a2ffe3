"""A real MLflow server, and a proxy before it that answers as servers do when they are ill."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Server:
    """``mlflow server`` over a store, in a process group of its own."""

    def __init__(self, folder: Path, store: str, workers: int = 1) -> None:
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.store = store
        self._workers = str(workers)
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        folder, python = self._folder, [sys.executable, "-m", "mlflow", "server"]
        where = ["--backend-store-uri", self.store, "--artifacts-destination", str(folder / "artifacts")]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
        quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        with (folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*python, *where, "--host", "127.0.0.1", "--port", str(self.port), "--workers", self._workers],
                env=kept | quiet,
                cwd=folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + 120
        while not self._healthy():
            assert self._process.poll() is None, (folder / "server.log").read_text()
            assert time.monotonic() < deadline, (folder / "server.log").read_text()
            time.sleep(0.1)

    def __enter__(self) -> Self:
        """Start, or leave nothing behind."""
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the server and its workers."""
        assert self._process is not None
        os.killpg(self._process.pid, number)

    def stop(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(10)
            self._process = None

    def _healthy(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()


class Proxy:
    """Passes requests on to a server, or does to them what `mode` says.

    Modes: ``"ok"``; a number to answer with that status; ``"cut"`` to hang up before the request is passed on;
    ``"reply lost"`` to hang up after it; ``"slow"`` to answer the next write of points 10 s late; ``"down"`` to listen
    no more.
    """

    def __init__(self, port: int) -> None:
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.requests: list[str] = []
        self.authorizations: list[str | None] = []
        self.points: list[int] = []  # in each request that has some
        self.late = 0  # answers that were given 10 s late
        self._behind = port
        self._mode: str | int = "ok"
        self._server: ThreadingHTTPServer | None = None

    @property
    def mode(self) -> str | int:
        return self._mode

    @mode.setter
    def mode(self, mode: str | int) -> None:
        if mode == "down":
            self.close()
        elif self._server is None:
            self.open()
        self._mode = mode

    def open(self) -> None:
        self._server = _Listener(("127.0.0.1", self.port), _handler(self))
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        self.requests.append(handler.path)
        self.authorizations.append(handler.headers.get("Authorization"))
        if handler.path.endswith("log-batch") and (metrics := json.loads(body).get("metrics")):
            self.points.append(len(metrics))
        mode = self._mode if self._server is not None else "cut"
        if mode == "cut":
            _hang_up(handler)
            return
        if isinstance(mode, int):
            _reply(handler, mode, b"ill on purpose", {"Content-Type": "text/plain"})
            return
        connection = http.client.HTTPConnection("127.0.0.1", self._behind, timeout=60)
        passed = {key: value for key, value in handler.headers.items() if key.lower() not in ("host", "connection")}
        connection.request(handler.command, handler.path, body, passed)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        if mode == "reply lost" and handler.path.endswith("log-batch"):
            _hang_up(handler)
            return
        if mode == "slow" and handler.path.endswith("log-batch"):
            self._mode = "ok"
            time.sleep(10)
            self.late += 1
        _reply(handler, answer.status, content, {"Content-Type": answer.headers.get("Content-Type", "")})


class _Listener(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that is gone is part of the game."""


def _handler(proxy: Proxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            proxy.answer(self)

        do_POST = do_PUT = do_PATCH = do_GET

    return Handler


def _reply(handler: BaseHTTPRequestHandler, status: int, content: bytes, headers: dict[str, str]) -> None:
    handler.send_response(status)
    for key, value in (headers | {"Content-Length": str(len(content))}).items():
        handler.send_header(key, value)
    handler.end_headers()
    handler.wfile.write(content)


def _hang_up(handler: BaseHTTPRequestHandler) -> None:
    with suppress(OSError):
        handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True
