"""The files of kept cycles: where they go, what they are called, how they are written whole, and their list."""

import json
import math
import os
import posixpath
import re
import shutil
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from string import Formatter
from typing import Any

import lightning.pytorch as pl
import torch
from fsspec.core import url_to_fs
from lightning_utilities.core.rank_zero import rank_zero_warn

from lightning_lrsched.callbacks.trainer_access import save_then
from lightning_lrsched.checks import refusal

LIST = "cycles"
"""Name of the list of a run's cycles, ``cycles.json``; that of a second run in the folder is ``cycles-v1.json``."""
_PARTIAL = ".partial"
_FIELD = re.compile(r"\{([^{}:]+)(:[^{}]*)?\}")
_COUNTS = ("cycle", "epoch", "step")


class CycleFolder:
    """The folder of one run's checkpoints, local or remote, the same on every rank. Only rank zero writes.

    A local file is written under another name first and then renamed, so that no half file ever has a final name.

    Args:
        path: the folder, or its URL.
        leftovers: checkpoints that an interrupted run left after the point it was resumed from, with their cycle: they
            may be overwritten, and go when their cycle is over.
    """

    def __init__(self, path: str, leftovers: Mapping[str, int] | None = None) -> None:
        """Find the filesystem."""
        self.path = path
        self.leftovers = dict(leftovers or {})
        self._fs, _ = url_to_fs(path)
        self._writing: Future[None] | None = None
        self.local = "file" in _protocols(self._fs)

    def join(self, name: str) -> str:
        """Return the path of a file in the folder; of one that lies elsewhere, as `name_of` has named it."""
        if "://" in name:
            return name
        return os.path.normpath(os.path.join(self.path, name)) if self.local else posixpath.join(self.path, name)

    def holds(self, path: str) -> bool:
        """Return whether a checkpoint lies here; those that a run was forked from lie in another folder."""
        return self.join(posixpath.basename(path.replace(os.sep, "/"))) == path

    def name_of(self, path: str) -> str:
        """Return a path relative to the folder; whole, if it lies in another one and either is no local path."""
        if not self.holds(path) and ("://" in path or not self.local):
            return path
        return posixpath.relpath(path.replace(os.sep, "/"), self.path.replace(os.sep, "/"))

    def exists(self, path: str) -> bool:
        """Return whether there is a file, on whatever filesystem."""
        fs, name = url_to_fs(path)
        return bool(fs.exists(name))

    def free(self, stem: str, suffix: str) -> str:
        """Return a path that no file has yet: ``-v1``, ``-v2``, ... is put behind the name. Call it on rank zero."""
        path, version = self.join(stem + suffix), 0
        while self.exists(path) and path not in self.leftovers:
            version += 1
            path = self.join(f"{stem}-v{version}{suffix}")
        self.remove_half([path])
        return path

    def space(self) -> int | None:
        """Return the free bytes of a local disk."""
        return shutil.disk_usage(self.path).free if self.local else None

    def write_list(self, path: str, content: Mapping[str, Any]) -> None:
        """Write the list of cycles, whole or not at all; null stands for NaN and infinity, which JSON does not have.

        Raises:
            OSError: if the folder takes no file.
        """
        text = json.dumps(_finite(content), indent=1, allow_nan=False)
        self._fs.makedirs(posixpath.dirname(path) if not self.local else os.path.dirname(path), exist_ok=True)
        if not self.local:
            self._fs.pipe_file(path, text.encode())
            return
        with open(path + _PARTIAL, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(path + _PARTIAL, path)

    def read_list(self, path: str) -> dict[str, Any]:
        """Return a list of cycles; empty if there is none, or if it is not one."""
        try:
            content = json.loads(self._fs.cat_file(path))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def save(self, trainer: pl.Trainer, path: str, *, weights_only: bool) -> str | None:
        """Save a checkpoint on all ranks, whole or not at all, and return what went wrong, the same on every rank.

        A disk that is full must not end the training: the earlier files stay, and the next one may fit. Where another
        thread writes the file, `landed` says what went wrong there.
        """
        under = path + _PARTIAL if self.local else path
        saved, failure = False, None

        def publish() -> None:
            nonlocal saved
            saved = True
            if under != path:
                _publish(under, path)

        try:
            self._writing = save_then(trainer, under, publish, weights_only=weights_only)
        except BaseException as error:
            failure, of_all = _refused_write(error)
            if failure is None or not (trainer.is_global_zero or of_all):
                raise
            if trainer.is_global_zero:
                self.remove([under] if under != path else [])
            if not (saved or of_all):
                trainer.strategy.barrier("Trainer.save_checkpoint")  # where the other ranks wait
        self.leftovers.pop(path, None)
        return trainer.strategy.broadcast(failure)

    @property
    def writing(self) -> bool:
        """Whether another thread is writing the latest checkpoint; asked on rank zero."""
        return self._writing is not None and not self._writing.done()

    def landed(self, trainer: pl.Trainer) -> str | None:
        """Wait until the latest checkpoint is written and return what went wrong, the same on every rank."""
        writing, self._writing = self._writing, None
        error = None if writing is None else writing.exception()
        return trainer.strategy.broadcast(None if error is None else str(error) or type(error).__name__)

    def remove(self, paths: Iterable[str]) -> None:
        """Remove checkpoints, on rank zero; what cannot be removed is told."""
        for path in paths:
            try:
                if self.exists(path):
                    self._fs.rm(path, recursive=True)
            except OSError as error:
                rank_zero_warn(f"CycleCheckpoint could not remove a checkpoint that was replaced: {error}")

    def remove_half(self, paths: Iterable[str]) -> None:
        """Remove what a killed run left half written of these."""
        self.remove(path + _PARTIAL for path in paths if self.local)


def resolved(dirpath: str) -> str:
    """Return a folder as ModelCheckpoint does: a local one in full, with ``~`` and links followed; others as given."""
    fs, _ = url_to_fs(dirpath)
    return os.path.realpath(os.path.expanduser(dirpath)) if "file" in _protocols(fs) else dirpath


def default_folder(trainer: pl.Trainer) -> str:
    """Return the folder that Lightning's own checkpoints would go to."""
    if not trainer.loggers:
        return os.path.join(trainer.default_root_dir, "checkpoints")
    logger = trainer.loggers[0]
    version = logger.version if isinstance(logger.version, str) else f"version_{logger.version}"
    return os.path.join(logger.save_dir or trainer.default_root_dir, str(logger.name), version, "checkpoints")


def check_filename(filename: object) -> None:
    """Refuse a template of names that cannot be used."""
    allowed = "a template of file names without folder and ending, with cycle, epoch, step or metrics in braces"
    example = "filename='{cycle}-{step}-{val_loss:.3f}'"
    if not isinstance(filename, str) or not filename or "/" in _FIELD.sub("", filename):
        raise refusal("CycleCheckpoint.filename", filename, allowed, example)
    try:
        parts = list(Formatter().parse(filename))
        checkpoint_name(filename, dict.fromkeys(_COUNTS, 1), {}, auto_insert=False)
    except (ValueError, KeyError, IndexError):
        raise refusal("CycleCheckpoint.filename", filename, allowed, example) from None
    # What is no field would be taken for the name of a metric: {}, {cycle!r}, {{cycle}}.
    if any(name == "" or conversion or {"{", "}"} & set(text) for text, name, _, conversion in parts):
        raise refusal("CycleCheckpoint.filename", filename, allowed, example)


def checkpoint_name(
    filename: str, counts: Mapping[str, int], metrics: Mapping[str, float], *, auto_insert: bool
) -> str:
    """Return the name of a checkpoint, without its ending.

    >>> checkpoint_name("{cycle}-{val/loss:.2f}", {"cycle": 1}, {"val/loss": 0.25}, auto_insert=True)
    'cycle=1-val_loss=0.25'

    Args:
        filename: the template.
        counts: cycle, epoch and step.
        metrics: what is logged; a metric that is not counts as NaN.
        auto_insert: put ``name=`` in front of each value.
    """

    def put(found: re.Match[str]) -> str:
        name = found[1]
        value = format(
            counts[name] if name in counts else float(metrics.get(name, float("nan"))), (found[2] or ":")[1:]
        )
        return f"{name.replace('/', '_')}={value}" if auto_insert else value

    return _FIELD.sub(put, filename)


def _finite(value: Any) -> Any:
    """Return content with None for each number that is none."""
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _publish(under: str, path: str) -> None:
    """Give a checkpoint its final name when all of it is on the disk; a sharded one is a folder."""
    sharded = os.path.isdir(under)
    for name in [entry.path for entry in os.scandir(under)] if sharded else [under]:
        with open(name, "r+b") as file:  # Windows syncs no file that is open for reading alone
            os.fsync(file.fileno())
    if os.path.isdir(path):
        shutil.rmtree(path)
    elif sharded and os.path.exists(path):
        os.remove(path)
    os.replace(under, path)


def _refused_write(error: BaseException) -> tuple[str | None, bool]:
    """Return what a disk refused, None if that is not it, and whether every rank knows: shards are written by all."""
    if not torch.distributed.is_available():
        return _refusal(error), False
    from torch.distributed.checkpoint.api import CheckpointException

    if not isinstance(error, CheckpointException):
        return _refusal(error), False
    return next((told for failure, _ in error.failures.values() if (told := _refusal(failure))), None), True


def _refusal(error: BaseException) -> str | None:
    """Return what a disk refused; torch's own writer tells it by an error of its source file, ``inline_container``."""
    if isinstance(error, RuntimeError) and "inline_container" in str(error):
        return "torch could not write all of it, the disk is probably full"
    return (str(error) or type(error).__name__) if isinstance(error, OSError) else None


def _protocols(fs: Any) -> tuple[str, ...]:
    """Return the names of a filesystem."""
    return (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)
