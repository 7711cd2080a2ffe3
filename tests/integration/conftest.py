"""What the tests with whole processes, servers and a browser share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import Start, starting


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start Python with arguments in the folder of the test; the output goes to ``log``."""
    with starting(tmp_path) as begin:
        yield begin
