"""A run that is resumed with other cycles than it began with loses nothing that was kept."""

from pathlib import Path

import pytest
from lightning.pytorch.callbacks import ModelCheckpoint

from lightning_lrsched import SGDR, CycleCheckpoint, LearningRateScheduler
from tests.callbacks.models import Tiny, loader, make_trainer

pytestmark = [
    pytest.mark.filterwarnings(f"ignore:{told}")
    for told in ("The plan is not the one", "The run was planned", "The dirpath has changed", "Be aware that when")
]


def fit(folder: Path, cycle: str, epochs: int, resumed: Path | None = None) -> CycleCheckpoint:
    """Train, save once at the end of the last epoch and once when all is over, and look at the files."""
    checkpoint = CycleCheckpoint("val_loss", dirpath=folder / "cycles", validate_at_end=True)
    last = ModelCheckpoint(folder / str(epochs), filename="last")
    callbacks = [LearningRateScheduler(SGDR(cycle)), checkpoint, last]
    trainer = make_trainer(folder, *callbacks, max_epochs=epochs)
    trainer.fit(Tiny(), loader(5), ckpt_path=resumed)
    trainer.save_checkpoint(folder / str(epochs) / "over.ckpt")
    kept = {Path(each.path).name for row in checkpoint.finished_cycles for each in row.kept}
    assert {path.name for path in (folder / "cycles").glob("*.ckpt")} == kept
    return checkpoint


@pytest.mark.parametrize("saved", ["last.ckpt", "over.ckpt"])
@pytest.mark.parametrize(
    ("before", "after", "ends"),
    [
        pytest.param(("1ep", 5), ("4ep", 12), [5, 10, 15, 20, 25, 40, 60], id="longer, inside a cycle"),
        pytest.param(("1ep", 5), ("5ep", 10), [5, 10, 15, 20, 25, 50], id="longer, at an end of both"),
        pytest.param(("2ep", 7), ("1ep", 9), [10, 20, 30, 35, 40, 45], id="shorter, inside a cycle"),
        pytest.param(("2ep", 4), ("3ep", 9), [10, 30, 45], id="longer, with the same number"),
        pytest.param(("1ep", 6), ("2ep", 8), [5, 10, 15, 20, 25, 30, 40], id="twice as long"),
    ],
)
def test_cycles_go_on_where_the_plan_before_left_them(
    tmp_path: Path, before: tuple[str, int], after: tuple[str, int], ends: list[int], saved: str
) -> None:
    fit(tmp_path, *before)
    rows = fit(tmp_path, *after, tmp_path / str(before[1]) / saved).finished_cycles
    assert [row.end.step for row in rows if row.end is not None] == ends
    assert [row.cycle for row in rows] == list(range(len(ends)))
    assert all(row.complete for row in rows)
