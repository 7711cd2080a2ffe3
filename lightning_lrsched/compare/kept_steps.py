"""The lr curves of long runs on a server, from the files in which the tracker keeps every step.

A server takes minutes for what a file of some hundred kilobytes holds. Whether the files are complete is seen from a
sample that the server draws of the history, from which the times are taken too.
"""

import io
from array import array
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import numpy as np

from lightning_lrsched.compare.curves import Floats, History, Ints
from lightning_lrsched.compare.store import Store
from lightning_lrsched.tracking.columns import read_columns

Kept: TypeAlias = Callable[[str, str], "tuple[Ints, Floats] | None"]
"""Returns steps and values of a run's curve, by its id and key; None where no file has it."""

SAMPLED = 300
_FOLDER = "schedule/steps"
_READERS = 4
_MOST_BYTES = 64_000_000  # of one file; one is packed from a journal of a few megabytes


@contextmanager
def kept_steps(store: Store) -> Iterator[Kept]:
    """Yield what reads the files of runs; each is fetched when it is first asked for, and kept until the end."""
    with TemporaryDirectory() as folder:
        fetched: dict[str, list[Path]] = {}

        def read(run_id: str, key: str) -> "tuple[Ints, Floats] | None":
            try:
                if run_id not in fetched:
                    fetched[run_id] = []
                    fetched[run_id] = _fetch(store, run_id, Path(folder) / run_id)
                return read_columns(fetched[run_id]).get(key)
            except Exception:  # whatever somebody has put there, or no such folder: the server has the history
                return None

        yield read


def _fetch(store: Store, run_id: str, folder: Path) -> list[Path]:
    """Return the fetched files of a run."""
    folder.mkdir()
    sizes = {file.path: file.file_size for file in store.client.list_artifacts(run_id, _FOLDER)}
    if any(size is None or size > _MOST_BYTES for size in sizes.values()):
        return []
    return [Path(store.client.download_artifacts(run_id, path, str(folder))) for path in sizes]


def from_files(kept: Kept, key: str, sampled: Mapping[str, History]) -> Iterator[tuple[str, "array[float]"]]:
    """Yield run and points (step, time, value) of those runs whose files have all that the server has.

    Args:
        kept: see `kept_steps`.
        key: the metric.
        sampled: a sample of each run's history, with its first and last point.
    """
    with redirect_stderr(io.StringIO()), ThreadPoolExecutor(_READERS) as pool:  # mlflow draws a bar for each file
        found = list(pool.map(lambda run_id: kept(run_id, key), sampled))
    for (run_id, sample), curve in zip(sampled.items(), found, strict=True):
        if curve is not None and _complete(*curve, sample):
            times = np.interp(curve[0], sample.steps, sample.times).round()
            points = array("d")
            points.frombytes(np.column_stack([curve[0], times, curve[1]]).tobytes())
            yield run_id, points


def _complete(steps: "Ints", values: "Floats", sample: History) -> bool:
    """Return whether a curve begins and ends with a sample of it or beyond, and has all of its points."""
    if not len(sample.steps) or not len(steps):
        return False
    at = np.clip(np.searchsorted(steps, sample.steps), 0, len(steps) - 1)
    same = np.array_equal(steps[at], sample.steps) and np.array_equal(values[at], sample.values, equal_nan=True)
    return bool(same and steps[0] <= sample.steps[0] and steps[-1] >= sample.steps[-1])
