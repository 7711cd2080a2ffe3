"""Each documented error, as a user meets it: the last three lines that a plain script prints."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.compare.stores import EXPERIMENT, make_store, quiet_mlflow
from tests.ensemble.nets import trained
from tests.sweep.conftest import sweep_file
from tests.tracking.test_replay import left

pytestmark = quiet_mlflow

ROOT = Path(__file__).parent.parent

BEGIN = """
import lightning as L
from torch.utils.data import DataLoader
from lightning_lrsched import *
from tests.callbacks.models import Stream, Tiny, loader

def fit(*callbacks, module=None, data=None, **settings):
    trainer = L.Trainer(accelerator="cpu", callbacks=list(callbacks), **{"max_epochs": 2, **settings})
    trainer.fit(Tiny() if module is None else module, data, ckpt_path=None)
    return trainer
"""

COMMAND = """
import sys
from lightning_lrsched.cli import main
sys.exit(main({arguments!r}))
"""

CONSTRUCTED: dict[str, tuple[str, list[str]]] = {
    "factor": ("SGDR('10ep', T_mult=0.5)", ["SGDR.T_mult = 0.5 is refused", "at least 1", "T_mult=2"]),
    "float-of-two-readings": ("Warmup(5.0)", ["5.0 is refused", "duration=5", "'5%'"]),
    "unit": ("Cosine(T_max='5 weeks')", ["Cosine.T_max = '5 weeks' is refused", "epochs", "T_max='10ep'"]),
    "text-for-a-schedule": ("LearningRateScheduler('cosine')", ["main = 'cosine' is refused", "main=Cosine("]),
    "nothing": ("LearningRateScheduler()", ["LearningRateScheduler.main = None is refused", "warmup='5%'"]),
    "choice": ("LearningRateScheduler(Cosine(), update='batch')", ["update = 'batch'", "'step', 'epoch'"]),
    "two-floors": ("Cosine(eta_min=0.1, eta_min_ratio=0.1)", ["eta_min", "example"]),
    "tracker": ("MLflowTracker(every_n_steps=0)", ["MLflowTracker.every_n_steps = 0 is refused", "every_n_steps=10"]),
    "plateau": ("Plateau('val_loss', factor=2)", ["Plateau.factor = 2 is refused", "below 1", "factor=0.1"]),
}

FITTED: dict[str, tuple[str, list[str]]] = {
    "warmup-longer-than-the-run": (
        "fit(LearningRateScheduler(Cosine(), warmup='20ep'))",
        ["the plan does not fit the run", "warmup 200 steps", "of 20 steps", "warmup='5%'"],
    ),
    "milestone-outside": (
        "fit(LearningRateScheduler(MultiStep(['9ep'])))",
        ["MultiStep.milestones[0] = '9ep'", "20 steps", "'50%'"],
    ),
    "floor-above-the-lr": (
        "fit(LearningRateScheduler(Cosine(eta_min=0.5)))",
        ["eta_min = 0.5 is refused", "base lr 0.1", "eta_min="],
    ),
    "loader-without-a-length": (
        "fit(LearningRateScheduler(Cosine(), warmup='5%'), data=DataLoader(Stream(10)))",
        ["'5%' needs the total steps", "total_steps="],
    ),
    "unknown-group": (
        "fit(LearningRateScheduler(Cosine(), groups={'head': Linear()}))",
        ["groups = 'head' is refused", "example"],
    ),
    "no-optimizer": (
        "fit(LearningRateScheduler(Cosine()), module=Tiny(lambda module: None))",
        ["no optimizer with an lr", "torch.optim.SGD(self.parameters(), lr=0.1)"],
    ),
    "cycles-that-nobody-makes": (
        "fit(CycleCheckpoint('val_loss'))",
        ["CycleCheckpoint needs", "LearningRateScheduler(SGDR("],
    ),
    "monitor-that-is-not-logged": (
        "fit(LearningRateScheduler(SGDR('1ep')), CycleCheckpoint('val_acc'))",
        ["monitor = 'val_acc' is not logged", "val_loss"],
    ),
    "beside-an-mlflow-logger": (
        "from lightning.pytorch.loggers import MLFlowLogger\n"
        "fit(LearningRateScheduler(MultiStep(['9ep'])), logger=MLFlowLogger(tracking_uri='sqlite:///mlflow.db'))",
        ["MultiStep.milestones[0] = '9ep'", "20 steps", "'50%'"],
    ),
    "another-plan-on-resume": (
        "saved = fit(LearningRateScheduler(SGDR(10)), logger=False).checkpoint_callback.best_model_path\n"
        "changed = LearningRateScheduler(SGDR(5), on_horizon_change='error')\n"
        "L.Trainer(accelerator='cpu', max_epochs=4, callbacks=[changed]).fit(Tiny(), ckpt_path=saved)",
        ["main.T_0: 10 -> 5", "on_horizon_change='rescale'"],
    ),
}

COMMANDS: dict[str, tuple[list[str], list[str]]] = {
    "preview-misspelt": (["preview", "SGDRR('10ep')", "--total-steps", "30"], ["'SGDRR' is refused", "Cosine"]),
    "preview-length": (["preview", "Cosine()", "--warmup", "5%"], ["Warmup.duration = '5%'", "--total-steps 10000"]),
    "compare-experiment": (
        ["compare", "--experiment", "none", "--tracking-uri", "sqlite:///nothing.db"],
        ["there is no file nothing.db", "sqlite:///mlflow.db"],
    ),
}

UNREAD = """\
import os, sys
end, beginning = os.pipe()
os.close(end)
for number in {silent}:
    os.dup2(beginning, number)
from lightning_lrsched.cli import main
sys.exit(main({arguments}))
"""
STUDY = ["compare", "--experiment", EXPERIMENT, "--tracking-uri", "sqlite:///mlflow.db"]
NETS = ["--module", "tests.ensemble.nets:Net", "--data", "tests.ensemble.nets:data"]
PIPED: dict[str, tuple[list[str], list[int], int]] = {
    "help": (["--help"], [1], 141),
    "preview": (["preview", "Cosine()", "--total-steps", "30"], [1], 141),
    "compare": (STUDY, [1], 141),
    "compare-csv": ([*STUDY, "--csv", "-"], [1], 141),
    "compare-json-and-messages": ([*STUDY, "--json", "-"], [1, 2], 141),
    "sweep": (["sweep", "sweep.yaml"], [1], 141),
    "sweep-list": (["sweep", "sweep.yaml", "--list"], [1], 141),
    "cycles": (["cycles", "cycles"], [1], 141),
    "ensemble": (["ensemble", "cycles", *NETS], [1], 141),
    "replay": (["replay", "spools"], [1], 141),
    "mistake": (["cycles", "nowhere"], [2], 141),
}
"""Commands whose output nobody reads any more, as in ``| head``: which of stdout and stderr is a closed pipe."""

ANNOUNCED = ("reading study from ", "loading lightning and mlflow")
"""What stderr says before a command begins."""

SCRIPTS = {
    **{key: (BEGIN + body, words, 1) for key, (body, words) in {**CONSTRUCTED, **FITTED}.items()},
    **{key: (COMMAND.format(arguments=given), words, 2) for key, (given, words) in COMMANDS.items()},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where the scripts run."""
    return tmp_path_factory.mktemp("scripts")


@pytest.fixture(scope="module")
def ended(folder: Path) -> dict[str, tuple[int, list[str]]]:
    """Return the exit code of each script, and the last three lines of what it printed."""
    uri = make_store(folder)
    sweep_file(folder)
    trained(folder / "cycles", cycles=2)
    left(folder / "spools", uri, steps=20)
    scripts = {key: text for key, (text, *_) in SCRIPTS.items()}
    for key, (given, silent, _) in PIPED.items():
        scripts[f"piped-{key}"] = UNREAD.format(arguments=given, silent=silent)
    for key, text in scripts.items():
        (folder / f"{key}.py").write_text(text, encoding="utf-8")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "PYTEST_"))}
    switches = {"MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONUNBUFFERED": ""}
    quiet = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | switches
    command = [sys.executable, "-m", "tests.plain_scripts", *(str(folder / f"{key}.py") for key in scripts)]
    subprocess.run(command, cwd=folder, env=kept | quiet, check=True, timeout=280)
    logs = {key: (folder / f"{key}.py.log").read_text(encoding="utf-8").rstrip("\n").splitlines() for key in scripts}
    return {key: (int((folder / f"{key}.py.code").read_text()), lines[-3:]) for key, lines in logs.items()}


@pytest.mark.parametrize(
    ("key", "words", "code"), [pytest.param(key, *row[1:], id=key) for key, row in SCRIPTS.items()]
)
def test_the_last_lines_say_what_to_change(
    key: str, words: list[str], code: int, ended: dict[str, tuple[int, list[str]]]
) -> None:
    exit_code, lines = ended[key]
    assert exit_code == code
    assert all(word in "\n".join(lines) for word in words), lines
    assert words[0] in lines[-1], "the message is not the last line"


@pytest.mark.parametrize("key", PIPED)
def test_a_command_that_nobody_reads_ends_quietly(key: str, ended: dict[str, tuple[int, list[str]]]) -> None:
    exit_code, lines = ended[f"piped-{key}"]
    assert exit_code == PIPED[key][2]
    assert [line for line in lines if not line.startswith(ANNOUNCED)] == []


def test_a_sweep_that_nobody_reads_leaves_no_run_running(ended: dict[str, tuple[int, list[str]]], folder: Path) -> None:
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiment = client.get_experiment_by_name("small")
    assert experiment is not None
    found = {run.info.run_name: run.info.status for run in client.search_runs([experiment.experiment_id])}
    assert found == {"small": "KILLED", "constant, seed 0": "FINISHED"}
