"""Values and names that no tracker takes keep nothing else from arriving."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lightning_lrsched import SGDR, Cosine, CycleCheckpoint, LearningRateScheduler, MLflowTracker
from tests.callbacks.models import LR, Tiny, make_trainer
from tests.tracking.reading import history, keys, models, only_run

LRS = "lr/SGD/0"
LONG = "val/" + "точность" * 10


@pytest.mark.parametrize("every", [1, 2, "on_change", "shared"])
def test_an_infinite_lr_is_left_out_and_counted(uri: str, tmp_path: Path, every: Any) -> None:
    """Over HTTP it would be refused at every try, and nothing that comes after it would arrive."""

    def configure(module: Tiny) -> Any:
        groups: list[dict[str, Any]] = [{"params": [module.weight]}, {"params": [module.bias], "lr": LR / 2}]
        optimizer = torch.optim.SGD(groups, lr=LR)
        factors = [lambda step: math.inf if step in (4, 5, 19) else 1.0, lambda step: 1.0]
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factors)
        return [optimizer], [{"scheduler": scheduler, "interval": "step"}]

    with pytest.warns(UserWarning, match="takes no infinite values: 3 of 'lr/SGD/0' were left out"):
        make_trainer(tmp_path, MLflowTracker(uri, every_n_steps=every)).fit(Tiny(configure))
    run = only_run(uri)
    found = [history(uri, run, key) for key in (LRS, "lr/SGD/1")]
    assert {value for points in found for _, value in points} == {LR, LR / 2}
    kept = {step for step, _ in found[0]}
    assert not kept & {4, 5, 19}
    assert kept >= {0, 6}
    assert every != 1 or [len(points) for points in found] == [17, 20]
    assert run.info.status == "FINISHED"


def test_a_metric_with_a_long_name_in_other_letters_arrives(uri: str, tmp_path: Path) -> None:
    class Odd(Tiny):
        def validation_step(self, batch: Tensor, batch_idx: int) -> None:
            self.log(LONG, float(self.trainer.global_step))

    checkpoint = CycleCheckpoint(LONG, "max", dirpath=tmp_path / "cycles", validate_at_end=True)
    make_trainer(tmp_path, LearningRateScheduler(SGDR(5)), checkpoint, MLflowTracker(uri)).fit(Odd())
    run = only_run(uri)
    (key,) = keys(run, "val/")
    assert len(key) < 250
    assert [step for step, _ in history(uri, run, key)] == [4, 9, 14, 19]
    assert [value for _, value in history(uri, run, f"cycle/{key}")] == [5.0, 10.0, 15.0, 20.0]
    assert [value for _, value in history(uri, run, f"checkpoint/{key}")] == [5.0, 10.0, 15.0, 20.0]
    assert {model.params["monitor"] for model in models(uri, run)} == {key}
    assert len(history(uri, run, LRS)) == 20


def test_a_setting_whose_name_mlflow_refuses_is_stored_under_its_numbers(uri: str, tmp_path: Path) -> None:
    def configure(module: Tiny) -> Any:
        groups = [{"params": list(module.named_parameters()), "wd@head": 3, "ж" * 60: 4}]
        return torch.optim.SGD(groups, lr=LR)

    make_trainer(tmp_path, LearningRateScheduler(Cosine()), MLflowTracker(uri)).fit(Tiny(configure))
    run = only_run(uri)
    found = {key: value for key, value in run.data.params.items() if key.startswith("setup/optimizer")}
    assert found["setup/optimizer.wd:40:head"] == "3"
    assert "4" in [value for key, value in found.items() if key.startswith("setup/optimizer.:436::436:")]
    assert "setup/optimizer.param_names" not in found
    assert not (tmp_path / "lrsched_spool").exists()
