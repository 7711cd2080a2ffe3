"""The three callbacks from YAML, through a real LightningCLI."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
import yaml
from lightning.pytorch.cli import LightningCLI

from lightning_lrsched import CycleCheckpoint, LearningRateScheduler
from tests.modules import SmallModule
from tests.test_readme import block_with, blocks, example_plan

Run: TypeAlias = Callable[..., LightningCLI]

pytestmark = [
    pytest.mark.filterwarnings("ignore:No seed found"),
    pytest.mark.filterwarnings("ignore::jsonargparse._deprecated.JsonargparseDeprecationWarning"),
]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    def fit(config: dict[str, object], *more: str) -> LightningCLI:
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        Path("config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        more = tuple(word for path in more for word in ("--config", path))
        quiet = ["--trainer.logger=false", "--trainer.enable_progress_bar=false"]
        monkeypatch.setattr("sys.argv", ["main.py", "fit", "--config", "config.yaml", *more, *quiet])
        return LightningCLI(SmallModule, save_config_callback=None)

    return fit


def schedule(**init: object) -> dict[str, object]:
    callback = {"class_path": "lightning_lrsched.LearningRateScheduler", "init_args": init}
    return {"trainer": {"max_epochs": 7, "callbacks": [callback]}}


def test_the_readme_yaml_is_the_twin_of_the_example(run: Run) -> None:
    cli = run(yaml.safe_load(blocks("yaml")[0]))
    [scheduler] = [one for one in cli.trainer.callbacks if isinstance(one, LearningRateScheduler)]  # type: ignore[attr-defined]
    assert scheduler.plan == example_plan()
    assert f"max_epochs={cli.trainer.max_epochs}," in block_with("trainer.fit")
    [checkpoint] = [one for one in cli.trainer.callbacks if isinstance(one, CycleCheckpoint)]  # type: ignore[attr-defined]
    assert [kept.cycle for kept in checkpoint.finished_cycles] == [0, 1, 2]
    assert all(Path(path).exists() for path in checkpoint.best_model_paths)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        pytest.param(5, "Warmup(duration=5)", id="steps"),
        pytest.param(0.05, "Warmup(duration='5%')", id="share"),
        pytest.param("2ep", "Warmup(duration='2ep')", id="epochs"),
        pytest.param({"duration": "2ep", "shape": "cosine"}, "Warmup(duration='2ep', shape='cosine')", id="mapping"),
    ],
)
def test_a_warmup_is_written_as_in_python(written: object, read: str, run: Run) -> None:
    cli = run(schedule(main="Cosine", warmup=written))
    [scheduler] = [one for one in cli.trainer.callbacks if isinstance(one, LearningRateScheduler)]  # type: ignore[attr-defined]
    assert repr(scheduler.plan.warmup) == read


def test_a_refused_value_is_named(run: Run) -> None:
    with pytest.raises(ValueError, match=r"SGDR\.T_0 = '5 weeks' is refused: it must be a length of training"):
        run(schedule(main={"class_path": "SGDR", "init_args": {"T_0": "5 weeks"}}))


def test_a_staircase_is_asked_for_in_yaml(run: Run) -> None:
    cli = run(schedule(main="Cosine", update="epoch"))
    [scheduler] = [one for one in cli.trainer.callbacks if isinstance(one, LearningRateScheduler)]  # type: ignore[attr-defined]
    assert scheduler.timeline is not None
    assert scheduler.timeline.stride == 50


def test_the_local_configuration_adds_the_tracker(run: Run) -> None:
    path = Path(__file__).parents[2] / "mlflow_configs" / "local.yaml"
    config = schedule(main="Cosine")
    tracker = {"class_path": "lightning_lrsched.MLflowTracker.from_config", "init_args": {"path": str(path)}}
    config["trainer"]["callbacks"].append(tracker)  # type: ignore[index]
    cli = run(config)
    kinds = [type(one).__name__ for one in cli.trainer.callbacks]  # type: ignore[attr-defined]
    assert "LearningRateScheduler" in kinds
    assert "MLflowTracker" in kinds
    assert Path("mlflow.db").exists()
