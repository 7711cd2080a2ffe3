"""Kept checkpoints are whole, where they should be, and hold what was measured, whatever happens."""

import json
import logging
import os
import resource
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from fsspec.core import url_to_fs
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging, ModelCheckpoint
from lightning.pytorch.plugins.io import AsyncCheckpointIO, TorchCheckpointIO
from torch import Tensor

from lightning_lrsched import SGDR, CycleCheckpoint, LearningRateScheduler
from lightning_lrsched.ensemble import find_members
from tests.callbacks.interruptions import Stops
from tests.callbacks.models import LR, Tiny, loader, make_trainer, wavy
from tests.callbacks.test_cycle_checkpoint import NEVER_KEPT, files, kept, weight_in

ROOT = Path(__file__).parents[2]


def fit(folder: Path, checkpoint: CycleCheckpoint, *others: Callback, module: Tiny | None = None, **given: Any) -> Tiny:
    """Fit with cycles of five steps, ten steps an epoch, a validation after every second step."""
    module = module or Tiny()
    callbacks = [LearningRateScheduler(SGDR(5)), *others, checkpoint]
    make_trainer(folder, *callbacks, **({"val_check_interval": 2} | given)).fit(module)
    return module


def test_a_kill_at_any_moment_leaves_only_whole_files(tmp_path: Path) -> None:
    kills = 5
    command = [sys.executable, str(Path(__file__).with_name("cycles_killed.py")), str(tmp_path), str(kills)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, start_new_session=True, stderr=subprocess.PIPE, text=True)
    try:
        _, errors = process.communicate(timeout=150)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, errors[-3000:]
    seen = json.loads((tmp_path / "seen.json").read_text())
    assert len(seen) == kills
    assert all(row["unknown"] == [] for row in seen), "a checkpoint that the list does not know would never be removed"
    assert all(row["missing"] == [] for row in seen), "the list names no file that is not there"
    assert sum(len(row["names"]) for row in seen) > kills


class LooksFirst(TorchCheckpointIO):
    """Looks into the list before each file is written."""

    def __init__(self) -> None:
        self.unknown: list[str] = []
        self.written = 0

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        target = Path(str(path).removesuffix(".partial"))
        listed = json.loads((target.parent / "cycles.json").read_text())["files"]
        self.unknown += [] if target.name in listed else [target.name]
        self.written += 1
        super().save_checkpoint(checkpoint, path, storage_options)


def test_the_list_knows_a_file_before_it_is_written(tmp_path: Path) -> None:
    """A kill right after the file has its name must leave none that nobody would ever remove."""
    disk = LooksFirst()
    fit(tmp_path, CycleCheckpoint("val_loss"), plugins=[disk])
    assert disk.written > 8
    assert disk.unknown == []


RESUMED = pytest.mark.filterwarnings(
    "ignore:Be aware that when using `ckpt_path`",
    "ignore:Checkpoint directory .* exists and is not empty",
    "ignore:The run was planned for",
    "ignore:You're resuming from a checkpoint that ended before",
)


@RESUMED
def test_what_a_kill_left_half_written_goes_with_the_resume(tmp_path: Path) -> None:
    saver = ModelCheckpoint(tmp_path / "others", every_n_train_steps=4, save_top_k=-1)
    with pytest.raises(RuntimeError, match="power cut"):
        fit(tmp_path, CycleCheckpoint("val_loss", dirpath=tmp_path / "cycles"), saver, Stops(7))
    listed = json.loads((tmp_path / "cycles" / "cycles.json").read_text())
    listed["files"]["cycle=1-epoch=0-step=8.ckpt"] = 1
    (tmp_path / "cycles" / "cycles.json").write_text(json.dumps(listed))
    half = tmp_path / "cycles" / "cycle=1-epoch=0-step=8.ckpt.partial"
    half.write_bytes(b"half")
    checkpoint = CycleCheckpoint("val_loss", dirpath=tmp_path / "cycles")
    trainer = make_trainer(tmp_path, LearningRateScheduler(SGDR(5)), checkpoint, val_check_interval=2)
    (path,) = (tmp_path / "others").glob("*step=4*.ckpt")
    trainer.fit(Tiny(), ckpt_path=path, weights_only=True)
    assert not half.exists()
    assert files(tmp_path / "cycles") == sorted({one.path for row in checkpoint.finished_cycles for one in row.kept})


@pytest.mark.parametrize("dirpath", ["/proc/cycles", "file/below"])
def test_a_folder_that_takes_no_file_is_told_before_training(tmp_path: Path, dirpath: str) -> None:
    (tmp_path / "file").write_text("no folder")
    module = Tiny()
    with pytest.raises(MisconfigurationException, match=r"CycleCheckpoint cannot keep checkpoints in .*dirpath="):
        fit(tmp_path, CycleCheckpoint("val_loss", dirpath=tmp_path / dirpath), module=module)
    assert module.batches == 0


class Grows(Tiny):
    """Its state grows beyond what the disk takes, and shrinks again."""

    def __init__(self, big: range) -> None:
        super().__init__(score=lambda step: 1.0 / max(step, 1))
        self.big = big

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self.trainer.global_step in self.big:
            checkpoint["big"] = torch.zeros(1_000_000)


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file of this process may grow beyond a size: the system refuses the write, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("small_files")
def test_a_disk_that_is_full_is_told_and_the_earlier_files_stay_whole(tmp_path: Path) -> None:
    checkpoint = CycleCheckpoint("val_loss", keep="best")
    module = Grows(range(6, 14))  # every validation is better than the one before
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        fit(tmp_path, checkpoint, module=module)
    refused = [str(one.message) for one in told if "could not save" in str(one.message)]
    assert [text.partition("step=")[2].partition(".")[0] for text in refused] == ["6", "8", "10", "12"]
    assert all("File too large" in text and "The earlier checkpoints are whole" in text for text in refused)
    assert kept(checkpoint) == [(0, 4, True), (2, 14, True), (3, 20, True)]
    assert [weight_in(path) for path in files(tmp_path)]
    assert files(tmp_path) == sorted(checkpoint.best_model_paths)
    assert not list(tmp_path.rglob("*.partial"))


@RESUMED
def test_a_remote_folder_is_used_through_fsspec(tmp_path: Path) -> None:
    fs, _ = url_to_fs("memory://")
    checkpoint = CycleCheckpoint("val_loss", dirpath="memory://bucket/cycles")
    local = CycleCheckpoint("val_loss", dirpath=tmp_path / "local")
    fit(tmp_path, checkpoint)
    fit(tmp_path, local)
    names = [Path(path).name for path in files(tmp_path / "local")]
    assert sorted(Path(path).name for path in fs.ls("/bucket/cycles", detail=False)) == sorted([*names, "cycles.json"])
    assert len(find_members("memory://bucket/cycles")) == 4
    module = Tiny()
    trainer = make_trainer(tmp_path, checkpoint, LearningRateScheduler(SGDR(5)), val_check_interval=2, max_epochs=3)
    trainer.fit(module, ckpt_path=checkpoint.end_model_paths[1], weights_only=True)
    assert [row.cycle for row in checkpoint.finished_cycles] == list(range(6))
    fs.rm("/bucket", recursive=True)


@pytest.mark.parametrize("weights_only", [False, True])
def test_averaged_weights_that_were_validated_are_what_is_kept(tmp_path: Path, weights_only: bool) -> None:
    class Seen(Tiny):
        def __init__(self) -> None:
            super().__init__()
            self.measured: dict[int, float] = {}

        def on_validation_epoch_start(self) -> None:
            self.measured[self.trainer.global_step] = self.weight.item()

    module = Seen()
    checkpoint = CycleCheckpoint("val_loss", save_weights_only=weights_only, validate_at_end=True)
    fit(tmp_path, checkpoint, EMAWeightAveraging(decay=0.5), module=module)
    every = [one for row in checkpoint.finished_cycles for one in row.kept]
    assert [weight_in(one.path) for one in every] == [module.measured[one.step] for one in every]
    assert all(weight_in(one.path) != -LR * one.step for one in every)


class ByHand(Tiny):
    """Three optimizer steps in each batch: some cycles end inside one."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.after: list[float] = []

    def training_step(self, batch: Tensor, batch_idx: int) -> None:
        optimizer: Any = self.optimizers()
        for _ in range(3):
            optimizer.zero_grad()
            self.manual_backward((self.weight + self.bias).sum())
            optimizer.step()
            self.after.append(self.weight.item())


@pytest.mark.filterwarnings(NEVER_KEPT)
@pytest.mark.parametrize("monitor", [None, "val_loss"])
def test_the_end_of_a_cycle_inside_a_batch_is_kept(tmp_path: Path, monitor: str | None) -> None:
    module, checkpoint = ByHand(), CycleCheckpoint(monitor)
    plan = LearningRateScheduler(SGDR(4), steps_per_epoch=30, total_steps=60)
    make_trainer(tmp_path, plan, checkpoint).fit(module)
    ends = [row.end for row in checkpoint.finished_cycles if row.complete]
    assert [end.step for end in ends if end] == list(range(4, 61, 4))
    assert [weight_in(end.path) for end in ends if end] == [module.after[end.step - 1] for end in ends if end]


@pytest.mark.filterwarnings("ignore:Using ModelCheckpoint with manual", "ignore:You're resuming", "ignore:.*not empty")
def test_a_resume_counts_cycles_that_ended_inside_the_batch_before(tmp_path: Path) -> None:
    for resumed in (None, tmp_path / "step=9.ckpt"):  # it is saved before the ends of its batch are kept
        last = ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=9)
        checkpoint = CycleCheckpoint(dirpath=tmp_path / "cycles", every=1)
        make_trainer(tmp_path, last, checkpoint, max_epochs=1).fit(ByHand(), loader(5), ckpt_path=resumed)
        ends = [(row.cycle, row.end and row.end.step) for row in checkpoint.finished_cycles]
        assert ends[-7:] == [(step - 1, step) for step in range(9, 16)]


def test_names_follow_the_template(tmp_path: Path) -> None:
    checkpoint = CycleCheckpoint("val_loss", keep="best", filename="{cycle:02d}-{val_loss:.2f}")
    fit(tmp_path, checkpoint, module=Tiny(score=lambda step: step / 100))
    assert [Path(path).name for path in checkpoint.best_model_paths] == [
        "cycle=00-val_loss=0.02.ckpt",
        "cycle=01-val_loss=0.06.ckpt",
        "cycle=02-val_loss=0.12.ckpt",
        "cycle=03-val_loss=0.16.ckpt",
    ]
    plain = CycleCheckpoint("val_loss", filename="c{cycle}", auto_insert_metric_name=False, dirpath=tmp_path / "plain")
    fit(tmp_path, plain, module=Tiny(score=lambda step: step / 100), max_epochs=1)
    assert [Path(path).name for path in files(tmp_path / "plain")] == ["c0-v1.ckpt", "c0.ckpt", "c1-v1.ckpt", "c1.ckpt"]


def test_only_the_best_cycles_are_kept(tmp_path: Path) -> None:
    checkpoint = CycleCheckpoint("val_loss", save_top_k=2)
    fit(tmp_path, checkpoint, module=Tiny(score=lambda step: abs(step - 9) / 10), max_epochs=3)
    assert [row.cycle for row in checkpoint.finished_cycles] == [1, 2]
    assert files(tmp_path) == sorted(one.path for row in checkpoint.finished_cycles for one in row.kept)
    latest = CycleCheckpoint(save_top_k=1, dirpath=tmp_path / "latest")
    fit(tmp_path, latest)
    assert [row.cycle for row in latest.finished_cycles] == [3]


def test_a_cut_cycle_is_left_out_on_demand_and_never_recommended(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for save_partial, cycles in ((True, [0, 1, 2]), (False, [0, 1])):
        checkpoint = CycleCheckpoint("val_loss", save_partial=save_partial, dirpath=tmp_path / str(save_partial))
        module = Tiny(score=lambda step: -step)
        plan = LearningRateScheduler(SGDR("4ep", T_mult=2))
        with caplog.at_level(logging.INFO):
            make_trainer(tmp_path, plan, checkpoint, max_epochs=15).fit(module, loader(2))
        assert [row.cycle for row in checkpoint.finished_cycles] == cycles
        assert checkpoint.recommended is not None
        assert checkpoint.recommended.step == 24
        assert files(tmp_path / str(save_partial)) == sorted(
            one.path for row in checkpoint.finished_cycles for one in row.kept
        )
    assert "cuts cycle 2 short. Budgets that end with a cycle: max_epochs = 4, 12, 28" in caplog.text


def test_a_last_cycle_that_is_complete_is_no_partial_one(tmp_path: Path) -> None:
    checkpoint = CycleCheckpoint("val_loss", save_partial=False)
    fit(tmp_path, checkpoint)
    assert [(row.cycle, row.complete) for row in checkpoint.finished_cycles] == [(cycle, True) for cycle in range(4)]


@pytest.mark.parametrize("given", [{}, {"max_steps": 15}], ids=["at an epoch's end", "inside an epoch"])
def test_a_cut_cycle_says_the_epoch_of_its_last_batch(tmp_path: Path, given: dict[str, Any]) -> None:
    checkpoint = CycleCheckpoint("val_loss", every=6)
    fit(tmp_path, checkpoint, **given)
    end = checkpoint.finished_cycles[-1].end
    assert end is not None
    assert (end.step, end.epoch, Path(end.path).name.split("-")[1]) == (given.get("max_steps", 20), 1, "epoch=1")


class Ends(Callback):
    """Ends the fit after a step, as a Timer does."""

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        trainer.should_stop = trainer.global_step >= 4


def test_before_the_first_restart_nothing_is_recommended(tmp_path: Path) -> None:
    checkpoint = CycleCheckpoint("val_loss")
    fit(tmp_path, checkpoint, Ends(), min_epochs=0)
    assert kept(checkpoint) == [(0, 4, False)]
    assert (checkpoint.recommended, checkpoint.recommended_model_path) == (None, "")
    assert checkpoint.best_model_path


def test_a_cadence_that_misses_the_ends_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        fit(tmp_path, CycleCheckpoint("val_loss"))
    assert "no validation measures the weights at 2 cycle ends (after steps 5, 15)" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.INFO):
        fit(tmp_path, CycleCheckpoint("val_loss", dirpath=tmp_path / "a"), val_check_interval=5)
        fit(tmp_path, CycleCheckpoint("val_loss", dirpath=tmp_path / "b", validate_at_end=True))
    assert "no validation measures" not in caplog.text


def test_a_fit_that_never_validates_is_told_once(tmp_path: Path) -> None:
    checkpoint = CycleCheckpoint("val_loss", validate_at_end=True)
    with pytest.warns(UserWarning, match=r"this fit does not validate, so val_loss is never measured") as told:
        fit(tmp_path, checkpoint, limit_val_batches=0, val_check_interval=1.0)
    assert len([one for one in told if "Cycle" in str(one.message)]) == 1
    assert [row.end.step for row in checkpoint.finished_cycles if row.end] == [5, 10, 15, 20]


@pytest.mark.parametrize("accumulate", [1, 3])
def test_one_validation_is_forced_at_each_end_and_the_cadence_is_put_back(tmp_path: Path, accumulate: int) -> None:
    settings: dict[str, Any] = {"accumulate_grad_batches": accumulate, "check_val_every_n_epoch": 3, "max_epochs": 5}
    checkpoint = CycleCheckpoint("val_loss", validate_at_end=True)
    module = fit(tmp_path, checkpoint, val_check_interval=1.0, **settings)
    per_epoch = -(-10 // accumulate)
    ends, regular = list(range(5, 5 * per_epoch + 1, 5)), [3 * per_epoch]
    assert [step for step, _ in module.scores] == sorted({*ends, *regular})
    done = [row.end for row in checkpoint.finished_cycles if row.end and row.complete]
    assert [end.step for end in done if end.score is not None] == ends


def test_training_stops_after_cycles_without_improvement(tmp_path: Path) -> None:
    checkpoint = CycleCheckpoint("val_loss", validate_at_end=True, patience=2)
    module = fit(tmp_path, checkpoint, module=Tiny(score=lambda step: abs(step - 8)), max_epochs=10)
    assert kept(checkpoint) == [(0, 5, True), (1, 8, True), (2, 12, True), (3, 16, True)]
    assert module.batches == 20


@RESUMED
@pytest.mark.parametrize("first", [True, False])
def test_a_file_of_a_model_checkpoint_holds_what_is_still_to_be_judged(tmp_path: Path, first: bool) -> None:
    def run(name: str, *others: Callback, **given: Any) -> tuple[CycleCheckpoint, ModelCheckpoint]:
        mine = CycleCheckpoint("val_loss", dirpath=tmp_path / name)
        other = ModelCheckpoint(tmp_path / f"{name}-others", monitor="val_loss", save_top_k=-1)
        order = [other, mine] if first else [mine, other]
        callbacks = [LearningRateScheduler(SGDR(8)), *order, *others]
        module = Tiny(score=lambda step: -1.0 if step == 9 else wavy(step))  # the best of its cycle, by far
        make_trainer(tmp_path, *callbacks, val_check_interval=3).fit(module, **given)
        return mine, other

    whole, others = run("whole")
    saved = [path for path in others.best_k_models if "step=9" in path]
    assert saved
    resumed, _ = run("whole", ckpt_path=saved[0], weights_only=True)
    assert kept(resumed) == kept(whole)
    assert files(tmp_path / "whole") == sorted(one.path for row in resumed.finished_cycles for one in row.kept)


def test_checkpoints_that_are_written_later_are_whole_at_the_end(tmp_path: Path) -> None:
    checkpoint = CycleCheckpoint("val_loss")
    fit(tmp_path, checkpoint, plugins=[AsyncCheckpointIO()])
    assert all(isinstance(weight_in(path), float) for path in checkpoint.end_model_paths)


def test_two_of_them_live_side_by_side(tmp_path: Path) -> None:
    lowest, highest = CycleCheckpoint("val_loss", keep="best"), CycleCheckpoint("val_loss", "max", keep="best")
    callbacks = [LearningRateScheduler(SGDR(5)), lowest, highest]
    make_trainer(tmp_path, *callbacks, val_check_interval=2).fit(Tiny(score=float))
    assert [step for _, step, _ in kept(lowest)] == [2, 6, 12, 16]
    assert [step for _, step, _ in kept(highest)] == [4, 10, 14, 20]
    assert files(tmp_path) == sorted(lowest.best_model_paths + highest.best_model_paths)
    assert {path.name for path in tmp_path.rglob("*.json")} == {"cycles.json", "cycles-v1.json"}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"filename": "a/b"}, r"filename = 'a/b' .*\{cycle\}"),
        ({"filename": "{cycle:.3q}"}, r"filename = "),
        ({"filename": "{}"}, r"filename = '\{\}'"),
        ({"filename": "{cycle!r}"}, r"filename = "),
        ({"filename": "{{cycle}}-{step}"}, r"filename = "),
        ({"keep": "all"}, r"keep = 'all' .*keep='both'"),
        ({"save_top_k": 0}, r"save_top_k = 0 .*save_top_k=3"),
        ({"patience": 0}, r"patience = 0 .*patience=3"),
        ({"every": 1.5}, r"CycleCheckpoint\.every = 1\.5"),
        ({"monitor": None, "validate_at_end": True}, r"monitor = None .*monitor='val_loss'"),
    ],
)
def test_what_cannot_be_meant_is_refused(given: dict[str, Any], told: str) -> None:
    make: Callable[..., CycleCheckpoint] = CycleCheckpoint
    with pytest.raises(ValueError, match=told):
        make(**({"monitor": "val_loss"} | given))
