"""The direction in which runs have judged a metric, from the checkpoints that they have kept by it."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, cast

from lightning_lrsched.compare.store import Store
from lightning_lrsched.compare.words import Mode

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel, Run


def stored_modes(store: Store, runs: Sequence["Run"], metric: str) -> dict[str, Mode]:
    """Return the mode by run, for those that have kept checkpoints by a metric, all in one direction.

    Args:
        store: where the runs are; one that knows of no logged models has none.
        runs: the runs.
        metric: key of the metric.
    """
    experiments: dict[str, set[str]] = defaultdict(set)
    for run in runs:
        experiments[run.info.experiment_id].add(run.info.run_id)
    modes: dict[str, set[str]] = defaultdict(set)
    try:
        for experiment, ids in experiments.items():
            for model in _kept_by(store, experiment, metric):
                modes[str(model.source_run_id)].add(model.tags.get("lrsched.mode", ""))
                if ids <= modes.keys():
                    break
    except Exception:
        return {}
    ids = {run.info.run_id for run in runs}
    found = {run_id: next(iter(each)) for run_id, each in modes.items() if run_id in ids and len(each) == 1}
    return {run_id: cast("Mode", mode) for run_id, mode in found.items() if mode in ("min", "max")}


def _kept_by(store: Store, experiment: str, metric: str) -> "Iterator[LoggedModel]":
    """Yield the kept checkpoints of an experiment that were judged by a metric."""
    token: str | None = None
    while True:
        page = store.client.search_logged_models([experiment], f"tags.`lrsched.monitor` = '{metric}'", page_token=token)
        yield from page
        token = page.token
        if not token:
            return
