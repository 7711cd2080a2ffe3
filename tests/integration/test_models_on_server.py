"""Kept checkpoints on a real tracking server: linked, ordered, superseded, and put to use."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from mlflow import MlflowClient

from lightning_lrsched.ensemble import find_members, load_member
from lightning_lrsched.tracking import models, registered
from tests.callbacks.interruptions import SavesAt, Stops
from tests.callbacks.models import Tiny
from tests.integration.tracking_server import Server
from tests.tracking.reading import runs
from tests.tracking.test_models import METRIC, fit, stored

NAME = "anna's net"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path, f"sqlite:///{tmp_path / 'store.db'}") as made:
        yield made


@pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before the epoch")
def test_a_resumed_run_leaves_what_it_keeps_with_its_metrics_and_its_version(server: Server, tmp_path: Path) -> None:
    uri, path = server.uri, tmp_path / "saved" / "middle.ckpt"
    with pytest.raises(RuntimeError, match="power cut"):
        fit(tmp_path, uri, SavesAt(8, path), Stops(13), score=lambda step: 0.1 if step == 10 else 0.5, name=NAME)
    client = MlflowClient(uri, registry_uri=uri)
    before = client.get_model_version_by_alias(NAME, registered.ALIAS)
    checkpoint = fit(
        tmp_path, uri, score=lambda step: 0.4 if step == 15 else 0.5, ckpt_path=path, weights_only=True, name=NAME
    )

    kept = sorted((one.step, one.score) for row in checkpoint.finished_cycles for one in row.kept)
    found = stored(uri)
    assert [(int(model.params["step"]), [metric.value for metric in model.metrics or ()]) for model in found] == [
        (step, [score]) for step, score in kept
    ]
    (run,) = runs(uri)
    first = client.search_logged_models(
        [run.info.experiment_id], order_by=[{"field_name": f"metrics.{METRIC}", "ascending": True}]
    )[0]
    assert first.params["step"] == "15"
    assert run.data.tags[models.BEST] == first.model_id

    versions = client.search_model_versions(f'name = "{NAME}"')
    assert before.version not in {version.version for version in versions}
    assert client.get_model_version_by_alias(NAME, registered.ALIAS).source == f"models:/{first.model_id}"

    members = find_members(run.info.run_id, uri)
    assert [(one.step, one.score) for one in members] == [(one.step, one.score) for one in find_members(checkpoint)]
    weights = torch.load(checkpoint.end_model_paths[-1], weights_only=True)["state_dict"]
    torch.testing.assert_close(dict(load_member(members[-1], Tiny(), uri).state_dict()), dict(weights))
