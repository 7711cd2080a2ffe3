"""Schedules written as text: a Python call, or the class_path and init_args of a YAML file. Nothing is executed."""

import ast
from collections.abc import Mapping
from typing import Any

from lightning_lrsched import schedules
from lightning_lrsched.checks import refusal
from lightning_lrsched.room import Schedule
from lightning_lrsched.warmup import Cooldown, Warmup

_EXAMPLE = "\"SGDR(T_0='10ep', T_mult=2)\""


def parse_schedule(text: str) -> Schedule:
    """Return the schedule that a Python call describes, with literal arguments only.

    Args:
        text: such as ``SGDR(T_0='10ep', T_mult=2)`` or just ``Cosine``.

    Raises:
        ValueError: if it is no call of a known schedule; the message lists the ones that exist.

    >>> parse_schedule("SGDR('10ep', T_mult=2)")
    SGDR(T_0='10ep', T_mult=2)
    """
    part = _parse(text)
    if not isinstance(part, Schedule):
        raise refusal("schedule", text, f"a call of one of {_names()}", _EXAMPLE)
    return part


def parse_part(text: str) -> object:
    """Return a warmup or cooldown from the same text that a parameter takes: a duration, or a call.

    >>> parse_part("Warmup('5%', shape='cosine')")
    Warmup(duration='5%', shape='cosine')
    """
    return _parse(text) if "(" in text else text


def from_config(value: object) -> object:
    """Return what a YAML file describes by ``class_path`` and ``init_args``; plain values as they are.

    Raises:
        ValueError: if the class is not one of this package's schedules.
    """
    if isinstance(value, str) and value.isidentifier() and _known(value) is not None:
        return _build(value, (), {})
    if not isinstance(value, Mapping):
        return value
    name = str(value.get("class_path", "Warmup")).rpartition(".")[2]
    arguments = value.get("init_args", {}) if "class_path" in value else value
    return _build(name, (), dict(arguments or {}))


def _parse(text: str) -> object:
    """Return the value of a call with literal arguments."""
    try:
        node: ast.expr = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        raise refusal("schedule", text, f"a call of one of {_names()}", _EXAMPLE) from error
    return _value(node, text)


def _value(node: ast.expr, text: str) -> object:
    """Return the value of a node: a literal, a known class, or a call of one."""
    if isinstance(node, ast.Name):
        return _build(node.id, (), {})
    if isinstance(node, ast.List | ast.Tuple):
        return [_value(item, text) for item in node.elts]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and all(word.arg for word in node.keywords):
        positional = [_value(argument, text) for argument in node.args]
        return _build(node.func.id, positional, {str(word.arg): _value(word.value, text) for word in node.keywords})
    try:
        return ast.literal_eval(node)
    except ValueError as error:
        raise refusal("schedule", text, "a call with literal arguments", _EXAMPLE) from error


def _build(name: str, positional: Any, named: dict[str, Any]) -> object:
    """Return an instance of a known class."""
    known = _known(name)
    if known is None:
        raise refusal("schedule", name, f"one of {_names()}", _EXAMPLE)
    try:
        return known(*positional, **named)
    except TypeError as error:
        raise ValueError(
            f"{name}: {str(error).partition('__init__() ')[2] or error}. For example: {_EXAMPLE}"
        ) from None


def _known(name: str) -> type | None:
    """Return the class of a name that may be written."""
    if name in schedules.__all__:
        return getattr(schedules, name)  # type: ignore[no-any-return]
    return {"Warmup": Warmup, "Cooldown": Cooldown}.get(name)


def _names() -> str:
    return ", ".join(schedules.__all__)
