"""What makes a torch scheduler for an optimizer: how it is written, and why it cannot be called."""

import re
from collections.abc import Callable
from functools import partial
from inspect import Parameter, signature
from typing import Any

from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def call_of(factory: Callable[..., object]) -> str:
    """Return how a factory is written; of a partial, the class that it makes."""
    if not isinstance(factory, partial):
        return getattr(factory, "__qualname__", type(factory).__qualname__)
    made, args = _made(factory)
    given = [*map(repr, args), *(f"{name}={value!r}" for name, value in factory.keywords.items())]
    return _ADDRESS.sub("", f"partial({', '.join([call_of(made), *given])})")


def why_not_callable(factory: Callable[..., object]) -> str | None:
    """Return why a factory cannot be called with an optimizer alone; None if it can, or where nobody knows.

    >>> why_not_callable(lambda optimizer, step_size: None)
    "missing a required argument: 'step_size'"
    """
    made, args = _made(factory)
    keywords = factory.keywords if isinstance(factory, partial) else {}
    try:
        takes = signature(made)
    except (TypeError, ValueError):  # something built in
        return None
    try:
        takes.bind(*args, None, **keywords)
    except TypeError as error:
        return str(error)
    return None


def wrapped_example(value: object) -> str | None:
    """Return how a torch scheduler, its class or a partial of it is given to this package; None for anything else.

    >>> from torch.optim.lr_scheduler import StepLR
    >>> wrapped_example(StepLR), wrapped_example(partial(StepLR, step_size=30))
    ('TorchScheduler(partial(StepLR, step_size=...))', 'TorchScheduler(partial(StepLR, step_size=30))')
    """
    keywords = dict(value.keywords) if isinstance(value, partial) else {}
    made = _made(value)[0]
    kind = made if isinstance(made, type) else type(made)
    if not issubclass(kind, LRScheduler):
        return None
    if issubclass(kind, ReduceLROnPlateau):
        return "Plateau('val_loss')"
    takes = signature(kind).parameters
    written = {name: repr(each) for name, each in keywords.items() if name in takes and name != "optimizer"}
    for name, parameter in takes.items():
        needed = parameter.default is Parameter.empty and parameter.kind is Parameter.POSITIONAL_OR_KEYWORD
        if needed and name != "optimizer" and name not in written:
            held = getattr(made, name, None) if made is not kind else None
            written[name] = repr(held) if isinstance(held, int | float) else "..."
    given = "".join(f", {name}={text}" for name, text in written.items())
    return f"TorchScheduler(partial({kind.__name__}{given}))" if given else f"TorchScheduler({kind.__name__})"


def _made(factory: Any) -> tuple[Any, tuple[object, ...]]:
    """Return what a factory calls, and the arguments by position; of a partial that LightningCLI wraps, its class."""
    if not isinstance(factory, partial):
        return factory, ()
    parts = (factory.func, *factory.args)
    place = next((place for place, part in enumerate(parts) if isinstance(part, type)), 0)
    return parts[place], parts[place + 1 :]
