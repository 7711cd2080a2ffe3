"""A mistake in the YAML of a LightningCLI: the last line says what is wrong and what exists."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen
from typing import Any, TypeAlias

import pytest
import yaml
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.cli import LightningCLI

from lightning_lrsched.callbacks.trainer_access import callbacks_of
from lightning_lrsched.lightning_cli import ScheduleCLI, ScheduleParser
from lightning_lrsched.lightning_cli.mistakes import explain
from tests.modules import SmallModule

Start: TypeAlias = Callable[..., Popen[str]]

pytestmark = [
    pytest.mark.filterwarnings("ignore:No seed found"),
    pytest.mark.filterwarnings("ignore::jsonargparse._deprecated.JsonargparseDeprecationWarning"),
]


def scheduler(**init: object) -> list[dict[str, object]]:
    """A LearningRateScheduler as YAML has it."""
    return [{"class_path": "LearningRateScheduler", "init_args": init}]


def named(name: str, **init: object) -> dict[str, object]:
    return {"class_path": name, "init_args": init}


def made(name: str, **init: object) -> dict[str, object]:
    return named("TorchScheduler", factory=named(name, **init))


STEP_LR = "torch.optim.lr_scheduler.StepLR"
WRONG: dict[str, tuple[Any, list[str]]] = {
    "schedule": (scheduler(main="SGDRR"), ["LearningRateScheduler.main = 'SGDRR'", "Cosine", "Plateau", "mean SGDR?"]),
    "schedule-with-package": (scheduler(main=named("lightning_lrsched.Cosin")), ["main = 'Cosin'", "mean Cosine?"]),
    "schedule-of-another-package": (scheduler(main=named("lightning.Foo")), ["main = 'Foo'", "one of REX, SGDR"]),
    "schedule-in-a-sequence": (
        scheduler(main=named("Sequence", schedules=["Cosin"], milestones=[5])),
        ["Sequence.schedules = 'Cosin'", "mean Cosine?"],
    ),
    "schedule-in-a-plan": (scheduler(main=named("Plan", main="Cosin")), ["Plan.main = 'Cosin'"]),
    "schedule-of-a-group": (scheduler(main="Cosine", groups={"head": "Linea"}), [".groups = 'Linea'", "mean Linear?"]),
    "parameter": (scheduler(main=named("SGDR", T0="10ep")), ["SGDR: there is no parameter 'T0'", "'T_0'?", "T_mult"]),
    "parameter-of-plateau": (scheduler(main=named("Plateau", patince=3)), ["no parameter 'patince'", "'patience'?"]),
    "parameter-of-the-warmup": (
        scheduler(main="Cosine", warmup={"duration": "5%", "shap": "cosine"}),
        ["Warmup: there is no parameter 'shap'", "'shape'?", "warmup: {duration: 5%"],
    ),
    "parameter-of-the-callback": (scheduler(main="Cosine", warmpu=5), ["no parameter 'warmpu'", "'warmup'?"]),
    "parameter-of-nothing": (
        [{"class_path": "ScheduleProgress", "init_args": {"main": "Cosine"}}],
        ["It takes nothing. For example: {class_path: ScheduleProgress}"],
    ),
    "parameter-left-out": (scheduler(main="Step"), ["Step.step_size = None", "must be given"]),
    "parameter-beside": (scheduler(main={"class_path": "SGDR", "T_0": 5}), ["arguments in init_args"]),
    "type": (scheduler(main=named("SGDR", T_0="10ep", T_mult="much")), ["SGDR.T_mult = 'much'", "float"]),
    "type-in-a-union": (scheduler(main="Cosine", total_steps="many"), ["total_steps = 'many'", "int"]),
    "number-for-a-schedule": (scheduler(main=5), ["LearningRateScheduler.main = '5'", "a schedule"]),
    "value": (scheduler(main=named("SGDR", T_0="5 weeks")), ["SGDR.T_0 = '5 weeks'", "'10ep'"]),
    "value-of-the-warmup": (scheduler(main="Cosine", warmup="5 percent"), ["warmup = '5 percent'", "'5%'"]),
    "no-schedule": (scheduler(), ["LearningRateScheduler.main = None", "main=Cosine()"]),
    "scheduler-of-torch": (
        scheduler(main=made("torch.optim.lr_scheduler.StepL", step_size=3)),
        ["TorchScheduler.factory = 'StepL'", "PolynomialLR", "mean StepLR?", "factory: {class_path: torch."],
    ),
    "scheduler-of-torch-alone": (scheduler(main=named(STEP_LR, step_size=3)), ["the factory of a TorchScheduler"]),
    "scheduler-of-torch-as-a-name": (scheduler(main="PolynomialLR"), ["the factory of a TorchScheduler"]),
    "parameter-of-torch": (
        scheduler(main=made(STEP_LR, step=3)),
        ["StepLR: there is no parameter 'step'", "'step_size'?"],
    ),
    "parameter-of-torch-left-out": (scheduler(main=made(STEP_LR)), ["StepLR.step_size = None", "must be given"]),
    "type-of-torch": (scheduler(main=made(STEP_LR, step_size="a")), ["StepLR.step_size = 'a", "int"]),
    "interval-of-torch": (
        scheduler(main=named("TorchScheduler", factory=named(STEP_LR, step_size=3), interval="steps")),
        ["TorchScheduler.interval = 'steps'", "'auto', 'step', 'epoch'"],
    ),
    "callback": ([{"class_path": "LearningRateSchedule"}], ["'LearningRateSchedule'", "mean LearningRateScheduler?"]),
    "callback-alone": ("LearningRateSchedular", ["'LearningRateSchedular'", "CycleCheckpoint"]),
    "callback-by-a-method": (
        [named("MLflowTracker.from_config", path="local.yaml")],
        ["class_path = 'MLflowTracker.from_config'", "with its package", "lightning_lrsched.MLflowTracker.from_config"],
    ),
    "parameter-of-the-checkpoint": ([named("CycleCheckpoint", monitr="x")], ["no parameter 'monitr'", "'monitor'?"]),
}


def last_line(
    callbacks: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *more: str
) -> str:
    """Return the last line that a CLI with wrong callbacks prints before it exits."""
    monkeypatch.setattr("sys.argv", ["main.py"])
    text = callbacks if isinstance(callbacks, str) else json.dumps(callbacks)
    with pytest.raises(SystemExit, match="2"):
        ScheduleCLI(SmallModule, args=["fit", "--trainer.logger=false", f"--trainer.callbacks={text}", *more])
    return capsys.readouterr().err.rstrip("\n").splitlines()[-1]


@pytest.mark.parametrize(("callbacks", "words"), [pytest.param(*row, id=key) for key, row in WRONG.items()])
def test_the_last_line_says_what_is_wrong(
    callbacks: object, words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = last_line(callbacks, monkeypatch, capsys)
    assert said.startswith("error: ")
    assert all(word in said for word in [*words, "or example: "]), said
    assert len(said) < 800


PAGE = (Path(__file__).parents[2] / "docs" / "lightning_cli.md").read_text(encoding="utf-8")


def page_file(name: str) -> Any:
    """The callbacks of the file on the page about LightningCLI, or the main schedule of the other one."""
    [text] = [text for text in re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL) if name in text]
    return yaml.safe_load(text)


def test_the_page_says_what_is_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    callbacks = page_file("# config.yaml")["trainer"]["callbacks"]
    callbacks[0]["init_args"]["main"]["class_path"] = "SGRD"
    [said] = re.findall(r"^```text\n(error: .*)\n```", PAGE, re.MULTILINE)
    assert last_line(callbacks, monkeypatch, capsys) == said


def test_the_files_of_the_page_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["main.py"])
    callbacks = page_file("# config.yaml")["trainer"]["callbacks"]
    for main in (callbacks[0]["init_args"]["main"], page_file("StepLR")["main"]):
        callbacks[0]["init_args"]["main"] = main
        made = ScheduleCLI(SmallModule, run=False, args=[f"--trainer.callbacks={json.dumps(callbacks)}"])
        names = [type(callback).__name__ for callback in callbacks_of(made.trainer)]
        ours = {"LearningRateScheduler", "CycleCheckpoint", "MLflowTracker", "ScheduleProgress"}
        assert ours <= set(names)


def test_what_is_not_ours_is_told_as_jsonargparse_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "Given value" in last_line([named("EarlyStopping", monitr="x")], monkeypatch, capsys)
    assert explain("Parser key \"model.lr\":\n  Expected a <class 'float'>. Got value: high") is None


def test_the_parser_serves_a_cli_of_ones_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["main.py"])
    with pytest.raises(SystemExit, match="2"):
        LightningCLI(
            SmallModule,
            parser_class=ScheduleParser,
            args=["fit", f"--trainer.callbacks={json.dumps(scheduler(main='SGDRR'))}"],
        )
    assert "(did you mean SGDR?)" in capsys.readouterr().err.rstrip("\n").splitlines()[-1]


def test_an_error_of_the_module_stays_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(SmallModule):
        def __init__(self) -> None:
            super().__init__()
            raise ValueError("the module's own")

    monkeypatch.setattr("sys.argv", ["main.py"])
    with pytest.raises(ValueError, match="the module's own"):
        ScheduleCLI(Broken, args=["fit"])


def test_a_file_of_the_tracker_that_is_not_there_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = last_line([named("lightning_lrsched.MLflowTracker.from_config", path="nope.yaml")], monkeypatch, capsys)
    assert said.startswith("error: cannot read nope.yaml: ")


def test_a_plan_that_does_not_fit_the_run_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = last_line(scheduler(main=named("Cosine", T_max="30ep")), monkeypatch, capsys, "--trainer.max_epochs=7")
    assert said.startswith("error: Cosine.T_max = '30ep' does not fit the run")
    assert "for example T_max='" in said


def test_a_refusal_of_the_trainer_stays_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["main.py"])
    with pytest.raises(MisconfigurationException, match="val_check_interval"):
        ScheduleCLI(SmallModule, args=["fit", "--trainer.logger=false", "--trainer.val_check_interval=high"])


@pytest.mark.parametrize("key", ["schedule", "value"])
def test_the_last_three_lines_of_a_real_process(key: str, start: Start, tmp_path: Path) -> None:
    callbacks, words = WRONG[key]
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump({"trainer": {"callbacks": callbacks}}), encoding="utf-8")
    process = start("-m", "examples.cli.main", "fit", "--config", "wrong.yaml")
    assert process.wait(100) == 2
    end = "\n".join((tmp_path / "log").read_text(encoding="utf-8").splitlines()[-3:])
    assert all(word in end for word in words), end
