"""What makes a run comparable and repeatable is stored with it."""

import json
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch

from lightning_lrsched import Cosine, LearningRateScheduler, Linear, MLflowTracker, OneCycle, Plan
from tests.callbacks.models import Tiny, make_trainer
from tests.tracking.reading import fetched, only_run


class Kept(Tiny):
    """A module that keeps its hyper-parameters, one of them with a password."""

    def __init__(self, width: int = 8, data_uri: str = "postgresql://ann:s3cret@db/rows") -> None:
        super().__init__(lambda module: torch.optim.AdamW(module.parameters(), lr=0.1, weight_decay=0.05))
        self.save_hyperparameters()


def test_a_run_says_what_it_was_made_with(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)
    L.seed_everything(7)
    tracker = MLflowTracker(uri)
    tracker.keep_text("config.yaml", "uri: http://ann:s3cret@host")
    settings = {"accumulate_grad_batches": 2, "gradient_clip_val": 0.5}
    make_trainer(tmp_path, LearningRateScheduler(Cosine()), tracker, **settings).fit(Kept())
    run = only_run(uri)
    found = {key.removeprefix("setup/"): value for key, value in run.data.params.items() if key.startswith("setup/")}
    assert found["optimizer"] == "AdamW"
    assert found["optimizer.weight_decay"] == "0.05"
    assert found["optimizer.betas"] == "(0.9, 0.999)"
    assert (found["seed"], found["max_epochs"], found["precision"]) == ("7", "2", "32-true")
    assert (found["accumulate_grad_batches"], found["gradient_clip_val"]) == ("2", "0.5")
    document = json.loads(fetched(uri, run, "schedule/setup.json").read_text())
    assert document["hparams"]["module"] == {"width": 8, "data_uri": "postgresql://***@db/rows"}
    assert document["classes"]["module"] == "tests.tracking.test_run_setup.Kept"
    assert document["versions"]["torch"] == torch.__version__
    assert fetched(uri, run, "schedule/config.yaml").read_text() == "uri: http://***@host"
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)


class Keyed(Tiny):
    """A module whose hyper-parameters hold secrets."""

    def __init__(self, api_key: str = "s3cret", store: Any = None, width: int = 8) -> None:
        super().__init__()
        self.save_hyperparameters()


def test_a_secret_among_the_hyper_parameters_is_masked(uri: str, tmp_path: Path) -> None:
    tracker = MLflowTracker(uri)
    tracker.keep_text("config.yaml", "model:\n  hf_token: s3cret\n  width: 8\n")
    module = Keyed(store={"password": "s3cret", "host": "db"})
    make_trainer(tmp_path, LearningRateScheduler(Cosine()), tracker).fit(module)
    run = only_run(uri)
    document = json.loads(fetched(uri, run, "schedule/setup.json").read_text())
    expected = {"api_key": "***", "store": {"password": "***", "host": "db"}, "width": 8}
    assert document["hparams"]["module"] == expected
    assert fetched(uri, run, "schedule/config.yaml").read_text() == "model:\n  hf_token: '***'\n  width: 8\n"


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [
        (lambda module: torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9), {"momentum": "0.9"}),
        (lambda module: torch.optim.Adam(module.parameters(), lr=0.1), {"betas": "(0.9, 0.999)"}),
    ],
)
def test_what_a_schedule_writes_has_the_value_before_it(
    uri: str, tmp_path: Path, optimizer: Any, expected: dict[str, str]
) -> None:
    plan = Plan(OneCycle(cycle_momentum=True), others={"weight_decay": Linear()})
    schedule = LearningRateScheduler(plan)
    make_trainer(tmp_path, schedule, MLflowTracker(uri)).fit(Tiny(optimizer))
    params = only_run(uri).data.params
    for key, value in {**expected, "weight_decay": "0"}.items():
        assert params[f"setup/optimizer.{key}"] in (value, f"{value}.0")
    assert not [key for key in params if "initial_" in key]


@dataclass
class Bucket:
    """Where the rows of a module lie."""

    name: str = "rows"
    secret_key: str = "s3cret"


def test_no_file_of_the_tracking_holds_a_secret_of_an_object_or_of_a_block(uri: str, tmp_path: Path) -> None:
    tracker = MLflowTracker(uri)
    tracker.keep_text("config.yaml", "model:\n  password: |\n    s3cret\n  store: {token: s3cret}\n  width: 8\n")
    module = Keyed(store=Namespace(bucket=Bucket(), login={"token": b"s3cret"}, width=16))
    make_trainer(tmp_path, LearningRateScheduler(Cosine()), tracker).fit(module)
    run = only_run(uri)
    store = {"bucket": {"name": "rows", "secret_key": "***"}, "login": {"token": "***"}, "width": 16}
    document = json.loads(fetched(uri, run, "schedule/setup.json").read_text())
    assert document["hparams"]["module"] == {"api_key": "***", "store": store, "width": 8}
    text = fetched(uri, run, "schedule/config.yaml").read_text()
    assert text == "model:\n  password: '***'\n  store: {token: '***'}\n  width: 8\n"
    assert [path for path in tmp_path.rglob("*") if path.is_file() and b"s3cret" in path.read_bytes()] == []
