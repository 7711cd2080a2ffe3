"""The command line: ``lrsched compare`` shows runs of an MLflow experiment side by side."""

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from importlib import metadata, util
from pathlib import Path

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

_UNBOUNDED = 10_000
_REFUSED, _INTERRUPTED = 2, 130
_PICTURES = (".png", ".svg", ".pdf")
_EXAMPLES = """\
examples:
  lrsched compare --experiment sgdr-study
  lrsched compare --experiment sgdr-study --metric val_acc --target 0.95
  lrsched compare --experiment sgdr-study --run 3f2a --run 90bc --png two.png
  lrsched compare --experiment sgdr-study --tracking-uri http://127.0.0.1:5000

exit codes: 0 done, 2 nothing to compare (the message says why)
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        argv: arguments without the program's name; default those of the process.
    """
    args = _parser().parse_args(argv)
    command: Callable[[argparse.Namespace], None] = args.command
    try:
        command(args)
    except CompareError as error:
        sys.stderr.write(f"lrsched: {error}\n")
        return _REFUSED
    except KeyboardInterrupt:
        return _INTERRUPTED
    return 0


def _parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="lrsched", description="Learning-rate schedules for PyTorch Lightning, from the command line."
    )
    parser.add_argument("--version", action="version", version=f"lrsched {metadata.version('lightning-lrsched')}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    compare = commands.add_parser(
        "compare",
        help="show the runs of an MLflow experiment side by side",
        description="Print a table of the runs of an MLflow experiment, the best first,\nand draw their learning rates "
        "over their validation curves.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    compare.set_defaults(command=_compare)
    _add_compare_arguments(compare)
    return parser


def _add_compare_arguments(parser: argparse.ArgumentParser) -> None:
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
        type=_number,
        help="value to reach (default: the worst of the runs' best values, so that all reach it)",
    )
    parser.add_argument(
        "--png",
        metavar="FILE",
        type=Path,
        default=Path("compare.png"),
        help="the picture, as .png, .svg or .pdf (default: compare.png)",
    )


def _number(text: str) -> float:
    """Return a finite number from an argument."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"{text!r} is not a finite number, such as 0.25")
    return number


def _compare(args: argparse.Namespace) -> None:
    """Print the table of an experiment's runs, draw the picture, and print where it is."""
    _check_installed("mlflow", "matplotlib", "rich")
    _check_picture(args.png)
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


def _check_installed(*names: str) -> None:
    """Refuse to start where an optional package is missing."""
    missing = [name for name in names if util.find_spec(name) is None]
    if missing:
        raise CompareError(f"{' and '.join(missing)} missing; install with: pip install 'lightning-lrsched[all]'")


def _check_picture(path: Path) -> None:
    """Refuse a picture that could not be written, before the runs are read."""
    if path.suffix.lower() not in _PICTURES:
        raise CompareError(f"--png {path} must end in {', '.join(_PICTURES)}, for example --png compare.png")
    if not path.parent.is_dir():
        raise CompareError(f"--png {path}: there is no folder {path.parent}")


if __name__ == "__main__":
    sys.exit(main())
