"""Kept checkpoints as logged models: each once, with its metric, the best of all marked."""

import json
import threading
import warnings
from pathlib import Path
from typing import Any

import lightning as L
import mlflow
import pytest
from fsspec.core import url_to_fs
from lightning.pytorch.callbacks import Callback
from mlflow import MlflowClient
from mlflow.entities import LoggedModel
from torch import Tensor

from lightning_lrsched import SGDR, CycleCheckpoint, LearningRateScheduler, MLflowTracker
from lightning_lrsched.cli import main as lrsched
from lightning_lrsched.ensemble import find_members
from lightning_lrsched.tracking import models, registered
from tests.callbacks.interruptions import SavesAt, Stops
from tests.callbacks.models import Tiny, make_trainer, wavy
from tests.callbacks.test_cycle_checkpoint import weight_in
from tests.tracking.reading import history, only_run, repeated, runs

METRIC = "checkpoint/val_loss"


def fit(
    folder: Path,
    uri: str,
    *others: Callback,
    score: Any = lambda step: abs(step - 7) / 10,
    dirpath: Any = None,
    name: str = "tiny",
    **given: Any,
) -> Any:
    checkpoint = CycleCheckpoint("val_loss", dirpath=dirpath or folder / "cycles", validate_at_end=True)
    tracker = MLflowTracker(uri, "study", registered_model=name)
    callbacks = [LearningRateScheduler(SGDR(5)), checkpoint, tracker, *others]
    make_trainer(folder, *callbacks, val_check_interval=2).fit(Tiny(score=score), **given)
    return checkpoint


def stored(uri: str) -> list[LoggedModel]:
    client = MlflowClient(uri)
    experiments = [run.info.experiment_id for run in runs(uri)]
    found: list[LoggedModel] = client.search_logged_models(experiments[:1])
    return sorted(found, key=lambda model: int(model.params["step"]))


def test_each_checkpoint_is_a_model_with_its_cycle_lr_and_metric(uri: str, tmp_path: Path) -> None:
    checkpoint = fit(tmp_path, uri)
    run, found = only_run(uri), stored(uri)
    kept = sorted((one.step, one.score, one.lr) for row in checkpoint.finished_cycles for one in row.kept)
    assert [int(model.params["step"]) for model in found] == [step for step, _, _ in kept]
    assert [float(model.params["lr"]) for model in found] == [lr for _, _, lr in kept]
    assert [[(m.key, m.value) for m in model.metrics or ()] for model in found] == [
        [(METRIC, score)] for _, score, _ in kept
    ]
    assert {str(model.status) for model in found} == {"READY"}
    assert {model.name for model in found} >= {"cycle-0-best-end", "cycle-1-best", "cycle-1-end"}
    assert run.outputs is not None
    assert {output.model_id for output in run.outputs.model_outputs} == {model.model_id for model in found}
    assert repeated(uri) == []
    assert [step for step, _ in history(uri, run, METRIC)] == [step - 1 for step, _, _ in kept]


class Measures(Tiny):
    """Logs several metrics; one of them becomes NaN, one has a name of its own making."""

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        super().validation_step(batch, batch_idx)
        step = float(self.trainer.global_step)
        self.log("val/top 1", step)
        self.log("val_nan", float("nan") if step > 10 else step)


def test_all_that_was_measured_is_linked_also_after_a_resume(uri: str, tmp_path: Path) -> None:
    def ours() -> list[Any]:
        checkpoint = CycleCheckpoint("val/top 1", "max", dirpath=tmp_path / "cycles", validate_at_end=True)
        return [LearningRateScheduler(SGDR(5)), checkpoint, MLflowTracker(uri, "study")]

    path = tmp_path / "saved" / "middle.ckpt"
    with pytest.raises(RuntimeError, match="power cut"):
        make_trainer(tmp_path, *ours(), SavesAt(8, path), Stops(9), val_check_interval=2).fit(Measures())
    callbacks = ours()
    make_trainer(tmp_path, *callbacks, val_check_interval=2).fit(Measures(), ckpt_path=path, weights_only=True)
    kept = {one.step: one for row in callbacks[1].finished_cycles for one in row.kept}
    found = {int(model.params["step"]): {m.key: m.value for m in model.metrics or ()} for model in stored(uri)}
    expected = {
        step: {METRIC: one.metrics["val_loss"], "checkpoint/val/top 1": step}
        | ({"checkpoint/val_nan": step} if step <= 10 else {})
        for step, one in kept.items()
    }
    assert found == expected
    assert {step: one.metrics["val_loss"] for step, one in kept.items()} == pytest.approx(
        {step: wavy(step) for step in kept}
    )
    run = only_run(uri)
    members = find_members(run.info.run_id, uri)
    assert [(one.score, one.monitor) for one in members] == [(step, "val/top 1") for step in (5, 10, 15, 20)]
    assert [step for step, _ in history(uri, run, "cycle/val/top 1")] == [4, 9, 14, 19]
    content = json.loads((tmp_path / "cycles" / "cycles.json").read_text())
    assert content["cycles"][0]["end"]["metrics"] == kept[5].metrics


def test_a_search_orders_them_and_the_best_is_marked_once(uri: str, tmp_path: Path) -> None:
    checkpoint = fit(tmp_path, uri)
    run, client = only_run(uri), MlflowClient(uri)
    order: Any = [{"field_name": f"metrics.{METRIC}", "ascending": True}]
    first = client.search_logged_models([run.info.experiment_id], order_by=order)[0]
    marked = [model.model_id for model in stored(uri) if model.tags.get(models.BEST)]
    assert marked == [first.model_id] == [run.data.tags[models.BEST]]
    assert [metric.value for metric in first.metrics or ()] == [checkpoint.best_model_score]


def test_the_alias_downloads_the_best_file(uri: str, tmp_path: Path) -> None:
    checkpoint = fit(tmp_path, uri)
    version = MlflowClient(uri, registry_uri=uri).get_model_version_by_alias("tiny", registered.ALIAS)
    mlflow.set_tracking_uri(uri)
    try:
        folder = Path(mlflow.artifacts.download_artifacts(f"models:/tiny@{registered.ALIAS}"))
    finally:
        mlflow.set_tracking_uri(None)  # type: ignore[arg-type]  # unset
    (file,) = folder.glob("*.ckpt")
    assert file.read_bytes() == Path(checkpoint.best_model_path).read_bytes()
    assert version.tags[models.KEY].startswith(checkpoint.run_key)


def test_a_worse_run_does_not_take_the_alias_and_a_better_one_does(uri: str, tmp_path: Path) -> None:
    registry = MlflowClient(uri, registry_uri=uri)
    fit(tmp_path / "a", uri)
    first = registry.get_model_version_by_alias("tiny", registered.ALIAS)
    fit(tmp_path / "b", uri, score=lambda step: 5.0 + step)
    assert registry.get_model_version_by_alias("tiny", registered.ALIAS).version == first.version
    better = fit(tmp_path / "c", uri, score=lambda step: -float(step))
    now = registry.get_model_version_by_alias("tiny", registered.ALIAS)
    assert now.tags[models.KEY].startswith(better.run_key)


def test_a_resume_after_a_cycle_stores_nothing_twice(uri: str, tmp_path: Path) -> None:
    path = tmp_path / "saved" / "middle.ckpt"
    with pytest.raises(RuntimeError, match="power cut"):
        fit(tmp_path, uri, SavesAt(8, path), Stops(13))
    before = [model.model_id for model in stored(uri)]
    assert before
    checkpoint = fit(tmp_path, uri, ckpt_path=path, weights_only=True)
    found = stored(uri)
    assert {model.model_id for model in found} >= set(before)
    steps = sorted(one.step for row in checkpoint.finished_cycles for one in row.kept)
    assert [int(model.params["step"]) for model in found] == steps
    versions = MlflowClient(uri, registry_uri=uri).search_model_versions("name = 'tiny'")
    assert len({version.tags[models.KEY] for version in versions}) == len(versions)


def test_what_a_resume_chooses_otherwise_replaces_what_was_stored(uri: str, tmp_path: Path) -> None:
    path = tmp_path / "saved" / "middle.ckpt"
    with pytest.raises(RuntimeError, match="power cut"):
        fit(tmp_path, uri, SavesAt(8, path), Stops(13))
    before = {int(model.params["step"]) for model in stored(uri)}
    assert before == {5, 6, 10}
    checkpoint = fit(tmp_path, uri, score=lambda step: -step, ckpt_path=path, weights_only=True)
    kept = sorted((one.step, one.score) for row in checkpoint.finished_cycles for one in row.kept)
    found = stored(uri)
    assert [(int(model.params["step"]), [m.value for m in model.metrics or ()]) for model in found] == [
        (step, [score]) for step, score in kept
    ]
    assert (10, -10.0) in kept
    marked = [int(model.params["step"]) for model in found if model.tags.get(models.BEST)]
    assert marked == [20]


@pytest.mark.filterwarnings("ignore:The run was planned for 10 steps and now has 20")
def test_a_cut_cycle_that_a_longer_run_completes_is_stored_as_that(uri: str, tmp_path: Path) -> None:
    def run(epochs: int, path: Path | None) -> tuple[CycleCheckpoint, L.Trainer]:
        checkpoint = CycleCheckpoint("val_loss", dirpath=tmp_path / "cycles")
        callbacks = [LearningRateScheduler(SGDR(8)), checkpoint, MLflowTracker(uri, "study")]
        trainer = make_trainer(tmp_path, *callbacks, max_epochs=epochs, val_check_interval=2)
        trainer.fit(Tiny(score=float), ckpt_path=path, weights_only=None if path is None else True)
        return checkpoint, trainer

    def complete() -> list[tuple[int, bool]]:
        return [(int(model.params["step"]), model.params["complete"] == "True") for model in stored(uri)]

    _, trainer = run(1, None)
    trainer.save_checkpoint(tmp_path / "saved.ckpt")
    assert complete() == [(2, True), (8, True), (10, False)]
    checkpoint, _ = run(2, tmp_path / "saved.ckpt")
    kept = sorted((one.step, row.complete) for row in checkpoint.finished_cycles for one in row.kept)
    assert complete() == kept == [(2, True), (8, True), (10, True), (16, True), (18, False), (20, False)]


class Steered(Tiny):
    """Takes steps of another size: what other data do."""

    def __init__(self, pull: float = 1.0, score: Any = wavy) -> None:
        super().__init__(score=score)
        self.pull = pull

    def training_step(self, batch: Tensor, batch_idx: int) -> Any:
        return self.pull * super().training_step(batch, batch_idx)


def held(uri: str) -> list[tuple[int, float]]:
    """The step of every stored checkpoint, and the weight in its file."""
    found = []
    for model in stored(uri):
        folder = mlflow.artifacts.download_artifacts(model.artifact_location, tracking_uri=uri)
        (file,) = Path(folder).glob("*.ckpt")
        found.append((int(model.params["step"]), weight_in(str(file))))
    return found


@pytest.mark.parametrize("one_process", [False, True], ids=["another process", "the same objects"])
@pytest.mark.parametrize("pull", [1.0, 3.0], ids=["to the same weights", "to other weights"])
@pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before the epoch")
def test_an_end_without_a_metric_that_is_reached_again_is_stored_as_it_is_now(
    uri: str, tmp_path: Path, pull: float, one_process: bool
) -> None:
    def ours() -> list[Any]:
        tracker = MLflowTracker(uri, "study", registered_model="tiny")
        return [LearningRateScheduler(SGDR(5)), CycleCheckpoint(dirpath=tmp_path / "cycles"), tracker]

    path, callbacks = tmp_path / "saved" / "middle.ckpt", ours()
    with pytest.raises(RuntimeError, match="power cut"):
        make_trainer(tmp_path, *callbacks, SavesAt(7, path), Stops(13), val_check_interval=2).fit(Steered())
    before = stored(uri)
    assert [int(model.params["step"]) for model in before] == [5, 10]
    callbacks = callbacks if one_process else ours()
    make_trainer(tmp_path, *callbacks, val_check_interval=2).fit(Steered(pull), ckpt_path=path, weights_only=True)
    kept = [one for row in callbacks[1].finished_cycles for one in row.kept]
    assert held(uri) == [(one.step, weight_in(one.path)) for one in kept]
    found = stored(uri)
    assert found[0].model_id == before[0].model_id, "what was before the point is not stored again"
    assert (found[1].model_id == before[1].model_id) is (pull == 1.0)
    assert repeated(uri) == []
    registry = MlflowClient(uri, registry_uri=uri)
    versions = registry.search_model_versions("name = 'tiny'")
    assert {version.source for version in versions} <= {model.artifact_location for model in found}
    assert len({version.source for version in versions}) == len(versions)
    newest = registry.get_model_version_by_alias("tiny", registered.ALIAS)
    assert newest.source == found[-1].artifact_location
    assert only_run(uri).data.tags[models.BEST] == found[-1].model_id


def test_the_version_of_a_superseded_checkpoint_goes_and_the_alias_with_it(uri: str, tmp_path: Path) -> None:
    path, registry = tmp_path / "saved" / "middle.ckpt", MlflowClient(uri, registry_uri=uri)
    fit(tmp_path / "other", uri, score=lambda step: 0.3 if step == 5 else 0.5)
    before = registry.get_model_version_by_alias("tiny", registered.ALIAS)
    with pytest.raises(RuntimeError, match="power cut"):
        fit(tmp_path, uri, SavesAt(8, path), Stops(13), score=lambda step: 0.1 if step == 10 else 0.5)
    first = registry.get_model_version_by_alias("tiny", registered.ALIAS)
    assert first.tags["lrsched.score"].startswith("0.1")
    registry.set_registered_model_alias("tiny", "reviewed", before.version)
    fit(tmp_path, uri, score=lambda step: 0.4 if step == 10 else 0.5, ckpt_path=path, weights_only=True)
    versions = registry.search_model_versions("name = 'tiny'")
    assert first.version not in {version.version for version in versions}
    assert registry.get_model_version_by_alias("tiny", registered.ALIAS).version == before.version
    sources = {version.source for version in versions}
    assert sources <= {model.artifact_location for model in stored(uri)}


def test_a_version_that_somebody_has_given_an_alias_stays(uri: str, tmp_path: Path) -> None:
    path, registry = tmp_path / "saved" / "middle.ckpt", MlflowClient(uri, registry_uri=uri)
    with pytest.raises(RuntimeError, match="power cut"):
        fit(tmp_path, uri, SavesAt(8, path), Stops(13), score=lambda step: 0.1 if step == 10 else 0.5)
    first = registry.get_model_version_by_alias("tiny", registered.ALIAS)
    registry.set_registered_model_alias("tiny", "production", first.version)
    fit(tmp_path, uri, score=lambda step: 0.4 if step == 10 else 0.5, ckpt_path=path, weights_only=True)
    assert registry.get_model_version_by_alias("tiny", "production").version == first.version
    best = registry.get_model_version_by_alias("tiny", registered.ALIAS)
    assert best.tags["lrsched.score"].startswith("0.4")
    folder = mlflow.artifacts.download_artifacts(first.source, tracking_uri=uri)
    assert list(Path(folder).glob("*.ckpt"))


def test_only_a_run_with_the_same_metric_can_take_the_alias(uri: str, tmp_path: Path) -> None:
    registry = MlflowClient(uri, registry_uri=uri)
    fit(tmp_path / "a", uri)
    first = registry.get_model_version_by_alias("tiny", registered.ALIAS)
    for name, checkpoint in (
        ("without", CycleCheckpoint(dirpath=tmp_path / "without")),
        ("up", CycleCheckpoint("val_loss", "max", dirpath=tmp_path / "up")),
    ):
        tracker = MLflowTracker(uri, "study", registered_model="tiny")
        module = Tiny(score=lambda step: 100.0 + step)
        callbacks = [LearningRateScheduler(SGDR(5)), checkpoint, tracker]
        make_trainer(tmp_path / name, *callbacks, val_check_interval=5).fit(module)
        assert registry.get_model_version_by_alias("tiny", registered.ALIAS).version == first.version
    assert len(registry.search_model_versions("name = 'tiny'")) > 2


def test_one_that_was_half_stored_is_finished_and_never_marked_before(uri: str, tmp_path: Path) -> None:
    client = MlflowClient(uri)
    run = client.create_run(client.create_experiment("study"))
    file = tmp_path / "a.ckpt"
    task = models.checkpoint(file, "k", "cycle-0-end", {"cycle": 0}, metrics={METRIC: 0.5}, axis=3, timestamp=7)
    with pytest.raises(FileNotFoundError, match=r"a\.ckpt is gone"):
        models.store(client, run.info.run_id, task)
    with pytest.raises(LookupError, match="k is not stored"):
        models.mark(client, run.info.run_id, models.best("k", None, "val_loss", "min", 0.5))
    half = client.create_logged_model(run.info.experiment_id, "cycle-0-end", run.info.run_id, {models.KEY: "k"})
    with pytest.raises(LookupError, match="k is not stored"):
        models.mark(client, run.info.run_id, models.best("k", None, "val_loss", "min", 0.5))
    file.write_text("whole")
    models.store(client, run.info.run_id, task)
    models.store(client, run.info.run_id, task)
    (found,) = client.search_logged_models([run.info.experiment_id])
    assert (found.model_id, str(found.status), len(found.metrics or ())) == (half.model_id, "READY", 1)
    assert [artifact.path for artifact in client.list_logged_model_artifacts(found.model_id)] == ["a.ckpt"]


def test_checkpoints_in_a_store_of_their_own_are_copied(uri: str, tmp_path: Path) -> None:
    """The memory of this process stands for a bucket."""
    fs, _ = url_to_fs("memory://")
    checkpoint = fit(tmp_path, uri, dirpath="memory://bucket/cycles")
    found, client = stored(uri), MlflowClient(uri)
    kept = sorted((one.step, one.path) for row in checkpoint.finished_cycles for one in row.kept)
    assert [int(model.params["step"]) for model in found] == [step for step, _ in kept]
    for model, (_, path) in zip(found, kept, strict=True):
        (artifact,) = client.list_logged_model_artifacts(model.model_id)
        file = mlflow.artifacts.download_artifacts(f"{model.artifact_location}/{artifact.path}", tracking_uri=uri)
        assert artifact.path == Path(path).name
        assert Path(file).read_bytes() == fs.cat_file(path)
    marked = [int(model.params["step"]) for model in found if model.tags.get(models.BEST)]
    assert marked == [step for step, path in kept if path == checkpoint.best_model_path]
    assert list(tmp_path.rglob("*.partial")) == []
    fs.rm("/bucket", recursive=True)
    task = models.checkpoint(kept[0][1], "gone", "cycle-0-end", {"cycle": 0}, metrics={}, axis=0, timestamp=7)
    with pytest.raises(FileNotFoundError, match=r"memory://bucket/cycles/.* is gone"):
        models.store(client, only_run(uri).info.run_id, task)


def test_an_upload_that_failed_is_done_later_from_the_disk(
    uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the store's folder should be")
    MlflowClient(uri).create_experiment("study", artifact_location=str(blocked / "artifacts"))
    checkpoint = CycleCheckpoint("val_loss", dirpath=tmp_path / "cycles")
    tracker = MLflowTracker(uri, "study", registered_model="tiny", flush_timeout=1.0)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        plan = LearningRateScheduler(SGDR(5))
        make_trainer(tmp_path, plan, checkpoint, tracker, val_check_interval=5).fit(Tiny())
    assert any("lrsched replay" in str(one.message) for one in told)
    registry = MlflowClient(uri, registry_uri=uri)
    assert registry.search_registered_models() == [], "nothing is registered that is not there"
    assert not any(str(model.status) == "READY" for model in stored(uri))

    for thread in threading.enumerate():  # its last try is over soon after the fit
        if thread.name.startswith("lrsched-"):
            thread.join(30)
    blocked.unlink()
    assert lrsched(["replay", str(tmp_path / "lrsched_spool")]) == 0, capsys.readouterr().err
    found = stored(uri)
    assert {str(model.status) for model in found} == {"READY"}
    steps = sorted(one.step for row in checkpoint.finished_cycles for one in row.kept)
    assert [int(model.params["step"]) for model in found] == steps
    assert registry.get_model_version_by_alias("tiny", registered.ALIAS).tags[models.KEY].startswith(checkpoint.run_key)
