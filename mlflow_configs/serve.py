"""Starts and stops the tracking server of a configuration file: PostgreSQL, and `mlflow server` over it, on loopback.

Behind ``make server`` and ``make server-stop``. The database's password is read from PGPASSWORD, or made at random the
first time; from then on it is that of the folder's ``pgpass``, which only its owner can read. It stands in no command
line.
"""

import argparse
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from lightning_lrsched.configs import ConfigError, ServerConfig, load_server

DEFAULT = Path(__file__).with_name("server.yaml")
STARTING_SECONDS = 120
_NOT_RUNNING = 3  # what pg_ctl status exits with


class ServerError(Exception):
    """The server cannot be started or stopped; the message says what to do."""


@dataclass(frozen=True)
class Server:
    """A database and a tracking server in one folder."""

    config: ServerConfig

    @property
    def folder(self) -> Path:
        """Where everything is kept."""
        return Path(self.config.folder).absolute()

    @property
    def address(self) -> str:
        """The tracking URI."""
        return f"http://{self.config.host}:{self.config.port}"

    @property
    def database(self) -> SplitResult:
        """The parts of the database's URI."""
        return urlsplit(self.config.database)

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which libpq finds the password, and the server starts no jobs.

        A PGPASSWORD would win over the file: by now it may be that of another database.
        """
        pgpass = self.folder / "pgpass"
        inherited = {key: value for key, value in os.environ.items() if key != "PGPASSWORD" or not pgpass.exists()}
        return inherited | {
            "PGPASSFILE": str(pgpass),
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }

    def start(self) -> None:
        """Start what is not running, and wait until it answers."""
        if self.process_id() is not None and self._healthy():
            return
        self._check_port(self.config.port, self.config.host)
        tool = _postgres_tool("pg_ctl")
        self.folder.mkdir(parents=True, exist_ok=True)
        data = self._owned(self.folder / "postgres")
        if not (data / "PG_VERSION").exists():
            self._create(data)
        if _ran(_as_owner([tool, "status", "-D", str(data)])).returncode:
            self._check_port(self.database.port or 5432, self.database.hostname or "127.0.0.1")
            options = f"-p {self.database.port or 5432} -h {self.database.hostname} -k ''"
            log = str(data / "log")
            _run(_as_owner([tool, "start", "-w", "-t", "60", "-D", str(data), "-l", log, "-o", options]), log)
        self._create_database()
        self._start_mlflow()

    def stop(self) -> list[str]:
        """Stop what is running, and say what it was."""
        stopped = []
        process_id = self.process_id()
        if process_id is not None:
            os.killpg(process_id, signal.SIGTERM)
            _await(lambda: self.process_id() is None, 30, "mlflow server does not stop")
            stopped.append("mlflow server")
        (self.folder / "mlflow.pid").unlink(missing_ok=True)
        data = self.folder / "postgres"
        if (data / "PG_VERSION").exists():
            tool = _postgres_tool("pg_ctl")
            status = _ran(_as_owner([tool, "status", "-D", str(data)]))
            if status.returncode not in (0, _NOT_RUNNING):
                raise ServerError(f"cannot tell whether PostgreSQL runs: {status.stderr.strip()}")
            if status.returncode == 0:
                _run(_as_owner([tool, "stop", "-w", "-m", "fast", "-D", str(data)]), str(data / "log"))
                stopped.append("PostgreSQL")
        return stopped

    def process_id(self) -> int | None:
        """Return the server's process, if the one that was started still runs."""
        try:
            process_id = int((self.folder / "mlflow.pid").read_text())
            command = Path(f"/proc/{process_id}/cmdline").read_bytes()
        except (OSError, ValueError):
            return None
        return process_id if b"mlflow" in command else None  # the number may belong to another process by now

    def _create(self, data: Path) -> None:
        """Make the database cluster, with a password."""
        database = self.database
        password = os.environ.get("PGPASSWORD") or secrets.token_urlsafe(24)
        escaped = password.replace("\\", "\\\\").replace(":", "\\:")
        pgpass = self.folder / "pgpass"
        _write_private(pgpass, f"*:*:*:{database.username}:{escaped}\n")  # another port may be given later
        handed = self.folder / "password"
        _write_private(handed, password)
        if os.geteuid() == 0:
            shutil.chown(handed, "postgres")
        words = ["-D", str(data), "-U", str(database.username), "--auth=scram-sha-256", "-E", "UTF8"]
        try:
            _run(_as_owner([_postgres_tool("initdb"), *words, f"--pwfile={handed}", "--locale=C.UTF-8"]))
        finally:
            handed.unlink()

    def _create_database(self) -> None:
        """Make the database itself, once."""
        database = self.database
        words = ["-h", str(database.hostname), "-p", str(database.port or 5432), "-U", str(database.username), "-w"]
        done = _ran([_postgres_tool("createdb"), *words, database.path.strip("/")], self.environment)
        if done.returncode and "already exists" not in done.stderr:
            raise ServerError(f"createdb failed: {done.stderr.strip()}")

    def _start_mlflow(self) -> None:
        """Start the tracking server in a session of its own."""
        words = ["--backend-store-uri", self.config.database, "--workers", str(self.config.workers)]
        words += ["--artifacts-destination", str(self.folder / "artifacts"), "--serve-artifacts"]
        words += ["--host", self.config.host, "--port", str(self.config.port)]
        log = self.folder / "mlflow.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", "server", *words],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        (self.folder / "mlflow.pid").write_text(str(process.pid))
        failed = f"mlflow server does not answer at {self.address}; its log is {log}"
        _await(lambda: self._healthy() or process.poll() is not None, STARTING_SECONDS, failed)
        if process.poll() is not None:
            raise ServerError(f"mlflow server ended with {process.returncode}; its log is {log}:\n{_tail(log)}")

    def _healthy(self) -> bool:
        """Return whether the server answers."""
        try:
            with urllib.request.urlopen(f"{self.address}/health", timeout=5) as reply:
                return bool(reply.status == 200)
        except OSError:
            return False

    def _owned(self, folder: Path) -> Path:
        """Return a folder that the database's user can write; PostgreSQL refuses to run as root."""
        folder.mkdir(mode=0o700, exist_ok=True)
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres")
            if _ran(_as_owner(["test", "-w", str(folder)])).returncode:
                raise ServerError(f"the user postgres cannot reach {folder}. Give 'folder' a place that all can enter")
        return folder

    @staticmethod
    def _check_port(port: int, host: str) -> None:
        """Refuse a port that somebody else has."""
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                raise ServerError(f"{host}:{port} is not free ({error}). Name another in the file's server") from error


def _postgres_tool(name: str) -> str:
    """Return the path of a program of PostgreSQL; Debian keeps them off the PATH."""
    found = shutil.which(name) or next(map(str, sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))[-1:]), None)
    if found is None:
        raise ServerError("PostgreSQL is not installed. On Debian and Ubuntu: apt-get install postgresql")
    return found


def _as_owner(command: Sequence[str]) -> list[str]:
    """Return a command as the database's user: oneself, or postgres where that is root."""
    return (
        [shutil.which("runuser") or "/usr/sbin/runuser", "-u", "postgres", "--", *command]
        if os.geteuid() == 0
        else list(command)
    )


def _ran(command: Sequence[str], environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, in a folder that every user may enter."""
    with subprocess.Popen(
        command, env=environment, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        # PostgreSQL itself keeps the pipe open when it stays, so reading ends with the command and not with the pipe.
        assert process.stderr is not None
        process.wait(90)
        os.set_blocking(process.stderr.fileno(), False)
        told = process.stderr.read() or b""
    return subprocess.CompletedProcess(command, process.returncode, "", told.decode(errors="replace"))


def _run(command: Sequence[str], log: str | None = None) -> None:
    """Run a command that must succeed."""
    done = _ran(command)
    if done.returncode:
        more = f"\n{_tail(Path(log))}" if log and os.access(log, os.R_OK) else ""
        raise ServerError(f"{' '.join(command)} failed: {done.stderr.strip()}{more}")


def _write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        file.write(text)


def _tail(log: Path) -> str:
    """Return the last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-12:])


def _await(condition: Callable[[], bool], seconds: float, otherwise: str) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise ServerError(otherwise)
        time.sleep(0.2)


def main() -> int:
    """Start or stop the server of a file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("start", "stop"))
    parser.add_argument("config", nargs="?", type=Path, default=DEFAULT)
    args = parser.parse_args()
    try:
        server = Server(load_server(args.config))
        if args.what == "stop":
            print(f"stopped: {' and '.join(server.stop()) or 'nothing was running'}")
            return 0
        print(f"starting PostgreSQL and mlflow server in {server.folder} (about ten seconds) ...", flush=True)
        try:
            server.start()
        except BaseException:
            server.stop()
            raise
    except (ConfigError, ServerError) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"export MLFLOW_TRACKING_URI={server.address}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
