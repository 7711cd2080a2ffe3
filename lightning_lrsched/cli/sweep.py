"""``lrsched sweep``: trains every combination of a file's schedules, warmups, learning rates and seeds."""

import argparse
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from lightning_lrsched.cli.arguments import CommandError, check_installed
from lightning_lrsched.cli.output import open_console
from lightning_lrsched.compare import open_store
from lightning_lrsched.configs import ConfigError
from lightning_lrsched.masking import masked

if TYPE_CHECKING:
    from rich.console import Console

    from lightning_lrsched.sweep import SweepConfig, SweepResult

EXAMPLES = """\
examples:
  lrsched sweep mlflow_configs/sweep-digits.yaml
  lrsched sweep mlflow_configs/sweep-digits.yaml --list
  lrsched sweep mlflow_configs/sweep-digits.yaml --tracking-uri http://127.0.0.1:5000

A second call trains only what has not finished. Classes are imported from this folder and from what is installed.

exit codes: 0 done, 1 a run failed, 2 refused (the message says why), 130 interrupted
"""
_FAILED = 1
_NO_URLS = "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"  # mlflow prints a run's address with the password in it
_LOGGERS = ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.rank_zero")
_NOISE = ".*does not have many workers|.*LeafSpec|.*exists and is not empty|.*smaller than the logging interval"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``lrsched sweep``."""
    parser.add_argument("config", type=Path, metavar="FILE", help="the sweep, such as mlflow_configs/sweep-digits.yaml")
    parser.add_argument(
        "--tracking-uri",
        metavar="URI",
        help="where MLflow keeps the runs (default: what the file says, else MLFLOW_TRACKING_URI, else "
        "sqlite:///mlflow.db)",
    )
    parser.add_argument("--list", action="store_true", help="name the runs, and train nothing")


def sweep(args: argparse.Namespace) -> int:
    """Train what is missing, and say how to compare."""
    check_installed("all", "mlflow", "matplotlib", "rich")
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    sys.stderr.write("loading lightning and mlflow ...\n")
    sys.stderr.flush()
    from mlflow.exceptions import MlflowException

    from lightning_lrsched.sweep import StoreAway, load_sweep, run_sweep
    from lightning_lrsched.sweep.store import tracking_uri

    console = open_console(soft_wrap=True, highlight=False)
    try:
        config = load_sweep(args.config)
        if args.list:
            _list(console, config)
            return 0
        uri = tracking_uri(args.tracking_uri or config.tracking_uri)
        if not uri.startswith("sqlite"):
            open_store(uri)  # one short look: mlflow itself would retry for minutes
        with _quiet(), _bar(console) as progress:
            result = run_sweep(config, progress, uri)
    except BrokenPipeError:
        raise
    except (ConfigError, MlflowException, StoreAway, OSError) as error:
        raise CommandError(masked(str(error))) from error
    _tell(console, config, result, shown=args.tracking_uri or config.tracking_uri)
    return _FAILED if result.failed else 0


def _list(console: "Console", config: "SweepConfig") -> None:
    """Name the runs; with a rule, what it chooses from and how many remain."""
    from lightning_lrsched.sweep import candidates, combinations

    tried, wanted = candidates(config), combinations(config)
    for each in tried or wanted:
        console.print(f"select: {each.name}" if tried else each.name, markup=False)
    if tried:
        seeds = ", ".join(map(str, config.seeds))
        console.print(f"and of each schedule's, what {config.select.metric} chooses, with the seeds {seeds}")


def _tell(console: "Console", config: "SweepConfig", result: "SweepResult", shown: str | None) -> None:
    """Print what was done and the command that compares."""
    for each in result.choices:
        values = ", ".join(f"{value:.4g} at {told}" for told, value in each.values.items())
        console.print(f"chosen for {each.name}: {each.chosen} ({config.select.metric} {values})", markup=False)
    before = f", {len(result.kept)} had finished before" if result.kept else ""
    console.print(f"{len(result.trained)} runs trained{before}, {len(result.failed)} failed", markup=False)
    if result.failed:
        console.print("The same command trains the failed ones again.", markup=False)
    where = f" --tracking-uri {quote(masked(shown))}" if shown else ""
    command = f"lrsched compare --experiment {quote(result.experiment)} --run {result.parent_id[:8]}{where}"
    console.print(f"Compare them with:\n  {command}", markup=False)


class _Bar:
    """One bar over the runs; without a terminal, a line for each."""

    def __init__(self, console: "Console", bar: Any) -> None:
        """Take the console, and rich's bar."""
        self._console, self._bar = console, bar
        self._task, self._total, self._done = bar.add_task("opening the store", total=None), 0, 0

    def begin(self, total: int, finished: int) -> None:
        """Set the length."""
        self._total, self._done = total, finished
        self._bar.update(self._task, total=total, completed=finished)

    def running(self, name: str) -> None:
        """Name the present run."""
        self._bar.update(self._task, description=name)

    def ended(self, name: str, error: Exception | None) -> None:
        """Advance, and tell a failure at once."""
        self._done += 1
        self._bar.advance(self._task)
        if error is not None:
            why = next(iter(masked(str(error)).splitlines()), "")
            self._console.print(f"failed: {name}: {type(error).__name__}: {why}", markup=False)
        elif not self._console.is_terminal:
            self._console.print(f"[{self._done}/{self._total}] {name}", markup=False)


@contextmanager
def _bar(console: "Console") -> Iterator[_Bar]:
    """Show the bar while the runs are trained."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.table import Column

    rest = Column(ratio=1, no_wrap=True, overflow="ellipsis")  # or a long name would take the room of the bar
    name = TextColumn("{task.description}", markup=False, table_column=rest)
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(), name)
    with Progress(*columns, console=console, expand=True, disable=not console.is_terminal) as bar:
        yield _Bar(console, bar)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's and MLflow's notes on every single fit out of the picture."""
    urls = os.environ.get(_NO_URLS)
    os.environ[_NO_URLS] = "true"
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=_NOISE)
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
        if urls is None:
            del os.environ[_NO_URLS]
        else:
            os.environ[_NO_URLS] = urls
