"""Which fit was the last to write to a run."""

from types import SimpleNamespace
from typing import Any

import pytest
from mlflow import MlflowClient

from lightning_lrsched.tracking.last_fit import Fit, last_fit, note_last_fit


@pytest.mark.parametrize(
    ("known", "last"),
    [
        pytest.param(None, True, id="the run knows of none"),
        pytest.param(Fit("mine", 900), True, id="itself"),
        pytest.param(Fit("other", 499), True, id="an earlier one"),
        pytest.param(Fit("other", 500), True, id="one of the same moment"),
        pytest.param(Fit("other", 501), False, id="a later one"),
    ],
)
def test_a_fit_is_the_last_unless_a_later_one_is_known(known: Fit | None, last: bool) -> None:
    assert Fit("mine", 500).is_last(known) is last


@pytest.mark.parametrize(
    ("tags", "fit"),
    [
        pytest.param({}, None, id="no tag"),
        pytest.param({"lrsched.last_fit": "mine 500"}, Fit("mine", 500), id="a fit"),
        pytest.param({"lrsched.last_fit": "mine"}, Fit("mine", 0), id="no time"),
        pytest.param({"lrsched.last_fit": "mine now"}, Fit("mine", 0), id="no number"),
    ],
)
def test_what_a_tag_says_is_read(tags: dict[str, str], fit: Fit | None) -> None:
    run: Any = SimpleNamespace(data=SimpleNamespace(tags=tags))
    assert last_fit(run) == fit


def test_what_is_noted_is_read_back(uri: str) -> None:
    client = MlflowClient(uri)
    run = client.create_run("0")
    note_last_fit(client, run.info.run_id, Fit("mine", 500))
    assert last_fit(client.get_run(run.info.run_id)) == Fit("mine", 500)
