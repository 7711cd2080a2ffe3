"""``lrsched compare``: the runs of an MLflow experiment side by side."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from lightning_lrsched.cli.arguments import check_installed, check_picture, number
from lightning_lrsched.compare import (
    CompareError,
    Goal,
    Row,
    compare_figure,
    default_uri,
    goal_for,
    load_runs,
    masked,
    open_store,
    ranked,
    rich_table,
    run_colors,
    table_rows,
)

EXAMPLES = """\
examples:
  lrsched compare --experiment sgdr-study
  lrsched compare --experiment sgdr-study --metric val_acc --target 0.95
  lrsched compare --experiment sgdr-study --run 3f2a --run 90bc --png two.png
  lrsched compare --experiment sgdr-study --tracking-uri http://127.0.0.1:5000

exit codes: 0 done, 2 nothing to compare (the message says why)
"""
_UNBOUNDED = 10_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``lrsched compare``."""
    parser.add_argument("--experiment", required=True, metavar="NAME", help="the experiment's name")
    parser.add_argument(
        "--tracking-uri",
        metavar="URI",
        help="where MLflow keeps the runs (default: MLFLOW_TRACKING_URI, else sqlite:///mlflow.db if it exists)",
    )
    parser.add_argument(
        "--run",
        metavar="RUN_ID",
        action="extend",
        nargs="+",
        default=[],
        help="only these runs, by id or its beginning (default: all)",
    )
    parser.add_argument("--metric", metavar="KEY", help="what to compare (default: val_loss, else the first val...)")
    parser.add_argument(
        "--mode", choices=("min", "max"), help="which values are better (default: by the metric's name)"
    )
    parser.add_argument(
        "--target",
        metavar="X",
        type=number,
        help="value to reach (default: the worst of the runs' best values, so that all reach it)",
    )
    parser.add_argument(
        "--png",
        metavar="FILE",
        type=Path,
        default=Path("compare.png"),
        help="the picture, as .png, .svg or .pdf (default: compare.png)",
    )


def compare(args: argparse.Namespace) -> None:
    """Print the table of an experiment's runs, draw the picture, and print where it is."""
    check_installed("all", "mlflow", "matplotlib", "rich")
    check_picture(args.png, "--png", "compare.png")
    uri = args.tracking_uri or default_uri()
    sys.stderr.write(f"reading experiment {args.experiment!r} from {masked(uri)} ...\n")
    sys.stderr.flush()
    metric, records = load_runs(open_store(uri), args.experiment, args.run, args.metric)
    goal = goal_for(records, metric, args.mode, args.target)
    records = ranked(records, goal)
    title = f"{args.experiment}: {len(records)} run{'s' if len(records) > 1 else ''}"

    _print_table(table_rows(records, goal), goal, title)
    try:
        compare_figure(records, goal, title).savefig(args.png, dpi=150)
    except OSError as error:
        raise CompareError(f"cannot write the picture: {error}") from error
    sys.stdout.write(f"{args.png.resolve()}\n")


def _print_table(rows: Sequence[Row], goal: Goal, title: str) -> None:
    """Print the runs as wide as the terminal is, or as the table is where there is no terminal."""
    from rich.console import Console
    from rich.measure import Measurement

    console = Console()
    colors = run_colors(len(rows))
    table = rich_table(rows, goal, title, colors)
    needed = Measurement.get(console, console.options.update(max_width=_UNBOUNDED), table)
    if not console.is_terminal:
        console.width = needed.maximum
    elif console.width < needed.minimum:
        table = rich_table(rows, goal, title, colors, narrow=True)
    console.print(table)
