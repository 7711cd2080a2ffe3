"""Where recorded points go. MLflow is one sink; another tracker is a class with these methods."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

_NOT_PLAIN = re.compile(r"[^A-Za-z0-9_\-. ]")


class Point(NamedTuple):
    """One value of one curve.

    Args:
        key: name of the curve, such as ``lr/SGD/0``.
        value: a finite number or NaN.
        step: where on the step axis of the trainer's loggers.
        timestamp: when it was recorded, in milliseconds since the epoch.
    """

    key: str
    value: float
    step: int
    timestamp: int


class Sink(Protocol):
    """A tracker's run, as far as this package writes to it. All of it is called from one thread, never in training."""

    @property
    def batch_size(self) -> int:
        """Most points that one `write` takes."""

    def write(self, points: Sequence[Point]) -> None:
        """Store points; all of them or an exception."""

    def describe(self, params: Mapping[str, str], tags: Mapping[str, str]) -> None:
        """Store what is constant over the run."""

    def upload(self, path: Path, folder: str) -> None:
        """Store a file in a folder of the run."""

    def finish(self, status: str) -> None:
        """End the run as ``FINISHED``, ``FAILED`` or ``KILLED``."""


def key_part(name: object) -> str:
    """Return a name as a part of a key, one to one: what no tracker takes is written as its number, ``:2f:``."""
    return _NOT_PLAIN.sub(lambda found: f":{ord(found[0]):x}:", str(name)) or "::"
