"""Lightning's and MLflow's own warnings are not what these tests are about."""

import pytest

from tests.callbacks.noise import silence


def pytest_configure(config: pytest.Config) -> None:
    """Ignore what other packages warn of."""
    silence(config)
