"""Lengths of training: typed durations, and what is known of the run they are part of."""

import re
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from numbers import Integral, Real
from typing import Literal, TypeAlias

from lightning_lrsched.checks import refusal

Unit: TypeAlias = Literal["steps", "epochs", "share"]

MOST_STEPS = 10**15
"""Longest run, and longest duration in any unit: sums of several stay within 64 bits."""
_FINEST = Decimal("1e-15")
_LONGEST_TEXT = 60

_ALLOWED = (
    "a length of training above zero: whole optimizer steps (500 or '500 steps'), epochs ('10ep', '0.5ep') "
    "or a share of the run (0.05 or '5%', up to '100%')"
)
_TEXT = re.compile(
    r"\s*(?P<amount>[+-]?(?:[0-9]+(?:_[0-9]+)*|[0-9]*\.[0-9]+)(?:[eE][+-]?[0-9]+)?)\s*(?P<unit>[A-Za-z%]*)\s*\Z"
)
_UNITS: dict[str, Unit] = {
    "": "steps",
    "step": "steps",
    "steps": "steps",
    "ep": "epochs",
    "epoch": "epochs",
    "epochs": "epochs",
    "%": "share",
}


def round_half_up(value: Fraction) -> int:
    """Round to the nearest whole number, halves away from zero for the positive values used here.

    The one rounding rule of the package: 0.5 becomes 1 and 2.5 becomes 3, whatever the number before it.
    """
    return int((value + Fraction(1, 2)) // 1)


@dataclass(frozen=True, init=False, repr=False)
class Duration:
    """A length of training in optimizer steps, epochs, or as a share of the run.

    Args:
        value: ``500`` or ``"500 steps"`` (optimizer steps), ``"10ep"`` or ``"0.5ep"`` (epochs), ``0.05`` or
            ``"5%"`` (share of the run, in (0, 1]). A float of 1 or more is refused: it could mean either.
        name: the parameter that error messages name.

    Raises:
        ValueError: if the value is none of these, or not above zero.

    >>> Duration("10ep").resolve(RunLength(total_steps=2000, steps_per_epoch=100))
    1000
    >>> Duration(0.07).resolve(RunLength(total_steps=100))
    7
    """

    amount: Decimal
    unit: Unit

    def __init__(self, value: "DurationLike", name: str = "duration") -> None:
        """Read ``value``; see the class for what is accepted."""
        amount, unit = _read(value, name)
        most = 1 if unit == "share" else MOST_STEPS
        sane = amount.is_finite() and _FINEST <= amount <= most
        if not sane or (unit == "steps" and amount != amount.to_integral_value()):
            raise refusal(name, value, _ALLOWED, f"{name.rpartition('.')[2]}='5%'")
        object.__setattr__(self, "amount", amount)
        object.__setattr__(self, "unit", unit)

    def resolve(self, run: "RunLength", name: str = "duration") -> int:
        """Return the length in whole optimizer steps, at least 1.

        Exact decimal arithmetic and one rounding (half up): 0.29 of 100 steps is 29 steps.

        Raises:
            ValueError: if the run's own length is needed and unknown, or if the result is less than one step.
        """
        if self.unit == "steps":
            return int(self.amount)
        whole = run.steps_per_epoch if self.unit == "epochs" else run.total_steps
        if whole is None:
            needed = "steps_per_epoch" if self.unit == "epochs" else "total_steps"
            raise ValueError(
                f"{name} = {str(self)!r} needs the {needed.replace('_', ' ')} of the run, which is unknown. "
                f"Pass {needed}=..., for example LearningRateScheduler(..., {needed}=1000), "
                f"or give {name} in steps, for example {name.rpartition('.')[2]}='500 steps'"
            )
        steps = round_half_up(Fraction(self.amount) * whole)
        if steps > MOST_STEPS:
            raise refusal(name, str(self), f"at most {MOST_STEPS:.0e} steps", f"{name.rpartition('.')[2]}='10ep'")
        if steps < 1:
            raise ValueError(
                f"{name} = {str(self)!r} is less than one optimizer step here: {self} of {whole} steps. "
                f"Give at least one step, for example {name.rpartition('.')[2]}='1 steps'"
            )
        return steps

    @property
    def plain(self) -> int | str:
        """The same duration as an int (steps) or as text: what a YAML file or a checkpoint holds."""
        if self.unit == "steps":
            return int(self.amount)
        return f"{_digits(self.amount)}ep" if self.unit == "epochs" else f"{_digits(self.amount * 100)}%"

    def __str__(self) -> str:
        """Return the duration as a user writes it, with its unit."""
        return f"{self.plain} steps" if self.unit == "steps" else str(self.plain)

    def __repr__(self) -> str:
        """Return an expression that makes an equal duration."""
        return f"Duration({self.plain!r})"


DurationLike: TypeAlias = int | float | str | Duration
"""What every parameter that is a length of training accepts."""


def plain_duration(value: object, name: str) -> int | str:
    """Validate a duration and return it in its plain form, so that equal durations are stored as equal values."""
    return Duration(value, name).plain  # type: ignore[arg-type]


@dataclass(frozen=True)
class RunLength:
    """What is known of a run before its first step.

    Args:
        total_steps: optimizer steps of the whole run, or None where it has no known end.
        steps_per_epoch: optimizer steps of one epoch, or None where epochs have no known length.

    Raises:
        ValueError: if a given length is not a whole number of at least 1.
    """

    total_steps: int | None = None
    steps_per_epoch: int | None = None

    def __post_init__(self) -> None:
        """Refuse lengths that are not whole positive numbers."""
        for name, value in (("total_steps", self.total_steps), ("steps_per_epoch", self.steps_per_epoch)):
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, Integral) or not 1 <= value <= MOST_STEPS:
                raise refusal(
                    name, value, f"a whole number of steps, at least 1 and at most {MOST_STEPS:.0e}", f"{name}=1000"
                )
            object.__setattr__(self, name, int(value))


@dataclass(frozen=True)
class Clock:
    """How often the lr changes: the run counted in updates of the schedule.

    Args:
        run: what is known of the run.
        stride: optimizer steps between two updates: 1, or the steps of an epoch for a staircase.
    """

    run: RunLength
    stride: int = 1

    @classmethod
    def of(cls, run: RunLength, update: str) -> "Clock":
        """Return the clock of ``update="step"`` or ``update="epoch"``.

        Raises:
            ValueError: for "epoch" when the steps per epoch are unknown.
        """
        if update == "step":
            return cls(run)
        if run.steps_per_epoch is None:
            raise ValueError(
                "update = 'epoch' needs the steps per epoch of the run, which are unknown. "
                "Pass steps_per_epoch=..., for example LearningRateScheduler(..., steps_per_epoch=1000)"
            )
        return cls(run, run.steps_per_epoch)

    @property
    def total(self) -> int | None:
        """Updates of the whole run, or None where it has no known end."""
        return None if self.run.total_steps is None else -(-self.run.total_steps // self.stride)

    def updates(self, duration: "DurationLike", name: str) -> int:
        """Return a duration in updates, at least 1.

        Raises:
            ValueError: if the length of the run is needed and unknown, or if a staircase cannot end there.
        """
        length = Duration(duration, name)
        whole, short = self.total, name.rpartition(".")[2]
        if self.stride == 1 or (whole is None and length.unit == "share"):
            return length.resolve(self.run, name)
        if whole is not None and length.unit == "share":
            epochs = round_half_up(Fraction(length.amount) * whole)
            if epochs < 1:
                raise ValueError(
                    f"{name} = {str(length)!r} is less than one epoch here: {length} of {whole} epochs. Give at least "
                    f"one with update='epoch', for example {short}='1ep', or use update='step'"
                )
            return epochs
        steps = Fraction(length.amount) * (1 if length.unit == "steps" else self.stride)
        if steps % self.stride:
            raise ValueError(
                f"{name} = {str(length)!r} does not end with an epoch ({self.stride} steps), and update='epoch' "
                f"changes the lr only there. Give whole epochs, for example "
                f"{short}='{max(1, round_half_up(steps / self.stride))}ep', or use update='step'"
            )
        return int(steps // self.stride)


def _read(value: object, name: str) -> tuple[Decimal, Unit]:
    """Split what the user wrote into an amount and a unit, without judging the amount."""
    short = name.rpartition(".")[2]
    if isinstance(value, Duration):
        return value.amount, value.unit
    if isinstance(value, Integral) and not isinstance(value, bool):
        return Decimal(int(value)), "steps"
    if isinstance(value, Real) and not isinstance(value, bool):
        try:
            return _share(Decimal(repr(float(value))), value, name)
        except OverflowError:
            raise refusal(name, value, _ALLOWED, f"{short}='10ep'") from None
    found = _TEXT.match(value) if isinstance(value, str) and len(value) <= _LONGEST_TEXT else None
    unit = _UNITS.get(found["unit"].lower()) if found else None
    if found is None or unit is None:
        raise refusal(name, value, _ALLOWED, f"{short}='10ep'")
    amount = Decimal(found["amount"].replace("_", ""))
    if unit == "share":
        return amount / 100, "share"
    if not found["unit"] and ("." in found["amount"] or "e" in found["amount"].lower()):
        return _share(amount, value, name)
    return amount, unit


def _share(amount: Decimal, value: object, name: str) -> tuple[Decimal, Unit]:
    """Read a bare number with a decimal point: a share of the run below 1, ambiguous from 1 on."""
    if amount.is_finite() and 1 <= amount <= MOST_STEPS:
        short = name.rpartition(".")[2]
        steps = f"for steps write {short}={int(amount)}, for a share of the run"
        if amount > 100:
            raise ValueError(
                f"{name} = {value!r} is refused, because it is too much for a share of the run and has a decimal point "
                f"or an exponent, as steps have not: {steps} for example {short}='5%'"
            )
        shares = [f"{short}='{_digits(amount)}%'"]
        if amount < 100:
            shares.append(f"{short}={_digits(amount / 100)}")
        whole = f" ({short}='100%' for all of it)" if amount == 1 else ""
        raise ValueError(
            f"{name} = {value!r} is refused, because it can be read in two ways: {steps} write "
            f"{' or '.join(shares)}{whole}"
        )
    return amount, "share"


def _digits(amount: Decimal) -> str:
    """Write a decimal without exponent and without zeros that carry nothing."""
    text = format(amount, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
