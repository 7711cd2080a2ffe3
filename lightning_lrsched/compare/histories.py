"""Whole histories of many runs, read in as few and as large pages as the store allows."""

import math
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import TYPE_CHECKING, TypeAlias

from lightning_lrsched.compare.curves import History
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
    hundred runs, and for long histories page by page, several at a time.
    """
    tracking = getattr(store.client, "_tracking_client", None)
    engine = getattr(getattr(tracking, "store", None), "engine", None)
    for key, run_ids in wanted.items():
        if store.remote:
            found = _from_server(store, key, run_ids)
        elif engine is not None:
            found = _from_database(engine, key, run_ids)
        else:
            found = ((run_id, _by_client(store, key, run_id)) for run_id in run_ids)
        for run_id, points in found:
            if points:
                yield run_id, key, History.packed(points)


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


def _from_server(store: Store, key: str, run_ids: Sequence[str]) -> Iterator[tuple[str, Points]]:
    """Yield each run's points of one metric: short histories together, long ones run by run."""
    long: list[str] = []
    for first in range(0, len(run_ids), _RUNS_AT_ONCE):
        asked = run_ids[first : first + _RUNS_AT_ONCE]
        answered = _bulk(store, key, asked)
        long += [run_id for run_id in asked if run_id not in answered]
        yield from answered.items()
    with ThreadPoolExecutor(_READERS) as pool:
        yield from zip(long, pool.map(lambda run_id: _by_client(store, key, run_id), long), strict=True)


def _bulk(store: Store, key: str, run_ids: Sequence[str]) -> dict[str, Points]:
    """Return what one request answers of some runs: those that it has answered whole; none from another server.

    The answer is cut at `_PAGE` points, the runs sorted by their ids.
    """
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    reply = http_request(  # type: ignore[no-untyped-call]
        get_default_host_creds(store.uri),  # type: ignore[no-untyped-call]
        _BULK,
        "GET",
        params={"run_id": list(run_ids), "metric_key": key, "max_results": _PAGE},
        raise_on_status=False,
    )
    try:
        rows = reply.json()["metrics"] if reply.status_code == 200 else []
        read = [(row["run_id"], (int(row["step"]), int(row["timestamp"]), float(row["value"]))) for row in rows]
    except (ValueError, KeyError, TypeError):
        return {}
    points: dict[str, Points] = defaultdict(_empty)
    for run_id, point in read:
        points[run_id].extend(point)
    if len(read) >= _PAGE:
        del points[max(points)]
    return dict(points)


def _empty() -> Points:
    """Return no points."""
    return array("d")


def _by_client(store: Store, key: str, run_id: str) -> Points:
    """Return the points of one run through mlflow's client, which turns the pages."""
    metrics: Iterable[Metric] = store.client.get_metric_history(run_id, key)
    return array("d", chain.from_iterable((metric.step, metric.timestamp, metric.value) for metric in metrics))
