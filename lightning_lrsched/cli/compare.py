"""``lrsched compare``: runs of an MLflow store side by side."""

import argparse
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning_lrsched.cli.arguments import CommandError, check_installed, check_picture, number
from lightning_lrsched.cli.output import open_console
from lightning_lrsched.compare import (
    Selection,
    as_csv,
    as_json,
    compare_figure,
    default_uri,
    goal_for,
    load_runs,
    mean_rows,
    means_csv,
    means_table,
    open_store,
    ranked,
    report_page,
    rich_table,
    run_colors,
    table_rows,
)
from lightning_lrsched.masking import masked

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Column, Table

EXAMPLES = """\
examples:
  lrsched compare sgdr-study --html report.html
  lrsched compare sgdr-study --metric val_acc --target 0.95 --png curves.png
  lrsched compare sgdr-study --filter "params.seed = '0' and metrics.val_loss < 0.5"
  lrsched compare --run 3f2a --run 90bc --csv two.csv
  lrsched compare sgdr-study --baseline "step, lr 0.1" --means means.csv
  lrsched compare sgdr-study --tracking-uri http://127.0.0.1:5000 --json -

exit codes: 0 done, 2 nothing to compare (the message says why)
"""
_TERMINAL = Path("-")
_UNBOUNDED = 10_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``lrsched compare``."""
    add = parser.add_argument
    which: dict[str, Any] = {"action": "extend", "nargs": "+", "default": []}
    add("names", metavar="NAME", nargs="*", help="all runs of this experiment, as with --experiment")
    add("--experiment", metavar="NAME", help="all runs of these experiments, by name", **which)
    add("--filter", default="", metavar="TEXT", help="only runs for which this holds, in the words of MLflow's search")
    add("--run", metavar="RUN_ID", help="only these runs, by id or its beginning", **which)
    add(
        "--tracking-uri",
        metavar="URI",
        help="where MLflow keeps the runs (default: MLFLOW_TRACKING_URI, else sqlite:///mlflow.db if it exists)",
    )
    add("--metric", metavar="KEY", help="what to compare (default: val_loss, else the first val...)")
    add("--mode", choices=("min", "max"), help="which values are better (default: what its name or the runs say)")
    add(
        "--target",
        metavar="X",
        type=number,
        help="value to reach (default: the worst of the runs' best values, so that all reach it)",
    )
    add(
        "--baseline",
        metavar="RUN",
        help="hold the other plans against that of the runs whose names (or whose id) begin so, seed by seed",
    )
    add("--html", metavar="FILE", type=Path, help="write a report: one page that opens without a network")
    add("--png", metavar="FILE", type=Path, help="write a picture, as .png, .svg or .pdf")
    add("--csv", metavar="FILE", type=Path, help="write the table; - for the terminal, in place of the table there")
    add("--means", metavar="FILE", type=Path, help="write the means over the runs of each plan as CSV; - likewise")
    add("--json", metavar="FILE", type=Path, help="write all that was read; - for the terminal")


def compare(args: argparse.Namespace) -> None:
    """Print the table of the runs, write what was asked for, and print where it is."""
    _check(args)
    selection = Selection([*args.names, *args.experiment], args.filter, args.run)
    uri = args.tracking_uri or default_uri()
    sys.stderr.write(f"reading {selection} from {masked(uri)} ...\n")
    sys.stderr.flush()
    metric, records = load_runs(open_store(uri), selection, args.metric)
    goal = goal_for(records, metric, args.mode, args.target)
    records = ranked(records, goal)
    title = f"{selection}: {len(records)} run{'s' if len(records) > 1 else ''}"
    source = f"read from {masked(uri)}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"

    means = mean_rows(records, goal, args.baseline)
    piped = _TERMINAL in (args.csv, args.means, args.json)
    if not piped:
        rows, colors = table_rows(records, goal), run_colors(len(records))
        _print_table(lambda narrow: rich_table(rows, goal, title, colors, narrow=narrow))
        if means:
            sys.stdout.write("\n")
            _print_table(lambda narrow: means_table(means, goal, args.baseline, narrow=narrow))
    _write(args.csv, lambda: as_csv(records, goal))
    _write(args.means, lambda: means_csv(means))
    _write(args.json, lambda: as_json(records, goal, means))
    _write(args.html, lambda: report_page(records, goal, title, source, baseline=args.baseline))
    if args.png is not None:
        _save(args.png, lambda: compare_figure(records, goal, title).savefig(args.png, dpi=150))
    files = (args.csv, args.means, args.json, args.html, args.png)
    written = [path for path in files if path not in (None, _TERMINAL)]
    told = sys.stderr if piped else sys.stdout  # what is piped into another program is the CSV or the JSON alone
    told.writelines(f"{path.resolve()}\n" for path in written)


def _check(args: argparse.Namespace) -> None:
    """Refuse what could not be done, before anything is read."""
    if not (args.names or args.experiment or args.filter or args.run):
        raise CommandError(
            "which runs shall be compared? Pass the name of an experiment, --run RUN_ID or --filter, for example "
            "lrsched compare sgdr-study, or --filter \"params.seed = '0'\" for the runs of all experiments"
        )
    check_installed("all", "mlflow", "rich", "scipy")
    if args.png is not None:
        check_installed("plot", "matplotlib")
        check_picture(args.png, "--png", "curves.png")
    if args.html is not None:
        check_installed("report", "plotly")
        if args.html.suffix.lower() not in (".html", ".htm"):
            raise CommandError(f"--html {args.html} must end in .html, for example --html report.html")
    written = [path for path in (args.html, args.csv, args.means, args.json, args.png) if path is not None]
    for path in written:
        if not path.parent.is_dir():
            raise CommandError(f"there is no folder {path.parent} for {path}")
    if len({path.resolve() for path in written}) < len(written):
        raise CommandError("--html, --png, --csv, --means and --json name one file twice; pass a file for each")


def _write(path: Path | None, text: Callable[[], str]) -> None:
    """Write a text to a file, or to the terminal."""
    if path == _TERMINAL:
        sys.stdout.write(text())
    elif path is not None:
        _save(path, lambda: path.write_text(text(), encoding="utf-8"))


def _save(path: Path, write: Callable[[], object]) -> None:
    """Write a file."""
    try:
        write()
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror or error}") from error


def _print_table(make: Callable[[bool], "Table"]) -> None:
    """Print a table as wide as the terminal is, or as the table is where there is no terminal.

    Where a terminal is narrower than every form of the table, its lines are as long as they need to be.

    Args:
        make: returns the table, in its narrow form or not.
    """
    console = open_console()
    table = make(False)
    needed = _folded(table, console)
    if console.is_terminal and needed > console.width:
        table = make(True)
        needed = _folded(table, console)
    if needed > console.width or not console.is_terminal:
        console.width = needed
    console.print(table)


def _folded(table: "Table", console: "Console") -> int:
    """Fold the widest columns of a table until it is no wider than the terminal, if so, and return its width.

    rich itself would fold columns below their least width, and cut off what is on the right.
    """
    from rich.measure import Measurement, measure_renderables

    options = console.options.update(max_width=_UNBOUNDED)
    needed = Measurement.get(console, options, table).maximum
    least: list[tuple[Column, int]] = []
    for column in table.columns:
        if column.overflow == "fold":
            word, column.max_width = measure_renderables(console, options, [column.header, *column.cells])
            least.append((column, column.min_width or word))
    while console.is_terminal and needed > console.width:
        wide = [column for column, width in least if (column.max_width or 0) > width]
        if not wide:
            break
        widest = max(wide, key=lambda column: column.max_width or 0)
        widest.max_width = (widest.max_width or 0) - 1
        needed -= 1
    return needed
