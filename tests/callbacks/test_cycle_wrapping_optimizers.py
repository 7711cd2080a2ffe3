"""CycleCheckpoint alone counts the steps of unusual optimizers as LearningRateScheduler does: each once."""

from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from lightning.fabric.utilities.exceptions import MisconfigurationException
from torch.optim import SGD, Optimizer

from lightning_lrsched import CycleCheckpoint
from tests.callbacks.models import LR, Tiny, loader, make_trainer
from tests.callbacks.test_cycle_checkpoint import weight_in
from tests.callbacks.test_wrapping_optimizers import Duck, Outer


def ends(folder: Path, module: Tiny) -> list[int]:
    """The real steps after which each cycle of four ended; the weights that were kept are those of that step."""
    checkpoint = CycleCheckpoint(every=4, keep="end")
    make_trainer(folder, checkpoint).fit(module, loader(6))
    found = [row.end for row in checkpoint.finished_cycles if row.end is not None]
    assert [weight_in(end.path) for end in found] == pytest.approx([-LR * end.step for end in found])
    return [end.step for end in found]


def test_a_step_that_calls_that_of_its_base_class_is_one(tmp_path: Path) -> None:
    class Plain(SGD):
        def step(self, closure: Any = None) -> Any:
            return super().step(closure)

    class Decays(Plain):
        def step(self, closure: Any = None) -> Any:
            return super().step(closure)

    def configure(module: Tiny) -> Optimizer:
        Plain(module.parameters(), lr=LR)  # from here on torch has its step call the hooks, too
        return Decays(module.parameters(), lr=LR)

    assert ends(tmp_path, Tiny(configure)) == [4, 8, 12]


def test_a_wrapper_without_torchs_constructor_is_counted(tmp_path: Path) -> None:
    class Lookahead(Outer):
        def __init__(self, inner: Optimizer) -> None:
            super().__init__(inner)
            self._optimizer_step_pre_hooks = OrderedDict()
            self._optimizer_step_post_hooks = OrderedDict()

        def step(self, closure: Any = None) -> Any:
            return self.inner.step(closure)

        def state_dict(self) -> Any:
            return self.inner.state_dict()

    module = Tiny(lambda module: Lookahead(SGD(module.parameters(), lr=LR)))
    assert ends(tmp_path, module) == [4, 8, 12]


def test_a_step_that_was_replaced_on_the_optimizer_is_counted(tmp_path: Path) -> None:
    replaced: list[int] = []

    def configure(module: Tiny) -> Optimizer:
        optimizer = SGD(module.parameters(), lr=LR)
        step = optimizer.step

        def patched(*args: Any, **kwargs: Any) -> Any:
            replaced.append(len(replaced))
            return step(*args, **kwargs)

        vars(optimizer)["step"] = patched
        return optimizer

    assert ends(tmp_path, Tiny(configure)) == [4, 8, 12]
    assert len(replaced) == 12


@pytest.mark.parametrize("made", [Outer, Duck])
def test_an_optimizer_that_calls_no_hooks_is_refused(tmp_path: Path, made: Any) -> None:
    module = Tiny(lambda module: made(SGD(module.parameters(), lr=LR)))
    with pytest.raises(MisconfigurationException, match=rf"{made.__name__} tells nobody of its steps"):
        make_trainer(tmp_path, CycleCheckpoint(every=4)).fit(module, loader(6))
    assert module.batches == 0


class ByHand(Tiny):
    """Steps its optimizer itself."""

    def __init__(self, configure: Any = None) -> None:
        super().__init__(configure)
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> None:
        self.batches += 1
        optimizer: Any = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward((self.weight + self.bias).sum())
        with suppress(RuntimeError):
            self.step(optimizer)

    def step(self, optimizer: Any) -> None:
        optimizer.step()


def test_a_step_of_two_classes_that_raises_and_is_caught_is_none(tmp_path: Path) -> None:
    class Plain(SGD):
        failing = False

        def step(self, closure: Any = None) -> Any:
            if self.failing:
                raise RuntimeError("out of memory")
            return super().step(closure)

    class Fails(Plain):
        def step(self, closure: Any = None) -> Any:
            return super().step(closure)

    class Catches(ByHand):
        def configure_optimizers(self) -> Optimizer:
            Plain(self.parameters(), lr=LR)
            return Fails(self.parameters(), lr=LR)

        def step(self, optimizer: Any) -> None:
            optimizer.optimizer.failing = self.batches in (3, 9)
            optimizer.step()

    assert ends(tmp_path, Catches()) == [4, 8, 10]
