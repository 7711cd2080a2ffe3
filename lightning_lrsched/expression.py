"""Schedules written as text: a Python call, or the class_path and init_args of a YAML file. Nothing is executed."""

import ast
from collections.abc import Mapping
from difflib import get_close_matches
from inspect import signature
from typing import Any

import lightning_lrsched.schedules as planned
from lightning_lrsched.checks import refusal
from lightning_lrsched.room import Schedule
from lightning_lrsched.warmup import Cooldown, Warmup

_EXAMPLE = "\"SGDR(T_0='10ep', T_mult=2)\""
CONFIG_EXAMPLE = "{class_path: SGDR, init_args: {T_0: 10ep, T_mult: 2}}"
_UNREADABLE = (SyntaxError, ValueError, TypeError, RecursionError, MemoryError)  # what ast raises for odd text


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

    Also read, so that a stored plan can be read back: ``class`` with the arguments beside it, as `Plan.to_dict` writes
    it. The arguments alone mean a `Warmup`.

    Raises:
        ValueError: if the class is not one of this package's schedules, or does not take the arguments.

    >>> from_config({"class_path": "Cosine", "init_args": {"eta_min": 1e-5}})
    Cosine(eta_min=1e-05)
    """
    if isinstance(value, str) and value.isidentifier() and _known(value) is not None:
        return _build(value, (), {})
    if isinstance(value, list | tuple):
        return [from_config(each) for each in value]
    if not isinstance(value, Mapping):
        return value
    path, arguments = value.get("class", "Warmup"), {key: each for key, each in value.items() if key != "class"}
    if "class_path" in value:
        path, arguments = value["class_path"], value.get("init_args") or {}
        if not isinstance(arguments, Mapping) or set(value) - {"class_path", "init_args"}:
            allowed = "class_path and init_args, with the arguments by name in init_args"
            raise refusal("schedule", dict(value), allowed, CONFIG_EXAMPLE)
    if not isinstance(path, str) or ("." in path and path.partition(".")[0] != __name__.partition(".")[0]):
        raise refusal("class_path", path, f"one of {_names()}", CONFIG_EXAMPLE)
    return _build(path.rpartition(".")[2], (), {key: from_config(each) for key, each in arguments.items()})


def _parse(text: str) -> object:
    """Return the value of a call with literal arguments."""
    if not isinstance(text, str):
        raise refusal("schedule", text, f"the text of a call of one of {_names()}", _EXAMPLE)
    try:
        node: ast.expr = ast.parse(text.strip(), mode="eval").body
    except _UNREADABLE as error:
        raise refusal("schedule", text, f"a call of one of {_names()}", _EXAMPLE) from error
    return _value(node, text)


def _value(node: ast.expr, text: str) -> object:
    """Return the value of a node: a literal, a known class, or a call of one."""
    if isinstance(node, ast.Name):
        return _build(node.id, (), {})
    if isinstance(node, ast.List | ast.Tuple):
        return [_value(item, text) for item in node.elts]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and all(word.arg for word in node.keywords):
        if len({word.arg for word in node.keywords}) < len(node.keywords):
            raise refusal("schedule", text, "a call with every keyword once", _EXAMPLE)
        positional = [_value(argument, text) for argument in node.args]
        return _build(node.func.id, positional, {str(word.arg): _value(word.value, text) for word in node.keywords})
    try:
        return ast.literal_eval(node)
    except _UNREADABLE as error:
        raise refusal("schedule", text, "a call with literal arguments", _EXAMPLE) from error


def _build(name: str, positional: Any, named: dict[str, Any]) -> object:
    """Return an instance of a known class."""
    known = _known(name)
    if known is None:
        raise refusal("schedule", name, f"one of {_names()}", _EXAMPLE)
    try:
        signature(known).bind(*positional, **named)
    except TypeError as error:
        unknown = [word for word in named if word not in signature(known).parameters]
        if unknown:
            raise misnamed(known, str(unknown[0]), _EXAMPLE) from None
        raise ValueError(f"{name}: {error}. It takes {_parameters(known)}. For example: {_EXAMPLE}") from None
    return known(*positional, **named)


def misnamed(kind: type, word: str, example: str) -> ValueError:
    """Return the error for a parameter that a class does not have: it names the closest one, and all of them."""
    close = get_close_matches(word, signature(kind).parameters, 1)
    meant = f", did you mean {close[0]!r}?" if close else "."
    return ValueError(
        f"{kind.__name__}: there is no parameter {word!r}{meant} It takes {_parameters(kind)}. For example: {example}"
    )


def _parameters(kind: type) -> str:
    return ", ".join(signature(kind).parameters) or "nothing"


def _known(name: str) -> type | None:
    """Return the class of a name that may be written."""
    if name in planned.__all__:
        return getattr(planned, name)  # type: ignore[no-any-return]
    return {"Warmup": Warmup, "Cooldown": Cooldown}.get(name)


def _names() -> str:
    return ", ".join(planned.__all__)
