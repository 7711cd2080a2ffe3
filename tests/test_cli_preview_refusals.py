"""``lrsched preview`` and what it refuses: in one line, before anything is drawn."""

from pathlib import Path

import pytest

from lightning_lrsched.cli import main
from tests.test_cli_preview import RUN, folder

__all__ = ["folder"]

SHORT = ["--epochs", "6", "--steps-per-epoch", "10"]

PLANNED = [
    pytest.param([], "what shall be drawn? Pass a schedule, for example", id="nothing"),
    pytest.param(["SGRD('10ep')", *RUN], "schedule = 'SGRD' is refused: it must be one of REX, SGDR", id="name"),
    pytest.param(["SGDR(", *RUN], "schedule = 'SGDR(' is refused", id="syntax"),
    pytest.param(["SGDR('10ep', T=2)", *RUN], "SGDR", id="parameter"),
    pytest.param(["SGDR('10 weeks')", *RUN], "SGDR.T_0 = '10 weeks' is refused", id="duration"),
    pytest.param(["__import__('os')", *RUN], "'__import__' is refused", id="code"),
    pytest.param(["Warmup(5)", *RUN], "schedule = 'Warmup(5)' is refused", id="no schedule"),
    pytest.param(["Cosine('80ep')", *RUN], "Cosine.T_max = '80ep' does not fit the run", id="too long"),
    pytest.param(["Cosine()", "--warmup", "1.5", *RUN], "it can be read in two ways", id="warmup"),
    pytest.param(["Cosine()", "--warmup", "-5%", *RUN], "a length of training above zero", id="negative warmup"),
    pytest.param(["Cosine()", "--cooldown", "-2ep", *RUN], "cooldown = '-2ep' is refused", id="negative cooldown"),
    pytest.param(["Cosine()", "--warmup", "Linear()", *RUN], "is refused", id="warmup that is none"),
    pytest.param(["Cosine()", "--epochs", "3"], "for example --steps-per-epoch 391", id="epochs of unknown length"),
    pytest.param(["Cosine()"], "On this command line: --total-steps 10000, or --epochs 70", id="run"),
    pytest.param(["SGDR('10ep')"], "On this command line: --total-steps 10000, or --epochs 70", id="epochs"),
    pytest.param(
        ["Exponential(1e300)", *RUN, "--lr", "1e300"], "grows beyond 2e+308, so it cannot be drawn", id="no number"
    ),
    pytest.param(["Cosine()", *RUN, "--total-steps", "9"], "both give the length of the run", id="two lengths"),
    pytest.param(["Cosine()", *RUN, "-o", "a.gif"], "--output a.gif must end in .png, .svg, .pdf", id="picture"),
    pytest.param(["Cosine()", *RUN, "-o", "no/a.png"], "there is no folder no", id="folder"),
    pytest.param(["--config", "none.yaml"], "--config: cannot read none.yaml: ", id="no file"),
    pytest.param(["Cosine()", *RUN, "--total-steps", "1" + 20 * "0"], "both give", id="a huge number"),
    pytest.param(["Cosine()", "--total-steps", "1" + 20 * "0"], "at most 1e+15", id="more steps than any run"),
]

DRIVEN = [
    pytest.param(["StepL(30)", *SHORT], "PolynomialLR (did you mean StepLR?)", id="misspelt"),
    pytest.param(["StepLR(30)", "--total-steps", "100"], "--epochs 70 --steps-per-epoch 391", id="no epochs"),
    pytest.param(["TorchScheduler(StepLR(30), 'step')"], "no known end. Give it one", id="no end"),
    pytest.param(["OneCycleLR(0.1)", *SHORT], "must define either total_steps OR", id="torch refuses it"),
    pytest.param(["StepLR(0)", *SHORT], "StepLR, step_size=0)) cannot be drawn: ZeroDivisionError", id="torch fails"),
    pytest.param(["StepLR('a')", *SHORT], "step_size='a')) cannot be drawn: ", id="no number"),
    pytest.param(["CosineAnnealingLR(T_max=60)", *SHORT], "Say which: interval='step'", id="another unit"),
    pytest.param(["Plateau('acc')", *SHORT], "when 'acc' stops to improve, which only training shows", id="plateau"),
    pytest.param(["ReduceLROnPlateau()", *SHORT], "only training knows the metric", id="torch's plateau"),
    pytest.param(["StepLR(2)", *SHORT, "--cooldown", "5%"], "a planned schedule for cooldown", id="cooldown"),
    pytest.param(["StepLR(2)", *SHORT, "--update", "epoch"], "or update='epoch'", id="update"),
    pytest.param(["StepLR(2)", *SHORT, "--warmup", "6ep"], "does not fit the run: 60 steps of 60", id="warmup"),
    pytest.param(["ExponentialLR(1e300)", *SHORT], "grows beyond 2e+308, so it cannot be drawn", id="beyond numbers"),
    pytest.param(
        ["TorchScheduler(StepLR(30), 'step')", "--total-steps", "1000000000000"],
        "at most 10,000,000 are allowed",
        id="too long to be run",
    ),
]


@pytest.mark.parametrize(("arguments", "message"), [*PLANNED, *DRIVEN])
def test_a_mistake_is_told_in_a_line_with_exit_code_2(
    capsys: pytest.CaptureFixture[str], folder: Path, arguments: list[str], message: str
) -> None:
    assert main(["preview", *arguments]) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert err.startswith("lrsched: ")
    assert err.count("\n") == 1
    assert out == ""
    assert not list(folder.iterdir())
