"""Where recorded points go. MLflow is one sink; another tracker is a class with these methods."""

import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

_NOT_PLAIN = re.compile(r"[^A-Za-z0-9_\-. ]|^\.\.?$")
_LONGEST_KEY = 250


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


class PointSink(Protocol):
    """What takes points."""

    @property
    def batch_size(self) -> int:
        """Most points that one `write` takes."""

    def write(self, points: Sequence[Point]) -> None:
        """Store points; all of them or an exception. A point that is stored a second time must be there once."""


class Sink(PointSink, Protocol):
    """A tracker's run, as far as this package writes to it. None of it is called in training's own thread.

    Points come from one thread, everything else from another one.
    """

    def describe(self, params: Mapping[str, str], tags: Mapping[str, str]) -> None:
        """Store what is constant over the run."""

    def upload(self, path: Path, folder: str) -> None:
        """Store a file, or a folder, in a folder of the run. What is there by that name is replaced."""

    def last_steps(self) -> Mapping[str, int]:
        """Return the last step of every curve that the run has."""

    def finish(self, status: str) -> None:
        """End the run as ``FINISHED``, ``FAILED`` or ``KILLED``."""

    def is_final(self, failure: Exception) -> bool:
        """Return whether trying again is useless until somebody does something: no such run, no permission."""


@runtime_checkable
class ModelSink(Protocol):
    """A sink that keeps checkpoints as models, with what is known of them. Others keep them as files."""

    def store_model(self, task: Mapping[str, Any]) -> None:
        """Do a task of `tracking.models`; one that was done before changes nothing."""


def key_part(name: object) -> str:
    """Return a name as a part of a key, one to one: what no tracker takes is written as its number, ``:2f:``."""
    return _NOT_PLAIN.sub(lambda found: "".join(f":{ord(sign):x}:" for sign in found[0]), str(name)) or "::"


def key_of(*names: object) -> str:
    """Return the key made of names; what is too long for a tracker ends in a digest of the whole.

    >>> key_of("lr", "SGD", "head/out")
    'lr/SGD/head:2f:out'
    """
    return _cut("/".join(map(key_part, names)), _LONGEST_KEY)


def metric_key(name: str) -> str:
    """Return a metric's name as a key; there is room before it for the longest of ``cycle/``, ``checkpoint/``, ..."""
    return _cut("/".join(map(key_part, name.split("/"))), _LONGEST_KEY - len("checkpoint/"))


def _cut(key: str, longest: int) -> str:
    return key if len(key) <= longest else f"{key[: longest - 17]}:{sha256(key.encode()).hexdigest()[:16]}"
