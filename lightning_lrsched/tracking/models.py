"""Kept checkpoints as MLflow's logged models: one for each file, with its metric, found again instead of made twice."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from lightning_lrsched.tracking.content import content_of
from lightning_lrsched.tracking.registered import register, score_tags, withdraw

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel

KEY = "lrsched.key"
"""Tag of a logged model that names its checkpoint, whatever run uploads it."""
BEST = "lrsched.best"
"""Tag of the logged model that is the best of its run, and of the run: there its id."""
_AT_ONCE = 1000  # metrics that a request may have
CONTENT = "lrsched.content"
"""Tag of a logged model that tells its weights from those of a run resumed otherwise, under the same key."""


def checkpoint(
    path: Path | str,
    key: str,
    name: str,
    facts: Mapping[str, Any],
    *,
    metrics: Mapping[str, float],
    axis: int,
    timestamp: int,
) -> dict[str, Any]:
    """Return the task to store a checkpoint as a logged model.

    Args:
        path: the file, or the folder of a sharded one; a URL where it lies in a store of its own.
        key: what it is known by: its run, cycle, step, role and score.
        name: the model's name.
        facts: what the UI shows and a search can filter by: cycle, step, lr, role.
        metrics: what was measured of it, by key.
        axis: where its last step lies on the axis of the metrics.
        timestamp: when, in milliseconds since the epoch.
    """
    shown = {fact: str(value) for fact, value in facts.items()}
    return {
        "do": "model",
        "path": str(path),
        "key": key,
        "name": name,
        "facts": shown,
        "metrics": dict(metrics),
        "step": axis,
        "timestamp": timestamp,
    }


def best(key: str, registered: str | None, monitor: str | None, mode: str, score: float | None) -> dict[str, Any]:
    """Return the task to mark a stored checkpoint as the best of its run, and of all if it is.

    Args:
        key: the checkpoint's.
        registered: name of the registered model that gets a version with the alias; None for the tags alone.
        monitor: name of its metric; None where there is none.
        mode: ``"min"`` or ``"max"``.
        score: its metric; None where it was not measured.
    """
    return {"do": "best", "key": key, "registered": registered, "monitor": monitor, "mode": mode, "score": score}


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

    What the run has under the same key with other weights, from before it was resumed to these, is deleted.

    Raises:
        FileNotFoundError: if the checkpoint is gone.
    """
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus, Metric

    experiment = client.get_run(run_id).info.experiment_id
    content = content_of(task["path"])
    found = find(client, experiment, run_id, task["key"])
    alike = (one for one in found if content is None or one.tags.get(CONTENT) == content)
    model = next((one for one in alike if one.status == LoggedModelStatus.READY), None)
    if model is None:
        with at_hand(task["path"]) as path:
            model = next((one for one in found if one.status != LoggedModelStatus.READY), None)
            if model is None:
                tags = {KEY: task["key"], **{f"lrsched.{name}": value for name, value in task["facts"].items()}}
                model = client.create_logged_model(experiment, task["name"], run_id, tags, dict(task["facts"]))
            client.set_logged_model_tags(model.model_id, {CONTENT: str(content)})
            if path.is_dir():
                client.log_model_artifacts(model.model_id, str(path))
            else:
                client.log_model_artifact(model.model_id, str(path))
        client.finalize_logged_model(model.model_id, "READY")
    for other in found if content is not None else ():
        if other.source_run_id == run_id and other.model_id != model.model_id:
            _discard(client, other)
    linked = {output.model_id for output in _outputs(client, run_id)}
    if model.model_id not in linked:
        client.log_outputs(run_id, [LoggedModelOutput(model.model_id, task["step"])])
    there = {metric.key for metric in model.metrics or ()}
    missing = [
        Metric(key, value, task["timestamp"], task["step"], model_id=model.model_id, run_id=run_id)
        for key, value in task["metrics"].items()
        if key not in there
    ]
    for first in range(0, len(missing), _AT_ONCE):
        client.log_batch(run_id, metrics=missing[first : first + _AT_ONCE], synchronous=True)


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
    found = find(client, experiment, run_id, task["key"])
    model = next((one for one in found if str(one.status) == "READY"), None)  # never a mark on what is half there
    if model is None:
        raise LookupError(f"the best checkpoint {task['key']} is not stored in MLflow")
    client.set_logged_model_tags(model.model_id, {BEST: "true"})
    client.set_tag(run_id, BEST, model.model_id, synchronous=True)
    marked = client.search_logged_models([experiment], f"source_run_id = '{run_id}' AND tags.`{BEST}` = 'true'")
    for other in marked:
        if other.model_id != model.model_id:
            client.delete_logged_model_tag(other.model_id, BEST)
    if task["registered"] is not None:
        tags = {KEY: task["key"]} | score_tags(task["monitor"], task["mode"], task["score"])
        register(client, run_id, model, task["registered"], tags)


def prune(client: "MlflowClient", run_id: str, task: Mapping[str, Any]) -> None:
    """Delete the run's models of a cycle that are not kept."""
    experiment = client.get_run(run_id).info.experiment_id
    prefix, kept = task["prefix"], task["keys"]
    for model in client.search_logged_models(
        [experiment], f"source_run_id = '{run_id}' AND tags.`{KEY}` LIKE '{prefix}%'"
    ):
        if model.tags[KEY].startswith(prefix) and model.tags[KEY] not in kept:
            _discard(client, model)


def find(client: "MlflowClient", experiment_id: str, run_id: str, key: str) -> "list[LoggedModel]":
    """Return the logged models of a checkpoint, the run's own before those of a run that it was resumed from."""
    found = client.search_logged_models([experiment_id], f"tags.`{KEY}` = '{key}'")
    return sorted(found, key=lambda model: model.source_run_id != run_id)


def _discard(client: "MlflowClient", model: "LoggedModel") -> None:
    """Delete a checkpoint that was superseded, first as a version: nothing is registered that is not there."""
    withdraw(client, model)
    client.delete_logged_model(model.model_id)


def _outputs(client: "MlflowClient", run_id: str) -> list[Any]:
    """Return the models that are linked to a run."""
    outputs = client.get_run(run_id).outputs
    return [] if outputs is None else list(outputs.model_outputs)
