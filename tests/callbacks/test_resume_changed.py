"""A resume that is not of the same run says so: another plan, another length, another scheduler's state."""

import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from lightning.fabric.utilities.exceptions import MisconfigurationException
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import OneCycleLR, StepLR
from torch.utils.data import DataLoader

from lightning_lrsched import (
    SGDR,
    Cosine,
    LearningRateScheduler,
    Linear,
    OneCycle,
    Plan,
    Plateau,
    RunLength,
    TorchScheduler,
    Warmup,
)
from tests.callbacks.models import LR, Stranger, Stream, Tiny, expected, make_trainer, two_groups
from tests.callbacks.test_main_kinds import restarts
from tests.callbacks.test_main_kinds import step_lr as step_by_two

COSINE: dict[str, Any] = {"main": Cosine(eta_min=1e-3), "warmup": 3}


def saved(folder: Path, *callbacks: LearningRateScheduler, module: Tiny | None = None, epochs: int = 1) -> Path:
    """A checkpoint from the end of a fit over some epochs of ten steps."""
    trainer = make_trainer(folder, *callbacks, max_epochs=epochs)
    trainer.fit(module or Tiny())
    trainer.save_checkpoint(folder / "saved.ckpt")
    return folder / "saved.ckpt"


def step_lr(module: Tiny) -> dict[str, Any]:
    optimizer = SGD(module.parameters(), lr=LR)
    return {"optimizer": optimizer, "lr_scheduler": StepLR(optimizer, 1, 0.5)}


def one_cycle(total_steps: int) -> Tiny:
    def configure(module: Tiny) -> dict[str, Any]:
        optimizer = SGD(module.parameters(), lr=LR, momentum=0.9)
        scheduler = OneCycleLR(optimizer, LR, total_steps=total_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    return Tiny(configure)


def planned(total: int, **plan: Any) -> list[float]:
    return expected(Plan(**plan).resolve(RunLength(total, 10)), total)


def test_a_checkpoint_without_our_state_goes_on_at_the_trainers_step(tmp_path: Path, stranger: Stranger) -> None:
    path = saved(tmp_path)
    callback = LearningRateScheduler(**COSINE)
    with pytest.warns(UserWarning, match="holds no state of LearningRateScheduler .* goes on at real step 10"):
        make_trainer(tmp_path, callback, stranger).fit(Tiny(), ckpt_path=path)
    assert stranger.group() == planned(20, **COSINE)[10:]


@pytest.mark.parametrize(
    "main",
    [
        pytest.param(TorchScheduler(step_by_two), id="once an epoch"),
        pytest.param(TorchScheduler(restarts, interval="step"), id="with every step"),
    ],
)
@pytest.mark.parametrize("warmup", [None, 3, "1ep"])
def test_a_torch_scheduler_added_on_resume_stands_where_it_would_be(
    tmp_path: Path, stranger: Stranger, main: TorchScheduler, warmup: Any
) -> None:
    whole = Stranger()
    make_trainer(tmp_path, LearningRateScheduler(main, warmup=warmup), whole, max_epochs=6).fit(Tiny())
    path = saved(tmp_path, epochs=3)
    with pytest.warns(UserWarning, match="goes on at real step 30"):
        make_trainer(tmp_path, LearningRateScheduler(main, warmup=warmup), stranger, max_epochs=6).fit(
            Tiny(), ckpt_path=path
        )
    assert stranger.group() == whole.group()[30:]


def test_a_plateau_added_on_resume_begins_to_look(tmp_path: Path, stranger: Stranger) -> None:
    path = saved(tmp_path, epochs=2)
    callback = LearningRateScheduler(Plateau(patience=0, factor=0.5), warmup="1ep")
    with pytest.warns(UserWarning, match="goes on at real step 20"):
        make_trainer(tmp_path, callback, stranger, max_epochs=5).fit(Tiny(score=float), ckpt_path=path)
    assert stranger.group() == [LR] * 20 + [LR / 2] * 10


def test_the_state_of_another_scheduler_is_not_taken_for_ours(tmp_path: Path, stranger: Stranger) -> None:
    path = saved(tmp_path, module=Tiny(step_lr))
    with pytest.warns(UserWarning, match="holds no state of LearningRateScheduler"):
        make_trainer(tmp_path, LearningRateScheduler(**COSINE), stranger).fit(Tiny(), ckpt_path=path)
    assert stranger.group() == planned(20, **COSINE)[10:]


def test_the_peak_is_the_optimizers_lr_also_after_another_schedulers_run(tmp_path: Path, stranger: Stranger) -> None:
    path = saved(tmp_path, module=one_cycle(50))
    with pytest.warns(UserWarning, match="goes on at real step 10"):
        make_trainer(tmp_path, LearningRateScheduler(**COSINE), stranger).fit(Tiny(), ckpt_path=path)
    assert stranger.group() == planned(20, **COSINE)[10:]


def test_a_warmup_added_on_resume_keeps_the_state_of_the_same_scheduler(tmp_path: Path, stranger: Stranger) -> None:
    path = saved(tmp_path, module=Tiny(step_lr))
    with pytest.warns(UserWarning, match="goes on at real step 10"):
        make_trainer(tmp_path, LearningRateScheduler(warmup=3), stranger, max_epochs=3).fit(
            Tiny(step_lr), ckpt_path=path
        )
    assert stranger.group() == [LR / 2] * 10 + [LR / 4] * 10


def test_a_plans_state_does_not_fit_a_scheduler_of_the_module(tmp_path: Path, stranger: Stranger) -> None:
    path = saved(tmp_path, LearningRateScheduler(**COSINE))
    with pytest.warns(UserWarning, match=r"The plan is not the one of the checkpoint.*main: .*Cosine.* -> 'StepLR'"):
        make_trainer(tmp_path, LearningRateScheduler(warmup=3), stranger).fit(Tiny(step_lr), ckpt_path=path)
    assert stranger.group() == [LR / 2] * 10  # where it would be after an epoch of its own


def test_the_state_of_another_driven_scheduler_is_not_loaded(tmp_path: Path, stranger: Stranger) -> None:
    path = saved(tmp_path, LearningRateScheduler(warmup=3), module=one_cycle(7))
    with pytest.warns(UserWarning, match="main: 'OneCycleLR' -> 'StepLR'"):
        make_trainer(tmp_path, LearningRateScheduler(warmup=3), stranger).fit(Tiny(step_lr), ckpt_path=path)
    assert stranger.group() == [LR / 2] * 10  # where it would be after an epoch of its own


def test_a_changed_plan_is_told_by_its_difference_and_used(tmp_path: Path, stranger: Stranger) -> None:
    path = saved(tmp_path, LearningRateScheduler(SGDR("0.5ep", T_mult=2), warmup=3, total_steps=20))
    changed: dict[str, Any] = {"main": SGDR("1ep", T_mult=2), "warmup": 5}
    with pytest.warns(UserWarning, match=r"main\.T_0: '0.5ep' -> '1ep'; warmup\.duration: 3 -> 5"):
        make_trainer(tmp_path, LearningRateScheduler(**changed), stranger).fit(Tiny(), ckpt_path=path)
    assert stranger.group() == planned(20, **changed)[10:]


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        pytest.param({"main": OneCycle()}, {"main": OneCycle(pct_start=0.5)}, "main.pct_start: 0.3 -> 0.5", id="given"),
        pytest.param(
            {"main": OneCycle(div_factor=10)}, {"main": OneCycle()}, "main.div_factor: 10 -> 25.0", id="left out"
        ),
        pytest.param(
            {"warmup": Warmup(3)}, {"warmup": Warmup(3, "cosine")}, "warmup.shape: 'linear' -> 'cosine'", id="warmup"
        ),
        pytest.param(
            {"main": OneCycle(pct_start=0.5)}, {}, "main: OneCycle(pct_start=0.5) -> Cosine()", id="another schedule"
        ),
        pytest.param({}, {"warmup": 3}, "warmup: None -> Warmup(duration=3)", id="a warmup more"),
        pytest.param(
            {"main": Plateau()}, {"main": Plateau(patience=3)}, "main.patience: 10 -> 3", id="a plateau's patience"
        ),
        pytest.param({"groups": {0: None}}, {}, "groups: {'0': None} -> None", id="groups no more"),
        pytest.param(
            {"groups": {0: Linear(), 1: None}},
            {"groups": {0: Linear()}},
            "groups.1: None -> not named",
            id="a group less",
        ),
        pytest.param(
            {"groups": {0: Linear()}},
            {"groups": {0: Linear(end_factor=0.5)}},
            "groups.0.main.end_factor: 0.0 -> 0.5",
            id="a group's",
        ),
    ],
)
def test_the_difference_is_told_in_values_that_are_used(tmp_path: Path, before: Any, now: Any, told: str) -> None:
    path = saved(
        tmp_path, LearningRateScheduler(**{"main": Cosine(), **before}, total_steps=20), module=Tiny(two_groups)
    )
    trainer = make_trainer(tmp_path, LearningRateScheduler(**{"main": Cosine(), **now}))
    with pytest.warns(UserWarning, match=f"used from here on: {re.escape(told)}$"):
        trainer.fit(Tiny(two_groups), ckpt_path=path)


@pytest.mark.parametrize("policy", ["rescale", "keep"])
def test_a_longer_run_is_told_and_follows_the_policy(tmp_path: Path, stranger: Stranger, policy: str) -> None:
    path = saved(tmp_path, LearningRateScheduler(**COSINE))
    callback = LearningRateScheduler(**COSINE, on_horizon_change=policy)
    message = f"was planned for 10 steps and now has 30: on_horizon_change='{policy}'"
    with pytest.warns(UserWarning, match=f"{message}|ended at step 10") as told:
        make_trainer(tmp_path, callback, stranger, max_epochs=3).fit(Tiny(), ckpt_path=path)
    assert [message in str(warning.message) for warning in told].count(True) == 1
    if policy == "rescale":
        assert stranger.group() == planned(30, **COSINE)[10:]
    else:
        assert stranger.group() == [1e-3] * 20


@pytest.mark.parametrize("policy", ["rescale", "keep"])
def test_a_shorter_run_is_told_and_follows_the_policy(tmp_path: Path, stranger: Stranger, policy: str) -> None:
    path = saved(tmp_path, LearningRateScheduler(**COSINE, total_steps=40))
    callback = LearningRateScheduler(**COSINE, on_horizon_change=policy)
    with pytest.warns(UserWarning, match=f"was planned for 40 steps and now has 20: on_horizon_change='{policy}'"):
        make_trainer(tmp_path, callback, stranger).fit(Tiny(), ckpt_path=path)
    assert stranger.group() == planned(40 if policy == "keep" else 20, **COSINE)[10:20]


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        ({"total_steps": 40}, {"total_steps": 40, "steps_per_epoch": 5}, "10 steps per epoch and now has 5"),
        ({"total_steps": 40}, {"total_steps": 60}, "40 steps and now has 60"),
    ],
)
def test_it_is_told_which_length_is_another(tmp_path: Path, before: Any, now: Any, told: str) -> None:
    path = saved(tmp_path, LearningRateScheduler(SGDR("1ep", T_mult=2), **before))
    trainer = make_trainer(tmp_path, LearningRateScheduler(SGDR("1ep", T_mult=2), **now))
    with pytest.warns(UserWarning, match=f"was planned for {told}: on_horizon_change|ended after 10 training") as seen:
        trainer.fit(Tiny(), ckpt_path=path)
    assert any(f"was planned for {told}: " in str(warning.message) for warning in seen)


def test_a_run_that_had_no_known_end_is_told_in_words(tmp_path: Path) -> None:
    path = saved(tmp_path, LearningRateScheduler(SGDR(4), total_steps=20))
    callback = LearningRateScheduler(SGDR(4))
    with pytest.warns(UserWarning, match="planned for 20 steps and now has an unknown number: on_horizon_change"):
        make_trainer(tmp_path, callback).fit(Tiny(), DataLoader(Stream(10)), ckpt_path=path)


def test_a_run_shorter_than_what_was_trained_holds_the_last_lr(tmp_path: Path, stranger: Stranger) -> None:
    path = saved(tmp_path, LearningRateScheduler(**COSINE, total_steps=40))
    callback = LearningRateScheduler(**COSINE, total_steps=8)
    with pytest.warns(UserWarning, match=r"planned for 40 steps and now has 8|ended at step 8, and training goes on"):
        make_trainer(tmp_path, callback, stranger).fit(Tiny(), ckpt_path=path)
    assert stranger.group() == [1e-3] * 10


def test_a_longer_run_can_be_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, LearningRateScheduler(**COSINE))
    callback, module = LearningRateScheduler(**COSINE, on_horizon_change="error"), Tiny()
    with pytest.raises(MisconfigurationException, match=r"10 steps and now has 30\. Allow it with on_horizon_change="):
        make_trainer(tmp_path, callback, max_epochs=3).fit(module, ckpt_path=path)
    assert module.batches == 0


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        ({"warmup": 3}, {"warmup": 5}, r"warmup\.duration: 3 -> 5"),
        ({"warmup": "1ep"}, {"warmup": "1ep", "update": "epoch"}, r"update: 'step' -> 'epoch'"),
        ({"warmup": 3, "groups": {0: None}}, {"warmup": 3}, r"groups"),
    ],
    ids=["warmup", "update", "groups"],
)
def test_a_changed_plan_can_be_refused(tmp_path: Path, before: Any, now: Any, told: str) -> None:
    path = saved(tmp_path, LearningRateScheduler(Cosine(), **before, total_steps=40))
    callback, module = LearningRateScheduler(Cosine(), **now, on_horizon_change="error"), Tiny()
    with pytest.raises(MisconfigurationException, match=rf"not the one of the checkpoint: .*{told}.*'rescale'"):
        make_trainer(tmp_path, callback, max_epochs=4).fit(module, ckpt_path=path)
    assert module.batches == 0


def test_a_changed_scheduler_of_the_module_can_be_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, LearningRateScheduler(warmup=3), module=one_cycle(7))
    callback, module = LearningRateScheduler(warmup=3, on_horizon_change="error"), Tiny(step_lr)
    with pytest.raises(MisconfigurationException, match="main: 'OneCycleLR' -> 'StepLR'"):
        make_trainer(tmp_path, callback).fit(module, ckpt_path=path)
    assert module.batches == 0


@pytest.mark.parametrize("main", [Cosine(), TorchScheduler(partial(StepLR, step_size=3))], ids=["planned", "driven"])
@pytest.mark.parametrize(
    ("configure", "key"),
    [
        pytest.param(lambda module: SGD(module.parameters(), lr=LR, momentum=0.9), "momentum", id="momentum"),
        pytest.param(lambda module: Adam(module.parameters(), lr=LR, betas=(0.9, 0.99)), "betas", id="betas"),
        pytest.param(lambda module: SGD(module.parameters(), lr=LR, weight_decay=0.1), "weight_decay", id="decay"),
    ],
)
def test_what_the_new_plan_does_not_schedule_is_as_it_was_given(
    tmp_path: Path, main: Any, configure: Any, key: str
) -> None:
    before = Plan(OneCycle(cycle_momentum=key != "weight_decay"), others={"weight_decay": Linear(end_factor=3.0)})
    path = saved(tmp_path, LearningRateScheduler(before, total_steps=20), module=Tiny(configure))
    trainer, module = make_trainer(tmp_path, LearningRateScheduler(main)), Tiny(configure)
    with pytest.warns(UserWarning, match=r"main: OneCycle.* -> "):
        trainer.fit(module, ckpt_path=path)
    assert trainer.optimizers[0].param_groups[0][key] == configure(module).param_groups[0][key]


def test_an_initial_value_that_the_optimizer_brings_is_left_alone(tmp_path: Path) -> None:
    def configure(module: Tiny) -> SGD:
        group = {"params": list(module.parameters()), "weight_decay": 0.2, "initial_weight_decay": 0.1}
        return SGD([group], lr=LR)

    path = saved(tmp_path, LearningRateScheduler(Cosine(), total_steps=20), module=Tiny(configure))
    trainer = make_trainer(tmp_path, LearningRateScheduler(Cosine(), total_steps=20))
    trainer.fit(Tiny(configure), ckpt_path=path)
    group = trainer.optimizers[0].param_groups[0]
    assert (group["weight_decay"], group["initial_weight_decay"]) == (0.2, 0.1)


def test_a_plan_that_does_not_depend_on_the_length_resumes_silently(tmp_path: Path, stranger: Stranger) -> None:
    plan: dict[str, Any] = {"main": Cosine(50), "warmup": 3, "total_steps": 100}
    path = saved(tmp_path, LearningRateScheduler(**plan))
    make_trainer(tmp_path, LearningRateScheduler(**plan), stranger, max_epochs=3).fit(Tiny(), ckpt_path=path)
    assert stranger.group() == planned(100, main=Cosine(50), warmup=3)[10:30]


def test_the_kept_plan_is_kept_by_the_next_resume_too(tmp_path: Path, stranger: Stranger) -> None:
    path = saved(tmp_path, LearningRateScheduler(**COSINE))
    keep = LearningRateScheduler(**COSINE, on_horizon_change="keep")
    trainer = make_trainer(tmp_path, keep, max_epochs=3)
    with pytest.warns(UserWarning, match="on_horizon_change='keep'|ended at step 10"):
        trainer.fit(Tiny(), ckpt_path=path)
    trainer.save_checkpoint(path)
    with pytest.warns(UserWarning, match="was planned for 10 steps and now has 40"):
        make_trainer(tmp_path, keep, stranger, max_epochs=4).fit(Tiny(), ckpt_path=path)
    assert stranger.group() == [1e-3] * 10


def test_a_one_cycle_of_the_module_that_is_over_holds_its_last_lr(tmp_path: Path, stranger: Stranger) -> None:
    path = saved(tmp_path, LearningRateScheduler(warmup=3), module=one_cycle(7))
    make_trainer(tmp_path, LearningRateScheduler(warmup=3), stranger).fit(one_cycle(7), ckpt_path=path)
    assert set(stranger.group()) == {LR / 25 / 1e4}
