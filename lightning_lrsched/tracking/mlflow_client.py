"""An MLflow client that answers in time: the one room that touches what MLflow does not promise to keep.

MLflow's own HTTP client tries a request 7 times within minutes, and a server that hangs holds it for 20. Its settings
are read from the environment at every call, so they cannot be changed for one client without changing them for the
user's. Here the store of one client is replaced by one whose requests say themselves how long they may take.
"""

import json
import math
import os
import random
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning_lrsched.masking import masked
from lightning_lrsched.sqlite_uri import is_sqlite
from lightning_lrsched.tracking.background import collect_now, seldom_collected

if TYPE_CHECKING:
    from mlflow import MlflowClient

_FINAL = frozenset({
    "BAD_REQUEST", "INVALID_PARAMETER_VALUE", "INVALID_STATE", "PERMISSION_DENIED", "RESOURCE_DOES_NOT_EXIST",
    "UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED", "ENDPOINT_NOT_FOUND", "NOT_FOUND", "FEATURE_DISABLED",
})  # fmt: skip


_HTTP = ("http://", "https://")
_TIMEOUT = 30.0  # seconds
_LOG_BATCH = "/api/2.0/mlflow/runs/log-batch"


def open_client(tracking_uri: str, request_timeout: float, retries: int = 0) -> "MlflowClient":
    """Return a client of a store; over HTTP each of its requests is bounded in time.

    Args:
        tracking_uri: where the store is.
        request_timeout: seconds a request may take; ``MLFLOW_HTTP_REQUEST_TIMEOUT`` wins where it is set.
        retries: how often a request is made again that failed for a reason that may pass.
    """
    from mlflow import MlflowClient

    with _alone_with(tracking_uri):
        client = MlflowClient(tracking_uri)
    if tracking_uri.startswith(_HTTP):
        _draw_apart()
        client._tracking_client = _bounded(tracking_uri, _bounds(tracking_uri, request_timeout, retries))
    return client


def _draw_apart() -> None:
    """Have pauses between MLflow's retries drawn from a generator of their own.

    They come from Python's, which is the training's: an upload that is tried again would change its result.
    """
    from mlflow.utils import request_utils
    from urllib3.util import retry

    for module in (request_utils, retry):
        if getattr(module, "random", None) is random:
            setattr(module, "random", random.Random())  # noqa: B010 - no module declares it


def open_registry(client: "MlflowClient", registry_uri: str) -> "MlflowClient":
    """Return a client of a model registry; over HTTP its requests are bounded as those of the store's client are.

    Args:
        client: the client of the store that the models are in.
        registry_uri: where the registry is.
    """
    from mlflow import MlflowClient

    registry = MlflowClient(client.tracking_uri, registry_uri=registry_uri)
    if registry_uri.startswith(_HTTP):
        bounds = getattr(client._tracking_client, "request_bounds", None) or _bounds(registry_uri, _TIMEOUT, 0)
        bounded = _bounded_registry(registry_uri, client.tracking_uri, bounds)
        registry._registry_client_lazy = bounded  # type: ignore[attr-defined]
    return registry


def import_store(tracking_uri: str) -> None:
    """Import what a store needs, without opening it: an import in another thread would hold up the steps meanwhile."""
    from importlib import import_module

    imported = len(sys.modules)
    kind = "rest_store" if tracking_uri.startswith(_HTTP) else "sqlalchemy_store"
    with seldom_collected():
        for module in (f"tracking.{kind}", "artifact.artifact_repository_registry"):
            import_module(f"mlflow.store.{module}")
    if len(sys.modules) > imported:
        collect_now()


def context_tags() -> dict[str, str]:
    """Return the tags by which MLflow says from what a run was made: user, script, commit, ``MLFLOW_RUN_CONTEXT``."""
    from mlflow.tracking.context.registry import resolve_tags

    found: dict[str, str] = resolve_tags()
    return found


def autologged_run(callback: object) -> str | None:
    """Return the run that a callback of ``mlflow.pytorch.autolog`` writes metrics to; None for any other callback.

    autolog adds it to the trainer when ``fit`` is called. Its class is private: it is known by what it holds.
    """
    run_id = getattr(callback, "run_id", None)
    of_autolog = type(callback).__module__.startswith("mlflow.") and hasattr(callback, "metrics_logger")
    return str(run_id) if of_autolog and run_id is not None else None


@contextmanager
def _alone_with(tracking_uri: str) -> Iterator[None]:
    """Let one process of the user after the other open a sqlite file: MLflow makes its tables then.

    A second process that looks at the file meanwhile can break that off in the middle, and no later one mends it.
    """
    if not is_sqlite(tracking_uri):
        yield
        return
    import fcntl  # not there on Windows

    name = f"lrsched-{os.getuid()}-{sha256(tracking_uri.encode()).hexdigest()[:16]}.lock"
    with open(os.open(Path(tempfile.gettempdir(), name), os.O_RDWR | os.O_CREAT, 0o600), "w") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        yield


def store_of(client: "MlflowClient") -> Any:
    """Return the store behind a client, whose `log_batch` takes points as they are."""
    return client._tracking_client.store


def last_steps_of(client: "MlflowClient", run_id: str) -> dict[str, int]:
    """Return the last step of every metric of a run."""
    return {metric.key: metric.step for metric in client.get_run(run_id).data._metric_objs}


def is_final(failure: Exception) -> bool:
    """Return whether MLflow has refused for a reason that time does not heal."""
    from mlflow.exceptions import MlflowException

    return isinstance(failure, MlflowException) and failure.error_code in _FINAL


def _bounds(uri: str, timeout: float, retries: int) -> dict[str, Any]:
    """Return what keeps a request of MLflow's short.

    ``mlflow server`` has several workers, and on a connection that was used before each of their answers comes some 40
    ms late: the system waits for an acknowledgement that the client's system holds back (uvicorn leaves Nagle's
    algorithm on there). A new connection costs less, unless it has to be encrypted.
    """
    given = os.environ.get("MLFLOW_HTTP_REQUEST_TIMEOUT")
    bounds = {"max_retries": retries, "timeout": float(given or timeout), "raise_on_status": False}
    return bounds | {"extra_headers": {"Connection": "close"}} if uri.startswith("http://") else bounds


def _bounded(tracking_uri: str, bounds: Mapping[str, Any]) -> Any:
    """Return MLflow's tracking client over a REST store whose requests end in time."""
    from mlflow.tracking._tracking_service.client import TrackingServiceClient

    class BoundedClient(TrackingServiceClient):
        store = _bounded_store(tracking_uri, bounds)
        request_bounds: Mapping[str, Any]

        def _log_url(self, run_id: str) -> None:
            """Print MLflow's links to a run that ends, but not the password that they would show."""
            if masked(tracking_uri) == tracking_uri:
                super()._log_url(run_id)  # type: ignore[no-untyped-call]

    bounded = BoundedClient(tracking_uri)  # type: ignore[no-untyped-call]
    bounded.request_bounds = bounds
    return bounded


def _bounded_store(tracking_uri: str, bounds: Mapping[str, Any]) -> Any:
    """Return MLflow's REST store with requests that end in time."""
    from mlflow.store.tracking.rest_store import RestStore
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request, verify_rest_response

    send: Any = http_request

    class BoundedStore(RestStore):
        def _call_endpoint(
            self,
            api: Any,
            json_body: Any = None,
            endpoint: Any = None,
            retry_timeout_seconds: Any = None,
            response_proto: Any = None,
        ) -> Any:
            found, method = (self._V3_METHOD_TO_INFO if api in self._V3_APIS else self._METHOD_TO_INFO)[api]
            message = response_proto or api.Response()
            return _answer(self.get_host_creds(), endpoint or found, method, json_body, message, bounds=bounds)

        def log_batch(self, run_id: str, metrics: Any, params: Any, tags: Any) -> None:
            """Store points without building a message of each first; what else there is goes MLflow's own way."""
            if params or tags:
                super().log_batch(run_id, [], params, tags)  # type: ignore[no-untyped-call]
            if metrics:
                body = {"run_id": run_id, "metrics": [_row(metric) for metric in metrics]}
                verify_rest_response(send(self.get_host_creds(), _LOG_BATCH, "POST", **bounds, json=body), _LOG_BATCH)

    return BoundedStore(partial(get_default_host_creds, tracking_uri))  # type: ignore[no-untyped-call]


def _bounded_registry(registry_uri: str, tracking_uri: str, bounds: Mapping[str, Any]) -> Any:
    """Return MLflow's registry client over a REST store whose requests end in time."""
    from mlflow.store.model_registry.rest_store import RestStore
    from mlflow.tracking._model_registry.client import ModelRegistryClient
    from mlflow.utils.credentials import get_default_host_creds

    class BoundedStore(RestStore):
        def _call_endpoint(
            self, api: Any, json_body: Any, call_all_endpoints: bool = False, extra_headers: Any = None
        ) -> Any:
            path, method = self._get_endpoint_from_method(api)  # type: ignore[no-untyped-call]
            return _answer(self.get_host_creds(), path, method, json_body, api.Response(), bounds=bounds)

    class BoundedClient(ModelRegistryClient):
        store = BoundedStore(partial(get_default_host_creds, registry_uri))  # type: ignore[no-untyped-call]

    return BoundedClient(registry_uri, tracking_uri)  # type: ignore[no-untyped-call]


def _answer(creds: Any, path: str, method: str, json_body: Any, message: Any, *, bounds: Mapping[str, Any]) -> Any:
    """Send a request, and return the message with its answer in it."""
    from mlflow.utils.proto_json_utils import parse_dict
    from mlflow.utils.rest_utils import http_request, verify_rest_response

    send: Any = http_request
    body = {} if json_body is None else {"params" if method == "GET" else "json": _loaded(json_body)}
    answer = send(creds, path, method, **bounds, **body)
    if answer.status_code != 204:
        parse_dict(verify_rest_response(answer, path).json(), message)  # type: ignore[no-untyped-call]
    return message


def _loaded(body: Any) -> Any:
    """Return the body of a request as values."""
    return json.loads(body) if isinstance(body, str) else body


def _row(metric: Any) -> dict[str, Any]:
    """Return a point as MLflow's JSON has it: NaN is a text there."""
    value = "NaN" if math.isnan(metric.value) else metric.value
    row = {"key": metric.key, "value": value, "timestamp": metric.timestamp, "step": metric.step}
    model = getattr(metric, "model_id", None)
    return row if model is None else row | {"model_id": model}
