"""The plans of the runs: their phases as the tracker stored them, and which runs share a plan."""

import io
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from lightning_lrsched.compare.store import Store

PREFIX = "schedule/"
_FILE = "schedule/plan.json"
_READERS = 8
_MOST_BYTES = 8_000_000  # ten thousand phases take 1 MB


@dataclass(frozen=True)
class PlannedPhase:
    """A phase of a plan as it was resolved for a run.

    Args:
        name: such as ``"warmup"``.
        start: its first optimizer step.
        stop: the step after its last one; None without end.
        cycle: index of its cycle, from 0.
        whole: False if the end of the run cuts it short.
    """

    name: str
    start: int
    stop: int | None
    cycle: int
    whole: bool = True


def plan_of(params: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return what the tracker wrote of a plan: runs that share it differ in nothing but their seeds, or their rest.

    >>> plan_of({"schedule/main": "Cosine()", "seed": "7"})
    (('main', 'Cosine()'),)
    """
    return tuple(sorted((key.removeprefix(PREFIX), value) for key, value in params.items() if key.startswith(PREFIX)))


def read_phases(store: Store, run_ids: Sequence[str]) -> dict[str, tuple[PlannedPhase, ...]]:
    """Return the phases of those runs that have stored them; what is no plan is passed over."""
    with TemporaryDirectory() as folder, redirect_stderr(io.StringIO()):  # mlflow draws a bar for each file

        def read(run_id: str) -> tuple[PlannedPhase, ...]:
            try:
                path = Path(store.client.download_artifacts(run_id, _FILE, _made(Path(folder) / run_id)))
                return parsed(path.read_bytes()) if path.stat().st_size <= _MOST_BYTES else ()
            except Exception:
                return ()

        with ThreadPoolExecutor(_READERS if store.remote else 1) as pool:
            return dict(zip(run_ids, pool.map(read, run_ids), strict=True))


def parsed(content: bytes) -> tuple[PlannedPhase, ...]:
    """Return the phases of a ``plan.json``.

    Raises:
        ValueError: if it is no plan, or not one of this package.
    """
    try:
        return tuple(_phase(entry) for entry in json.loads(content)["phases"])
    except (KeyError, TypeError, OverflowError) as error:
        raise ValueError(f"no plan: {error!r}") from error


def _phase(entry: Mapping[str, object]) -> PlannedPhase:
    """Return one entry as a phase."""
    start, stop, cycle = (entry[key] for key in ("start", "stop", "cycle"))
    if not (isinstance(start, int) and isinstance(cycle, int) and (stop is None or isinstance(stop, int))):
        raise TypeError(f"steps and cycles are whole numbers, not {entry!r}")
    return PlannedPhase(str(entry["name"]), start, stop, cycle, bool(entry.get("whole", True)))


def _made(folder: Path) -> str:
    """Return a folder that exists."""
    folder.mkdir()
    return str(folder)
