"""What jsonargparse says of a wrong configuration, put into one sentence. Texts in, texts out."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module

from torch.optim.lr_scheduler import LRScheduler

from lightning_lrsched.callbacks import __all__ as callback_names
from lightning_lrsched.checks import refusal
from lightning_lrsched.expression import A_SCHEDULE, CONFIG_EXAMPLE, FACTORY_EXAMPLE, misnamed
from lightning_lrsched.room import Main
from lightning_lrsched.schedules import __all__ as schedule_names
from lightning_lrsched.torch_names import scheduler_names
from lightning_lrsched.torch_schedules import Driven, TorchScheduler

_PACKAGE = __name__.partition(".")[0]
_MAINS = (*schedule_names, *(kind.__name__ for kind in Driven.__subclasses__()))
_CALLBACKS = [name for name in callback_names if not name.startswith("Kept")]
_CALLBACK_EXAMPLE = "{class_path: LearningRateScheduler, init_args: {main: Cosine, warmup: 5%}}"
_EXAMPLES = {
    "LearningRateScheduler": _CALLBACK_EXAMPLE,
    "CycleCheckpoint": "{class_path: CycleCheckpoint, init_args: {monitor: val_loss}}",
    "MLflowTracker": "{class_path: MLflowTracker, init_args: {experiment: digits}}",
    "ScheduleProgress": "{class_path: ScheduleProgress}",
    "TorchScheduler": FACTORY_EXAMPLE,
    "Plateau": "{class_path: Plateau, init_args: {monitor: val_loss, patience: 10}}",
    "Warmup": "warmup: {duration: 5%, shape: cosine}",
    "Cooldown": "cooldown: {duration: 10%, shape: linear}",
}
_METHOD = "MLflowTracker.from_config"
_METHOD_EXAMPLE = f"{{class_path: {_PACKAGE}.{_METHOD}, init_args: {{path: mlflow_configs/local.yaml}}}}"
_LINES = re.compile(
    r"Problem with given class_path '(?P<owner>[\w.]+)'"
    r"|Parser key \"(?P<key>[\w.]+)\""
    r"|expects a function or a callable class: (?=.*(?:\n.*)?Namespace\(class_path='(?P<maker>[\w.]+)')"
    r"|Import path (?P<foreign>[\w.]+) does not correspond to a subclass of Main"
    r"|Option '(?P<option>[^']+)' is not accepted"
    r"|Expected a dot import path string: (?P<name>\S+)"
    r"|module '[\w.]+' has no attribute '(?P<missing>\w+)'"
    r"|the following arguments are required: (?P<needed>\w+)"
    r"|(?P<invalid>Not a valid subclass of (?:Main|Schedule|Warmup|Cooldown))"
    r"|Expected a <class '(?P<type>int|float|str|bool)'>(?:\. Got value: (?P<got>.*?)(?=\. Got value: Namespace|\n|$))?"
    r"|Given value: (?P<given>.*)"
)


@dataclass
class _Place:
    """Where the reader of the message stands: the innermost class and key, from the outside inwards."""

    owner: type | None = None
    key: str = ""


def explain(message: str) -> str | None:
    """Return what is wrong with a schedule or callback of this package, as one sentence with a valid example.

    Args:
        message: what jsonargparse says, with the errors of every member of a union.

    Returns:
        None if the message speaks of nothing of this package; then it should be shown as it is.
    """
    if f"class_path '{_METHOD}'" in message:
        return str(refusal("class_path", _METHOD, "written with its package, for it is a method", _METHOD_EXAMPLE))
    return _explained(message)


def _explained(message: str) -> str | None:
    """Return what is wrong at the place that the message leads to."""
    place, waiting = _Place(), ""
    for line in _lines(message):
        kind, value = next((kind, value) for kind, value in line.items() if value is not None)
        if kind in ("owner", "maker"):
            place = _entered(place, value)
        elif kind == "key":
            place.key = value
        elif kind == "option" and place.owner is not None:
            return _option(place.owner, value)
        elif kind == "needed" and place.owner is not None:
            return _type(_Place(place.owner, value), None, "given")
        elif kind in ("name", "missing", "foreign") and (said := _name(place, value)):
            return said
        elif kind in ("type", "invalid") and place.owner is not None and not waiting:
            waiting = "a schedule" if kind == "invalid" else f"{value}, as the parameter's type is"
            if line["got"] is not None:
                return _type(place, line["got"], waiting)
        elif kind == "given" and waiting:
            return _type(place, value, waiting)
    return None


def refused(error: BaseException) -> str | None:
    """Return the message of an error that this package has raised, or of the first of its causes that is; else None."""
    cause: BaseException | None = error
    while cause is not None:
        trace = cause.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        module = "" if trace is None else str(trace.tb_frame.f_globals.get("__name__"))
        if module.partition(".")[0] == _PACKAGE:
            return str(cause)
        cause = cause.__cause__
    return None


def _lines(message: str) -> Iterator[dict[str, str | None]]:
    """Yield what the message says, from the outside inwards."""
    return (found.groupdict() for found in _LINES.finditer(message))


def _entered(place: _Place, path: str) -> _Place:
    """Return the place inside a class: this package's, or one that is built on it; the same where there is none."""
    module, _, name = path.rpartition(".")
    try:
        kind = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError):
        return place
    ours = path.partition(".")[0] == _PACKAGE or (isinstance(kind, type) and issubclass(kind, Main | LRScheduler))
    return _Place(kind if ours else None)


def _option(owner: type, option: str) -> str:
    """Say which parameters there are."""
    if option == "class_path" or owner is Main:
        return f"A class_path has its arguments in init_args, not beside it. For example: {CONFIG_EXAMPLE}"
    return str(misnamed(owner, option, _example(owner)))


def _name(place: _Place, name: str) -> str | None:
    """Say which names there are; nothing where the name is right, or close to none of ours."""
    short = name.rpartition(".")[2]
    if place.owner is None and place.key not in ("main", "groups", "schedules"):
        if not get_close_matches(short, _CALLBACKS):
            return None
        return str(refusal("class_path", name, _one_of(_CALLBACKS, short), _CALLBACK_EXAMPLE))
    if short in (*_MAINS, "Plan", "Warmup", "Cooldown"):
        return None
    torches = scheduler_names()
    if place == _Place(TorchScheduler, "factory"):
        return str(refusal(_path(place), name, _one_of(torches, short), FACTORY_EXAMPLE))
    if short in torches:
        return str(refusal(_path(place), name, A_SCHEDULE, FACTORY_EXAMPLE))
    return str(refusal(_path(place), name, _one_of(_MAINS, short), CONFIG_EXAMPLE))


def _one_of(names: Sequence[str], wrong: str) -> str:
    """Return the names that there are, with the closest one."""
    close = get_close_matches(wrong, names, 1)
    return "one of " + ", ".join(names) + (f" (did you mean {close[0]}?)" if close else "")


def _type(place: _Place, value: str | None, allowed: str) -> str:
    """Say which type is expected."""
    return str(refusal(_path(place), value, allowed, _example(place.owner)))


def _example(owner: type | None) -> str:
    """Return what is right for a class."""
    if owner is not None and issubclass(owner, LRScheduler):
        return FACTORY_EXAMPLE
    return CONFIG_EXAMPLE if owner is None else _EXAMPLES.get(owner.__name__, CONFIG_EXAMPLE)


def _path(place: _Place) -> str:
    """Return the parameter with its owner."""
    return place.key if place.owner is None else f"{place.owner.__name__}.{place.key}"
