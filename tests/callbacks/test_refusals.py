"""What cannot work is refused before the first training step, with the parameter, its value and a valid example."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback
from torch.optim import SGD
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau, StepLR
from torch.utils.data import DataLoader

from lightning_lrsched import (
    SGDR,
    Cooldown,
    Cosine,
    CycleCheckpoint,
    Lambda,
    LearningRateScheduler,
    MLflowTracker,
    MultiStep,
    OneCycle,
    Step,
    TorchScheduler,
    Warmup,
)
from tests.callbacks.models import LR, Stream, Tiny, loader, make_trainer, two_groups
from tests.callbacks.test_real_steps import Gan

CONSTRUCTED: list[tuple[Callable[..., Any], dict[str, Any], str]] = [
    (LearningRateScheduler, {}, r"LearningRateScheduler\.main = None .* main=Cosine\(\), warmup='5%'"),
    (LearningRateScheduler, {"main": "cosine"}, r"main = 'cosine' .* main=Cosine\(eta_min=1e-6\)"),
    (LearningRateScheduler, {"main": Cosine}, r"main = <class .*Cosine'> .* main=Cosine\(eta_min=1e-6\)"),
    (
        LearningRateScheduler,
        {"main": StepLR(SGD([torch.zeros(1)], lr=0.1), 30)},
        r"main = <torch.*StepLR object.* not the torch scheduler itself: wrap what makes it.*"
        r"For example: main=TorchScheduler\(partial\(StepLR, step_size=30\)\)",
    ),
    (
        LearningRateScheduler,
        {"main": StepLR},
        r"main = <class .*StepLR'> .*TorchScheduler\(partial\(StepLR, step_size=",
    ),
    (
        LearningRateScheduler,
        {"main": partial(StepLR, step_size=30)},
        r"main = .*partial.* main=TorchScheduler\(partial\(StepLR, step_size=30\)\)",
    ),
    (LearningRateScheduler, {"main": ReduceLROnPlateau}, r"main = <class .*For example: main=Plateau\('val_loss'\)"),
    (
        TorchScheduler,
        {"factory": StepLR},
        r"factory = <class .*StepLR'> .*'step_size'.*partial\(StepLR, step_size=\.\.\.\)",
    ),
    (
        TorchScheduler,
        {"factory": OneCycleLR},
        r"factory = <class .*OneCycleLR'> .*'max_lr'.*partial\(OneCycleLR, max_lr=\.\.\.\)",
    ),
    (
        TorchScheduler,
        {"factory": partial(StepLR, gamma=0.5)},
        r"factory = .*partial.* 'step_size'.*partial\(StepLR, gamma=0\.5, step_size=\.\.\.\)",
    ),
    (
        TorchScheduler,
        {"factory": partial(StepLR, step_size=3, gama=0.5)},  # type: ignore[call-arg]
        r"factory = .*unexpected keyword argument 'gama'.* TorchScheduler\(partial\(StepLR, step_size=3\)\)",
    ),
    (TorchScheduler, {"factory": lambda: None}, r"factory = .*too many positional arguments"),
    (
        TorchScheduler,
        {"factory": StepLR(SGD([torch.zeros(1)], lr=0.1), 30)},
        r"factory = <torch.*StepLR object.* TorchScheduler\(partial\(StepLR, step_size=30\)\)",
    ),
    (LearningRateScheduler, {"warmup": 0}, r"warmup = 0 .* warmup='5%'"),
    (LearningRateScheduler, {"warmup": -3}, r"warmup = -3 .* warmup='5%'"),
    (LearningRateScheduler, {"warmup": 5.0}, r"warmup = 5\.0 is refused.*warmup=5, .*warmup='5%'"),
    (LearningRateScheduler, {"warmup": "5 percent"}, r"warmup = '5 percent' .* For example: warmup='10ep'"),
    (LearningRateScheduler, {"warmup": True}, r"warmup = True .* For example: warmup="),
    (LearningRateScheduler, {"cooldown": "200%"}, r"cooldown = '200%' .* cooldown='5%'"),
    (LearningRateScheduler, {"warmup": "5%", "update": "batch"}, r"update = 'batch' .*'step', 'epoch'.* update='step'"),
    (LearningRateScheduler, {"warmup": "5%", "on_horizon_change": "scale"}, r"on_horizon_change = 'scale' .*'rescale'"),
    (LearningRateScheduler, {"warmup": "5%", "total_steps": 0}, r"total_steps = 0 .* total_steps=1000"),
    (LearningRateScheduler, {"warmup": "5%", "total_steps": 10.5}, r"total_steps = 10\.5 .* total_steps=1000"),
    (LearningRateScheduler, {"warmup": "5%", "steps_per_epoch": -1}, r"steps_per_epoch = -1 .* steps_per_epoch=1000"),
    (CycleCheckpoint, {"monitor": ""}, r"CycleCheckpoint\.monitor = '' .* monitor='val_loss'"),
    (CycleCheckpoint, {"monitor": 3}, r"CycleCheckpoint\.monitor = 3 .* monitor='val_loss'"),
    (CycleCheckpoint, {"mode": "least"}, r"CycleCheckpoint\.mode = 'least' .*'min', 'max'.* mode='min'"),
    (CycleCheckpoint, {"dirpath": 7}, r"CycleCheckpoint\.dirpath = 7 .* dirpath='checkpoints'"),
    (CycleCheckpoint, {"save_weights_only": 1}, r"save_weights_only = 1 .* save_weights_only=True"),
    (MLflowTracker, {"tracking_uri": ""}, r"MLflowTracker\.tracking_uri = '' .* For example"),
    (MLflowTracker, {"experiment": 5}, r"MLflowTracker\.experiment = 5 .* experiment='digits'"),
    (MLflowTracker, {"run_name": b"run"}, r"MLflowTracker\.run_name = b'run' .* For example"),
    (MLflowTracker, {"log_checkpoints": "yes"}, r"MLflowTracker\.log_checkpoints = 'yes' .* log_checkpoints=False"),
    (MLflowTracker, {"flush_timeout": -1}, r"MLflowTracker\.flush_timeout = -1 .* flush_timeout=60"),
    (MLflowTracker, {"flush_timeout": float("nan")}, r"MLflowTracker\.flush_timeout = nan .* flush_timeout=60"),
]


def name_of(value: object) -> str:
    """Return a value as text, the same in every process."""
    return re.sub(r" at 0x[0-9a-f]+", "", str(value))[:60]


@pytest.mark.parametrize(("make", "given", "message"), CONSTRUCTED, ids=name_of)
def test_a_bad_value_is_refused_when_constructed(make: Callable[..., Any], given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**given)


def own_step_lr(module: Tiny) -> Any:
    optimizer = SGD(module.parameters(), lr=LR)
    return [optimizer], [StepLR(optimizer, 3)]


def two_schedulers(module: Tiny) -> Any:
    optimizer = SGD(module.parameters(), lr=LR)
    return [optimizer], [StepLR(optimizer, 3), StepLR(optimizer, 5)]


REFUSED: list[tuple[str, list[Callback], Any, dict[str, Any], str]] = [
    (
        "the main schedule twice",
        [LearningRateScheduler(Cosine(), warmup=3)],
        own_step_lr,
        {},
        r"given twice: main=Cosine\(\) and StepLR from configure_optimizers.*LearningRateScheduler\(warmup='5%'\)",
    ),
    (
        "two schedulers for one optimizer",
        [LearningRateScheduler(warmup=3)],
        two_schedulers,
        {},
        r"several schedulers for one optimizer \(StepLR and StepLR\).*SequentialLR",
    ),
    (
        "two plans",
        [LearningRateScheduler(Cosine()), LearningRateScheduler(SGDR(5))],
        None,
        {},
        r"two LearningRateScheduler callbacks.*Keep one, for example LearningRateScheduler\(SGDR",
    ),
    (
        "a warmup as long as the run",
        [LearningRateScheduler(Cosine(), warmup=20)],
        None,
        {},
        r"does not fit the run: warmup 20 steps \+ cooldown 0 steps leave nothing of 20 steps.*warmup='5%'",
    ),
    (
        "a warmup longer than the run in front of the module's scheduler",
        [LearningRateScheduler(warmup=25)],
        own_step_lr,
        {},
        r"warmup = 25 does not fit the run: 25 steps of 20.*warmup='5%'",
    ),
    (
        "a cooldown for the module's scheduler",
        [LearningRateScheduler(warmup=3, cooldown=3)],
        own_step_lr,
        {},
        r"StepLR from configure_optimizers .* neither a cooldown .* LearningRateScheduler\(Cosine\(\), warmup='5%'",
    ),
    (
        "less than a step",
        [LearningRateScheduler(Cosine(), warmup="1%")],
        None,
        {},
        r"Warmup\.duration = '1%' is less than one optimizer step here: 1% of 20 steps.*duration='1 steps'",
    ),
    (
        "a schedule longer than what is left",
        [LearningRateScheduler(OneCycle("2ep"), warmup=5)],
        None,
        {},
        r"OneCycle\.total_steps = '2ep' does not fit the run: it takes 20 steps, and 15 steps are left",
    ),
    (
        "a milestone outside of the run",
        [LearningRateScheduler(MultiStep([5, 30]))],
        None,
        {},
        r"MultiStep\.milestones\[1\] = 30 lies outside the run.*for example '50%'",
    ),
    (
        "a drop that never comes",
        [LearningRateScheduler(Step("5ep"))],
        None,
        {},
        r"Step\.step_size = '5ep' lies outside the run",
    ),
    (
        "no end of the run for a share of it",
        [LearningRateScheduler(Cosine(), warmup="5%")],
        None,
        {"max_epochs": -1},
        r"Warmup\.duration = '5%' needs the total steps of the run.*total_steps=1000.*duration='500 steps'",
    ),
    (
        "no end of the run for a schedule that fills it",
        [LearningRateScheduler(Cosine())],
        None,
        {"max_epochs": -1},
        r"Cosine\.T_max = None fills the run.*total_steps=10_000.*T_max='5000 steps'",
    ),
    (
        "no end of the run for a cooldown",
        [LearningRateScheduler(SGDR(5), cooldown=Cooldown(5))],
        None,
        {"max_time": "00:01:00:00", "max_epochs": -1},
        r"cooldown = .* comes at the end of the run.*total_steps=10_000",
    ),
    (
        "a floor above the base lr",
        [LearningRateScheduler(Cosine(eta_min=0.5))],
        None,
        {},
        r"eta_min = 0\.5 .*at most the base lr 0\.1 of parameter group 0.*eta_min=0\.001",
    ),
    (
        "a floor above the base lr of the second group",
        [LearningRateScheduler(Cosine(eta_min=0.05))],
        two_groups,
        {},
        r"eta_min = 0\.05 .*at most the base lr 0\.02 of parameter group 1",
    ),
    (
        "a function that fails at a step that is asked ahead",
        [LearningRateScheduler(Lambda([1.0, 0.5, 0.25].__getitem__))],
        None,
        {"max_epochs": -1, "max_steps": -1, "max_time": "00:01:00:00"},
        r"Lambda\.lr_lambda\(3\) raised IndexError: list index out of range\. .* steps ahead.*total_steps=10_000",
    ),
    (
        "no optimizer",
        [LearningRateScheduler(Cosine())],
        lambda module: None,
        {},
        r"found no optimizer with an lr above 0.*torch\.optim\.SGD\(self\.parameters\(\), lr=0\.1\)",
    ),
    (
        "cycles that nobody makes",
        [CycleCheckpoint("val_loss")],
        None,
        {},
        r"CycleCheckpoint needs a schedule with cycles.*LearningRateScheduler\(SGDR\('10ep', T_mult=2\)\)",
    ),
    (
        "a schedule without cycles",
        [LearningRateScheduler(Cosine()), CycleCheckpoint("val_loss")],
        None,
        {},
        r"CycleCheckpoint needs a schedule with cycles",
    ),
]


@pytest.mark.filterwarnings("ignore:`LightningModule.configure_optimizers` returned `None`")
@pytest.mark.parametrize(
    ("callbacks", "configure", "settings", "message"), [pytest.param(*row[1:], id=row[0]) for row in REFUSED]
)
def test_a_plan_that_cannot_work_is_refused_before_the_first_step(
    tmp_path: Path, callbacks: list[Callback], configure: Any, settings: dict[str, Any], message: str
) -> None:
    module = Tiny(configure)
    with pytest.raises(MisconfigurationException, match=message):
        make_trainer(tmp_path, *callbacks, **settings).fit(module)
    assert module.batches == 0


@pytest.mark.parametrize(
    ("callback", "message"),
    [
        (LearningRateScheduler(Cosine(), warmup="5%"), r"Warmup\.duration = '5%' needs the total steps.*total_steps="),
        (LearningRateScheduler(SGDR("1ep")), r"SGDR\.T_0 = '1ep' needs the steps per epoch.*steps_per_epoch=1000"),
        (LearningRateScheduler(SGDR(5), update="epoch"), r"update = 'epoch' needs the steps per epoch"),
    ],
)
def test_a_loader_without_a_length_is_told_what_to_pass(
    tmp_path: Path, callback: LearningRateScheduler, message: str
) -> None:
    module = Tiny()
    with pytest.raises(MisconfigurationException, match=message):
        make_trainer(tmp_path, callback).fit(module, DataLoader(Stream(10)))
    assert module.batches == 0


def test_what_the_message_says_to_pass_works(tmp_path: Path) -> None:
    callback = LearningRateScheduler(SGDR("1ep"), warmup="10%", total_steps=20, steps_per_epoch=10)
    make_trainer(tmp_path, callback).fit(Tiny(), DataLoader(Stream(10)))
    assert callback.schedulers[0].real_steps == 20


def test_two_optimizers_under_manual_optimization_are_told_what_to_pass(tmp_path: Path) -> None:
    module = Gan()
    with pytest.raises(MisconfigurationException, match=r"needs the total steps of the run.*total_steps="):
        make_trainer(tmp_path, LearningRateScheduler(warmup="5%")).fit(module, loader(6))
    assert module.batches == 0


def test_a_monitor_that_is_not_logged_is_told_with_what_is(tmp_path: Path) -> None:
    callbacks = [LearningRateScheduler(SGDR("1ep")), CycleCheckpoint("val_acc", "max")]
    with pytest.raises(
        MisconfigurationException, match=r"monitor = 'val_acc' is not logged.*Logged are: val_loss\. Log"
    ):
        make_trainer(tmp_path, *callbacks).fit(Tiny())


def test_a_warmup_alone_in_front_of_no_scheduler_holds_the_base_lr(tmp_path: Path) -> None:
    callback = LearningRateScheduler(warmup=Warmup(4))
    trainer = make_trainer(tmp_path, callback)
    trainer.fit(Tiny())
    assert trainer.optimizers[0].param_groups[0]["lr"] == LR
