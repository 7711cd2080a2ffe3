"""What the tests of the faults hold a fit against, and the store that it wrote to."""

import time
import warnings
from collections.abc import Callable
from pathlib import Path

from lightning_lrsched import RunLength
from lightning_lrsched.cli import main
from lightning_lrsched.tracking.spool import Spool, SpoolError
from tests.callbacks.models import expected
from tests.integration.tracked_fit import EPOCHS, STEPS, Done, plan
from tests.tracking.reading import history, only_run, repeated

LRS = "lr/SGD/0"


def lrs() -> list[tuple[int, float]]:
    return list(enumerate(expected(plan().plan.resolve(RunLength(STEPS, STEPS // EPOCHS)), STEPS)))


def told_of(call: Callable[[], Done]) -> tuple[Done, list[str]]:
    """Run a fit; return what it told of tracking."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        done = call()
    texts = [str(warning.message) for warning in caught]
    return done, [text for text in texts if text.startswith(("Tracking", "MLflow", "The spool"))]


def check_store(uri: str, status: str = "FINISHED") -> None:
    """Every point of the fit is in the store exactly once."""
    run = only_run(uri)
    assert history(uri, run, LRS) == lrs()
    assert len(history(uri, run, "val_loss")) == EPOCHS
    assert history(uri, run, "schedule/cycle")[-1] == (STEPS - 1, 4.0)
    assert repeated(uri) == []
    assert run.info.status == status


def check_replay(folder: Path, told: list[str], uri: str, status: str = "FINISHED") -> None:
    """The message has the command that delivers the rest, and it does."""
    command = told[-1].partition("Deliver it with: lrsched ")[2].partition(" There")[0]
    assert command.startswith(f"replay {folder / 'lrsched_spool'}")
    deadline = time.monotonic() + 20
    while _in_use(Path(command.split()[-1])) and time.monotonic() < deadline:
        time.sleep(0.1)  # this process has not ended: an upload that hung comes back when its server does
    assert main(command.split()) == 0
    check_store(uri, status)
    assert not (folder / "lrsched_spool").exists()


def _in_use(folder: Path) -> bool:
    try:
        Spool.open(folder).release()
    except SpoolError:
        return True
    return False
