"""Optimizers around another one: the steps of one that calls hooks are counted, of one that does not it is told."""

from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
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


def test_a_step_that_calls_that_of_its_base_class_is_one(tmp_path: Path) -> None:
    """Also where a plain optimizer of the base class was made before: from then on torch has both call the hooks."""
    used: list[float] = []

    class Plain(SGD):
        def step(self, closure: Any = None) -> Any:
            return super().step(closure)

    class Decays(Plain):
        def step(self, closure: Any = None) -> Any:
            before = self.param_groups[0]["lr"]
            loss = super().step(closure)
            used.append(self.param_groups[0]["lr"])  # the lr of this step still
            assert used[-1] == before
            return loss

    def configure(module: Tiny) -> Optimizer:
        Plain(module.parameters(), lr=LR)
        return Decays(module.parameters(), lr=LR)

    callback = LearningRateScheduler(Cosine(), warmup=3)
    make_trainer(tmp_path, callback).fit(Tiny(configure), loader(6))
    assert used == expected(callback, 12)


@pytest.mark.parametrize("at", ["outer", "inner"])
def test_a_step_of_two_classes_that_raises_and_is_caught_is_none(tmp_path: Path, at: str) -> None:
    class Plain(SGD):
        failing = False

        def step(self, closure: Any = None) -> Any:
            if at == "inner" and self.failing:
                raise RuntimeError("out of memory")
            return super().step(closure)

    class Fails(Plain):
        def step(self, closure: Any = None) -> Any:
            if at == "outer" and self.failing:
                raise RuntimeError("out of memory")
            return super().step(closure)

    class Catches(Tiny):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False

        def configure_optimizers(self) -> Optimizer:
            Plain(self.parameters(), lr=LR)
            return Fails(self.parameters(), lr=LR)

        def training_step(self, batch: Any, batch_idx: int) -> None:
            optimizer: Any = self.optimizers()
            optimizer.optimizer.failing = batch_idx == 2
            optimizer.zero_grad()
            self.manual_backward(self.weight.sum())
            with suppress(RuntimeError):
                optimizer.step()

    callback = LearningRateScheduler(Cosine(), warmup=3, total_steps=12)
    make_trainer(tmp_path, callback).fit(Catches(), loader(6))
    assert [scheduler.real_steps for scheduler in callback.schedulers] == [10]
