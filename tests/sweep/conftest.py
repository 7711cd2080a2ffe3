"""A small sweep in the working directory of each test."""

from pathlib import Path
from typing import Any

import yaml

from tests.integration.conftest import start
from tests.tracking.conftest import uri

__all__ = ["start", "uri"]


def sweep_file(where: Path, /, **changed: Any) -> Path:
    """Write a sweep of two schedules and two seeds over ten steps each; None leaves a key out."""
    document: dict[str, Any] = {
        "experiment": "small",
        "module": {"class_path": "tests.sweep.modules.Noisy"},
        "trainer": {"max_epochs": 2, "accelerator": "cpu"},
        "schedules": {"constant": "Constant", "sgdr": "SGDR('1ep', T_mult=1)"},
        "seeds": [0, 1],
    }
    path = where / "sweep.yaml"
    kept = {key: value for key, value in (document | changed).items() if value is not None}
    path.write_text(yaml.safe_dump(kept), encoding="utf-8")
    return path
