"""What `trainer_access` takes from Lightning without a promise; a release that changes one of these fails here."""

from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint, GradientAccumulationScheduler, StochasticWeightAveraging
from lightning.pytorch.plugins.io import AsyncCheckpointIO
from lightning.pytorch.strategies import ModelParallelStrategy
from lightning.pytorch.utilities.types import LRSchedulerConfig
from torch import Tensor
from torch.optim import SGD
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader

from lightning_lrsched.callbacks import trainer_access
from tests.callbacks.models import LR, Stream, Tiny, loader, make_trainer


class Looks(Callback):
    """Calls a function at some hooks and keeps what it returns."""

    def __init__(self, look: Any, *hooks: str) -> None:
        self.seen: list[Any] = []
        for hook in hooks:
            setattr(self, hook, lambda trainer, *args: self.seen.append(look(trainer)))


def step_lr(module: Tiny) -> Any:
    optimizer = SGD(module.parameters(), lr=LR)
    return [optimizer], [StepLR(optimizer, 3)]


def test_the_scheduler_configs_are_the_list_that_the_loops_step_from(tmp_path: Path) -> None:
    looks = Looks(trainer_access.scheduler_configs, "on_fit_start", "on_train_end")
    trainer = make_trainer(tmp_path, looks)
    trainer.fit(Tiny(step_lr))
    assert looks.seen[0] is looks.seen[1] is trainer.strategy.lr_scheduler_configs
    assert [(type(config), config.interval, config.frequency) for config in looks.seen[0]] == [
        (LRSchedulerConfig, "epoch", 1)
    ]


def test_a_replaced_config_is_the_one_that_is_stepped(tmp_path: Path) -> None:
    class Counts(StepLR):
        calls = 0

        def step(self, epoch: int | None = None) -> None:
            Counts.calls += 1
            super().step(epoch)

    class Replaces(Callback):
        def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            (config,) = trainer_access.scheduler_configs(trainer)
            trainer_access.replace_config(trainer, config, Counts(trainer.optimizers[0], 3))

    make_trainer(tmp_path, Replaces()).fit(Tiny(step_lr))
    assert Counts.calls == 1 + 2


@pytest.mark.parametrize(("interval", "lr"), [("step", LR), ("epoch", LR / 4)])
def test_an_added_config_is_stepped_once_an_epoch_or_not_at_all(tmp_path: Path, interval: str, lr: float) -> None:
    def add(trainer: L.Trainer) -> None:
        trainer_access.replace_config(trainer, None, StepLR(trainer.optimizers[0], 1, 0.5), interval)

    trainer = make_trainer(tmp_path, Looks(add, "on_fit_start"))
    trainer.fit(Tiny(), loader(4))
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(lr)


@pytest.mark.parametrize(("accumulate", "steps"), [(1, [0, 1, 2, 3]), (2, [0, 0, 1, 1])])
def test_the_loggers_step_is_that_of_the_latest_batch_that_stepped(
    tmp_path: Path, accumulate: int, steps: list[int]
) -> None:
    looks = Looks(trainer_access.logger_step, "on_train_batch_end")
    make_trainer(tmp_path, looks, max_epochs=1, accumulate_grad_batches=accumulate).fit(Tiny(), loader(4))
    assert looks.seen == steps


def test_the_loggers_step_during_a_validation_is_that_of_the_step_before_it(tmp_path: Path) -> None:
    looks = Looks(trainer_access.logger_step, "on_validation_end")
    make_trainer(tmp_path, looks, max_epochs=2).fit(Tiny(), loader(4))
    assert looks.seen == [3, 7]


@pytest.mark.parametrize(
    ("data", "settings", "found"),
    [
        (loader(6), {"max_epochs": 3}, {"batches": 6, "max_epochs": 3, "max_steps": None, "accumulation": {0: 1}}),
        (loader(6), {"max_steps": 4}, {"batches": 6, "max_steps": 4}),
        (loader(6), {"limit_train_batches": 4}, {"batches": 4}),
        (DataLoader(Stream(6)), {}, {"batches": None}),
        (DataLoader(Stream(6)), {"limit_train_batches": 4}, {"batches": 4}),
        (loader(6), {"accumulate_grad_batches": 4}, {"accumulation": {0: 4}}),
        (loader(6), {"max_epochs": -1, "max_steps": 2}, {"max_epochs": None, "max_steps": 2}),
    ],
)
def test_the_facts_of_a_run(
    tmp_path: Path, data: DataLoader[Tensor], settings: dict[str, Any], found: dict[str, Any]
) -> None:
    looks = Looks(trainer_access.run_facts, "on_fit_start", "on_train_start")
    make_trainer(tmp_path, looks, **settings).fit(Tiny(), data)
    assert looks.seen[0] == looks.seen[1]
    facts = looks.seen[0]
    assert {key: getattr(facts, key) for key in found} == found
    assert (facts.manual, facts.optimizers) == (False, 1)


def test_the_facts_hold_an_accumulation_that_changes(tmp_path: Path) -> None:
    looks = Looks(trainer_access.run_facts, "on_fit_start")
    make_trainer(tmp_path, looks, GradientAccumulationScheduler({1: 4})).fit(Tiny(), loader(6))
    assert looks.seen[0].accumulation == {0: 1, 1: 4}


def test_a_smoke_test_is_recognised(tmp_path: Path) -> None:
    assert trainer_access.is_smoke_test(make_trainer(tmp_path, fast_dev_run=True))
    assert not trainer_access.is_smoke_test(make_trainer(tmp_path))


def test_the_callbacks_are_listed_checkpoints_last(tmp_path: Path) -> None:
    looks = Looks(lambda trainer: None)
    trainer = make_trainer(tmp_path, looks)
    assert trainer_access.callbacks_of(trainer) == [looks]


@pytest.mark.parametrize("settings", [{"max_epochs": 0}, {"max_steps": 0}, {"limit_train_batches": 0}])
@pytest.mark.filterwarnings("ignore:`max_epochs`")
def test_limits_that_leave_nothing_to_train(tmp_path: Path, settings: dict[str, Any]) -> None:
    assert trainer_access.trains_nothing(make_trainer(tmp_path, **settings))
    assert not trainer_access.trains_nothing(make_trainer(tmp_path, limit_train_batches=0.5))


def test_the_batches_of_an_epoch_at_its_end_and_inside_it(tmp_path: Path) -> None:
    looks = Looks(trainer_access.batches_of_epoch, "on_train_epoch_end", "on_validation_end")
    settings: dict[str, Any] = {"max_epochs": 2, "accumulate_grad_batches": 3, "val_check_interval": 4}
    make_trainer(tmp_path, looks, **settings).fit(Tiny(), loader(6))
    assert looks.seen == [(4, 3), (6, 3)] * 2


@pytest.mark.filterwarnings("ignore:SWA is currently only supported every epoch")
def test_weight_averaging_that_was_restored_in_its_phase_is_seen(tmp_path: Path) -> None:
    def averaging() -> StochasticWeightAveraging:
        return StochasticWeightAveraging(swa_lrs=0.02, swa_epoch_start=2)

    fresh = Looks(trainer_access.averaging_goes_on, "on_fit_start")
    trainer = make_trainer(tmp_path, averaging(), fresh, max_epochs=3)
    trainer.fit(Tiny(), loader(2))
    trainer.save_checkpoint(tmp_path / "inside.ckpt")
    resumed = Looks(trainer_access.averaging_goes_on, "on_fit_start")
    make_trainer(tmp_path, averaging(), resumed, max_epochs=4).fit(
        Tiny(), loader(2), ckpt_path=tmp_path / "inside.ckpt"
    )
    assert (fresh.seen, resumed.seen) == ([False], [True])


@pytest.mark.parametrize("limits", [{"max_epochs": 3}, {"max_epochs": -1, "max_steps": 6}], ids=["epochs", "steps"])
@pytest.mark.parametrize("normed", [False, True], ids=["plain", "with batch norm"])
def test_after_the_last_epoch_of_averaging_the_module_holds_averages(
    tmp_path: Path, normed: bool, limits: dict[str, int]
) -> None:
    class Normed(Tiny):
        def __init__(self) -> None:
            super().__init__()
            self.norm = torch.nn.BatchNorm1d(1) if normed else torch.nn.Identity()

    swa = StochasticWeightAveraging(swa_lrs=0.02, swa_epoch_start=1)
    follow = Looks(lambda trainer: trainer_access.averages_follow(trainer, trainer.current_epoch), "on_train_epoch_end")
    weight = Looks(lambda trainer: trainer.lightning_module.weight.item(), "on_train_epoch_end", "on_train_end")
    make_trainer(tmp_path, swa, follow, weight, **limits).fit(Normed(), loader(2))
    assert follow.seen == [False, False, True, *([False] if normed and "max_steps" not in limits else [])]
    before = weight.seen[follow.seen.index(True)]
    assert all(after > before for after in weight.seen[follow.seen.index(True) + 1 :])
    assert trainer_access.averages_follow(make_trainer(tmp_path), 2) is False


def test_the_metrics_of_a_validation_and_which_of_them_are_logged(tmp_path: Path) -> None:
    class Logs(Tiny):
        def training_step(self, batch: Tensor, batch_idx: int) -> Any:
            self.log("train_loss", 1.0)
            return super().training_step(batch, batch_idx)

        def validation_step(self, batch: Tensor, batch_idx: int) -> None:
            self.log("val_loss", torch.tensor(0.5))
            self.log("hidden", 0.25, logger=False)

    looks = Looks(trainer_access.validation_metrics, "on_validation_end")
    make_trainer(tmp_path, looks, max_epochs=1).fit(Logs(), loader(2))
    assert looks.seen == [({"val_loss": 0.5, "hidden": 0.25}, {"val_loss"})]


def test_it_is_known_whether_a_validation_follows(tmp_path: Path) -> None:
    looks = Looks(trainer_access.validation_is_due, "on_train_batch_end")
    module = Tiny()
    make_trainer(tmp_path, looks, val_check_interval=3).fit(module, loader(5))
    assert looks.seen == [False, False, True, False, False] * 2
    assert [step for step, _ in module.scores] == [3, 8]


@pytest.mark.parametrize("every_epochs", [2, None])
def test_a_validation_is_forced_once_and_the_cadence_put_back(tmp_path: Path, every_epochs: int | None) -> None:
    class Forces(Callback):
        put_back: Any = None

        def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
            if trainer.global_step == 2:
                self.put_back = trainer_access.force_validation(trainer)

        def on_validation_start(self, trainer: L.Trainer, *_: Any) -> None:
            if self.put_back is not None:
                self.put_back()

    module = Tiny()
    settings: dict[str, Any] = {
        "check_val_every_n_epoch": every_epochs,
        "val_check_interval": 7 if not every_epochs else 1.0,
    }
    trainer = make_trainer(tmp_path, Forces(), **settings)
    trainer.fit(module, loader(5))
    assert [step for step, _ in module.scores] == [2, 10 if every_epochs else 7]
    assert trainer.check_val_every_n_epoch == every_epochs


def test_a_validation_is_repeated_before_training_goes_on(tmp_path: Path) -> None:
    looks = Looks(trainer_access.repeat_validation, "on_train_start")
    module = Tiny()
    trainer = make_trainer(tmp_path, looks, max_epochs=1)
    trainer.fit(module, loader(2))
    assert [step for step, _ in module.scores] == [0, 2]
    assert trainer.callback_metrics["val_loss"] == pytest.approx(module.scores[-1][1])


def test_a_validation_is_to_come_only_between_a_batch_and_it(tmp_path: Path) -> None:
    hooks = ("on_train_start", "on_train_batch_start", "on_before_zero_grad", "on_validation_end", "on_train_end")
    after = Looks(trainer_access.validation_is_to_come, "on_train_batch_end")
    others = [Looks(trainer_access.validation_is_to_come, hook) for hook in hooks]
    make_trainer(tmp_path, after, *others, max_epochs=1, val_check_interval=2).fit(Tiny(), loader(5))
    assert after.seen == [False, True, False, True, False]
    assert not any(any(look.seen) for look in others)
    assert all(look.seen for look in others)


def test_the_latest_batch_is_counted_through_the_run(tmp_path: Path) -> None:
    looks = Looks(trainer_access.latest_batch, "on_train_batch_end", "on_validation_end")
    make_trainer(tmp_path, looks).fit(Tiny(), loader(2))
    assert looks.seen == [0, 1, 1, 2, 3, 3]


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({}, (5, 1)),
        ({"val_check_interval": 2}, (2, 1)),
        ({"val_check_interval": 7, "check_val_every_n_epoch": None}, (7, None)),
        ({"val_check_interval": {"hours": 1}}, (None, 1)),
    ],
)
def test_the_cadence_of_validations(tmp_path: Path, settings: dict[str, Any], found: tuple[Any, Any]) -> None:
    looks = Looks(trainer_access.validation_cadence, "on_train_start")
    make_trainer(tmp_path, looks, max_epochs=1, **settings).fit(Tiny(), loader(5))
    assert (looks.seen[0].every_batches, looks.seen[0].every_epochs) == found


def test_a_checkpoint_that_is_written_later_is_recognised(tmp_path: Path) -> None:
    looks = Looks(trainer_access.writes_later, "on_train_start")
    make_trainer(tmp_path, looks, max_epochs=1).fit(Tiny(), loader(1))
    make_trainer(tmp_path, looks, max_epochs=1, plugins=[AsyncCheckpointIO()]).fit(Tiny(), loader(1))
    assert looks.seen == [False, True]


def test_what_follows_a_write_waits_for_it_and_gets_its_error(tmp_path: Path) -> None:
    class Saves(Callback):
        def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            (tmp_path / "taken").write_text("no folder")
            for name in ("first", "taken/below", "last"):
                there = partial(self.there.append, name)
                result = trainer_access.save_then(trainer, str(tmp_path / name), there, weights_only=True)
                self.errors.append(None if result is None else result.exception())

        def __init__(self) -> None:
            self.there: list[str] = []
            self.errors: list[BaseException | None] = []

    saves = Saves()
    make_trainer(tmp_path, saves, max_epochs=1, plugins=[AsyncCheckpointIO()]).fit(Tiny(), loader(1))
    assert saves.there == ["first", "last"]
    assert [type(error).__name__ for error in saves.errors] == ["NoneType", "FileExistsError", "NoneType"]


def test_who_restores_callbacks_late_is_known(tmp_path: Path) -> None:
    late = ModelParallelStrategy()
    assert trainer_access.restores_late(make_trainer(tmp_path, strategy=late, devices=2))
    assert not trainer_access.restores_late(make_trainer(tmp_path))


def test_the_module_holds_other_weights_while_they_are_saved(tmp_path: Path) -> None:
    class Saves(Callback):
        def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            other = {name: value + 1 for name, value in pl_module.state_dict().items()}
            before = pl_module.state_dict()["weight"].clone()
            with trainer_access.weights_to_save(trainer, other, weights_only=True):
                assert pl_module.state_dict()["weight"] == before + 1
            assert pl_module.state_dict()["weight"] == before

    make_trainer(tmp_path, Saves(), max_epochs=1).fit(Tiny(), loader(2))


def test_what_follows_the_modules_hook_comes_before_the_checkpoints_once(tmp_path: Path) -> None:
    order: list[str] = []

    class Notes(Tiny):
        def on_train_epoch_end(self) -> None:
            order.append("module")

    class Saves(Checkpoint):
        def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            order.append("checkpoint")

    def follow(trainer: L.Trainer) -> None:
        order.append("callback")
        if trainer.current_epoch == 0:
            for name in ("first", "second"):
                trainer_access.after_module_hook(trainer, "on_train_epoch_end", partial(order.append, name))

    make_trainer(tmp_path, Saves(), Looks(follow, "on_train_epoch_end")).fit(Notes(), loader(2))
    assert order == [
        *("callback", "module", "first", "second", "checkpoint"),
        *("callback", "module", "checkpoint"),
    ]


def test_what_is_taken_away_does_not_follow_the_modules_hook(tmp_path: Path) -> None:
    order: list[str] = []

    def follow(trainer: L.Trainer) -> None:
        trainer_access.after_module_hook(trainer, "on_train_epoch_end", partial(order.append, "wrong"))()

    module = Tiny()
    vars(module)["on_train_epoch_end"] = partial(order.append, "module's own")
    make_trainer(tmp_path, Looks(follow, "on_train_epoch_end"), max_epochs=1).fit(module, loader(2))
    assert order == ["module's own"]
