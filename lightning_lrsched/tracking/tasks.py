"""Tasks: what is stored once in a run (params, tags, files), kept in the spool until it is done."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning_lrsched.tracking.curve import Curve, draw
from lightning_lrsched.tracking.models import at_hand
from lightning_lrsched.tracking.sink import ModelSink, Sink

_FOLDER = "schedule"
STEPS_FOLDER = f"{_FOLDER}/steps"


def describe(params: Mapping[str, str], tags: Mapping[str, str]) -> dict[str, Any]:
    """Return the task to store params and tags."""
    return {"do": "describe", "params": dict(params), "tags": dict(tags)}


def text(name: str, content: str) -> dict[str, Any]:
    """Return the task to store a text as a file."""
    return {"do": "text", "name": name, "content": content}


def perform(task: Mapping[str, Any], sink: Sink) -> None:
    """Do a task.

    Raises:
        ValueError: if it is none that is known here.
    """
    match task:
        case {"do": "describe", "params": params, "tags": tags}:
            sink.describe(params, tags)
        case {"do": "text", "name": name, "content": content}:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / Path(name).name
                path.write_text(content, encoding="utf-8")
                sink.upload(path, _FOLDER)
        case {"do": "model" | "best" | "only"} if isinstance(sink, ModelSink):
            sink.store_model(task)
        case {"do": "model", "path": path}:
            with at_hand(path) as local:
                sink.upload(local, "checkpoints")
        case {"do": "best" | "only"}:
            pass
        case _:
            raise ValueError(f"unknown task {dict(task)!r}")


def upload_curve(sink: Sink, curves: Mapping[str, Curve], title: str, name: str) -> None:
    """Store the picture of the lr curves; nothing where matplotlib is not installed or no step was taken."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        if curves and draw(curves, title, path):
            sink.upload(path, _FOLDER)
