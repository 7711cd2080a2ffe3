"""Whether the tests can have a PostgreSQL."""

import os
import shutil
from pathlib import Path

import pytest


def skip_without_postgresql() -> None:
    """Skip the test where none is installed, or none would run."""
    if not list(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        pytest.skip("PostgreSQL is not installed; on Debian: apt-get install postgresql")
    if os.getuid() == 0 and not (shutil.which("runuser") or Path("/usr/sbin/runuser").exists()):
        pytest.skip("PostgreSQL does not run as root, and there is no other user")
