"""Before a fit: where its cycles come from, and whether their checkpoints can be written."""

import lightning.pytorch as pl
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning_utilities.core.rank_zero import WarningCache, rank_zero_info, rank_zero_warn

from lightning_lrsched.callbacks.cycles.cadence import told_cut, told_pushed, told_unmeasured, unmeasured
from lightning_lrsched.callbacks.cycles.sources import (
    CycleSource,
    DrivenCycles,
    LengthCycles,
    ListedCycles,
    Place,
)
from lightning_lrsched.callbacks.stepping import measure
from lightning_lrsched.callbacks.trainer_access import run_facts, scheduler_configs, validation_cadence
from lightning_lrsched.describe import shares_in
from lightning_lrsched.driven import DrivenScheduler
from lightning_lrsched.real_steps import StepCounter
from lightning_lrsched.scheduler import PlannedScheduler, RealStepScheduler
from lightning_lrsched.torch_cycles import pace_of, restarts_of
from lightning_lrsched.units import Duration, RunLength

TOLD = WarningCache()
"""What is told once in a process, however many fits it has."""


def run_length(trainer: pl.Trainer) -> RunLength:
    """Return the length of the run: as the plan was resolved against it, or as the Trainer says."""
    for config in scheduler_configs(trainer):
        if isinstance(config.scheduler, RealStepScheduler):
            told = config.scheduler.description
            return RunLength(told.get("total_steps"), told.get("steps_per_epoch"))
    return measure(run_facts(trainer))


def find_source(trainer: pl.Trainer, every: int | str | None, place: Place | None = None) -> CycleSource:
    """Return where the cycles of a fit come from: ``every``, or the first schedule that has some.

    Args:
        trainer: the Trainer, its schedulers attached.
        every: length of cycles of equal length; None for those of a schedule.
        place: where training was, as a resume or a fit before knows it.

    Raises:
        MisconfigurationException: if there are no cycles, a length that the run cannot tell is needed, or the optimizer
            tells nobody of its steps.
    """
    configs = scheduler_configs(trainer)
    own = [config.scheduler for config in configs if isinstance(config.scheduler, RealStepScheduler)]
    if every is not None:
        try:
            length = Duration(every).resolve(run_length(trainer), "CycleCheckpoint.every")
        except ValueError as refused:
            raise MisconfigurationException(str(refused)) from None
        counter = own[0] if own else _counter(trainer, place)
        return LengthCycles(counter, None, length, shares_in(Duration(every).plain))
    for scheduler in own:
        if isinstance(scheduler, PlannedScheduler) and scheduler.timeline.cyclic:
            return LengthCycles(scheduler, scheduler.timeline, shares=_shares(scheduler))
    for config in configs:
        wrapped = config.scheduler if isinstance(config.scheduler, DrivenScheduler) else None
        driven = config.scheduler if wrapped is None else wrapped.driven
        restarts = restarts_of(driven)
        if restarts is not None:
            cycle = None if place is None else place.cycle
            if wrapped is not None:
                return DrivenCycles(wrapped, driven, restarts, wrapped.pace, cycle, shares=_shares(wrapped))
            by_batches = config.interval == "step" and config.frequency > 1  # Lightning counts batches of the epoch
            per_epoch = run_length(trainer).steps_per_epoch
            pace = None if by_batches else pace_of(config.interval, config.frequency, 0, per_epoch)
            return DrivenCycles(_counter(trainer, place), driven, restarts, pace, cycle)
    if place is not None and place.rest is not None:
        return ListedCycles(_counter(trainer, place), place)
    raise MisconfigurationException(
        "CycleCheckpoint needs a schedule with cycles, and none is attached. Add one, for example "
        "callbacks=[LearningRateScheduler(SGDR('10ep', T_mult=2)), CycleCheckpoint('val_loss')], or say how long a "
        "cycle is meant to be: CycleCheckpoint('val_loss', every='10ep')"
    )


def _shares(scheduler: RealStepScheduler) -> list[str]:
    """Return what is a share of the run in a plan, up to its cycles; a cooldown comes after them."""
    plan = scheduler.description["plan"]
    return shares_in([plan.get("warmup"), plan["main"]])


def place_of(trainer: pl.Trainer, source: CycleSource, lr: float | None) -> Place:
    """Return where training is, so that a resume can go on.

    A callback that has put a scheduler of its own in the place of the schedule (StochasticWeightAveraging) does so
    again on a resume, and the checkpoint holds that one alone: the ends of the cycles to come are kept with the place.
    """
    schedule = source.schedule
    there = schedule is None or any(config.scheduler is schedule for config in scheduler_configs(trainer))
    return Place(source.counter.real_steps, source.last, trainer.current_epoch, lr, None if there else source.rest())


def tell(
    trainer: pl.Trainer, source: CycleSource, monitor: str | None, *, forced: bool, place: Place | None = None
) -> None:
    """Tell whether the last cycle is cut short, which cycle ends no validation measures, and where counting begins.

    Args:
        trainer: the Trainer.
        source: where the cycles come from.
        monitor: the metric that cycles are judged by; None for none.
        forced: whether each cycle's end is validated for that.
        place: where training was, as a resume or a fit before knows it.
    """
    steps = source.counter.real_steps
    if place is None and steps > 0 and isinstance(source.counter, StepCounter):
        rank_zero_warn(
            "The checkpoint holds no state of this CycleCheckpoint (the run was begun without it, or with other "
            f"parameters). It counts on from step {steps}, as the Trainer does, in cycle {source.last}"
        )
    run = run_length(trainer)
    cut = told_cut(source.ends(), run, source.shares)
    if cut is not None:
        rank_zero_info(cut)
    if monitor is None:
        return
    if not trainer.enable_validation:
        rank_zero_warn(
            f"CycleCheckpoint: this fit does not validate, so {monitor} is never measured and no cycle has a "
            "best. Give a validation loader and validation_step, or CycleCheckpoint() without a monitor"
        )
    elif not forced:
        missed = unmeasured(source.ends(), run_facts(trainer), validation_cadence(trainer), run.total_steps)
        if missed:
            rank_zero_info(told_unmeasured(missed, monitor))


def tell_alone() -> None:
    """Tell, once in a process, that there is no checkpoint that a job could be resumed from by itself."""
    TOLD.info(
        "Lightning adds no ModelCheckpoint of its own beside a CycleCheckpoint, so ckpt_path='last' finds no file. "
        "To resume interrupted jobs, add ModelCheckpoint('checkpoints', save_last=True)"
    )


def tell_left_out(monitor: str) -> None:
    """Tell, once in a process, that a validation has not logged a metric that others have."""
    TOLD.warn(
        f"CycleCheckpoint: this validation has not logged {monitor}, so it judges no weights. Others that do, count"
    )


def tell_direction(monitor: str) -> None:
    """Tell that the lowest value of a metric is kept, where its name says that the highest is the best."""
    from lightning_lrsched.compare import mode_of

    if mode_of(monitor) == "max":
        rank_zero_warn(
            f"CycleCheckpoint keeps the lowest {monitor}; for the highest pass mode='max'. "
            "With mode='min' this is not told"
        )


def tell_pushed(trainer: pl.Trainer, step: int, skipped: int, monitor: str) -> bool:
    """Tell that skipped updates pushed a cycle's end off its validation, if so; return whether that was told."""
    told = told_pushed(step, run_facts(trainer), validation_cadence(trainer), skipped, monitor)
    if told is not None:
        rank_zero_info(told)
    return told is not None


def _counter(trainer: pl.Trainer, place: Place | None) -> StepCounter:
    """Return a counter of real steps for a Trainer without a scheduler of this package.

    Where no place is known the Trainer's step is it, as for a LearningRateScheduler that is added on a resume.

    Raises:
        MisconfigurationException: if the optimizer tells nobody of its steps.
    """
    before = trainer.global_step // len(trainer.optimizers) if place is None else place.steps
    try:
        return StepCounter(trainer.optimizers[0], before)
    except ValueError as refused:
        raise MisconfigurationException(str(refused)) from None
