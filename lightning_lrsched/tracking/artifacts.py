"""Files that are made for a run: a text, and the picture of the lr curve."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from lightning_lrsched.tracking.curve import Curve, draw
from lightning_lrsched.tracking.sink import Sink


def upload_text(sink: Sink, name: str, content: str) -> None:
    """Store a text as a file in the folder ``schedule`` of the run."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_text(content, encoding="utf-8")
        sink.upload(path, "schedule")


def upload_curve(sink: Sink, curves: Mapping[str, Curve], title: str) -> None:
    """Store the picture of the lr curves; nothing where matplotlib is not installed or no step was taken."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lr.png"
        if curves and draw(curves, title, path):
            sink.upload(path, "schedule")
