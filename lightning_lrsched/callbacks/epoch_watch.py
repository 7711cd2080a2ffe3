"""Looks at each epoch for what happens against the plan, and tells each kind once."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import lightning.pytorch as pl
import numpy as np
from lightning_utilities.core.rank_zero import rank_zero_warn
from torch.optim import Optimizer

from lightning_lrsched.callbacks.stepping import measure
from lightning_lrsched.callbacks.trainer_access import (
    batches_of_epoch,
    is_smoke_test,
    never_validates,
    run_facts,
    scheduler_configs,
)
from lightning_lrsched.scheduler import PlannedScheduler, RealStepScheduler
from lightning_lrsched.timeline import Timeline
from lightning_lrsched.units import RunLength


class EpochWatch:
    """Tells of other schedulers, of lrs that were overwritten, of a plan that is over, and of another length."""

    def __init__(self) -> None:
        """Begin with nothing told."""
        self._told: set[str] = set()
        self._begun: tuple[int, list[int]] | None = None  # steps of the Trainer, and real ones of each scheduler

    def plan_begins(self, trainer: pl.Trainer, held: str | None, monitor: str | None) -> None:
        """Tell what the plan will not do in this run.

        Args:
            trainer: the Trainer.
            held: says that the plan's cycles end before the run does; None where that is not so.
            monitor: the metric that a `Plateau` waits for; None for none.
        """
        if is_smoke_test(trainer):
            return
        if held is not None and self._first_time("held"):
            rank_zero_warn(held)
        if monitor is not None and never_validates(trainer) and self._first_time("validation"):
            rank_zero_warn(
                f"Plateau: this fit does not validate, so {monitor} is never measured and the lr is never lowered. "
                "Give a validation loader and validation_step, and let the Trainer validate before the run ends, for "
                "example check_val_every_n_epoch=1. Or give a planned schedule: LearningRateScheduler(Cosine())"
            )

    def epoch_begins(self, trainer: pl.Trainer, schedulers: Sequence[RealStepScheduler]) -> None:
        """Let go of an optimizer that another callback gave a scheduler; undo what was written into a group."""
        self._begun = (trainer.global_step, [scheduler.real_steps for scheduler in schedulers])
        attached = [config.scheduler for config in scheduler_configs(trainer)]
        for scheduler in schedulers:
            if not scheduler.armed:
                continue
            if scheduler in attached:
                self._write_back(scheduler)
                self._tell_held(scheduler)
                continue
            scheduler.let_go()
            rank_zero_warn(
                "Another callback replaced the scheduler of LearningRateScheduler, which lets go of the "
                f"optimizer at real step {scheduler.real_steps} and leaves the lr to it."
            )

    def first_step_made(self, schedulers: Sequence[RealStepScheduler]) -> None:
        """Look once more after the first step of an epoch, for what is set after every step; that is not undone."""
        for scheduler in schedulers:
            stray = next(scheduler.strays(), None) if scheduler.armed else None
            if stray is not None and self._first_time("step"):
                group, (index, expected) = scheduler.optimizer.param_groups[stray[0]], stray
                name = group.get("name", index)
                rank_zero_warn(
                    f"The module or a callback set the lr of parameter group {name!r} to {float(group['lr']):g} after "
                    f"a step, and the plan says {expected:g}: the next step uses what was set. Remove what sets it, "
                    "for example the warmup of an optimizer_step, or leave the group to it: "
                    f"LearningRateScheduler(..., groups={{{name!r}: None}})"
                )

    def plan_is_over(self, scheduler: RealStepScheduler, total: int) -> None:
        """Tell that training goes on past the end of the plan, unless the lr is another scheduler's by now."""
        if scheduler.armed and self._first_time("over"):
            rank_zero_warn(
                f"The plan of LearningRateScheduler ended at step {total}, and training goes on: the last lr is held. "
                "Pass total_steps=... to plan for the whole run."
            )

    def fit_ends(self, never: Sequence[str], optimizer: Optimizer) -> None:
        """Tell of names for which no group came; a misspelt one looks like a group that is added later."""
        if never and self._first_time("groups"):
            there = ", ".join(repr(group.get("name", index)) for index, group in enumerate(optimizer.param_groups))
            rank_zero_warn(
                f"groups: no parameter group with the name {', '.join(map(repr, never))} was added in this fit; "
                f"{type(optimizer).__name__} has {there}. A group has a name when it is added with one, for example "
                "optimizer.add_param_group({'params': ..., 'lr': 0.01, 'name': 'backbone'})"
            )

    def epoch_ends(
        self,
        trainer: pl.Trainer,
        schedulers: Sequence[RealStepScheduler],
        run: RunLength,
        remade: Callable[[int | None, int | None], list[Timeline]],
    ) -> None:
        """Tell when the epoch had another length than the plan counts on, if that makes another plan.

        Args:
            trainer: the Trainer, at the end of an epoch.
            schedulers: what is attached.
            run: what the plan was resolved against.
            remade: gives the timelines for other steps per epoch and another total.
        """
        self._tell_unseen(trainer, schedulers)
        batches, accumulation = batches_of_epoch(trainer)
        facts = run_facts(trainer)
        early = facts.batches is not None and batches < facts.batches
        steps = batches // accumulation if early else -(-batches // accumulation)
        cut_short = trainer.should_stop or 0 <= trainer.max_steps <= trainer.global_step
        if facts.accumulation_changes:
            as_planned = facts.batches in (None, batches)
            counted = f"{facts.batches} batches in each epoch, {run.total_steps} steps in all"
        else:
            as_planned = run.steps_per_epoch in (None, steps)
            counted = f"{run.steps_per_epoch} steps in each epoch, {run.total_steps} in all"
        if facts.manual or cut_short or as_planned or not steps or is_smoke_test(trainer):
            return
        found = measure(replace(facts, batches=batches, ends_early=early))
        per_epoch, total = found.steps_per_epoch, found.total_steps
        planned = [scheduler for scheduler in schedulers if isinstance(scheduler, PlannedScheduler)]
        others, last = remade(per_epoch or run.steps_per_epoch, total), total or 10 * steps
        changes = any(_differ([track.timeline for track in one.tracks], others, last) for one in planned)
        if changes and self._first_time("length"):
            known = {"steps_per_epoch": per_epoch, "total_steps": total}
            given = ", ".join(f"{name}={value}" for name, value in known.items() if value is not None)
            rank_zero_warn(
                f"Epoch {trainer.current_epoch} ended after {batches} training batches ({steps} optimizer steps), and "
                f"the plan counts on {counted}. Pass what the run has, for example LearningRateScheduler(..., {given})"
            )

    def _tell_held(self, scheduler: RealStepScheduler) -> None:
        """Tell of a group that joined with an lr below the plan's floor."""
        above = scheduler.floors_above() if isinstance(scheduler, PlannedScheduler) else ()
        for floor, index, base in above:
            if self._first_time("floor"):
                name = scheduler.optimizer.param_groups[index].get("name", index)
                rank_zero_warn(
                    f"Parameter group {name!r} joined with lr {base:g}, below the plan's eta_min = {floor:g}: it keeps "
                    "its lr where the plan would raise it. For a schedule of its own, pass "
                    f"LearningRateScheduler(..., groups={{{name!r}: Cosine(eta_min_ratio=0.01)}})"
                )

    def _tell_unseen(self, trainer: pl.Trainer, schedulers: Sequence[RealStepScheduler]) -> None:
        """Tell that no step of an epoch was seen, unless a scaler may have skipped them all: the lr stands still."""
        begun, self._begun = self._begun, None
        armed = [scheduler for scheduler in schedulers if scheduler.armed]
        if begun is None or not armed or getattr(trainer.precision_plugin, "scaler", None) is not None:
            return
        made = trainer.global_step - begun[0]
        if made and begun[1] == [scheduler.real_steps for scheduler in schedulers] and self._first_time("unseen"):
            name = type(armed[0].optimizer).__name__
            rank_zero_warn(
                f"The Trainer counts {made} steps in epoch {trainer.current_epoch}, and {name} made none that is seen: "
                "the lr stands still. Either optimizer_step of the module steps something else, or nothing, or the "
                f"step of {name} was replaced by one that calls no hooks. Step what configure_optimizers returns"
            )

    def _write_back(self, scheduler: RealStepScheduler) -> None:
        """Undo what something else (BackboneFinetuning) wrote into a group at the start of the epoch."""
        groups = scheduler.optimizer.param_groups
        found = {index: float(group["lr"]) for index, group in enumerate(groups) if "initial_lr" in group}
        scheduler.write()
        wrong = [index for index, lr in found.items() if lr != float(groups[index]["lr"])]
        if wrong and self._first_time("lr"):
            first = wrong[0]
            name, expected = groups[first].get("name", first), float(groups[first]["lr"])
            rank_zero_warn(
                f"A callback or the module set the lr of parameter group {name!r} to {found[first]:g} at the start of "
                f"an epoch, and the plan says {expected:g}, which is put back now. To leave the group alone, pass "
                f"LearningRateScheduler(..., groups={{{name!r}: None}})"
            )

    def _first_time(self, what: str) -> bool:
        """Return whether something is told for the first time."""
        new = what not in self._told
        self._told.add(what)
        return new


def _differ(timelines: list[Timeline], others: list[Timeline], steps: int) -> bool:
    """Return whether two sets of timelines differ somewhere in a run, by a look at some thousand of its steps."""
    looked_at = np.unique(np.linspace(0, steps - 1, 5000).astype(int))
    pairs = zip(timelines, others, strict=False)
    same = (np.array_equal(one.levels(looked_at), other.levels(looked_at)) for one, other in pairs)
    return len(timelines) != len(others) or not all(same)
