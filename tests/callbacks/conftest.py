"""Fixtures of the tests that fit a module."""

import pytest

from tests.callbacks.models import Stranger
from tests.callbacks.noise import silence


def pytest_configure(config: pytest.Config) -> None:
    """Ignore what other packages warn of."""
    silence(config)


@pytest.fixture
def stranger() -> Stranger:
    """A callback that records the lr of every step without knowing the package."""
    return Stranger()
