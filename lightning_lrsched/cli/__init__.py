"""The command line: ``lrsched preview`` draws a plan, ``sweep`` trains many runs, ``compare`` shows them together."""

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Any

from lightning_lrsched.cli import compare, cycles, ensemble, preview, replay, sweep
from lightning_lrsched.cli.arguments import CommandError
from lightning_lrsched.compare import CompareError

_REFUSED, _INTERRUPTED = 2, 130

_COMMANDS: tuple[tuple[str, Any, Callable[[argparse.Namespace], int | None], str, str], ...] = (
    (
        "preview",
        preview,
        preview.preview,
        "draw the learning rate of a plan without training",
        "Draw the learning rate of one or several schedules over a run, in the terminal and as a picture,\n"
        "and print their phases. Nothing is trained.",
    ),
    (
        "sweep",
        sweep,
        sweep.sweep,
        "train every combination of schedules, warmups, lrs and seeds",
        "Train every combination that a file names, each as a run of MLflow under one parent.\n"
        "A second call trains only what is missing.",
    ),
    (
        "compare",
        compare,
        compare.compare,
        "show the runs of an MLflow experiment side by side",
        "Print a table of the runs of an MLflow experiment, the best first,\nand draw their learning rates "
        "over their validation curves.",
    ),
    (
        "cycles",
        cycles,
        cycles.cycles,
        "list what was kept of every cycle of a run",
        "List the checkpoints that CycleCheckpoint kept, from their folder or from MLflow.",
    ),
    (
        "ensemble",
        ensemble,
        ensemble.ensemble,
        "measure cycle ends alone, together and averaged",
        "Measure the ends of completed cycles one by one, as a snapshot ensemble, with averaged weights,\nand the last "
        "one with batch norm measured anew, which is the control of the averaged weights.",
    ),
    (
        "replay",
        replay,
        replay.deliver,
        "deliver what a fit has left for MLflow",
        "Bring to MLflow what a fit could not deliver: its server was away, or its process was killed.",
    ),
)
"""Each command: its name, the room with its arguments, what it runs, and what it is for, in short and in full."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        argv: arguments without the program's name; default those of the process.
    """
    args = _parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int | None] = args.command
    try:
        return command(args) or 0
    except (CommandError, CompareError) as error:
        sys.stderr.write(f"lrsched: {error}\n")
        return _REFUSED
    except KeyboardInterrupt:
        return _INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="lrsched", description="Learning-rate schedules for PyTorch Lightning, from the command line."
    )
    parser.add_argument("--version", action="version", version=f"lrsched {metadata.version('lightning-lrsched')}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, room, run, summary, description in _COMMANDS:
        _add(commands, name, room, summary, description).set_defaults(command=run)
    return parser


def _add(commands: Any, name: str, room: Any, summary: str, description: str) -> argparse.ArgumentParser:
    """Add a command with the arguments and examples of its module."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=description,
        epilog=room.EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    room.add_arguments(parser)
    return parser
