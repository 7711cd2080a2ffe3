"""Fixtures of the tests that fit a module."""

import pytest

from tests.callbacks.models import Stranger


@pytest.fixture
def stranger() -> Stranger:
    """A callback that records the lr of every step without knowing the package."""
    return Stranger()
