"""What several schedules share: how they store durations, and how they read their floor."""

from collections.abc import Sequence
from dataclasses import fields

from lightning_lrsched.checks import check_flag, check_number, refusal, shown, store_number
from lightning_lrsched.phases import Level
from lightning_lrsched.units import plain_duration


def store_plain(schedule: object, *names: str) -> None:
    """Replace the durations of a frozen schedule by their plain form, so that equal schedules compare equal.

    None stays only where it is the default.
    """
    optional = {field.name for field in fields(schedule) if field.default is None}  # type: ignore[arg-type]
    for name in names:
        value = getattr(schedule, name)
        if value is not None or name not in optional:
            object.__setattr__(schedule, name, plain_duration(value, f"{type(schedule).__name__}.{name}"))


def check_floor(schedule: object, *, lists: bool = False) -> None:
    """Check ``eta_min`` (absolute, at least 0) and ``eta_min_ratio`` (in [0, 1]), of which only one may be given.

    With ``lists``, each may also be a list.
    """
    owner = type(schedule).__name__
    eta_min, ratio = getattr(schedule, "eta_min"), getattr(schedule, "eta_min_ratio")  # noqa: B009
    if ratio is not None and not (isinstance(eta_min, int | float) and eta_min == 0):
        raise refusal(
            f"{owner}.eta_min_ratio",
            ratio,
            f"given without eta_min (here {shown(eta_min)})",
            f"{owner}(..., eta_min=1e-6)",
        )
    store = store_level if lists else store_number
    store(schedule, "eta_min", f"{owner}(..., eta_min=1e-6)", at_least=0.0)
    if ratio is not None:
        store(schedule, "eta_min_ratio", f"{owner}(..., eta_min_ratio=0.01)", at_least=0.0, at_most=1.0)


def check_momenta(schedule: object) -> None:
    """Check ``cycle_momentum`` and the two momenta that it moves between, at least 0 and in their order."""
    owner = type(schedule).__name__
    example = f"{owner}(..., cycle_momentum=True, base_momentum=0.85, max_momentum=0.95)"
    check_flag(f"{owner}.cycle_momentum", schedule.cycle_momentum, example)  # type: ignore[attr-defined]
    for name in ("base_momentum", "max_momentum"):
        store_number(schedule, name, example, at_least=0.0)
    low, high = schedule.base_momentum, schedule.max_momentum  # type: ignore[attr-defined]
    if low > high:
        raise refusal(f"{owner}.base_momentum", low, f"at most max_momentum = {high}", example)


def store_level(schedule: object, name: str, example: str, **bounds: float) -> None:
    """Check a level, or each of a list of them, and store Python's own numbers."""
    value = getattr(schedule, name)
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        store_number(schedule, name, example, **bounds)
        return
    path = f"{type(schedule).__name__}.{name}"
    numbers = tuple(check_number(f"{path}[{i}]", each, example, **bounds) for i, each in enumerate(value))
    object.__setattr__(schedule, name, numbers)


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
