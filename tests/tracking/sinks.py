"""Sinks of the tests: one that keeps, one that fails on purpose, one that hangs, and the guide's own."""

import json
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning_lrsched.tracking.sink import Point
from tests.guides import SINK


class Keeps:
    """Keeps all it is given, in memory."""

    def __init__(self, batch_size: int = 1000) -> None:
        self.batch_size = batch_size
        self.run_id = "kept"
        self.batches: list[list[Point]] = []
        self.params: dict[str, str] = {}
        self.files: dict[str, bytes] = {}
        self.status = "RUNNING"

    @property
    def points(self) -> list[Point]:
        return [point for batch in self.batches for point in batch]

    def write(self, points: Sequence[Point]) -> None:
        if points:
            self.batches.append(list(points))

    def describe(self, params: Mapping[str, str], tags: Mapping[str, str]) -> None:
        self.params |= params

    def upload(self, path: Path, folder: str) -> None:
        self.files[f"{folder}/{path.name}"] = path.read_bytes()

    def last_steps(self) -> Mapping[str, int]:
        found: dict[str, int] = {}
        for point in self.points:
            found[point.key] = max(point.step, found.get(point.key, point.step))
        return found

    def finish(self, status: str) -> None:
        self.status = status

    def is_final(self, failure: Exception) -> bool:
        return False


class Fails(Keeps):
    """Refuses the first calls, or all of them."""

    def __init__(self, times: int | None = None, reason: str = "disk full") -> None:
        super().__init__()
        self.left = times
        self.reason = reason
        self.calls = 0

    def _refuse(self) -> None:
        self.calls += 1
        if self.left is None or self.calls <= self.left:
            raise OSError(self.reason)

    def write(self, points: Sequence[Point]) -> None:
        self._refuse()
        super().write(points)

    def describe(self, params: Mapping[str, str], tags: Mapping[str, str]) -> None:
        self._refuse()
        super().describe(params, tags)

    def upload(self, path: Path, folder: str) -> None:
        self._refuse()
        super().upload(path, folder)

    def finish(self, status: str) -> None:
        self._refuse()
        super().finish(status)


class Hangs(Keeps):
    """Never comes back, until it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.released = threading.Event()

    def write(self, points: Sequence[Point]) -> None:
        self.released.wait(60)

    def describe(self, params: Mapping[str, str], tags: Mapping[str, str]) -> None:
        self.released.wait(60)

    def upload(self, path: Path, folder: str) -> None:
        self.released.wait(60)


def json_lines(path: Path) -> Any:
    """Another tracker in a few lines: the example in CONTRIBUTING.md."""
    made: dict[str, Any] = {}
    exec(SINK, made)
    return made["JsonLinesSink"](path)


def lines_of(path: Path) -> list[dict[str, Any]]:
    """What it has written."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
