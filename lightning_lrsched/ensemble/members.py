"""Which checkpoints are members: from paths, from a CycleCheckpoint, from its folder, or from an MLflow run."""

import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from glob import escape
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsspec.core import url_to_fs

from lightning_lrsched.compare import CompareError, default_uri, open_store
from lightning_lrsched.ensemble.sharded import is_sharded

if TYPE_CHECKING:
    from mlflow import MlflowClient

_BEGINNING = re.compile("[0-9a-f]{1,31}")
_DEPTH = 5  # levels below a folder in which a list is looked for: experiment/lightning_logs/version_0/checkpoints/FILE
_MOST_TOLD = 20


class EnsembleError(ValueError):
    """Members that cannot be found or used; the message says what to change."""


@dataclass(frozen=True)
class Member:
    """A kept checkpoint.

    Args:
        path: where it is; a file that can be read, or the folder of a sharded one.
        cycle: its cycle; None where it is not known.
        role: ``"best"``, ``"end"`` or ``"best+end"``; empty where it is not known.
        step: real steps that made its weights; None where it is not known.
        score: its metric; None where it was not measured.
        lr: lr of its last step; None where it is not known.
        complete: whether its cycle ran to its end.
        monitor: name of the metric.
        mode: ``"min"`` or ``"max"``.
        recommended: whether it is what the paper recommends: the best end of a completed cycle.
        best: whether it is the best of all.
    """

    path: str
    cycle: int | None = None
    role: str = ""
    step: int | None = None
    score: float | None = None
    lr: float | None = None
    complete: bool = True
    monitor: str | None = None
    mode: str = "min"
    recommended: bool = False
    best: bool = False


def find_members(source: Any, tracking_uri: str | None = None, *, ends: bool = True) -> list[Member]:
    """Return the members that a source names, in the order of their cycles.

    Args:
        source: paths of checkpoints, a folder, a ``cycles.json``, the id of an MLflow run or its beginning, or a
            CycleCheckpoint. Below a folder without a list the only one is found, up to five levels deep.
        tracking_uri: where the MLflow run is; None for ``MLFLOW_TRACKING_URI``.
        ends: only the ends of completed cycles, as the papers do; False for all that was kept. Paths are all taken.

    Raises:
        EnsembleError: if there are none.
    """
    if hasattr(source, "finished_cycles"):
        members = list(_of_callback(source))
    elif isinstance(source, str | PathLike):
        members = _named(str(source), tracking_uri)
    else:
        members = [one if isinstance(one, Member) else Member(str(one)) for one in source]
    listed = hasattr(source, "finished_cycles") or isinstance(source, str | PathLike)
    chosen = [one for one in members if not (listed and ends and one.role) or ("end" in one.role and one.complete)]
    if not chosen:
        what = "no end of a completed cycle" if members else "no checkpoint"
        raise EnsembleError(f"{source!r} has {what}. Pass the folder of a CycleCheckpoint that has one")
    return chosen


def _of_callback(checkpoint: Any) -> Iterable[Member]:
    """Yield the members of a CycleCheckpoint."""
    best, recommended = checkpoint.best_model_path, checkpoint.recommended_model_path
    for row in checkpoint.finished_cycles:
        for kept in row.kept:
            yield Member(
                kept.path,
                row.cycle,
                row.files[kept.path],
                kept.step,
                kept.score,
                kept.lr,
                row.complete,
                checkpoint.monitor,
                checkpoint.mode,
                kept.path == recommended,
                kept.path == best,
            )


def _named(source: str, tracking_uri: str | None) -> list[Member]:
    """Return the members of a folder, of a list, of a single checkpoint, or of an MLflow run."""
    fs, _ = url_to_fs(source)
    if fs.isdir(source) and not is_sharded(source):
        lists = sorted(str(path) for path in fs.glob(f"{escape(source.rstrip('/'))}/cycles*.json"))
        if not lists:
            return _named(_folder_below(source), tracking_uri)
        newest = max(lists, key=fs.modified) if len(lists) > 1 else lists[0]
        return _listed(newest if "://" not in source else f"{source.rstrip('/')}/{Path(newest).name}")
    if source.endswith(".json"):
        return _listed(source)
    if fs.exists(source):
        return [Member(source)]
    return _of_run(source, tracking_uri)


def _folder_below(source: str) -> str:
    """Return the only folder below one that has a list of cycles, as the ``default_root_dir`` of one fit has it.

    Raises:
        EnsembleError: if there is none, or one for each of several runs.
    """
    fs, _ = url_to_fs(source)
    found = fs.glob(f"{escape(source.rstrip('/'))}/**/cycles*.json", maxdepth=_DEPTH)
    folders = sorted({str(path).rpartition("/")[0] for path in found})
    if "://" in source:
        folders = [str(fs.unstrip_protocol(folder)) for folder in folders]
    if not folders:
        raise EnsembleError(
            f"the folder {source} has no cycles.json, and none is below it. Pass the folder in which a CycleCheckpoint "
            "has kept its checkpoints, for example lightning_logs/version_0/checkpoints, or the id of an MLflow run"
        )
    if len(folders) > 1:
        told = f"{len(folders)} folders below {source} have a cycles.json. Pass one of these:"
        raise EnsembleError(told + _lines(folders))
    return folders[0]


def _lines(told: Sequence[str]) -> str:
    """Return what a message lists, each in a line of its own."""
    more = [f"... and {len(told) - _MOST_TOLD} more"] if len(told) > _MOST_TOLD else []
    return "".join(f"\n  {one}" for one in [*told[:_MOST_TOLD], *more])


def _listed(path: str) -> list[Member]:
    """Return the members of a ``cycles.json``."""
    fs, _ = url_to_fs(path)
    try:
        content = json.loads(fs.cat_file(path))
        folder, _, _ = path.replace("\\", "/").rpartition("/")
        return list(_rows(content, folder or "."))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise EnsembleError(f"{path} is no list of cycles: {error}") from error


def _rows(content: Mapping[str, Any], folder: str) -> Iterable[Member]:
    """Yield the members of a list's content."""
    for row in content["cycles"]:
        roles: dict[str, str] = {}
        for role in ("best", "end"):
            if row[role] is not None:
                name = row[role]["file"]
                roles[name] = f"{roles[name]}+{role}" if name in roles else role
        for name, role in roles.items():
            kept = row[role.partition("+")[0]]
            yield Member(
                name if "://" in name or os.path.isabs(name) else f"{folder}/{name}",
                int(row["cycle"]),
                role,
                int(kept["step"]),
                _score(kept, content["monitor"]),
                kept["lr"],
                bool(row["complete"]),
                content["monitor"],
                content["mode"],
                name == content["recommended"],
                name == content["best"],
            )


def _score(kept: Mapping[str, Any], monitor: str | None) -> float | None:
    """Return the metric of a listed checkpoint; NaN where it was measured and is null, which stands for no number."""
    score: float | None = kept["score"]
    return math.nan if score is None and monitor in kept.get("metrics", {}) else score


def _of_run(run_id: str, tracking_uri: str | None) -> list[Member]:
    """Return the members of an MLflow run; each is downloaded when it is asked for."""
    try:
        from mlflow.exceptions import MlflowException
    except ModuleNotFoundError:
        raise EnsembleError(f"there is no file {run_id}, and mlflow is not installed to look for a run") from None
    try:
        client = open_store(tracking_uri or default_uri()).client
    except CompareError as error:
        raise EnsembleError(f"there is no file or folder {run_id}, and to look for an MLflow run: {error}") from error
    try:
        run_id = _whole(client, run_id)
        experiment = client.get_run(run_id).info.experiment_id
        found = list(_models(client, experiment, run_id))
    except MlflowException as error:
        raise EnsembleError(
            f"there is no file or folder {run_id}, and no MLflow run of that id: {str(error).splitlines()[0]}"
        ) from error
    members = [_of_model(client, model) for model in found if "lrsched.key" in model.tags]
    if not members:
        raise EnsembleError(f"MLflow run {run_id} has no checkpoints of cycles")
    return _recommended(sorted(members, key=lambda one: (one.cycle or 0, one.step or 0)))


def _whole(client: "MlflowClient", run_id: str) -> str:
    """Return the id of the only run whose id begins so; what was given where there is none.

    Raises:
        EnsembleError: if several do.
    """
    if not _BEGINNING.fullmatch(run_id):
        return run_id
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = [run.info for run in client.search_runs(experiments, f"attributes.run_id LIKE '{run_id}%'")]
    if len(runs) > 1:
        named = _lines([f"{run.run_id}  {run.run_name}" for run in runs])
        raise EnsembleError(f"{len(runs)} MLflow runs have ids that begin with {run_id!r}:{named}")
    return runs[0].run_id if runs else run_id


def _models(client: "MlflowClient", experiment: str, run_id: str) -> Iterator[Any]:
    """Yield the logged models of a run, page by page."""
    token = None
    while True:
        page = client.search_logged_models([experiment], f"source_run_id = '{run_id}'", page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _of_model(client: "MlflowClient", model: Any) -> Member:
    """Return a member of a run; its path names the model."""
    facts: dict[str, Any] = {name: None if value == "None" else value for name, value in model.params.items()}
    lr, score = (None if facts.get(name) is None else float(facts[name]) for name in ("lr", "score"))
    return Member(
        f"models:/{model.model_id}",
        int(facts["cycle"]),
        facts["role"],
        int(facts["step"]),
        score,
        lr,
        facts.get("complete") == "True",
        facts.get("monitor"),
        facts.get("mode") or "min",
        best="lrsched.best" in model.tags,
    )


def _recommended(members: list[Member]) -> list[Member]:
    """Mark the best end of a completed cycle, as the ledger of a CycleCheckpoint would."""
    ends = [one for one in members if one.complete and "end" in one.role]
    scored = [one for one in ends if one.score is not None and not math.isnan(one.score)]
    sign = 1.0 if members[0].mode == "min" else -1.0
    unmeasured = next(
        (one for one in reversed(ends) if one.score is None), None
    )  # a metric that was NaN is none of them
    chosen = min(scored, key=lambda one: sign * (one.score or 0.0)) if scored else unmeasured
    return [replace(one, recommended=one is chosen) for one in members]


def fetched(member: Member, folder: str, tracking_uri: str | None = None) -> str:
    """Return the file of a member, or the folder of its shards, downloaded from MLflow into a folder if it is there."""
    if not member.path.startswith("models:/"):
        return member.path
    from mlflow import MlflowClient
    from mlflow.artifacts import download_artifacts

    location = MlflowClient(tracking_uri).get_logged_model(member.path.removeprefix("models:/")).artifact_location
    there = Path(download_artifacts(location, dst_path=folder, tracking_uri=tracking_uri))
    return str(next(iter(sorted(there.glob("*.ckpt"))), there))
