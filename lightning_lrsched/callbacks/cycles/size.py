"""How large a checkpoint will be at least, before the first one is written."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, Adam, Adamax, AdamW, NAdam, Optimizer, RAdam, RMSprop

_ADAMS = (Adam, AdamW, Adamax, NAdam, RAdam)


def weights_bytes(module: torch.nn.Module) -> int:
    """Return the bytes of a module's weights."""
    return sum(map(_bytes, _tensors(module.state_dict())))


def states_bytes(optimizers: Iterable[Optimizer]) -> int:
    """Return the bytes that the states of optimizers have at least.

    Before its first step an optimizer has none. Then it is known for torch's SGD, RMSprop and the Adam family, by
    their settings; for all others nothing is assumed, since a fit must not be refused by a guess.
    """
    return sum(_there(optimizer) or _to_come(optimizer) for optimizer in optimizers)


def _there(optimizer: Optimizer) -> int:
    """Return the bytes of the states that an optimizer has."""
    return sum(map(_bytes, _tensors(dict(optimizer.state))))


def _to_come(optimizer: Optimizer) -> int:
    """Return the bytes of the states that an optimizer gets with its first step."""
    return sum(
        _copies(type(optimizer), group) * sum(_bytes(each) for each in group["params"] if each.requires_grad)
        for group in optimizer.param_groups
    )


def _copies(kind: type[Optimizer], group: Mapping[str, Any]) -> int:
    """Return how many values an optimizer keeps for each parameter of a group."""
    if kind in _ADAMS:
        return 2 + bool(group.get("amsgrad"))
    if kind is SGD:
        return int(bool(group["momentum"]))
    if kind is RMSprop:
        return 1 + bool(group["momentum"]) + bool(group["centered"])
    return 0


def _tensors(values: Mapping[Any, Any]) -> Iterator[Tensor]:
    """Yield the tensors in a state, nested ones too."""
    for value in values.values():
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, Mapping):
            yield from _tensors(value)


def _bytes(tensor: Tensor) -> int:
    """Return the bytes of a tensor; of one that is spread over ranks, all of them."""
    return tensor.numel() * tensor.element_size()
