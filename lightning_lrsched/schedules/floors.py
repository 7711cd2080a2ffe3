"""What several schedules share: how they store durations, and how they read their floor."""

from collections.abc import Sequence

from lightning_lrsched.checks import check_number, refusal
from lightning_lrsched.phases import Level
from lightning_lrsched.units import plain_duration


def store_plain(schedule: object, *names: str) -> None:
    """Replace the durations of a frozen schedule by their plain form, so that equal schedules compare equal."""
    for name in names:
        value = getattr(schedule, name)
        if value is not None:
            object.__setattr__(schedule, name, plain_duration(value, f"{type(schedule).__name__}.{name}"))


def check_floor(schedule: object) -> None:
    """Check ``eta_min`` (absolute, at least 0) and ``eta_min_ratio`` (in [0, 1]), of which only one may be given."""
    owner = type(schedule).__name__
    eta_min, ratio = getattr(schedule, "eta_min"), getattr(schedule, "eta_min_ratio")  # noqa: B009
    if ratio is not None and eta_min != 0:
        raise refusal(
            f"{owner}.eta_min_ratio", ratio, f"given without eta_min (here {eta_min!r})", f"{owner}(..., eta_min=1e-6)"
        )
    if not isinstance(eta_min, Sequence) or isinstance(eta_min, str):
        check_number(f"{owner}.eta_min", eta_min, f"{owner}(..., eta_min=1e-6)", at_least=0.0)
    for value in ratio if isinstance(ratio, Sequence) and not isinstance(ratio, str) else (ratio,):
        if value is not None:
            example = f"{owner}(..., eta_min_ratio=0.01)"
            check_number(f"{owner}.eta_min_ratio", value, example, at_least=0.0, at_most=1.0)


def floor_level(eta_min: float | None, eta_min_ratio: float | None) -> Level:
    """Return the floor as a level: a multiple of the base lr, or an absolute lr."""
    return Level(0.0, float(eta_min or 0.0)) if eta_min_ratio is None else Level(float(eta_min_ratio))


def inclusive_span(updates: int, inclusive: bool, name: str) -> int:
    """Return the updates from progress 0 to 1: T, or T - 1 where the last update is to be on the end level itself."""
    if not inclusive:
        return updates
    if updates < 2:
        raise refusal(name, updates, "at least 2 updates with inclusive=True", f"{name.rpartition('.')[2]}='10 steps'")
    return updates - 1
