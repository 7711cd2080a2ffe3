"""What may stand as the main schedule: torch's schedulers, a plateau, whole plans; other values, single groups."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from torch import Tensor
from torch.optim import SGD, Adam, Optimizer
from torch.optim import lr_scheduler as torch_schedulers
from torch.optim.lr_scheduler import LRScheduler

from lightning_lrsched import (
    SGDR,
    Constant,
    Cosine,
    LearningRateScheduler,
    Linear,
    OneCycle,
    Plan,
    Plateau,
    RunLength,
    Step,
    TorchScheduler,
    Warmup,
)
from lightning_lrsched.callbacks.recorded_plan import plan_of
from tests.callbacks.models import LR, Stranger, Tiny, expected, loader, make_trainer, two_groups

Made = Any


def step_lr(optimizer: Optimizer) -> LRScheduler:
    return torch_schedulers.StepLR(optimizer, 2, 0.5)


def restarts(optimizer: Optimizer) -> LRScheduler:
    return torch_schedulers.CosineAnnealingWarmRestarts(optimizer, 6, 2)


def one_cycle(optimizer: Optimizer) -> LRScheduler:
    return torch_schedulers.OneCycleLR(optimizer, LR, total_steps=16)


def chained(optimizer: Optimizer) -> LRScheduler:
    parts = [torch_schedulers.LinearLR(optimizer, 0.5, total_iters=4), torch_schedulers.ExponentialLR(optimizer, 0.9)]
    return torch_schedulers.ChainedScheduler(parts)


def by_hand(factory: Made, count: int, **group: Any) -> tuple[list[float], list[float]]:
    """Step a scheduler as torch's documentation does."""
    optimizer = SGD([torch.zeros(1, requires_grad=True)], lr=LR, **group)
    scheduler = factory(optimizer)
    lrs, momenta = [], []
    for _ in range(count):
        lrs.append(optimizer.param_groups[0]["lr"])
        momenta.append(optimizer.param_groups[0]["momentum"])
        optimizer.step()
        scheduler.step()
    return lrs, momenta


@pytest.mark.parametrize("factory", [restarts, one_cycle, chained])
def test_a_torch_scheduler_begins_with_its_own_start_after_the_warmup(
    factory: Made, tmp_path: Path, stranger: Stranger
) -> None:
    plan = LearningRateScheduler(TorchScheduler(factory, interval="step"), warmup=4)
    make_trainer(tmp_path, plan, stranger).fit(Tiny(lambda module: SGD(module.parameters(), lr=LR, momentum=0.9)))
    lrs, momenta = by_hand(factory, 16, momentum=0.9)
    assert stranger.group()[:4] == pytest.approx([lrs[0] * (step + 1) / 5 for step in range(4)], rel=1e-12)
    assert stranger.group()[4:] == lrs
    assert stranger.momenta[4:] == momenta


def test_a_torch_scheduler_advances_once_an_epoch(tmp_path: Path, stranger: Stranger) -> None:
    plan = LearningRateScheduler(TorchScheduler(step_lr), warmup="1ep")
    make_trainer(tmp_path, plan, stranger, max_epochs=6).fit(Tiny())
    assert stranger.group()[10:] == [LR * 0.5 ** ((step // 10) // 2) for step in range(50)]


def test_the_optimizer_is_not_touched_before_training(tmp_path: Path) -> None:
    seen: list[float] = []

    class Looks(LearningRateScheduler):
        def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
            super().on_fit_start(trainer, pl_module)
            seen.append(trainer.optimizers[0].param_groups[0]["lr"])

    make_trainer(tmp_path, Looks(TorchScheduler(one_cycle, interval="step"))).fit(Tiny())
    assert seen == [LR]


@pytest.mark.parametrize(
    ("factory", "interval"),
    [
        pytest.param(one_cycle, "step", id="OneCycleLR"),
        pytest.param(step_lr, "epoch", id="StepLR"),
        pytest.param(restarts, "epoch", id="CosineAnnealingWarmRestarts"),
        pytest.param(lambda o: torch_schedulers.CyclicLR(o, 0.01, 0.1, cycle_momentum=False), "step", id="CyclicLR"),
        pytest.param(lambda o: torch_schedulers.ExponentialLR(o, 0.9), "epoch", id="ExponentialLR"),
    ],
)
def test_auto_picks_the_interval_that_a_class_is_made_for(factory: Made, interval: str) -> None:
    main = TorchScheduler(factory)
    scheduler = main.make(SGD([torch.zeros(1)], lr=LR))
    assert main.pick_interval(scheduler, RunLength(20, 2)) == interval


def test_a_horizon_in_the_other_unit_is_told_before_training(tmp_path: Path) -> None:
    module = Tiny()
    main = TorchScheduler(lambda optimizer: torch_schedulers.CosineAnnealingLR(optimizer, T_max=60))
    with pytest.raises(MisconfigurationException, match=r"horizon is 60 .* 60 steps in 6 epochs.*interval='step'"):
        make_trainer(tmp_path, LearningRateScheduler(main), max_epochs=6).fit(module)
    assert module.batches == 0


def test_a_horizon_that_is_insisted_on_is_kept(tmp_path: Path, stranger: Stranger) -> None:
    main = TorchScheduler(lambda o: torch_schedulers.CosineAnnealingLR(o, T_max=60), interval="epoch")
    make_trainer(tmp_path, LearningRateScheduler(main), stranger).fit(Tiny())
    assert stranger.group()[:10] == [LR] * 10


def test_one_cycle_in_epochs_is_told() -> None:
    main = TorchScheduler(lambda o: torch_schedulers.OneCycleLR(o, LR, total_steps=10))
    scheduler = main.make(SGD([torch.zeros(1)], lr=LR, momentum=0.9))
    with pytest.raises(ValueError, match=r"once per step, but its own horizon is 10 .*interval='epoch'"):
        main.pick_interval(scheduler, RunLength(1000, 100))


def test_a_plateau_is_fed_after_every_validation_and_not_during_warmup(tmp_path: Path, stranger: Stranger) -> None:
    plan = LearningRateScheduler(Plateau("val_loss", patience=0, factor=0.5), warmup="1ep")
    make_trainer(tmp_path, plan, stranger, max_epochs=4).fit(Tiny(score=lambda step: 1.0))
    # epoch 0 is warmup; the first metric makes the best value; the second one is no better
    assert stranger.group()[19::10] == [LR, LR, LR / 2]


def test_a_plateau_without_its_metric_says_what_is_logged(tmp_path: Path) -> None:
    plan = LearningRateScheduler(Plateau("val_acc"))
    with pytest.raises(MisconfigurationException, match=r"Plateau.monitor = 'val_acc' .* val_loss"):
        make_trainer(tmp_path, plan).fit(Tiny())


def test_a_plateau_takes_no_metric_of_the_training(tmp_path: Path) -> None:
    class Trains(Tiny):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.log("train_loss", 1.0, on_step=False, on_epoch=True)
            return super().training_step(batch, batch_idx)

    # At the validation the loss of this epoch is not there yet, and that of the one before is.
    trainer = make_trainer(tmp_path, LearningRateScheduler(Plateau("train_loss")), check_val_every_n_epoch=2)
    message = r"'train_loss' is not logged in validation\. Logged are: val_loss"
    with pytest.raises(MisconfigurationException, match=message):
        trainer.fit(Trains())


@pytest.mark.parametrize(
    "main",
    [
        pytest.param(TorchScheduler(restarts, interval="step"), id="every step"),
        pytest.param(TorchScheduler(step_lr), id="every epoch"),
        pytest.param(Plateau(patience=0, factor=0.5), id="every validation"),
    ],
)
def test_a_driven_schedule_resumes(main: Any, tmp_path: Path) -> None:
    whole, rest = Stranger(), Stranger()
    make_trainer(tmp_path, LearningRateScheduler(main, warmup=3), whole, max_epochs=6).fit(Tiny(score=float))
    path = tmp_path / "half.ckpt"
    trainer = make_trainer(tmp_path, LearningRateScheduler(main, warmup=3), max_epochs=3)
    trainer.fit(Tiny(score=float))
    trainer.save_checkpoint(path)
    trainer = make_trainer(tmp_path, LearningRateScheduler(main, warmup=3), rest, max_epochs=6)
    trainer.fit(Tiny(score=float), ckpt_path=path, weights_only=True)
    assert rest.group() == whole.group()[30:]


def test_a_plan_may_stand_as_main(tmp_path: Path, stranger: Stranger) -> None:
    plan = LearningRateScheduler(Plan(SGDR(5, T_mult=2), warmup=Warmup(3, "cosine"), cooldown=2))
    make_trainer(tmp_path, plan, stranger).fit(Tiny())
    assert stranger.group() == expected(plan, 20)


def test_an_overlapping_warmup_multiplies_the_schedule(tmp_path: Path, stranger: Stranger) -> None:
    plan = LearningRateScheduler(Cosine(), warmup=Warmup(5, overlap=True))
    make_trainer(tmp_path, plan, stranger).fit(Tiny())
    bare = Plan(Cosine()).resolve(RunLength(20, 10))
    assert stranger.group() == expected(plan, 20)
    assert stranger.group() == pytest.approx([bare.lr(t, LR) * min(1.0, (t + 1) / 5) for t in range(20)], rel=1e-12)


def test_the_parameters_of_a_plateau_are_recorded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    callback = LearningRateScheduler(Plateau(factor=0.5, patience=3), warmup=2)
    with caplog.at_level("INFO"):
        make_trainer(tmp_path, callback).fit(Tiny())
    params, document = plan_of(callback.schedulers[0])
    assert params["schedule/main"] == "Plateau(factor=0.5, patience=3)"
    assert (params["schedule/main.factor"], params["schedule/main.patience"]) == ("0.5", "3")
    assert json.loads(document)["plan"]["main"] == {"class": "Plateau", "factor": 0.5, "patience": 3}
    assert "Warmup(duration=2) in front of Plateau(factor=0.5, patience=3) (SGD, base lr 0.1; 20 steps" in caplog.text


def test_groups_follow_their_own_schedule_or_none(tmp_path: Path, stranger: Stranger) -> None:
    def three(module: Tiny) -> Optimizer:
        extra = torch.nn.Parameter(torch.zeros(1))
        groups: list[dict[str, Any]] = [
            {"params": [module.weight], "name": "head"},
            {"params": [module.bias], "name": "body", "lr": LR / 2},
            {"params": [extra], "name": "fixed", "lr": LR / 4},
        ]
        return SGD(groups, lr=LR)

    plan = LearningRateScheduler(Cosine(), warmup=4, groups={"head": Step(5, gamma=0.5), "fixed": None})
    make_trainer(tmp_path, plan, stranger).fit(Tiny(three))
    run = RunLength(20, 10)
    assert stranger.group(0) == expected(Plan(Step(5, gamma=0.5), warmup=4).resolve(run), 20)
    assert stranger.group(1) == expected(Plan(Cosine(), warmup=4).resolve(run), 20, LR / 2)
    assert stranger.group(2) == [LR / 4] * 20


def test_groups_are_named_by_index_too(tmp_path: Path, stranger: Stranger) -> None:
    plan = LearningRateScheduler(Constant(), groups={1: Linear()})
    make_trainer(tmp_path, plan, stranger).fit(Tiny(two_groups))
    assert stranger.group(0) == [LR] * 20
    assert stranger.group(1) == expected(Plan(Linear()).resolve(RunLength(20)), 20, LR / 5)


def test_a_group_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    plan = LearningRateScheduler(Cosine(), groups={"heads": Linear()})
    with pytest.raises(MisconfigurationException, match=r"groups = 'heads' is refused.*\(0, 1\)"):
        make_trainer(tmp_path, plan).fit(Tiny(two_groups))


@pytest.mark.parametrize("make", [SGD, Adam], ids=["momentum", "betas"])
def test_one_cycle_moves_the_momentum_against_the_lr(make: Any, tmp_path: Path, stranger: Stranger) -> None:
    given: dict[str, Any] = {"momentum": 0.9} if make is SGD else {}
    plan = LearningRateScheduler(OneCycle(cycle_momentum=True))
    make_trainer(tmp_path, plan, stranger).fit(Tiny(lambda module: make(module.parameters(), lr=LR, **given)))
    lrs, momenta = by_hand(lambda o: torch_schedulers.OneCycleLR(o, LR, total_steps=20), 19, momentum=0.9)
    assert stranger.group()[:19] == pytest.approx(lrs, rel=1e-9)
    assert stranger.momenta[:19] == pytest.approx(momenta, rel=1e-9)


def test_weight_decay_has_a_schedule_of_its_own(tmp_path: Path) -> None:
    seen: list[float] = []

    class Decays(Stranger):
        def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Optimizer) -> None:
            seen.append(optimizer.param_groups[0]["weight_decay"])

    plan = LearningRateScheduler(Plan(Cosine(), others={"weight_decay": Linear(end_factor=3.0)}))
    make_trainer(tmp_path, plan, Decays()).fit(Tiny(lambda module: SGD(module.parameters(), lr=LR, weight_decay=0.01)))
    assert seen == pytest.approx([0.01 * (1 + 2 * step / 20) for step in range(20)], rel=1e-12)


def test_a_value_that_the_optimizer_does_not_have_is_refused(tmp_path: Path) -> None:
    plan = LearningRateScheduler(Plan(Cosine(), others={"alpha": Linear()}))
    with pytest.raises(MisconfigurationException, match=r"others = 'alpha' is refused.*SGD has \(.*weight_decay"):
        make_trainer(tmp_path, plan).fit(Tiny())


def test_a_tensor_lr_keeps_its_identity_and_is_filled_from_float64(tmp_path: Path, stranger: Stranger) -> None:
    lr = torch.tensor(LR, dtype=torch.float64)

    def configure(module: Tiny) -> Optimizer:
        return Adam(module.parameters(), lr=lr, capturable=False, foreach=False)

    plan = LearningRateScheduler(SGDR(4, T_mult=2), warmup=3)
    module = Tiny(configure)
    trainer = make_trainer(tmp_path, plan, stranger)
    trainer.fit(module)
    held = trainer.optimizers[0].param_groups[0]["lr"]
    assert held is lr
    assert isinstance(held, Tensor)
    assert stranger.group() == expected(plan, 20, float(torch.tensor(LR, dtype=torch.float64)))


def test_a_plateau_needs_no_steps_of_lightning(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, LearningRateScheduler(Plateau(patience=0), warmup=2))
    trainer.fit(Tiny(score=float), loader(6))
    (config,) = trainer.strategy.lr_scheduler_configs
    assert not config.reduce_on_plateau
