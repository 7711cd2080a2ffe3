"""What a member answers, and whether it can be averaged; what is asked for besides."""

from pathlib import Path
from typing import Any

import pytest
import torch

from lightning_lrsched import CycleCheckpoint
from lightning_lrsched.ensemble import EnsembleError, SnapshotEnsemble, average_weights, load_member
from tests.callbacks.models import make_trainer
from tests.ensemble.nets import Net, data, trained


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> CycleCheckpoint:
    return trained(tmp_path_factory.mktemp("run") / "cycles")


def inputs() -> torch.Tensor:
    x, _ = next(iter(data()[1]))
    assert isinstance(x, torch.Tensor)
    return x


class Answers(Net):
    """Answers with something else than logits of classes."""

    answer = "column"

    def forward(self, x: torch.Tensor) -> Any:
        logits = super().forward(x)
        return {
            "column": logits[:, :1],
            "value": logits[:, 0],
            "number": logits.sum(),
            "pooled": logits.mean(0),
            "squeezed": logits[:1].squeeze(),
            "dict": {"logits": logits},
            "tuple": (logits, x),
        }[self.answer]


@pytest.mark.parametrize(
    ("answer", "average", "told"),
    [
        ("column", "probabilities", "one value for each example, .* average='logits'"),
        ("value", "probabilities", "one value for each example, .* average='logits'"),
        ("number", "probabilities", "one value for each example, .* average='logits'"),
        ("dict", "logits", r"Answers\.forward returns a dict, and only a tensor can be averaged"),
        ("tuple", "probabilities", r"Answers\.forward returns a tuple, and only a tensor can be averaged"),
    ],
)
def test_an_answer_that_cannot_be_averaged_so_is_refused(
    kept: CycleCheckpoint, monkeypatch: pytest.MonkeyPatch, answer: str, average: str, told: str
) -> None:
    monkeypatch.setattr(Answers, "answer", answer)
    ensemble = SnapshotEnsemble.from_checkpoints(kept, Answers, average=average)
    with pytest.raises(EnsembleError, match=told):
        ensemble(inputs())


@pytest.mark.parametrize("answer", ["pooled", "squeezed"])
def test_the_classes_of_a_single_example_have_probabilities(
    kept: CycleCheckpoint, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    monkeypatch.setattr(Answers, "answer", answer)
    ensemble = SnapshotEnsemble.from_checkpoints(kept, Answers)
    assert ensemble(inputs()).exp().sum().item() == pytest.approx(1.0)


def test_an_ensemble_is_not_trained(kept: CycleCheckpoint, tmp_path: Path) -> None:
    ensemble = SnapshotEnsemble.from_checkpoints(kept, Net)
    with pytest.raises(EnsembleError, match="is not trained"):
        make_trainer(tmp_path, max_epochs=1).fit(ensemble, *data())


@pytest.mark.parametrize("answer", ["column", "value"])
def test_single_values_are_averaged_as_they_are(
    kept: CycleCheckpoint, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    monkeypatch.setattr(Answers, "answer", answer)
    ensemble = SnapshotEnsemble.from_checkpoints(kept, Answers, average="logits")
    mean = torch.stack(
        [module(inputs())[:, 0] for module in (load_member(path, Net) for path in kept.end_model_paths)]
    ).mean(0)
    torch.testing.assert_close(ensemble(inputs()).flatten(), mean)


def test_one_example_without_a_batch_has_classes() -> None:
    ensemble = SnapshotEnsemble([torch.nn.Linear(4, 3), torch.nn.Linear(4, 3)])  # type: ignore[list-item]
    assert ensemble(torch.ones(4)).exp().sum().item() == pytest.approx(1.0)


class Borrows(Net):
    """Measures with its training step."""

    def test_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.log("test_loss", self.training_step(batch, batch_idx))


def test_a_step_may_call_the_training_step(kept: CycleCheckpoint) -> None:
    trainer = make_trainer(Path(kept.end_model_paths[0]).parent)
    own, borrowed = (
        trainer.test(SnapshotEnsemble.from_checkpoints(kept, module), data()[1], verbose=False)
        for module in (Net, Borrows)
    )
    assert own == borrowed


@pytest.mark.parametrize("last", [0, -1, True, "2"])
def test_a_number_of_members_that_is_none_is_refused(kept: CycleCheckpoint, last: Any) -> None:
    with pytest.raises(ValueError, match=r"SnapshotEnsemble\.last = .* at least 1, or None for all"):
        SnapshotEnsemble.from_checkpoints(kept, Net, last=last)
    with pytest.raises(ValueError, match=r"average_weights\.last"):
        average_weights(kept, Net, last=last)
