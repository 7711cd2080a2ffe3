"""The runs of a sweep in MLflow: a parent, and a child for each combination, known by a tag."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING

from lightning_lrsched.configs import ConfigError
from lightning_lrsched.masking import masked
from lightning_lrsched.sqlite_uri import absolute_sqlite
from lightning_lrsched.sweep.combinations import Combination
from lightning_lrsched.sweep.trained import Trained, forget
from lightning_lrsched.tracking.mlflow_client import is_final
from lightning_lrsched.tracking.replay import replay
from lightning_lrsched.tracking.spool import SpoolError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_SWEEP, _SETTINGS, _OWNER = "lrsched.sweep", "lrsched.sweep.settings", "lrsched.sweep.process"
_PARENT = "mlflow.parentRunId"
_PAGE = 1000
_LAST_REQUEST = 60.0  # seconds for which a fit of this process may still have a request running that it gave up
_SOON = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}
_MESSAGE_LENGTH = 300


class StoreAway(Exception):
    """MLflow's store does not answer, and the sweep has ended; the message says how to go on."""


@contextmanager
def answering(uri: str, during: str = "") -> Iterator[None]:
    """Tell a store that does not answer by one error with what to do.

    Args:
        uri: the store.
        during: what is to be said besides.

    Raises:
        StoreAway: in place of what MLflow raises, unless it has answered and refused.
    """
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if is_final(error):
            raise
        line = shorten(next(iter(str(error).splitlines()), ""), _MESSAGE_LENGTH)
        raise StoreAway(
            masked(
                f"MLflow at {uri} does not answer, and the sweep has ended.{during and f' {during}.'} When MLflow "
                "answers again, give the same command again: it delivers what was trained and trains what is missing. "
                f"The last answer: {line}"
            )
        ) from error


@contextmanager
def impatient() -> Iterator[None]:
    """Have a server that does not answer keep nobody waiting for long; MLflow's own patience lasts for minutes."""
    before = {name: os.environ.get(name) for name in _SOON}
    os.environ |= {name: most for name, most in _SOON.items() if int(before[name] or most) >= int(most)}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def tracking_uri(given: str | None) -> str:
    """Return where a sweep's runs are: as given, else ``MLFLOW_TRACKING_URI``, else a sqlite file in the folder.

    The path of a sqlite file is made absolute: MLflow keeps open files by their name, whatever the folder is by then.
    """
    return absolute_sqlite(given or os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db")


def finished_runs(uri: str, experiment: str, fingerprint: str) -> dict[str, "Run"]:
    """Return the finished runs of a sweep by the fingerprint of their settings; none if it was never begun."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    found = client.get_experiment_by_name(experiment)
    if found is None:
        return {}
    parents = client.search_runs([found.experiment_id], f"tags.`{_SWEEP}` = '{fingerprint}'", max_results=1)
    if not parents:
        return {}
    children = SweepRuns(client, found.experiment_id, parents[0].info.run_id).children()
    finished = {key: [run for run in runs if run.info.status == "FINISHED"] for key, runs in children.items()}
    return {key: runs[0] for key, runs in finished.items() if runs}


@dataclass(frozen=True)
class SweepRuns:
    """The parent run of a sweep, and what MLflow knows of its children.

    Args:
        client: of the store.
        experiment_id: MLflow's.
        parent_id: the parent's run id.
    """

    client: "MlflowClient"
    experiment_id: str
    parent_id: str

    @classmethod
    def open(cls, uri: str, experiment: str, name: str, fingerprint: str) -> "SweepRuns":
        """Return the sweep of a fingerprint, with a new parent run if there is none.

        Raises:
            ConfigError: if another process of this machine trains it now.
        """
        from mlflow import MlflowClient

        client = MlflowClient(uri)
        found = client.get_experiment_by_name(experiment)
        experiment_id = client.create_experiment(experiment) if found is None else found.experiment_id
        parents = client.search_runs([experiment_id], f"tags.`{_SWEEP}` = '{fingerprint}'", max_results=1)
        if parents:
            _refuse_second(parents[0])
            parent_id = parents[0].info.run_id
            client.update_run(parent_id, "RUNNING")
        else:
            parent_id = client.create_run(experiment_id, run_name=name, tags={_SWEEP: fingerprint}).info.run_id
        client.set_tag(parent_id, _OWNER, f"{socket.gethostname()}:{os.getpid()}", synchronous=True)
        return cls(client, experiment_id, parent_id)

    def children(self) -> dict[str, list["Run"]]:
        """Return the parent's runs by the fingerprint of their settings."""
        children: dict[str, list[Run]] = {}
        token: str | None = None
        while True:
            which = f"tags.`{_PARENT}` = '{self.parent_id}'"
            page = self.client.search_runs([self.experiment_id], which, max_results=_PAGE, page_token=token)
            for run in page:
                children.setdefault(run.data.tags.get(_SETTINGS, ""), []).append(run)
            token = page.token
            if not token:
                return children

    def begin(self, combination: Combination) -> str:
        """Open the run of a combination and return its id."""
        from mlflow.entities import Param

        tags = {_PARENT: self.parent_id, _SETTINGS: combination.fingerprint}
        run_id: str = self.client.create_run(self.experiment_id, run_name=combination.name, tags=tags).info.run_id
        params = [Param(key, value) for key, value in combination.params().items()]
        self.client.log_batch(run_id, params=params, synchronous=True)
        return run_id

    def completed(self, run: "Run", folder: Path) -> bool:
        """Return whether a run is finished and whole; one that was trained to its end is made so now.

        Args:
            run: the run.
            folder: where its checkpoints are, and what says that it was trained.
        """
        if run.info.status == "FINISHED":
            return True
        trained = Trained.read(folder)
        if trained is None or trained.run_id != run.info.run_id:
            return False
        if trained.spool is not None:
            spool = folder / trained.spool
            if not (spool / "spool.json").is_file():
                return False
            try:
                replay(spool, self.client.tracking_uri, patience=_LAST_REQUEST)
            except SpoolError as error:
                raise ConfigError(f"{run.info.run_name}: {error}") from error
            replace(trained, spool=None).write(folder)
        self.client.set_terminated(run.info.run_id, "FINISHED", run.info.end_time or trained.ended)
        forget(folder)
        return True

    def end_run(self, run_id: str, status: str) -> None:
        """End a child."""
        self.client.set_terminated(run_id, status)

    def discard(self, run: "Run") -> None:
        """Put a run that did not finish into MLflow's trash, from where ``mlflow runs restore`` brings it back."""
        self.client.delete_run(run.info.run_id)

    def end(self, status: str) -> None:
        """End the parent."""
        self.client.set_terminated(self.parent_id, status)


def _refuse_second(parent: "Run") -> None:
    """Refuse to train beside a process that already does: each would discard what the other has not finished."""
    host, _, pid = parent.data.tags.get(_OWNER, "").rpartition(":")
    if parent.info.status != "RUNNING" or host != socket.gethostname() or int(pid) == os.getpid():
        return
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return
    except PermissionError:
        pass  # it is somebody else's, and alive
    raise ConfigError(f"process {pid} trains this sweep now. Wait for it, or end it and call again")
