"""What a tracker records of a scheduler: its plan, and which values it writes."""

import json
from collections.abc import Mapping

from lightning_lrsched.describe import flat_params, plan_document
from lightning_lrsched.driven import DrivenScheduler
from lightning_lrsched.scheduler import PlannedScheduler, RealStepScheduler


def plan_of(scheduler: object) -> tuple[Mapping[str, str], str]:
    """Return the plan as params and as a JSON document; nothing for a scheduler that is not ours."""
    if not isinstance(scheduler, RealStepScheduler):
        return {}, ""
    base_lrs, description = scheduler.base_lrs, scheduler.description
    params = {f"schedule/{key}": value for key, value in flat_params(description, base_lrs).items()}
    timeline = scheduler.timeline if isinstance(scheduler, PlannedScheduler) else None
    return params, json.dumps(plan_document(description, timeline, base_lrs), indent=2)


def scheduled_keys(scheduler: object) -> list[str]:
    """Return what a scheduler writes into the groups besides the lr."""
    if isinstance(scheduler, PlannedScheduler):
        return sorted({track.key for track in scheduler.tracks} - {"lr"})
    if isinstance(scheduler, DrivenScheduler) and getattr(scheduler.driven, "cycle_momentum", False):
        return ["momentum"]
    return []
