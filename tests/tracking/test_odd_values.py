"""Values and names that no tracker takes keep nothing else from arriving."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from lightning_lrsched import MLflowTracker
from tests.callbacks.models import LR, Tiny, make_trainer
from tests.tracking.reading import history, only_run

LRS = "lr/SGD/0"


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
