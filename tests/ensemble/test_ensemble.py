"""Ensembles and averaged weights of kept cycles: from every source, against a computation by hand."""

import json
import math
import pickle
import shutil
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from mlflow import MlflowClient

from lightning_lrsched import SGDR, CycleCheckpoint, LearningRateScheduler, MLflowTracker
from lightning_lrsched.cli import main as lrsched
from lightning_lrsched.ensemble import (
    EnsembleError,
    SnapshotEnsemble,
    average_weights,
    evaluate,
    find_members,
    load_member,
    update_batch_norm,
    worse_members,
)
from tests.callbacks.models import Tiny, make_trainer
from tests.conftest import copied
from tests.ensemble.nets import Inside, Net, Shares, data, trained


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> CycleCheckpoint:
    return trained(tmp_path_factory.mktemp("run") / "cycles")


def modules(checkpoint: CycleCheckpoint) -> list[Net]:
    """The members, loaded by hand."""
    found = []
    for path in checkpoint.end_model_paths:
        module = Net(width=6)
        module.load_state_dict(torch.load(path, weights_only=True)["state_dict"])
        found.append(module.eval())
    return found


def inputs() -> torch.Tensor:
    x, _ = next(iter(data()[1]))
    assert isinstance(x, torch.Tensor)
    return x


def test_probabilities_and_logits_are_averaged(kept: CycleCheckpoint) -> None:
    x = inputs()
    outputs = torch.stack([module(x) for module in modules(kept)])
    ensemble = SnapshotEnsemble.from_checkpoints(kept, Net)
    mean = outputs.softmax(-1).mean(0)
    torch.testing.assert_close(ensemble.predict_step([x, None]), mean)
    torch.testing.assert_close(ensemble(x), mean.log())
    plain = SnapshotEnsemble.from_checkpoints(kept, Net, average="logits")
    torch.testing.assert_close(plain(x), outputs.mean(0))
    torch.testing.assert_close(plain.predict_step(x), outputs.mean(0))
    by_dim = SnapshotEnsemble.from_checkpoints(kept, Net, dim=1)
    torch.testing.assert_close(by_dim(x), ensemble(x))


def test_every_source_names_the_same_members(kept: CycleCheckpoint, tmp_path: Path) -> None:
    folder = Path(kept.end_model_paths[0]).parent
    sources: list[Any] = [kept, str(folder), folder / "cycles.json", kept.end_model_paths]
    assert [[one.path for one in find_members(source)] for source in sources] == [kept.end_model_paths] * 4
    assert [one.score for one in find_members(folder)] == [one.score for one in find_members(kept)]
    assert [one.recommended for one in find_members(folder)] == [one.recommended for one in find_members(kept)]
    moved = folder.rename(tmp_path / "moved")
    assert len(find_members(moved)) == len(kept.end_model_paths), "the list names files, not where they were"
    moved.rename(folder)


def test_a_trainer_tests_and_predicts_with_it(kept: CycleCheckpoint) -> None:
    _, loader = data()
    ensemble = SnapshotEnsemble.from_checkpoints(kept, Net)
    trainer = make_trainer(Path(kept.end_model_paths[0]).parent)
    (metrics,) = trainer.test(ensemble, loader, verbose=False)
    x, y = next(iter(loader))
    mean = torch.stack([module(x).softmax(-1) for module in modules(kept)]).mean(0)
    mean = mean.detach()
    expected = -mean[torch.arange(len(y)), y].log().mean()
    assert metrics["test_loss"] == pytest.approx(float(expected), rel=1e-5)
    predicted = trainer.predict(ensemble, loader) or []
    torch.testing.assert_close(predicted, [mean])


def test_a_step_that_would_measure_one_member_alone_is_refused(kept: CycleCheckpoint) -> None:
    ensemble = SnapshotEnsemble.from_checkpoints(kept, Inside)
    with pytest.raises(EnsembleError, match=r"Inside\.test_step does not call self\(\.\.\.\)"):
        make_trainer(Path(kept.end_model_paths[0]).parent).test(ensemble, data()[1], verbose=False)


def test_what_a_step_calls_and_the_hooks_around_it_are_the_modules_own(kept: CycleCheckpoint) -> None:
    ensemble = SnapshotEnsemble.from_checkpoints(kept, Shares)
    loader = data()[1]
    (metrics,) = make_trainer(Path(kept.end_model_paths[0]).parent).test(ensemble, loader, verbose=False)
    x, y = next(iter(loader))
    mean = torch.stack([module(x + 0.5).softmax(-1) for module in modules(kept)]).mean(0).detach()
    assert metrics["test_loss"] == pytest.approx(-mean[torch.arange(len(y)), y].log().mean().item(), rel=1e-5)
    assert metrics["test_right"] == pytest.approx((mean.argmax(-1) == y).float().mean().item())


def test_the_average_is_the_mean_and_batch_norm_is_measured_anew(kept: CycleCheckpoint) -> None:
    train, _ = data()
    averaged = average_weights(kept, Net, train)
    stacked = [dict(module.named_parameters()) for module in modules(kept)]
    for name, value in averaged.named_parameters():
        torch.testing.assert_close(value, torch.stack([one[name] for one in stacked]).mean(0))
    again = update_batch_norm(averaged, train)
    torch.testing.assert_close(averaged.state_dict(), again.state_dict())
    last = modules(kept)[-1].state_dict()
    assert not torch.equal(averaged.state_dict()["net.1.running_mean"], last["net.1.running_mean"])
    with pytest.raises(EnsembleError, match=r"Net has batch norm.*train_loader"):
        average_weights(kept, Net)


def listed(kept: CycleCheckpoint, folder: Path, **ends: float) -> Path:
    """A list of the same files that says other scores of some ends: ``c0=99.0``."""
    source = Path(kept.end_model_paths[0]).parent
    content = json.loads((source / "cycles.json").read_text())
    for cycle, score in ends.items():
        row = content["cycles"][int(cycle[1:])]
        row["end"]["score"] = score
        if row["best"]["file"] == row["end"]["file"]:
            row["best"]["score"] = score
    for path in source.glob("*.ckpt"):
        shutil.copy(path, folder)
    (folder / "cycles.json").write_text(json.dumps(content))
    return folder


def test_a_member_that_is_much_worse_is_told_or_left_out(kept: CycleCheckpoint, tmp_path: Path) -> None:
    changed, train = listed(kept, tmp_path, c0=99.0), data()[0]
    for told, make in (
        ("SnapshotEnsemble", SnapshotEnsemble.from_checkpoints),
        ("average_weights", partial(average_weights, data=train)),
    ):
        with pytest.warns(UserWarning, match=rf"{told}: much worse than the last member .* cycle 0 \(99\)"):
            make(changed, Net)
        with pytest.warns(UserWarning, match=r"\(99\). Left out"):
            make(changed, Net, worse="refuse")
        make(changed, Net, worse="allow")
        make(changed, Net, last=2)
    with pytest.warns(UserWarning, match="Left out"):
        ensemble = SnapshotEnsemble.from_checkpoints(changed, Net, worse="refuse")
    assert len(ensemble.members) == 2
    with pytest.warns(UserWarning, match="Left out"):
        averaged = average_weights(changed, Net, train, worse="refuse")
    first, second = (dict(module.named_parameters()) for module in modules(kept)[1:])
    for name, value in averaged.named_parameters():
        torch.testing.assert_close(value, (first[name] + second[name]) / 2)
    with pytest.raises(ValueError, match=r"average_weights\.worse = 'no'"):
        average_weights(changed, Net, train, worse="no")


def test_a_last_member_that_diverged_is_the_one_that_is_worse(kept: CycleCheckpoint, tmp_path: Path) -> None:
    changed = listed(kept, tmp_path, c2=math.nan)
    bad = worse_members(find_members(changed))
    assert [one.cycle for one in bad] == [2]
    with pytest.warns(UserWarning, match=r"cycle 2 \(nan\). Left out"):
        assert len(SnapshotEnsemble.from_checkpoints(changed, Net, worse="refuse").members) == 2
    everything = listed(kept, tmp_path, c0=math.nan, c1=math.nan, c2=math.nan)
    assert len(worse_members(find_members(everything))) == 3
    with (
        pytest.warns(UserWarning, match="Left out"),
        pytest.raises(EnsembleError, match="no member is left"),
    ):
        SnapshotEnsemble.from_checkpoints(everything, Net, worse="refuse")


class Evil:
    def __reduce__(self) -> Any:
        return print, ("code of the file ran",)


def test_a_file_that_would_run_code_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "evil.ckpt"
    torch.save({"state_dict": {}, "evil": Evil()}, path, pickle_module=pickle)
    for module in (Net, Net()):
        with pytest.raises(EnsembleError, match=r"evil\.ckpt cannot be loaded into Net"):
            load_member(path, module)
    assert "code of the file ran" not in capsys.readouterr().out


def test_what_cannot_be_found_is_said(tmp_path: Path) -> None:
    with pytest.raises(
        EnsembleError, match=r"has no cycles\.json, and none is below it\. Pass the folder .* or the id"
    ):
        find_members(tmp_path)
    (tmp_path / "cycles.json").write_text("{}")
    with pytest.raises(EnsembleError, match="is no list of cycles"):
        find_members(tmp_path)
    with pytest.raises(EnsembleError, match="no checkpoint"):
        find_members([])


def test_single_ensemble_average_and_control_side_by_side(kept: CycleCheckpoint) -> None:
    train, loader = data()
    rows = evaluate(find_members(kept), Net, train, loader)
    names = ["cycle 0", "cycle 1", "cycle 2", "ensemble of 3", "averaged weights", "last, batch norm anew"]
    assert [row.name.partition(" (")[0] for row in rows] == names
    x, y = next(iter(loader))
    last = torch.nn.functional.cross_entropy(modules(kept)[-1](x), y).item()
    assert rows[2].metrics["test_loss"] == pytest.approx(last, rel=1e-5)
    assert len({row.metrics["test_loss"] for row in rows}) == len(rows)
    two = evaluate(find_members(kept)[:1], Net, train, [loader, train])
    assert two[0].metrics.keys() == {"test_loss/dataloader_idx_0", "test_loss/dataloader_idx_1"}


def test_the_command_line_lists_and_measures(kept: CycleCheckpoint, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(Path(kept.end_model_paths[0]).parent)
    assert lrsched(["cycles", folder]) == 0
    listed = capsys.readouterr().out
    assert all(one.path in listed for row in kept.finished_cycles for one in row.kept)
    assert listed.count("recommended") == 1
    names = ["--module", "tests.ensemble.nets:Net", "--data", "tests.ensemble.nets:data"]
    assert lrsched(["ensemble", folder, *names, "--last", "2"]) == 0
    assert "ensemble of 2" in capsys.readouterr().out
    assert lrsched(["ensemble", folder, "--module", "nothing:Net", *names[2:]]) == 2
    assert "nothing:Net cannot be imported" in capsys.readouterr().err
    for source, told in (
        ("trained", r"trained must be called without arguments: missing a required argument: 'folder'"),
        ("Net", "Net must be a LightningDataModule or a function that returns two loaders, it gives Net"),
        ("TrainOnly", "`test_dataloader` must be implemented"),
    ):
        assert lrsched(["ensemble", folder, *names[:2], "--data", f"tests.ensemble.nets:{source}"]) == 2
        assert told in capsys.readouterr().err


def test_a_file_of_another_module_is_told_with_what_is_missing(kept: CycleCheckpoint) -> None:
    told = (
        r"cannot be loaded into Tiny: Error\(s\) in loading state_dict for Tiny: Missing key\(s\).*\"weight\", \"bias\""
    )
    with pytest.raises(EnsembleError, match=told):
        load_member(kept.end_model_paths[0], Tiny())


def test_a_folder_of_any_name_is_found(kept: CycleCheckpoint, tmp_path: Path) -> None:
    folder = tmp_path / "lr=0.1 [warm*] {a}"
    folder.mkdir()
    assert len(find_members(listed(kept, folder))) == 3


def test_the_only_list_below_a_folder_is_found(
    kept: CycleCheckpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = (tmp_path / "[runs]" / "lightning_logs" / f"version_{index}" / "checkpoints" for index in (0, 1))
    first.mkdir(parents=True)
    assert lrsched(["cycles", str(listed(kept, first).parents[1])]) == 0
    assert str(first / "cycle=2") in capsys.readouterr().out
    second.mkdir(parents=True)
    listed(kept, second)
    assert lrsched(["cycles", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert f"2 folders below {tmp_path} have a cycles.json. Pass one of these:\n  {first}\n  {second}\n" in said
    assert lrsched(["cycles", str(second)]) == 0


def test_all_of_a_long_run_are_found(tmp_path: Path) -> None:
    """A search of MLflow gives 100 models at once."""
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    client = MlflowClient(uri)
    run = client.create_run(client.create_experiment("long", artifact_location=str(tmp_path / "artifacts")))
    for cycle in range(130):
        facts = {"cycle": str(cycle), "role": "end", "step": str(cycle + 1), "complete": "True"}
        tags = {"lrsched.key": f"k-{cycle}"}
        client.create_logged_model(run.info.experiment_id, f"cycle-{cycle}-end", run.info.run_id, tags, facts)
    assert [one.cycle for one in find_members(run.info.run_id, uri)] == list(range(130))


def test_an_end_that_diverged_is_not_recommended_from_a_run_either(tmp_path: Path) -> None:
    """MLflow keeps no NaN of a model, but the run says that it was measured."""
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"

    class Diverges(Net):
        def validation_step(self, batch: tuple[torch.Tensor, torch.Tensor], batch_idx: int) -> None:
            self.log("val_loss", math.nan)

    checkpoint = CycleCheckpoint("val_loss", keep="end", dirpath=tmp_path / "cycles", validate_at_end=True)
    tracker = MLflowTracker(uri, "study")
    make_trainer(tmp_path, LearningRateScheduler(SGDR(8)), checkpoint, tracker, max_epochs=4).fit(Diverges(), *data())
    assert checkpoint.recommended is None
    assert tracker.run_id is not None
    members = find_members(tracker.run_id, uri)
    assert [(one.step, math.isnan(one.score or 0.0), one.recommended) for one in members] == [
        (8, True, False),
        (16, True, False),
    ]


def test_an_mlflow_run_is_a_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    L.seed_everything(1, verbose=False)
    checkpoint = CycleCheckpoint("val_loss", dirpath=tmp_path / "cycles", validate_at_end=True)
    tracker = MLflowTracker(uri, "study")
    make_trainer(tmp_path, LearningRateScheduler(SGDR(8)), checkpoint, tracker, max_epochs=4).fit(Net(), *data())
    assert tracker.run_id is not None
    members = find_members(tracker.run_id, uri)
    assert [(one.step, one.score, one.lr) for one in members] == [
        (one.step, one.score, one.lr) for one in find_members(checkpoint)
    ]
    assert [one.recommended for one in members] == [one.recommended for one in find_members(checkpoint)]
    x = inputs()
    from_run = SnapshotEnsemble.from_checkpoints(tracker.run_id, Net, tracking_uri=uri)
    torch.testing.assert_close(from_run(x), SnapshotEnsemble.from_checkpoints(checkpoint, Net)(x))
    with pytest.raises(EnsembleError, match="no MLflow run of that id"):
        find_members("0" * 32, uri)
    assert find_members(tracker.run_id[:12], uri) == members


def test_a_beginning_that_several_runs_or_none_have_is_told(migrated: Path, tmp_path: Path) -> None:
    uri = copied(migrated, tmp_path)
    runs = [MlflowClient(uri).create_run("0").info for _ in range(17)]  # an id begins with one of 16 digits
    digit, count = Counter(run.run_id[0] for run in runs).most_common(1)[0]
    named = next(f"{run.run_id}  {run.run_name}" for run in runs if run.run_id.startswith(digit))
    with pytest.raises(
        EnsembleError, match=rf"{count} MLflow runs have ids that begin with '{digit}':\n(.*\n)*  {named}"
    ):
        find_members(digit, uri)
    with pytest.raises(EnsembleError, match="no MLflow run of that id"):
        find_members("0123456789abcdef", uri)


def test_looking_for_a_run_makes_no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(EnsembleError, match=r"no file or folder nowhere.*--tracking-uri sqlite"):
        find_members("nowhere")
    with pytest.raises(EnsembleError, match=r"there is no file absent\.db"):
        find_members("nowhere", "sqlite:///absent.db")
    assert not list(tmp_path.iterdir())
