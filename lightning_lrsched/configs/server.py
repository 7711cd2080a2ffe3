"""The files of `mlflow_configs`: where runs are tracked, and the server that can be started for it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from lightning_lrsched.checks import check_number, refusal
from lightning_lrsched.configs.document import ConfigError, build, load_document

T = TypeVar("T")

_SECTION = "server"
_DATABASE = "database: postgresql+psycopg2://mlflow@127.0.0.1:5433/mlflow"


@dataclass(frozen=True)
class ServerConfig:
    """An MLflow tracking server over PostgreSQL, on this machine.

    Args:
        host: the address that it listens on; anything but this machine's own needs an authentication of its own.
        port: its port.
        database: URI of the PostgreSQL database, with user, host, port and name and without a password.
        folder: where the database, the artifacts and the logs are kept.
        workers: its processes; one is the fastest on a small machine.

    Raises:
        ValueError: if a value is refused, with a valid example.
    """

    database: str
    host: str = "127.0.0.1"
    port: int = 5000
    folder: str = ".server"
    workers: int = 1

    def __post_init__(self) -> None:
        """Refuse what no server could be started with."""
        for name in ("port", "workers"):
            value = getattr(self, name)
            check_number(f"server.{name}", value, f"{name}: 1", at_least=1, at_most=65535)
            if not isinstance(value, int):
                raise refusal(f"server.{name}", value, "a whole number", f"{name}: 1")
        for name in ("host", "folder"):
            if not isinstance(getattr(self, name), str) or not getattr(self, name):
                raise refusal(f"server.{name}", getattr(self, name), "a text", "host: 127.0.0.1")
        if not isinstance(self.database, str) or not self.database.startswith("postgresql+psycopg2://"):
            # Without the driver's name, SQLAlchemy 2.1 would look for psycopg 3.
            raise refusal("server.database", self.database, "a URI that begins postgresql+psycopg2://", _DATABASE)


def load_server(path: str | Path) -> ServerConfig:
    """Return the ``server`` section of a file.

    Raises:
        ConfigError: if it is not there or is refused.
    """
    document = load_document(path)
    if _SECTION not in document:
        raise ConfigError(f"{path} has no section 'server'. For example: server: {{{_DATABASE}}}")
    return build(ServerConfig, document[_SECTION], f"{path}: {_SECTION}")


def tracker_from(kind: Callable[..., T], path: str | Path) -> T:
    """Return the tracker that a file describes: its keys are the tracker's parameters.

    A ``server`` section may stand beside them; it is checked, and is for whoever starts the server.

    Args:
        kind: the tracker's class.
        path: the file.

    Raises:
        ConfigError: if a key is unknown, a value is refused, or the file holds a password.
    """
    document = load_document(path)
    if _SECTION in document:
        build(ServerConfig, document.pop(_SECTION), f"{path}: {_SECTION}")
    return build(kind, document, str(path))
