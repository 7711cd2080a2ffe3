"""Which store is read, and what is told when it does not answer."""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from lightning_lrsched.compare import CompareError, Store, default_uri, open_store
from tests.compare.stores import quiet_mlflow

pytestmark = quiet_mlflow


@pytest.fixture
def broken_server() -> Iterator[str]:
    """The address of a server that answers 503 to everything."""

    class Broken(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(503)

        def log_message(self, format: str, *args: object) -> None:
            """Stay silent."""

    with HTTPServer(("127.0.0.1", 0), Broken) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://ann:s3cret@127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_the_environment_names_the_store_first(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").touch()
    assert default_uri({"MLFLOW_TRACKING_URI": "http://server"}, tmp_path) == "http://server"
    assert default_uri({}, tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"


def test_without_a_store_the_message_says_what_to_pass(tmp_path: Path) -> None:
    with pytest.raises(CompareError, match=r"has no mlflow\.db\. Pass, for example, --tracking-uri sqlite:"):
        default_uri({"MLFLOW_TRACKING_URI": ""}, tmp_path)


def test_a_missing_file_is_refused_and_not_created(tmp_path: Path) -> None:
    with pytest.raises(CompareError, match=r"there is no file .*typo\.db\. A sqlite URI has three slashes"):
        open_store(f"sqlite:///{tmp_path}/typo.db")
    assert not list(tmp_path.iterdir())


def test_another_database_is_refused_and_not_written_to(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    path.touch()
    with pytest.raises(CompareError, match="no MLflow store: it has no table 'experiments'"):
        open_store(f"sqlite:///{path}")
    assert path.read_bytes() == b""


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    path.write_text("not a database " * 100)
    with pytest.raises(CompareError, match=r"cannot read sqlite:.*file is not a database$"):
        open_store(f"sqlite:///{path}")


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        pytest.param("http://ann:s3cret@127.0.0.1:9", "Connection refused", id="server"),
        pytest.param("https://ann:s3cret@127.0.0.1:9", "Connection refused", id="tls"),
        pytest.param("https://ann:s3cret@no..host", r"no\.\.host", id="host"),
        pytest.param("gopher://ann:s3cret@host", "gopher", id="scheme"),
        pytest.param("oracle://ann:s3cret@host/db", "oracle", id="database"),
    ],
)
def test_an_unreachable_store_is_told_at_once_without_its_password(uri: str, message: str) -> None:
    begin = time.monotonic()
    with pytest.raises(CompareError, match=message) as caught:
        open_store(uri)
    assert time.monotonic() - begin < 30
    assert "s3cret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_server_in_trouble_is_told_at_once(broken_server: str) -> None:
    begin = time.monotonic()
    with pytest.raises(CompareError, match=r"http://\*\*\*@127.*: the server answers 503 Service Unavailable$"):
        open_store(broken_server)
    assert time.monotonic() - begin < 30


def test_only_servers_are_read_by_several_at_a_time(study: Store) -> None:
    assert not study.remote
    assert Store("http://127.0.0.1:5000", study.client).remote
