"""Which calls of an optimizer's step are real steps, and that each is told once."""

from collections.abc import Callable
from itertools import groupby
from typing import Any

import pytest
import torch
from torch.optim import SGD

from lightning_lrsched.real_steps import StepCounter, hook_steps


def made(lr: float, gradient: float | None, *, fused: bool = False) -> SGD:
    weight = torch.nn.Parameter(torch.zeros(1))
    weight.grad = None if gradient is None else torch.full((1,), gradient)
    return SGD([weight], lr=lr, fused=fused)


@pytest.mark.parametrize(
    ("lr", "gradient", "call", "counts"),
    [
        pytest.param(0.1, 1.0, lambda step: step(), True, id="a step"),
        pytest.param(0.1, 1.0, lambda step: step(closure=None), True, id="without a closure, by name"),
        pytest.param(0.1, 0.0, lambda step: step(closure=None), True, id="the same with no gradient"),
        pytest.param(0.0, 1.0, lambda step: step(closure=None), True, id="the same with lr 0"),
        pytest.param(0.0, 0.0, lambda step: step(closure=None), False, id="with neither: what FSDP2 calls for states"),
        pytest.param(
            0.0, None, lambda step: step(closure=None), False, id="with lr 0 and gradients that are not there"
        ),
        pytest.param(0.0, 0.0, lambda step: step(), True, id="a training's step with neither"),
        pytest.param(0.0, 0.0, lambda step: step(closure=lambda: 0.0), True, id="a training's step with a closure"),
    ],
)
def test_only_the_step_that_makes_an_optimizers_states_counts_as_none(
    lr: float, gradient: float | None, call: Callable[[Any], object], counts: bool
) -> None:
    counter = StepCounter(made(lr, gradient), 7)
    told: list[tuple[int, list[float]]] = []
    counter.observers.append(lambda step, used: told.append((step, used)))
    call(counter.optimizer.step)
    assert counter.real_steps == 7 + counts
    assert told == [(7, [lr])] * counts


@pytest.mark.parametrize("found_inf", [0.0, 1.0])
def test_a_step_that_a_scaler_tells_a_fused_optimizer_to_skip_is_none(found_inf: float) -> None:
    counter = StepCounter(made(0.1, 1.0, fused=True))
    counter.optimizer.grad_scale = torch.ones(1)  # type: ignore[attr-defined]
    counter.optimizer.found_inf = torch.tensor([found_inf])  # type: ignore[attr-defined]
    counter.optimizer.step()
    assert counter.real_steps == (found_inf == 0.0)


def test_a_counter_that_is_disarmed_counts_and_tells_no_more() -> None:
    counter = StepCounter(made(0.1, 1.0))
    counter.observers.append(lambda step, used: pytest.fail("told"))
    counter.disarm()
    counter.optimizer.step()
    assert counter.real_steps == 0


def test_a_step_that_calls_that_of_its_base_class_has_both_its_hooks_in_order() -> None:
    class Clipped(SGD):
        def step(self, closure: Any = None) -> Any:
            return super().step(closure)

    made(0.1, 1.0)  # from the first instance on, torch has SGD's own step call the hooks too
    optimizer = Clipped([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    called: list[str] = []
    hook_steps(optimizer, lambda *args: called.append("before"), lambda *args: called.append("after"))
    for _ in range(3):
        optimizer.step()
    assert [name for name, _ in groupby(called)] == ["before", "after"] * 3
    assert called.count("after") == 3


def test_an_object_that_is_no_optimizer_and_passes_its_hooks_on_is_counted() -> None:
    class Around:
        def __init__(self, inner: SGD) -> None:
            self.inner = inner

        def __getattr__(self, name: str) -> Any:
            if name.startswith("_"):
                raise AttributeError(name)
            return getattr(self.inner, name)

    counter = StepCounter(Around(made(0.1, 1.0)))  # type: ignore[arg-type]
    counter.optimizer.step()
    assert counter.real_steps == 1
