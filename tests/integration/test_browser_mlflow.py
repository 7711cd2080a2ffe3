"""What MLflow's own pages show of tracked fits, in a real browser."""

import json
from collections.abc import Iterator
from typing import Any, TypeAlias

import pytest
from playwright.sync_api import Page, expect

from tests.compare.stores import quiet_mlflow
from tests.integration.browsing import browser_page, mlflow_server
from tests.integration.study import STEPS, Study, train_study

pytestmark = quiet_mlflow

Curves: TypeAlias = dict[str, dict[str, Any]]

_PATIENCE = 60_000  # milliseconds


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return train_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def address(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mlflow_server(study.uri, tmp_path_factory.mktemp("server") / "log") as address:
        yield address


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with browser_page(1500, 1000) as page:
        page.set_default_timeout(_PATIENCE)
        yield page


def searched(page: Page, key: str) -> Curves:
    """The curves of one metric among the charts of an experiment."""
    page.get_by_placeholder("Search metric charts").fill(f"^{key}$")
    return chart(page, key)


def chart(page: Page, key: str) -> Curves:
    """The curves of one metric's chart as they are drawn, by the name of the run: the steps and the values."""
    found = page.wait_for_function(
        """(key) => {
            const title = [...document.querySelectorAll("h4")].find((head) => head.title === key);
            const card = title?.closest("[data-testid=experiment-view-compare-runs-card]");
            const plot = card?.querySelector(".js-plotly-plot");
            const lines = (plot?.data ?? []).filter((trace) => trace.x && trace.x.length > 0);
            if (lines.length === 0 || plot.querySelectorAll("path.js-line").length === 0) return null;
            return lines.map((trace) => ({name: trace.name, x: [...trace.x], y: [...trace.y]}));
        }""",
        arg=key,
    )
    traces: list[dict[str, Any]] = found.json_value()
    return {trace["name"]: trace for trace in traces}


def test_the_charts_lay_the_lr_curves_of_the_runs_over_one_another(page: Page, address: str, study: Study) -> None:
    page.goto(f"{address}/#/experiments/{study.experiment_id}/runs?compareRunsMode=CHART")
    assert_lr_curves(searched(page, "lr/SGD/0"), study)


def assert_lr_curves(curves: Curves, study: Study) -> None:
    """Check that each run's curve is there, whole and with its shape."""
    assert sorted(curves) == sorted(study.run_ids)
    for curve in curves.values():
        assert curve["x"] == list(range(STEPS))
    assert set(curves["constant"]["y"]) == {0.1}
    assert curves["cosine"]["y"][12] == max(curves["cosine"]["y"]) == 0.1
    assert [step for step, lr in enumerate(curves["sgdr"]["y"]) if lr == 0.1] == [0, 20, 40]


def test_the_kept_checkpoints_are_drawn_with_their_metric(page: Page, address: str, study: Study) -> None:
    page.goto(f"{address}/#/experiments/{study.experiment_id}/runs?compareRunsMode=CHART")
    kept = [cycle.best for cycle in study.checkpoint.finished_cycles]
    curves = searched(page, "cycle/val_loss")
    assert list(curves) == ["sgdr"]
    assert curves["sgdr"]["x"] == [best.step - 1 for best in kept if best is not None]
    assert curves["sgdr"]["y"] == pytest.approx([best.score for best in kept if best is not None])


def test_the_compare_page_has_the_plans_and_the_metrics_side_by_side(page: Page, address: str, study: Study) -> None:
    runs, experiments = json.dumps(list(study.run_ids.values())), json.dumps([study.experiment_id])
    page.goto(f"{address}/#/compare-runs?runs={runs}&experiments={experiments}")
    expect(page.get_by_text("Comparing 3 Runs from 1 Experiment")).to_be_visible(timeout=_PATIENCE)
    page.wait_for_selector(".js-plotly-plot")
    for text in ("schedule/main", "SGDR(T_0=20)", "Constant()", "lr/SGD/0", "cycle/val_loss", "val_loss"):
        assert page.get_by_text(text, exact=True).count() >= 1, text
    page.get_by_role("link", name="lr/SGD/0", exact=True).click()
    assert_lr_curves(chart(page, "lr/SGD/0"), study)


def test_the_models_page_lists_the_kept_checkpoints_with_their_metric(page: Page, address: str, study: Study) -> None:
    page.set_viewport_size({"width": 2600, "height": 1000})  # the table draws only the columns that fit
    page.goto(f"{address}/#/experiments/{study.experiment_id}/models")
    expect(page.get_by_text("checkpoint/val_loss", exact=True).first).to_be_visible(timeout=_PATIENCE)
    page.wait_for_selector("[role=row][row-index] >> text=cycle-0-best")
    rows: dict[str, list[str]] = {}
    for row in page.locator("[role=row][row-index]").all():
        rows.setdefault(row.get_attribute("row-index") or "", []).extend(row.inner_text().split("\n"))
    listed = {words[1]: words for words in rows.values() if len(words) > 1 and words[1].startswith("cycle-")}
    for cycle in study.checkpoint.finished_cycles:
        for role, kept in (("best", cycle.best), ("end", cycle.end)):
            assert kept is not None
            assert kept.score is not None
            assert any(word[:6] == f"{kept.score:.8f}"[:6] for word in listed[f"cycle-{cycle.cycle}-{role}"])
