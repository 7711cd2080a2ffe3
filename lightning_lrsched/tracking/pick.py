"""Which run to write to: the trainer's own MLFlowLogger's, one that the user has open, an earlier one, or a new one."""

import os
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from lightning_lrsched.masking import masked
from lightning_lrsched.sqlite_uri import absolute_sqlite, is_sqlite
from lightning_lrsched.tracking.last_fit import Fit, last_fit, note_last_fit
from lightning_lrsched.tracking.late_sink import LateSink
from lightning_lrsched.tracking.mlflow_client import context_tags, is_final, open_client
from lightning_lrsched.tracking.mlflow_sink import MlflowSink

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Run

DEFAULT_URI = "sqlite:///mlflow.db"
DEFAULT_EXPERIMENT = "Default"
_STORES = ("", "file", "http", "https", "databricks", "sqlite", "postgresql", "mysql", "mssql")
_NO_PATHS = ("databricks", "databricks-uc", "uc")  # what MLflow takes for a store without a scheme
TOKEN = "lrsched.fit"
RESUMED_FROM = "lrsched.resumed_from"
PARENT = "mlflow.parentRunId"  # by it MLflow shows a run as the child of another


@dataclass(frozen=True)
class Earlier:
    """The run of the fit that a checkpoint was saved in.

    Args:
        run_id: the run; None if it was not open yet.
        token: the tag by which it can be found.
        uri: its store, without credentials.
        experiment: name of its experiment; None where the run was not ours, or only the id is known.
        experiment_id: id of its experiment; None where the run was not ours, or only the name is known.
    """

    run_id: str | None
    token: str
    uri: str
    experiment: str | None
    experiment_id: str | None = None

    @property
    def owned(self) -> bool:
        """Whether the run was ours."""
        return self.experiment is not None or self.experiment_id is not None


@dataclass(frozen=True)
class Target:
    """The run of a fit, and how to come to it.

    Args:
        uri: tracking URI of its store; it may hold a password.
        run_id: the run; None for one that is still to be opened.
        experiment: name of the experiment of a run of our own; None where the run is somebody else's.
        run_name: name of a new run.
        token: a tag of a run of our own, by which it is found again when its id could not be kept.
        earlier: the run to go on in, or the one that a new run comes from.
        resume: whether to go on in the earlier one.
        experiment_id: id of the experiment, where it is given by that and not by its name.
        context: tags of a new run that say from what it was made: who, which script, which commit.
        elsewhere: whether the earlier one is not gone on with because it is in another store.
    """

    uri: str
    run_id: str | None = None
    experiment: str | None = None
    run_name: str | None = None
    token: str = field(default_factory=lambda: uuid.uuid4().hex)
    earlier: Earlier | None = None
    resume: bool = False
    experiment_id: str | None = None
    context: Mapping[str, str] = field(default_factory=dict)
    elsewhere: bool = False

    @property
    def owned(self) -> bool:
        """Whether the run's status is ours to set."""
        return self.experiment is not None or self.experiment_id is not None

    def facts(self) -> dict[str, Any]:
        """Return what a spool says of its run: no credentials."""
        return {
            "uri": masked(self.uri),
            "run_id": self.run_id,
            "experiment": self.experiment,
            "experiment_id": self.experiment_id,
            "run_name": self.run_name,
            "run_token": self.token,
            "context": dict(self.context),
            "comes_from": None if self.earlier is None else asdict(self.earlier),
        }


def check_installed() -> None:
    """Refuse to go on without mlflow.

    Raises:
        ModuleNotFoundError: with the command that installs it.
    """
    if find_spec("mlflow") is None:
        raise ModuleNotFoundError(
            "MLflowTracker needs mlflow. Install it with: pip install 'lightning-lrsched[mlflow]'", name="mlflow"
        )


def check_uri(name: str, uri: str) -> None:
    """Refuse a tracking URI for which neither MLflow nor a plugin of it has a store.

    Args:
        name: what has this value.
        uri: where the runs are to go; a path is a folder of files.

    Raises:
        ValueError: with a valid example.
    """
    kind = urlsplit(uri).scheme.partition("+")[0]
    drive = len(kind) == 1  # C:\\runs
    address = not kind and ":" in uri.partition("/")[0]  # 127.0.0.1:5000
    if address or (not drive and kind not in (*_STORES, *entry_points(group="mlflow.tracking_store").names)):
        raise ValueError(
            f"{name} = {masked(uri)!r} is refused: it must be a URI of a store of MLflow's. For example: "
            "'http://localhost:5000', 'sqlite:///mlflow.db' or 'postgresql+psycopg2://user@host/database'"
        )


def pick_target(
    loggers: Iterable[object],
    tracking_uri: str | None,
    experiment: str | None,
    run_name: str | None,
    earlier: Earlier | None = None,
    *,
    resume: bool = True,
) -> Target:
    """Return the run for this fit.

    The run of the trainer's MLFlowLogger comes first, then a run that ``mlflow.start_run`` has open, then the one of
    ``MLFLOW_RUN_ID``, then that of the checkpoint from which the fit is resumed, then a new run in ``experiment`` (or
    ``MLFLOW_EXPERIMENT_ID``, or ``MLFLOW_EXPERIMENT_NAME``) at ``tracking_uri`` (or ``MLFLOW_TRACKING_URI``, or a
    sqlite file ``mlflow.db`` in the working directory). Ids are those of one store: where ``tracking_uri`` is given,
    those of the environment do not count.

    Args:
        loggers: the trainer's loggers; an MLflow one is known by what it offers.
        tracking_uri: where a new run goes.
        experiment: name of the experiment of a new run; made if there is none.
        run_name: name of a new run; None for one made of date and time.
        earlier: the run of the checkpoint.
        resume: whether to go on in it.
    """
    from mlflow import MlflowClient

    for logger in loggers:
        client = getattr(logger, "experiment", None)
        if isinstance(client, MlflowClient):
            return Target(_absolute(client.tracking_uri), str(getattr(logger, "run_id")), earlier=earlier)  # noqa: B009 - no common type
    mlflow = sys.modules["mlflow"]
    active = mlflow.active_run() if tracking_uri is None else None
    run_id = os.environ.get("MLFLOW_RUN_ID") if active is None else active.info.run_id
    if tracking_uri is None and run_id:
        return Target(_absolute(mlflow.get_tracking_uri()), run_id, earlier=earlier)
    uri = _absolute(tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI)
    name, number = experiment, None if experiment or tracking_uri else os.environ.get("MLFLOW_EXPERIMENT_ID") or None
    name = name or (None if number else os.environ.get("MLFLOW_EXPERIMENT_NAME") or None)
    named, default = run_name or _fresh_name(), None if number else DEFAULT_EXPERIMENT
    fresh = Target(uri, None, name or default, named, earlier=earlier, experiment_id=number, context=context_tags())
    if earlier is None or not (resume and earlier.owned):
        return fresh
    if name not in (None, earlier.experiment) or number not in (None, earlier.experiment_id):
        return fresh
    if earlier.uri.rstrip("/") != masked(uri).rstrip("/"):  # http://h:5000/ is http://h:5000
        return replace(fresh, elsewhere=True)
    known = None if number else earlier.experiment  # an id holds whatever the experiment is called by now
    here = replace(fresh, experiment=known, experiment_id=earlier.experiment_id)
    return replace(here, run_id=earlier.run_id, token=earlier.token, resume=True)


def sink_for(
    target: Target,
    request_timeout: float,
    fit: Fit,
    tell: Callable[[str], None],
    opened: Callable[[str, "Experiment", Fit | None], None] = lambda run_id, experiment, before: None,
) -> LateSink:
    """Return the sink of a run. It is opened by who writes first, so that a server that hangs keeps nobody waiting.

    Args:
        target: the run.
        request_timeout: seconds a request may take.
        fit: this fit: the run will know it as the last one that wrote to it.
        tell: called with a message when a run cannot be gone on with.
        opened: called, when it is open, with the run's id, its experiment, and the fit that was its last one until now.
    """

    def open_sink() -> MlflowSink:
        client = open_client(target.uri, request_timeout)
        run_id = target.run_id if not target.owned else _own_run(client, target, tell)
        assert run_id is not None
        run = client.get_run(run_id)
        known = last_fit(run)
        opened(run_id, client.get_experiment(run.info.experiment_id), known)
        if fit.is_last(known):  # else a later one went on with the run before this one reached the store
            note_last_fit(client, run_id, fit)
            if target.resume:  # after the note: by it an earlier fit that is about to end the run leaves it alone
                client.update_run(run_id, status="RUNNING")
        return MlflowSink(client, run_id, owned=target.owned, fit=fit)

    if target.elsewhere and target.earlier is not None:
        there, here = target.earlier.uri, masked(target.uri)
        tell(f"The run of the checkpoint is in {there}, and this fit records into {here}: a new run begins there")
    return LateSink(target.uri, open_sink, target.run_id)


def find_experiment(client: "MlflowClient", name: str | None, experiment_id: str | None) -> str | None:
    """Return the id of an experiment that is given by its name, or else its id; None if there is none of that name."""
    if name is None:
        return experiment_id
    found = client.get_experiment_by_name(name)
    return None if found is None else str(found.experiment_id)


def find_run(client: "MlflowClient", run_id: str | None, experiment_id: str | None, token: str) -> "Run | None":
    """Return a run by its id, or by its tag in an experiment, also if it is deleted; None if there is none."""
    from mlflow.entities import ViewType

    if run_id is not None:
        try:
            run = client.get_run(run_id)
        except Exception as failure:
            if is_final(failure):
                return None
            raise
        return run
    if experiment_id is None:
        return None
    tagged = f"tags.`{TOKEN}` = '{token}'"
    runs: list[Run] = client.search_runs([experiment_id], tagged, ViewType.ALL, max_results=1)
    return runs[0] if runs else None


def _own_run(client: "MlflowClient", target: Target, tell: Callable[[str], None]) -> str:
    """Return the id of our run: the earlier one, or a new one."""
    earlier, tags = target.earlier, {TOKEN: target.token, **target.context}
    experiment_id = find_experiment(client, target.experiment, target.experiment_id)
    found = find_run(client, target.run_id, experiment_id, target.token)
    if found is not None and is_active(found):
        return str(found.info.run_id)
    if earlier is not None:
        came_from, origin = come_from(client, earlier, found)
        if target.resume and came_from is not None:
            store = masked(target.uri)
            tell(f"The run {came_from} of the checkpoint is not in {store} any more: a new one begins")
            tags[TOKEN] = uuid.uuid4().hex
        tags |= origin
    experiment_id = experiment_id or client.create_experiment(str(target.experiment))
    return open_run(client, experiment_id, target.run_name or _fresh_name(), tags)


def come_from(
    client: "MlflowClient", earlier: Earlier, found: "Run | None" = None
) -> tuple[str | None, dict[str, str]]:
    """Return the run that a new one comes from, and the tags that say so; MLflow shows it as the child of one of ours.

    Args:
        client: the store of the new run.
        earlier: the run of the checkpoint.
        found: that run, where it has been found, also if it is deleted.
    """
    before = found
    if before is None and earlier.owned:
        other = find_experiment(client, earlier.experiment, earlier.experiment_id)
        before = find_run(client, earlier.run_id, other, earlier.token)
    run_id = earlier.run_id if before is None else str(before.info.run_id)
    tags = {} if run_id is None else {RESUMED_FROM: run_id}
    return run_id, tags if before is None else tags | {PARENT: str(before.info.run_id)}


def open_run(client: "MlflowClient", experiment_id: str, run_name: str, tags: Mapping[str, str]) -> str:
    """Open a new run and return its id."""
    return str(client.create_run(experiment_id, tags=dict(tags), run_name=run_name).info.run_id)


def is_active(run: "Run") -> bool:
    """Return whether a run is not deleted."""
    return bool(run.info.lifecycle_stage == "active")


def _absolute(uri: str) -> str:
    """Return the URI of a store of files with its full path.

    It is opened later, MLflow keeps open files by name, and a replay may be started in another folder.
    """
    if is_sqlite(uri):
        return absolute_sqlite(uri)
    if uri.startswith("file:") and not uri.startswith("file:/"):
        return f"file:{Path(uri.removeprefix('file:')).absolute()}"
    return uri if ":" in uri or uri in _NO_PATHS else str(Path(uri).absolute())


def _fresh_name() -> str:
    """Return a name that no other run has. MLflow's own names repeat whenever a training seeds Python's generator."""
    return f"fit-{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:4]}"
