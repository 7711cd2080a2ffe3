"""Values held in tensors, as capturable and compiled optimizers hold them: filled in place, each group its own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim import SGD, Adam, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from lightning_lrsched import Cosine, LearningRateScheduler, Linear, OneCycle, Plan, RunLength, TorchScheduler
from tests.callbacks.models import LR, Stranger, Tiny, expected, loader, make_trainer
from tests.callbacks.test_real_steps import Gan
from tests.callbacks.test_resume import check_resumes

RUN = RunLength(20, 10)


def shared(made: type[Optimizer] = SGD, **given: Any) -> Callable[[Tiny], Optimizer]:
    """Two groups that get one tensor as their lr, as torch gives the default to every group that has none."""

    def configure(module: Tiny) -> Optimizer:
        groups: list[dict[str, Any]] = [{"params": [module.weight]}, {"params": [module.bias]}]
        optimizer = made(groups, lr=torch.tensor(LR, dtype=torch.float64), **given)  # type: ignore[call-arg]
        assert optimizer.param_groups[0]["lr"] is optimizer.param_groups[1]["lr"]
        return optimizer

    return configure


def lines(optimizer: Optimizer) -> LambdaLR:
    return LambdaLR(optimizer, [lambda step: 0.9**step, lambda step: 0.5**step])


def test_a_tensor_that_groups_share_does_not_tie_their_schedules(tmp_path: Path, stranger: Stranger) -> None:
    callback = LearningRateScheduler(Cosine(), groups={1: Linear()})
    make_trainer(tmp_path, callback, stranger).fit(Tiny(shared()))
    assert stranger.group(0) == expected(callback, 20)
    assert stranger.group(1) == expected(Plan(Linear()).resolve(RUN), 20)


def test_a_group_that_is_left_alone_keeps_the_shared_value(tmp_path: Path, stranger: Stranger) -> None:
    make_trainer(tmp_path, LearningRateScheduler(Cosine(), groups={1: None}), stranger).fit(Tiny(shared()))
    assert stranger.group(1) == [LR] * 20


def test_a_torch_scheduler_with_a_function_for_each_group_reaches_each(tmp_path: Path, stranger: Stranger) -> None:
    callback = LearningRateScheduler(TorchScheduler(lines, interval="step"))
    make_trainer(tmp_path, callback, stranger).fit(Tiny(shared()))
    assert stranger.group(0) == [LR * 0.9**step for step in range(20)]
    assert stranger.group(1) == [LR * 0.5**step for step in range(20)]


def test_the_first_of_the_groups_keeps_the_tensor_itself(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, LearningRateScheduler(Cosine(), groups={1: Linear()}))
    trainer.fit(Tiny(shared()))
    first, second = (group["lr"] for group in trainer.optimizers[0].param_groups)
    assert first is trainer.optimizers[0].defaults["lr"]
    assert isinstance(second, Tensor)
    assert second is not first


def test_a_tensor_of_single_precision_is_filled_from_float64(tmp_path: Path, stranger: Stranger) -> None:
    lr = torch.tensor(LR, dtype=torch.float32)
    base = lr.item()
    callback = LearningRateScheduler(Cosine(), warmup=3)
    make_trainer(tmp_path, callback, stranger).fit(Tiny(lambda module: SGD(module.parameters(), lr=lr)))
    exact = torch.tensor(expected(callback, 20, base), dtype=torch.float64)
    assert stranger.group() == exact.float().tolist()


@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
def test_a_tensor_lr_resumes(tmp_path: Path, precision: torch.dtype) -> None:
    def configure(module: Tiny) -> Optimizer:
        return Adam(module.parameters(), lr=torch.tensor(LR, dtype=precision))

    check_resumes(tmp_path, lambda: LearningRateScheduler(Cosine(), warmup=4), lambda: Tiny(configure))


def test_a_momentum_in_a_tensor_keeps_its_identity(tmp_path: Path, stranger: Stranger) -> None:
    betas = (torch.tensor(0.9, dtype=torch.float64), torch.tensor(0.999, dtype=torch.float64))

    def configure(module: Tiny) -> Optimizer:
        return Adam(module.parameters(), lr=torch.tensor(LR), betas=betas, foreach=False)

    trainer = make_trainer(tmp_path, LearningRateScheduler(OneCycle(cycle_momentum=True)), stranger)
    trainer.fit(Tiny(configure))
    plain = Stranger()
    make_trainer(tmp_path, LearningRateScheduler(OneCycle(cycle_momentum=True)), plain).fit(
        Tiny(lambda module: Adam(module.parameters(), lr=LR))
    )
    assert trainer.optimizers[0].param_groups[0]["betas"][0] is betas[0]
    assert [float(each) for each in stranger.momenta] == plain.momenta


def test_a_tensor_that_optimizers_share_does_not_tie_their_schedules(tmp_path: Path, stranger: Stranger) -> None:
    class Shares(Gan):
        def configure_optimizers(self) -> list[Optimizer]:
            lr = torch.tensor(LR, dtype=torch.float64)
            return [SGD([self.weight], lr=lr), SGD([self.bias], lr=lr)]

    callback = LearningRateScheduler(Cosine(), warmup=3, total_steps=12)
    make_trainer(tmp_path, callback, stranger).fit(Shares(), loader(6))
    assert stranger.group(optimizer=0) == expected(callback, 12)
    assert stranger.group(optimizer=1) == expected(callback, 6)
