"""The tracker without a LearningRateScheduler records each real step once, of unusual optimizers too."""

from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
from torch.optim import SGD, Optimizer

from lightning_lrsched import MLflowTracker
from lightning_lrsched.tracking.columns import read_columns
from tests.callbacks.models import LR, Tiny, loader, make_trainer
from tests.callbacks.test_real_steps import scaled
from tests.callbacks.test_wrapping_optimizers import Duck, Outer
from tests.tracking.reading import artifacts, fetched, history, keys, only_run


class Plain(SGD):
    """Has a step of its own."""

    def step(self, closure: Any = None) -> Any:
        return super().step(closure)


class Decays(Plain):
    """Has another one."""

    def step(self, closure: Any = None) -> Any:
        return super().step(closure)


class Lookahead(Outer):
    """Leaves out torch's constructor."""

    def __init__(self, inner: Optimizer) -> None:
        super().__init__(inner)
        self._optimizer_step_pre_hooks = OrderedDict()
        self._optimizer_step_post_hooks = OrderedDict()

    def step(self, closure: Any = None) -> Any:
        return self.inner.step(closure)


def nested(module: Tiny) -> Optimizer:
    Plain(module.parameters(), lr=LR)  # from here on torch has its step call the hooks, too
    return Decays(module.parameters(), lr=LR)


def around(module: Tiny) -> Optimizer:
    return Lookahead(SGD(module.parameters(), lr=LR))


@pytest.mark.parametrize(("configure", "name"), [(nested, "Decays"), (around, "Lookahead")])
def test_each_step_is_recorded_once(uri: str, tmp_path: Path, configure: Any, name: str) -> None:
    make_trainer(tmp_path, MLflowTracker(uri)).fit(Tiny(configure), loader(6))
    run, key = only_run(uri), f"lr/{name}/0"
    assert history(uri, run, key) == [(step, LR) for step in range(12)]
    (path,) = artifacts(uri, run, "schedule/steps")
    steps, values = read_columns([fetched(uri, run, path)])[key]
    assert (list(steps), list(values)) == (list(range(12)), [LR] * 12)


def test_an_update_that_a_scaler_skips_in_a_fused_optimizer_is_not_recorded(uri: str, tmp_path: Path) -> None:
    class Overflows(Tiny):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = super().training_step(batch, batch_idx)
            return loss * float("inf") if batch_idx < 2 else loss

    module = Overflows(lambda module: SGD(module.parameters(), lr=LR, fused=True))
    make_trainer(tmp_path, MLflowTracker(uri), max_epochs=1, plugins=[scaled()]).fit(module, loader(6))
    assert [step for step, _ in history(uri, only_run(uri), "lr/SGD/0")] == [2, 3, 4, 5]


def test_an_optimizer_that_calls_no_hooks_is_told(uri: str, tmp_path: Path) -> None:
    module = Tiny(lambda module: Duck(SGD(module.parameters(), lr=LR)))
    with pytest.warns(UserWarning, match="The lr of Duck is not tracked: Duck tells nobody of its steps"):
        make_trainer(tmp_path, MLflowTracker(uri)).fit(module, loader(6))
    run = only_run(uri)
    assert module.batches == 12
    assert keys(run, "lr/") == []
    assert run.info.status == "FINISHED"
