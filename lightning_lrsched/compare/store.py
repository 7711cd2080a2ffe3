"""The MLflow store to read from: which one, whether it answers, and its address without secrets."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING

from lightning_lrsched.masking import masked
from lightning_lrsched.sqlite_uri import absolute_sqlite

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from sqlalchemy import URL

_PROBE_SECONDS = 10
_MESSAGE_LENGTH = 300


class CompareError(Exception):
    """A comparison that cannot be made; the message says what to change."""


@dataclass(frozen=True)
class Store:
    """An MLflow tracking store that has answered.

    Args:
        uri: its tracking URI, with credentials if it has any; `masked` before it is shown.
        client: mlflow's client for it.
    """

    uri: str
    client: "MlflowClient"

    @property
    def remote(self) -> bool:
        """Whether each read is a request over the network."""
        return self.uri.startswith(("http://", "https://"))


def default_uri(environ: Mapping[str, str] = os.environ, folder: Path | None = None) -> str:
    """Return the tracking URI to read when none is given.

    Args:
        environ: the environment; ``MLFLOW_TRACKING_URI`` wins.
        folder: where to look for ``mlflow.db``; default the working directory.

    Raises:
        CompareError: if neither exists.
    """
    if uri := environ.get("MLFLOW_TRACKING_URI"):
        return uri
    if ((folder or Path.cwd()) / "mlflow.db").is_file():
        return absolute_sqlite("sqlite:///mlflow.db", folder)  # whole: MLflow keeps open files by name
    raise CompareError(
        "where are the runs? MLFLOW_TRACKING_URI is not set and this folder has no mlflow.db. Pass, for example, "
        "--tracking-uri sqlite:////path/to/mlflow.db or --tracking-uri http://127.0.0.1:5000"
    )


def open_store(uri: str) -> Store:
    """Return the store behind a tracking URI, after one short look whether it answers.

    mlflow itself would retry for minutes, and would create a missing sqlite file.

    Args:
        uri: as mlflow takes it: ``sqlite:///mlflow.db``, ``http://127.0.0.1:5000``, ``postgresql+psycopg2://...``.

    Raises:
        CompareError: if it does not answer, or is no MLflow store.
    """
    with told(uri):
        from mlflow import MlflowClient

        if uri.startswith(("http://", "https://")):
            _probe_server(uri)
        elif uri.startswith(("sqlite", "postgresql", "mysql", "mssql")):
            _probe_database(uri)
        return Store(uri, MlflowClient(tracking_uri=uri))


@contextmanager
def told(uri: str) -> Iterator[None]:
    """Turn whatever goes wrong while reading a store into one line without credentials.

    Raises:
        CompareError: in place of any other error.
    """
    try:
        yield
    except CompareError:
        raise
    except Exception as error:
        line = next(iter(str(_root(error)).splitlines()), "") or type(error).__name__
        raise CompareError(masked(f"cannot read {uri}: {shorten(line, _MESSAGE_LENGTH)}")) from error


def _root(error: Exception) -> Exception:
    """Return the system's own error, such as a refused connection, if there is one below mlflow's words."""
    root, cause = error, error.__cause__ or error.__context__
    while cause is not None:
        root = cause if isinstance(cause, OSError) else root
        cause = cause.__cause__ or cause.__context__
    return root


def _probe_server(uri: str) -> None:
    """Ask an MLflow server for its health, once."""
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    reply = http_request(  # type: ignore[no-untyped-call]
        get_default_host_creds(uri),  # type: ignore[no-untyped-call]
        "/health",
        "GET",
        max_retries=0,
        timeout=_PROBE_SECONDS,
        raise_on_status=False,
    )
    if reply.status_code >= 500:
        raise CompareError(masked(f"cannot read {uri}: the server answers {reply.status_code} {reply.reason}"))


def _probe_database(uri: str) -> None:
    """Connect to a database once, and look for MLflow's tables."""
    import sqlalchemy

    url = sqlalchemy.make_url(uri)
    _check_file(url)
    timeout = url.get_backend_name() in ("postgresql", "mysql")
    engine = sqlalchemy.create_engine(url, connect_args={"connect_timeout": _PROBE_SECONDS} if timeout else {})
    try:
        known = sqlalchemy.inspect(engine).has_table("experiments")
    finally:
        engine.dispose()
    if not known:
        raise CompareError(masked(f"{uri} is a database, but no MLflow store: it has no table 'experiments'"))


def _check_file(url: "URL") -> None:
    """Refuse a sqlite URI without a file behind it."""
    if url.get_backend_name() == "sqlite" and not (url.database and Path(url.database).is_file()):
        raise CompareError(
            f"there is no file {url.database}. A sqlite URI has three slashes before a relative path and four before "
            "an absolute one, for example sqlite:///mlflow.db or sqlite:////data/mlflow.db"
        )
