"""The command line: ``lrsched preview`` draws a plan, ``sweep`` trains many runs, ``compare`` shows them together."""

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Any, TextIO

from lightning_lrsched.cli import compare, cycles, ensemble, preview, replay, sweep
from lightning_lrsched.cli.arguments import CommandError
from lightning_lrsched.compare import CompareError
from lightning_lrsched.masking import printable

_REFUSED, _INTERRUPTED = 2, 130
_NEGATIVE = re.compile(r"-\.?\d")
_UNREAD = 141  # what a shell says of a program that ended because nobody reads it any more

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
    try:
        try:
            return _run(argv)
        finally:
            for stream in _streams():
                stream.flush()  # a reader that has left is noticed here at the latest
    except BrokenPipeError:
        _fall_silent()
        return _UNREAD


def _run(argv: Sequence[str] | None) -> int:
    """Run a command and return its exit code, with its mistakes told."""
    args = _parser().parse_args(_joined(sys.argv[1:] if argv is None else argv))
    command: Callable[[argparse.Namespace], int | None] = args.command
    try:
        return command(args) or 0
    except (CommandError, CompareError) as error:
        sys.stderr.write(f"lrsched: {printable(str(error))}\n")
        return _REFUSED
    except KeyboardInterrupt:
        return _INTERRUPTED


def _joined(argv: Sequence[str]) -> list[str]:
    """Return the arguments with a negative length, such as ``-5%``, joined to the option before it.

    argparse takes it for an option, and says that the one before lacks its argument; so it is refused as a length.
    """
    joined: list[str] = []
    for argument in argv:
        if joined and joined[-1] in ("--warmup", "--cooldown") and _NEGATIVE.match(argument):
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


def _fall_silent() -> None:
    """Send what is still to be written nowhere, so that Python does not complain of it when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in _streams():
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _streams() -> list[TextIO]:
    """Return what the command writes to; a program can be started without."""
    return [stream for stream in (sys.stdout, sys.stderr) if stream is not None]


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
