"""What CycleCheckpoint keeps, against a replay of every validation; and across resumes and second fits."""

from pathlib import Path
from random import Random
from typing import Any

import lightning as L
import pytest
from lightning.pytorch.callbacks import Callback

from lightning_lrsched import SGDR, CycleCheckpoint, LearningRateScheduler, Timeline
from tests.callbacks.interruptions import SavesAt, Stops
from tests.callbacks.models import Tiny, loader, make_trainer
from tests.callbacks.test_cycle_checkpoint import NEVER_KEPT, files, kept, scores, weight_in


def replayed(timeline: Timeline, scores: list[tuple[int, float]], mode: str, steps: int) -> list[tuple[int, int, bool]]:
    """The choice of every cycle, by going through all validations for each of them."""
    rows = []
    for cycle in timeline.cycles():
        stop = steps if cycle.stop is None else cycle.stop
        mine = [(score if mode == "min" else -score, step) for step, score in scores if cycle.start < step <= stop]
        if mine:
            rows.append((cycle.index, min(mine)[1], cycle.complete and stop <= steps))
    return rows


def random_run(seed: int) -> tuple[SGDR, int, str, dict[str, Any]]:
    draw = Random(seed)
    settings: dict[str, Any] = {"max_epochs": draw.randint(2, 6), "accumulate_grad_batches": draw.choice([1, 1, 2, 4])}
    if draw.random() < 0.4:
        settings["check_val_every_n_epoch"] = draw.randint(1, 3)
    elif draw.random() < 0.5:
        settings["val_check_interval"] = draw.randint(1, 7)
    else:
        settings |= {"val_check_interval": draw.randint(3, 11), "check_val_every_n_epoch": None}
    main = SGDR(draw.randint(1, 5), draw.choice([1, 1.5, 2]))
    return main, draw.randint(0, 3), draw.choice(["min", "max"]), settings


@pytest.mark.filterwarnings(NEVER_KEPT)
@pytest.mark.parametrize("seed", range(30))
def test_the_choice_is_that_of_a_replay(tmp_path: Path, seed: int) -> None:
    main, warmup, mode, settings = random_run(seed)
    callback, checkpoint = (
        LearningRateScheduler(main, warmup=warmup or None),
        CycleCheckpoint("val_loss", mode, keep="best"),
    )
    module = Tiny()
    trainer = make_trainer(tmp_path, callback, checkpoint, **settings)
    trainer.fit(module, loader(7))
    assert callback.timeline is not None
    assert kept(checkpoint) == replayed(callback.timeline, module.scores, mode, trainer.global_step)
    assert files(tmp_path) == sorted(checkpoint.best_model_paths)


def legs(folder: Path, saved: int, monitor: str | None) -> tuple[CycleCheckpoint, CycleCheckpoint]:
    """An uninterrupted run, and one that was cut and resumed from an earlier checkpoint."""

    def run(name: str, *others: Callback) -> tuple[L.Trainer, CycleCheckpoint]:
        checkpoint = CycleCheckpoint(monitor, keep="best" if monitor else "both", dirpath=folder / name)
        plan = LearningRateScheduler(SGDR(7), warmup=3)
        return make_trainer(folder, plan, checkpoint, *others, max_epochs=3, val_check_interval=2), checkpoint

    trainer, whole = run("whole")
    trainer.fit(Tiny())
    path = folder / "saved" / "middle.ckpt"
    trainer, _ = run("cut", SavesAt(saved, path), Stops(saved))
    with pytest.raises(RuntimeError, match="power cut"):
        trainer.fit(Tiny())
    trainer, resumed = run("cut")
    trainer.fit(Tiny(), ckpt_path=path, weights_only=True)
    return whole, resumed


# Lightning does not repeat a validation at an epoch's end (step 10) that was still to come when the file was saved.
@pytest.mark.parametrize(
    ("monitor", "saved"), [("val_loss", n) for n in (2, 5, 9, 11, 17, 25)] + [(None, n) for n in (2, 9, 10, 11, 17, 25)]
)
def test_a_resume_makes_the_choice_of_the_uninterrupted_run(tmp_path: Path, monitor: str | None, saved: int) -> None:
    whole, resumed = legs(tmp_path, saved, monitor)
    assert kept(resumed) == kept(whole)
    assert scores(resumed) == scores(whole)
    assert [weight_in(path) for path in resumed.best_model_paths] == [
        weight_in(path) for path in whole.best_model_paths
    ]
    assert files(tmp_path / "cut") == sorted(resumed.best_model_paths)


def test_a_best_file_that_is_gone_is_told_and_never_named(tmp_path: Path) -> None:
    plan: Any = lambda: LearningRateScheduler(SGDR(10))  # noqa: E731
    path = tmp_path / "saved" / "middle.ckpt"
    first = CycleCheckpoint("val_loss", keep="best", dirpath=tmp_path / "cycles")
    module = Tiny(score=lambda step: {2: 0.1}.get(step, 0.5))
    make_trainer(tmp_path, plan(), first, SavesAt(5, path), max_epochs=1, val_check_interval=2).fit(module)
    for kept_path in first.best_model_paths:
        Path(kept_path).unlink()
    second = CycleCheckpoint("val_loss", keep="best", dirpath=tmp_path / "cycles")
    trainer = make_trainer(tmp_path, plan(), second, max_epochs=1, val_check_interval=2)
    with pytest.warns(UserWarning, match="The checkpoint of cycle 0 after step 2 is gone: .*step=2"):
        trainer.fit(module, ckpt_path=path, weights_only=True)
    assert kept(second) == [(0, 6, True)]
    assert files(tmp_path / "cycles") == second.best_model_paths


@pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before the epoch")
def test_what_a_resume_chooses_otherwise_leaves_no_file_of_the_last_cycle(tmp_path: Path) -> None:
    def run(best: int, *others: Callback, **given: Any) -> CycleCheckpoint:
        checkpoint = CycleCheckpoint("val_loss", keep="best", dirpath=tmp_path / "cycles")
        callbacks = [LearningRateScheduler(SGDR(5)), checkpoint, *others]
        module = Tiny(score=lambda step: 0.0 if step == best else 1.0)
        make_trainer(tmp_path, *callbacks, val_check_interval=2).fit(module, **given)
        return checkpoint

    path = tmp_path / "saved" / "middle.ckpt"
    with pytest.raises(RuntimeError, match="power cut"):
        run(18, SavesAt(15, path), Stops(19))
    assert any("step=18" in name for name in files(tmp_path / "cycles"))
    resumed = run(20, ckpt_path=path, weights_only=True)
    assert kept(resumed)[-1] == (3, 20, True)
    assert files(tmp_path / "cycles") == sorted(resumed.best_model_paths)


@pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before the epoch")
def test_a_folder_that_was_moved_is_gone_on_with_where_it_is(tmp_path: Path) -> None:
    def run(name: str, *others: Callback, **given: Any) -> CycleCheckpoint:
        checkpoint = CycleCheckpoint("val_loss", dirpath=tmp_path / name)
        callbacks = [LearningRateScheduler(SGDR(5)), checkpoint, *others]
        make_trainer(tmp_path, *callbacks, val_check_interval=2).fit(Tiny(), **given)
        return checkpoint

    path = tmp_path / "saved" / "middle.ckpt"
    with pytest.raises(RuntimeError, match="power cut"):
        run("here", SavesAt(13, path), Stops(14))
    (tmp_path / "here").rename(tmp_path / "there")
    resumed = run("there", ckpt_path=path, weights_only=True)
    assert [row.cycle for row in resumed.finished_cycles] == [0, 1, 2, 3]
    assert files(tmp_path / "there") == sorted(one.path for row in resumed.finished_cycles for one in row.kept)
    assert not (tmp_path / "here").exists()


@pytest.mark.parametrize("again", [False, True], ids=["a second fit", "resumed from a file saved after the first"])
def test_equal_lengths_without_a_schedule_go_on_to_be_counted(tmp_path: Path, again: bool) -> None:
    checkpoint = CycleCheckpoint(every=8, dirpath=tmp_path / "cycles")
    trainer = make_trainer(tmp_path, checkpoint, max_epochs=1)
    trainer.fit(Tiny())
    if again:
        trainer.save_checkpoint(tmp_path / "saved.ckpt")
        checkpoint = CycleCheckpoint(every=8, dirpath=tmp_path / "cycles")
        resumed = make_trainer(tmp_path, checkpoint, max_epochs=3)
        resumed.fit(Tiny(), ckpt_path=tmp_path / "saved.ckpt", weights_only=True)
    else:
        trainer.fit_loop.max_epochs = 3
        trainer.fit(Tiny())
    assert kept(checkpoint) == [(0, 8, True), (1, 16, True), (2, 24, True), (3, 30, False)]


@pytest.mark.parametrize("monitor", ["val_loss", None])
@pytest.mark.parametrize("period", [8, 10])
def test_a_second_fit_goes_on_with_the_cycle_that_the_first_left(
    tmp_path: Path, period: int, monitor: str | None
) -> None:
    whole = CycleCheckpoint(monitor, keep="best" if monitor else "both", dirpath=tmp_path / "whole")
    plan = LearningRateScheduler(SGDR(period))
    make_trainer(tmp_path, plan, whole, max_epochs=3, val_check_interval=2).fit(Tiny())
    halves = CycleCheckpoint(monitor, keep="best" if monitor else "both", dirpath=tmp_path / "halves")
    trainer = make_trainer(tmp_path, plan, halves, max_epochs=1, val_check_interval=2)
    module = Tiny()
    trainer.fit(module)
    trainer.fit_loop.max_epochs = 3
    trainer.fit(module)
    assert kept(halves) == kept(whole)
    assert files(tmp_path / "halves") == sorted(halves.best_model_paths)


@pytest.mark.filterwarnings(NEVER_KEPT)
@pytest.mark.parametrize("given", [{"save_partial": False}, {"monitor": "val_loss", "keep": "best"}])
def test_a_second_fit_goes_on_with_a_cycle_of_which_the_first_kept_nothing(
    tmp_path: Path, given: dict[str, Any]
) -> None:
    """Either the cut cycle was dropped, or no validation fell into it."""
    checkpoint = CycleCheckpoint(dirpath=tmp_path / "cycles", **given)
    plan = LearningRateScheduler(SGDR(8), total_steps=30)
    trainer = make_trainer(tmp_path, plan, checkpoint, max_epochs=1, val_check_interval=4)
    trainer.fit(Tiny(score=lambda step: -step))
    trainer.fit_loop.max_epochs = 3
    trainer.fit(Tiny(score=lambda step: -step))
    assert [(cycle, step) for cycle, step, complete in kept(checkpoint) if complete] == [
        *((0, 8), (1, 16 if "keep" not in given else 14), (2, 24))
    ]
