"""Lightning's AsyncCheckpointIO writes later: nothing goes before what replaces it is on the disk."""

import json
import os
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins.io import AsyncCheckpointIO, TorchCheckpointIO
from torch import Tensor

from lightning_lrsched import SGDR, CycleCheckpoint, LearningRateScheduler
from tests.callbacks.models import Tiny, make_trainer
from tests.callbacks.test_cycle_checkpoint import files, weight_in
from tests.callbacks.test_cycle_fuzz import rows_of
from tests.callbacks.test_cycle_safety import Grows, small_files

__all__ = ["small_files"]


class SlowDisk(TorchCheckpointIO):
    """Takes its time with every file."""

    def __init__(self, seconds: float = 0.05) -> None:
        self.seconds = seconds
        self.threads: set[str] = set()

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        self.threads.add(threading.current_thread().name)
        time.sleep(self.seconds)
        super().save_checkpoint(checkpoint, path, storage_options)


class Looks(Callback):
    """Looks into the folder at every step: at each moment all that the list names is there and whole."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.most = 0
        self.least: list[int] = []

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        content = json.loads((self.folder / "cycles.json").read_text())
        there = sorted(path.name for path in self.folder.glob("*.ckpt"))
        named = {row[role]["file"] for row in content["cycles"] for role in ("best", "end") if row[role]}
        assert named <= set(there)
        assert set(there) <= set(content["files"])
        for name in there:
            weight_in(str(self.folder / name))
        self.least.append(len(there))


def fit(folder: Path, *others: Callback, module: Tiny | None = None, **given: Any) -> CycleCheckpoint:
    checkpoint = CycleCheckpoint("val_loss", dirpath=folder)
    callbacks = [LearningRateScheduler(SGDR(5)), checkpoint, *others]
    make_trainer(folder.parent, *callbacks, **({"val_check_interval": 2} | given)).fit(module or Tiny())
    return checkpoint


def test_what_is_replaced_goes_after_the_new_file_is_there(tmp_path: Path) -> None:
    at_once = fit(tmp_path / "at_once")
    disk, looks = SlowDisk(), Looks(tmp_path / "later")
    later = fit(tmp_path / "later", looks, plugins=[AsyncCheckpointIO(disk)])
    assert all(name.startswith("ThreadPoolExecutor") for name in disk.threads)
    assert rows_of(later) == rows_of(at_once)
    assert [Path(path).name for path in files(tmp_path / "later")] == [
        Path(path).name for path in files(tmp_path / "at_once")
    ]
    assert [weight_in(path) for path in files(tmp_path / "later")] == [
        weight_in(path) for path in files(tmp_path / "at_once")
    ]
    first = next(step for step, count in enumerate(looks.least) if count)
    assert all(looks.least[first:]), "a best there was is there until a better one is"
    assert not list(tmp_path.rglob("*.partial"))


def test_a_step_does_not_wait_for_the_disk(tmp_path: Path) -> None:
    """A cycle ends right before a slow write: the steps after it are taken while that goes on."""

    class Notes(Callback):
        def __init__(self) -> None:
            self.while_writing = 0

        def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
            self.while_writing += disk.busy

    class Busy(SlowDisk):
        busy = False

        def save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
            super().save_checkpoint(*args, **kwargs)
            self.busy = False

    class Later(AsyncCheckpointIO):
        def save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
            disk.busy = True  # also while the thread that writes has not begun
            super().save_checkpoint(*args, **kwargs)

    disk, notes = Busy(0.5), Notes()
    checkpoint = CycleCheckpoint(dirpath=tmp_path / "cycles", every=5)
    make_trainer(tmp_path, checkpoint, notes, plugins=[Later(disk)], limit_val_batches=0).fit(Tiny())
    assert notes.while_writing >= 5
    assert [row.end.step for row in checkpoint.finished_cycles if row.end] == [5, 10, 15, 20]


@pytest.mark.usefixtures("small_files")
def test_a_write_that_fails_later_is_told_and_the_earlier_file_stays(tmp_path: Path) -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        checkpoint = fit(tmp_path / "cycles", module=Grows(range(6, 14)), plugins=[AsyncCheckpointIO(SlowDisk(0.0))])
    refused = [str(one.message) for one in told if "could not save" in str(one.message)]
    assert [text.partition("step=")[2].partition(".")[0] for text in refused] == ["6", "8", "10", "12"]
    assert all("File too large" in text for text in refused)
    kept = [one for row in checkpoint.finished_cycles for one in row.kept]
    assert files(tmp_path / "cycles") == sorted(one.path for one in kept)
    assert [weight_in(one.path) for one in kept]
    assert not list(tmp_path.rglob("*.partial"))


class Paced(Tiny):
    """Leaves the disk time between its steps."""

    def training_step(self, batch: Tensor, batch_idx: int) -> Any:
        time.sleep(0.05)
        return super().training_step(batch, batch_idx)


@pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before the epoch")
def test_a_kill_while_a_file_is_written_leaves_the_one_before(tmp_path: Path) -> None:
    folder = tmp_path / "cycles"
    child = os.fork()
    if child == 0:

        class Dies(SlowDisk):
            def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
                if checkpoint["global_step"] == 4:
                    time.sleep(0.2)
                    Path(path).write_bytes(b"half")
                    os._exit(9)  # in the writing thread, in the middle of the file
                super().save_checkpoint(checkpoint, path, storage_options)

        try:
            fit(folder, module=Paced(score=lambda step: -step), plugins=[AsyncCheckpointIO(Dies(0.0))])
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert [Path(path).name for path in files(folder)] == ["cycle=0-epoch=0-step=2.ckpt"]
    resumed = CycleCheckpoint("val_loss", dirpath=folder)
    trainer = make_trainer(tmp_path, LearningRateScheduler(SGDR(5)), resumed, val_check_interval=2)
    trainer.fit(Tiny(score=lambda step: -step), ckpt_path=files(folder)[0], weights_only=True)
    assert files(folder) == sorted(one.path for row in resumed.finished_cycles for one in row.kept)
    assert torch.load(resumed.best_model_path, weights_only=True)["global_step"] == 20
    assert not list(folder.glob("*.partial"))
