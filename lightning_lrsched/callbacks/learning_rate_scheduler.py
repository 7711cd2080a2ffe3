"""LearningRateScheduler: attaches a plan to the optimizers of any LightningModule and steps it right."""

from typing import Any

import lightning.pytorch as pl
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities.types import LRSchedulerConfig
from lightning_utilities.core.rank_zero import rank_zero_info, rank_zero_warn
from torch.optim import Optimizer

from lightning_lrsched.callbacks.stepping import measure
from lightning_lrsched.callbacks.trainer_access import is_smoke_test, replace_config, run_facts, scheduler_configs
from lightning_lrsched.checks import check_choice, refusal
from lightning_lrsched.describe import differences, plan_table
from lightning_lrsched.driven import DrivenScheduler
from lightning_lrsched.plan import UPDATES, Plan, describe_part
from lightning_lrsched.room import Schedule
from lightning_lrsched.scheduler import MARK, PlannedScheduler, RealStepScheduler
from lightning_lrsched.schedules import Constant
from lightning_lrsched.timeline import Timeline
from lightning_lrsched.units import Clock, RunLength
from lightning_lrsched.warmup import Cooldown, Warmup, as_warmup

_HORIZONS = ("rescale", "keep", "error")


class LearningRateScheduler(Callback):
    """Schedules the lr of every optimizer that the module's ``configure_optimizers`` returns.

    The lr given to the optimizer is the peak (base lr). Only real steps count: batches under accumulation, or updates
    that a GradScaler skipped, are none. The lr that real step t uses is ``timeline.lr(t, base_lr)``.

    Args:
        main: the main schedule. With None, a scheduler that the module already returns gets the warmup in front.
        warmup: growth before it: a `Warmup`, or its duration (``500`` or ``"500 steps"``, ``"5ep"``, ``"5%"``).
        cooldown: fall at the end of the run: a `Cooldown`, or its duration.
        update: ``"step"`` to change the lr with every real step, ``"epoch"`` for a staircase that changes only
            between epochs.
        total_steps: optimizer steps of the run, where the Trainer cannot know or the plan is meant for a longer one.
        steps_per_epoch: optimizer steps of an epoch, where the Trainer cannot know.
        on_horizon_change: what a resume does when the run has another length than the one it was planned for:
            ``"rescale"`` plans for the new length and goes on from the same step, ``"keep"`` keeps the old plan and
            holds its last value, ``"error"`` refuses.

    Raises:
        ValueError: when constructed, if a value is refused, with a valid example.
        MisconfigurationException: before training, if the plan does not fit the run or meets another scheduler.

    Example::

        trainer = L.Trainer(max_epochs=70, callbacks=[LearningRateScheduler(SGDR("10ep", T_mult=2), warmup="5%")])
    """

    def __init__(
        self,
        main: Schedule | None = None,
        *,
        warmup: Warmup | int | float | str | None = None,
        cooldown: Cooldown | int | float | str | None = None,
        update: str = "step",
        total_steps: int | None = None,
        steps_per_epoch: int | None = None,
        on_horizon_change: str = "rescale",
    ) -> None:
        """Check everything that does not need the run."""
        if main is None and warmup is None and cooldown is None:
            raise refusal(
                "LearningRateScheduler.main", None, "a schedule, or None with a warmup", "main=Cosine(), warmup='5%'"
            )
        check_choice("update", update, UPDATES, "update='step'")
        check_choice("on_horizon_change", on_horizon_change, _HORIZONS, "on_horizon_change='rescale'")
        RunLength(total_steps, steps_per_epoch)
        self.plan = Plan(Constant() if main is None else main, warmup, cooldown)
        self.main = main
        self.warmup = as_warmup(warmup)
        self.update = update
        self.total_steps = total_steps
        self.steps_per_epoch = steps_per_epoch
        self.on_horizon_change = on_horizon_change
        self.run = RunLength()
        self.schedulers: list[RealStepScheduler] = []
        self._left_off: tuple[int, list[int]] = (0, [])
        self._past_end_told = False

    @property
    def timeline(self) -> Timeline | None:
        """The resolved plan of the present fit; None before it, or where a scheduler of the module is wrapped."""
        planned = [scheduler for scheduler in self.schedulers if isinstance(scheduler, PlannedScheduler)]
        return planned[0].timeline if planned else None

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Attach one scheduler to each optimizer, before their states are restored from a checkpoint."""
        self.schedulers = []
        if 0 in (trainer.max_epochs, trainer.max_steps):
            return
        configs = scheduler_configs(trainer)
        if any(isinstance(config.scheduler, RealStepScheduler) for config in configs):
            raise MisconfigurationException(
                "two LearningRateScheduler callbacks are in the Trainer, and one optimizer can follow only one plan. "
                "Keep one, for example LearningRateScheduler(SGDR('10ep', T_mult=2), warmup='5%')"
            )
        if not any(group.get("lr") for optimizer in trainer.optimizers for group in optimizer.param_groups):
            raise MisconfigurationException(
                "LearningRateScheduler found no optimizer with an lr above 0. Return one from configure_optimizers, "
                "for example torch.optim.SGD(self.parameters(), lr=0.1): its lr is the peak of the schedule"
            )
        self.run = measure(run_facts(trainer), self.total_steps, self.steps_per_epoch)
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
                    scheduler.replan(self._resolve(trainer), self._description())
        for index, scheduler in enumerate(self.schedulers):
            first = self._first_step(trainer, index)
            try:
                scheduler.arm(first)
            except ValueError as refused:
                raise MisconfigurationException(str(refused)) from None
            self._tell(scheduler)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Let go of an optimizer that another callback has given a scheduler of its own; tell a plan that has ended."""
        if batch_idx == 0:
            attached = [config.scheduler for config in scheduler_configs(trainer)]
            for scheduler in self.schedulers:
                if scheduler.armed and scheduler not in attached:
                    scheduler.let_go()
                    rank_zero_warn(
                        "Another callback replaced the scheduler of LearningRateScheduler, which lets go of the "
                        f"optimizer at real step {scheduler.real_steps} and leaves the lr to it."
                    )
        timeline = self.timeline
        if timeline and not self._past_end_told and timeline.total and self.schedulers[0].real_steps >= timeline.total:
            self._past_end_told = True
            rank_zero_warn(
                f"The plan of LearningRateScheduler ended at step {timeline.total}, and training goes on: the last lr "
                "is held. Pass total_steps=... to plan for the whole run."
            )

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Stop counting."""
        if stage == "fit":
            self._disarm(trainer)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Stop counting; Lightning calls no teardown after an exception."""
        self._disarm(trainer)

    def _disarm(self, trainer: pl.Trainer) -> None:
        """Let go of the optimizers, and remember where for another fit with the same Trainer."""
        self._left_off = (trainer.global_step, [scheduler.real_steps for scheduler in self.schedulers])
        for scheduler in self.schedulers:
            scheduler.disarm()

    def _attach(self, trainer: pl.Trainer, optimizer: Optimizer) -> None:
        """Install one scheduler for one optimizer, in the place of the module's own if it is to be wrapped."""
        own = [config for config in scheduler_configs(trainer) if config.scheduler.optimizer is optimizer]
        names = " and ".join(type(config.scheduler).__name__ for config in own)
        if own and self.main is not None:
            raise MisconfigurationException(
                f"the main schedule is given twice: main={self.main} and {names} from configure_optimizers. Return "
                "only the optimizer from configure_optimizers, or keep its scheduler and give it a warmup alone: "
                "LearningRateScheduler(warmup='5%')"
            )
        if len(own) > 1:
            raise MisconfigurationException(
                f"configure_optimizers returned several schedulers for one optimizer ({names}); a warmup can be put in "
                "front of one. Chain them, for example torch.optim.lr_scheduler.SequentialLR(...), and return that"
            )
        scheduler = self._wrapped(trainer, optimizer, own[0]) if own else self._planned(trainer, optimizer)
        replace_config(trainer, own[0] if own else None, scheduler)
        self.schedulers.append(scheduler)

    def _planned(self, trainer: pl.Trainer, optimizer: Optimizer) -> PlannedScheduler:
        """Return a scheduler that follows the plan."""
        scheduler = PlannedScheduler(optimizer, self._resolve(trainer), self._description())
        try:
            scheduler.check_floors()
        except ValueError as refused:
            raise MisconfigurationException(str(refused)) from None
        return scheduler

    def _wrapped(self, trainer: pl.Trainer, optimizer: Optimizer, config: LRSchedulerConfig) -> DrivenScheduler:
        """Return the module's own scheduler with the warmup in front."""
        name = type(config.scheduler).__name__
        if self.plan.cooldown is not None or self.update == "epoch" or self.warmup is None:
            raise MisconfigurationException(
                f"{name} from configure_optimizers can get a warmup in front, but neither a cooldown nor "
                "update='epoch'. Give a main schedule instead, for example "
                "LearningRateScheduler(Cosine(), warmup='5%', cooldown='10%')"
            )
        try:
            updates = Clock(self.run).updates(self.warmup.duration, "warmup")
        except ValueError as refused:
            raise MisconfigurationException(str(refused)) from None
        if self.run.total_steps is not None and updates >= self.run.total_steps and not is_smoke_test(trainer):
            raise MisconfigurationException(
                f"warmup = {self.warmup.duration!r} does not fit the run: {updates} steps of {self.run.total_steps}. "
                "Give a shorter one, for example warmup='5%'"
            )
        return DrivenScheduler(
            optimizer,
            config.scheduler,
            warmup=self.warmup,
            warmup_updates=updates,
            interval=config.interval,
            frequency=config.frequency,
            description=self._description(name),
        )

    def _resolve(self, trainer: pl.Trainer, run: RunLength | None = None) -> Timeline:
        """Resolve the plan against the run; a smoke test with ``fast_dev_run`` is too short to be refused for it."""
        try:
            return self.plan.resolve(run or self.run, self.update)
        except ValueError as refused:
            if not is_smoke_test(trainer):
                raise MisconfigurationException(str(refused)) from None
            rank_zero_info(f"fast_dev_run: the lr stays at its base value, because {refused}")
            return Plan(Constant()).resolve(RunLength())

    def _description(self, driven: str | None = None) -> dict[str, Any]:
        """Return the plan and the run that it was resolved against, as primitives."""
        plan = self.plan.to_dict() if driven is None else {"main": driven, "warmup": describe_part(self.warmup)}
        return {
            "plan": plan,
            "update": self.update,
            "total_steps": self.run.total_steps,
            "steps_per_epoch": self.run.steps_per_epoch,
        }

    def _first_step(self, trainer: pl.Trainer, index: int) -> int:
        """Return the real step that this fit begins with: from the checkpoint, from the fit before, or from 0."""
        scheduler = self.schedulers[index]
        restored = scheduler.restored
        if restored is not None:
            same = MARK in restored and ("driven" in restored) == isinstance(scheduler, DrivenScheduler)
            bases = restored["base_lrs"] if same else scheduler.configured
            for group, base in zip(scheduler.optimizer.param_groups, bases, strict=False):
                group["initial_lr"] = base
        if restored is not None and MARK in restored:
            self._compare(trainer, scheduler, restored["description"])
            return int(restored["real_steps"])
        if trainer.global_step == 0:
            return 0
        steps, counts = self._left_off
        if steps == trainer.global_step and index < len(counts):
            return counts[index]
        step = trainer.global_step // len(self.schedulers)
        rank_zero_warn(
            "The checkpoint holds no state of LearningRateScheduler (the run was begun without it, or with another "
            f"scheduler). The plan goes on at real step {step}, as the Trainer counts it."
        )
        return step

    def _compare(self, trainer: pl.Trainer, scheduler: RealStepScheduler, before: dict[str, Any]) -> None:
        """Tell what changed since the checkpoint, and apply ``on_horizon_change``."""
        now = scheduler.description
        changed = [*differences(before["plan"], now["plan"]), *differences(before["update"], now["update"], "update")]
        if changed:
            told = "; ".join(changed)
            rank_zero_warn(f"The plan is not the one of the checkpoint; the new one is used from here on: {told}")
        if changed or not isinstance(scheduler, PlannedScheduler):
            return
        old_run = RunLength(before["total_steps"], before["steps_per_epoch"])
        if old_run == self.run or (old := self._resolve(trainer, old_run)) == scheduler.timeline:
            return
        told = f"The run was planned for {before['total_steps']} steps and now has {self.run.total_steps}"
        if self.on_horizon_change == "error":
            raise MisconfigurationException(
                f"{told}. Allow it with on_horizon_change='rescale' (plan for the new length) or 'keep'"
            )
        if self.on_horizon_change == "keep":
            scheduler.replan(old, before)
        rank_zero_warn(f"{told}: on_horizon_change={self.on_horizon_change!r}")

    def _tell(self, scheduler: RealStepScheduler) -> None:
        """Print the resolved plan once, on rank zero."""
        bases = sorted(set(scheduler.base_lrs))
        lrs = f"base lr {bases[0]:g}" if len(bases) == 1 else f"base lrs {bases[0]:g} to {bases[-1]:g}"
        run = self.run
        length = "no known end" if run.total_steps is None else f"{run.total_steps} steps"
        epochs = "" if run.steps_per_epoch is None else f", {run.steps_per_epoch} per epoch"
        head = f"{type(scheduler.optimizer).__name__}, {lrs}; {length}{epochs}"
        if scheduler.real_steps:
            head += f"; goes on at step {scheduler.real_steps}"
        if isinstance(scheduler, PlannedScheduler):
            rank_zero_info(f"{self.plan} ({head})\n{plan_table(scheduler.timeline, bases[-1])}")
        else:
            main = scheduler.description["plan"]["main"]
            rank_zero_info(f"{self.warmup} in front of {main} ({head})")
