"""The command line: ``lrsched preview`` draws a plan, ``lrsched compare`` shows runs of MLflow side by side."""

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib import metadata

from lightning_lrsched.cli import compare, preview
from lightning_lrsched.cli.arguments import CommandError
from lightning_lrsched.compare import CompareError

_REFUSED, _INTERRUPTED = 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        argv: arguments without the program's name; default those of the process.
    """
    args = _parser().parse_args(argv)
    command: Callable[[argparse.Namespace], None] = args.command
    try:
        command(args)
    except (CommandError, CompareError) as error:
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
    preview_parser = commands.add_parser(
        "preview",
        help="draw the learning rate of a plan without training",
        description="Draw the learning rate of one or several schedules over a run, in the terminal and as a picture,\n"
        "and print their phases. Nothing is trained.",
        epilog=preview.EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    preview_parser.set_defaults(command=preview.preview)
    preview.add_arguments(preview_parser)
    compare_parser = commands.add_parser(
        "compare",
        help="show the runs of an MLflow experiment side by side",
        description="Print a table of the runs of an MLflow experiment, the best first,\nand draw their learning rates "
        "over their validation curves.",
        epilog=compare.EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    compare_parser.set_defaults(command=compare.compare)
    compare.add_arguments(compare_parser)
    return parser
