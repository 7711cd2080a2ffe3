"""How requests reach a server: `mlflow server` answers 40 ms late on a connection that was used before."""

import random
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.http_artifact_repo import HttpArtifactRepository

from lightning_lrsched.tracking.mlflow_client import open_client, open_registry, store_of
from lightning_lrsched.tracking.sink import Point


class Listener(ThreadingHTTPServer):
    """Answers everything with nothing, keeps connections as HTTP/1.1 does, and counts."""

    daemon_threads = True
    connections = requests = 0

    def process_request(self, *given: Any) -> None:
        self.connections += 1
        super().process_request(*given)


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        assert isinstance(self.server, Listener)
        self.server.requests += 1
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_GET = do_POST

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def listener() -> Iterator[Listener]:
    with Listener(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_each_request_has_a_connection_of_its_own(listener: Listener) -> None:
    client = open_client(f"http://127.0.0.1:{listener.server_port}", 5)
    for step in range(3):
        store_of(client).log_batch("0" * 32, [Point("lr", 0.1, step, 0)], [], [])
    client.set_tag("0" * 32, "key", "value")
    registry = open_registry(client, client.tracking_uri)
    registry.set_registered_model_tag("model", "key", "value")
    assert listener.connections == listener.requests >= 5


def test_connections_that_are_encrypted_are_kept() -> None:
    bounds: Any = open_client("https://127.0.0.1:9", 5)._tracking_client
    assert "extra_headers" not in bounds.request_bounds


def test_an_upload_that_is_tried_again_draws_nothing_from_the_trainings_generator(
    listener: Listener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    open_client(f"http://127.0.0.1:{listener.server_port}", 5)
    repository: Any = HttpArtifactRepository("http://127.0.0.1:9/artifacts")  # type: ignore[no-untyped-call]
    (tmp_path / "file").touch()
    before = random.getstate()
    with pytest.raises(MlflowException, match="refused"):
        repository.log_artifact(str(tmp_path / "file"))
    assert random.getstate() == before
