"""The schedulers of torch that text may name, told from torch's own module; nothing else is ever looked up."""

from inspect import Parameter, signature

from torch.optim import lr_scheduler
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from lightning_lrsched.checks import refusal
from lightning_lrsched.torch_schedules import Driven, Plateau, TorchScheduler

_CODE = ("Callable", "LRScheduler")  # words in the type of a parameter that no text can hold
_OURS: tuple[type[Driven], ...] = (TorchScheduler, Plateau)


def scheduler_names() -> tuple[str, ...]:
    """Return the names of torch's schedulers that plain values describe."""
    names = (name for name in lr_scheduler.__all__ if _is_scheduler(name) and _code_in(_class(name)) is None)
    return tuple(name for name in names if name != ReduceLROnPlateau.__name__)


def driven_names() -> tuple[str, ...]:
    """Return the names that `driven_class` knows."""
    return (*(kind.__name__ for kind in _OURS), *scheduler_names())


def driven_class(name: str) -> type | None:
    """Return this package's driven schedule of a name, or torch's scheduler; None if there is neither.

    Raises:
        ValueError: if torch's scheduler cannot be written as text, with what can.
    """
    ours = {kind.__name__: kind for kind in _OURS}
    if name in ours or not _is_scheduler(name):
        return ours.get(name)
    kind = _class(name)
    if kind is ReduceLROnPlateau:
        allowed = (
            "written as Plateau, which says what it is fed with (it cannot be drawn: only training knows the metric)"
        )
        raise refusal("schedule", name, allowed, "Plateau('val_loss', patience=10)")
    code = _code_in(kind)
    if code is not None:
        example = f"TorchScheduler(lambda optimizer: {name}(optimizer, ...)).plot(RunLength(1000), base_lr=0.1)"
        raise refusal("schedule", name, f"written in Python, because text cannot hold its {code}", example)
    return kind


def _is_scheduler(name: str) -> bool:
    """Return whether torch has a scheduler of this name."""
    kind = getattr(lr_scheduler, name, None) if name in lr_scheduler.__all__ else None
    return isinstance(kind, type) and issubclass(kind, LRScheduler) and kind is not LRScheduler


def _class(name: str) -> type[LRScheduler]:
    found: type[LRScheduler] = getattr(lr_scheduler, name)
    return found


def _code_in(kind: type) -> str | None:
    """Return the first parameter that must be given and is a function or a scheduler; None if there is none."""
    needed = (each for each in signature(kind).parameters.values() if each.default is Parameter.empty)
    return next((each.name for each in needed if any(word in str(each.annotation) for word in _CODE)), None)
