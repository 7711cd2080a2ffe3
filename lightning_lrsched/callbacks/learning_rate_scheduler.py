"""LearningRateScheduler: attaches a plan to the optimizers of any LightningModule and steps it right."""

import math
from typing import Any

import lightning.pytorch as pl
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities.types import LRSchedulerConfig
from lightning_utilities.core.rank_zero import rank_zero_info, rank_zero_warn
from torch.optim import Optimizer

from lightning_lrsched.callbacks.epoch_watch import EpochWatch
from lightning_lrsched.callbacks.plateau_feed import PlateauFeed
from lightning_lrsched.callbacks.printed_plan import printed_plan, told_hold
from lightning_lrsched.callbacks.recipe import Recipe, default_of
from lightning_lrsched.callbacks.stepping import measure
from lightning_lrsched.callbacks.trainer_access import (
    averaging_goes_on,
    is_smoke_test,
    replace_config,
    run_facts,
    scheduler_configs,
    trains_nothing,
)
from lightning_lrsched.checks import check_choice
from lightning_lrsched.describe import differences
from lightning_lrsched.driven import DrivenScheduler
from lightning_lrsched.plan import Plan
from lightning_lrsched.room import Main, Schedule
from lightning_lrsched.scheduler import MARK, PlannedScheduler, RealStepScheduler
from lightning_lrsched.schedules import Constant
from lightning_lrsched.timeline import Timeline
from lightning_lrsched.torch_schedules import Driven
from lightning_lrsched.tracks import Track, separate_tensors
from lightning_lrsched.units import RunLength
from lightning_lrsched.warmup import Cooldown, Warmup

_HORIZONS = ("rescale", "keep", "error")


class LearningRateScheduler(Callback):
    """Schedules the lr of every optimizer that the module's ``configure_optimizers`` returns.

    The lr given to the optimizer is the peak (base lr). Only real steps count: batches under accumulation, or updates
    that a GradScaler skipped, are none. The lr that real step t uses is ``timeline.lr(t, base_lr)``.

    Args:
        main: the main schedule: a planned one (`Cosine`, `SGDR`, ...), a `Plan`, or one that torch drives
            (`TorchScheduler`, `Plateau`). With None, a scheduler that the module returns gets the warmup in front.
        warmup: growth before it: a `Warmup`, or its duration (``500`` or ``"500 steps"``, ``"5ep"``, ``"5%"``).
        cooldown: fall at the end of the run: a `Cooldown`, or its duration.
        update: ``"step"`` to change the lr with every real step, ``"epoch"`` for a staircase that changes only
            between epochs.
        groups: what some parameter groups follow instead, by name or index: a schedule (with the same warmup and
            cooldown), a `Plan`, or None to leave the group alone. A group can be added later, as by an unfreezing
            callback: ``optimizer.add_param_group({"params": ..., "lr": ..., "name": "backbone"})``.
        total_steps: optimizer steps of the run, where the Trainer cannot know or the plan is meant for a longer one.
        steps_per_epoch: optimizer steps of an epoch, where the Trainer cannot know.
        on_horizon_change: what a resume does when the run has another length than the one it was planned for:
            ``"rescale"`` plans for the new length and goes on from the same step, ``"keep"`` keeps the old plan and
            holds its last value, ``"error"`` refuses. A plan that was changed is told and used from the same step on,
            and ``"error"`` refuses that too.

    Raises:
        ValueError: when constructed, if a value is refused, with a valid example.
        MisconfigurationException: before training, if the plan does not fit the run or meets another scheduler.

    Example::

        trainer = L.Trainer(max_epochs=70, callbacks=[LearningRateScheduler(SGDR("10ep", T_mult=2), warmup="5%")])
    """

    def __init__(
        self,
        main: Main | Plan | None = None,
        *,
        warmup: Warmup | int | float | str | None = None,
        cooldown: Cooldown | int | float | str | None = None,
        update: str = "step",
        groups: dict[str | int, Schedule | Plan | None] | None = None,
        total_steps: int | None = None,
        steps_per_epoch: int | None = None,
        on_horizon_change: str = "rescale",
    ) -> None:
        """Check everything that does not need the run."""
        self.recipe = Recipe(main, warmup, cooldown, update, groups)
        check_choice("on_horizon_change", on_horizon_change, _HORIZONS, "on_horizon_change='rescale'")
        RunLength(total_steps, steps_per_epoch)
        self.total_steps = total_steps
        self.steps_per_epoch = steps_per_epoch
        self.on_horizon_change = on_horizon_change
        self.run = RunLength()
        self.schedulers: list[RealStepScheduler] = []
        self._left_off: tuple[int, list[dict[str, Any]]] = (0, [])
        self._end = math.inf
        self._watch = EpochWatch()
        self._plateaus = PlateauFeed(by_module=not isinstance(main, Driven))

    @property
    def plan(self) -> Plan:
        """What was asked for; a constant plan where a torch scheduler drives the lr."""
        return self.recipe.plan

    @property
    def timeline(self) -> Timeline | None:
        """The resolved plan of the present fit; None before it, or where a scheduler of the module is wrapped."""
        planned = [scheduler for scheduler in self.schedulers if isinstance(scheduler, PlannedScheduler)]
        return planned[0].timeline if planned else None

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Attach one scheduler to each optimizer, before their states are restored from a checkpoint."""
        self.schedulers = []
        if trains_nothing(trainer):
            return
        if averaging_goes_on(trainer):
            rank_zero_warn(
                "The checkpoint lies inside the phase of StochasticWeightAveraging, which goes on with a scheduler of "
                "its own: LearningRateScheduler leaves the lr to it."
            )
            return
        configs = scheduler_configs(trainer)
        if any(isinstance(config.scheduler, RealStepScheduler) for config in configs):
            raise MisconfigurationException(
                "two LearningRateScheduler callbacks are in the Trainer, and one optimizer can follow only one plan. "
                "Keep one, for example LearningRateScheduler(SGDR('10ep', T_mult=2), warmup='5%')"
            )
        groups = [group for optimizer in trainer.optimizers for group in optimizer.param_groups]
        if not any(group.get("initial_lr", group.get("lr")) for group in groups):
            raise MisconfigurationException(
                "LearningRateScheduler found no optimizer with an lr above 0. Return one from configure_optimizers, "
                "for example torch.optim.SGD(self.parameters(), lr=0.1): its lr is the peak of the schedule"
            )
        facts = run_facts(trainer)
        if facts.batches == 0:
            return
        self.run = measure(facts, self.total_steps, self.steps_per_epoch)
        for optimizer in trainer.optimizers:
            self._attach(trainer, optimizer)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Measure the run again (a finder may have changed it), write the first lr and start to count."""
        if not self.schedulers:
            return
        run = measure(run_facts(trainer), self.total_steps, self.steps_per_epoch)
        if run != self.run:
            self.run = run
            for scheduler in self.schedulers:
                if isinstance(scheduler, PlannedScheduler):
                    scheduler.replan(self._tracks(trainer, run), self.recipe.describe(run))
        separate_tensors([group for optimizer in trainer.optimizers for group in optimizer.param_groups])
        for index, scheduler in enumerate(self.schedulers):
            first = self._first_step(trainer, index)
            try:
                scheduler.arm(first)
            except ValueError as refused:
                raise MisconfigurationException(str(refused)) from None
            rank_zero_info(printed_plan(scheduler, self.recipe, run))
            monitor = self.recipe.main.monitor if isinstance(self.recipe.main, Driven) else None
            self._watch.plan_begins(trainer, told_hold(scheduler, self.recipe, run), monitor)
        self._end = (self.timeline and self.timeline.total) or math.inf
        self._plateaus.fit_begins(trainer, self.schedulers)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Look at what others did at the start of the epoch and after its first step; tell a plan that has ended."""
        if batch_idx == 0:
            self._watch.epoch_begins(trainer, self.schedulers)
        elif batch_idx == trainer.accumulate_grad_batches:
            self._watch.first_step_made(self.schedulers)
        if self.schedulers and self.schedulers[0].real_steps > self._end:
            self._watch.plan_is_over(self.schedulers[0], int(self._end))

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Feed a plateau with its metric, before any checkpoint of this validation is saved.

        Raises:
            MisconfigurationException: if the metric of a `Plateau` is not logged in validation.
        """
        if trainer.sanity_checking:
            return
        for scheduler in self.schedulers:
            self._plateaus.validation_ends(trainer, scheduler)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Do what belongs to the end of an epoch and has not been done: feed a plateau of the module, or advance.

        Raises:
            MisconfigurationException: if the metric of the module's plateau is not logged, and that is not allowed.
        """
        if not self.schedulers:
            return
        if self.schedulers[0].real_steps > self._end:
            self._watch.plan_is_over(self.schedulers[0], int(self._end))
        self._watch.epoch_ends(trainer, self.schedulers, self.run, self._remade)
        for scheduler in self.schedulers:
            self._plateaus.epoch_ends(trainer, scheduler)
            if isinstance(scheduler, DrivenScheduler) and scheduler.advances == "epoch" and scheduler.by_callback:
                scheduler.advance()

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Note in the state of a plateau what it has not been fed with yet."""
        for config, state in zip(scheduler_configs(trainer), checkpoint["lr_schedulers"], strict=False):
            self._plateaus.checkpoint_is_saved(trainer, config.scheduler, state)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Stop counting; tell of a group that was named and never came."""
        if stage == "fit":
            for scheduler in self.schedulers:
                never = [name for name in self.recipe.absent(scheduler.optimizer) if isinstance(name, str)]
                self._watch.fit_ends(never, scheduler.optimizer)
            self._disarm(trainer)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Stop counting; Lightning calls no teardown after an exception."""
        self._disarm(trainer)

    def _disarm(self, trainer: pl.Trainer) -> None:
        """Let go of the optimizers, and remember where for another fit with the same Trainer, if this one knows it."""
        self._plateaus.let_go()
        for scheduler in self.schedulers:
            scheduler.disarm()
        known = [each.state_dict() if each.started else each.restored or {} for each in self.schedulers]
        if known and all(MARK in state for state in known):
            self._left_off = (trainer.global_step, known)

    def _attach(self, trainer: pl.Trainer, optimizer: Optimizer) -> None:
        """Install one scheduler for one optimizer, in the place of the module's own if it is to be wrapped."""
        own = [config for config in scheduler_configs(trainer) if config.scheduler.optimizer is optimizer]
        names = " and ".join(type(config.scheduler).__name__ for config in own)
        if own and self.recipe.main is not None:
            raise MisconfigurationException(
                f"the main schedule is given twice: main={self.recipe.main} and {names} from configure_optimizers. "
                "Return only the optimizer from there, or keep its scheduler and give it a warmup alone: "
                "LearningRateScheduler(warmup='5%')"
            )
        if len(own) > 1:
            raise MisconfigurationException(
                f"configure_optimizers returned several schedulers for one optimizer ({names}); a warmup can be put in "
                "front of one. Chain them, for example torch.optim.lr_scheduler.SequentialLR(...), and return that"
            )
        scheduler = self._make(trainer, optimizer, own[0] if own else None)
        by_epoch = isinstance(scheduler, DrivenScheduler) and scheduler.advances == "epoch"
        if isinstance(scheduler, DrivenScheduler) and not own:
            scheduler.by_callback = not by_epoch or not trainer.lightning_module.automatic_optimization
        replace_config(trainer, own[0] if own else None, scheduler, "epoch" if by_epoch else "step")
        self.schedulers.append(scheduler)

    def _make(self, trainer: pl.Trainer, optimizer: Optimizer, own: LRSchedulerConfig | None) -> RealStepScheduler:
        """Return the scheduler of one optimizer; a smoke test with ``fast_dev_run`` is too short to be refused."""
        try:
            if own is not None or isinstance(self.recipe.main, Driven):
                return self.recipe.driven(optimizer, self.run, own)
            held = {id(each) for one in trainer.optimizers for group in one.param_groups for each in group["params"]}
            grows = any(id(each) not in held for each in trainer.lightning_module.parameters())
            return self.recipe.planned(optimizer, self.run, self._tracks(trainer, self.run), grows=grows)
        except ValueError as refused:
            if not is_smoke_test(trainer):
                raise MisconfigurationException(str(refused)) from None
            rank_zero_info(f"fast_dev_run: the lr stays at its base value, because {refused}")
            return PlannedScheduler(optimizer, Recipe(Constant(), None, None, "step", None).tracks(RunLength()), {})

    def _tracks(self, trainer: pl.Trainer, run: RunLength) -> list[Track]:
        """Resolve the plans against a run."""
        try:
            return self.recipe.tracks(run)
        except ValueError as refused:
            if not is_smoke_test(trainer):
                raise MisconfigurationException(str(refused)) from None
            rank_zero_info(f"fast_dev_run: the lr stays at its base value, because {refused}")
            return Recipe(Constant(), None, None, "step", None).tracks(RunLength())

    def _remade(self, steps_per_epoch: int | None, total_steps: int | None) -> list[Timeline]:
        """Return the timelines that the plan would have in a run of another length; none if it does not fit."""
        try:
            tracks = self.recipe.tracks(RunLength(self.total_steps or total_steps, steps_per_epoch))
        except ValueError:
            return []
        return [track.timeline for track in tracks]

    def _first_step(self, trainer: pl.Trainer, index: int) -> int:
        """Return the real step that this fit begins with: from the checkpoint, from the fit before, or from 0."""
        scheduler = self.schedulers[index]
        restored = scheduler.restored
        if restored is not None:
            same = MARK in restored and ("driven" in restored) == isinstance(scheduler, DrivenScheduler)
            bases = restored["base_lrs"] if same else scheduler.configured
            for group, base in zip(scheduler.optimizer.param_groups, bases, strict=False):
                group["initial_lr"] = base
        step = self._step_before(trainer, index)
        if isinstance(scheduler, DrivenScheduler):
            scheduler.take_over(step, trainer.current_epoch, self.run.steps_per_epoch)
        return step

    def _step_before(self, trainer: pl.Trainer, index: int) -> int:
        """Return how many real steps were made before this fit, and tell what is not as it was."""
        scheduler = self.schedulers[index]
        restored = scheduler.restored
        if restored is not None and MARK in restored:
            self._compare(trainer, scheduler, restored["description"])
            return int(restored["real_steps"])
        if trainer.global_step == 0:
            return 0
        steps, left = self._left_off
        if steps == trainer.global_step and index < len(left):
            state = left[index]
            if isinstance(scheduler, DrivenScheduler):
                scheduler.go_on_from(state)
            return int(state["real_steps"])
        step = trainer.global_step // len(self.schedulers)
        rank_zero_warn(
            "The checkpoint holds no state of LearningRateScheduler (the run was begun without it, or with another "
            f"scheduler). The plan goes on at real step {step}, as the Trainer counts it."
        )
        return step

    def _compare(self, trainer: pl.Trainer, scheduler: RealStepScheduler, before: dict[str, Any]) -> None:
        """Tell what changed since the checkpoint, and apply ``on_horizon_change``."""
        now = scheduler.description
        changed = list(differences(before["plan"], now["plan"], default=default_of))
        changed += differences(before["update"], now["update"], "update")
        if changed:
            told = "; ".join(changed)
            if self.on_horizon_change == "error":
                raise MisconfigurationException(
                    f"The plan is not the one of the checkpoint: {told}. Give the old one again, or use the new one "
                    "from here on with on_horizon_change='rescale'"
                )
            rank_zero_warn(f"The plan is not the one of the checkpoint; the new one is used from here on: {told}")
        if changed or not isinstance(scheduler, PlannedScheduler):
            return
        old_run = RunLength(before["total_steps"], before["steps_per_epoch"])
        old = self._tracks(trainer, old_run)
        if old_run == self.run or [track.timeline for track in old] == [track.timeline for track in scheduler.tracks]:
            return
        told = _told_lengths(old_run, self.run)
        if self.on_horizon_change == "error":
            raise MisconfigurationException(
                f"{told}. Allow it with on_horizon_change='rescale' (plan for the new length) or 'keep'"
            )
        if self.on_horizon_change == "keep":
            scheduler.replan(old, before)
        rank_zero_warn(f"{told}: on_horizon_change={self.on_horizon_change!r}")


def _told_lengths(old: RunLength, new: RunLength) -> str:
    """Say that a run has another length than before: another total, or epochs of other lengths."""
    unit, before, now = "steps", old.total_steps, new.total_steps
    if before == now:
        unit, before, now = "steps per epoch", old.steps_per_epoch, new.steps_per_epoch
    return f"The run was planned for {before or 'an unknown number of'} {unit} and now has {now or 'an unknown number'}"
