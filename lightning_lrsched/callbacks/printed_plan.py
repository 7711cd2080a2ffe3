"""A plan as it is printed before training: one table for each plan that parameter groups follow."""

from typing import Any

from lightning_lrsched.callbacks.recipe import Recipe
from lightning_lrsched.describe import plan_table, shares_in
from lightning_lrsched.phases import Repeat
from lightning_lrsched.plan import Plan
from lightning_lrsched.scheduler import PlannedScheduler, RealStepScheduler
from lightning_lrsched.timeline import Timeline
from lightning_lrsched.units import RunLength


def printed_plan(scheduler: RealStepScheduler, recipe: Recipe, run: RunLength) -> str:
    """Return the resolved plan of an optimizer: what each of its parameter groups will do.

    Args:
        scheduler: what writes the lrs, already started.
        recipe: what was asked for.
        run: what it was resolved against.
    """
    bases = scheduler.base_lrs
    if not isinstance(scheduler, PlannedScheduler):
        front = "" if recipe.warmup is None else f"{recipe.warmup} in front of "
        main = recipe.main or scheduler.description["plan"]["main"]
        return f"{front}{main} ({_head(scheduler, bases, run)})"
    if not recipe.groups:
        return f"{recipe.plan} ({_head(scheduler, bases, run)})\n{plan_table(scheduler.timeline, max(bases))}"
    groups = scheduler.optimizer.param_groups
    told, alone = [], set(range(len(groups)))
    for plan, timeline, members in _followed(scheduler, recipe):
        alone -= set(members)
        own = [bases[index] for index in members]
        told.append(
            f"{_named(groups, members)}: {plan} ({_head(scheduler, own, run)})\n{plan_table(timeline, max(own))}"
        )
    if alone:
        left = sorted(alone)
        head = "" if told else f" ({_head(scheduler, [bases[index] for index in left], run)})"
        told.append(f"left alone: {_named(groups, left)}{head}")
    return "\n".join(told)


def _followed(scheduler: PlannedScheduler, recipe: Recipe) -> list[tuple[Plan, Timeline, list[int]]]:
    """Return each plan that some group follows, with its timeline and the indices of these groups."""
    found: list[tuple[Plan, Timeline, list[int]]] = []
    for track in scheduler.tracks:
        name = None if track.chosen.others else next(iter(track.chosen.named))
        plan = recipe.plan if name is None else recipe.groups[name]
        groups = enumerate(scheduler.optimizer.param_groups)
        members = [index for index, group in groups if track.key == "lr" and track.chosen.has(index, group)]
        same = [row for row in found if row[0] == plan]
        if same:
            same[0][2].extend(members)
        elif members and plan is not None:
            found.append((plan, track.timeline, members))
    return found


def _named(groups: list[dict[str, Any]], members: list[int]) -> str:
    """Return the names of some groups, or the indices of those that have none."""
    names = [str(groups[index].get("name", index)) for index in sorted(members)]
    return f"group{'s' if len(names) > 1 else ''} {', '.join(names)}"


def _head(scheduler: RealStepScheduler, base_lrs: list[float], run: RunLength) -> str:
    """Return the optimizer, the base lrs and the length of the run."""
    bases = sorted(set(base_lrs))
    lrs = f"base lr {bases[0]:g}" if len(bases) == 1 else f"base lrs {bases[0]:g} to {bases[-1]:g}"
    length = "no known end" if run.total_steps is None else f"{run.total_steps} steps"
    epochs = "" if run.steps_per_epoch is None else f", {run.steps_per_epoch} per epoch"
    begin = f"; goes on at step {scheduler.real_steps}" if scheduler.real_steps else ""
    return f"{type(scheduler.optimizer).__name__}, {lrs}; {length}{epochs}{begin}"


def told_hold(scheduler: RealStepScheduler, recipe: Recipe, run: RunLength) -> str | None:
    """Say that the listed cycles of a plan end before the run does, and what to pass; None where that is not so.

    Args:
        scheduler: what writes the lrs, already started.
        recipe: what was asked for.
        run: what it was resolved against.
    """
    for plan, timeline, members in _followed(scheduler, recipe) if isinstance(scheduler, PlannedScheduler) else ():
        held = _held_after_cycles(timeline)
        if held is not None:
            begin, count = held
            lr = timeline.lr(begin, max(scheduler.base_lrs[index] for index in members))
            rest, used = "all steps", begin
            if count is not None and run.total_steps is not None:
                count = min(count, run.total_steps - begin)
                rest, used = f"{count} of {run.total_steps} steps", run.total_steps - count
            epochs, more = divmod(used, run.steps_per_epoch or used + 1)
            fits = f"max_steps={used}" if more else f"max_epochs={epochs}"
            last = "" if shares_in(plan.to_dict()) else f", or train as long as they last ({fits})"
            return (
                f"The cycles of {plan.main} end at step {begin}, and the run goes on: {rest} are held at lr {lr:.4g} "
                "after them. Give periods for the whole run, or cycles that fill any run, for example "
                f"SGDR(T_0='10ep', T_mult=2){last}"
            )
    return None


def _held_after_cycles(timeline: Timeline) -> tuple[int, int | None] | None:
    """Return from which step on, and for how many (None without end), a level is held after the last cycle."""
    begin, cyclic = 0, False
    for segment in timeline.segments:
        block = segment.block if isinstance(segment, Repeat) else (segment,)
        if cyclic and block[0].name == "hold":
            return begin * timeline.stride, segment.updates and segment.updates * timeline.stride
        cyclic = any(phase.restart for phase in block)
        begin += segment.updates or 0
    return None
