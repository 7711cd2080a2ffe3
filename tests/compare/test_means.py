"""Means over the runs of a plan, against SciPy and by hand."""

import csv
import io
import json
import math
import re
from dataclasses import replace

import pytest
from rich.console import Console
from scipy import stats

from lightning_lrsched.compare import CompareError, Curve, Goal, RunRecord, as_json, mean_rows, means_csv, means_table
from lightning_lrsched.compare.plans import PlannedPhase
from lightning_lrsched.compare.rendering import told_estimate
from lightning_lrsched.compare.report import report_page

GOAL = Goal("val_loss", "min")
CYCLES = Curve((0, 3, 4, 11, 12, 15), (0.0, 0.0, 1.0, 1.0, 2.0, 2.0))
STOPS = ((0, 4), (4, 12), (12, 16))
PHASES = tuple(PlannedPhase("cosine cycle", *stops, cycle, cycle < 2) for cycle, stops in enumerate(STOPS))


def run(name: str, main: str, seed: int | None, *values: float, status: str = "finished", lr: str = "0.1") -> RunRecord:
    """A run with one value at each of its validations; three cycles, of which the last is cut, where it restarts."""
    params = {"schedule/main": main, "schedule/warmup": "none", "schedule/base_lr": lr}
    params |= {} if seed is None else {"setup/seed": str(seed)}
    again = {"cycles": CYCLES, "phases": PHASES} if main == "SGDR" else {}
    metric = Curve((3, 11, 15)[: len(values)], values)
    return RunRecord(f"{name} {seed}", f"{name}, seed {seed}", status, params=params, metric=metric, **again)  # type: ignore[arg-type]


STEP = [run("step", "Step", seed, 0.9, value, value + 0.1) for seed, value in ((0, 0.5), (1, 0.6), (2, 0.4))]
SGDR = [run("sgdr", "SGDR", seed, 0.7, value, 0.8) for seed, value in ((0, 0.3), (1, 0.35), (2, 0.31), (3, 0.9))]


def test_a_mean_has_the_deviation_and_the_interval_of_its_runs() -> None:
    sgdr, step = mean_rows([*STEP, *SGDR], GOAL)
    assert (step.name, step.plan, step.runs, step.schedule, step.warmup, step.lr) == (
        "step", 1, 3, "Step", "none", "0.1",
    )  # fmt: skip
    interval = stats.ttest_1samp([0.5, 0.6, 0.4], 0.0).confidence_interval(0.95)
    assert step.best is not None
    assert (step.best.mean, step.best.std) == pytest.approx((0.5, 0.1))
    assert step.best.count == 3
    assert (step.best.low, step.best.high) == pytest.approx((interval.low, interval.high))
    assert step.last is not None
    assert step.last.mean == pytest.approx(0.6)
    assert step.recommended is None
    assert sgdr.recommended is not None
    assert sgdr.recommended.mean == pytest.approx((0.3 + 0.35 + 0.31 + 0.7) / 4), "the better end, not the last value"
    assert step.best_apart is sgdr.best_apart is None


@pytest.mark.parametrize("baseline", ["step", "step, seed 0", "ste", "step 1"])
def test_a_difference_is_taken_seed_by_seed(baseline: str) -> None:
    sgdr, step = mean_rows([*STEP, *SGDR], GOAL, baseline)
    test = stats.ttest_rel([0.3, 0.35, 0.31], [0.5, 0.6, 0.4])
    interval = test.confidence_interval(0.95)
    found = sgdr.best_apart
    assert found is not None
    assert found.mean == pytest.approx(-0.18)
    assert found.count == 3, "seed 3 has no partner"
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert sgdr.last_apart is not None
    assert sgdr.last_apart.mean == pytest.approx(0.8 - 0.6)
    assert sgdr.recommended_apart is not None
    assert sgdr.recommended_apart.mean == pytest.approx((0.3 + 0.35 + 0.31) / 3 - 0.6), "minus the last of step"
    assert step.best_apart is None


def test_runs_without_a_seed_or_with_the_same_one_are_no_pairs() -> None:
    other = [run("other", "Cosine", seed, 0.3) for seed in (None, 7, 7)]
    rows = {row.name: row for row in mean_rows([*STEP, *other], GOAL, "step")}
    assert rows["Cosine, lr 0.1"].best_apart is None


def test_one_seed_in_common_is_no_difference_and_a_plan_without_values_is_last() -> None:
    other = [run("other", "Cosine", seed, 0.3) for seed in (0, 7)]
    none = [run("none", "REX", seed) for seed in (0, 1)]
    rows = mean_rows([*none, *STEP, *other], GOAL, "step")
    assert [(row.name, row.best_apart) for row in rows] == [("other", None), ("step", None), ("none", None)]
    assert rows[-1].best is rows[-1].last is None


def test_only_finished_runs_count_and_a_value_that_is_not_finite_is_left_out() -> None:
    runs = [*STEP, run("step", "Step", 3, 0.1, status="running"), run("step", "Step", 4, 0.8, math.nan)]
    [row] = mean_rows(runs, GOAL)
    assert row.runs == 4
    assert row.last is not None
    assert row.best is not None
    assert (row.last.count, row.best.count) == (3, 4)
    assert told_estimate(row.last, runs=row.runs).endswith(" of 3")


def test_the_best_mean_is_first_and_a_plan_with_one_run_has_no_interval() -> None:
    rows = mean_rows([*STEP, run("low", "Cosine", 0, 0.2, lr="0.3")], GOAL)
    assert [row.name for row in rows] == ["low", "step"]
    assert rows[0].best is not None
    assert (rows[0].best.std, rows[0].best.low) == (None, None)
    assert [row.name for row in mean_rows([*STEP, *SGDR], Goal("val_acc", "max"))] == ["step", "sgdr"]
    assert mean_rows([STEP[0], SGDR[0]], GOAL) == [], "no plan has two runs"
    assert mean_rows([RunRecord("id", "run", "finished")] * 2, GOAL) == []


@pytest.mark.parametrize(("baseline", "told"), [("plateau", "no plan with"), ("s", "2 plans with")])
def test_a_baseline_must_be_one_plan(baseline: str, told: str) -> None:
    with pytest.raises(CompareError, match=f"{told} runs that begin with '{baseline}' .*'step', 'sgdr'"):
        mean_rows([*STEP, *SGDR], GOAL, baseline)


@pytest.mark.parametrize("width", [80, 200])
def test_the_terminal_shows_means_and_differences(width: int) -> None:
    console = Console(width=width)
    with console.capture() as capture:
        console.print(means_table(mean_rows([*STEP, *SGDR], GOAL, "step"), GOAL, "step", narrow=width < 100))
    text = " ".join(capture.get().split())
    assert "0.50 ± 0.10" in text
    assert re.search(r"-0.180 ± 0.08\d", text)
    assert "seed by seed, minus the runs of step" in text


def test_markup_in_a_baseline_is_shown_as_it_is() -> None:
    runs = [replace(each, name=each.name.replace("step", "[/b]")) for each in [*STEP, *SGDR]]
    console = Console(width=200)
    with console.capture() as capture:
        console.print(means_table(mean_rows(runs, GOAL, "[/b]"), GOAL, "[/b]"))
    assert "minus the runs of [/b]" in capture.get()


def test_machines_get_every_number() -> None:
    rows = mean_rows([*STEP, *SGDR], GOAL, "step")
    read = list(csv.DictReader(io.StringIO(means_csv(rows))))
    assert [row["name"] for row in read] == ["sgdr", "step"]
    assert float(read[1]["best_mean"]) == pytest.approx(0.5)
    assert float(read[0]["best_apart_mean"]) == pytest.approx(-0.18)
    assert read[1]["best_apart_mean"] == read[1]["recommended_low"] == ""
    means = json.loads(as_json([*STEP, *SGDR], GOAL, rows))["means"]
    assert means[0]["best_apart"]["mean"] == pytest.approx(-0.18)
    assert means[1]["best_apart"] is None


def test_the_page_has_the_means_where_a_plan_has_several_runs() -> None:
    page = report_page([*STEP, *SGDR], GOAL, "title", "source", baseline="step")
    shown = page.partition('id="means-table">')[2].partition("</table>")[0]
    assert "plan 2: sgdr" in shown
    assert "0.50 ± 0.10<br>[" in shown
    assert "best, minus baseline" in shown
    assert "<section >\n<h2>Means" in page
    assert "<section hidden>\n<h2>Means" in report_page([STEP[0]], GOAL, "title", "source")


def test_plans_whose_runs_are_named_by_their_seed_alone_are_told_apart() -> None:
    def seeded(warmup: str) -> list[RunRecord]:
        runs = [run("", "Cosine()", seed, 0.5, 0.4) for seed in (0, 1)]
        params = [{**(each.params or {}), "schedule/warmup": warmup} for each in runs]
        return [
            replace(each, run_id=f"{warmup} {index}", name=f"seed {index}", params=params[index])
            for index, each in enumerate(runs)
        ]

    runs = [*seeded("none"), *seeded("Warmup(40)")]
    names = {"Cosine(), lr 0.1", "Cosine(), Warmup(40), lr 0.1"}
    assert {row.name for row in mean_rows(runs, GOAL)} == names
    page = report_page(runs, GOAL, "title", "source")
    assert all(f"{name} (mean of 2)" in page for name in names)


@pytest.mark.parametrize(
    ("names", "name"),
    [
        pytest.param(["tuned"], "tuned", id="alone"),
        pytest.param(["tuned, seed 3"], "tuned", id="alone with a seed"),
        pytest.param(["tuned-seed-1", "tuned-seed-2"], "tuned", id="seeds"),
        pytest.param(["run", "run"], "Cosine, lr 0.1", id="one name for all says nothing"),
        pytest.param(["tuned seed 1", "other seed 2"], "Cosine, lr 0.1", id="names that differ"),
        pytest.param(["seed 1"], "Cosine, lr 0.1", id="nothing but a seed"),
    ],
)
def test_a_plan_has_the_name_that_its_runs_share(names: list[str], name: str) -> None:
    runs = [replace(run("", "Cosine", seed, 0.5), run_id=str(seed), name=each) for seed, each in enumerate(names)]
    assert [row.name for row in mean_rows([*STEP, *runs], GOAL) if row.schedule == "Cosine"] == [name]


def test_plans_whose_runs_have_the_same_names_are_told_apart() -> None:
    runs = [replace(each, name=f"digits, seed {index % 3}") for index, each in enumerate([*STEP, *SGDR])]
    assert [row.name for row in mean_rows(runs, GOAL)] == ["SGDR, lr 0.1", "Step, lr 0.1"]
    assert mean_rows(runs, GOAL, "Step, lr 0.1")[0].best_apart is not None
    page = report_page(runs, GOAL, "title", "source")
    assert "plan 1: Step, lr 0.1 (mean of 3)" in page
    with pytest.raises(CompareError, match=r"2 plans .* There are: 'Step, lr 0.1', 'SGDR, lr 0.1'"):
        mean_rows(runs, GOAL, "digits")


def test_plans_of_the_same_words_are_told_apart_by_what_else_they_have() -> None:
    """The tracker's own names of runs say nothing."""
    runs = [
        replace(each, name=f"fit-{at}", params={**(each.params or {}), **more})
        for more, some in (
            ({}, STEP[:2]),
            ({"schedule/cooldown": "Linear()"}, [run("", "Step", at, 0.2) for at in (0, 1)]),
        )
        for at, each in enumerate(some)
    ]
    runs = [replace(each, run_id=str(at)) for at, each in enumerate(runs)]
    names = ["Step, lr 0.1, cooldown Linear()", "Step, lr 0.1"]
    assert [row.name for row in mean_rows(runs, GOAL)] == names
    for name in names:
        assert [row.best_apart is None for row in mean_rows(runs, GOAL, name)] == [name == each for each in names]
