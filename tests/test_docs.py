"""The code on the pages of the documentation runs as it stands there, and the API pages leave nothing out."""

import argparse
import ast
import doctest
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins import MixedPrecision
from torch import Tensor
from torch.optim import SGD
from torch.optim.lr_scheduler import LinearLR

import lightning_lrsched
from lightning_lrsched import (
    SGDR,
    CycleCheckpoint,
    LearningRateScheduler,
    Linear,
    MLflowTracker,
    cli,
    ensemble,
    lightning_cli,
)
from tests.callbacks.interruptions import Stops
from tests.callbacks.models import Stranger, Tiny, make_trainer
from tests.conftest import copied
from tests.ensemble.nets import Loader, Net, data
from tests.modules import SmallModule

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
_BLOCK = re.compile(r"^```(python|pycon|text(?=\nPlan\())\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[tuple[str, str, int]]:
    """Language, text and first line of each block of Python on a page, and of each printed plan."""
    text = page.read_text(encoding="utf-8")
    return [(found[1], found[2], text.count("\n", 0, found.start()) + 2) for found in _BLOCK.finditer(text)]


PAGES = [page for page in (*sorted(DOCS.glob("*.md")), ROOT / "mlflow_configs" / "README.md") if blocks(page)]


def run(page: Path, language: str, text: str, line: int, scope: dict[str, Any]) -> None:
    """Run one block; what an interactive one prints must be what stands there."""
    if language == "python":
        exec(compile("\n" * (line - 1) + text, str(page), "exec"), scope)
        return
    session = doctest.DocTestParser().get_doctest(text, {}, page.name, str(page), line - 1)
    session.globs = scope
    told: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(session, out=told.append, clear_globs=False)
    assert not told, "".join(told)


class Classifier(Net):
    """Brings its data along."""

    def train_dataloader(self) -> Loader:
        return data()[0]

    def val_dataloader(self) -> Loader:
        return data()[1]


def classifier(folder: Path) -> dict[str, Any]:
    """A classifier with its loaders, and the best of a fit of it in MLflow's registry."""
    callbacks = [
        LearningRateScheduler(SGDR("1ep")),
        CycleCheckpoint("val_loss"),
        MLflowTracker(registered_model="digits"),
    ]
    make_trainer(folder, *callbacks, max_epochs=1).fit(Classifier())
    train, test = data()
    return {"model": Classifier(), "Model": Classifier, "train_loader": train, "test_loader": test, "mlflow": mlflow}


SCOPES: dict[str, Callable[[Path], dict[str, Any]]] = {"cycles.md": classifier}
"""What pages take for granted; all others only a `model`, a small module that logs val_loss."""


@pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before the epoch ended")
@pytest.mark.filterwarnings("ignore:The number of training batches")
@pytest.mark.filterwarnings("ignore:.*there is no last checkpoint available")
@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_the_code_of_a_page_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """All blocks of a page run in their order, as one script."""
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(None)  # type: ignore[arg-type]  # whatever ran before
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    for folder in ("mlflow_configs", "examples"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    scope = SCOPES[page.name](tmp_path) if page.name in SCOPES else {"model": SmallModule()}
    for language, text, line in blocks(page):
        if language == "text":
            assert text in caplog.text
        else:
            run(page, language, text, line, scope)


def test_output_that_differs_from_the_page_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```pycon\n>>> 1 + 1\n3\n```\n", encoding="utf-8")
    [block] = blocks(page)
    with pytest.raises(AssertionError, match=r"Expected:\s+3\s+Got:\s+2"):
        run(page, *block, {})


class Overflowing(Tiny):
    """The gradients of the first and the fourth batch overflow."""

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        loss: Tensor = super().training_step(batch, batch_idx)
        return loss * float("inf") if batch_idx in (0, 3) else loss


def line_of_torch(module: Tiny) -> dict[str, Any]:
    optimizer = SGD(module.parameters(), lr=0.1)
    scheduler = LinearLR(optimizer, start_factor=1.0, end_factor=0.0, total_iters=10)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def test_what_the_questions_say_of_skipped_updates(tmp_path: Path) -> None:
    page = (DOCS / "faq.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (torch's scheduler|`LearningRate).*\| ([\d., ]+) \|$", page, flags=re.MULTILINE)
    lightnings, ours = ([float(lr) for lr in lrs.split(",")] for _, lrs in rows)

    def used(module: Tiny, *callbacks: Callback) -> list[float]:
        scaler = MixedPrecision("16-mixed", "cpu", scaler=torch.amp.GradScaler("cpu"))
        stranger = Stranger()
        make_trainer(tmp_path, *callbacks, stranger, plugins=[scaler], max_epochs=1).fit(module)
        return stranger.group()

    with pytest.warns(UserWarning, match=r"`lr_scheduler.step\(\)` before `optimizer.step\(\)`"):
        assert used(Overflowing(line_of_torch)) == pytest.approx(lightnings)
    assert used(Overflowing(), LearningRateScheduler(Linear())) == pytest.approx(ours)


def test_the_api_pages_have_every_public_name_once() -> None:
    pages = "".join(page.read_text(encoding="utf-8") for page in sorted((DOCS / "api").glob("*.rst")))
    listed = re.findall(r"^\.\. autoclass:: (\w+)$", pages, flags=re.MULTILINE)
    assert sorted(listed) == sorted([*lightning_lrsched.__all__, *lightning_cli.__all__])


def test_the_pages_keep_to_plain_markdown() -> None:
    """They are read on a forge as well; only pages that list or include others need the site's own words."""
    for page in DOCS.glob("*.md"):
        if page.stem not in ("index", "sweeps", "examples"):
            assert "```{" not in page.read_text(encoding="utf-8"), page


def test_the_api_page_has_every_name_of_the_ensembles() -> None:
    page = (DOCS / "api" / "ensembles.rst").read_text(encoding="utf-8")
    listed = re.findall(r"^\.\. auto\w+:: lightning_lrsched\.ensemble\.(\w+)$", page, flags=re.MULTILINE)
    assert sorted(listed) == sorted(ensemble.__all__)


@pytest.mark.parametrize(("page", "callback"), [("tracking.md", MLflowTracker), ("cycles.md", CycleCheckpoint)])
def test_the_table_of_a_callback_has_its_options_and_their_defaults(page: str, callback: type[Callback]) -> None:
    section = (DOCS / page).read_text(encoding="utf-8").partition("\n## Options\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| `?(.+?)`? \|", section, flags=re.MULTILINE)
    given = inspect.signature(callback).parameters.values()
    assert {name: ast.literal_eval(default) for name, default in rows} == {each.name: each.default for each in given}


def test_the_page_names_every_curve_that_a_fit_records(migrated: Path, tmp_path: Path) -> None:
    section = (DOCS / "tracking.md").read_text(encoding="utf-8").partition("\n## What is recorded\n")[2]
    rows = re.findall(r"^\| (`.+?)\|", section.partition("\n## ")[0], flags=re.MULTILINE)
    named = [re.escape(key) for row in rows for key in re.findall("`(.+?)`", row) if "..." not in key]
    known = "|".join(["val_loss", *(re.sub("<.+?>", ".+", key) for key in named), "epoch"])
    tracker = MLflowTracker(copied(migrated, tmp_path))
    callbacks = [LearningRateScheduler(SGDR("1ep")), CycleCheckpoint("val_loss"), tracker]
    make_trainer(tmp_path, *callbacks, max_epochs=2).fit(Tiny())
    recorded = mlflow.MlflowClient(tracker.tracking_uri).get_run(str(tracker.run_id)).data.metrics
    assert {"checkpoint/val_loss", "cycle/end/val_loss"} <= recorded.keys()
    assert not [key for key in recorded if not re.fullmatch(known, key)]


def test_the_page_of_the_commands_has_every_option_of_every_command() -> None:
    found = re.split(r"^## lrsched (\w+)$", (DOCS / "cli.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    sections = dict(zip(found[1::2], found[2::2], strict=True))
    [commands] = [action for action in cli._parser()._actions if isinstance(action, argparse._SubParsersAction)]
    assert list(sections) == list(commands.choices)
    for name, parser in commands.choices.items():
        rows = "\n".join(re.findall(r"^\| `.*", sections[name], flags=re.MULTILINE))
        known = {option for action in parser._actions for option in action.option_strings} - {"-h", "--help"}
        assert set(re.findall(r"`(--?[a-z][a-z-]*)", rows)) == known, name
        for argument in (action for action in parser._actions if not action.option_strings):
            assert f"`{argument.metavar}" in rows, name


@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
def test_a_job_that_is_started_again_goes_on_as_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    _, code, _ = blocks(DOCS / "resume.md")[0]
    code = code.replace("callbacks=[", "callbacks=[*more, ")
    scope: dict[str, Any] = {"model": SmallModule(), "more": [Stops(120)]}
    with pytest.warns(UserWarning, match="no last checkpoint"), pytest.raises(RuntimeError, match="power cut"):
        exec(code, scope)
    scope = {"model": SmallModule(), "more": []}
    exec(code, scope)
    assert "goes on at step 100" in caplog.text
    assert [cycle.complete for cycle in scope["cycles"].finished_cycles] == [True, True, True]
    assert scope["trainer"].global_step == 350
