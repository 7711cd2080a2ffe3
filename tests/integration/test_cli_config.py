"""LightningCLI with short names: the example's file, what is printed of it, and where the configuration is kept."""

import re
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen
from typing import TypeAlias

import mlflow
import pytest
import yaml
from lightning.pytorch.loggers import MLFlowLogger

from lightning_lrsched.lightning_cli import ScheduleCLI
from tests.modules import SmallModule

Start: TypeAlias = Callable[..., Popen[str]]

EXAMPLE = Path(__file__).parents[2] / "examples" / "cli"

pytestmark = [
    pytest.mark.filterwarnings("ignore:No seed found"),
    pytest.mark.filterwarnings("ignore::jsonargparse._deprecated.JsonargparseDeprecationWarning"),
]


def test_the_example_trains_and_keeps_its_configuration_with_the_run(start: Start, tmp_path: Path) -> None:
    process = start("-m", "examples.cli.main", "fit", "--config", EXAMPLE / "config.yaml", "--trainer.max_epochs=3")
    assert process.wait(120) == 0, (tmp_path / "log").read_text(encoding="utf-8")[-2000:]
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    experiment = client.get_experiment_by_name("cli")
    assert experiment is not None
    [run] = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    kept = yaml.safe_load((Path(run.info.artifact_uri.removeprefix("file://")) / "config.yaml").read_text("utf-8"))
    assert kept["trainer"]["callbacks"][0]["init_args"]["main"]["class_path"] == "lightning_lrsched.SGDR"
    assert kept["trainer"]["max_epochs"] == 3


def test_the_configuration_is_printed_with_its_documentation(start: Start, tmp_path: Path) -> None:
    process = start("-m", "examples.cli.main", "fit", "--config", EXAMPLE / "config.yaml", "--print_config=comments")
    assert process.wait(60) == 0
    printed = (tmp_path / "log").read_text(encoding="utf-8")
    assert re.search(r"# length of the first cycle\..*\n +T_0: 2ep", printed)
    assert re.search(r"# growth before it: a `Warmup`.*\n +warmup: 1ep", printed)
    assert "known subclasses" in printed


def cli(folder: Path, monkeypatch: pytest.MonkeyPatch, *more: str) -> ScheduleCLI:
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.argv", ["main.py"])
    quiet = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false", "--trainer.max_epochs=1"]
    return ScheduleCLI(SmallModule, args=["fit", *quiet, "--trainer.enable_checkpointing=false", *more])


def test_a_file_of_the_user_in_the_working_directory_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.yaml").write_text("trainer: {max_epochs: 1}", encoding="utf-8")
    cli(tmp_path, monkeypatch, "--config=config.yaml", "--trainer.logger=false")
    assert (tmp_path / "config.yaml").read_text(encoding="utf-8") == "trainer: {max_epochs: 1}"


def test_a_logger_with_a_folder_has_the_file_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cli(tmp_path, monkeypatch, "--trainer.logger=CSVLogger", "--trainer.logger.save_dir=logs")
    [kept] = tmp_path.glob("logs/lightning_logs/version_0/config.yaml")
    assert yaml.safe_load(kept.read_text(encoding="utf-8"))["trainer"]["max_epochs"] == 1


def test_what_mlflow_refuses_is_told_and_training_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no folder can be made below a file", encoding="utf-8")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    mlflow.MlflowClient(uri).create_experiment("blocked", artifact_location=f"file://{tmp_path}/file/artifacts")
    logger = ["--trainer.logger=MLFlowLogger", f"--trainer.logger.tracking_uri={uri}"]
    logger.append("--trainer.logger.experiment_name=blocked")
    with pytest.warns(UserWarning, match=r"config\.yaml is not in the MLflow run: NotADirectoryError"):
        trained = cli(tmp_path, monkeypatch, *logger)
    assert trained.trainer.state.finished
    assert isinstance(trained.trainer.logger, MLFlowLogger)
