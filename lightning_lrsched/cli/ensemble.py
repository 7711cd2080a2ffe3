"""``lrsched ensemble``: single members, their ensemble, their averaged weights and a control, side by side."""

import argparse
import importlib
import inspect
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning_lrsched.cli.arguments import CommandError, count
from lightning_lrsched.cli.cycles import add_run, aligned

if TYPE_CHECKING:
    from lightning_lrsched.ensemble import Measured, Member

EXAMPLES = """\
examples:
  lrsched ensemble checkpoints/ --module digits:Digits --data digits:loaders
  lrsched ensemble 3f2ac0de --module digits:Digits --data digits:DigitsData --on validate --last 3

--data names a LightningDataModule, or a function without arguments that returns two loaders: of training batches (for
batch norm) and of the data to measure on. Both are imported from this folder or from where Python finds them.

exit codes: 0 done, 2 nothing to evaluate (the message says why)
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``lrsched ensemble``."""
    add_run(parser)
    parser.add_argument("--module", required=True, metavar="FILE:CLASS", help="the LightningModule that was trained")
    parser.add_argument(
        "--data", required=True, metavar="FILE:NAME", help="a LightningDataModule or a function, see below"
    )
    parser.add_argument(
        "--on", choices=("test", "validate"), default="test", help="the step that measures (default: test)"
    )
    parser.add_argument(
        "--last", type=count, metavar="N", help="only the last N ends of completed cycles (default: all)"
    )
    parser.add_argument(
        "--average", choices=("probabilities", "logits"), default="probabilities", help="what the ensemble averages"
    )
    parser.add_argument("--dim", type=int, default=-1, metavar="D", help="dimension of the classes (default: -1)")
    parser.add_argument("--refuse-worse", action="store_true", help="leave out members much worse than the last one")


def ensemble(args: argparse.Namespace) -> None:
    """Measure the members in every way and print the table."""
    from lightning_lrsched.ensemble import EnsembleError, evaluate, find_members

    module, (train, data) = _named(args.module), _loaders(args.data, args.on)
    try:
        members = find_members(args.run, args.tracking_uri)
        members = members if args.last is None else members[-args.last :]
        members = _checked(members, refuse=args.refuse_worse)
        rows = evaluate(
            members,
            module,
            train,
            data,
            on=args.on,
            average=args.average,
            dim=args.dim,
            tracking_uri=args.tracking_uri,
        )
    except EnsembleError as error:
        raise CommandError(str(error)) from error
    sys.stdout.write("\n".join(table(rows)) + "\n")


def table(rows: Sequence["Measured"]) -> list[str]:
    """Return the lines of the table."""
    keys = list(dict.fromkeys(key for row in rows for key in row.metrics))
    cells = [[row.name, *(f"{row.metrics[key]:.6g}" if key in row.metrics else "" for key in keys)] for row in rows]
    return aligned([["", *keys], *cells])


def _checked(members: "list[Member]", *, refuse: bool) -> "list[Member]":
    """Tell members that are much worse than the last one, and leave them out if that is asked for."""
    from lightning_lrsched.ensemble import last_measured, worse_members

    bad, last = worse_members(members), last_measured(members)
    for one in bad:
        done = "left out" if refuse else "leave it out with --refuse-worse or --last"
        than = "" if last is None else f" against {last.score:.6g}"
        sys.stderr.write(
            f"cycle {one.cycle} is much worse than the last member: {one.monitor} {one.score:.6g}{than}; {done}\n"
        )
    kept = [one for one in members if not refuse or one not in bad]
    if not kept:
        raise CommandError("no member is left: the scores of all are NaN")
    return kept


def _named(name: str) -> Any:
    """Return what ``file:name`` names, imported from the working directory or from where Python finds it.

    Raises:
        CommandError: if there is no such thing.
    """
    module, found, attribute = name.partition(":")
    if not found or not attribute:
        raise CommandError(f"{name!r} must name a module and something in it, for example digits:Digits")
    sys.path.insert(0, str(Path.cwd()))
    try:
        return getattr(importlib.import_module(module.removesuffix(".py").replace("/", ".")), attribute)
    except (ImportError, AttributeError) as error:
        raise CommandError(f"{name} cannot be imported: {error}") from error
    finally:
        sys.path.pop(0)


def _loaders(name: str, on: str) -> tuple[Any, Any]:
    """Return the loaders of training and of the data to measure on.

    Raises:
        CommandError: if the name stands for something else, or a loader is missing.
    """
    from lightning.fabric.utilities.exceptions import MisconfigurationException
    from lightning.pytorch import LightningDataModule

    data = _named(name)
    try:
        inspect.signature(data).bind()
    except TypeError as error:
        raise CommandError(
            f"--data {name} must be called without arguments: {error}. Name a function that is"
        ) from error
    made = data()
    if isinstance(made, LightningDataModule):
        made.prepare_data()
        made.setup("fit")
        made.setup(on)
        try:
            return made.train_dataloader(), made.test_dataloader() if on == "test" else made.val_dataloader()
        except MisconfigurationException as error:
            other = "validate" if on == "test" else "test"
            raise CommandError(f"--data {name}: {error}. Add it, or measure with --on {other}") from error
    if not isinstance(made, tuple) or len(made) != 2:
        found = f"{len(made)} values" if isinstance(made, tuple) else type(made).__name__
        raise CommandError(
            f"--data {name} must be a LightningDataModule or a function that returns two loaders, it gives {found}"
        )
    return made
