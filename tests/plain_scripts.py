"""Runs plain scripts, each in a process of its own that has begun as a copy of this one, so that imports are paid once.

``python -m tests.plain_scripts SCRIPT ...`` writes what each script prints to ``SCRIPT.log``, and its exit code behind.
"""

import gc
import os
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

import lightning  # noqa: F401 - what the scripts import
import mlflow  # noqa: F401

import lightning_lrsched.callbacks
import lightning_lrsched.cli  # noqa: F401


def run_all(scripts: Sequence[str]) -> None:
    """Run one after the other, each in a copy of this process."""
    gc.freeze()  # or every copy would walk through, and so copy, all that was imported
    for script in scripts:
        log = Path(f"{script}.log")
        child = os.fork()
        if child == 0:
            with log.open("w", encoding="utf-8") as out:
                os.dup2(out.fileno(), 1)
                os.dup2(out.fileno(), 2)
            sys.argv = [script]
            runpy.run_path(script, run_name="__main__")
            sys.exit()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        Path(f"{script}.code").write_text(str(status), encoding="utf-8")


if __name__ == "__main__":  # pytest imports it too, to look for doctests
    run_all(sys.argv[1:])
