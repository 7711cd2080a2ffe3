"""How a refusal is checked: the message names the parameter, the value and a way that works."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from lightning_lrsched import (
    RunLength,
)

NAN, INF = float("nan"), float("inf")
HINT = re.compile(r"[Ee]xample|write|Pass ")
RUN = RunLength(1000, 100)


def check_refused(name: str, make: Callable[[], Any], shown: str) -> None:
    """Check that a call is refused with a message that names the parameter, the value and a hint."""
    with pytest.raises(ValueError, match=re.escape(name)) as caught:
        make()
    message = str(caught.value)
    assert shown in message
    assert HINT.search(message), message
    assert len(message) < 1000


def shown(value: object) -> str:
    """Return how a message shows a value: its repr, shortened when it is very long."""
    return repr(value)[:200]
