"""The best checkpoint of every cycle is kept, and nothing else."""

import math
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor
from torch.optim import SGD

from lightning_lrsched import SGDR, CycleCheckpoint, LearningRateScheduler
from tests.callbacks.models import LR, Tiny, loader, make_trainer

NEVER_KEPT = r"ignore:Cycle \d+ ended without a validation"


def fit(folder: Path, checkpoint: CycleCheckpoint, module: Tiny, *others: Callback, **settings: Any) -> L.Trainer:
    """Fit with cycles of five steps, ten steps an epoch, a validation after every second step."""
    settings = {"val_check_interval": 2} | settings
    plan = settings.pop("plan", None) or LearningRateScheduler(SGDR(5))
    trainer = make_trainer(folder, plan, checkpoint, *others, **settings)
    trainer.fit(module)
    return trainer


def files(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.rglob("*.ckpt"))


def kept(checkpoint: CycleCheckpoint) -> list[tuple[int, int, bool]]:
    return [(cycle.cycle, cycle.kept[0].step, cycle.complete) for cycle in checkpoint.finished_cycles]


def scores(checkpoint: CycleCheckpoint) -> list[float | None]:
    return [cycle.kept[0].score for cycle in checkpoint.finished_cycles]


def weight_in(path: str) -> float:
    return float(torch.load(path, weights_only=True)["state_dict"]["weight"])


def test_each_cycle_keeps_its_best_and_only_that_lies_on_the_disk(tmp_path: Path) -> None:
    checkpoint, module = CycleCheckpoint("val_loss", keep="best"), Tiny(score=lambda step: abs(step - 6) / 10)
    fit(tmp_path, checkpoint, module)
    assert kept(checkpoint) == [(0, 4, True), (1, 6, True), (2, 12, True), (3, 16, True)]
    assert [cycle.kept[0].score for cycle in checkpoint.finished_cycles] == pytest.approx([0.2, 0.0, 0.6, 1.0])
    assert checkpoint.best_model_path == checkpoint.best_model_paths[1]
    assert checkpoint.best_model_score == 0.0
    assert files(tmp_path) == sorted(checkpoint.best_model_paths)
    assert Path(checkpoint.best_model_paths[0]).parent == tmp_path / "checkpoints"


def test_mode_max_keeps_the_highest(tmp_path: Path) -> None:
    checkpoint = CycleCheckpoint("val_loss", mode="max", keep="best")
    fit(tmp_path, checkpoint, Tiny(score=lambda step: abs(step - 6) / 10))
    assert kept(checkpoint) == [(0, 2, True), (1, 10, True), (2, 14, True), (3, 20, True)]
    assert checkpoint.best_model_score == pytest.approx(1.4)


def test_a_validation_at_a_cycles_last_step_counts_for_the_cycle_that_ends(tmp_path: Path) -> None:
    checkpoint = CycleCheckpoint("val_loss", keep="best")
    fit(tmp_path, checkpoint, Tiny(score=lambda step: -step), val_check_interval=5)
    assert kept(checkpoint) == [(0, 5, True), (1, 10, True), (2, 15, True), (3, 20, True)]


def test_the_warmup_belongs_to_the_first_cycle(tmp_path: Path) -> None:
    checkpoint = CycleCheckpoint("val_loss", keep="best")
    fit(tmp_path, checkpoint, Tiny(score=float), plan=LearningRateScheduler(SGDR(8), warmup=4))
    assert kept(checkpoint) == [(0, 2, True), (1, 14, True)]


def test_nan_never_wins_and_ties_keep_the_earlier(tmp_path: Path) -> None:
    scores = {2: math.nan, 4: 0.5, 6: 0.5, 8: 0.5, 10: math.nan, 12: math.nan, 14: math.nan, 16: 0.1, 18: 0.1, 20: 0.1}
    checkpoint = CycleCheckpoint("val_loss", keep="best")
    with pytest.warns(UserWarning, match="Cycle 2 ended without a validation that could be kept"):
        fit(tmp_path, checkpoint, Tiny(score=scores.__getitem__))
    assert kept(checkpoint) == [(0, 4, True), (1, 6, True), (3, 16, True)]
    assert files(tmp_path) == sorted(checkpoint.best_model_paths)


def test_the_sanity_check_never_counts(tmp_path: Path) -> None:
    checkpoint = CycleCheckpoint("val_loss", keep="best")
    fit(tmp_path, checkpoint, Tiny(score=lambda step: step if step else -99.0), num_sanity_val_steps=2)
    assert kept(checkpoint) == [(0, 2, True), (1, 6, True), (2, 12, True), (3, 16, True)]


class Weights(Callback):
    """Records the weight after every batch."""

    def __init__(self) -> None:
        self.after: dict[int, float] = {}

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        assert isinstance(pl_module, Tiny)
        self.after.setdefault(trainer.global_step, pl_module.weight.item())


@pytest.mark.parametrize("accumulate", [1, 4])
def test_without_a_monitor_the_last_weights_of_each_cycle_are_kept(tmp_path: Path, accumulate: int) -> None:
    checkpoint, weights = CycleCheckpoint(), Weights()
    settings: dict[str, Any] = {"max_epochs": 4 if accumulate == 4 else 2, "accumulate_grad_batches": accumulate}
    fit(tmp_path, checkpoint, Tiny(), weights, plan=LearningRateScheduler(SGDR(5), warmup=1), **settings)
    last = (1, 12, False) if accumulate == 4 else (3, 20, False)
    whole = [(0, 6, True), (1, 11, True), (2, 16, True)]
    assert kept(checkpoint) == ([whole[0], whole[1], (2, 12, False)] if accumulate == 4 else [*whole, last])
    assert [weight_in(path) for path in checkpoint.best_model_paths] == [
        weights.after[cycle.kept[0].step] for cycle in checkpoint.finished_cycles
    ]
    assert files(tmp_path) == sorted(checkpoint.best_model_paths)
    assert checkpoint.best_model_path == checkpoint.best_model_paths[-1]
    assert checkpoint.best_model_score is None


@pytest.mark.parametrize("tensor", [False, True], ids=["float", "tensor"])
def test_the_lr_of_a_checkpoint_is_the_one_that_its_last_step_used(tmp_path: Path, tensor: bool) -> None:
    checkpoint, plan = CycleCheckpoint(), LearningRateScheduler(SGDR(5))
    lr: Any = torch.tensor(LR, dtype=torch.float64) if tensor else LR
    fit(tmp_path, checkpoint, Tiny(lambda module: SGD(module.parameters(), lr=lr)), plan=plan)
    ends = [cycle.kept[0] for cycle in checkpoint.finished_cycles]
    assert plan.timeline is not None
    assert [end.lr for end in ends] == [plan.timeline.lr(end.step - 1, LR) for end in ends]


def test_the_kept_weights_are_those_that_were_measured(tmp_path: Path) -> None:
    checkpoint, weights = CycleCheckpoint("val_loss", keep="best"), Weights()
    fit(tmp_path, checkpoint, Tiny(), weights)
    assert [weight_in(path) for path in checkpoint.best_model_paths] == [
        weights.after[cycle.kept[0].step] for cycle in checkpoint.finished_cycles
    ]


def test_a_cycle_that_the_run_cuts_short_is_kept_as_incomplete(tmp_path: Path) -> None:
    checkpoint = CycleCheckpoint("val_loss", keep="best")
    fit(tmp_path, checkpoint, Tiny(score=float), plan=LearningRateScheduler(SGDR(8)))
    assert kept(checkpoint) == [(0, 2, True), (1, 10, True), (2, 18, False)]


def test_a_run_that_stops_early_closes_its_cycle_as_incomplete(tmp_path: Path) -> None:
    checkpoint = CycleCheckpoint("val_loss", keep="best")
    stop = EarlyStopping("val_loss", patience=2)
    fit(tmp_path, checkpoint, Tiny(score=float), stop, plan=LearningRateScheduler(SGDR(8)))
    assert kept(checkpoint) == [(0, 2, False)]


class Measures(Tiny):
    def test_step(self, batch: Tensor, batch_idx: int) -> None:
        self.tested = self.weight.item()

    def predict_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return self.weight.detach().clone()


def test_the_best_of_all_is_what_test_loads(tmp_path: Path) -> None:
    checkpoint, module = CycleCheckpoint("val_loss", keep="best"), Measures()
    trainer = fit(tmp_path, checkpoint, module)
    finished, best = list(checkpoint.finished_cycles), checkpoint.best_model_path
    trainer.test(module, loader(1), ckpt_path="best", verbose=False)
    assert module.tested == weight_in(best)
    assert trainer.predict(module, loader(1), ckpt_path="best") == [weight_in(best)]
    assert module.tested != weight_in(checkpoint.best_model_paths[-1])
    assert checkpoint.finished_cycles == finished, "what the file says of its own time does not count here"
    assert checkpoint.best_model_path == best


def test_a_checkpoint_of_weights_alone_is_smaller(tmp_path: Path) -> None:
    checkpoint = CycleCheckpoint("val_loss", keep="best", save_weights_only=True, dirpath=tmp_path / "here")
    fit(tmp_path, checkpoint, Tiny())
    content = torch.load(checkpoint.best_model_path, weights_only=True)
    assert "optimizer_states" not in content
    assert Path(checkpoint.best_model_path).parent == tmp_path / "here"


def test_a_second_run_in_the_same_folder_overwrites_nothing(tmp_path: Path) -> None:
    first, second = CycleCheckpoint("val_loss", keep="best"), CycleCheckpoint("val_loss", keep="best")
    fit(tmp_path, first, Tiny())
    before = {path: Path(path).read_bytes() for path in files(tmp_path)}
    fit(tmp_path, second, Tiny())
    assert {path: Path(path).read_bytes() for path in before} == before
    assert files(tmp_path) == sorted(first.best_model_paths + second.best_model_paths)
    assert all("-v1" in path for path in second.best_model_paths)


def test_the_same_callback_in_a_new_run_begins_anew(tmp_path: Path) -> None:
    checkpoint = CycleCheckpoint("val_loss", keep="best")
    fit(tmp_path / "first", checkpoint, Tiny())
    first = checkpoint.best_model_paths
    fit(tmp_path / "second", checkpoint, Tiny())
    assert len(checkpoint.best_model_paths) == len(first) == 4
    assert files(tmp_path) == sorted(first + checkpoint.best_model_paths)
    assert files(tmp_path / "second") == sorted(checkpoint.best_model_paths)


def test_the_files_lie_in_the_loggers_folder_of_the_run(tmp_path: Path) -> None:
    checkpoint = CycleCheckpoint("val_loss", keep="best")
    logger = CSVLogger(tmp_path, name="digits")
    fit(tmp_path, checkpoint, Tiny(), logger=logger, log_every_n_steps=1)
    assert Path(checkpoint.best_model_path).parent == tmp_path / "digits" / "version_0" / "checkpoints"


@pytest.mark.parametrize("first", [True, False])
def test_a_model_checkpoint_beside_it_works_in_both_orders(tmp_path: Path, first: bool) -> None:
    checkpoint = CycleCheckpoint("val_loss", keep="best", dirpath=tmp_path / "cycles")
    other = ModelCheckpoint(tmp_path / "others", monitor="val_loss", save_top_k=2, save_last=True)
    order = [other, checkpoint] if first else [checkpoint, other]
    module = Tiny()
    make_trainer(tmp_path, *order, LearningRateScheduler(SGDR(5)), val_check_interval=2).fit(module)
    best = min(score for _, score in module.scores)
    assert checkpoint.best_model_score == pytest.approx(best)
    assert other.best_model_score is not None
    assert other.best_model_score.item() == pytest.approx(best)
    assert files(tmp_path / "cycles") == sorted(checkpoint.best_model_paths)
    assert len(files(tmp_path / "others")) == 3


def test_a_validation_outside_of_a_fit_keeps_nothing(tmp_path: Path) -> None:
    checkpoint, module = CycleCheckpoint("val_loss", keep="best"), Tiny(score=lambda step: -step)
    trainer = fit(tmp_path, checkpoint, module)
    before = files(tmp_path)
    trainer.validate(module, verbose=False)
    assert files(tmp_path) == before


class Breaks(Callback):
    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        if trainer.global_step == 7:
            raise RuntimeError("broken on purpose")


def test_a_validation_after_an_exception_keeps_nothing(tmp_path: Path) -> None:
    checkpoint, module = CycleCheckpoint("val_loss", keep="best"), Tiny(score=lambda step: -step)
    trainer = make_trainer(tmp_path, LearningRateScheduler(SGDR(5)), checkpoint, Breaks(), val_check_interval=2)
    with pytest.raises(RuntimeError, match="broken on purpose"):
        trainer.fit(module)
    before = files(tmp_path)
    trainer.validate(module, verbose=False)
    assert files(tmp_path) == before == [*checkpoint.best_model_paths, checkpoint.best_model_path]


def test_a_cycle_without_a_validation_is_told(tmp_path: Path) -> None:
    checkpoint = CycleCheckpoint("val_loss", keep="best")
    with pytest.warns(UserWarning, match="Cycle 1 ended without a validation.*check_val_every_n_epoch=1"):
        fit(tmp_path, checkpoint, Tiny(), val_check_interval=1.0, plan=LearningRateScheduler(SGDR(6), warmup=4))
    assert [best.cycle for best in checkpoint.finished_cycles] == [0, 2]


def test_early_stopping_first_does_not_hide_the_last_validation(tmp_path: Path) -> None:
    checkpoint = CycleCheckpoint("val_loss", keep="best")
    stop = EarlyStopping("val_loss", stopping_threshold=-9.0)
    make_trainer(tmp_path, stop, checkpoint, LearningRateScheduler(SGDR(8)), val_check_interval=2).fit(
        Tiny(score=lambda step: -step)
    )
    assert kept(checkpoint) == [(0, 8, True), (1, 10, False)]
