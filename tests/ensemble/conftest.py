"""Warnings of other packages."""

import pytest

from tests.callbacks.noise import silence


def pytest_configure(config: pytest.Config) -> None:
    """Ignore what other packages warn of."""
    silence(config)
