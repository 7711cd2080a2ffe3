"""Only real steps count: what a scaler skipped, a batch without a loss or a closure run several times is none."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.plugins.precision import MixedPrecision
from torch import Tensor
from torch.optim import LBFGS, SGD, Adam, Optimizer

from lightning_lrsched import Cosine, LearningRateScheduler
from tests.callbacks.models import LR, Stranger, Tiny, expected, loader, make_trainer


class Overflows(Tiny):
    """Has infinite gradients at the first batches, which a GradScaler skips; keeps the weight after each batch."""

    skipped = 2

    def training_step(self, batch: Tensor, batch_idx: int) -> Any:
        loss = super().training_step(batch, batch_idx)
        return loss * float("inf") if self.batches <= self.skipped else loss

    def on_train_batch_end(self, outputs: Any, batch: Tensor, batch_idx: int) -> None:
        self.weights = [*getattr(self, "weights", []), self.weight.item()]


def scaled() -> MixedPrecision:
    return MixedPrecision("16-mixed", "cpu", scaler=torch.amp.GradScaler("cpu", init_scale=4.0))


@pytest.mark.parametrize("fused", [False, True], ids=["plain", "fused"])
@pytest.mark.parametrize("optimizer", [SGD, Adam])
def test_what_a_scaler_skips_is_no_step(tmp_path: Path, stranger: Stranger, optimizer: Any, fused: bool) -> None:
    callback = LearningRateScheduler(Cosine(), warmup=2)
    module = Overflows(lambda module: optimizer(module.parameters(), lr=LR, fused=fused))
    trainer = make_trainer(tmp_path, callback, stranger, max_epochs=1, plugins=[scaled()])
    trainer.fit(module, loader(6))
    assert [scheduler.real_steps for scheduler in callback.schedulers] == [4]
    assert stranger.group()[-4:] == expected(callback, 4)
    assert module.weights[:2] == [0.0, 0.0]
    assert trainer.optimizers[0].param_groups[0]["lr"] == expected(callback, 5)[4]


def test_the_weights_under_a_scaler_move_by_the_lr_of_the_plan(tmp_path: Path) -> None:
    callback = LearningRateScheduler(Cosine(), warmup=2)
    module = Overflows(lambda module: SGD(module.parameters(), lr=LR, fused=True))
    make_trainer(tmp_path, callback, max_epochs=1, plugins=[scaled()]).fit(module, loader(6))
    moves = -torch.tensor(module.weights).diff(prepend=torch.zeros(1))
    assert moves.tolist() == pytest.approx([0, 0, *expected(callback, 4)], rel=1e-5)


def test_a_batch_without_a_loss_is_no_step_for_the_scaler(tmp_path: Path, stranger: Stranger) -> None:
    class Skips(Tiny):
        def training_step(self, batch: Tensor, batch_idx: int) -> Any:
            loss = super().training_step(batch, batch_idx)
            return None if batch_idx < 2 else loss

    callback = LearningRateScheduler(Cosine(), warmup=2)
    make_trainer(tmp_path, callback, stranger, max_epochs=1, plugins=[scaled()]).fit(Skips(), loader(6))
    assert stranger.group() == expected(callback, 4)


def test_a_batch_without_a_loss_in_full_precision_steps_as_lightning_does(tmp_path: Path, stranger: Stranger) -> None:
    class Skips(Tiny):
        def training_step(self, batch: Tensor, batch_idx: int) -> Any:
            return None if batch_idx == 0 else super().training_step(batch, batch_idx)

    callback = LearningRateScheduler(Cosine(), warmup=2)
    trainer = make_trainer(tmp_path, callback, stranger, max_epochs=1)
    trainer.fit(Skips(), loader(6))
    assert trainer.global_step == len(stranger.group()) == 6
    assert stranger.group() == expected(callback, 6)


def test_an_epoch_that_is_skipped_leaves_the_lr_alone(tmp_path: Path, stranger: Stranger) -> None:
    class Refuses(Tiny):
        def on_train_batch_start(self, batch: Tensor, batch_idx: int) -> int | None:
            return -1 if self.current_epoch == 0 else None

    callback = LearningRateScheduler(Cosine(), warmup=2)
    with pytest.warns(UserWarning, match="Epoch 0 ended after 1 training batches"):
        make_trainer(tmp_path, callback, stranger).fit(Refuses(), loader(6))
    assert stranger.group() == expected(callback, 6)


def test_a_closure_that_runs_several_times_is_one_step(tmp_path: Path, stranger: Stranger) -> None:
    class Quadratic(Tiny):
        def training_step(self, batch: Tensor, batch_idx: int) -> Any:
            super().training_step(batch, batch_idx)
            return (self.weight - 3.0).square().sum() + (self.bias + 1.0).square().sum()

    callback = LearningRateScheduler(Cosine(), warmup=2)
    module = Quadratic(lambda module: LBFGS(module.parameters(), lr=LR, max_iter=4))
    make_trainer(tmp_path, callback, stranger, max_epochs=1).fit(module, loader(6))
    assert module.batches > 6
    assert stranger.group() == expected(callback, 6)


def test_an_optimizer_step_that_the_module_leaves_out_is_none(tmp_path: Path, stranger: Stranger) -> None:
    class EverySecond(Tiny):
        def optimizer_step(
            self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Callable[[], Any] | None = None
        ) -> None:
            assert optimizer_closure is not None
            if batch_idx % 2:
                optimizer.step(closure=optimizer_closure)
            else:
                optimizer_closure()

    callback = LearningRateScheduler(Cosine(), warmup=2)
    make_trainer(tmp_path, callback, stranger, max_epochs=1).fit(EverySecond(), loader(6))
    assert stranger.group() == expected(callback, 3)


class Gan(Tiny):
    """Steps the generator with every batch, the discriminator with every second one."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: Tensor, batch_idx: int) -> None:
        optimizers: Any = self.optimizers()
        for optimizer, parameter in zip(optimizers, (self.weight, self.bias), strict=True):
            if optimizer is optimizers[1] and batch_idx % 2 == 0:
                continue
            optimizer.zero_grad()
            self.manual_backward(parameter.sum())
            optimizer.step()

    def configure_optimizers(self) -> list[Optimizer]:
        return [SGD([self.weight], lr=LR), Adam([self.bias], lr=LR / 10)]


def test_each_optimizer_of_a_gan_counts_its_own_steps(tmp_path: Path, stranger: Stranger) -> None:
    callback = LearningRateScheduler(Cosine(), warmup=2, total_steps=12)
    make_trainer(tmp_path, callback, stranger).fit(Gan(), loader(6))
    assert stranger.group(optimizer=0) == expected(callback, 12)
    assert stranger.group(optimizer=1) == expected(callback, 6, LR / 10)


def test_a_gan_with_a_plan_in_steps_needs_no_length(tmp_path: Path, stranger: Stranger) -> None:
    callback = LearningRateScheduler(Cosine(8), warmup=2)
    make_trainer(tmp_path, callback, stranger).fit(Gan(), loader(6))
    assert stranger.group(optimizer=0) == expected(callback, 12)
    assert stranger.group(optimizer=1) == expected(callback, 6, LR / 10)


def test_a_second_fit_of_a_gan_goes_on_with_each_count(tmp_path: Path, stranger: Stranger) -> None:
    callback = LearningRateScheduler(Cosine(20), warmup=2)
    trainer, module = make_trainer(tmp_path, callback, stranger, max_epochs=1), Gan()
    trainer.fit(module, loader(6))
    trainer.fit_loop.max_epochs = 2
    trainer.fit(module, loader(6))
    assert stranger.group(optimizer=0) == expected(callback, 12)
    assert stranger.group(optimizer=1) == expected(callback, 6, LR / 10)


def test_manual_optimization_that_steps_the_scheduler_itself_is_not_counted_twice(
    tmp_path: Path, stranger: Stranger
) -> None:
    class Manual(Tiny):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, batch: Tensor, batch_idx: int) -> None:
            scheduler: Any = self.lr_schedulers()
            scheduler.step()
            optimizer: Any = self.optimizers()
            optimizer.zero_grad()
            self.manual_backward(self.weight.sum())
            optimizer.step()
            scheduler.step()

    callback = LearningRateScheduler(Cosine(), warmup=2, steps_per_epoch=6)
    make_trainer(tmp_path, callback, stranger).fit(Manual(), loader(6))
    assert stranger.group() == expected(callback, 12)


def test_a_timm_style_override_changes_nothing(tmp_path: Path, stranger: Stranger) -> None:
    class Timm(Tiny):
        def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
            scheduler.step(epoch=self.current_epoch)

    callback = LearningRateScheduler(Cosine(), warmup=2)
    make_trainer(tmp_path, callback, stranger).fit(Timm(), loader(6))
    assert stranger.group() == expected(callback, 12)


def test_an_optimizer_that_is_stepped_outside_of_a_fit_is_left_alone(tmp_path: Path) -> None:
    callback = LearningRateScheduler(Cosine(), warmup=2)
    trainer, module = make_trainer(tmp_path, callback, max_epochs=1), Tiny()
    trainer.fit(module, loader(6))
    optimizer = trainer.optimizers[0]
    before = optimizer.param_groups[0]["lr"]
    optimizer.step()
    assert optimizer.param_groups[0]["lr"] == before
    assert callback.schedulers[0].real_steps == 6


def test_training_resumed_by_hand_from_a_module_only(tmp_path: Path, stranger: Stranger) -> None:
    callback = LearningRateScheduler(Cosine(), warmup=2)
    first = make_trainer(tmp_path, callback, max_epochs=1)
    first.fit(Tiny(), loader(6))
    first.save_checkpoint(tmp_path / "weights.ckpt", weights_only=True)
    module = Tiny()
    module.load_state_dict(torch.load(tmp_path / "weights.ckpt", weights_only=True)["state_dict"])
    make_trainer(tmp_path, callback, stranger, max_epochs=1).fit(module, loader(6))
    assert stranger.group() == expected(callback, 6)
