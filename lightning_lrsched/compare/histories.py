"""Whole histories of many runs, read in as few and as large pages as the store allows."""

import math
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import TYPE_CHECKING, TypeAlias

from lightning_lrsched.compare.curves import History
from lightning_lrsched.compare.kept_steps import SAMPLED, Kept, from_files, kept_steps
from lightning_lrsched.compare.store import Store

if TYPE_CHECKING:
    from mlflow.entities import Metric
    from sqlalchemy import Engine

Points: TypeAlias = "array[float]"
"""Step, time and value of each point, one after the other."""

Wanted: TypeAlias = Mapping[str, Sequence[str]]
"""The ids of the runs that have a metric, by its key."""

_READERS = 8
_RUNS_AT_ONCE = 100  # what a server takes in one request
_PAGE = 25_000  # and the most points that it answers
_ROWS = 10_000
_BULK = "/ajax-api/2.0/mlflow/metrics/get-history-bulk"


def read_histories(store: Store, wanted: Wanted) -> Iterator[tuple[str, str, History]]:
    """Yield run id, key and history of whatever is wanted, key by key; nothing for a run without points.

    A database is asked once for each key, without mlflow's objects for each point; a server once for each key and
    hundred runs, and for long histories page by page, several at a time, if the run has no files with every step.
    """
    with kept_steps(store) as kept:
        for key, run_ids in wanted.items():
            for run_id, points in _read(store, key, run_ids, kept):
                if points:
                    yield run_id, key, History.packed(points)


def _read(store: Store, key: str, run_ids: Sequence[str], kept: Kept) -> Iterator[tuple[str, Points]]:
    """Yield each run's points of one metric, in the way that suits the store."""
    tracking = getattr(store.client, "_tracking_client", None)
    engine = getattr(getattr(tracking, "store", None), "engine", None)
    if store.remote:
        yield from _from_server(store, key, run_ids, kept)
    elif engine is not None:
        yield from _from_database(engine, key, run_ids)
    else:
        yield from ((run_id, _by_client(store, key, run_id)) for run_id in run_ids)


def _from_database(engine: "Engine", key: str, run_ids: Sequence[str]) -> Iterator[tuple[str, Points]]:
    """Yield each run's points of one metric, from MLflow's table itself."""
    from mlflow.store.tracking.dbmodels.models import SqlMetric
    from sqlalchemy import select

    table = SqlMetric.__table__
    columns = (table.c.run_uuid, table.c.step, table.c.timestamp, table.c.value, table.c.is_nan)
    for first in range(0, len(run_ids), _RUNS_AT_ONCE):
        query = select(*columns).where(table.c.key == key, table.c.run_uuid.in_(run_ids[first : first + _RUNS_AT_ONCE]))
        points: dict[str, Points] = defaultdict(_empty)
        with engine.connect() as connection:
            for rows in connection.execution_options(yield_per=_ROWS).execute(query).partitions():
                for run_id, step, time, value, is_nan in rows:
                    points[run_id].extend((step, time, math.nan if is_nan else value))
        yield from points.items()


def _from_server(store: Store, key: str, run_ids: Sequence[str], kept: Kept) -> Iterator[tuple[str, Points]]:
    """Yield each run's points of one metric: short histories together, long ones from their files or run by run."""
    long: list[str] = []
    for first in range(0, len(run_ids), _RUNS_AT_ONCE):
        asked = run_ids[first : first + _RUNS_AT_ONCE]
        answered = _bulk(store, key, asked)
        long += [run_id for run_id in asked if run_id not in answered]
        yield from answered.items()
    if key.startswith("lr/"):
        filed = dict(from_files(kept, key, _sampled(store, key, long)))
        long = [run_id for run_id in long if run_id not in filed]
        yield from filed.items()
    with ThreadPoolExecutor(_READERS) as pool:
        yield from zip(long, pool.map(lambda run_id: _by_client(store, key, run_id), long), strict=True)


def _bulk(store: Store, key: str, run_ids: Sequence[str]) -> dict[str, Points]:
    """Return what one request answers of some runs: those that it has answered whole; none from another server.

    The answer is cut at `_PAGE` points, the runs sorted by their ids.
    """
    points = _asked(store, _BULK, {"run_id": list(run_ids), "metric_key": key, "max_results": _PAGE})
    if sum(map(len, points.values())) >= 3 * _PAGE:
        del points[max(points)]
    return points


def _sampled(store: Store, key: str, run_ids: Sequence[str]) -> dict[str, History]:
    """Return points of each run, its first and its last among them; none from another server."""
    points: dict[str, Points] = {}
    for first in range(0, len(run_ids), _RUNS_AT_ONCE):
        some = list(run_ids[first : first + _RUNS_AT_ONCE])
        points |= _asked(store, f"{_BULK}-interval", {"run_ids": some, "metric_key": key, "max_results": SAMPLED})
    return {run_id: History.packed(found) for run_id, found in points.items()}


def _asked(store: Store, path: str, params: Mapping[str, object]) -> dict[str, Points]:
    """Return the points that one request answers, by run; none where the server does not know the request."""
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    reply = http_request(  # type: ignore[no-untyped-call]
        get_default_host_creds(store.uri),  # type: ignore[no-untyped-call]
        path,
        "GET",
        params=params,
        raise_on_status=False,
    )
    points: dict[str, Points] = defaultdict(_empty)
    try:
        for row in reply.json()["metrics"] if reply.status_code == 200 else []:
            points[row["run_id"]].extend((int(row["step"]), int(row["timestamp"]), float(row["value"])))
    except (ValueError, KeyError, TypeError):
        return {}
    return dict(points)


def _empty() -> Points:
    """Return no points."""
    return array("d")


def _by_client(store: Store, key: str, run_id: str) -> Points:
    """Return the points of one run through mlflow's client, which turns the pages."""
    metrics: Iterable[Metric] = store.client.get_metric_history(run_id, key)
    return array("d", chain.from_iterable((metric.step, metric.timestamp, metric.value) for metric in metrics))
