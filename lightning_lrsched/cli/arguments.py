"""What the commands share: how a mistake is told, and how arguments are read and checked."""

import argparse
import math
from importlib import util
from pathlib import Path

_PICTURES = (".png", ".svg", ".pdf")


class CommandError(Exception):
    """A command that cannot be carried out; the message says what to change."""


def number(text: str) -> float:
    """Return a finite number from an argument."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"{text!r} is not a finite number, such as 0.25")
    return number


def positive(text: str) -> float:
    """Return a finite number above 0 from an argument."""
    value = number(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not above 0, such as 0.1")
    return value


def count(text: str) -> int:
    """Return a whole number of at least 1 from an argument."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1, such as 100")
    return value


def check_installed(extra: str, *names: str) -> None:
    """Refuse to start where an optional package is missing, with the extra that has it."""
    missing = [name for name in names if util.find_spec(name) is None]
    if missing:
        named = ", ".join(missing[:-1]) + " and " * (len(missing) > 1) + missing[-1]
        verb = "are" if len(missing) > 1 else "is"
        raise CommandError(f"{named} {verb} missing; install with: pip install 'lightning-lrsched[{extra}]'")


def check_picture(path: Path, option: str, example: str) -> None:
    """Refuse a picture that could not be written, before anything is done for it."""
    if path.suffix.lower() not in _PICTURES:
        raise CommandError(f"{option} {path} must end in {', '.join(_PICTURES)}, for example {option} {example}")
    if not path.parent.is_dir():
        raise CommandError(f"{option} {path}: there is no folder {path.parent}")
