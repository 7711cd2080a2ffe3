"""The store that the tests of comparisons read."""

import pytest

from lightning_lrsched.compare import RunRecord, Selection, Store, load_runs, open_store
from tests.compare.stores import EXPERIMENT, make_store


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with the experiment ``study``, opened."""
    return open_store(make_store(tmp_path_factory.mktemp("store")))


@pytest.fixture(scope="session")
def records(study: Store) -> dict[str, RunRecord]:
    """The runs of the study, by name."""
    return {record.name: record for record in load_runs(study, Selection([EXPERIMENT]))[1]}
