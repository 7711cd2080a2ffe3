"""Keeps the files of the cycles in step with what was decided: saves, removes, lists, and survives a resume."""

import uuid
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import lightning.pytorch as pl
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning_utilities.core.rank_zero import rank_zero_warn
from torch import Tensor

from lightning_lrsched.callbacks.cycles.files import LIST, CycleFolder, checkpoint_name, resolved
from lightning_lrsched.callbacks.cycles.ledger import Kept, KeptCycle, Ledger
from lightning_lrsched.callbacks.cycles.size import states_bytes, weights_bytes
from lightning_lrsched.callbacks.cycles.sources import CycleSource, Place
from lightning_lrsched.callbacks.trainer_access import weights_to_save, writes_later

_FORM = 1


class Wanted(NamedTuple):
    """How checkpoints are named and written."""

    filename: str
    auto_insert: bool
    weights_only: bool
    monitor: str | None


class Landing(NamedTuple):
    """A checkpoint that another thread is writing."""

    path: str
    replaced: list[str]
    before: dict[str, Any]


class CycleKeeper:
    """The checkpoints of one run's cycles.

    Every decision is the ledger's; here it is carried out, the same on every rank: a new file is saved whole before
    the one that it replaces is removed, and ``cycles.json`` beside the files says at any moment what they are.

    Args:
        ledger: decides.
        wanted: how checkpoints are named and written.
    """

    def __init__(self, ledger: Ledger, wanted: Wanted) -> None:
        """Begin before the first run."""
        self.ledger = ledger
        self.wanted = wanted
        self.folder = CycleFolder(".")
        self.run = ""
        self.place: Place | None = None
        self.due = False
        self.measured = False  # whether a validation of the run has logged the metric
        self.unjudged: Kept | None = None
        self._list = ""
        self._list_failed = False
        self._lost: dict[int, Kept] = {}
        self._pending: dict[str, int] = {}
        self._spared: dict[str, int] = {}
        self._landing: Landing | None = None

    @property
    def landing(self) -> bool:
        """Whether another thread is writing the latest checkpoint; known on rank zero alone."""
        return self._landing is not None and self.folder.writing

    def settle(self, folder: str) -> None:
        """Write to this folder from now on."""
        if folder != self.folder.path:
            self.folder = CycleFolder(folder)
            self._list = ""

    def begin(self) -> None:
        """Forget an earlier run."""
        self.ledger.begin()
        self.folder.leftovers.clear()
        self.run, self.place, self.due, self.unjudged, self._list = "", None, False, None, ""
        self.measured = False
        self._lost, self._pending, self._spared, self._landing = {}, {}, {}, None

    def check(self, trainer: pl.Trainer, *, restored: bool) -> None:
        """Write the list of cycles, the first of all writes, and see whether one checkpoint fits on the disk.

        Args:
            trainer: the Trainer.
            restored: whether the state of an interrupted run was taken over; else a new one may begin, with a list of
                its own.

        Raises:
            MisconfigurationException: on every rank, if the folder takes no file or the disk is too full.
        """
        if trainer.global_step == 0 and not restored:
            self.begin()
        trouble = self._trouble(trainer) if trainer.is_global_zero else None
        self.run, self._list, trouble = trainer.strategy.broadcast((self.run, self._list, trouble))
        if trouble is not None:
            raise MisconfigurationException(
                f"CycleCheckpoint cannot keep checkpoints in {self.folder.path}: {trouble}. Make room or give another "
                "folder, for example CycleCheckpoint('val_loss', dirpath='/data/checkpoints')"
            )

    def take_up(self, trainer: pl.Trainer, source: CycleSource) -> None:
        """Go on where a fit before or an interrupted run left off; a run that is new has nothing to go on with."""
        self.land(trainer)
        ledger, folder = self.ledger, self.folder
        if not ledger.begun:
            ledger.running = KeptCycle(source.last)
        place = self.place
        before = place.cycle if place is not None and place.steps == source.counter.real_steps else None
        ledger.reopen(source.last, ended=source.ended, before=before)
        content: Mapping[str, Any] = {}
        gone: set[str] = set()
        if trainer.is_global_zero:
            ledger.moved(self._here)
            found = folder.read_list(self._list)
            content = found if found.get("run") == self.run else {}
            gone = {kept.path for kept in ledger.all() if not folder.exists(kept.path)}
        ledger_state, content, gone = trainer.strategy.broadcast((ledger.state(), content, gone))
        ledger.restore(ledger_state)
        there = {folder.join(name): int(cycle) for name, cycle in content.get("files", {}).items()}
        roles = [row[role] for row in content.get("cycles", ()) for role in ("best", "end")]
        listed = {folder.join(role["file"]) for role in roles if role is not None}
        for cycle, kept in ledger.forget(gone.__contains__):
            if content and kept.path not in listed:  # the interrupted run replaced it, later than this resume begins
                self._lost[cycle] = kept
            else:
                rank_zero_warn(
                    f"The checkpoint of cycle {cycle} after step {kept.step} is gone: {kept.path}. The best of what "
                    "follows is kept instead"
                )
        mine = {kept.path for kept in ledger.all()}
        folder.leftovers = {path: cycle for path, cycle in there.items() if path not in mine}
        if trainer.is_global_zero and content:
            folder.remove_half(there)
        self.write_list(trainer)

    def keep(
        self,
        trainer: pl.Trainer,
        kept: Kept,
        weights: dict[str, Tensor] | None = None,
        *,
        best: bool = False,
        end: bool = False,
    ) -> None:
        """Keep weights as the best of the running cycle, as its end, or both; then remove what they replace.

        Args:
            trainer: the Trainer.
            kept: what is known of them; its path is settled here.
            weights: the weights, where they are not the present ones. Such a checkpoint has nothing else in it.
            best: whether they are the best so far.
            end: whether they are the end.
        """
        self.land(trainer)
        ledger, before = self.ledger, self.ledger.state()
        there = ledger.there(kept.step)
        if there is not None:
            measured = there if kept.score is None else kept
            same = replace(there, score=measured.score, metrics=measured.metrics)
            replaced = ledger.take(same, best=best, end=end)
        else:
            kept = replace(kept, path=self._free(trainer, kept))
            self._pending[kept.path] = ledger.running.cycle
            self.write_list(trainer)
            replaced = ledger.take(kept, best=best, end=end)  # first: the checkpoint holds that it is kept
            weights_only = self.wanted.weights_only or weights is not None
            with weights_to_save(trainer, weights, weights_only=weights_only):
                failure = self.folder.save(trainer, kept.path, weights_only=weights_only)
            if failure is not None:
                replaced = self._take_back(kept.path, failure, before)
            elif writes_later(trainer):
                self._landing = Landing(kept.path, replaced, before)
                return
        self._remove(trainer, replaced)

    def land(self, trainer: pl.Trainer) -> None:
        """Wait until the latest checkpoint is written, by whatever thread, then remove what it replaces."""
        landing, self._landing = self._landing, None
        if landing is not None:
            failure = self.folder.landed(trainer)
            replaced = landing.replaced if failure is None else self._take_back(landing.path, failure, landing.before)
            self._remove(trainer, replaced)

    def close(self, trainer: pl.Trainer, *, complete: bool) -> None:
        """Close the running cycle, and remove what is not needed any more."""
        self.land(trainer)
        ledger, cycle = self.ledger, self.ledger.running.cycle
        running = ledger.running
        watched = self.wanted.monitor is not None and ledger.keep != "end" and trainer.enable_validation
        if watched and running.best is None:
            rank_zero_warn(
                f"Cycle {cycle} ended without a validation that could be kept (NaN never is). Validate at least once "
                "in each cycle, for example with Trainer(check_val_every_n_epoch=1), or give validate_at_end=True"
            )
        lost = self._lost.pop(cycle, None)
        if lost is not None and ledger.better(lost.score, None if running.best is None else running.best.score):
            rank_zero_warn(
                f"Before the resume cycle {cycle} had a better checkpoint, with {self.wanted.monitor} = {lost.score:g} "
                f"after step {lost.step}; the interrupted run replaced it, and this run found none as good"
            )
        gone = ledger.close(complete=complete)
        left = [path for path, of in self.folder.leftovers.items() if of <= cycle]
        for path in left:
            del self.folder.leftovers[path]
        self._remove(trainer, [*gone, *left])

    def drop(self, trainer: pl.Trainer) -> None:
        """Remove what was kept of the running cycle."""
        self.land(trainer)
        self._remove(trainer, self.ledger.drop())

    def finish(self, trainer: pl.Trainer) -> None:
        """Remove what was spared for a resume that might have come: training has ended."""
        if self._spared:
            self._pending, self._spared = self._spared, {}
            self._sweep(trainer)

    def write_list(self, trainer: pl.Trainer) -> None:
        """Write the list of cycles, on rank zero; that it fails is told once."""
        if not trainer.is_global_zero or not self._list:
            return
        try:
            self.folder.write_list(self._list, self._content())
        except OSError as error:
            if not self._list_failed:
                rank_zero_warn(f"CycleCheckpoint could not write {self._list}: {error}. Training goes on")
            self._list_failed = True

    def state(self) -> dict[str, Any]:
        """Return everything as primitives."""
        return self.ledger.state() | {
            "run": self.run,
            "list": self._list,
            "place": None if self.place is None else list(self.place),
            "due": False,
            "measured": self.measured,
            "unjudged": None,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        self._landing, self._spared = None, {}
        self.ledger.restore(state)
        self.run, self._list = state["run"], state["list"]
        self.place = None if state["place"] is None else Place(*state["place"])
        self.due, self.measured = state["due"], state.get("measured", False)
        self.unjudged = None if state["unjudged"] is None else Kept(**state["unjudged"])

    def _take_back(self, path: str, failure: str, before: dict[str, Any]) -> list[str]:
        """Undo what a checkpoint that was not written has changed; nothing is to be removed then."""
        self.ledger.restore(before)
        rank_zero_warn(
            f"CycleCheckpoint could not save {path}: {failure}. The earlier checkpoints are whole. "
            "Training goes on, and the next checkpoint is tried again; make room for it"
        )
        return []

    def _trouble(self, trainer: pl.Trainer) -> str | None:
        """Settle the list of this run and write it; return what stands in the way of the first checkpoint."""
        folder = self.folder
        try:
            self._list = self._own_list() or folder.free(LIST, ".json")
            self.run = self.run or uuid.uuid4().hex
            if not folder.exists(self._list):
                folder.write_list(self._list, self._content())
            space = folder.space()
        except OSError as error:
            return str(error) or type(error).__name__
        weights = weights_bytes(trainer.lightning_module)
        states = 0 if self.wanted.weights_only else states_bytes(trainer.optimizers)
        if space is None or space >= weights + states:
            return None
        trouble = f"{space / 1e6:.3g} MB are free, and one has {weights / 1e6:.3g} MB of weights"
        if states:
            trouble += f" and {states / 1e6:.3g} MB of optimizer states, which save_weights_only=True leaves out"
        return trouble

    def _own_list(self) -> str:
        """Return the list of this run in the folder, which may have been moved since; nothing where there is none."""
        there = self.folder.join(Path(self._list).name) if self._list else ""
        return there if there and self.folder.read_list(there).get("run") == self.run else ""

    def _content(self) -> dict[str, Any]:
        """Return the list of cycles: files by their names, so that the folder can be moved."""
        ledger, name = self.ledger, self.folder.name_of

        def entry(kept: Kept | None) -> dict[str, Any] | None:
            if kept is None:
                return None
            # A score that is null, being no number, is told from one that is none by its place among the metrics.
            measured = {} if kept.score is None else {str(self.wanted.monitor): kept.score}
            facts = asdict(replace(kept, metrics=kept.metrics | measured))
            return {"file": name(kept.path)} | {key: value for key, value in facts.items() if key != "path"}

        running = ledger.running
        rows = [*ledger.finished, *([running] if running.files else [])]
        files = {kept.path: row.cycle for row in rows for kept in row.kept if self.folder.holds(kept.path)}
        files |= self.folder.leftovers | self._spared | self._pending
        best, recommended = ledger.best, ledger.recommended
        return {
            "lightning_lrsched": _FORM,
            "run": self.run,
            "monitor": self.wanted.monitor,
            "mode": ledger.mode,
            "best": best and name(best.path),
            "recommended": recommended and name(recommended.path),
            "cycles": [
                {
                    "cycle": row.cycle,
                    "complete": row.complete,
                    "running": row is running,
                    "best": entry(row.best),
                    "end": entry(row.end),
                }
                for row in rows
            ],
            "files": {name(path): cycle for path, cycle in files.items()},
        }

    def _free(self, trainer: pl.Trainer, kept: Kept) -> str:
        """Return the path of a new checkpoint, the same on every rank."""
        counts = {"cycle": self.ledger.running.cycle, "epoch": kept.epoch, "step": kept.step}
        metrics = {key: float(value) for key, value in trainer.callback_metrics.items()}
        stem = checkpoint_name(self.wanted.filename, counts, metrics, auto_insert=self.wanted.auto_insert)
        path = self.folder.free(stem, ".ckpt") if trainer.is_global_zero else ""
        return str(trainer.strategy.broadcast(path))

    def _here(self, path: str) -> str:
        """Return where a checkpoint is now: its folder may have been moved."""
        moved = self.folder.join(Path(path).name)
        return path if self.folder.exists(path) or not self.folder.exists(moved) else moved

    def _remove(self, trainer: pl.Trainer, paths: list[str]) -> None:
        """Remove what is not kept any more, except what is not this run's to remove, or may be asked for again.

        A run that was forked from another one begins with checkpoints in that one's folder. And a job that is
        interrupted is given the same argument again, so what it was resumed from stays until training has ended.
        """
        mine = {path: self.ledger.running.cycle for path in paths if self.folder.holds(path)}
        asked_for = None if trainer.ckpt_path is None else resolved(str(trainer.ckpt_path))
        if asked_for in mine:
            self._spared[asked_for] = mine.pop(asked_for)
        self._pending = mine
        self._sweep(trainer)

    def _sweep(self, trainer: pl.Trainer) -> None:
        """Write what is kept, then remove what is not; the list knows it until it is gone."""
        self.write_list(trainer)
        if trainer.is_global_zero:
            self.folder.remove(self._pending)
        self._pending.clear()
