"""Optimizers around another one: the steps of one that calls hooks are counted, of one that does not it is told."""

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lightning.fabric.utilities.exceptions import MisconfigurationException
from torch.optim import SGD, Optimizer

from lightning_lrsched import Cosine, LearningRateScheduler
from tests.callbacks.models import LR, Tiny, expected, loader, make_trainer


class Outer(Optimizer):
    """Steps an optimizer inside it. As timm's Lookahead it leaves out torch's constructor."""

    def __init__(self, inner: Optimizer) -> None:
        self.inner = inner
        self.param_groups, self.defaults, self.state = inner.param_groups, inner.defaults, inner.state

    def step(self, closure: Any = None) -> Any:
        return self.inner.step(closure)


class Duck:
    """Has what Lightning asks of an optimizer, and no more."""

    def __init__(self, inner: Optimizer) -> None:
        self.inner = inner
        self.param_groups, self.defaults, self.state = inner.param_groups, inner.defaults, inner.state

    def step(self, closure: Any = None) -> Any:
        return self.inner.step(closure)

    def zero_grad(self) -> None:
        self.inner.zero_grad()

    def state_dict(self) -> Any:
        return self.inner.state_dict()

    def load_state_dict(self, state: Any) -> None:
        self.inner.load_state_dict(state)


def noting(module: Tiny, lrs: list[float]) -> SGD:
    """An optimizer that notes the lr of each of its steps."""
    optimizer = SGD(module.parameters(), lr=LR)
    optimizer.register_step_pre_hook(lambda *_: lrs.append(optimizer.param_groups[0]["lr"]))
    return optimizer


def test_a_wrapper_without_torchs_constructor_is_counted_from_its_first_step_on(tmp_path: Path) -> None:
    class Lookahead(Outer):
        def __init__(self, inner: Optimizer) -> None:
            super().__init__(inner)
            self._optimizer_step_pre_hooks = OrderedDict()
            self._optimizer_step_post_hooks = OrderedDict()

        def step(self, closure: Any = None) -> Any:
            return self.inner.step(closure)

    lrs: list[float] = []
    callback = LearningRateScheduler(Cosine(), warmup=3)
    make_trainer(tmp_path, callback).fit(Tiny(lambda module: Lookahead(noting(module, lrs))), loader(6))
    assert lrs == expected(callback, 12)


@pytest.mark.parametrize("made", [Outer, Duck])
def test_an_optimizer_that_calls_no_hooks_is_refused(tmp_path: Path, made: Callable[[Optimizer], Any]) -> None:
    module = Tiny(lambda module: made(SGD(module.parameters(), lr=LR)))
    name = getattr(made, "__name__", "")
    with pytest.raises(MisconfigurationException, match=rf"{name} tells nobody of its steps .*or return the optimizer"):
        make_trainer(tmp_path, LearningRateScheduler(Cosine(), warmup=3)).fit(module, loader(6))
    assert module.batches == 0


def test_steps_that_another_optimizer_makes_are_told_once(tmp_path: Path) -> None:
    class Steps(Tiny):
        def optimizer_step(
            self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Callable[[], Any] | None = None
        ) -> None:
            SGD(self.parameters(), lr=LR).step(optimizer_closure)

    with pytest.warns(UserWarning, match="counts 6 steps in epoch 0, and SGD made none that is seen: the lr") as told:
        make_trainer(tmp_path, LearningRateScheduler(Cosine(), warmup=3)).fit(Steps(), loader(6))
    assert sum("none that is seen" in str(warning.message) for warning in told) == 1
