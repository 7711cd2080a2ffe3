"""Kept checkpoints as MLflow's logged models: one for each file, with its metric, found again instead of made twice."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel

KEY = "lrsched.key"
"""Tag of a logged model that names its checkpoint, whatever run uploads it."""
BEST = "lrsched.best"
"""Tag of the logged model that is the best of its run, and of the run: there its id."""
ALIAS = "best"
"""Alias of the best version of a registered model, of all runs."""


def checkpoint(
    path: Path | str, key: str, name: str, facts: Mapping[str, Any], metric: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return the task to store a checkpoint as a logged model.

    Args:
        path: the file, or the folder of a sharded one; a URL where it lies in a store of its own.
        key: what it is known by: the same for the same weights, other for all others.
        name: the model's name.
        facts: what the UI shows and a search can filter by: cycle, step, lr, role.
        metric: its metric as ``key``, ``value``, ``step`` and ``timestamp``; None where it was not measured.
    """
    shown = {fact: str(value) for fact, value in facts.items()}
    return {
        "do": "model",
        "path": str(path),
        "key": key,
        "name": name,
        "facts": shown,
        "metric": metric and dict(metric),
    }


def best(key: str, registered: str | None, score: float | None, mode: str) -> dict[str, Any]:
    """Return the task to mark a stored checkpoint as the best of its run, and of all if it is.

    Args:
        key: the checkpoint's.
        registered: name of the registered model that gets a version with the alias; None for the tags alone.
        score: its metric.
        mode: ``"min"`` or ``"max"``.
    """
    return {"do": "best", "key": key, "registered": registered, "score": score, "mode": mode}


def only(prefix: str, keys: Sequence[str]) -> dict[str, Any]:
    """Return the task to take out of the run what was stored of a cycle and is not kept of it any more.

    A fit that is resumed from before a cycle's end, or goes on with the cycle that the fit before had cut, may choose
    otherwise.

    Args:
        prefix: what the keys of the cycle's checkpoints begin with.
        keys: those that are kept.
    """
    return {"do": "only", "prefix": prefix, "keys": list(keys)}


def perform(client: "MlflowClient", run_id: str, task: Mapping[str, Any]) -> None:
    """Do one of the tasks that are made here."""
    {"model": store, "best": mark, "only": prune}[task["do"]](client, run_id, task)


def store(client: "MlflowClient", run_id: str, task: Mapping[str, Any]) -> None:
    """Store a checkpoint as a logged model of a run, unless that was done; one half done is finished.

    Raises:
        FileNotFoundError: if the checkpoint is gone.
    """
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus, Metric

    experiment = client.get_run(run_id).info.experiment_id
    model = find(client, experiment, task["key"])
    if model is None or model.status != LoggedModelStatus.READY:
        with at_hand(task["path"]) as path:
            if model is None:
                tags = {KEY: task["key"], **{f"lrsched.{name}": value for name, value in task["facts"].items()}}
                model = client.create_logged_model(experiment, task["name"], run_id, tags, dict(task["facts"]))
            if path.is_dir():
                client.log_model_artifacts(model.model_id, str(path))
            else:
                client.log_model_artifact(model.model_id, str(path))
        client.finalize_logged_model(model.model_id, "READY")
    metric = task["metric"]
    linked = {output.model_id for output in _outputs(client, run_id)}
    if model.model_id not in linked:
        step = 0 if metric is None else int(metric["step"])
        client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step)])
    if metric is not None and not model.metrics:
        point = Metric(**metric, model_id=model.model_id, run_id=run_id)
        client.log_batch(run_id, metrics=[point], synchronous=True)


@contextmanager
def at_hand(path: str) -> Iterator[Path]:
    """Have a checkpoint on the local disk for as long as it is uploaded: one in a store of its own is copied.

    Raises:
        FileNotFoundError: if it is gone.
    """
    gone = f"the checkpoint {path} is gone and cannot be uploaded"
    if "://" not in path:
        if not Path(path).exists():
            raise FileNotFoundError(gone)
        yield Path(path)
        return
    from fsspec.core import url_to_fs

    fs, name = url_to_fs(path)
    with TemporaryDirectory() as folder:
        copy = Path(folder) / name.rpartition("/")[2]
        try:
            fs.get(name, str(copy))
        except FileNotFoundError:
            raise FileNotFoundError(gone) from None
        yield copy


def mark(client: "MlflowClient", run_id: str, task: Mapping[str, Any]) -> None:
    """Mark a stored checkpoint as the best: the new mark is there before the old one goes.

    Raises:
        LookupError: if the checkpoint is not stored.
    """
    experiment = client.get_run(run_id).info.experiment_id
    model = find(client, experiment, task["key"])
    if model is None or str(model.status) != "READY":  # never a mark on what is half there
        raise LookupError(f"the best checkpoint {task['key']} is not stored in MLflow")
    client.set_logged_model_tags(model.model_id, {BEST: "true"})
    client.set_tag(run_id, BEST, model.model_id, synchronous=True)
    marked = client.search_logged_models([experiment], f"source_run_id = '{run_id}' AND tags.`{BEST}` = 'true'")
    for other in marked:
        if other.model_id != model.model_id:
            client.delete_logged_model_tag(other.model_id, BEST)
    if task["registered"] is not None:
        _register(client, run_id, model, task)


def prune(client: "MlflowClient", run_id: str, task: Mapping[str, Any]) -> None:
    """Delete the run's models of a cycle that are not kept; a registered version of one keeps its files."""
    experiment = client.get_run(run_id).info.experiment_id
    prefix, kept = task["prefix"], task["keys"]
    for model in client.search_logged_models(
        [experiment], f"source_run_id = '{run_id}' AND tags.`{KEY}` LIKE '{prefix}%'"
    ):
        if model.tags[KEY].startswith(prefix) and model.tags[KEY] not in kept:
            client.delete_logged_model(model.model_id)


def find(client: "MlflowClient", experiment_id: str, key: str) -> "LoggedModel | None":
    """Return the logged model of a checkpoint, the finished one if there are several; None if there is none."""
    found = list(client.search_logged_models([experiment_id], f"tags.`{KEY}` = '{key}'"))
    ready = [model for model in found if str(model.status) == "READY"]
    return next(iter(ready or found), None)


def _outputs(client: "MlflowClient", run_id: str) -> list[Any]:
    """Return the models that are linked to a run."""
    outputs = client.get_run(run_id).outputs
    return [] if outputs is None else list(outputs.model_outputs)


def _register(client: "MlflowClient", run_id: str, model: "LoggedModel", task: Mapping[str, Any]) -> None:
    """Give the model a version, once, and the alias if it is better than the version that has it."""
    from mlflow.exceptions import MlflowException

    name, registry = task["registered"], _registry(client)
    if not registry.search_registered_models(f"name = '{name}'"):
        registry.create_registered_model(name)
    versions = registry.search_model_versions(f"name = '{name}'")
    version = next((one for one in versions if one.tags.get(KEY) == task["key"]), None)
    if version is None:
        tags = {KEY: task["key"], "lrsched.score": repr(task["score"]), "lrsched.mode": task["mode"]}
        remote = registry.tracking_uri.startswith(("http://", "https://"))
        # Without a server the registry looks for the model in the process's global store, which may be another one.
        source = f"models:/{model.model_id}" if remote else model.artifact_location
        version = registry.create_model_version(name, source, run_id, tags, model_id=model.model_id if remote else None)
    try:
        present = registry.get_model_version_by_alias(name, ALIAS)
    except MlflowException:
        present = None
    if present is None or _better(task["score"], present.tags.get("lrsched.score"), task["mode"]):
        registry.set_registered_model_alias(name, ALIAS, version.version)


def _better(score: float | None, than: str | None, mode: str) -> bool:
    """Return whether a score beats that of the version that has the alias."""
    if score is None or than in (None, "None"):
        return True
    return score < float(than or 0) if mode == "min" else score > float(than or 0)


def _registry(client: "MlflowClient") -> "MlflowClient":
    """Return a client whose registry is where its runs are."""
    from mlflow import MlflowClient

    return MlflowClient(client.tracking_uri, registry_uri=client.tracking_uri)
