"""The line below a progress bar, on real pseudo-terminals."""

import pickle
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.callbacks import Callback, ProgressBar, RichProgressBar, TQDMProgressBar
from torch import Tensor

from lightning_lrsched import SGDR, LearningRateScheduler, ScheduleProgress, Warmup
from tests.callbacks.models import Tiny, loader, make_trainer
from tests.terminal import Terminal, terminal

LINE = re.compile(r"lr=\S+, phase=(warmup|cosine cycle), cycle=\d")
SPEED = re.compile(r"\d+:\d\d(:\d\d)?|[\d.]+it/s|[█▏▎▍▌▋▊▉━╸╺ ]+")


class Told(Tiny):
    """Shows as much in the bar as modules do."""

    def training_step(self, batch: Tensor, batch_idx: int) -> Any:
        self.log("train_loss", 0.25, prog_bar=True)
        return super().training_step(batch, batch_idx)

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.log_dict({"val_loss": 0.5, "val_accuracy": 0.75}, prog_bar=True)

    def val_dataloader(self) -> Any:
        return loader(3)


def drawn(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *callbacks: Callback,
    module: Tiny | None = None,
    width: int = 80,
) -> Terminal:
    """A fit of two epochs of 10 steps that draws on a terminal, which is returned."""
    schedule = LearningRateScheduler(SGDR("8 steps"), warmup=Warmup("4 steps"))
    with terminal(width) as screen, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", screen.file)
        trainer = make_trainer(folder, schedule, *callbacks, enable_progress_bar=True)
        trainer.fit(Told() if module is None else module)
    return screen


def rich(width: int = 80) -> RichProgressBar:
    # Rich looks at the process's own terminal for the width
    return RichProgressBar(console_kwargs={"width": width, "force_terminal": True, "color_system": None})


def bars(width: int = 80) -> list[Any]:
    return [pytest.param(TQDMProgressBar(), id="tqdm"), pytest.param(rich(width), id="rich")]


@pytest.mark.parametrize("width", [80, 100, 120])
@pytest.mark.parametrize("kind", ["tqdm", "rich"])
def test_lr_phase_and_cycle_stand_in_one_row_below_the_bar(
    kind: str, width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bar: ProgressBar = TQDMProgressBar() if kind == "tqdm" else rich(width)
    screens = list(drawn(tmp_path, monkeypatch, bar, ScheduleProgress(), width=width).screens())
    told = [row for rows in screens for row in rows if "lr=" in row or "phase" in row or "cycle" in row]
    assert told
    assert all(LINE.fullmatch(row) for row in told), set(told)
    assert any("Epoch 1" in above and LINE.fullmatch(row) for rows in screens for above, row in below_a_bar(rows, kind))


def below_a_bar(rows: list[str], kind: str) -> list[tuple[str, str]]:
    """The rows below a training bar, with it; Rich wraps what Lightning shows, so that the line may be some rows on."""
    found = [number for number, row in enumerate(rows) if row.startswith("Epoch")]
    reach = 1 if kind == "tqdm" else 5
    return [(rows[number], row) for number in found for row in rows[number + 1 : number + 1 + reach]]


@pytest.mark.parametrize("kind", ["tqdm", "rich"])
def test_the_bar_itself_is_what_lightning_shows(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def words(*callbacks: Callback) -> list[str]:
        bar: ProgressBar = TQDMProgressBar() if kind == "tqdm" else rich()
        *_, rows = drawn(tmp_path, monkeypatch, bar, *callbacks, width=160).screens()
        return [word for row in rows if not LINE.fullmatch(row) for word in SPEED.sub(" ", row).split()]

    assert words(ScheduleProgress()) == words()


def test_rich_leaves_the_last_values_to_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    *_, rows = drawn(tmp_path, monkeypatch, rich(), ScheduleProgress()).screens()
    assert [row for row in rows if row][-1] == "lr=0, phase=cosine cycle, cycle=1"


@pytest.mark.parametrize("first", [True, False], ids=["bar first", "bar last"])
@pytest.mark.parametrize("leave", [True, False], ids=["leave", "one bar"])
def test_nothing_is_left_behind_below_tqdm(
    first: bool, leave: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = [TQDMProgressBar(leave=leave), ScheduleProgress()]
    screens = list(drawn(tmp_path, monkeypatch, *(pair if first else reversed(pair))).screens())
    assert any(LINE.fullmatch(row) for rows in screens for row in rows)
    assert len([row for row in screens[-1] if row.startswith("Epoch")]) == (2 if leave else 1)
    assert not [row for row in screens[-1] if "phase" in row or "cycle" in row]


def test_a_validation_bar_takes_the_row_while_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    screens = list(drawn(tmp_path, monkeypatch, TQDMProgressBar(), ScheduleProgress()).screens())
    validating = [row for rows in screens for row in rows if "Validation" in row]
    assert validating
    assert not [row for row in validating if "phase" in row]


class Breaks(Told):
    """Fails after some batches."""

    def training_step(self, batch: Tensor, batch_idx: int) -> Any:
        if batch_idx == 5:
            raise RuntimeError("broken")
        return super().training_step(batch, batch_idx)


def test_an_exception_is_told_below_the_bar_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(80) as screen, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", screen.file)
        callbacks = (LearningRateScheduler(SGDR("8 steps")), TQDMProgressBar(), ScheduleProgress())
        with pytest.raises(RuntimeError, match="broken"):
            make_trainer(tmp_path, *callbacks, enable_progress_bar=True).fit(Breaks())
    screens = list(screen.screens())
    assert any("phase" in row for rows in screens for row in rows)
    assert not [row for row in screens[-1] if "phase" in row]


def test_after_a_fit_the_callback_can_be_pickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    progress = ScheduleProgress()
    assert "phase" in drawn(tmp_path, monkeypatch, TQDMProgressBar(), progress).raw
    assert isinstance(pickle.loads(pickle.dumps(progress)), ScheduleProgress)


def test_a_line_that_is_too_long_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    screens = list(drawn(tmp_path, monkeypatch, TQDMProgressBar(), ScheduleProgress(), width=30).screens())
    told = {row for rows in screens for row in rows if row.startswith("lr=")}
    assert told
    assert all(len(row) < 30 for row in told)
    assert not [row for rows in screens for row in rows if row.startswith(("cycle", "phase"))]


@pytest.mark.parametrize("bar", bars())
def test_a_bar_that_is_switched_off_stays_off(
    bar: ProgressBar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bar.disable()
    assert "phase" not in drawn(tmp_path, monkeypatch, bar, ScheduleProgress()).raw
