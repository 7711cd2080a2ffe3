"""The spool's folder: where the file system has no locks, where another fit removes what is around it, whose it is."""

import errno
import fcntl
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.callbacks import Callback

from lightning_lrsched import SGDR, LearningRateScheduler, MLflowTracker
from lightning_lrsched.tracking.session import Left
from lightning_lrsched.tracking.spool import FOLDER, Spool, SpoolError, SpoolInUse
from tests.callbacks.models import Tiny, make_trainer
from tests.tracking.reading import artifacts, history, only_run
from tests.tracking.spooling import make_spool


def refused(code: int) -> Any:
    def lockf(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    return lockf


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_has_a_spool_all_the_same(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setattr(fcntl, "lockf", refused(code))
    made = make_spool(tmp_path / "spools")
    with pytest.raises(SpoolInUse, match="is in use"):
        Spool.open(made.folder)
    made.release()
    Spool.open(made.folder).release()
    monkeypatch.setattr("lightning_lrsched.tracking.mlflow_client._alone_with", Alone)
    make_trainer(tmp_path, LearningRateScheduler(SGDR(5)), MLflowTracker(uri)).fit(Tiny())
    run = only_run(uri)
    assert len(history(uri, run, "lr/SGD/0")) == 20
    assert len(artifacts(uri, run, "schedule/steps")) == 1


class Alone:
    """Needs no lock for the store."""

    def __init__(self, uri: str) -> None: ...

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


@pytest.mark.parametrize("code", [errno.EACCES, errno.EAGAIN])
def test_what_another_process_has_locked_is_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    made = make_spool(tmp_path)
    made.release()
    monkeypatch.setattr(fcntl, "lockf", refused(code))
    with pytest.raises(SpoolInUse, match="is in use"):
        Spool.open(made.folder)


def test_a_disk_that_fails_is_not_taken_for_a_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_spool(tmp_path)
    made.release()
    monkeypatch.setattr(fcntl, "lockf", refused(errno.EIO))
    with pytest.raises(SpoolError, match=r"cannot be used: .*Input/output error"):
        Spool.open(made.folder)
    with pytest.raises(OSError, match="Input/output error"):
        make_spool(tmp_path)


def test_the_end_of_another_fit_may_remove_the_folder_around_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent, mkdir, removed = tmp_path / "spools", Path.mkdir, list[Path]()

    def raced(folder: Path, *given: Any, **named: Any) -> None:
        if folder.parent == parent and not removed:
            removed.append(folder)
            shutil.rmtree(parent)
        mkdir(folder, *given, **named)

    monkeypatch.setattr(Path, "mkdir", raced)
    made = make_spool(parent)
    made.release()
    assert removed == [made.folder]


def test_a_folder_that_the_user_has_named_stays(uri: str, tmp_path: Path) -> None:
    named = tmp_path / "scratch"
    named.mkdir()
    make_trainer(tmp_path, LearningRateScheduler(SGDR(5)), MLflowTracker(uri, spool_dir=named)).fit(Tiny())
    assert list(named.iterdir()) == []
    assert only_run(uri).info.status == "FINISHED"


def test_a_spool_that_is_removed_during_a_fit_is_told(uri: str, tmp_path: Path) -> None:
    class Removes(Callback):
        def on_train_batch_end(self, trainer: Any, *_: object) -> None:
            if trainer.global_step == 5:
                shutil.rmtree(tmp_path / "lrsched_spool")

    tracker, module = MLflowTracker(uri), Tiny()
    with pytest.warns(UserWarning, match="No such file") as told:
        make_trainer(tmp_path, LearningRateScheduler(SGDR(5)), tracker, Removes()).fit(module)
    assert module.batches == 20
    assert str(told[-1].message).endswith("Somebody has removed the spool: what MLflow has not taken is lost")
    assert tracker.left == Left(None, lost=True)


def test_a_disk_that_goes_away_under_the_spool_ends_no_fit(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a share of a network does whose server is gone: what lies there has not been removed."""
    stat = Path.stat

    def stale(path: Path, **given: Any) -> os.stat_result:
        if "lrsched_spool" in path.parts:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return stat(path, **given)

    class Goes(Callback):
        def on_train_end(self, *_: object) -> None:
            monkeypatch.setattr(Path, "stat", stale)

    tracker, module = MLflowTracker(uri, flush_timeout=0.5), Tiny()
    with pytest.warns(UserWarning, match="Stale file handle") as told:
        make_trainer(tmp_path, LearningRateScheduler(SGDR(5)), tracker, Goes()).fit(module)
    monkeypatch.undo()
    assert module.batches == 20
    (spool,) = (tmp_path / "lrsched_spool").iterdir()
    assert tracker.left == Left(spool, lost=False)
    assert f"The rest is kept in {spool}. Deliver it with: lrsched replay {spool}" in str(told[-1].message)


def test_a_spool_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_spool(tmp_path)
    made.release()
    monkeypatch.setattr(os, "getuid", lambda: made.folder.stat().st_uid + 1)
    with pytest.raises(SpoolError, match="belongs to another user: only what is your own is delivered"):
        Spool.open(made.folder)
    monkeypatch.setattr(os, "getuid", lambda: 0)
    Spool.open(made.folder).release()


def test_a_spool_that_is_removed_leaves_no_folder_and_no_open_file(tmp_path: Path) -> None:
    parent, before = tmp_path / "not there" / FOLDER, len(os.listdir("/proc/self/fd"))
    made = make_spool(parent)
    assert len(os.listdir("/proc/self/fd")) > before
    made.remove()
    assert not parent.exists()
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    ("content", "told"),
    [
        pytest.param(None, "No such file", id="nothing"),
        pytest.param('{"token": "a', "Unterminated string", id="cut off"),
        pytest.param("[]", "its spool.json has no token", id="another document"),
        pytest.param('{"token": 5}', "its spool.json has no token", id="a token that is no text"),
    ],
)
def test_a_folder_that_is_no_spool_is_told(content: str | None, told: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "spool.json").write_text(content)
    with pytest.raises(SpoolError, match=rf"^{tmp_path} is no spool: .*{told}"):
        Spool.open(tmp_path)


def test_a_spool_that_went_while_it_was_opened_is_let_go_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_spool(tmp_path)
    made.release()
    found = iter([made.manifest])

    def read(folder: Path) -> dict[str, Any]:
        for manifest in found:
            return manifest
        raise SpoolError("it went")

    with monkeypatch.context() as patch:
        patch.setattr("lightning_lrsched.tracking.spool.read_manifest", read)
        with pytest.raises(SpoolError, match="it went"):
            Spool.open(made.folder)
    Spool.open(made.folder).release()
