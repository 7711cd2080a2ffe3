"""Schedules written as text: a Python call, or the class_path and init_args of a YAML file. Nothing is executed."""

import ast
from collections.abc import Mapping
from difflib import get_close_matches
from functools import partial
from inspect import Signature, signature
from typing import Any

import lightning_lrsched.schedules as planned
from lightning_lrsched.checks import refusal
from lightning_lrsched.room import Main
from lightning_lrsched.warmup import Cooldown, Warmup

_EXAMPLE = "\"SGDR(T_0='10ep', T_mult=2)\""
_DRIVEN_EXAMPLE = '"StepLR(step_size=30)"'
CONFIG_EXAMPLE = "{class_path: SGDR, init_args: {T_0: 10ep, T_mult: 2}}"
FACTORY_EXAMPLE = (
    "{class_path: TorchScheduler, init_args: {factory: {class_path: torch.optim.lr_scheduler.StepLR, "
    "init_args: {step_size: 30}}}}"
)
A_SCHEDULE = "a schedule: one of torch is the factory of a TorchScheduler"
_DRIVEN = ("Plateau", "TorchScheduler")  # known without a look at torch
_UNREADABLE = (SyntaxError, ValueError, TypeError, RecursionError, MemoryError)  # what ast raises for odd text


def parse_schedule(text: str) -> Main:
    """Return the schedule that a Python call describes, with literal arguments only.

    Besides the schedules of this package, a scheduler of torch may be called, without the optimizer: it becomes the
    factory of a `TorchScheduler`.

    Args:
        text: such as ``SGDR(T_0='10ep', T_mult=2)``, just ``Cosine``, ``StepLR(step_size=30)``, or
            ``TorchScheduler(StepLR(30), interval='step')``.

    Raises:
        ValueError: if it is no call of a known schedule; the message lists the ones that exist.

    >>> parse_schedule("SGDR('10ep', T_mult=2)")
    SGDR(T_0='10ep', T_mult=2)
    >>> parse_schedule("StepLR(30)")
    TorchScheduler(partial(StepLR, step_size=30))
    """
    part = _parse(text)
    if isinstance(part, partial):
        part = _build("TorchScheduler", (part,), {})
    if not isinstance(part, Main):
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
    it. The arguments alone mean a `Warmup`. A scheduler of torch, which is the ``factory`` of a `TorchScheduler`,
    becomes a `functools.partial`. Nothing is imported by its path.

    Raises:
        ValueError: if the class is neither one of this package's schedules nor one of torch's, or does not take the
            arguments.

    >>> from_config({"class_path": "Cosine", "init_args": {"eta_min": 1e-5}})
    Cosine(eta_min=1e-05)
    """
    if isinstance(value, str) and (value in _DRIVEN or _planned(value) is not None):
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
    name = _named_by(path)
    if name == "TorchScheduler" and isinstance(arguments.get("factory"), str):
        arguments = {**arguments, "factory": {"class_path": arguments["factory"]}}
    return _build(name, (), {key: from_config(each) for key, each in arguments.items()})


def main_from_config(value: object, name: str = "main") -> Main:
    """Return the main schedule that a YAML file describes; see `from_config`.

    Args:
        value: what the file says.
        name: the parameter that messages name.

    Raises:
        ValueError: as `from_config`, and if it describes something else.
    """
    main = from_config(value)
    if isinstance(main, partial):
        raise refusal(name, value, A_SCHEDULE, FACTORY_EXAMPLE)
    if not isinstance(main, Main):
        raise refusal(name, value, f"one of {_all_names(value)}", CONFIG_EXAMPLE)
    return main


def _named_by(path: object) -> str:
    """Return the class name of a path, refused where the path leads anywhere but to that class."""
    module, _, name = path.rpartition(".") if isinstance(path, str) else ("", "", "")
    package = __name__.partition(".")[0]
    known = _known(name)
    home = package if known is None else known.__module__
    ours = module.partition(".")[0] == home.partition(".")[0] == package
    if not name or not (ours or module in ("", home)):
        raise refusal("class_path", path, f"one of {_all_names(name)}", CONFIG_EXAMPLE)
    return name


def _parse(text: str) -> object:
    """Return the value of a call with literal arguments."""
    if not isinstance(text, str):
        raise refusal("schedule", text, f"the text of a call of one of {_names()}", _EXAMPLE)
    try:
        node: ast.expr = ast.parse(text.strip(), mode="eval").body
    except _UNREADABLE as error:
        allowed = "a call as in Python, with quotes around a length that has a unit"
        raise refusal("schedule", text, allowed, _EXAMPLE) from error
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
        return _called(node.func.id, node, text)
    try:
        return ast.literal_eval(node)
    except _UNREADABLE as error:
        raise refusal("schedule", text, "a call with literal arguments", _EXAMPLE) from error


def _called(name: str, node: ast.Call, text: str) -> object:
    """Return the value of a call by a name, also of the ``partial`` that stands in the repr of a `TorchScheduler`."""
    given = node.args
    if name == "partial" and len(given) == 1 and isinstance(given[0], ast.Name) and _waits(_class_of(given[0].id)):
        name, given = given[0].id, []
    _class_of(name)  # before its arguments: a function is none of them
    positional = [_value(argument, text) for argument in given]
    return _build(name, positional, {str(word.arg): _value(word.value, text) for word in node.keywords})


def _build(name: str, positional: Any, named: dict[str, Any]) -> object:
    """Return an instance of a known class; of one that is made for an optimizer, what makes it."""
    kind = _class_of(name)
    takes = _takes(kind)
    example = _DRIVEN_EXAMPLE if _waits(kind) else _EXAMPLE
    try:
        bound = takes.bind(*positional, **named)
    except TypeError as error:
        unknown = [word for word in named if word not in takes.parameters]
        if unknown:
            raise misnamed(kind, str(unknown[0]), example) from None
        raise ValueError(f"{name}: {error}. It takes {_parameters(kind)}. For example: {example}") from None
    return partial(kind, **bound.arguments) if _waits(kind) else kind(*positional, **named)


def _class_of(name: str) -> type:
    """Return the class of a name, or refuse it."""
    known = _known(name)
    if known is not None:
        return known
    if name == "optimizer":
        raise refusal("schedule", name, "left out: a schedule is given it later", _DRIVEN_EXAMPLE)
    raise refusal("schedule", name, f"one of {_all_names(name)}", _EXAMPLE)


def _waits(kind: type) -> bool:
    """Return whether a class is made when the optimizer is known: one of torch's."""
    return "optimizer" in signature(kind).parameters


def misnamed(kind: type, word: str, example: str) -> ValueError:
    """Return the error for a parameter that a class does not have: it names the closest one, and all of them."""
    close = get_close_matches(word, _takes(kind).parameters, 1)
    meant = f", did you mean {close[0]!r}?" if close else "."
    return ValueError(
        f"{kind.__name__}: there is no parameter {word!r}{meant} It takes {_parameters(kind)}. For example: {example}"
    )


def _parameters(kind: type) -> str:
    return ", ".join(_takes(kind).parameters) or "nothing"


def _takes(kind: type) -> Signature:
    """Return the parameters of a class without the optimizer, which a scheduler of torch is given later."""
    whole = signature(kind)
    return whole.replace(parameters=[each for each in whole.parameters.values() if each.name != "optimizer"])


def _known(name: str) -> type | None:
    """Return the class of a name that may be written.

    Raises:
        ValueError: if it is a scheduler of torch that text cannot describe.
    """
    found = _planned(name)
    if found is None:
        from lightning_lrsched.torch_names import driven_class  # torch takes its time

        found = driven_class(name)
    return found


def _planned(name: str) -> type | None:
    """Return the class of a name that needs no torch."""
    if name in planned.__all__:
        return getattr(planned, name)  # type: ignore[no-any-return]
    return {"Warmup": Warmup, "Cooldown": Cooldown}.get(name)


def _names() -> str:
    return ", ".join(planned.__all__)


def _all_names(wrong: object) -> str:
    """Return all names that may stand for a schedule, with the one that is close to a wrong one."""
    from lightning_lrsched.torch_names import driven_names

    close = get_close_matches(str(wrong), (*planned.__all__, *driven_names()), 1)
    return ", ".join((_names(), *driven_names())) + (f" (did you mean {close[0]}?)" if close else "")
