"""Validation of what users pass: every message names the parameter, the value and a valid example."""

import math
from collections.abc import Collection, Sequence
from numbers import Real

_SHOWN = 200  # characters of a value that a message repeats


def shown(value: object) -> str:
    """Write a value for a message: its repr, shortened, or its type where it has none."""
    try:
        text = repr(value)
    except Exception:  # an int of more digits than Python prints, or a broken __repr__
        return f"a value of type {type(value).__name__} that cannot be shown"
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def refusal(name: str, value: object, allowed: str, example: str) -> ValueError:
    """Build the one form of error message this package uses for a bad value.

    Args:
        name: the parameter as the user wrote it, with its owner: ``SGDR.T_mult``.
        value: what was passed.
        allowed: what is accepted, with its unit and range.
        example: a call that works, ready to be copied.
    """
    return ValueError(f"{name} = {shown(value)} is refused: it must be {allowed}. For example: {example}")


def check_number(
    name: str,
    value: object,
    example: str,
    *,
    at_least: float = -math.inf,
    above: float = -math.inf,
    at_most: float = math.inf,
    below: float = math.inf,
) -> float:
    """Return ``value`` as a finite float inside the bounds, or raise the refusal that names it."""
    bounds = [
        text
        for text, used in (
            (f"at least {at_least:g}", at_least > -math.inf),
            (f"above {above:g}", above > -math.inf),
            (f"at most {at_most:g}", at_most < math.inf),
            (f"below {below:g}", below < math.inf),
        )
        if used
    ]
    allowed = " ".join(["a finite number", " and ".join(bounds)]).strip()
    if isinstance(value, bool) or not isinstance(value, Real):
        raise refusal(name, value, allowed, example)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not (math.isfinite(number) and at_least <= number <= at_most and above < number < below):
        raise refusal(name, value, allowed, example)
    return number


def plain_number(name: str, value: object, example: str, **bounds: float) -> int | float:
    """Return ``value``, checked as by `check_number`, as Python's own int or float, which any file can hold."""
    number = check_number(name, value, example, **bounds)
    return value if type(value) is int else number


def store_number(part: object, field: str, example: str, **bounds: float) -> None:
    """Check a number of a frozen dataclass, and store it as Python's own int or float."""
    number = plain_number(f"{type(part).__name__}.{field}", getattr(part, field), example, **bounds)
    object.__setattr__(part, field, number)


def check_choice(name: str, value: object, choices: Collection[str], example: str) -> str:
    """Return ``value`` if it is one of ``choices``, or raise the refusal that lists them."""
    if not isinstance(value, str) or value not in choices:
        raise refusal(name, value, "one of " + ", ".join(repr(choice) for choice in choices), example)
    return value


def check_flag(name: str, value: object, example: str) -> bool:
    """Return ``value`` if it is a bool, or raise the refusal that names it."""
    if not isinstance(value, bool):
        raise refusal(name, value, "True or False", example)
    return value


def check_list(name: str, value: object, what: str, example: str) -> tuple[object, ...]:
    """Return ``value`` as a non-empty tuple, or raise the refusal that names it."""
    if isinstance(value, str | bytes) or not isinstance(value, Sequence) or not value:
        raise refusal(name, value, f"a list of {what}, at least one", example)
    return tuple(value)
