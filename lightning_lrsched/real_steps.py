"""Real steps of an optimizer, each told once: updates that really happened, whatever its ``step`` is made of."""

from collections.abc import Callable
from inspect import unwrap
from typing import Any, TypeAlias

import torch
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

Observer: TypeAlias = Callable[[int, list[float]], None]
"""Called after each real step with its index (from 0) and the lr that it used in every parameter group."""

Hook: TypeAlias = Callable[..., None]


def hook_steps(optimizer: Optimizer, before: Hook, after: Hook) -> list[RemovableHandle]:
    """Have two functions called before and after each step of an optimizer; return what takes them away.

    Raises:
        ValueError: if the optimizer tells nobody of its steps.
    """
    handles: list[RemovableHandle] = []
    try:
        if isinstance(optimizer, Optimizer):
            optimizer._patch_step_function()  # torch's constructor does it, which timm's Lookahead leaves out
        before, after = once_a_step(type(optimizer), before, after)
        handles.append(optimizer.register_step_pre_hook(before))
        handles.append(optimizer.register_step_post_hook(after))
    except AttributeError as missing:
        raise ValueError(
            f"{type(optimizer).__name__} tells nobody of its steps ({missing}), and they are what is counted. "
            "Derive it from torch.optim.Optimizer and call super().__init__(params, defaults), or return the optimizer "
            "inside it from configure_optimizers"
        ) from None
    return handles


def once_a_step(kind: type, before: Hook, after: Hook) -> tuple[Hook, Hook]:
    """Return hooks that are called once a step, also where a class of optimizers calls the step of its base class.

    torch has the step of each class call the hooks from the first instance of that very class on. A step that calls
    ``super().step()`` then calls them twice.
    """
    steps = [vars(each)["step"] for each in kind.__mro__ if "step" in vars(each)]
    most = len({unwrap(step) for step in steps if hasattr(step, "hooked")})
    if most < 2:
        return before, after
    depth = 0

    def begins(*args: Any) -> None:
        nonlocal depth
        depth = min(depth + 1, most)  # one that raised has left its own behind
        before(*args)

    def ends(*args: Any) -> None:
        nonlocal depth
        depth -= 1
        if depth == 0:
            after(*args)

    return begins, ends


def moves_nothing(optimizer: Optimizer) -> bool:
    """Return whether every lr and every gradient is 0: such a step is no update.

    torch's distributed checkpoints call ``step(closure=None)`` so to give an optimizer its states, and SGD, which gets
    none, at every save.
    """
    groups = optimizer.param_groups
    if any(float(group["lr"]) != 0.0 for group in groups):
        return False
    gradients = (parameter.grad for group in groups for parameter in group["params"] if parameter.grad is not None)
    return not any(bool(getattr(each, "_local_tensor", each).any()) for each in gradients)


class StepCounter:
    """Counts real steps where no scheduler of this package does.

    Args:
        optimizer: the optimizer whose updates count.
        real_steps: how many there were before.

    Raises:
        ValueError: if the optimizer tells nobody of its steps.
    """

    def __init__(self, optimizer: Optimizer, real_steps: int = 0) -> None:
        """Begin to count."""
        self.optimizer = optimizer
        self.real_steps = real_steps
        self.observers: list[Observer] = []
        self._hooks = hook_steps(optimizer, _nothing, self._after_step)

    def disarm(self) -> None:
        """Stop counting."""
        for hook in self._hooks:
            hook.remove()
        self._hooks, self.observers = [], []

    def _after_step(self, optimizer: Optimizer, args: object, kwargs: dict[str, Any]) -> None:
        """Count an update, unless a scaler told a fused optimizer to skip it, or it was none."""
        if torch.compiler.is_dynamo_compiling():
            self._after_step_outside(optimizer, args, kwargs)
            return
        none = kwargs.get("closure", self) is None and moves_nothing(optimizer)
        if not none and not bool(optimizer.__dict__.get("found_inf", False)):
            used = [float(group["lr"]) for group in optimizer.param_groups]
            for observer in self.observers:
                observer(self.real_steps, used)
            self.real_steps += 1

    # Out of the graph of a compiled optimizer.step, with all that the observers do.
    _after_step_outside = torch.compiler.disable(_after_step)  # type: ignore[no-untyped-call]


def _nothing(*args: Any) -> None:
    """Look at no step before it is made."""
