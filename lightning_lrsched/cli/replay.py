"""``lrsched replay``: what a fit could not deliver to MLflow."""

import argparse
import sys
from pathlib import Path

from lightning_lrsched.cli.arguments import CommandError, check_installed, positive
from lightning_lrsched.masking import reason_of
from lightning_lrsched.tracking.replay import find_spools, replay
from lightning_lrsched.tracking.spool import SpoolError

EXAMPLES = """\
examples:
  lrsched replay lrsched_spool/20260105-101500-3f2a90
  lrsched replay lrsched_spool                      # all that lie there, oldest first
  lrsched replay lrsched_spool --tracking-uri http://127.0.0.1:5000

A password is never kept in a spool: pass the URI, or set MLFLOW_TRACKING_URI (or MLFLOW_TRACKING_USERNAME and
MLFLOW_TRACKING_PASSWORD). A replay can be stopped and begun again: every point arrives once.

exit codes: 0 all delivered, 2 something was not (the message says what and why)
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``lrsched replay``."""
    parser.add_argument("spool", type=Path, metavar="SPOOL", help="a spool, or the folder lrsched_spool with several")
    parser.add_argument("--tracking-uri", metavar="URI", help="the store (default: the one that the spool names)")
    parser.add_argument(
        "--any-experiment", action="store_true", help="deliver also if the run is in another experiment than it was"
    )
    parser.add_argument(
        "--request-timeout", type=positive, default=60.0, metavar="S", help="seconds a request may take (default: 60)"
    )


def deliver(args: argparse.Namespace) -> None:
    """Deliver each spool, and say what arrived. What fails in one does not keep the others."""
    check_installed("mlflow", "mlflow")
    failed = []
    try:
        found = find_spools(args.spool)
    except SpoolError as error:
        raise CommandError(str(error)) from error
    for folder in found:
        try:
            done = replay(
                folder,
                args.tracking_uri,
                request_timeout=args.request_timeout,
                any_experiment=args.any_experiment,
                progress=_progress if sys.stderr.isatty() else lambda points: None,
            )
        except SpoolError as error:
            failed.append(str(error))
        except Exception as error:  # whatever a store, a disk or a network can raise
            failed.append(f"{folder}: {reason_of(error)}. What was delivered stays; run the command again for the rest")
        else:
            status = f", status {done.status}" if done.status else ""
            unread = f", {done.unread} bytes of an unfinished record left out" if done.unread else ""
            unread += f", schedule/steps lacks some steps: {done.unpacked}" if done.unpacked else ""
            sys.stdout.write(f"{folder}: {done.points} points to run {done.run_id}{status}{unread}\n")
    if failed:
        raise CommandError("\nlrsched: ".join(failed))


def _progress(points: int) -> None:
    """Show how far it is."""
    sys.stderr.write(f"\r{points} points")
    sys.stderr.flush()
