"""The report, opened and used in a real browser without a network."""

import math
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import ConsoleMessage, Page, Request, expect

from lightning_lrsched.compare import Curve, Goal, RunRecord, ranked, report_page
from lightning_lrsched.compare.plans import PlannedPhase
from tests.integration.browsing import browser_page

HOSTILE = "<script>document.title = 'taken over'</script><img src=x onerror=\"document.title = 'taken over'\">%{x}"
GOAL = Goal("val_loss", "min", 0.3)
START = 1_700_000_000_000
STEPS = 40


def fit(name: str, values: Sequence[float], main: str = "SGDR('2ep')", **given: Any) -> RunRecord:
    """A run of 40 steps, 10 in an epoch and half a second each, with a restart in the middle."""
    lr = Curve(tuple(range(STEPS)), tuple(0.05 * (1 + math.cos(math.pi * (step % 20) / 20)) for step in range(STEPS)))
    known: dict[str, Any] = {
        "params": {"schedule/main": main, "schedule/steps_per_epoch": "10"},
        "lr": {"SGD/0": lr},
        "cycles": Curve((0, 19, 20, 39), (0, 0, 1, 1)),
        "cycle_best": Curve((19,), (values[1],)),
        "phases": (PlannedPhase("cosine cycle", 0, 20, 0), PlannedPhase("cosine cycle", 20, 40, 1)),
        "clock": Curve((0, 39), (START + 500, START + 20_000)),
        "start_time": START,
        "end_time": START + 20_000,
    }
    return RunRecord(name, name, "finished", metric=Curve((9, 19, 29, 39), tuple(values)), **(known | given))


RUNS = [
    fit("seed 0", (0.9, 0.5, 0.4, 0.2)),
    fit("seed 1", (0.9, 0.6, 0.5, 0.3)),
    fit(HOSTILE, (0.8, 0.7, 0.6, 0.45), main=f"Step({HOSTILE!r})"),
    fit("diverged", (0.7, math.nan, math.nan, math.inf), main="Constant()", cycle_best=Curve()),
    RunRecord("foreign", "foreign", "running", metric=Curve((15,), (0.65,))),
    RunRecord("silent", "silent", "failed"),
]


class Told:
    """What a page asked for and complained of."""

    def __init__(self, page: Page) -> None:
        self.requests: list[str] = []
        self.errors: list[str] = []
        page.on("request", self.ask)
        page.on("console", self.hear)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def ask(self, request: Request) -> None:
        self.requests.append(request.url.partition(":")[0])

    def hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)


@pytest.fixture(scope="module")
def browser() -> Iterator[Page]:
    with browser_page() as page:
        page.set_default_timeout(20_000)
        yield page


@pytest.fixture
def page(browser: Page, tmp_path: Path) -> Iterator[Page]:
    """The page of the six runs; whatever a test does on it, it asks for nothing and complains of nothing."""
    told = opened(browser, tmp_path, RUNS)
    yield browser
    assert told.errors == []
    assert told.requests == ["file"]


def opened(browser: Page, folder: Path, records: Sequence[RunRecord]) -> Told:
    """Write a page, open it, and wait until it is drawn."""
    path = folder / "report.html"
    path.write_text(report_page(ranked(records, GOAL), GOAL, "a <b>title</b>", "read from here"), encoding="utf-8")
    browser.goto("about:blank")
    told = Told(browser)
    browser.goto(path.as_uri())
    browser.wait_for_selector("#figure .xtitle")
    return told


def column(page: Page, index: int) -> list[str]:
    return [text.strip() for text in page.locator(f"#runs tbody td:nth-child({index})").all_inner_texts()]


def shown(page: Page, axis: str) -> dict[str, list[float | None]]:
    """The horizontal places of the lines that are visible on a vertical axis, by name."""
    found: dict[str, list[float | None]] = page.evaluate(
        """(axis) => Object.fromEntries(figure.data
            .filter((trace) => trace.yaxis === axis && trace.mode === "lines" && trace.visible === undefined)
            .filter((trace) => !trace.fill && trace.x.length > 1).map((trace) => [trace.name, trace.x]))""",
        axis,
    )
    return found


NAMES = ["seed 0", "seed 1", HOSTILE, "foreign", "diverged", "silent"]


def test_names_are_shown_as_they_are_and_do_nothing(page: Page) -> None:
    assert page.title() == "a <b>title</b>"
    assert page.locator("h1").inner_text() == "a <b>title</b>"
    assert column(page, 1) == NAMES
    assert HOSTILE in page.locator("#plans").inner_text()
    assert page.locator("img").count() == 0
    legend = page.locator("#figure .legendtext").all_text_contents()
    assert f"{HOSTILE[:19]}…{HOSTILE[-19:]}" in legend


def test_a_script_that_got_in_would_not_run(browser: Page, tmp_path: Path) -> None:
    told = opened(browser, tmp_path, RUNS)
    blocked = browser.evaluate(
        """() => new Promise((resolve) => {
            document.addEventListener("securitypolicyviolation", (event) => resolve(event.effectiveDirective));
            const script = document.createElement("script");
            script.textContent = "document.title = 'taken over'";
            document.body.append(script);
        })"""
    )
    assert blocked == "script-src-elem"
    assert browser.title() == "a <b>title</b>"
    assert browser.evaluate("() => fetch('http://127.0.0.1:9').catch((error) => error.message)") == "Failed to fetch"
    assert any("connect-src" in error or "default-src" in error for error in told.errors)


def test_the_table_sorts_by_numbers_and_by_words(page: Page) -> None:
    best = page.get_by_role("button", name="best val_loss")
    best.click()
    assert column(page, 4) == ["0.2", "0.3", "0.45", "0.65", "0.7", "-"]
    best.click()
    assert column(page, 4) == ["0.7", "0.65", "0.45", "0.3", "0.2", "-"]
    assert page.locator("#runs th[aria-sort=descending]").inner_text().startswith("best val_loss")
    page.locator("#runs th:first-child button").click()
    assert column(page, 1) == sorted(NAMES, key=str.lower)


def test_the_axes_are_steps_epochs_and_time(page: Page) -> None:
    page.locator("#means").uncheck()
    steps = shown(page, "y")["seed 0"]
    assert steps == list(range(STEPS))
    page.get_by_label("epochs trained").check()
    epochs = shown(page, "y")["seed 0"]
    assert [epochs[9], epochs[39]] == [pytest.approx(1.0), pytest.approx(4.0)]
    expect(page.locator("#figure .xtitle")).to_have_text("epochs trained")
    expect(page.locator("#left-out")).to_contain_text("2 of the runs do not say")
    page.get_by_label("wall time (seconds)").check()
    times = shown(page, "y2")["seed 0"]
    assert times == [pytest.approx(0.5 * (step + 1)) for step in (9, 19, 29, 39)]
    page.get_by_label("optimizer step").check()
    assert shown(page, "y")["seed 0"] == steps
    expect(page.locator("#left-out")).to_be_hidden()


def test_runs_that_share_a_plan_are_a_mean_unless_taken_apart(page: Page) -> None:
    assert list(shown(page, "y2")) == [escaped(HOSTILE[:19]), "plan 1: SGDR('2ep') (mean of 2)"]
    page.locator("#means").uncheck()
    assert {"seed 0", "seed 1"} <= set(shown(page, "y2"))


def escaped(beginning: str) -> str:
    """The name of the hostile run as a legend has it: cut in its middle."""
    end = HOSTILE[-19:]
    return f"{beginning}…{end}".replace("<", "&lt;").replace(">", "&gt;").replace("%", "&#37;")


def test_a_click_on_the_legend_hides_a_run_in_both_panels(page: Page) -> None:
    page.locator("#means").uncheck()
    page.locator("#figure .legend .traces", has_text="seed 1").locator(".legendtoggle").click()
    page.wait_for_function("() => figure.data.some((trace) => trace.visible === 'legendonly')")
    assert "seed 1" not in shown(page, "y") | shown(page, "y2") | shown(page, "y4")
    assert "seed 0" in shown(page, "y")
    page.get_by_label("epochs trained").check()
    assert "seed 1" not in shown(page, "y")


def test_a_point_tells_its_value_and_its_run(page: Page) -> None:
    page.locator("#means").uncheck()
    place = page.evaluate(
        """() => {
            const layout = figure._fullLayout;
            const at = (axis, value) => axis._offset + axis.d2p(value);
            const figureBox = figure.getBoundingClientRect();
            return [figureBox.left + at(layout.xaxis, 39), figureBox.top + at(layout.yaxis2, 0.2)];
        }"""
    )
    page.mouse.move(*place)
    page.wait_for_selector("#figure .hoverlayer .hovertext")
    text = " ".join(page.locator("#figure .hoverlayer .hovertext text").all_text_contents())
    assert "seed 0" in text
    assert re.search(r"(best|val_loss) 0\.20000 at 39\b", text)


def test_cycle_ends_and_kept_checkpoints_are_marked(page: Page) -> None:
    page.locator("#means").uncheck()
    assert shown(page, "y4")["seed 0"] == [19, 19, None]
    kept = page.evaluate(
        "() => figure.data.filter((t) => t.mode === 'markers' && t.name === 'seed 0').map((t) => [t.text[0], t.x, t.y])"
    )
    assert kept == [["kept: best of cycle 0", [19], [0.5]], ["best", [39], [0.2]]]


@pytest.mark.parametrize(
    ("records", "words"),
    [
        pytest.param(
            [RunRecord("a", "alone", "running", metric=Curve((0,), (0.5,)))], "none of these runs", id="point"
        ),
        pytest.param([RunRecord("a", "empty", "failed")], "none of these runs", id="nothing"),
        pytest.param([fit(f"run {at:02} {'x' * 80}", (1, 2, 3, at)) for at in range(12)], "and 11 more", id="twelve"),
    ],
)
def test_any_runs_make_a_page(browser: Page, tmp_path: Path, records: list[RunRecord], words: str) -> None:
    told = opened(browser, tmp_path, records)
    assert words in browser.locator("#plans").inner_text()
    assert len(column(browser, 1)) == len(records)
    assert told.errors == []


def box(page: Page, selector: str) -> dict[str, float]:
    """Where an element is on the page."""
    found: dict[str, float] | None = page.locator(selector).bounding_box()  # type: ignore[assignment]
    assert found is not None
    return found


def test_on_a_narrow_page_the_names_are_below_the_curves(page: Page) -> None:
    panel, legend = "#figure .draglayer .xy .nsewdrag", "#figure .legend .bg"
    assert box(page, legend)["x"] > box(page, panel)["x"] + box(page, panel)["width"]
    page.set_viewport_size({"width": 420, "height": 900})
    try:
        page.wait_for_function("() => figure._fullLayout.legend.yref === 'container'")
        page.wait_for_function("() => figure._fullLayout.width <= 420")
        assert box(page, panel)["width"] > 0.6 * 420
        assert box(page, legend)["y"] > box(page, "#figure .xtitle")["y"]
    finally:
        page.set_viewport_size({"width": 1400, "height": 1000})
        page.wait_for_function("() => figure._fullLayout.legend.yref === 'paper'")


@pytest.mark.parametrize("least", [1e-10, 1e-4, 0.01])
def test_the_numbers_of_a_logarithmic_axis_stand_apart(least: float, browser: Page, tmp_path: Path) -> None:
    lr = Curve(tuple(range(STEPS)), tuple(0.1 * (least / 0.1) ** (step / (STEPS - 1)) for step in range(STEPS)))
    opened(browser, tmp_path, [fit("falls", (0.9, 0.5, 0.4, 0.2), lr={"SGD/0": lr})])
    logarithmic = browser.get_by_label("learning rate")
    logarithmic.check()
    browser.wait_for_function("() => figure._fullLayout.yaxis.type === 'log'")
    labels = browser.locator("#figure .ytick text").all()
    places = sorted(
        (found["y"], found["y"] + found["height"]) for found in (each.bounding_box() for each in labels) if found
    )
    assert len(places) >= 2
    assert all(end <= begin for (_, end), (begin, _) in pairwise(places))
