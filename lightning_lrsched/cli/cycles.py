"""``lrsched cycles``: what was kept of every cycle of a run."""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lightning_lrsched.cli.arguments import CommandError

if TYPE_CHECKING:
    from lightning_lrsched.ensemble import Member

EXAMPLES = """\
examples:
  lrsched cycles checkpoints/
  lrsched cycles 3f2ac0de --tracking-uri sqlite:///mlflow.db

exit codes: 0 done, 2 nothing found (the message says why)
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``lrsched cycles``."""
    add_run(parser)


def add_run(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that name a run."""
    parser.add_argument(
        "run",
        metavar="RUN",
        help="a folder of checkpoints, a folder above that of a single run, or an MLflow run by id or its beginning",
    )
    parser.add_argument(
        "--tracking-uri",
        metavar="URI",
        help="where MLflow keeps the run (default: MLFLOW_TRACKING_URI, else sqlite:///mlflow.db)",
    )


def cycles(args: argparse.Namespace) -> None:
    """Print the kept checkpoints, one a line."""
    from lightning_lrsched.ensemble import EnsembleError, find_members

    try:
        members = find_members(args.run, args.tracking_uri, ends=False)
    except EnsembleError as error:
        raise CommandError(str(error)) from error
    sys.stdout.write("\n".join(table(members)) + "\n")


def table(members: Sequence["Member"]) -> list[str]:
    """Return the lines of the table."""
    monitor = next((one.monitor for one in members if one.monitor), "score")
    rows = [("cycle", "what", "step", monitor, "lr", "", "checkpoint")]
    for one in members:
        marks = [
            name
            for name, there in (("best of all", one.best), ("recommended", one.recommended), ("cut", not one.complete))
            if there
        ]
        rows.append(
            (
                "" if one.cycle is None else str(one.cycle),
                one.role,
                "" if one.step is None else str(one.step),
                "" if one.score is None else f"{one.score:.6g}",
                "" if one.lr is None else f"{one.lr:.3g}",
                ", ".join(marks),
                one.path,
            )
        )
    return aligned(rows)


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as lines, in columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
