"""Versions of a registered model, one for each checkpoint that was the best of its run, and the alias of the best."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from lightning_lrsched.tracking.mlflow_client import open_registry

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel
    from mlflow.entities.model_registry import ModelVersion

ALIAS = "best"
"""Alias of the best version of a registered model, of all runs that were judged by the same metric."""
_MODEL, _SCORE = "lrsched.model", "lrsched.score"
_JUDGED = ("lrsched.monitor", "lrsched.mode")


def score_tags(monitor: str | None, mode: str, score: float | None) -> dict[str, str]:
    """Return the tags that versions are compared by.

    Args:
        monitor: name of the metric; None where nothing was measured.
        mode: ``"min"`` or ``"max"``.
        score: the metric's value; None where it was not measured.
    """
    return dict(zip(_JUDGED, (str(monitor), mode), strict=True)) | {_SCORE: repr(score)}


def register(client: "MlflowClient", run_id: str, model: "LoggedModel", name: str, tags: Mapping[str, str]) -> None:
    """Give a stored checkpoint a version, once, and the alias to the best version.

    Args:
        client: the store's client.
        run_id: the run.
        model: the stored checkpoint.
        name: name of the registered model.
        tags: tags of the version, with `score_tags`.
    """
    from mlflow.exceptions import MlflowException

    registry = _registry(client)
    try:
        registry.get_registered_model(name)
    except MlflowException:
        registry.create_registered_model(name)
    if all(version.tags.get(_MODEL) != model.model_id for version in _versions(registry, name)):
        uri = client.tracking_uri
        remote = uri.startswith(("http://", "https://")) and _registry_uri(client) == uri
        # Any other registry looks for the model in the process's global store, which may be another one.
        source = f"models:/{model.model_id}" if remote else model.artifact_location
        tags = {**tags, _MODEL: model.model_id}
        registry.create_model_version(name, source, run_id, tags, model_id=model.model_id if remote else None)
    _give_alias(registry, name, tags)


def withdraw(client: "MlflowClient", model: "LoggedModel") -> None:
    """Delete the version of a checkpoint that was superseded; one that somebody has given an alias only loses ours."""
    registry = _registry(client)
    for version in registry.search_model_versions(f"run_id = '{model.source_run_id}'"):
        if version.tags.get(_MODEL) == model.model_id:
            name, number = version.name, str(version.version)
            aliases = _aliases(registry, name, number)
            if aliases <= {ALIAS}:
                registry.delete_model_version(name, number)
            else:
                registry.delete_model_version_tag(name, number, _MODEL)
            if ALIAS in aliases:
                registry.delete_registered_model_alias(name, ALIAS)
                _give_alias(registry, name, version.tags)


def _give_alias(registry: "MlflowClient", name: str, like: Mapping[str, str]) -> None:
    """Give the alias to the best of the versions that were judged as this one, unless one of another metric has it."""
    versions = _versions(registry, name)
    holder = next((version for version in versions if ALIAS in _aliases(registry, name, str(version.version))), None)
    if holder is not None and _measured(holder.tags) and not _judged_alike(holder.tags, like):
        return
    rivals = [version for version in versions if _MODEL in version.tags and _judged_alike(version.tags, like)]
    best = min(rivals, key=_rank, default=None)
    if best is not None and best is not holder:
        registry.set_registered_model_alias(name, ALIAS, str(best.version))


def _versions(registry: "MlflowClient", name: str) -> "list[ModelVersion]":
    """Return the versions of a registered model."""
    quote = '"' if "'" in name else "'"
    return list(registry.search_model_versions(f"name = {quote}{name}{quote}"))


def _aliases(registry: "MlflowClient", name: str, number: str) -> set[str]:
    """Return the aliases of a version, which a search does not tell."""
    aliases = registry.get_registered_model(name).aliases
    return {alias for alias, version in aliases.items() if str(version) == number}


def _measured(tags: Mapping[str, str]) -> bool:
    """Return whether a version has a score."""
    return tags.get(_SCORE, "None") != "None"


def _judged_alike(tags: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Return whether two versions were judged by the same metric."""
    return all(tags.get(tag) == other.get(tag) for tag in _JUDGED) and _measured(tags) == _measured(other)


def _rank(version: "ModelVersion") -> tuple[float, int]:
    """Return what is lowest for the best version: of equal scores the earlier, of unmeasured ones the latest."""
    tags, number = version.tags, int(version.version)
    if not _measured(tags):
        return 0.0, -number
    score = float(tags[_SCORE])
    return (score if tags[_JUDGED[1]] == "min" else -score), number


def _registry(client: "MlflowClient") -> "MlflowClient":
    """Return a client whose registry is that of ``MLFLOW_REGISTRY_URI``, or else where its runs are."""
    return open_registry(client, _registry_uri(client))


def _registry_uri(client: "MlflowClient") -> str:
    """Return where models are registered; `mlflow.set_registry_uri` sets the variable too."""
    return os.environ.get("MLFLOW_REGISTRY_URI") or client.tracking_uri
