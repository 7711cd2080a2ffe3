"""Jobs that are begun again, and runs that are forked: what they find, and what they leave alone."""

import json
import logging
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger

from lightning_lrsched import SGDR, CycleCheckpoint, LearningRateScheduler
from lightning_lrsched.callbacks.cycles import start
from lightning_lrsched.ensemble import find_members, load_member
from tests.callbacks.interruptions import SavesAt, Stops
from tests.callbacks.models import Tiny, make_trainer
from tests.callbacks.test_cycle_checkpoint import files

pytestmark = pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before the epoch")

BEST = "cycle=0-epoch=0-step=4.ckpt"


def run(folder: Path, *others: Callback, falls: bool = True, **given: Any) -> CycleCheckpoint:
    """Two cycles of eight steps and a cut one; the validations after every second step are each better, or worse."""
    settings = {name: given.pop(name) for name in ("logger", "max_epochs") if name in given}
    checkpoint = CycleCheckpoint("val_loss", dirpath=None if "logger" in settings else folder, save_top_k=1)
    callbacks = [LearningRateScheduler(SGDR(8)), checkpoint, *others]
    module = Tiny(score=lambda step: -step if falls else step)
    make_trainer(folder.parent, *callbacks, val_check_interval=2, **settings).fit(module, **given)
    return checkpoint


def listed(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "cycles.json").read_text())
    return content


def named(folder: Path) -> set[str]:
    """The files that the list of a folder names in its cycles."""
    return {row[role]["file"] for row in listed(folder)["cycles"] for role in ("best", "end") if row[role]}


def test_the_checkpoint_that_a_job_was_resumed_from_is_there_when_it_is_interrupted_again(tmp_path: Path) -> None:
    folder = tmp_path / "cycles"
    with pytest.raises(RuntimeError, match="power cut"):
        run(folder, Stops(5))
    assert [Path(path).name for path in files(folder)] == [BEST]
    for _ in range(2):  # the same command again, as a queue gives it
        with pytest.raises(RuntimeError, match="power cut"):
            run(folder, Stops(13), ckpt_path=folder / BEST, weights_only=True)
        assert (folder / BEST).exists()
        assert BEST in listed(folder)["files"]
        assert BEST not in named(folder)
    whole = run(folder, ckpt_path=folder / BEST, weights_only=True)
    assert files(folder) == sorted(one.path for row in whole.finished_cycles for one in row.kept)
    assert named(folder) == {Path(path).name for path in files(folder)}


def test_what_a_resume_has_spared_goes_with_one_from_another_checkpoint(tmp_path: Path) -> None:
    folder = tmp_path / "cycles"
    with pytest.raises(RuntimeError, match="power cut"):
        run(folder, Stops(5))
    with pytest.raises(RuntimeError, match="power cut"):
        run(folder, Stops(7), ckpt_path=folder / BEST, weights_only=True)
    (later,) = [path for path in files(folder) if Path(path).name != BEST]
    whole = run(folder, ckpt_path=later, weights_only=True)
    assert files(folder) == sorted(one.path for row in whole.finished_cycles for one in row.kept)


@pytest.mark.parametrize("begins", [0, 1], ids=["in its first cycle", "in its second"])
@pytest.mark.parametrize("falls", [True, False], ids=["better", "worse"])
def test_a_run_that_is_forked_from_another_one_removes_none_of_its_files(
    tmp_path: Path, falls: bool, begins: int
) -> None:
    with pytest.raises(RuntimeError, match="power cut"):
        run(tmp_path / "first", Stops(5 if begins == 0 else 13))
    before = {path: Path(path).read_bytes() for path in files(tmp_path / "first")}
    list_before = (tmp_path / "first" / "cycles.json").read_bytes()
    origin = next(path for path in before if f"cycle={begins}" in path)
    fork = run(tmp_path / "second", ckpt_path=origin, weights_only=True, falls=falls)
    assert {path: Path(path).read_bytes() for path in files(tmp_path / "first")} == before
    assert (tmp_path / "first" / "cycles.json").read_bytes() == list_before
    mine = [one.path for row in fork.finished_cycles for one in row.kept if "second" in one.path]
    assert files(tmp_path / "second") == sorted(mine)
    assert all((tmp_path / "second" / name).exists() for name in named(tmp_path / "second"))


def test_a_fork_that_is_resumed_removes_none_of_the_first_runs_files_either(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="power cut"):
        run(tmp_path / "first", Stops(13))
    before = files(tmp_path / "first")
    origin = next(path for path in before if "cycle=1" in path)
    with pytest.raises(RuntimeError, match="power cut"):
        run(tmp_path / "second", Stops(15), ckpt_path=origin, weights_only=True)
    assert set(listed(tmp_path / "second")["files"]) == {Path(path).name for path in files(tmp_path / "second")}
    (middle,) = files(tmp_path / "second")
    run(tmp_path / "second", ckpt_path=middle, weights_only=True)
    assert files(tmp_path / "first") == before


def test_a_fork_that_is_begun_again_goes_on_with_its_list(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="power cut"):
        run(tmp_path / "first", Stops(5))
    (origin,) = files(tmp_path / "first")
    for stop in (11, 15):
        with pytest.raises(RuntimeError, match="power cut"):
            run(tmp_path / "second", Stops(stop), ckpt_path=origin, weights_only=True)
    fork = run(tmp_path / "second", ckpt_path=origin, weights_only=True)
    assert files(tmp_path / "second") == sorted(one.path for row in fork.finished_cycles for one in row.kept)
    assert [path.name for path in (tmp_path / "second").glob("*.json")] == ["cycles.json"]


def test_a_folder_that_was_moved_keeps_its_list(tmp_path: Path) -> None:
    saved = tmp_path / "saved" / "middle.ckpt"
    with pytest.raises(RuntimeError, match="power cut"):
        run(tmp_path / "here", SavesAt(11, saved), Stops(15))
    (tmp_path / "here").rename(tmp_path / "there")
    moved = run(tmp_path / "there", ckpt_path=saved, weights_only=True)
    assert files(tmp_path / "there") == sorted(one.path for row in moved.finished_cycles for one in row.kept)
    assert [path.name for path in (tmp_path / "there").glob("*.json")] == ["cycles.json"]


@pytest.mark.filterwarnings("ignore:The number of training batches", "ignore:Experiment logs directory")
def test_a_resume_into_the_loggers_next_version_leaves_the_first_one_whole(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="power cut"):
        run(tmp_path / "unused", Stops(5), logger=CSVLogger(tmp_path, name="digits"))
    (origin,) = files(tmp_path / "digits" / "version_0")
    resumed = run(tmp_path / "unused", logger=CSVLogger(tmp_path, name="digits"), ckpt_path=origin, weights_only=True)
    assert files(tmp_path / "digits" / "version_0") == [origin]
    assert named(Path(origin).parent) == {BEST}
    assert all("version_1" in one.path for row in resumed.finished_cycles for one in row.kept)


@pytest.mark.parametrize(
    ("others", "given", "told"),
    [
        ([], {}, 1),
        ([CycleCheckpoint(every=3)], {}, 1),
        ([ModelCheckpoint(save_last=True)], {}, 0),
        ([], {"fast_dev_run": True}, 0),
    ],
    ids=["alone", "with another one", "beside a ModelCheckpoint", "a smoke test"],
)
def test_that_nothing_is_there_for_the_last_checkpoint_is_told_once_a_process(
    tmp_path: Path, others: list[Callback], given: dict[str, Any], told: int, caplog: pytest.LogCaptureFixture
) -> None:
    start.TOLD.clear()
    with caplog.at_level(logging.INFO):
        for folder in ("once", "again"):
            make_trainer(tmp_path / folder, CycleCheckpoint(every=4), *deepcopy(others), **given).fit(Tiny())
    advised = "ModelCheckpoint('checkpoints', save_last=True)"
    assert caplog.text.count(f"so ckpt_path='last' finds no file. To resume interrupted jobs, add {advised}") == told


@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
@pytest.mark.parametrize("logs", [False, True], ids=["no logger", "a logger, whose folder is another one each time"])
def test_a_job_that_is_begun_again_with_the_last_checkpoint_goes_on(
    logs: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def job(*others: Callback) -> tuple[Tiny, CycleCheckpoint]:
        checkpoint = CycleCheckpoint(every=4, dirpath=tmp_path / "cycles")
        last = ModelCheckpoint("checkpoints", save_last=True)  # as is advised
        module = Tiny()
        trainer = make_trainer(tmp_path, checkpoint, last, *others, logger=logs and CSVLogger(tmp_path))
        trainer.fit(module, ckpt_path="last", weights_only=True)
        return module, checkpoint

    with (
        pytest.warns(UserWarning, match="there is no last checkpoint available"),
        pytest.raises(RuntimeError, match="power cut"),
    ):
        job(Stops(13))
    module, checkpoint = job()
    assert module.batches == 10  # the second epoch
    assert [row.end.step for row in checkpoint.finished_cycles if row.end is not None] == [4, 8, 12, 16, 20]


@pytest.mark.filterwarnings("ignore:The run was planned")
@pytest.mark.parametrize("folders", [("here", "memory"), ("memory", "here"), ("memory", "memory")])
def test_a_run_that_is_forked_to_another_filesystem_goes_on_with_what_was_kept(
    tmp_path: Path, folders: tuple[str, str]
) -> None:
    places = {"here": str(tmp_path / "cycles"), "memory": f"memory://{tmp_path.name}"}
    before, after = (f"{places[kind]}{index}" for index, kind in enumerate(folders))

    def fit(folder: str, epochs: int, resumed: str | None = None) -> CycleCheckpoint:
        checkpoint = CycleCheckpoint("val_loss", dirpath=folder)
        trainer = make_trainer(tmp_path, LearningRateScheduler(SGDR("1ep")), checkpoint, max_epochs=epochs)
        trainer.fit(Tiny(), ckpt_path=resumed)
        return checkpoint

    first = fit(before, 2)
    second = fit(after, 3, first.end_model_paths[1])
    assert second.end_model_paths[:2] == first.end_model_paths
    assert second.end_model_paths[2].startswith(after)
    assert [one.path for one in find_members(after)] == second.end_model_paths
    assert all(load_member(one, Tiny) for one in find_members(after))
