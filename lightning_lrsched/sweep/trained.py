"""The note of a run that was trained to its end: in the run's own folder, for the time until MLflow has all of it.

It is not kept in MLflow, because it is needed when MLflow's server does not answer.
"""

import json
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

_NAME = "trained.json"


@dataclass(frozen=True)
class Trained:
    """A run that was trained to its end.

    Args:
        run_id: MLflow's id.
        ended: when, in milliseconds since the epoch.
        spool: where the points are that MLflow lacks, in the run's folder or a whole path; None where it has them all.
    """

    run_id: str
    ended: int
    spool: str | None

    @classmethod
    def now(cls, folder: Path, run_id: str, spool: Path | None) -> "Trained":
        """Return the note of a run that has ended now.

        Args:
            folder: the run's.
            run_id: MLflow's id.
            spool: what its tracker has left.
        """
        root, place = folder.absolute(), None
        if spool is not None:  # what is in the run's folder may be moved with it
            place = str(spool.relative_to(root) if spool.is_relative_to(root) else spool.absolute())
        return cls(run_id, time.time_ns() // 1_000_000, place)

    @classmethod
    def read(cls, folder: Path) -> "Trained | None":
        """Return the note in a run's folder; None where there is none, or none that is whole."""
        try:
            return cls(**json.loads((folder / _NAME).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, folder: Path) -> bool:
        """Write it into the run's folder, whole or not at all, and return whether it is there."""
        part = folder / f"{_NAME}.part"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            part.write_text(json.dumps(asdict(self)), encoding="utf-8")
            part.replace(folder / _NAME)
        except OSError:
            return False
        return True


def forget(folder: Path) -> None:
    """Remove the note in a run's folder, if there is one."""
    with suppress(OSError):  # what is left names a run that has ended
        (folder / _NAME).unlink()
