"""What a user asked a LearningRateScheduler for, and the schedulers that it makes of it for an optimizer."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from lightning.pytorch.utilities.types import LRSchedulerConfig
from lightning_utilities.core.rank_zero import rank_zero_info
from torch.optim import Optimizer

import lightning_lrsched.schedules as planned_schedules
from lightning_lrsched.callbacks.trainer_access import fed_by_callback
from lightning_lrsched.checks import check_choice, refusal
from lightning_lrsched.driven import DrivenScheduler, rebase
from lightning_lrsched.factories import wrapped_example
from lightning_lrsched.plan import UPDATES, Plan, describe_part
from lightning_lrsched.room import Main, Schedule
from lightning_lrsched.scheduler import PlannedScheduler
from lightning_lrsched.schedules import Constant
from lightning_lrsched.torch_schedules import Driven, Plateau, check_alone, warmup_updates
from lightning_lrsched.tracks import Groups, Track
from lightning_lrsched.units import RunLength
from lightning_lrsched.warmup import Cooldown, Warmup, as_warmup

_GROUPS = "groups={'backbone': None, 'head': Cosine()}"


class Recipe:
    """The schedules that were asked for, checked as far as that needs no run.

    Args:
        main: the main schedule, a whole plan, or None for the scheduler that the module returns.
        warmup: growth before it.
        cooldown: fall at the end of the run.
        update: ``"step"`` or ``"epoch"``.
        groups: what parameter groups follow instead, by name or index; None leaves a group alone.

    Raises:
        ValueError: if a value is refused, or two contradict each other.
    """

    def __init__(
        self,
        main: Main | Plan | None,
        warmup: Warmup | int | float | str | None,
        cooldown: Cooldown | int | float | str | None,
        update: str,
        groups: Mapping[str | int, Schedule | Plan | None] | None,
    ) -> None:
        """Check what does not need the run."""
        owner = "LearningRateScheduler"
        if main is None and warmup is None and cooldown is None:
            raise refusal(f"{owner}.main", None, "a schedule, or None with a warmup", "main=Cosine(), warmup='5%'")
        check_choice("update", update, UPDATES, "update='step'")
        if isinstance(main, Plan) and (warmup is not None or cooldown is not None):
            example = "LearningRateScheduler(Plan(Cosine(), warmup='5%'))"
            raise refusal("warmup", warmup or cooldown, "given inside the Plan that main is", example)
        check_alone(main, cooldown, update, groups)
        self.main = main
        self.update = update
        self.plan = self._as_plan(main, warmup, cooldown)
        self.warmup = as_warmup(self.plan.warmup)
        self.groups = self._checked_groups(groups)

    def tracks(self, run: RunLength) -> list[Track]:
        """Return what is to be written in a run: the main schedule's lr first.

        Raises:
            ValueError: if a plan does not fit the run.
        """
        named = frozenset(self.groups)
        tracks = self._tracks_of(self.plan, run, Groups(named))
        for name, plan in self.groups.items():
            if plan is not None:
                tracks += self._tracks_of(plan, run, Groups(frozenset([name]), others=False))
        return tracks

    def describe(self, run: RunLength, driven: str | dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the plan, and the run that it was resolved against, as primitives."""
        plan = self.plan.to_dict() if driven is None else {"main": driven, "warmup": describe_part(self.warmup)}
        if self.groups:
            plan["groups"] = {str(name): each and each.to_dict() for name, each in self.groups.items()}
        return {
            "plan": plan,
            "update": self.update,
            "total_steps": run.total_steps,
            "steps_per_epoch": run.steps_per_epoch,
        }

    def planned(
        self, optimizer: Optimizer, run: RunLength, tracks: list[Track], *, grows: bool = False
    ) -> PlannedScheduler:
        """Return a scheduler that follows the plan.

        Args:
            optimizer: whose groups are scheduled.
            run: what the plan was resolved against.
            tracks: what is to be written.
            grows: the module has parameters that no optimizer has yet: a name that is not there may come with them.

        Raises:
            ValueError: if a group or a value that is named is not in the optimizer.
        """
        groups = optimizer.param_groups
        there = ", ".join(repr(group.get("name", i)) for i, group in enumerate(groups))
        awaited = self.absent(optimizer)
        for name in awaited:
            if not grows if isinstance(name, str) else name < len(groups):
                raise refusal("groups", name, f"a name or an index of the optimizer's groups ({there})", _GROUPS)
        if awaited:
            named = ", ".join(map(repr, awaited))
            rank_zero_info(f"groups: {named} is not there yet; {type(optimizer).__name__} has {there} so far")
        for track in tracks:
            chosen = [group for i, group in enumerate(groups) if track.chosen.has(i, group)]
            if chosen and not any(track.has(i, group) for i, group in enumerate(groups)):
                keys = ", ".join(sorted(key for key in groups[0] if key != "params"))
                allowed = f"a value that {type(optimizer).__name__} has ({keys})"
                raise refusal("others", track.key, allowed, "others={'weight_decay': Linear(end_factor=2)}")
        return PlannedScheduler(optimizer, tracks, self.describe(run))

    def absent(self, optimizer: Optimizer) -> list[str | int]:
        """Return the names and indices that no group of an optimizer has."""
        groups = list(enumerate(optimizer.param_groups))
        choices = {name: Groups(frozenset([name]), others=False) for name in self.groups}
        return [name for name, choice in choices.items() if not any(choice.has(*each) for each in groups)]

    def driven(self, optimizer: Optimizer, run: RunLength, own: LRSchedulerConfig | None) -> DrivenScheduler:
        """Return a scheduler that follows a torch scheduler: the module's own, or the main schedule's.

        Raises:
            ValueError: if the warmup does not fit the run, or what is asked for is not to be had with a driven one.
        """
        if own is None:
            if not isinstance(self.main, Driven):
                raise refusal("main", self.main, "a schedule that torch drives", "main=Plateau('val_loss')")
            written = describe_part(self.main) if isinstance(self.main, Plateau) else repr(self.main)
            return self.main.attach(optimizer, run, self.warmup, self.describe(run, written))
        name = type(own.scheduler).__name__
        if not hasattr(own.scheduler, "get_last_lr"):
            raise ValueError(
                f"{name} from configure_optimizers is no torch.optim.lr_scheduler.LRScheduler and has no get_last_lr, "
                "so it can get no warmup in front: use one of its own. Or return the optimizer alone, and give a main "
                "schedule, for example LearningRateScheduler(Cosine(), warmup='5%')"
            )
        if self.plan.cooldown is not None or self.update == "epoch" or self.warmup is None or self.groups:
            raise ValueError(
                f"{name} from configure_optimizers can get a warmup in front, but neither a cooldown nor groups "
                "nor update='epoch'. Give a main schedule instead, for example "
                "LearningRateScheduler(Cosine(), warmup='5%', cooldown='10%')"
            )
        rebase(own.scheduler, optimizer)
        return DrivenScheduler(
            optimizer,
            own.scheduler,
            warmup=self.warmup,
            warmup_updates=warmup_updates(self.warmup, run),
            interval=own.interval,
            frequency=own.frequency,
            description=self.describe(run, name),
            monitor=own.monitor if fed_by_callback(own) else None,
            strict=own.strict,
        )

    def _tracks_of(self, plan: Plan, run: RunLength, chosen: Groups) -> list[Track]:
        """Return the tracks of one plan: its lr first."""
        others = plan.resolve_others(run, self.update)
        return [
            Track(plan.resolve(run, self.update), "lr", chosen),
            *(Track(timeline, key, chosen) for key, timeline in others.items()),
        ]

    @staticmethod
    def _as_plan(main: Main | Plan | None, warmup: Any, cooldown: Any) -> Plan:
        """Return the plan of the main schedule; a constant one where a torch scheduler drives it."""
        if isinstance(main, Plan):
            return main
        if main is not None and not isinstance(main, Main):
            wrapped = wrapped_example(main)
            if wrapped is not None:
                allowed = "a schedule of this package, not the torch scheduler itself: wrap what makes it"
                raise refusal("main", main, allowed, f"main={wrapped}")
            raise refusal("main", main, "a schedule of this package", "main=Cosine(eta_min=1e-6)")
        return Plan(main if isinstance(main, Schedule) else Constant(), warmup, cooldown)

    def _checked_groups(self, groups: Any) -> dict[str | int, Plan | None]:
        """Return the plan of each named group; a bare schedule gets the warmup and cooldown of the main one."""
        if groups is None:
            return {}
        if not isinstance(groups, Mapping) or not groups:
            raise refusal("groups", groups, "schedules by the name or index of a parameter group", _GROUPS)
        plans: dict[str | int, Plan | None] = {}
        for name, wanted in groups.items():
            if isinstance(name, bool) or not isinstance(name, str | int):
                raise refusal("groups", name, "names or indices of parameter groups", _GROUPS)
            if wanted is None or isinstance(wanted, Plan):
                plans[name] = wanted
            elif isinstance(wanted, Schedule):
                plans[name] = Plan(wanted, self.plan.warmup, self.plan.cooldown)
            else:
                raise refusal(f"groups[{name!r}]", wanted, "a schedule, a Plan, or None to leave it alone", _GROUPS)
        return plans


def default_of(kind: str, name: str) -> object:
    """Return the value of a parameter that is not given, by the names in a plan's primitive form; None if unknown."""
    around = {"Warmup": Warmup, "Cooldown": Cooldown, "Plateau": Plateau}
    known = around.get(kind) or getattr(planned_schedules, kind, None)
    defaults = {field.name: field.default for field in fields(known)} if is_dataclass(known) else {}
    return defaults.get(name)
